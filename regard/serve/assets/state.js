// What the page is about: the state that goes to the server, and what is looked at of it. Both are in the
// address, so that it is a link; language and theme are the reader's own and stay in the browser.

const LONGEST_LINK = 60_000; // characters; browsers and chats cut longer ones

export const store = {
  models: [],
  words: { points: {}, axes: {}, formulas: {} }, // what people call the parts, in both languages
  state: null, // as docs/explorer-api.md has it
  view: { mode: "inside", open: null, sequence: null, head: null, side: "changed", course: null, given: {}, analysis: null, number: 0, other: null },
  predicted: null, // the last answers that belong to the state
  traced: null,
  structure: [],
};

const heard = new Map();
export const on = (name, act) => heard.set(name, [...(heard.get(name) ?? []), act]);
export const emit = (name, ...given) => (heard.get(name) ?? []).forEach((act) => act(...given));

export const model = () => store.models.find((one) => one.name === store.state?.model) ?? store.models[0];

// What can be done with a model: the tabs.
export const modesOf = (chosen) => ["inside", chosen?.writes && "writing", chosen?.searches && "beam", "analyses"].filter(Boolean);

const EMPTY = { heads_off: [], temperature: 1, edits: [], shuffle: null, beam: 1, length: null, forced: [] };
const isEmpty = (key, value) => JSON.stringify(value) === JSON.stringify(EMPTY[key]);

// Only what is not as it always is; nothing before the models are known, when the course may be looked at already.
export function lean(state) {
  return Object.fromEntries(Object.entries(state ?? {}).filter(([key, value]) => !isEmpty(key, value)));
}

export const isChanged = () => ["heads_off", "temperature", "edits", "shuffle"].some((key) => !isEmpty(key, store.state[key]));

// The user changed something that the model has to answer to.
export function change(patch) {
  store.state = { ...store.state, ...patch };
  remember();
  emit("state", Object.keys(patch));
}

// The user looks at something else.
export function look(patch) {
  const moved = ("mode" in patch && patch.mode !== store.view.mode) || ("course" in patch && patch.course !== store.view.course);
  store.view = { ...store.view, ...patch };
  remember(moved);
  emit("view", Object.keys(patch));
}

export function choose(name) {
  const { mode, course, given, analysis } = store.view;
  restore({ model: name, view: { mode, course, given, analysis } });
  remember();
  emit("model");
  emit("state", ["model", "input"]);
}

function first(chosen) {
  const kind = chosen.takes.kind;
  return chosen.examples[0] ?? { text: { kind, text: "" }, pair: { kind, first: "", second: "" }, image: { kind, data: null },
    dialogue: { kind, turns: [{ role: "user", content: "" }] } }[kind];
}

// ---------------------------------------------------------------- the address

export function address() {
  const { mode, open, sequence, head, course, given, analysis, number, other } = store.view;
  const view = Object.fromEntries(Object.entries({ mode, open, sequence, head, course, given, analysis, number: number || null, other })
    .filter(([, x]) => x !== null && JSON.stringify(x) !== "{}"));
  const whole = fragment({ ...lean(store.state), view });
  if (whole.length <= LONGEST_LINK) return { link: whole, whole: true };
  const { input, ...rest } = lean(store.state);
  return { link: fragment({ ...rest, view }), whole: input === undefined };
}

// Readable as far as an address may be: only what would end or break one is escaped.
const fragment = (what) => `#${encodeURIComponent(hidden(JSON.stringify(what))).replaceAll("%22", "'").replaceAll("%7B", "(").replaceAll("%7D", ")")
  .replaceAll("%5B", "[").replaceAll("%5D", "]").replaceAll("%3A", ":").replaceAll("%2C", ",")}`;

// `'`, `(` and `)` are letters of encodeURIComponent, so those of the text itself are hidden before.
const hidden = (text) => text.replace(/['()]/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`);

let pending = 0;
function remember(moved = false) {
  clearTimeout(pending);
  const write = () => history[moved ? "pushState" : "replaceState"](null, "", address().link);
  if (moved) write();
  else pending = setTimeout(write, 200); // a browser refuses many in a second
}

export function recall(hash) {
  if (hash.length < 2) return null;
  try {
    const text = hash.slice(1).replaceAll("'", "%22").replaceAll("(", "%7B").replaceAll(")", "%7D");
    const found = JSON.parse(decodeURIComponent(text));
    return found && typeof found === "object" ? found : null;
  } catch {
    return null; // somebody's broken link: begin as if there were none
  }
}

const within = (least, most) => (x) => typeof x === "number" && x >= least && x <= most;
const count = (least, most) => (x) => Number.isInteger(x) && within(least, most)(x);
const CAN_BE = {
  heads_off: (all) => Array.isArray(all) && all.every((one) => Array.isArray(one) && one.length === 4),
  temperature: within(0.05, 20),
  edits: (all) => Array.isArray(all) && all.every((one) => typeof one?.weight === "string" && Array.isArray(one.index) && Number.isFinite(one.value)),
  shuffle: (x) => x === null || count(0, 2 ** 32 - 1)(x),
  beam: count(1, 16),
  length: (x) => x === null || count(1, 512)(x),
  forced: (all) => Array.isArray(all) && all.length <= 512 && all.every(count(0, Infinity)),
};
const TEXTS_OF = {
  text: ({ text }) => [text], pair: ({ first, second }) => [first, second], image: ({ data }) => [data],
  dialogue: ({ turns }) => (Array.isArray(turns) && turns.length ? turns.map((turn) => turn?.content) : [null]),
};
const isInput = (input, kind) => input?.kind === kind && TEXTS_OF[kind](input).every((text) => typeof text === "string");

// Take over a link. What is not of the right kind is left out, the server judges the rest.
export function restore(found) {
  const { view, ...given } = found ?? {};
  const chosen = store.models.find((one) => one.name === given.model) ?? store.models[0];
  const fits = given.model === chosen.name && isInput(given.input, chosen.takes.kind);
  const state = { ...EMPTY, model: chosen.name, input: fits ? given.input : first(chosen) };
  for (const key of Object.keys(EMPTY)) {
    if (given.model === chosen.name && key in given && CAN_BE[key](given[key])) state[key] = given[key];
  }
  Object.assign(store, { state, predicted: null, traced: null, structure: [] });
  const mode = [...modesOf(chosen), "course"].includes(view?.mode) ? view.mode : "inside";
  const text = (x) => (typeof x === "string" ? x : null);
  const whole = (x) => (Number.isInteger(x) ? x : null);
  store.view = { ...store.view, mode, open: text(view?.open), sequence: whole(view?.sequence), head: whole(view?.head), course: text(view?.course),
    analysis: text(view?.analysis), number: Math.max(0, whole(view?.number) ?? 0), other: text(view?.other),
    given: view?.given && typeof view.given === "object" ? view.given : {} };
}
