// The answer, with and without the user's changes, and what the model thought likely at each place.

import { el, share, short, visible } from "./dom.js";
import { change, model, store } from "./state.js";
import { say } from "./texts.js";

const BEST = 3; // choices of a place that are shown
const MOST = 60; // places

// Whether what it thought likely is no number.
const isLost = (one) => one.choices.some((choice) => choice.best.some((best) => typeof best.probability === "string"));

export class Answer {
  constructor(element) {
    this.top = el("div", { class: "answer-top" });
    this.likely = el("div", { class: "likely-box" });
    element.replaceChildren(this.top, this.likely);
  }

  show() {
    const { predicted } = store;
    if (!predicted) return this.top.replaceChildren(el("p", { class: "hint" }, say("loading")));
    const { original, changed } = predicted;
    this.scrolled = this.likely.querySelector(".choices")?.scrollLeft ?? null; // before anything changes
    const score = (one) => (one.score !== null ? el("span", { class: "fact" }, `${say("score")} ${short(one.score, 4)}`) : null);
    const text = (one) => el("p", { class: "answer-text" }, el("span", {}, model().gives === "vector" ? say("vector") : one.answer || say("nothing")), score(one), isLost(one) ? el("span", { class: "hint", role: "alert" }, say("notFinite")) : null);
    this.top.replaceChildren(...(changed
      ? [el("div", { class: "side-by-side" }, el("div", {}, el("h2", { class: "label" }, say("unchanged")), text(original)), el("div", { class: "new" }, el("h2", { class: "label" }, say("changedTo")), text(changed))),
        ...(original.answer === changed.answer ? [el("p", { class: "hint" }, say("same"))] : []), this.#positions(changed)]
      : [el("h2", { class: "label" }, say("answer")), text(original)]), this.#forced(original));
    this.#likely(original, changed);
  }

  #positions(changed) {
    return changed.positions ? el("p", { class: "hint" }, say("told", changed.positions.join(" "))) : "";
  }

  #forced(original) {
    if (!store.state.forced.length || !model().writes) return "";
    const { tokens } = original.sequences.at(-1) ?? { tokens: [] };
    const begin = original.begin ?? tokens.length - store.state.forced.length;
    const named = tokens.slice(begin, begin + store.state.forced.length).map(visible).join(" ");
    return el("p", { class: "hint" }, say("forced", named || String(store.state.forced.length)), " ", el("button", { type: "button", class: "small", onclick: () => change({ forced: [] }) }, say("free")));
  }

  // A column for each place of what is written; one wide one for a label.
  #likely(original, changed) {
    const now = changed ?? original;
    const before = new Map((changed ? original.choices : []).map((choice) => [`${choice.of}${choice.at}`, choice]));
    if (!now.choices.length) return this.likely.replaceChildren();
    const single = now.choices.length === 1 || now.choices[0].of !== "output" || Boolean(model().takes.hole);
    const tokens = now.sequences.at(-1)?.tokens ?? [], { hole } = model().takes;
    const places = hole && now.choices.some((choice) => tokens[choice.at] === hole) ? now.choices.filter((choice) => tokens[choice.at] === hole) : now.choices;
    const columns = places.slice(-MOST).map((choice) => this.#column(choice, now, before.get(`${choice.of}${choice.at}`), single));
    const list = el("div", { class: single ? "choices single" : "choices", tabindex: 0, role: "group", "aria-label": say("likely") }, columns);
    this.likely.replaceChildren(el("h2", { class: "label" }, say("likely")), list);
    const first = columns[places.findIndex((choice) => now.begin !== null && choice.at >= now.begin - 1)];
    if (this.scrolled) list.scrollLeft = this.scrolled;
    else if (this.scrolled === null && first && first !== columns[0]) list.scrollLeft = first.offsetLeft - list.offsetLeft - 40;
  }

  #column(choice, now, before, single) {
    const tokens = now.sequences.at(-1)?.tokens ?? [], begin = now.begin;
    const written = model().writes && begin !== null && choice.at !== null ? choice.at + 1 - begin : null;
    const old = new Map((before?.best ?? []).map((one) => [one.id, one.probability]));
    const title = choice.of === "start" ? say("from") : choice.of === "end" ? say("until") : choice.at === null ? "" : visible(tokens[choice.at] ?? String(choice.at));
    const rows = choice.best.slice(0, single ? 8 : BEST).map((one) => {
      const chosen = one.id === choice.chosen, was = old.get(one.id);
      const bar = el("span", { class: "bar-of", vars: { "--p": one.probability, "--q": was ?? 0 } });
      const label = `${visible(one.token)} ${share(one.probability)}${was === undefined ? "" : `, ${say("before", share(was))}`}${chosen ? `, ${say("wasChosen")}` : ""}`;
      const inside = [el("span", { class: "choice-token" }, visible(one.token)), el("span", { class: "choice-share" }, share(one.probability)), bar];
      const kind = `choice${chosen ? " chosen" : ""}`;
      if (written === null || written < 0) return el("div", { class: kind, title: label }, inside);
      const act = () => change({ forced: [...now.sequences.at(-1).ids.slice(begin, choice.at + 1), one.id] });
      return el("button", { type: "button", class: kind, title: say("goOn", visible(one.token)), "aria-label": `${label}. ${say("goOn", visible(one.token))}`, onclick: act }, inside);
    });
    return el("div", { class: "choice-column" }, title ? el("span", { class: "choice-title" }, choice.of === "output" && model().writes ? `${title} →` : title) : null, rows);
  }
}

