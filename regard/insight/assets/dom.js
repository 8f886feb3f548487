// Elements, numbers as people read them, and downloads. Text only ever enters the page as text, never as
// markup: what a model's vocabulary or an image's name holds is foreign.

const SVG = "http://www.w3.org/2000/svg";

// el("button", { class: "x", onclick: f, vars: { "--w": 0.5 } }, "text", child): null children are left out.
export function el(tag, options = {}, ...children) {
  return dress(document.createElement(tag), options, children);
}

export function svg(tag, options = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), options, children);
}

function dress(one, options, children) {
  for (const [key, value] of Object.entries(options)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) one.addEventListener(key.slice(2), value);
    else if (key === "vars") for (const [name, x] of Object.entries(value)) one.style.setProperty(name, x);
    else if (key === "value") one.value = value;
    else one.setAttribute(key, value === true ? "" : value);
  }
  one.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return one;
}

// Put new contents in, and the focus where it was: on the control of the same `data-focus`, or beside it.
export function refill(element, ...contents) {
  const had = element.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
  element.replaceChildren(...contents.flat().filter(Boolean));
  const to = had && find(`[data-focus="${CSS.escape(had)}"]`, element);
  (to?.disabled ? find("button:not([disabled])", element) : to)?.focus({ preventScroll: true });
}

export const find = (selector, within = document) => within.querySelector(selector);

// A number in at most `digits` significant digits; what JSON could not say came as a text.
export function short(x, digits = 4) {
  const number = Number(x);
  if (x === null || x === undefined) return "";
  if (Number.isNaN(number)) return "NaN";
  if (!Number.isFinite(number)) return number > 0 ? "∞" : "−∞";
  const size = Math.abs(number);
  const text = size !== 0 && (size < 1e-4 || size >= 1e6) ? number.toExponential(Math.max(0, digits - 2)) : String(Number(number.toPrecision(digits)));
  return text.replace("-", "−");
}

// As a share of one: 0.93, <0.001; NaN came as a text.
export const share = (x) => (typeof x === "string" ? short(x) : x > 0 && x < 0.0005 ? "<0.001" : x.toFixed(x < 0.1 ? 3 : 2));

// A token as it is shown: what cannot be seen gets a sign, a space (or what stands for one) a dot.
export function visible(token) {
  if (token === "") return "∅";
  return token.replaceAll(/[ \u2581]/g, "·").replaceAll("\n", "↵").replaceAll("\t", "⇥")
    .replaceAll(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\ufeff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

export function download(name, blob) {
  const url = URL.createObjectURL(blob);
  const link = el("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// Arrow keys walk through a row of controls of which one is in the order of Tab; `act` hears of each.
export function roving(list, selector, act = () => {}) {
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const all = [...list.querySelectorAll(selector)];
    const at = all.indexOf(document.activeElement);
    if (at < 0) return;
    const next = step ? all[(at + step + all.length) % all.length] : { Home: all[0], End: all.at(-1) }[event.key];
    if (!next) return;
    event.preventDefault();
    for (const one of all) one.tabIndex = one === next ? 0 : -1;
    next.focus();
    act(next);
  });
}

export function later(milliseconds, act) {
  let waiting = 0;
  const soon = (...given) => {
    clearTimeout(waiting);
    waiting = setTimeout(act, milliseconds, ...given);
  };
  soon.cancel = () => clearTimeout(waiting);
  return soon;
}
