// The tokens of an attention, each of which shows what it looks at: averaged over the heads, or of the one that
// is chosen. An image's patches stand in the image.

import { el, roving, share } from "./dom.js";
import { sheets } from "./floats.js";
import { store } from "./state.js";
import { say } from "./texts.js";
import { labels } from "./values.js";

const NAMED = 4; // tokens that the sentence names
const PATCH = /^(\d+),(\d+)$/;

export class Looks {
  constructor() {
    this.queries = el("div", { class: "chips", role: "group" });
    this.keys = el("div", { class: "chips keys", role: "group", tabindex: 0 });
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
    const names = labels("query", part, answer).slice(0, rows), seen = labels(part.axes.at(-1), part, answer).slice(0, columns);
    const key = JSON.stringify([names, seen, document.documentElement.lang]);
    if (key !== this.key) {
      Object.assign(this, { key, names, seen, at: null });
      this.#draw(store.state.input.kind === "image" && names.some((name) => PATCH.test(name)));
    }
    this.image?.style.setProperty("background-image", `url("${store.state.input.data}")`);
    if (this.at !== null) this.mark(this.at);
  }

  #draw(isImage) {
    const button = (name, r, kind = "chip", label = null) => el("button", { type: "button", class: kind, tabindex: r ? -1 : 0, title: label, "aria-label": label,
      onpointerenter: () => this.mark(r), onfocus: () => this.mark(r), onclick: () => this.mark(r) }, label ? null : name);
    this.queries.setAttribute("aria-label", say("asQueries"));
    this.keys.setAttribute("aria-label", say("asKeys"));
    this.keys.hidden = isImage;
    this.image = null;
    const made = this.names.map((name, r) => (isImage && PATCH.test(name) ? button(name, r, "patch", name) : button(name, r)));
    this.marked = made;
    if (isImage) {
      const [rows, columns] = [1, 2].map((i) => 1 + Math.max(...this.names.map((name) => Number(name.match(PATCH)?.[i] ?? 0))));
      this.image = el("div", { class: "patches", vars: { "--rows": rows, "--columns": columns } }, made.filter((one) => one.className === "patch"));
      this.queries.replaceChildren(el("span", { class: "label" }, say("asQueries")), ...made.filter((one) => one.className === "chip"), this.image);
      this.targets = made; // the patches that look are those that are looked at
    } else {
      this.targets = this.seen.map((name) => el("span", { class: "chip" }, name));
      this.queries.replaceChildren(el("span", { class: "label" }, say("asQueries")), ...made);
      this.keys.replaceChildren(el("span", { class: "label" }, say("asKeys")), ...this.targets);
    }
    this.said.textContent = say("lookAt");
  }

  mark(r) {
    if (this.element.hidden || r >= this.names.length) return;
    this.at = r;
    const weights = this.seen.map((_, c) => this.weight(r, c)), most = Math.max(...weights.filter(Number.isFinite), 1e-9);
    this.marked.forEach((one, i) => one.classList.toggle("on", i === r));
    this.targets.forEach((one, i) => one.style.setProperty("--w", Number.isFinite(weights[i]) ? weights[i] / (this.image ? most : 1) : 0));
    const best = [...weights.keys()].sort((a, b) => weights[b] - weights[a]).slice(0, NAMED).filter((c) => weights[c] > 0);
    this.said.textContent = say("looks", this.names[r], best.map((c) => `${this.seen[c]} ${share(weights[c])}`).join(" · "));
  }
}
