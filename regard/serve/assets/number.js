// The card that shows where one number comes from: its terms with the actual values, and what becomes of their
// sum. Each factor leads on to where it comes from itself; a weight can be changed where it stands.

import { el, later, refill, short } from "./dom.js";
import { Panel } from "./panel.js";
import { formula } from "./sections.js";
import { change, lean, store } from "./state.js";
import { of, say } from "./texts.js";

const MOST = 400; // rows of the table

export class NumberCard extends Panel {
  constructor() {
    super(el("aside", { class: "card" }));
    Object.assign(this, { asked: null, trail: [], pinned: false, bySize: false }); // {part, index, sequence, which}; where Back leads
    this.body = el("div", { class: "card-body" });
    this.live = el("p", { class: "unseen", "aria-live": "polite" });
    this.element.append(this.body, this.live);
    this.soon = later(70, () => this.#fetch());
    this.show();
  }

  // What the pointer or the keys are on: asked for when they rest.
  point(asked) {
    if (this.pinned) return;
    this.asked = asked;
    this.trail = [];
    this.soon();
  }

  // Stay with this number; `trail`: where one came from.
  keep(asked, trail = []) {
    Object.assign(this, { pinned: true, asked, trail });
    this.#fetch();
  }

  // The state is another one: the same number again, or nothing.
  refresh() {
    if (this.asked) this.soon();
  }

  clear() {
    this.soon.cancel();
    this.channel.drop();
    Object.assign(this, { asked: null, found: null, problem: null, pinned: false, trail: [] });
    this.show();
  }

  #fetch() {
    if (this.asked) return this.ask("/api/number", { state: lean(store.state), ...this.asked });
  }

  refused(problem) {
    this.problem = problem.message || say("gone");
    this.show();
  }

  show() {
    this.element.setAttribute("aria-label", say("sum"));
    const top = el("div", { class: "card-top" }, el("h3", {}, say("sum")),
      this.trail.length ? el("button", { type: "button", class: "small", onclick: () => this.keep(this.trail.at(-1), this.trail.slice(0, -1)) }, `← ${say("back")}`) : null,
      this.pinned ? el("button", { type: "button", class: "small", onclick: () => this.clear() }, say("release")) : null);
    this.element.classList.toggle("empty", !this.found);
    if (!this.found) {
      this.body.replaceChildren(top, el("p", { class: "hint" }, this.problem ?? say("sumHelp")));
      return;
    }
    const { found } = this;
    refill(this.body, top,
      el("p", { class: "card-name" }, el("code", {}, `${found.part}[${found.index.join(", ")}]`)),
      el("p", { class: "card-title" }, of(store.structure.find((part) => part.name === found.part)?.title)),
      el("p", { class: "card-value" }, short(found.value, 7)),
      found.formula ? el("p", { class: "card-formula" }, "= ", formula(found.formula)) : null,
      this.#terms(found));
    this.live.textContent = `${short(found.value, 5)} = ${formula(found.formula ?? "")}`;
  }

  #terms(found) {
    const terms = found.terms ?? [];
    if (!terms.length) return [el("p", { class: "hint" }, say("given")), ...this.#stages(found)];
    const order = [...terms.keys()];
    const sizes = terms.map((term) => Math.abs(Number(term.value)) || 0), most = Math.max(...sizes);
    if (this.bySize) order.sort((a, b) => sizes[b] - sizes[a]);
    const names = [];
    for (const term of terms) (term.factors ?? []).forEach((factor, i) => { names[i] ??= factor.name; });
    const head = el("tr", {}, el("th", { scope: "col" }, ""), names.map((name) => el("th", { scope: "col" }, name)), el("th", { scope: "col" }, names.length > 1 ? say("product") : say("term")));
    const rows = order.slice(0, MOST).map((at) => {
      const term = terms[at];
      const value = Number(term.value);
      return el("tr", {}, el("th", { scope: "row" }, (term.label ?? String(at)).replaceAll("\u2581", "·")),
        names.map((_, i) => el("td", {}, this.#factor(term.factors?.[i]))),
        el("td", { class: value < 0 ? "minus" : "plus", vars: { "--w": most && Number.isFinite(value) ? Math.abs(value) / most : 0 } }, short(term.value, 5)));
    });
    const table = el("table", { class: "terms" }, el("thead", {}, head), el("tbody", {}, rows));
    const label = say("totals", terms.length);
    const sort = terms.length > 2 ? el("label", { class: "tick" }, el("input", { type: "checkbox", checked: this.bySize, onchange: (event) => { this.bySize = event.target.checked; this.show(); } }), say("largest")) : null;
    return [sort, el("div", { class: "terms-scroll", tabindex: 0, role: "group", "aria-label": label }, table),
      terms.length > 1 ? el("p", { class: "stage" }, el("span", {}, label), el("b", {}, short(found.sum, 7))) : null, ...this.#stages(found)];
  }

  #stages(found) {
    return (found.stages ?? []).map((stage) => {
      const number = stage.by?.value ?? stage.by; // a plain one, or one that comes from somewhere
      const by = number === null || number === undefined ? "" : ` (${short(number, 5)})`;
      return el("p", { class: "stage" }, el("span", {}, `${stage.op}${by}`), el("b", {}, short(stage.value, 7)));
    });
  }

  #factor(factor) {
    if (!factor) return null;
    const shown = short(factor.value, 5);
    if (factor.part) {
      const label = say("openTerm", `${factor.name} = ${shown}`);
      return el("button", { type: "button", class: "factor", title: `${factor.part}[${factor.index.join(", ")}]`, "aria-label": label,
        onclick: () => this.keep({ part: factor.part, index: factor.index, which: this.asked.which }, [...this.trail, this.asked]) }, shown);
    }
    if (!factor.weight) return shown;
    return el("button", { type: "button", class: "factor weight", title: `${factor.weight}[${factor.index.join(", ")}]`, "aria-label": `${say("editWeight")}: ${factor.name} = ${shown}`,
      onclick: (event) => this.#edit(event.currentTarget, factor) }, shown);
  }

  // A field in the weight's place.
  #edit(button, factor) {
    const field = el("input", { class: "factor-edit", type: "number", step: "any", value: String(factor.value), "aria-label": `${say("editWeight")} ${factor.weight}[${factor.index.join(", ")}]` });
    const end = (take) => {
      const value = Number(field.value);
      if (take && field.value !== "" && Number.isFinite(value) && value !== factor.value) setWeight(factor.weight, factor.index, value);
      field.replaceWith(button);
      button.focus();
    };
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") end(true);
      else if (event.key === "Escape") end(false);
    });
    button.replaceWith(field);
    field.focus();
    field.select();
  }
}

// An edit of the same weight takes the place of the earlier one.
export function setWeight(weight, index, value) {
  const others = store.state.edits.filter((edit) => edit.weight !== weight || edit.index.join() !== index.join());
  change({ edits: [...others, { weight, index, value }] });
}
