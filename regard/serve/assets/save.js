// Taking something away: a link to the state, the figure, the JSON, the report.

import { file } from "./api.js";
import { download, el, find } from "./dom.js";
import { address, lean, on, store } from "./state.js";
import { lang } from "./shell.js";
import { say } from "./texts.js";

export function saving(inside, analyses, tell) {
  const menu = find("#save"), items = find(".menu-items", menu);
  const which = () => (store.traced?.changed && store.view.side !== "original" ? "changed" : "original");
  const name = () => `regard-${store.state.model}`.replace(/[^\p{L}\p{N}.-]+/gu, "-");
  const act = (work) => async () => {
    menu.open = false;
    find("summary", menu).focus();
    tell(say("busy"));
    try {
      await work();
      tell("");
    } catch (problem) {
      tell(problem.message || say("gone"), true);
    }
  };
  const choices = {
    saveReport: async () => download(`${name()}.html`, await file("/api/report", { state: lean(store.state), lang: lang(), which: which() })),
    saveJson: async () => download(`${name()}.json`, await file("/api/json", { state: lean(store.state), which: which() })),
    saveFigure: async () => download(`${name()}.png`, await inside.image()),
    savePlot: () => analyses.save(name(), "png"),
    saveDrawing: () => analyses.save(name(), "svg"),
    saveModel: async () => download(`${name()}.svg`, inside.figure.file()),
  };
  const show = () => {
    const inFigure = store.view.mode === "inside" && store.traced;
    const there = { saveFigure: inFigure, saveModel: inFigure, savePlot: analyses.drawn, saveDrawing: analyses.drawn };
    items.replaceChildren(...Object.entries(choices).filter(([key]) => (key in there ? there[key] : store.state))
      .map(([key, work]) => el("button", { type: "button", onclick: act(work) }, say(key))));
  };
  menu.addEventListener("toggle", () => { if (menu.open) show(); });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    find("summary", menu).focus();
  });
  document.addEventListener("pointerdown", (event) => { if (!menu.contains(event.target)) menu.open = false; });
  on("words", show);

  find("#link").addEventListener("click", async () => {
    const { link, whole } = address();
    history.replaceState(null, "", link);
    try {
      await navigator.clipboard.writeText(location.href);
      tell(say(whole ? "copied" : "linkShort"));
    } catch {
      tell(say(whole ? "inAddress" : "linkShort")); // a browser that lets nobody write there
    }
  });
}
