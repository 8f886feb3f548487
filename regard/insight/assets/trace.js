// A trace: heat maps of every attention, and every value in the order of the computation, each with where it comes from.

import { el, find, later, short } from "./dom.js";
import { floats } from "./floats.js";
import { plotly } from "./page.js";
import { PLAIN, colour, scaleOf } from "./plots.js";
import { fill, lang, onSystemTheme } from "./shell.js";
import { numberTable } from "./sums.js";

const about = JSON.parse(find("#trace").textContent);
const numbers = floats(find("#numbers").textContent, about.half);
const say = (en, zh) => fill([en, zh]);
const calm = (text) => text.replaceAll("<", "‹").replaceAll(">", "›"); // Plotly would take it for markup
const MOST_TICKS = 40, MOST_HOVERED = 40000, MOST_CELLS = 800;
const drawn = new Map(); // what is on the page, to be drawn again in another language or theme

// A text that follows the language of the page.
const worded = (tag, [en, zh], options = {}) => el(tag, { ...options, "data-en": en, "data-zh": zh }, say(en, zh));
const paragraph = (text, kind = null) => el("p", { class: kind }, text);

const labels = (entry, axis) => about.labels[entry.labels[axis]];
const size = (entry) => entry.shape.reduce((a, b) => a * b, 1);

// An entry as sheets of rows: one sheet for each head, or one in all.
function sheets(entry) {
  const [columns, rows = 1, count = 1] = entry.shape.toReversed();
  const row = (s, r) => numbers.subarray(entry.at + (s * rows + r) * columns, entry.at + (s * rows + r + 1) * columns);
  return Array.from({ length: count }, (_, s) => Array.from({ length: rows }, (_, r) => row(s, r)));
}

const { axes: AXES, formulas: FORMULAS } = about.words; // insight/names.py
const bothOf = (entry) => FORMULAS[entry.formula] ?? [entry.formula, entry.formula];
const formula = (entry) => say(...bothOf(entry));
const axisName = (name) => say(...(AXES[name] ?? [name, name]));
const isShare = (entry) => /\.(weights|mask|probabilities)$/.test(entry.name);
const nameAt = (entry, axis, place) => labels(entry, axis)[place] ?? String(place);

// ---------------------------------------------------------------- heat maps

