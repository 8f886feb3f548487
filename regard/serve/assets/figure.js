// The whole model from left to right, as the paper's figure has it (Vaswani et al., arXiv 1706.03762, figure 1,
// turned on its side): a lane for each stack, one layer of it open, the others as numbers. Drawn as SVG, with
// a button over each box.

import { boxOf, boxes, inLayer, main, shownParts } from "./boxes.js";
import { el, refill, svg } from "./dom.js";
import { palette } from "./heat.js";
import { boxName, sectionName } from "./sections.js";
import { look, store } from "./state.js";
import { lang } from "./shell.js";
import { say } from "./texts.js";

const BOX = 66, NARROW = 42, GAP = 10, PAD = 9, CLOSED = 26, TALL = 48, FRAME = 32, LANE = FRAME + TALL + 16, BETWEEN = 22;

// ---------------------------------------------------------------- where everything stands

function lane(all, stack, openLayer, top) {
  const mine = all.filter((box) => box.stack === stack);
  const of = (section) => mine.find((box) => box.layer === null && box.section === section);
  const placed = [], frames = [];
  const middle = top + FRAME + TALL / 2;
  let x = 1;
  const put = (box, wide, tall = TALL, y = middle - tall / 2) => {
    if (!box) return null;
    const at = { box, x, y, wide, tall, middle: y + tall / 2 };
    placed.push(at);
    x += wide + GAP;
    return at;
  };
  const embed = of("embed"), position = of("position"), added = position?.parts.some((part) => part.point === "added");
  if (embed && position) {
    const first = put(embed, BOX + 10, 28, middle - 33);
    x = first.x;
    put(position, BOX + 10, 28, middle + 5);
  } else put(embed, BOX + 10);
  if (of("input")) put(of("input"), added ? 28 : 44, 28);
  const layers = [...new Set(mine.map((box) => box.layer).filter((layer) => layer !== null))];
  for (const layer of layers) {
    const inside = mine.filter((box) => box.layer === layer && box.section !== "block");
    const begin = x;
    if (layer === openLayer) {
      x += PAD;
      inside.forEach((box) => put(box, widthOf(box)));
      x += PAD;
      frames.push({ layer, x: begin, y: top + 2, wide: x - begin - GAP, tall: FRAME + TALL + 8, open: true });
    } else {
      frames.push({ layer, x: begin, y: middle - TALL / 2, wide: CLOSED, tall: TALL, open: false });
      x += CLOSED + 5;
      if (layer + 1 === openLayer || layer === layers.at(-1)) x += GAP - 5;
    }
  }
  const output = of("output");
  if (output && output.parts.at(-1).formula !== "residual") put(output, 48);
  put(of("head"), BOX + 8);
  return { stack, placed, frames, middle, top, wide: x - GAP + 1, added };
}

// Norms and sums stand between what does the work.
function widthOf(box) {
  if (!box.section.endsWith("_residual")) return BOX;
  return box.parts.some((part) => part.point === "sum") && box.parts.some((part) => part.point.startsWith("normed")) ? BOX - 8 : NARROW;
}

export function layout() {
  const all = boxes(shownParts());
  const opened = boxOf(all, store.view.open);
  const stacks = [...new Set(all.map((box) => box.stack))];
  const lanes = stacks.map((stack, i) => {
    const depth = Math.max(...all.filter((box) => box.stack === stack).map((box) => box.layer ?? 0));
    const layer = opened?.stack === stack && opened.layer !== null ? opened.layer : Math.min(store.layers?.[stack] ?? 0, depth);
    store.layers = { ...store.layers, [stack]: layer };
    return lane(all, stack, layer, 20 + i * (LANE + BETWEEN));
  });
  return { all, lanes, opened, wide: Math.max(...lanes.map((one) => one.wide)), tall: lanes.length * (LANE + BETWEEN) + 8 };
}

// ---------------------------------------------------------------- lines

const way = (d, colours, more = {}) => svg("path", { d, fill: "none", stroke: colours.soft, "stroke-width": 1.25, ...more });
const arrow = (x1, y1, x2, y2, colours) => way(`M${x1} ${y1}L${x2} ${y2}`, colours, { "marker-end": "url(#tip)" });

