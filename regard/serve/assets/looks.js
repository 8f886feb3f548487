// The tokens of an attention, each of which shows what it looks at: averaged over the heads, or of the one that
// is chosen.

import { el, roving, share, visible } from "./dom.js";
import { store } from "./state.js";
import { say } from "./texts.js";
import { sheets } from "./values.js";

const NAMED = 4; // tokens that the sentence names

export class Looks {
  constructor() {
    this.queries = el("div", { class: "chips", role: "group" });
    this.keys = el("div", { class: "chips keys" });
    this.said = el("p", { class: "readout-line", "aria-live": "polite" });
    this.element = el("div", { class: "looks" }, this.queries, this.keys, this.said);
    roving(this.queries, "button");
  }

  show(box, values, answer) {
    const part = box.parts.find((one) => one.point === "weights"), found = part && values(part.name);
    this.element.hidden = !found || store.view.side === "difference";
    if (this.element.hidden) return;
    const all = sheets(found), { rows, columns } = all[0];
    const chosen = store.view.head !== null && store.view.head < all.length ? [all[store.view.head]] : all;
    this.weight = (r, c) => chosen.reduce((sum, sheet) => sum + sheet.numbers[r * columns + c], 0) / chosen.length;
    const here = answer.sequences[part.sequence] ?? answer.sequences.at(-1);
    const there = part.axes.at(-1) === "memory" ? answer.sequences.find((one) => one.kind === "encoder") ?? here : here;
    const names = here.tokens.slice(0, rows).map(visible), seen = there.tokens.slice(0, columns).map(visible);
    const key = JSON.stringify([names, seen, document.documentElement.lang]);
    if (key !== this.key) {
      this.key = key;
      this.names = names;
      this.seen = seen;
      this.queries.setAttribute("aria-label", say("asQueries"));
      this.queries.replaceChildren(el("span", { class: "label" }, say("asQueries")), ...names.map((name, r) => el("button", { type: "button", class: "chip", tabindex: r ? -1 : 0,
        onpointerenter: () => this.mark(r), onfocus: () => this.mark(r), onclick: () => this.mark(r) }, name)));
      this.keys.replaceChildren(el("span", { class: "label" }, say("asKeys")), ...seen.map((name) => el("span", { class: "chip" }, name)));
      this.said.textContent = say("lookAt");
      this.at = null;
    }
    if (this.at !== null) this.mark(this.at);
  }

  mark(r) {
    if (this.element.hidden || r >= this.names.length) return;
    this.at = r;
    const weights = this.seen.map((_, c) => this.weight(r, c));
    [...this.queries.querySelectorAll(".chip")].forEach((chip, i) => chip.classList.toggle("on", i === r));
    [...this.keys.querySelectorAll(".chip")].forEach((chip, i) => chip.style.setProperty("--w", Number.isFinite(weights[i]) ? weights[i] : 0));
    const best = [...weights.keys()].sort((a, b) => weights[b] - weights[a]).slice(0, NAMED).filter((c) => weights[c] > 0);
    this.said.textContent = say("looks", this.names[r], best.map((c) => `${this.seen[c]} ${share(weights[c])}`).join(" · "));
  }
}
