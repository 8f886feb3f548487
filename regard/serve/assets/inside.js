// What is inside an open box: its points in a row, each with a small image, and the chosen one large, all heads
// side by side or one with its numbers.

import { boxOf, boxes, begin, shownParts } from "./boxes.js";
import { el, refill, roving, short } from "./dom.js";
import { Figure } from "./figure.js";
import { largest, sheets, size } from "./floats.js";
import { Heat, thumbnail, together } from "./heat.js";
import { Looks } from "./looks.js";
import { NumberCard } from "./number.js";
import { axisName, boxName, formula, pointName, sectionName, sectionText } from "./sections.js";
import { change, isChanged, look, store } from "./state.js";
import { of, say } from "./texts.js";
import { SHARES, decode, difference, labels, mostLikely } from "./values.js";

const WHOLE = 300_000; // numbers of a box up to which all of it is asked for
const LIMIT = 2 ** 20; // numbers in one answer
const COMPUTED = 2 ** 23; // numbers that a small image is worth
const TABLE = [40, 24]; // rows and columns of the text alternative
const SEVERAL = ["head", "group", "colour"]; // axes that are shown as sheets

const several = (part) => SEVERAL.includes(part.axes[0]) && part.axes.length === 3;

export class Inside {
  constructor() {
    this.figure = new Figure();
    this.card = new NumberCard();
    this.looks = new Looks();
    this.maps = [];
    this.title = el("div", { class: "open-title" });
    this.points = el("div", { class: "points", role: "group" });
    this.about = el("div", { class: "about" });
    this.grid = el("div", { class: "maps" });
    this.legend = el("p", { class: "legend" }, el("span"), el("i"), el("span"));
    this.readout = el("p", { class: "readout-line", "aria-live": "polite" });
    this.table = el("details", { class: "as-table" }, el("summary"), el("div", { class: "terms-scroll", tabindex: 0, role: "group" }));
    this.table.addEventListener("toggle", () => this.#fillTable());
    roving(this.points, "button");
    const left = el("div", { class: "open-left" }, this.looks.element, this.about, this.grid, this.legend, this.readout, this.table);
    this.element = el("div", {}, this.figure.element, el("section", { class: "open" }, this.title, this.points, el("div", { class: "open-body" }, left, this.card.element)));
  }

  // ---------------------------------------------------------------- what the server is asked for

  box() {
    const all = boxes(shownParts());
    if (!boxOf(all, store.view.open)) store.view.open = begin(all);
    return boxOf(all, store.view.open);
  }

  wanted() {
    if (!store.structure.length) return [];
    const box = this.box();
    if (!box) return [];
    const total = box.parts.reduce((sum, part) => sum + size(part.shape), 0);
    if (total <= WHOLE) return box.parts.map((part) => part.name);
    let left = LIMIT;
    const asked = [];
    const first = box.parts.toSorted((a, b) => Number(b.name === store.view.open) - Number(a.name === store.view.open));
    for (const part of first) {
      const sliced = part.name !== store.view.open && several(part), count = size(part.shape) / (sliced ? part.shape[0] : 1);
      if (count > left || size(part.shape) > COMPUTED) continue; // the server computes it whole, whatever is sent of it
      left -= count;
      asked.push(sliced ? { name: part.name, at: { [part.axes[0]]: Math.min(store.view.head ?? 0, part.shape[0] - 1) } } : part.name);
    }
    return asked;
  }

  // ---------------------------------------------------------------- drawing

  show() {
    if (!store.structure.length) return;
    this.readout.textContent = "";
    this.room = 0; // to be asked for again, once
    const box = this.box(); // which also says what is open at first
    this.figure.show();
    if (!box) return;
    const points = box.parts.map((part) => part.point);
    refill(this.title, el("h2", {}, box.section === "input" ? `${sectionName("embed")} + ${sectionName("position")}` : boxName(box.section, points)),
      el("span", { class: "fact" }, [say(box.stack), box.layer === null ? null : say("layer", box.layer)].filter(Boolean).join(" · ")), this.#windows(), el("p", {}, sectionText(box.section)));
    this.#drawPoints(box, points);
    this.numbers();
  }

  // Several windows of a text: which one.
  #windows() {
    const counted = [...new Set(store.structure.map((part) => part.sequence))];
    const kinds = new Set(counted.map((n) => store.predicted?.original.sequences[n]?.kind));
    if (counted.length < 2 || kinds.size === counted.length) return null;
    const select = el("select", { onchange: (event) => look({ sequence: Number(event.target.value) }) }, counted.map((n) => el("option", { value: n }, String(n + 1))));
    select.value = String(shownParts()[0].sequence);
    return el("label", { class: "tick" }, say("windows"), select);
  }

  #drawPoints(box, points) {
    this.thumbs = new Map();
    const made = box.parts.map((part) => {
      const canvas = el("canvas", { class: "thumb", "aria-hidden": "true" }), on = part.name === store.view.open;
      this.thumbs.set(part.name, canvas);
      return el("button", { type: "button", class: "point", "data-focus": part.name, "aria-pressed": String(on), tabindex: on ? 0 : -1, onclick: () => look({ open: part.name }) },
        canvas, el("span", { class: "point-name" }, pointName(part, points)), el("span", { class: "shape" }, part.shape.join("×")));
    });
    // Queries, keys and values stand side by side; what is made of them comes after.
    refill(this.points, made.flatMap((button, i) => [i && !/^[qkv](_|$)/.test(box.parts[i].point) ? el("span", { class: "then", "aria-hidden": "true" }, "→") : null, button]));
    this.points.setAttribute("aria-label", boxName(box.section, points));
  }