function joins(one, colours) {
  const drawn = [], row = one.placed.filter((at) => !["embed", "position"].includes(at.box.section));
  const before = one.placed.find((at) => at.box.section === "embed"), position = one.placed.find((at) => at.box.section === "position");
  const stops = [...row.map((at) => ({ from: at.x, to: at.x + at.wide })),
    ...one.frames.filter((frame) => !frame.open).map((frame) => ({ from: frame.x, to: frame.x + frame.wide }))].sort((a, b) => a.from - b.from);
  for (let i = 1; i < stops.length; i++) {
    if (stops[i].from - stops[i - 1].to > 6) drawn.push(arrow(stops[i - 1].to, one.middle, stops[i].from - 1, one.middle, colours));
    else drawn.push(way(`M${stops[i - 1].to} ${one.middle}H${stops[i].from}`, colours));
  }
  const into = stops[0]?.from ?? 0;
  for (const at of [before, one.added ? position : null]) {
    if (at) drawn.push(at.middle === one.middle ? arrow(at.x + at.wide, at.middle, into - 1, one.middle, colours)
      : way(`M${at.x + at.wide} ${at.middle}L${into - 1} ${one.middle + (at.middle < one.middle ? -4 : 4)}`, colours, { "marker-end": "url(#tip)" }));
  }
  return drawn;
}

// What is added again goes over the box that changes it.
function skips(one, colours) {
  const frame = one.frames.find((some) => some.open);
  if (!frame) return [];
  return one.placed.flatMap((at) => {
    const sum = at.box.parts.find((part) => part.point === "sum");
    if (!sum || at.box.layer !== frame.layer) return [];
    const x = one.placed.find((other) => other.box.layer === frame.layer && other !== at && other.box.parts.some((part) => part.name === sum.sources[0]));
    const begin = x ? x.x + x.wide + 4 : frame.x + 6, up = one.middle - TALL / 2 - 8, end = at.x + at.wide / 2;
    return [way(`M${begin} ${one.middle}V${up + 6}Q${begin} ${up} ${begin + 6} ${up}H${end - 6}Q${end} ${up} ${end} ${up + 6}V${one.middle - TALL / 2 - 1}`, colours, { "marker-end": "url(#tip)", "stroke-dasharray": "3 2.5" })];
  });
}

// The encoder's output goes into each layer of the decoder; the open one's is drawn.
function memory(lanes, colours) {
  const [from, to] = lanes;
  const cross = to?.placed.find((at) => at.box.section === "cross");
  if (!cross) return [];
  const begin = from.wide, between = to.top - 6, end = cross.x + cross.wide / 2;
  return [way(`M${begin} ${from.middle}h8q6 0 6 6V${between - 6}q0 6 -6 6H${end + 6}q-6 0 -6 6V${to.middle - TALL / 2 - 1}`, colours, { "marker-end": "url(#tip)", stroke: colours.accent })];
}

// ---------------------------------------------------------------- drawing

const lines = (text) => {
  if (lang() === "zh") return text.length > 5 ? [text.slice(0, Math.ceil(text.length / 2)), text.slice(Math.ceil(text.length / 2))] : [text];
  const cut = text.includes("-") ? text.indexOf("-") + 1 : text.length > 9 ? text.lastIndexOf(" ") : -1;
  return cut > 0 ? [text.slice(0, cut).trim(), text.slice(cut).trim()] : [text];
};

function words(x, y, text, colours, more = {}) {
  const rows = lines(text);
  return rows.map((row, i) => svg("text", { x, y: y + (i - (rows.length - 1) / 2) * 14 + 4, "text-anchor": "middle", "font-size": 12, fill: colours.ink, ...more }, row));
}

const name = (box) => boxName(box.section, box.parts.map((part) => part.point));

