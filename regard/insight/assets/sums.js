// Tables of numbers, each tinted by its size; and the sum behind the one that pointer or arrow keys are on.

import { el, short } from "./dom.js";
import { largest } from "./floats.js";

const TERMS = 12; // of a sum that are written out

// A table that scrolls by itself; with `readout`, what is pointed at stands below it.
export function framed(label, table, readout = false) {
  const below = readout ? el("p", { class: "readout", "aria-live": "polite" }) : null;
  return el("div", { class: "grid" }, el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": label }, table), below);
}

// `rows`: [name, numbers], `columns`: names; none of either where they have none. `write`: a number as its cell shows it.
// `factors`: as JSON, the left and right side of a product, and its scale.
export function numberTable({ label, caption = label, columns, rows, write, factors = null }) {
  const named = rows.some(([name]) => name), most = largest(rows.flatMap(([, line]) => Array.from(line, Number)));
  const tint = (x) => (most && Number.isFinite(Number(x)) ? Math.abs(x) / most : 0);
  const cell = (x) => el("td", { class: x < 0 ? "minus" : null, vars: { "--w": tint(x) }, "data-v": short(x, 9) }, write(x));
  const head = columns.length ? el("thead", {}, el("tr", {}, named ? el("td") : null, columns.map((column) => el("th", { scope: "col" }, column)))) : null;
  const body = rows.map(([name, line]) => el("tr", {}, named ? el("th", { scope: "row" }, name) : null, Array.from(line, cell)));
  return framed(label, el("table", { class: "numbers", "data-factors": factors }, el("caption", {}, caption), head, el("tbody", {}, body)), true);
}

const signed = (x) => (x < 0 ? `(${short(x, 5)})` : short(x, 5));

function sum(factors, r, c) {
  const [left, right, scale] = JSON.parse(factors), all = left[r].map((x, k) => `${signed(x)}·${signed(right[k][c])}`);
  const added = (all.length > TERMS ? [...all.slice(0, TERMS), `… (${all.length - TERMS})`] : all).join(" + ");
  return scale === 1 ? ` = ${added}` : ` = ${short(scale, 5)} · (${added})`;
}

function show(cell) {
  const table = cell.closest("table"), line = cell.parentElement, { factors } = table.dataset;
  table.querySelector(".on")?.classList.remove("on");
  cell.classList.add("on");
  const r = [...line.parentElement.children].indexOf(line), c = [...line.querySelectorAll("td")].indexOf(cell);
  const row = line.querySelector("th")?.innerText.trim() || String(r + 1), column = table.querySelectorAll("thead th")[c]?.innerText.trim() ?? String(c + 1);
  cell.closest(".grid").querySelector(".readout").textContent = `${row} · ${column}: ${cell.dataset.v}${factors ? sum(factors, r, c) : ""}`;
}

// Pointer and arrow keys in the tables of a page, or of a part of one.
export function sumLine(page) {
  const point = (event) => { const cell = event.target.closest?.(".numbers td[data-v]"); if (cell) show(cell); };
  for (const name of ["pointerover", "click"]) page.addEventListener(name, point);
  page.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!move || !event.target.matches?.(".scroll:has(.numbers)")) return;
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
