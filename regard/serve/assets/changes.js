// What the user changes of the model: heads off, temperature, weights, positions; and how it searches.

import { get } from "./api.js";
import { el, refill, short } from "./dom.js";
import { isOff, toggleHead } from "./inside.js";
import { setWeight } from "./number.js";
import { change, emit, isChanged, model, store } from "./state.js";
import { say } from "./texts.js";

const HOTTEST = 20, COLDEST = 0.05; // the slider is logarithmic: -1 … 1 by powers of ten of the root
const toSlider = (t) => Math.log10(t), fromSlider = (x) => Number((10 ** x).toPrecision(2));

export class Changes {
  constructor(element) {
    this.element = element;
    this.opened = new Set();
  }

  show() {
    const { state } = store, chosen = model();
    refill(this.element,
      el("div", { class: "row" }, el("h2", { class: "label" }, say("changes")), el("span", { class: "fill" }),
        isChanged() ? el("button", { type: "button", class: "small", "data-focus": "reset", onclick: () => change({ heads_off: [], temperature: 1, edits: [], shuffle: null }) }, say("reset")) : null),
      this.#applied(state),
      chosen.probabilities ? this.#temperature(state) : null,
      this.#shuffle(state),
      this.#details("heads", this.#heads(chosen)),
      this.#details("weights", this.#weights()),
      chosen.searches || chosen.writes ? this.#details("search", this.#search(state, chosen)) : null,
    );
  }

  #details(name, ...inside) {
    const box = el("details", { open: this.opened.has(name) }, el("summary", { "data-focus": `open-${name}` }, say(name)), inside);
    box.addEventListener("toggle", () => (box.open ? this.opened.add(name) : this.opened.delete(name)));
    return box;
  }

  // Each change that is on, to be undone by itself.
  #applied(state) {
    const part = (kind) => say(kind === "cross" ? "cross" : "self");
    const chips = [
      ...state.heads_off.map((key) => [say("layerHead", say(key[0]), key[1], part(key[2]), key[3]), () => toggleHead(key)]),
      ...state.edits.map((edit) => [`${edit.weight}[${edit.index.join(", ")}] = ${short(edit.value)}`, () => change({ edits: store.state.edits.filter((one) => one !== edit) })]),
    ];
    if (!chips.length) return null;
    return el("ul", { class: "applied" }, chips.map(([text, undo], i) => el("li", {}, el("span", {}, text),
      el("button", { type: "button", class: "small", "data-focus": `undo-${i}`, "aria-label": say("remove", text), onclick: undo }, "✕"))));
  }

  #temperature(state) {
    const shown = el("output", {}, short(state.temperature, 2));
    const slider = el("input", { type: "range", min: toSlider(COLDEST), max: toSlider(HOTTEST), step: 0.05, value: toSlider(state.temperature), "data-focus": "temperature", "aria-valuetext": short(state.temperature, 2) });
    slider.addEventListener("input", () => {
      const exact = fromSlider(Number(slider.value));
      change({ temperature: Math.abs(exact - 1) < 0.06 ? 1 : Math.min(HOTTEST, Math.max(COLDEST, exact)) });
    });
    return el("label", { class: "slider" }, el("span", {}, say("temperature")), slider, shown);
  }

  #shuffle(state) {
    const on = state.shuffle !== null;
    const seed = () => Math.floor(Math.random() * 1e6);
    return el("div", { class: "row" }, el("label", { class: "tick" }, el("input", { type: "checkbox", checked: on, "data-focus": "shuffle", onchange: (event) => change({ shuffle: event.target.checked ? seed() : null }) }), say("shuffle")),
      on ? el("button", { type: "button", class: "small", "data-focus": "again", onclick: () => change({ shuffle: seed() }) }, say("again")) : null);
  }

  // All heads of the model: a row for each layer.
  #heads(chosen) {
    return el("div", {}, el("p", { class: "hint" }, say("headsHelp")), chosen.stacks.flatMap((stack) => stack.kinds.map((kind) => {
      const layers = Array.from({ length: stack.depth }, (_, layer) => el("div", { class: "head-row" }, el("span", { class: "hint" }, say("layer", layer)),
        Array.from({ length: stack.heads }, (_, head) => {
          const key = [stack.name, layer, kind, head], off = isOff(key);
          return el("button", { type: "button", class: "head-box", "aria-pressed": String(off), "data-focus": key.join(), "aria-label": `${say("layerHead", say(stack.name), layer, say(kind === "cross" ? "cross" : "self"), head)}${off ? ` (${say("off")})` : ""}`, onclick: () => toggleHead(key) }, String(head));
        })));
      return el("div", { class: "head-grid" }, el("h3", {}, `${say(stack.name)}, ${say(kind === "cross" ? "cross" : "self")}`), layers);
    })));
  }

  // ---------------------------------------------------------------- weights

  #weights() {
    const name = el("select", { "data-focus": "weight" }), place = el("input", { type: "text", inputmode: "numeric", value: "0, 0", size: 8, "data-focus": "place" });
    const value = el("input", { type: "number", step: "any", value: "0", "data-focus": "value" }), told = el("p", { class: "hint", role: "status" });
    const box = el("form", { class: "weights" }, el("label", {}, el("span", { class: "label" }, say("weight")), name),
      el("div", { class: "row" }, el("label", {}, el("span", { class: "label" }, say("place")), place), el("label", {}, el("span", { class: "label" }, say("value")), value), el("button", { type: "submit", class: "small" }, say("set"))), told);
    const shape = () => store.weights?.find((one) => one.name === name.value)?.shape ?? [];
    const list = () => {
      name.replaceChildren(...(store.weights ?? []).map((one) => el("option", { value: one.name }, `${one.name}  ${one.shape.join("×")}`)));
      if (this.weight) name.value = this.weight;
    };
    name.addEventListener("change", () => {
      this.weight = name.value;
      place.value = shape().map(() => 0).join(", ");
    });
    box.addEventListener("submit", (event) => {
      event.preventDefault();
      const index = place.value.split(/[ ,，]+/).filter(Boolean).map(Number), sizes = shape();
      const fits = index.length === sizes.length && index.every((x, i) => Number.isInteger(x) && x >= 0 && x < sizes[i]);
      told.textContent = fits ? "" : say("badPlace", sizes.length, sizes.join(" × "));
      if (fits && value.value !== "") setWeight(name.value, index, Number(value.value));
    });
    if (store.weights) list();
    else if (store.state) {
      const asked = store.state.model;
      store.weights = [];
      get(`/api/weights/${encodeURIComponent(asked)}`).then((found) => {
        if (store.state.model !== asked) return;
        store.weights = found.weights;
        emit("weights");
      }, (problem) => emit("problem", problem.message));
    }
    return box;
  }

  #search(state, chosen) {
    const number = (label, key, least, most, value, empty) => el("label", { class: "slider" }, el("span", {}, say(label)),
      el("input", { type: "number", min: least, max: most, value: value ?? "", placeholder: empty, "data-focus": key, onchange: (event) => {
        const x = Math.round(Number(event.target.value));
        change({ [key]: event.target.value === "" || !(x >= least) ? (key === "beam" ? 1 : null) : Math.min(most, x) });
      } }));
    return el("div", {}, chosen.searches ? number("beams", "beam", 1, 16, state.beam, "1") : null, chosen.writes ? number("length", "length", 1, chosen.most_tokens ?? 512, state.length, "–") : null);
  }
}
