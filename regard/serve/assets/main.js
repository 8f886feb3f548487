// The page: what stands where, and the loop from a change of the state to a drawn answer.

import { Analyses } from "./analyses.js";
import { Answer } from "./answer.js";
import { Channel, Refused, get } from "./api.js";
import { Beam } from "./beam.js";
import { Changes } from "./changes.js";
import { Course } from "./course.js";
import { el, find, later, refill, roving } from "./dom.js";
import { Input } from "./input.js";
import { Inside } from "./inside.js";
import { saving } from "./save.js";
import { begin, lang } from "./shell.js";
import { address, choose, emit, isChanged, lean, look, model, modesOf, on, recall, restore, store } from "./state.js";
import { say } from "./texts.js";
import { Writing, outputs } from "./writing.js";

const REST = 8; // milliseconds between two keys that make them one question
const AGAIN = 2000; // milliseconds between two looks whether the server is back
const SLOW = 400; // milliseconds after which the page says that it waits

const input = new Input(find("#input")), answer = new Answer(find("#answer")), changes = new Changes(find("#changes"));
const inside = new Inside(), writing = new Writing(find("#writing")), beam = new Beam(find("#beam")), analyses = new Analyses(find("#analyses")), course = new Course(find("#course"));
find("#inside").append(inside.element);

// ---------------------------------------------------------------- asking

const predictions = new Channel(), traces = new Channel();
let waiting = 0;

function tell(text, problem = false) {
  clearTimeout(waiting);
  const status = find("#status");
  status.textContent = text;
  status.classList.toggle("problem", problem);
}

// While something is asked for, what is shown may belong to what was; tests wait for the end.
let under = 0;
const settled = (more) => { under += more; find("#main").dataset.settled = String(under === 0); };

async function guarded(act) {
  settled(1);
  clearTimeout(waiting);
  waiting = setTimeout(() => tell(say("busy")), SLOW);
  try {
    await act();
  } catch (problem) {
    if (!(problem instanceof Refused)) throw problem;
    tell(problem.message || say("gone"), true);
  } finally {
    settled(-1);
  }
}

async function predict() {
  const state = lean(store.state);
  if (store.view.mode === "inside" && store.structure.length && store.predicted && !outgrown()) return trace(); // it says both
  const asked = store.state, found = await predictions.ask("/api/predict", state);
  if (!found || asked !== store.state) return; // or the user has gone on
  predicted(found);
  resize(found.original);
  if (store.view.mode === "inside") await trace();
}

// Whether the input may have so many more tokens that too many numbers would be asked for.
const given = () => JSON.stringify(store.state.input).length;
const outgrown = () => store.state.input.kind !== "image" && given() > 1.5 * store.given + 20;

// The sizes of the parts follow from how many tokens there are; with other sequences there are other parts.
function resize({ sequences }) {
  if (store.sequences !== sequences.length) store.structure = [];
  const count = (kind, at) => (kind === "memory" ? sequences.find((one) => one.kind === "encoder") : sequences[at])?.tokens.length;
  store.structure = store.structure.map((part) => ({ ...part, shape: part.shape.map((n, i) => (["query", "key", "memory"].includes(part.axes[i]) ? count(part.axes[i], part.sequence) ?? n : n)) }));
}

function predicted(found) {
  tell("");
  store.predicted = found;
  answer.show();
  analyses.offer();
}

// Numbers of what is open. Which parts a model has is asked for once; their shapes come with each answer.
async function trace() {
  if (!store.predicted) return;
  const structure = !store.structure.length;
  const parts = inside.wanted(), asked = store.state;
  const found = await traces.ask("/api/trace", { state: lean(store.state), parts, structure, encoding: "base64" });
  if (!found || asked !== store.state) return;
  if (structure || store.sequences !== found.original.sequences.length) {
    Object.assign(store, { structure: structure ? found.original.parts : [], sequences: found.original.sequences.length });
    predicted(found);
    inside.element.hidden = structure && !store.structure.length; // of no input there are no numbers
    if (inside.element.hidden) return;
    inside.show();
    return trace();
  }
  const shapes = new Map(found.original.parts.map((part) => [`${part.sequence} ${part.name}`, part.shape]));
  store.structure = store.structure.map((part) => ({ ...part, shape: shapes.get(`${part.sequence} ${part.name}`) ?? part.shape }));
  Object.assign(store, { traced: found, given: given() });
  predicted(found);
  inside.numbers();
}

// What cannot be answered yet: nothing was drawn, or a turn says nothing.
function lacks({ kind, data, turns }) {
  if (kind === "image") return data ? null : "";
  return kind === "dialogue" && turns.some((turn) => !turn.content.trim()) ? say("emptyTurn") : null;
}

