// Generation token by token: what is written, what may come next, and any other token by force.

import { get } from "./api.js";
import { Panel } from "./panel.js";
import { el, refill, share, visible } from "./dom.js";
import { change, lean, store } from "./state.js";
import { say } from "./texts.js";

const OFFERED = 200; // tokens that a field suggests

export class Writing extends Panel {
  async refresh() {
    await this.ask("/api/step", { ...lean(store.state), beam: 1 });
  }

  show() {
    const { found } = this;
    if (!found) return this.element.replaceChildren();
    const { original, changed } = found, now = changed ?? original;
    const { forced } = store.state;
    const go = (ids) => change({ forced: ids });
    const button = (label, key, enabled, act) => el("button", { type: "button", "data-focus": key, disabled: !enabled, onclick: act }, label);
    const controls = el("div", { class: "row controls-row" },
      button(say("take"), "take", !now.done && now.next.length, () => go([...forced, now.next[0].id])),
      button(say("undo"), "undo", forced.length, () => go(forced.slice(0, -1))),
      button(say("start"), "start", forced.length, () => go([])),
      button(say("end"), "end", !now.done, () => this.#end()));
    refill(this.element, controls, this.#written(now, forced, go), now.done ? el("p", { class: "done" }, say("done")) : this.#next(original, changed, forced, go));
  }

  // As the model goes on from here by itself: the ids of the prediction.
  #end() {
    const one = store.predicted?.changed ?? store.predicted?.original, last = one?.sequences.at(-1);
    if (!last?.ids || one.begin === null) return;
    const ids = last.ids.slice(one.begin);
    const ended = one.choices.find((choice) => choice.at === last.ids.length - 1)?.chosen;
    change({ forced: ended === null || ended === undefined ? ids : [...ids, ended] });
  }

  #written(now, forced, go) {
    const chips = now.written.map((one, i) => el("li", {}, el("button", { type: "button", class: one.rank > 1 ? "written other" : "written", "data-focus": `written-${i}`, title: say("undo"),
      "aria-label": `${visible(one.token)}: ${say("probability")} ${share(one.probability)}, ${say("rank", one.rank)}`, onclick: () => go(forced.slice(0, i)) },
    el("span", { class: "written-token" }, visible(one.token)), el("span", { class: "shape" }, `${share(one.probability)} · ${say("rank", one.rank)}`))));
    return el("section", { class: "written-box" }, el("h2", { class: "label" }, say("written")),
      now.written.length ? el("ol", { class: "written-list" }, chips) : el("p", { class: "hint" }, say("emptyYet")), now.text ? el("p", { class: "answer-text", lang: "" }, now.text) : null);
  }

  #next(original, changed, forced, go) {
    const now = changed ?? original, old = new Map((changed ? original.next : []).map((one) => [one.id, one.probability]));
    const list = now.next.map((one, i) => {
      const was = old.get(one.id), name = visible(one.token);
      return el("li", {}, el("button", { type: "button", class: `choice wide-choice${i ? "" : " chosen"}`, "data-focus": `next-${i}`, "aria-label": `${name} ${share(one.probability)}${was === undefined ? "" : `, ${say("before", share(was))}`}. ${say("goOn", name)}`, onclick: () => go([...forced, one.id]) },
        el("span", { class: "choice-token" }, name), el("span", { class: "choice-share" }, share(one.probability)), el("span", { class: "bar-of", vars: { "--p": one.probability, "--q": was ?? 0 } })));
    });
    return el("section", {}, el("h2", { class: "label" }, say("next")), el("ol", { class: "next-list" }, list), this.#another(forced, go));
  }

  // Any token at all, by its name.
  #another(forced, go) {
    const list = el("datalist", { id: "tokens" }), field = el("input", { type: "text", list: "tokens", autocomplete: "off", spellcheck: "false", "data-focus": "another" });
    const told = el("p", { class: "hint", role: "status" });
    field.addEventListener("input", () => {
      const like = (store.outputs ?? []).filter((token) => visible(token).startsWith(field.value)).slice(0, OFFERED);
      list.replaceChildren(...like.map((token) => el("option", { value: visible(token) })));
    });
    field.addEventListener("focus", () => outputs(), { once: true });
    const form = el("form", { class: "row" }, el("label", {}, el("span", { class: "label" }, say("another")), " ", field), list, el("button", { type: "submit" }, say("force")), told);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      await outputs();
      const id = store.outputs.findIndex((token) => visible(token) === field.value || token === field.value);
      if (id < 0) told.textContent = say("unknown", field.value);
      else go([...forced, id]);
    });
    return form;
  }
}

// What the head chooses among, once for each model.
let asked = null;
export async function outputs() {
  const { model } = store.state;
  if (store.outputs && asked === model) return;
  asked = model;
  const found = await get(`/api/outputs/${encodeURIComponent(model)}`);
  if (store.state.model === model) store.outputs = found.outputs;
}
