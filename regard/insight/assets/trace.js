// A trace: heat maps of every attention, and every value in the order of the computation, each with where it comes from.

import { el, find, later, short } from "./dom.js";
import { floats, largest, sheets, size } from "./floats.js";
import { Heat } from "./heat.js";
import { onChange } from "./page.js";
import { fill, lang } from "./shell.js";
import { numberTable } from "./sums.js";

const about = JSON.parse(find("#trace").textContent);
const stored = floats(find("#numbers").textContent, about.half);
const say = (en, zh) => fill([en, zh]);
const MOST_CELLS = 800; // of a table
const drawn = new Map(); // what is on the page, to be drawn again in another language or theme

// A text that follows the language of the page.
const worded = (tag, [en, zh], options = {}) => el(tag, { ...options, "data-en": en, "data-zh": zh }, say(en, zh));
const paragraph = (text) => el("p", {}, text);

const labels = (entry, axis) => about.labels[entry.labels[axis]];
for (const { entries } of about.sequences) for (const entry of entries) entry.numbers = stored.subarray(entry.at, entry.at + size(entry.shape));

function rowOf(entry, s, r) {
  const { columns, numbers } = sheets(entry)[s];
  return numbers.subarray(r * columns, (r + 1) * columns);
}

const { axes: AXES, formulas: FORMULAS } = about.words; // insight/names.py
const bothOf = (entry) => FORMULAS[entry.formula] ?? [entry.formula, entry.formula];
const formula = (entry) => say(...bothOf(entry));
const axisName = (name) => say(...(AXES[name] ?? [name, name]));
const nameAt = (entry, axis, place) => labels(entry, axis)[place] ?? String(place);

function describe(entry, s, r, c) {
  const two = entry.shape.length;
  const head = two === 3 ? `${axisName(entry.axes[0])} ${nameAt(entry, 0, s)}: ` : "";
  const row = two > 1 ? `${nameAt(entry, two - 2, r)} → ` : "";
  return `${head}${row}${nameAt(entry, two - 1, c)} = ${short(rowOf(entry, s, r)[c], about.half ? 4 : 8)}`;
}

// ---------------------------------------------------------------- where a number comes from

// `rows`: [name, numbers].
const table = (columns, rows, label) => numberTable({ label, columns, rows, write: (x) => short(x) });

// q · k, scaled, and what the softmax makes of the row.
function sumOf(sequence, entry, s, r, c) {
  const place = entry.name.replace(/\.[^.]*$/, "");
  const get = (point) => sequence.entries.find((other) => other.name === `${place}.${point}`);
  const [q, k, v, scores, weights, mask] = ["q", "k", "v", "scores", "weights", "mask"].map(get);
  const box = el("div", {}, paragraph(describe(entry, s, r, c)));
  if (!q || !k || !scores || !weights) return box;
  const head = labels(q, 0)[s], groups = labels(k, 0);
  const g = k.shape[0] === q.shape[0] ? s : Math.min(groups.length - 1, Math.floor((s * k.shape[0]) / q.shape[0]));
  const queries = rowOf(q, s, r), keys = rowOf(k, g, c);
  const products = Array.from(queries, (x, i) => x * keys[i]);
  const sum = products.reduce((a, b) => a + b, 0);
  const score = rowOf(scores, s, r)[c], weight = rowOf(weights, s, r)[c];
  const from = nameAt(scores, 1, r), to = nameAt(scores, 2, c);
  box.append(table(products.map((_, i) => String(i)),
    [[`q ${from}`, queries], [`k ${to}`, keys], ["q · k", products]],
    say(`head ${head}: query of ‘${from}’ times key of ‘${to}’, number by number`, `头 ${head}：“${from}”的查询乘以“${to}”的键，逐维相乘`)));
  if (scores.formula.startsWith("q kᵀ")) {
    const bias = /\+ bias/.test(scores.formula) ? say(" + bias", " + 偏置") : "";
    const scale = scores.formula.match(/· ([\d.e+-]+)/)?.[1] ?? "1";
    box.append(paragraph(`${say("score", "分数")} = ${scale} · Σ q·k${bias} = ${scale} · ${short(sum)}${bias} = ${short(score)}`));
  }
  const line = rowOf(scores, s, r), seen = mask ? rowOf(mask, 0, r) : line.map(() => 1);
  const allowed = [...line.keys()].filter((i) => seen[i] && Number.isFinite(line[i]));
  const top = Math.max(...allowed.map((i) => line[i]));
  const total = allowed.reduce((a, i) => a + Math.exp(line[i] - top), 0);
  box.append(paragraph(seen[c]
    ? `${say("weight", "权重")} = e^(${short(score)} − ${short(top)}) / ${short(total)} = ${short(weight)}`
    : say("The mask forbids this key: the weight is 0.", "掩码不允许看这个键：权重为 0。")));
  if (v) {
    const values = rowOf(v, g, c);
    box.append(table([...values.keys()].map(String), [[`v ${to}`, values], [say("weight · v", "权重 · v"), Array.from(values, (x) => x * weight)]],
      say("what that value vector contributes", "该值向量的贡献")));
  }
  return box;
}

