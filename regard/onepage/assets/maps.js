// The attention of one answer: which of the model's attentions, which layer; its heads as heat maps, and as tokens that
// light up. It is given weights by name and draws them; it knows no task.

import { el, share, visible } from "./dom.js";
import { Heat, palette } from "./heat.js";
import { say } from "./texts.js";

const GAP = 14; // pixels between maps

export class Maps {
  constructor() {
    this.kind = null; // encoder, decoder, cross or stack
    this.layer = 0;
    this.at = null; // the row that the tokens show
    this.element = el("section", { class: "attention" });
  }

  // `found`: {sequences, seen}; `image`: {canvas, rows, columns, leading} where patches are what is looked at.
  show(found, image) {
    Object.assign(this, { found, image });
    const kinds = this.#kinds();
    if (!kinds.length) return this.element.replaceChildren();
    if (!kinds.includes(this.kind)) this.kind = kinds.includes("cross") ? "cross" : kinds[0];
    const layers = this.#layers(this.kind);
    this.layer = Math.min(this.layer, layers.length - 1);
    const pick = (shown, on, act) => el("button", { type: "button", class: "pick", "aria-pressed": String(on), onclick: () => { act(); this.show(found, image); } }, shown);
    const word = (kind) => say(kind === "stack" && image ? "patches" : kind);
    this.element.replaceChildren(
      el("h2", {}, say("attention")),
      el("div", { class: "row", role: "group", "aria-label": say("sequence") }, kinds.length > 1 ? kinds.map((kind) => pick(word(kind), kind === this.kind, () => { this.kind = kind; this.at = null; })) : el("span", { class: "label" }, word(kinds[0]))),
      el("div", { class: "row", role: "group", "aria-label": say("layer") }, el("span", { class: "label" }, say("layer")), layers.map((_, i) => pick(String(i + 1), i === this.layer, () => { this.layer = i; }))),
      this.tokens = el("div", { class: "tokens-box" }),
      this.readout = el("p", { class: "readout-line", "aria-live": "polite" }, say("attentionHelp")),
      this.maps = el("div", { class: "maps" }),
    );
    this.#draw(layers[this.layer]);
  }

  #layers(kind) {
    const part = kind === "cross" ? "cross" : "attention", stack = kind === "cross" ? "decoder" : kind;
    return this.found.seen.names.filter((name) => name.startsWith(`${stack}.`) && name.endsWith(`.${part}.weights`));
  }

  #kinds() { return ["encoder", "cross", "decoder", "stack"].filter((kind) => this.#layers(kind).length); }

  #draw(name) {
    const { data, shape: [H, T, S] } = this.found.seen.get(name), of = (kind) => this.found.sequences.find((one) => one.kind === kind).tokens.map(visible);
    const queries = of(this.kind === "cross" ? "decoder" : this.kind), keys = this.kind === "cross" ? of("encoder") : queries;
    const room = this.element.clientWidth || 360, least = Math.min(room, Math.max(130, 36 + S * 7)), across = Math.max(1, Math.min(H, 4, Math.floor((room + GAP) / (least + GAP))));
    this.maps.style.setProperty("--across", across);
    this.maps.replaceChildren(...Array.from({ length: H }, (_, h) => {
      const numbers = data.subarray(h * T * S, (h + 1) * T * S);
      const heat = new Heat({ pointed: (row, column) => { this.readout.textContent = say("cell", h + 1, queries[row], keys[column], share(numbers[row * S + column])); } });
      heat.show({ sheet: { numbers, rows: T, columns: S }, rowNames: queries, columnNames: keys, most: 1, room: (room + GAP) / across - GAP - 2, square: true, name: `${say("head", h + 1)}: ${T} × ${S}` });
      return el("div", { class: "map" }, el("h3", { class: "label" }, say("head", h + 1)), heat.element);
    }));
    const mean = Float32Array.from({ length: T * S }, (_, i) => { let sum = 0; for (let h = 0; h < H; h++) sum += data[h * T * S + i] / H; return sum; });
    this.#tokens(queries, keys, mean);
  }

  // Queries to choose from, and keys as bright as the chosen one's weights.
  #tokens(queries, keys, mean) {
    const S = keys.length, lit = keys.map((key) => el("span", { class: "chip" }, key));
    const on = this.image ? this.#image() : null;
    const choose = (t) => {
      this.at = t;
      const row = mean.subarray(t * S, (t + 1) * S), most = Math.max(...row) || 1;
      lit.forEach((chip, s) => { chip.style.setProperty("--w", row[s] / most); chip.title = share(row[s]); });
      buttons.forEach((one, i) => one.setAttribute("aria-pressed", String(i === t)));
      if (on) on(row, most);
    };
    const buttons = queries.map((query, t) => el("button", { type: "button", class: "chip", onpointerenter: () => choose(t), onfocus: () => choose(t), onclick: () => choose(t) }, query));
    this.tokens.replaceChildren(
      el("p", { class: "hint" }, say("tokensHelp")),
      el("div", { class: "chips" }, el("span", { class: "label" }, say("looking")), buttons),
      on ? this.canvas : el("div", { class: "chips" }, el("span", { class: "label" }, say("looked")), lit),
    );
    choose(this.at === null || this.at >= queries.length ? (this.image ? 0 : queries.length - 1) : this.at);
  }

  // Draws weights over the image's patches.
  #image() {
    const { canvas: image, rows, columns, leading } = this.image, side = Math.min(240, Math.floor(240 / columns) * columns);
    this.canvas = el("canvas", { class: "patches", width: side, height: (side * rows) / columns, role: "img", "aria-label": say("image") });
    return (row, most) => {
      const pen = this.canvas.getContext("2d"), step = side / columns, [r, g, b] = palette().plus[255];
      pen.imageSmoothingEnabled = false;
      pen.drawImage(image, 0, 0, side, (side * rows) / columns);
      for (let i = 0; i < rows * columns; i++) {
        pen.fillStyle = `rgba(${r}, ${g}, ${b}, ${(0.85 * row[leading + i]) / most})`;
        pen.fillRect((i % columns) * step, Math.floor(i / columns) * step, step - 1, step - 1);
      }
    };
  }
}
