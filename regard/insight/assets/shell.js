// What the reader of any page chooses: language and colours.

import { find } from "./dom.js";

const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

export const lang = () => (root.dataset.lang === "zh" ? "zh" : "en");

// An English and a Chinese text: the one in the language that is chosen, with `given` in place of {0}, {1} …
export const fill = ([en, zh], given = []) => given.reduce((text, x, i) => text.replaceAll(`{${i}}`, () => String(x)), lang() === "zh" ? zh : en);

// What the browser remembers, where it remembers anything.
const recall = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
const remember = (name, value) => { try { localStorage.setItem(name, value); } catch { /* it does not */ } };

// `act` draws the page; called at once, and after each change. `say` has the words of a page by their keys, which stand in
// its own file as data-t, or as data-t-label for a name. `asked`: a language before what the browser says.
export function begin(act, say, asked = null) {
  const { dataset } = root;
  const speak = (chosen) => {
    dataset.lang = chosen;
    root.lang = chosen === "zh" ? "zh-CN" : "en";
    for (const one of document.querySelectorAll("[data-t]")) one.textContent = say(one.dataset.t);
    for (const one of document.querySelectorAll("[data-t-label]")) one.setAttribute("aria-label", say(one.dataset.tLabel));
    act();
  };
  find("#lang").addEventListener("click", () => {
    speak(lang() === "en" ? "zh" : "en");
    remember("regard.lang", lang());
  });
  find("#theme").addEventListener("click", () => {
    dataset.theme = dataset.theme === "dark" || (dataset.theme === "auto" && dark.matches) ? "light" : "dark";
    remember("regard.theme", dataset.theme);
    act();
  });
  dark.addEventListener("change", act);
  if (["light", "dark"].includes(recall("regard.theme"))) dataset.theme = recall("regard.theme");
  const reader = navigator.language.toLowerCase().startsWith("zh") ? "zh" : lang();
  speak([asked, recall("regard.lang"), reader].find((one) => ["en", "zh"].includes(one)));
}