export function draw({ lanes, opened, wide, tall }) {
  const colours = palette();
  const drawing = svg("svg", { xmlns: "http://www.w3.org/2000/svg", width: wide + 18, height: tall, viewBox: `0 0 ${wide + 18} ${tall}`, "font-family": "system-ui, sans-serif", "aria-hidden": "true" },
    svg("defs", {}, svg("marker", { id: "tip", viewBox: "0 0 6 6", refX: 5.5, refY: 3, markerWidth: 5.5, markerHeight: 5.5, orient: "auto" },
      svg("path", { d: "M0 0L6 3L0 6z", fill: colours.soft }))));
  for (const one of lanes) {
    drawing.append(svg("text", { x: 1, y: one.top + 10, "font-size": 12, "font-weight": 600, fill: colours.soft }, say(one.stack)));
    for (const frame of one.frames) {
      const { x, y, wide: w, tall: h } = frame;
      drawing.append(svg("rect", { x, y, width: w, height: h, rx: 8, fill: frame.open ? colours.panel : colours.paper, stroke: colours.line }));
      if (frame.open) drawing.append(svg("text", { x: x + 10, y: y + 15, "font-size": 11, fill: colours.soft }, say("layer", frame.layer)));
      else drawing.append(...words(x + w / 2, one.middle, String(frame.layer), colours, { fill: colours.soft }));
    }
    drawing.append(...joins(one, colours), ...skips(one, colours));
    for (const { box, x, y, wide: w, tall: h } of one.placed) {
      const on = box === opened, round = box.section === "input" && one.added;
      drawing.append(svg("rect", { x, y, width: w, height: h, rx: round ? h / 2 : 6, fill: on ? colours.accent : colours.paper, stroke: on ? colours.accent : colours.soft }),
        ...words(x + w / 2, y + h / 2, box.section === "input" && !one.added ? "x" : name(box), colours, { fill: on ? colours.paper : colours.ink, ...(round ? { "font-size": 16 } : {}) }));
    }
  }
  drawing.append(...memory(lanes, colours));
  return drawing;
}

export class Figure {
  constructor() {
    this.element = el("div", { class: "figure-scroll" });
  }

  show() {
    if (!store.structure.length) return;
    const plan = layout();
    const press = (key, label, { x, y, wide, tall }, act, on) => el("button", { type: "button", class: "over", "data-key": key, "data-focus": key, "aria-label": label, "aria-pressed": on === undefined ? null : String(on), title: label,
      vars: { left: `${x}px`, top: `${y}px`, width: `${wide}px`, height: `${tall}px` }, onclick: act });
    const over = plan.lanes.flatMap((one) => {
      const closed = one.frames.filter((frame) => !frame.open).map((frame) => ({ x: frame.x, made: press(`${one.stack}.${frame.layer}`, `${say(one.stack)}: ${say("openLayer", frame.layer)}`, frame,
        () => look({ open: inLayer(plan.all, store.view.open ?? "", one.stack, frame.layer) })) }));
      const open = one.placed.map((at) => ({ x: at.x, made: press(at.box.key, [say(one.stack), at.box.layer === null ? "" : say("layer", at.box.layer), at.box.section === "input" ? sectionName("embed") + " + " + sectionName("position") : name(at.box)].filter(Boolean).join(", "), at,
        () => look({ open: main(at.box).name }), at.box === plan.opened) }));
      return [...closed, ...open].sort((a, b) => a.x - b.x).map(({ made }) => made);
    });
    const before = this.element.scrollLeft;
    refill(this.element, el("div", { class: "figure", vars: { width: `${plan.wide + 18}px`, height: `${plan.tall}px` } }, draw(plan), over));
    const at = plan.lanes.flatMap((one) => one.placed).find((one) => one.box === plan.opened), room = this.element.clientWidth;
    const moved = this.open !== plan.opened?.key && at && (at.x < before || at.x + at.wide > before + room);
    this.element.scrollLeft = moved ? at.x + at.wide / 2 - room / 2 : before;
    this.open = plan.opened?.key;
  }

  // The drawing by itself, to be saved.
  file() {
    const drawing = draw(layout());
    const colours = palette();
    drawing.prepend(svg("rect", { width: "100%", height: "100%", fill: colours.paper }));
    return new Blob([new XMLSerializer().serializeToString(drawing)], { type: "image/svg+xml" });
  }
}