  // New numbers of what is open.
  numbers() {
    const { traced } = store;
    const box = this.box();
    if (!traced || !box) return;
    const here = (answer) => new Map(answer?.parts.filter((part) => part.sequence === box.parts[0].sequence).map((part) => [part.name, part]));
    const original = here(traced.original), changed = here(traced.changed);
    const side = store.view.side, found = new Map();
    const made = (name) => {
      const one = () => decode(original.get(name)?.values), other = () => decode(changed.get(name)?.values);
      if (!traced.changed || side === "original") return one();
      return side === "difference" ? difference(one(), other()) : other();
    };
    this.values = (name) => {
      if (!found.has(name)) found.set(name, made(name));
      return found.get(name);
    };
    this.answer = traced.changed && side !== "original" ? traced.changed : traced.original;
    for (const part of box.parts) {
      const canvas = this.thumbs.get(part.name), values = this.values(part.name);
      const shape = (original.get(part.name) ?? part).shape.join("×");
      const label = canvas.parentElement.querySelector(".shape");
      if (label.textContent !== shape) label.textContent = shape;
      if (values && size(values.shape)) {
        const [sheet] = sheets(values).slice(Math.min(store.view.head ?? 0, sheets(values).length - 1));
        thumbnail(canvas, sheet, part.point === "mask" ? 1 : largest(sheet.numbers));
      }
      else canvas.width = 0;
      canvas.classList.toggle("not-asked", !values || !size(values.shape)); // there are too many numbers
    }
    this.part = original.get(store.view.open) ?? boxOf([box], store.view.open).parts.find((part) => part.name === store.view.open);
    this.#large(box);
    this.looks.show(box, this.values, this.answer);
    this.card.refresh();
  }