function heat(plot, entry, pointed) {
  const pages = sheets(entry), two = entry.shape.length;
  const rowAxis = two - 2, columnAxis = two - 1;
  const room = plot.clientWidth || 600;
  const [height_, width_] = [pages[0].length, pages[0][0].length];
  const most = Math.max(1, Math.min(4, Math.floor(room / 250)));
  const across = Math.min(pages.length, width_ > 3 * height_ && width_ > 60 ? Math.min(2, most) : most);
  const down = Math.ceil(pages.length / across);
  const rowNames = rowAxis >= 0 ? labels(entry, rowAxis) : [], columnNames = labels(entry, columnAxis);
  const longest = (names) => Math.min(12, Math.max(1, ...names.map((name) => name.length)));
  const ticks = (names, pixels) => names.length > 0 && names.length <= Math.min(MOST_TICKS, pixels / 9);
  const each = room / across - 24;
  const left = 14 + 7 * longest(rowNames), top = 30 + (ticks(columnNames, each) ? 7 * longest(columnNames) : 14);
  const wide = Math.min(Math.max(80, each - left), Math.max(120, width_ * 40)); // few cells stay small
  const tall = Math.max(60, Math.min(height_ * (columnNames.length ? Math.max(18, wide / width_) : 18), 420));
  const whole = down * (tall + top) + 24;
  const share = isShare(entry), hover = size(entry) <= MOST_HOVERED;
  let largest = 0;
  for (const page of pages) for (const line of page) for (const x of line) if (Number.isFinite(x)) largest = Math.max(largest, Math.abs(x));
  const scale = scaleOf(share);
  const layout = {
    ...PLAIN, font: { color: colour("--ink"), family: "inherit", size: 11 },
    margin: { l: 0, r: 0, t: 0, b: 0 }, height: whole, annotations: [], hovermode: "closest", dragmode: false,
  };
  const data = pages.map((page, index) => {
    const number = index ? String(index + 1) : "";
    const column = index % across, row = Math.floor(index / across);
    const x0 = (column * room) / across + left, y0 = row * (tall + top) + top;
    const axis = (names, pixels) => ({
      showgrid: false, zeroline: false, fixedrange: true, ticks: "", tickfont: { size: 10 },
      ...(ticks(names, pixels) ? { tickvals: names.map((_, i) => i), ticktext: names.map((name) => calm(name.slice(0, 12))) } : { nticks: 5 }),
    });
    layout[`xaxis${number}`] = { ...axis(columnNames, wide), domain: [x0 / room, Math.min(1, (x0 + wide) / room)], anchor: `y${number}`, side: "top", tickangle: columnNames.length ? -90 : 0 };
    layout[`yaxis${number}`] = { ...axis(rowNames, tall), domain: [1 - (y0 + tall) / whole, 1 - y0 / whole], anchor: `x${number}`, autorange: "reversed" };
    if (two === 3) {
      layout.annotations.push({
        text: `${axisName(entry.axes[0])} ${nameAt(entry, 0, index)}`, showarrow: false, xref: "paper", yref: "paper",
        x: x0 / room, y: 1 - (y0 + tall) / whole, yanchor: "top", xanchor: "left", font: { size: 11, color: colour("--soft") },
      });
    }
    const names = hover ? page.map((line, r) => Array.from(line, (x, c) =>
      `${calm(rowAxis >= 0 ? nameAt(entry, rowAxis, r) : "")} → ${calm(nameAt(entry, columnAxis, c))}<br>${short(x)}`)) : undefined;
    return {
      type: "heatmap", z: page.map((line) => Array.from(line, (x) => (Number.isFinite(x) ? x : null))),
      xaxis: `x${number}`, yaxis: `y${number}`, colorscale: scale, zmin: share ? 0 : -largest || -1, zmax: largest || 1,
      showscale: false, xgap: width_ <= 60 ? 1 : 0, ygap: height_ <= 60 ? 1 : 0,
      text: names, hovertemplate: hover ? "%{text}<extra></extra>" : undefined, hoverinfo: hover ? undefined : "none", meta: index,
    };
  });
  const draw = () => Plotly.react(plot, data, layout, { responsive: false, displayModeBar: false });
  plotly.then(draw).then(() => {
    plot.removeAllListeners?.("plotly_hover");
    plot.removeAllListeners?.("plotly_click");
    const told = (done) => (event) => { const [p] = event.points; done(p.data.meta, p.y, p.x); };
    plot.on("plotly_hover", told(pointed.over));
    plot.on("plotly_click", told(pointed.chosen));
  });
}

const valueAt = (entry, s, r, c) => sheets(entry)[s][r][c];