// ---------------------------------------------------------------- heads side by side

function choice(words, options, chosen) {
  const select = el("select", {}, options.map(([value, ...both]) => worded("option", both, { value })));
  if (chosen !== undefined) select.value = chosen;
  return [el("label", {}, worded("span", words), select), select];
}

const isScore = (entry) => /\.(attention|cross)\.(weights|scores|mask)$/.test(entry.name);

// Where heat maps are drawn, and below them what is pointed at and what is made of what is chosen.
function mapPlaces() {
  return [el("div", { class: "maps" }), el("p", { class: "pointed", "aria-live": "polite" }), el("div", { class: "worked" })];
}

// `explain`: what is shown of a number that is chosen.
function drawMap([maps, pointed, below], entry, explain) {
  const depth = entry.shape.length, pages = sheets(entry), { columns } = pages[0];
  const square = depth > 1 && ["key", "memory"].includes(entry.axes.at(-1)), room = maps.clientWidth || 600;
  const least = square ? 190 : Math.max(260, Math.min(columns * 3, room)), across = Math.max(1, Math.min(pages.length, 4, Math.floor(room / least)));
  const named = (axis) => (axis >= 0 && labels(entry, axis).length ? labels(entry, axis) : null);
  maps.style.setProperty("--across", across);
  maps.replaceChildren(...pages.map((sheet, s) => {
    const title = depth === 3 ? `${axisName(entry.axes[0])} ${nameAt(entry, 0, s)}` : null;
    const heat = new Heat({ pointed: (r, c) => { pointed.textContent = describe(entry, s, r, c); }, chosen: (r, c) => below.replaceChildren(explain(s, r, c)) });
    heat.show({ sheet, rowNames: named(depth - 2), columnNames: named(depth - 1), most: largest(entry.numbers), room: room / across - 14, square, name: [entry.name, title].filter(Boolean).join(", ") });
    return el("div", { class: "map" }, title && el("h3", {}, title), heat.element);
  }));
}

function heads(sequence, place) {
  const all = sequence.entries.filter((entry) => /\.blocks\.\d+\./.test(entry.name) && isScore(entry));
  if (!all.length) return;
  const unique = (pattern) => [...new Set(all.map((entry) => entry.name.match(pattern)[1]))];
  const layers = unique(/blocks\.(\d+)\./), kinds = unique(/\.(attention|cross)\.[a-z]+$/);
  const called = { attention: ["self-attention", "自注意力"], cross: ["cross-attention", "交叉注意力"] };
  const points = [["weights", "weights", "权重"], ["scores", "scores, before the softmax", "分数（softmax 之前）"], ["mask", "mask: the keys that are allowed", "掩码：允许关注的键"]];
  const [layerBox, layer] = choice(["layer", "层"], layers.map((x) => [x, x, x]), layers.at(-1));
  const [kindBox, kind] = choice(["part", "部分"], kinds.map((x) => [x, ...called[x]]), kinds.at(-1));
  const recorded = points.filter(([name]) => all.some((entry) => entry.name.endsWith(`.${name}`)));
  const [pointBox, point] = choice(["show", "显示"], recorded);
  const controls = el("div", { class: "controls" }, layerBox, kinds.length > 1 && kindBox, recorded.length > 1 && pointBox);
  const places = mapPlaces(), [maps, pointed, worked] = places;
  place.append(controls, ...places);
  const show = () => {
    const entry = all.find((one) => one.name.endsWith(`.blocks.${layer.value}.${kind.value}.${point.value}`));
    worked.replaceChildren();
    pointed.textContent = entry ? `${entry.name}: ${say(...entry.title)} = ${formula(entry)}` : say("not recorded", "没有记录");
    if (entry) drawMap(places, entry, (s, r, c) => sumOf(sequence, entry, s, r, c));
    else maps.replaceChildren();
  };
  for (const select of [layer, kind, point]) select.addEventListener("change", show);
  drawn.set(maps, show);
  show();
}

