// The page: what is typed or drawn, the answer, what was likely, where the model looked, and the model's own source.
// Texts of the model and its data enter the page as text, never as markup.

import { el, find, later, share, visible } from "./dom.js";
import { Maps } from "./maps.js";
import { Pad } from "./pad.js";
import { begin } from "./shell.js";
import { taskOf } from "./tasks.js";
import { say } from "./texts.js";
import { unpack } from "./weights.js";

const BEST = 4, BEST_CLASSES = 8, SOURCES = ["model", "arrays", "position", "tokenizer", "tasks"];
const about = JSON.parse(find("#about").textContent);
const task = taskOf(about, unpack(about, find("#weights").textContent));
const main = find("#main"), maps = new Maps(), draws = about.task === "image-classification", writes = ["translation", "text-generation"].includes(about.task);
const state = { text: about.examples[0] ?? "", pixels: null, begin: [], temperature: 1, draw: false, seed: 1, length: 32 };
let answer = null, likely = null, pad = null;

// Numbers from 0 to 1 that follow from the seed alone.
function mulberry32(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function compute() {
  const started = performance.now(), { begin: forced, temperature, length } = state;
  try {
    const found = task.answer(draws ? state.pixels : state.text, { begin: forced, temperature, length: about.task === "text-generation" ? length : undefined, rng: state.draw ? mulberry32(state.seed) : null });
    return { ...found, seen: task.seen, took: performance.now() - started };
  } catch (problem) {
    if (!(problem.most > 0)) throw problem;
    return { text: "", steps: [], sequences: [], seen: task.seen, problem };
  }
}

function update() {
  const found = compute();
  answer.replaceChildren(
    el("p", { class: found.text.length > 60 ? "answer-text long" : "answer-text" }, about.task === "text-generation" && !found.problem ? el("span", { class: "given" }, state.text) : null, el("strong", {}, found.problem ? "" : found.text || say("nothing"))),
    el("p", { class: "fact" }, found.problem ? say("tooLong", found.problem.tokens, found.problem.most) : say("took", found.took.toFixed(found.took < 10 ? 1 : 0))),
    state.begin.length ? el("button", { type: "button", onclick: () => { state.begin = []; update(); } }, say("free")) : "",
  );
  showLikely(found);
  maps.show(found, draws ? grid() : null);
  main.dataset.settled = "true";
}

const soon = later(40, update);
function typed(text) {
  Object.assign(state, { text, begin: [] });
  main.dataset.settled = "false";
  soon();
}

// ---------------------------------------------------------------------- what was likely

function best(logits, count) {
  const probabilities = task.probabilities(logits, state.temperature);
  return Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a]).slice(0, count).map((id) => ({ id, probability: probabilities[id] }));
}

const nameOf = (id) => (writes && id === 3 ? say("end") : visible(task.outputs(id)));

function choice({ id, probability: p }, chosen, act) {
  const inside = [el("span", { class: "choice-token" }, nameOf(id)), el("span", { class: "choice-share" }, share(p)), el("span", { class: "bar-of", vars: { "--p": p } })];
  const kind = `choice${chosen ? " chosen" : ""}`;
  if (!act) return el("div", { class: kind }, inside);
  return el("button", { type: "button", class: kind, "aria-label": `${nameOf(id)} ${share(p)}. ${chosen ? say("chosen") : say("goOn", nameOf(id))}`, onclick: act }, inside);
}

function showLikely({ steps, written }) {
  if (!steps.length) return likely.replaceChildren();
  const columns = steps.map(({ logits, chosen }, i) => {
    const force = (id) => () => { state.begin = [...written.slice(0, i), id]; update(); };
    const some = best(logits, writes ? BEST : BEST_CLASSES);
    return el("div", { class: "choice-column" }, writes ? el("span", { class: "choice-title" }, i ? say("after", nameOf(written[i - 1])) : "▸") : null, some.map((one) => choice(one, one.id === chosen, writes ? force(one.id) : null)));
  });
  likely.replaceChildren(el("h2", {}, say("likely")), writes ? el("p", { class: "hint" }, say("likelySteps")) : "", el("div", { class: writes ? "choices" : "choices single", tabindex: 0, role: "group", "aria-label": say("likely") }, columns));
}

// ---------------------------------------------------------------------- input

function textInput() {
  const area = el("textarea", { id: "text", rows: 2, "aria-label": say("input"), placeholder: say("placeholder"), value: state.text, autocapitalize: "off", autocomplete: "off", spellcheck: "false", oninput: () => typed(area.value) });
  const take = (text) => () => { area.value = text; typed(text); };
  return el("section", { class: "input" }, area, about.examples.length ? el("div", { class: "examples", role: "group", "aria-label": say("examples") }, about.examples.map((text) => el("button", { type: "button", class: "example", onclick: take(text) }, text))) : null);
}

