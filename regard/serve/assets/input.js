// What the user gives the model: a text, two, a dialogue, or an image.

import { el } from "./dom.js";
import { Pad, fileUrl } from "./pad.js";
import { change, emit, model, store } from "./state.js";
import { say } from "./texts.js";

const SHOWN = 26; // letters of an example

export class Input {
  constructor(element) {
    this.element = element;
  }

  show() {
    const chosen = model(), { takes } = chosen;
    const make = { text: () => this.#text(takes), pair: () => this.#pair(takes), image: () => this.#image(takes), dialogue: () => this.#dialogue() }[takes.kind];
    this.element.replaceChildren(...make(), this.#examples(chosen));
  }

  #give(input) {
    change({ input, ...(store.state.forced.length ? { forced: [] } : {}) });
  }

  #field(label, value, act, rows = 2) {
    const area = el("textarea", { rows, spellcheck: "false", autocomplete: "off", autocapitalize: "off", value });
    area.addEventListener("input", (event) => { if (!event.isComposing) act(area.value); });
    area.addEventListener("compositionend", () => act(area.value));
    return [el("label", { class: "field" }, el("span", { class: "label" }, label), area), area];
  }

  #text(takes) {
    const [field, area] = this.#field(say("input"), store.state.input.text, (text) => this.#give({ kind: "text", text }));
    if (!takes.hole) return [field];
    const hide = el("button", { type: "button", class: "small", onclick: () => {
      area.setRangeText(takes.hole, area.selectionStart, area.selectionEnd, "end");
      area.focus();
      this.#give({ kind: "text", text: area.value });
    } }, say("hide", takes.hole));
    return [field, hide];
  }

  #pair(takes) {
    const asks = takes.names?.[0] === "question";
    const set = (key) => (text) => this.#give({ ...store.state.input, [key]: text });
    return [this.#field(say(asks ? "question" : "first"), store.state.input.first, set("first"))[0],
      this.#field(say(asks ? "context" : "second"), store.state.input.second, set("second"), asks ? 5 : 2)[0]];
  }

  #dialogue() {
    const turns = () => store.state.input.turns;
    const set = (at, patch) => this.#give({ kind: "dialogue", turns: turns().map((turn, i) => (i === at ? { ...turn, ...patch } : turn)) });
    const resize = (to) => { this.#give({ kind: "dialogue", turns: to }); this.show(); };
    const fields = turns().map((turn, i) => {
      const role = el("select", { "aria-label": `${say("turn", i + 1)}: ${say("role")}`, onchange: (event) => set(i, { role: event.target.value }) },
        ["user", "assistant", ...(i ? [] : ["system"])].map((name) => el("option", { value: name }, say(name))));
      role.value = turn.role;
      return el("div", { class: "turn" }, role, this.#field(say("turn", i + 1), turn.content, (content) => set(i, { content }))[0]);
    });
    const next = turns().at(-1)?.role === "user" ? "assistant" : "user";
    return [...fields, el("div", { class: "row" }, el("button", { type: "button", class: "small", onclick: () => resize([...turns(), { role: next, content: "" }]) }, say("addTurn")),
      turns().length > 1 ? el("button", { type: "button", class: "small", onclick: () => resize(turns().slice(0, -1)) }, say("removeTurn")) : null)];
  }

  // ---------------------------------------------------------------- images

  #image(takes) {
    const pad = new Pad(takes, (data) => { if (data) this.#give({ kind: "image", data }); });
    const open = async (url, tell, name = "") => {
      try { await pad.open(url, tell); } catch { emit("problem", say("notImage", name)); }
    };
    const take = async (file) => { if (file) await open(await fileUrl(file), true, file.name); };
    const file = el("input", { type: "file", accept: "image/*", class: "unseen", id: "file", onchange: (event) => take(event.target.files[0]) });
    const area = el("div", { class: "field drop" }, el("span", { class: "label" }, say("draw")), pad.element,
      el("div", { class: "row" }, el("button", { type: "button", class: "small", onclick: () => pad.clear() }, say("clear")), file, el("label", { class: "button small", for: "file" }, say("upload"))));
    area.addEventListener("dragover", (event) => { event.preventDefault(); area.classList.add("over-it"); });
    area.addEventListener("dragleave", () => area.classList.remove("over-it"));
    area.addEventListener("drop", (event) => {
      event.preventDefault();
      area.classList.remove("over-it");
      take(event.dataTransfer.files[0]);
    });
    if (store.state.input.data) open(store.state.input.data, false);
    else queueMicrotask(() => pad.begin()); // so that there is something to look at
    this.pad = pad;
    return [area];
  }

  #examples(chosen) {
    if (!chosen.examples.length) return el("div");
    const shown = chosen.examples.map((example) => {
      const text = example.text ?? example.first ?? example.turns?.at(-1)?.content;
      const inside = example.data ? el("img", { src: example.data, alt: `${say("examples")} ${chosen.examples.indexOf(example) + 1}`, width: 32, height: 32 }) : text.length > SHOWN ? `${text.slice(0, SHOWN - 1)}…` : text;
      return el("button", { type: "button", class: "example", title: text, onclick: () => { this.#give(example); this.show(); } }, inside);
    });
    return el("div", { class: "examples", role: "group", "aria-label": say("examples") }, shown);
  }
}
