// The tables of a worked example.

import { el, short } from "./dom.js";
import { framed, numberTable } from "./sums.js";
import { of } from "./texts.js";

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
    const factors = value.origin && JSON.stringify([pick(value.origin.left, s), pick(value.origin.right, s), value.origin.scale]);
    return numbers(value, page, [of(value.name), sheet].filter(Boolean).join(" · "), factors);
  });
}

const text = (cell) => (typeof cell === "number" ? short(cell, 4) : of(cell));
const pick = (side, s) => (Array.isArray(side[0]?.[0]) ? side[s] : side);

function numbers(value, page, title, factors) {
  const whole = page.flat().map(Number).filter(Number.isFinite).every(Number.isInteger);
  const write = (x) => (typeof x === "boolean" ? (x ? "✓" : "·") : whole || !Number.isFinite(Number(x)) || (x !== 0 && Math.abs(x) < 0.0005) || Math.abs(x) >= 1e6 ? short(x, 3) : x.toFixed(3).replace("-", "−"));
  const shape = el("span", { class: "shape" }, value.shape.join(" × "));
  const rows = page.map((line, r) => [of(value.rows[r]), line]);
  return numberTable({ label: title, caption: [title, " ", shape], columns: value.columns.map(of), rows, write, factors });
}
