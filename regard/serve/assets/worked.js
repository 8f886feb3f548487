// The tables of a worked example: every number, tinted by its size, and the sum that it is where it is one.

import { el, short } from "./dom.js";
import { of } from "./texts.js";

const TERMS = 12; // of a sum that are written out

// A value of the example as one table, or one for each sheet.
export function grid(value) {
  if (value.kind === "table") {
    const head = value.columns.map((column) => el("th", { scope: "col" }, of(column)));
    const rows = value.rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, text(first)), rest.map((cell) => el("td", { class: typeof cell === "number" ? null : "word" }, text(cell)))));
    return [framed(of(value.name), el("table", {}, el("caption", {}, of(value.name)), el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows)))];
  }
  const depth = value.shape.length;
  const pages = depth === 3 ? value.values : [depth === 2 ? value.values : depth === 1 ? [value.values] : [[value.values]]];
  return pages.map((page, s) => {
    const sheet = depth === 3 ? of(value.sheets?.[s] ?? "") || String(s + 1) : "";
    const origin = value.origin && { left: pick(value.origin.left, s), right: pick(value.origin.right, s), scale: value.origin.scale };
    return numbers(value, page, [of(value.name), sheet].filter(Boolean).join(" · "), origin);
  });
}

const text = (cell) => (typeof cell === "number" ? short(cell, 4) : of(cell));
const pick = (side, s) => (Array.isArray(side[0]?.[0]) ? side[s] : side);

function numbers(value, page, title, origin) {
  const flat = page.flat().map(Number).filter(Number.isFinite), most = Math.max(0, ...flat.map(Math.abs));
  const digits = flat.every(Number.isInteger) ? null : 3;
  const write = (x) => (typeof x === "boolean" ? (x ? "✓" : "·") : digits === null || !Number.isFinite(Number(x)) || (x !== 0 && Math.abs(x) < 0.0005) || Math.abs(x) >= 1e6 ? short(x, 3) : x.toFixed(digits).replace("-", "−"));
  const rows = page.map((line, r) => el("tr", {}, value.rows.length ? el("th", { scope: "row" }, of(value.rows[r])) : null, line.map((x) => {
    const cell = el("td", { class: x < 0 ? "minus" : null, vars: { "--w": most && Number.isFinite(Number(x)) ? Math.abs(x) / most : 0 } }, write(x));
    cell.exact = x;
    return cell;
  })));
  const head = value.columns.length ? el("thead", {}, el("tr", {}, value.rows.length ? el("td") : null, value.columns.map((column) => el("th", { scope: "col" }, of(column))))) : null;
  const shape = el("span", { class: "shape" }, value.shape.join(" × "));
  const table = el("table", { class: "numbers" }, el("caption", {}, title, " ", shape), head, el("tbody", {}, rows));
  table.origin = origin;
  return framed(title, table, el("p", { class: "readout", "aria-live": "polite" }));
}

const framed = (label, table, below = null) => el("div", { class: "grid" }, el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": label }, table), below);

// ---------------------------------------------------------------- the sum of a number

const factor = (x) => (x < 0 ? `(${short(x, 5)})` : short(x, 5));

function sum({ left, right, scale }, r, c) {
  const all = left[r].map((x, k) => `${factor(x)}·${factor(right[k][c])}`);
  const added = (all.length > TERMS ? [...all.slice(0, TERMS), `… (${all.length - TERMS})`] : all).join(" + ");
  return scale === 1 ? ` = ${added}` : ` = ${short(scale, 5)} · (${added})`;
}

function show(cell) {
  const table = cell.closest("table"), readout = cell.closest(".grid").querySelector(".readout");
  table.querySelector(".on")?.classList.remove("on");
  cell.classList.add("on");
  const line = cell.parentElement, r = [...line.parentElement.children].indexOf(line), c = [...line.querySelectorAll("td")].indexOf(cell);
  const row = line.querySelector("th")?.textContent ?? String(r + 1), column = table.querySelectorAll("thead th")[c]?.textContent ?? String(c + 1);
  readout.textContent = `${row} · ${column}: ${short(Number(cell.exact), 9)}${table.origin ? sum(table.origin, r, c) : ""}`;
}

// Pointer and arrow keys in the tables of a page.
export function sumLine(page) {
  if (page.listens) return;
  page.listens = true;
  const cellOf = (event) => event.target.closest?.(".numbers tbody td");
  for (const name of ["pointerover", "click"]) page.addEventListener(name, (event) => { const cell = cellOf(event); if (cell) show(cell); });
  page.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!move || !event.target.matches?.(".scroll") || !event.target.querySelector(".numbers")) return;
    const cells = [...event.target.querySelectorAll("tbody tr")].map((line) => [...line.querySelectorAll("td")]);
    const r = cells.findIndex((line) => line.some((cell) => cell.classList.contains("on")));
    const within = (x, n) => Math.min(Math.max(x, 0), n - 1);
    const c = r < 0 ? 0 : cells[r].findIndex((cell) => cell.classList.contains("on"));
    const next = r < 0 ? cells[0][0] : cells[within(r + move[0], cells.length)][within(c + move[1], cells[r].length)];
    event.preventDefault();
    show(next);
    next.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
}
