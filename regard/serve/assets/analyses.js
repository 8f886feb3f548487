// Ways to ask a prediction why: each a figure that the library makes, without the changes and with them.

import { Panel } from "./panel.js";
import { el, later, visible } from "./dom.js";
import { plot, plotly } from "./plot.js";
import { emit, lean, look, model, store } from "./state.js";
import { lang } from "./shell.js";
import { of, say } from "./texts.js";

const WAIT = 250; // milliseconds of rest before something typed is computed

export class Analyses extends Panel {
  constructor(element) {
    super(element);
    this.controls = el("div", {});
    this.figures = el("div", {});
    element.replaceChildren(this.controls, this.figures);
  }

  get chosen() {
    const { analyses } = model();
    return analyses.find((one) => one.name === store.view.analysis) ?? analyses[0];
  }

  async refresh() {
    const { chosen } = this, { number, other } = store.view;
    this.offer();
    if (chosen.other && !other) return this.#told(say("otherHelp"));
    const body = { state: lean(store.state), name: chosen.name, lang: lang(), ...(chosen.number ? { number } : {}), ...(chosen.other ? { other } : {}) };
    await this.ask("/api/analysis", body);
  }

  refused(problem) {
    if (!problem.message) emit("problem", say("gone"));
    this.#told(problem.message);
  }

  #told(text) {
    this.found = null;
    this.figures.replaceChildren(el("p", { class: "hint", role: "status" }, text));
  }

  show() {
    if (store.view.mode !== "analyses") return;
    this.offer();
    if (!this.found) return;
    const { told } = this.found.changed?.told ? this.found.changed : this.found.original;
    if (told) return this.#told(told);
    const sides = [["original", this.found.original], ["changed", this.found.changed]].filter(([, figure]) => figure);
    const title = of(this.chosen.title);
    const places = sides.map(([side, figure]) => {
      const name = sides.length > 1 ? `${title} · ${say(side)}` : title;
      const place = el("div", { class: "plot", role: "img", "aria-label": name, vars: { height: `${figure.layout.height ?? 360}px`, "min-width": `${Math.min(figure.layout.width ?? 0, 4000)}px` } });
      return [el("figure", { class: "analysis" }, el("figcaption", { class: "label" }, name), el("div", { class: "figure-scroll", tabindex: 0, role: "group", "aria-label": name }, place)), place, figure];
    });
    this.figures.replaceChildren(...places.map(([whole]) => whole));
    for (const [, place, figure] of places) plot(place, figure);
  }

  get drawn() {
    return store.view.mode === "analyses" && this.figures.querySelector(".js-plotly-plot") !== null;
  }

  // What is seen, as images: with changes, one of each side.
  async save(name, format) {
    const Plotly = await plotly(), places = [...this.figures.querySelectorAll(".js-plotly-plot")];
    for (const [i, place] of places.entries()) {
      const filename = [name, this.chosen.name, ...(places.length > 1 ? [i ? "changed" : "original"] : [])].join("-");
      await Plotly.downloadImage(place, { format, filename, width: place.clientWidth, height: place.clientHeight, scale: 2 });
    }
  }

  // Fields that are typed into stay as they are while the rest changes.
  offer() {
    if (store.view.mode !== "analyses") return;
    const { chosen } = this, key = `${model().name} ${chosen.name} ${lang()} ${chosen.number ? this.#written().join("\n") : ""}`;
    if (this.key === key) return;
    this.key = key;
    const choices = model().analyses.map((one) => el("button", { type: "button", class: "chip", "aria-pressed": String(one === chosen), onclick: (event) => { const again = event.detail === 0; look({ analysis: one.name }); if (again) this.controls.querySelector('[aria-pressed="true"]')?.focus(); } }, of(one.title)));
    const more = [chosen.number && this.#written().length > 1 ? this.#number() : null, chosen.other ? this.#other() : null];
    this.controls.replaceChildren(el("div", { class: "row methods", role: "group", "aria-label": say("method") }, choices), el("p", { class: "hint" }, of(chosen.about)), ...more.filter(Boolean));
  }

  // What was written, token by token.
  #written() {
    const one = store.predicted?.original;
    if (!one || one.begin === null) return [];
    return one.choices.filter((choice) => choice.chosen !== null).map((choice) => visible(choice.best.find(({ id }) => id === choice.chosen)?.token ?? "?"));
  }

  #number() {
    const options = this.#written().map((token, i) => el("option", { value: i, selected: i === store.view.number }, `${i + 1}: ${token}`));
    return el("label", {}, el("span", { class: "label" }, say("ofToken")), " ", el("select", { onchange: (event) => look({ number: Number(event.target.value) }) }, options));
  }

  #other() {
    const field = el("input", { type: "text", class: "wide", spellcheck: "false", value: store.view.other ?? "" });
    field.addEventListener("input", later(WAIT, () => look({ other: field.value || null })));
    return el("label", {}, el("span", { class: "label" }, say("otherInput")), " ", field);
  }
}