function describe(entry, s, r, c) {
  const two = entry.shape.length;
  const head = two === 3 ? `${axisName(entry.axes[0])} ${nameAt(entry, 0, s)}: ` : "";
  const row = two > 1 ? `${nameAt(entry, two - 2, r)} → ` : "";
  return `${head}${row}${nameAt(entry, two - 1, c)} = ${short(valueAt(entry, s, r, c), about.half ? 4 : 8)}`;
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
  const queries = sheets(q)[s][r], keys = sheets(k)[g][c];
  const products = Array.from(queries, (x, i) => x * keys[i]);
  const sum = products.reduce((a, b) => a + b, 0);
  const score = valueAt(scores, s, r, c), weight = valueAt(weights, s, r, c);
  const from = nameAt(scores, 1, r), to = nameAt(scores, 2, c);
  box.append(table(products.map((_, i) => String(i)),
    [[`q ${from}`, [...queries]], [`k ${to}`, [...keys]], ["q · k", products]],
    say(`head ${head}: query of ‘${from}’ times key of ‘${to}’, number by number`, `头 ${head}：“${from}”的查询乘以“${to}”的键，逐维相乘`)));
  if (scores.formula.startsWith("q kᵀ")) {
    const bias = /\+ bias/.test(scores.formula) ? say(" + bias", " + 偏置") : "";
    const scale = scores.formula.match(/· ([\d.e+-]+)/)?.[1] ?? "1";
    box.append(paragraph(`${say("score", "分数")} = ${scale} · Σ q·k${bias} = ${scale} · ${short(sum)}${bias} = ${short(score)}`));
  }
  const line = sheets(scores)[s][r], seen = mask ? sheets(mask)[0][r] : line.map(() => 1);
  const allowed = [...line.keys()].filter((i) => seen[i] && Number.isFinite(line[i]));
  const top = Math.max(...allowed.map((i) => line[i]));
  const total = allowed.reduce((a, i) => a + Math.exp(line[i] - top), 0);
  box.append(paragraph(seen[c]
    ? `${say("weight", "权重")} = e^(${short(score)} − ${short(top)}) / ${short(total)} = ${short(weight)}`
    : say("The mask forbids this key: the weight is 0.", "掩码不允许看这个键：权重为 0。")));
  if (v) {
    const values = sheets(v)[g];
    box.append(table([...values[c].keys()].map(String), [[`v ${to}`, [...values[c]]], [say("weight · v", "权重 · v"), Array.from(values[c], (x) => x * weight)]],
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

// Where a heat map is drawn, and below it what is pointed at and what is made of what is chosen.
function mapPlaces() {
  return [el("div", { class: "maps", role: "img" }), el("p", { class: "pointed", "aria-live": "polite" }), el("div", { class: "worked" })];
}

// `explain`: what is shown of a number that is chosen.
function drawMap([plot, pointed, below], entry, explain) {
  plot.setAttribute("aria-label", entry.name);
  heat(plot, entry, {
    over: (s, r, c) => { pointed.textContent = describe(entry, s, r, c); },
    chosen: (s, r, c) => below.replaceChildren(explain(entry.shape.length === 3 ? s : 0, r, c)),
  });
}

function heads(sequence, place) {
  const all = sequence.entries.filter((entry) => /\.blocks\.\d+\./.test(entry.name) && isScore(entry));
  if (!all.length) return;
  const unique = (pattern) => [...new Set(all.map((entry) => entry.name.match(pattern)[1]))];
  const layers = unique(/blocks\.(\d+)\./), kinds = unique(/\.(attention|cross)\.[a-z]+$/);
  const called = { attention: ["self-attention", "自注意力"], cross: ["cross-attention", "交叉注意力"] };
  const points = [["weights", "weights", "权重"], ["scores", "scores, before the softmax", "分数（softmax 之前）"], ["mask", "mask: who may see whom", "掩码：谁能看谁"]];
  const [layerBox, layer] = choice(["layer", "层"], layers.map((x) => [x, x, x]), layers.at(-1));
  const [kindBox, kind] = choice(["part", "部分"], kinds.map((x) => [x, ...called[x]]), kinds.at(-1));
  const recorded = points.filter(([name]) => all.some((entry) => entry.name.endsWith(`.${name}`)));
  const [pointBox, point] = choice(["show", "显示"], recorded);
  const controls = el("div", { class: "controls" }, layerBox, kinds.length > 1 && kindBox, recorded.length > 1 && pointBox);
  const places = mapPlaces(), [plot, pointed, worked] = places;
  place.append(controls, ...places);
  const show = () => {
    const entry = all.find((one) => one.name.endsWith(`.blocks.${layer.value}.${kind.value}.${point.value}`));
    worked.replaceChildren();
    pointed.textContent = entry ? `${entry.name}: ${say(...entry.title)} = ${formula(entry)}` : say("not recorded", "没有记录");
    if (entry) drawMap(places, entry, (s, r, c) => sumOf(sequence, entry, s, r, c));
    else plotly.then(() => Plotly.purge(plot));
  };
  for (const select of [layer, kind, point]) select.addEventListener("change", show);
  drawn.set(plot, show);
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
  const sheet = sheets(entry)[s], two = entry.shape.length, width = sheet[0].length;
  const all = sheet.length * width <= MOST_CELLS;
  const shown = all ? [...sheet.keys()] : [r];
  const name = two === 3 ? ` · ${axisName(entry.axes[0])} ${nameAt(entry, 0, s)}` : "";
  const more = all ? "" : say(" (click in the image for another row)", "（点击图中其他行可换一行）");
  return table(Array.from({ length: width }, (_, i) => nameAt(entry, two - 1, i)),
    shown.map((i) => [two > 1 ? nameAt(entry, two - 2, i) : "", sheet[i]]), `${entry.name}${name}${more}`);
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
new MutationObserver(again).observe(document.documentElement, { attributes: true, attributeFilter: ["data-lang", "data-theme"] });
onSystemTheme(again);
let width = innerWidth;
const soon = later(150, again);
addEventListener("resize", () => {
  if (innerWidth === width) return;
  width = innerWidth;
  soon();
});
