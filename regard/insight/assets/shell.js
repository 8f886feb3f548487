// What the reader of any page chooses: language and colours.

import { find } from "./dom.js";

const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

export const lang = () => (root.dataset.lang === "zh" ? "zh" : "en");

// An English and a Chinese text: the one in the language that is chosen, with `given` in place of {0}, {1} …
export const fill = ([en, zh], given = []) => given.reduce((text, x, i) => text.replaceAll(`{${i}}`, () => String(x)), lang() === "zh" ? zh : en);

export function setLang(chosen) {
  root.dataset.lang = chosen;
  root.lang = chosen === "zh" ? "zh-CN" : "en";
}

export function toggleTheme() {
  const isDark = root.dataset.theme === "dark" || (root.dataset.theme === "auto" && dark.matches);
  root.dataset.theme = isDark ? "light" : "dark";
}

export const onSystemTheme = (act) => dark.addEventListener("change", act);

// What the browser remembers, where it remembers anything.
const recall = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
const remember = (name, value) => { try { localStorage.setItem(name, value); } catch { /* it does not */ } };

// Of a page whose words are in a table: `say` has them by their keys, which stand in the page's own file as data-t, or
// as data-t-label for a name. `act` draws the page; called at once, and after each change. `asked`: a language before all.
export function begin(say, act, asked = null) {
  const { dataset } = root;
  const speak = (chosen) => {
    setLang(chosen);
    for (const one of document.querySelectorAll("[data-t]")) one.textContent = say(one.dataset.t);
    for (const one of document.querySelectorAll("[data-t-label]")) one.setAttribute("aria-label", say(one.dataset.tLabel));
    act();
  };
  find("#lang").addEventListener("click", () => {
    remember("regard.lang", lang() === "en" ? "zh" : "en");
    speak(lang() === "en" ? "zh" : "en");
  });
  find("#theme").addEventListener("click", () => {
    toggleTheme();
    remember("regard.theme", dataset.theme);
    act();
  });
  onSystemTheme(act);
  if (["light", "dark"].includes(recall("regard.theme"))) dataset.theme = recall("regard.theme");
  const reader = navigator.language.toLowerCase().startsWith("zh") ? "zh" : lang();
  speak([asked, recall("regard.lang"), reader].find((one) => ["en", "zh"].includes(one)));
}