  #large(box) {
    const { part } = this, values = this.values(part.name);
    const count = several(part) ? part.shape[0] : 1;
    const head = several(part) && store.view.head !== null && store.view.head < count ? store.view.head : null;
    this.#controls(box, count, head);
    if (!values || !size(values.shape)) {
      this.grid.replaceChildren(el("p", { class: "hint" }, say("tooMany")));
      this.legend.hidden = true;
      this.maps = [];
      return;
    }
    this.legend.hidden = false;
    const { sheets: all, columns: places } = mostLikely(sheets(values), part.axes.at(-1)), one = all.length === 1 && count > 1; // only one head of many was sent
    const shown = head === null ? (one ? [store.view.head ?? 0] : [...all.keys()]) : [head];
    const row = part.axes.at(-2) ?? null, column = part.axes.at(-1);
    const given = labels(column, part, this.answer);
    const names = { rows: part.axes.length > 1 ? labels(row, part, this.answer) : null, columns: places ? places.map((c) => given?.[c] ?? String(c)) : given, places };
    const isShare = SHARES.has(part.point) && store.view.side !== "difference";
    const most = part.point === "mask" ? 1 : Math.max(...all.map((sheet) => largest(sheet.numbers)));
    const square = ["key", "memory"].includes(column) && part.axes.length > 1;
    const room = (this.room ||= this.grid.clientWidth) || 600, wide = all[0].columns;
    const least = square ? 190 : Math.max(260, Math.min(wide * 3, room)), fit = Math.max(1, Math.min(shown.length, 4, Math.floor(room / least)));
    const across = Math.ceil(shown.length / Math.ceil(shown.length / fit)); // rows of one length
    const [left, ramp, right] = this.legend.children;
    [left.textContent, right.textContent, ramp.className] = [isShare ? "0" : short(-most, 3), short(most, 3), isShare ? "ramp share" : "ramp"];
    this.#keep(shown.length);
    this.grid.style.setProperty("--across", across);
    shown.forEach((which, i) => {
      const map = this.maps[i];
      map.index = which;
      const title = several(part) ? `${axisName(part.axes[0])} ${which}` : pointName(part);
      map.title.textContent = several(part) ? title : "";
      this.#toggle(map, box, which);
      map.heat.show({ sheet: all[one ? 0 : which], rowNames: names.rows, columnNames: names.columns, most, square, room: room / across - 14, tall: shown.length === 1 ? 460 : 300,
        name: say("map", `${part.name}${several(part) ? ` ${title}` : ""}`, all[0].rows, all[0].columns) });
    });
    this.names = names;
    this.#fillTable();
  }

  // As many maps as are shown; those that were there stay, with the focus in them.
  #keep(count) {
    while (this.maps.length < count) {
      const map = { title: el("span", { class: "map-title" }), foot: el("span", {}) };
      map.heat = new Heat({ pointed: (r, c) => this.#pointed(map, r, c, false), chosen: (r, c) => this.#pointed(map, r, c, true) });
      map.element = el("div", { class: "map" }, el("div", { class: "map-top" }, map.title, map.foot), map.heat.element);
      this.maps.push(map);
    }
    this.maps.length = count;
    if (this.grid.children.length !== count || this.grid.firstChild !== this.maps[0]?.element) this.grid.replaceChildren(...this.maps.map((map) => map.element));
  }

  // Turn a head off where it is seen.
  #toggle(map, box, head) {
    if (!["attention", "cross"].includes(box.section) || this.part.axes[0] !== "head") return map.foot.replaceChildren();
    const key = [box.stack, box.layer, box.section, head], off = isOff(key);
    const label = say(off ? "turnOn" : "turnOff", head);
    refill(map.foot, el("button", { type: "button", class: "small", "data-focus": "off", title: label, "aria-label": label, "aria-pressed": String(off), onclick: () => toggleHead(key) }, off ? `${say("off")} ✕` : "✕"));
    map.element.classList.toggle("is-off", off);
  }

  #controls(box, count, head) {
    const { part } = this;
    const button = (text, on, act, label) => el("button", { type: "button", class: "pick", "data-focus": text, "aria-pressed": String(on), "aria-label": label, onclick: act }, text);
    const heads = count > 1 ? el("div", { class: "picks", role: "group", "aria-label": axisName(part.axes[0]) }, el("span", { class: "label" }, axisName(part.axes[0])),
      button(say("all"), head === null, () => look({ head: null })),
      Array.from({ length: count }, (_, i) => button(String(i), head === i, () => look({ head: i }), `${axisName(part.axes[0])} ${i}`))) : null;
    const sides = isChanged() ? el("div", { class: "picks", role: "group", "aria-label": say("side") },
      ["original", "changed", "difference"].map((side) => button(say(side), store.view.side === side, () => look({ side })))) : null;
    refill(this.about, el("p", { class: "made" }, el("code", {}, part.name), ` ${of(part.title)} = `, formula(part.formula)), heads, sides);
  }

  // ---------------------------------------------------------------- one number

  #pointed(map, r, c, keep) {
    const { part, names } = this, { sheet } = map.heat;
    const value = sheet.numbers[r * sheet.columns + c];
    const where = several(part) ? `${axisName(part.axes[0])} ${map.index}: ` : "";
    const row = part.axes.length > 1 ? `${names.rows?.[r] ?? r} → ` : "";
    this.readout.textContent = `${where}${row}${names.columns?.[c] ?? c} = ${Number.isNaN(value) ? say("forbidden") : short(value, 6)}`;
    const place = names.places?.[c] ?? c;
    const index = part.axes.length === 1 ? [place] : several(part) ? [map.index, r, place] : [r, place];
    const which = store.traced?.changed && store.view.side !== "original" ? "changed" : "original";
    const asked = { part: part.name, index, sequence: part.sequence, which };
    if (keep) this.card.keep(asked);
    else this.card.point(asked);
    if (part.axes.includes("query") && ["key", "memory"].includes(part.axes.at(-1))) this.looks.mark(r);
  }

  #fillTable() {
    this.table.firstChild.textContent = say("table");
    const space = this.table.lastChild;
    space.setAttribute("aria-label", say("table"));
    if (!this.table.open || !this.maps.length) return space.replaceChildren();
    const { sheet } = this.maps[0].heat, [rows, columns] = [Math.min(sheet.rows, TABLE[0]), Math.min(sheet.columns, TABLE[1])];
    const names = this.names, count = (n) => [...Array(n).keys()];
    const cut = rows < sheet.rows || columns < sheet.columns ? ` (${say("tableCut", rows, columns)})` : "";
    space.replaceChildren(el("table", { class: "terms" }, el("caption", {}, `${this.part.name} ${this.maps[0].title.textContent}${cut}`),
      el("thead", {}, el("tr", {}, el("td"), count(columns).map((c) => el("th", { scope: "col" }, names.columns?.[c] ?? String(c))))),
      el("tbody", {}, count(rows).map((r) => el("tr", {}, el("th", { scope: "row" }, names.rows?.[r] ?? String(r)),
        count(columns).map((c) => el("td", {}, short(sheet.numbers[r * sheet.columns + c]))))))));
  }

  // The open maps as one image.
  image() {
    return together(this.maps.map((map) => ({ canvas: map.heat.canvas, name: map.title.textContent })), this.part?.name ?? "");
  }
}

export const isOff = (key) => store.state.heads_off.some((one) => one.join() === key.join());

export function toggleHead(key) {
  const others = store.state.heads_off.filter((one) => one.join() !== key.join());
  change({ heads_off: others.length < store.state.heads_off.length ? others : [...others, key] });
}