function imageInput() {
  const { look: { rows, columns, channels } } = about;
  const read = () => {
    const sight = new OffscreenCanvas(columns, rows).getContext("2d", { willReadFrequently: true });
    sight.drawImage(pad.small, 0, 0);
    const { data } = sight.getImageData(0, 0, columns, rows);
    state.pixels = Float32Array.from({ length: rows * columns }, (_, i) => data[4 * i] * (data[4 * i + 3] / 255));
  };
  const old = pad;
  pad = new Pad({ rows, columns, channels }, () => { read(); main.dataset.settled = "false"; soon(); });
  if (old) { // the drawing stays when the words change
    pad.ink.getContext("2d").drawImage(old.ink, 0, 0);
    pad.small.getContext("2d").drawImage(old.small, 0, 0);
    pad.canvas.getContext("2d").drawImage(old.ink, 0, 0);
  } else pad.begin();
  read();
  return el("section", { class: "input" }, pad.element, el("div", { class: "row" }, el("button", { type: "button", onclick: () => pad.clear() }, say("clear"))));
}

function grid() {
  const { pixel_rows, pixel_columns, patch, class_token, registers } = about.model.embed;
  return { canvas: pad.small, rows: pixel_rows / patch, columns: pixel_columns / patch, leading: Number(class_token) + registers };
}

function slider(key, name, { min, max, step }) {
  const shown = el("output", {}, String(state[key]));
  const input = el("input", { type: "range", min, max, step, value: state[key], "aria-label": name, oninput: () => { state[key] = Number(input.value); shown.textContent = input.value; soon(); } });
  return el("label", { class: "slider" }, el("span", {}, name), input, shown);
}

function controls() {
  const again = el("button", { type: "button", hidden: !state.draw, onclick: () => { state.seed += 1; update(); } }, say("again"));
  const tick = el("input", { type: "checkbox", checked: state.draw, onchange: () => { state.draw = tick.checked; again.hidden = !tick.checked; update(); } });
  return el("section", { class: "controls" }, slider("temperature", say("temperature"), { min: 0.1, max: 3, step: 0.1 }),
    about.task === "text-generation" ? slider("length", say("length"), { min: 1, max: 64, step: 1 }) : null,
    writes ? el("label", { class: "tick" }, tick, el("span", {}, say("draws"))) : null, writes ? again : null);
}

// ---------------------------------------------------------------------- what runs here

function inside() {
  const { model } = about, stacks = ["encoder", "decoder", "stack"].filter((name) => model[name]), vocabulary = about.labels?.length ?? (task.target ?? task.tokenizer).names.length;
  const head = ["part", "layers", "width", "heads", "hidden", "position", "vocabulary"].map((key, i) => el("th", { scope: "col", class: i ? null : "word" }, say(key)));
  const lines = stacks.map((name) => {
    const one = model[name], { attention, feedforward } = one, last = name === stacks.at(-1);
    return el("tr", {}, el("th", { scope: "row" }, say(`${name}Part`)), [one.depth, one.width, attention.heads, feedforward.hidden ?? (feedforward.kind === "gated" ? Math.floor((8 * one.width) / 3) : 4 * one.width), one.position.kind, last ? vocabulary : ""].map((x) => el("td", {}, String(x))));
  });
  const sources = SOURCES.map((name) => {
    const text = find(`#script-${name}`).textContent.trim();
    return el("details", {}, el("summary", {}, say("source", `${name}.js`, text.split("\n").length)), el("pre", { tabindex: 0 }, el("code", {}, text)));
  });
  return el("section", { class: "inside" }, el("h2", {}, say("inside")),
    el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": say("parts") }, el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, lines))),
    el("p", {}, say("insideHelp")), sources);
}

begin(() => {
  const facts = [say("lead", about.parameters.toLocaleString("en")), about.dtype === "float16" ? say("half") : "", about.data ? say("trained", about.data) : ""];
  main.replaceChildren(
    el("header", {}, el("h1", {}, about.title), el("p", { class: "lead" }, say(about.task)), el("p", { class: "hint" }, facts.filter(Boolean).join(" "))),
    el("div", { class: "top" }, draws ? imageInput() : textInput(), answer = el("section", { class: "answer", "aria-live": "polite", "aria-label": say("answer") })),
    controls(), likely = el("section", { class: "likely" }), maps.element, inside(),
  );
  update();
}, say);
addEventListener("resize", later(150, () => maps.show(maps.found, maps.image)));