const askSoon = later(REST, () => guarded(async () => {
  const { mode } = store.view;
  if (mode !== "course" && !store.state) return; // the models are not known yet
  const lacking = mode === "course" ? null : lacks(store.state.input);
  if (lacking !== null) return tell(lacking);
  if (mode === "course") await course.show();
  else await Promise.all([predict(), mode === "writing" ? writing.refresh() : null, mode === "beam" ? beam.refresh() : null, mode === "analyses" ? analyses.refresh() : null]);
  tell("");
}));

// The server is asked until it is there again; then what is shown is asked for anew.
let absent = 0;
on("gone", () => {
  absent ||= setInterval(async () => {
    if (!(await get("/api/models").catch(() => null))) return;
    clearInterval(absent);
    absent = 0;
    if (store.models.length) ask();
    else start();
  }, AGAIN);
});

function ask() {
  find("#main").dataset.settled = "false";
  askSoon();
}

// ---------------------------------------------------------------- what is on the page

function modes() {
  const { mode } = store.view, inCourse = mode === "course";
  find("#course").hidden = !inCourse;
  find("#explorer").hidden = inCourse;
  find("#to-explore").ariaCurrent = inCourse ? null : "page";
  find("#to-course").ariaCurrent = inCourse ? "page" : null;
  refill(find(".tabs"), modesOf(model()).map((name) => el("button", { type: "button", role: "tab", id: `tab-${name}`, "data-focus": name, "aria-selected": String(mode === name), "aria-controls": name, tabindex: mode === name ? 0 : -1, onclick: () => look({ mode: name }) }, say(name))));
  for (const name of ["inside", "writing", "beam", "analyses"]) find(`#${name}`).hidden = mode !== name;
}

roving(find(".tabs"), "button", (tab) => tab.click());

function facts() {
  const select = find("#model"), chosen = model();
  select.replaceChildren(...store.models.map((one) => el("option", { value: one.name }, one.name)));
  select.value = chosen.name;
  find("#fact").textContent = `${chosen.task} · ${say("parameters", chosen.parameters.toLocaleString(lang() === "zh" ? "zh-CN" : "en"))}`;
  document.title = `${chosen.name} · regard`;
}

function everything() {
  facts();
  modes();
  input.show();
  changes.show();
  answer.show();
  if (store.view.mode === "course") course.show();
  else for (const panel of [inside, inside.card, writing, beam, analyses]) panel.show();
}

// ---------------------------------------------------------------- what happens

on("state", (keys) => {
  if (keys.some((key) => key !== "input")) changes.show();
  if (!isChanged()) store.view.side = "changed";
  if (store.state.input.kind === "image" || keys.includes("model") || keys.includes("beam")) inside.card.clear();
  ask();
});
on("model", () => {
  Object.assign(store, { outputs: null, weights: null, layers: null });
  inside.card.clear();
  for (const one of [writing, beam, analyses]) one.found = null;
  facts();
  modes();
  input.show();
  outputs().catch((problem) => tell(problem.message, true));
});
on("view", (keys) => {
  if (keys.includes("mode")) modes();
  if (store.view.mode === "course") {
    if (keys.includes("course") || keys.includes("mode")) ask();
    return;
  }
  course.leave();
  if (["mode", "analysis", "number", "other"].some((key) => keys.includes(key))) ask();
  else if (keys.includes("open") || keys.includes("sequence")) {
    inside.card.clear();
    inside.show();
    guarded(async () => { await trace(); tell(""); });
  } else if (keys.includes("head") || keys.includes("side")) inside.numbers();
});
on("weights", () => changes.show());
on("problem", (text) => tell(text, true));
on("words", () => {
  if (store.state) everything();
  else if (store.view.mode === "course") course.show();
});

find("#model").addEventListener("change", (event) => choose(event.target.value));
find("#to-explore").addEventListener("click", () => look({ mode: "inside" }));
find("#to-course").addEventListener("click", () => look({ mode: "course" }));
saving(inside, analyses, tell);
addEventListener("resize", later(120, () => { if (store.traced && store.view.mode === "inside") inside.show(); }));
addEventListener("popstate", () => arrive());
addEventListener("hashchange", () => { if (location.hash !== address().link) arrive(); });

function arrive() {
  restore(recall(location.hash));
  emit("model");
  changes.show();
  ask();
}

async function start() {
  begin(() => emit("words"), say, new URLSearchParams(location.search).get("lang")); // `regard look --lang zh`
  tell(say("loading"));
  try {
    ({ models: store.models, words: store.words } = await get("/api/models"));
  } catch (problem) {
    return tell(problem.message || say("gone"), true);
  }
  tell("");
  if (store.models.length) arrive();
}

start();