// ---------------------------------------------------------------- every value, in order

function stage(name) {
  const block = name.match(/\.blocks\.(\d+)\./);
  if (block) return [`layer ${block[1]}`, `第 ${block[1]} 层`];
  if (/^head\./.test(name)) return ["from vectors to the prediction", "从向量到预测"];
  if (/\.output$/.test(name)) return ["output of the stack", "模型主体的输出"];
  return ["embedding and position", "嵌入与位置"];
}

// What a value is made of; what it comes from is a link to where that stands.
function made(entry, index) {
  const sources = entry.sources.flatMap((source, i) => {
    const target = document.getElementById(`value-${index}-${source}`);
    const follow = (event) => {
      event.preventDefault();
      for (let up = target; up; up = up.parentElement?.closest("details")) up.open = true;
      target.scrollIntoView({ block: "start" });
    };
    return [i ? ", " : say("; from ", "；来自 "), target ? el("a", { href: `#${CSS.escape(target.id)}`, onclick: follow }, source) : source];
  });
  return el("p", { class: "made" }, `${say(...entry.title)} = ${formula(entry)}`, sources);
}

function value(sequence, index, entry) {
  const [en, zh] = [0, 1].map((i) => {
    const sizes = entry.axes.map((axis, at) => `${i ? AXES[axis]?.[1] ?? axis : axis} ${entry.shape[at]}`).join(" × ");
    return `${entry.title[i].split(/: |：/).at(-1)} · ${sizes} · ${bothOf(entry)[i]}`;
  });
  const inside = el("div"), code = el("code", {}, entry.name.replace(/^.*\.blocks\.\d+\./, ""));
  const box = el("details", { id: `value-${index}-${entry.name}` }, el("summary", {}, code, " ", worded("span", [en, zh], { class: "shape" })), inside);
  const show = () => {
    if (!box.open) return;
    const places = mapPlaces();
    inside.replaceChildren(made(entry, index), ...places);
    drawMap(places, entry, (s, r, c) => (isScore(entry) ? sumOf(sequence, entry, s, r, c) : lines(entry, s, r)));
    if (!isScore(entry)) places.at(-1).replaceChildren(lines(entry, 0, 0));
  };
  box.addEventListener("toggle", show);
  drawn.set(box, show);
  return box;
}

// The numbers of one sheet, or of the row that was chosen where there are many.
function lines(entry, s, r) {
  const [width, height = 1] = entry.shape.toReversed(), two = entry.shape.length, all = height * width <= MOST_CELLS;
  const shown = all ? [...Array(height).keys()] : [r];
  const name = two === 3 ? ` · ${axisName(entry.axes[0])} ${nameAt(entry, 0, s)}` : "";
  const more = all ? "" : say(" (click in the image for another row)", "（点击图中其他行可换一行）");
  return table(Array.from({ length: width }, (_, i) => nameAt(entry, two - 1, i)),
    shown.map((i) => [two > 1 ? nameAt(entry, two - 2, i) : "", rowOf(entry, s, i)]), `${entry.name}${name}${more}`);
}

function layers(sequence, index, place) {
  const groups = new Map();
  for (const entry of sequence.entries) {
    const words = stage(entry.name), [en] = words;
    if (!groups.has(en)) groups.set(en, el("details", {}, worded("summary", words)));
    groups.get(en).append(value(sequence, index, entry));
  }
  place.append(...groups.values());
}

// ---------------------------------------------------------------- the page

about.sequences.forEach((sequence, index) => {
  const section = find(`[data-sequence="${index}"]`);
  heads(sequence, find(".attention", section));
  layers(sequence, index, find(".layers", section));
});

function again() {
  for (const one of document.querySelectorAll("[data-en]")) one.textContent = one.dataset[lang()];
  for (const draw of drawn.values()) draw();
}
onChange(again);
let width = innerWidth;
addEventListener("resize", later(150, () => {
  if (innerWidth !== width) again();
  width = innerWidth;
}));
