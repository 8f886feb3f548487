// The numbers of parts: decoding, slicing, and how each place of an axis is called.

import { visible } from "./dom.js";
import { floats } from "./floats.js";
import { store } from "./state.js";

export const decode = (values) => values && { shape: values.shape, numbers: floats(values.data) };

export const SHARES = new Set(["weights", "mask", "probabilities"]);

export const size = (shape) => shape.reduce((a, b) => a * b, 1);

// Names of the places of an axis; null where they are only counted.
export function labels(axis, part, answer) {
  const here = answer.sequences[part.sequence] ?? answer.sequences.at(-1);
  if (axis === "query" || axis === "key") return here?.tokens.map(visible) ?? null;
  if (axis === "memory") return (answer.sequences.find((one) => one.kind === "encoder") ?? here)?.tokens.map(visible) ?? null;
  if (axis === "output") return store.outputs?.length ? store.outputs.map(visible) : null;
  return null;
}

// A part as sheets of rows: one sheet for each head, or one in all. Each: numbers (Float32Array), rows, columns.
export function sheets(decoded) {
  const shape = decoded.shape.length > 1 ? decoded.shape : [1, ...decoded.shape];
  const [count, rows, columns] = shape.length === 3 ? shape : [1, ...shape.slice(-2)];
  return Array.from({ length: count }, (_, s) => ({ rows, columns, numbers: decoded.numbers.subarray(s * rows * columns, (s + 1) * rows * columns) }));
}

const CHOSEN = 4, FEW = 64; // of many outputs, those that are most likely in some row

// Of a long last axis the columns that matter: {sheets, columns}, `columns` their places; null for all.
export function mostLikely(all, axis) {
  const { rows, columns, numbers } = all[0];
  if (axis !== "output" || columns <= FEW) return { sheets: all, columns: null };
  const kept = new Set(), most = Math.max(1, Math.min(CHOSEN, Math.ceil(FEW / rows)));
  for (let r = 0; r < rows; r++) {
    const best = [];
    for (let c = 0; c < columns; c++) {
      const x = numbers[r * columns + c];
      if (best.length < most || x > best.at(-1)[0]) {
        best.push([x, c]);
        best.sort((a, b) => b[0] - a[0]);
        best.length = Math.min(best.length, most);
      }
    }
    for (const [, c] of best) kept.add(c);
  }
  const places = [...kept].sort((a, b) => a - b).slice(0, 4 * FEW);
  const cut = new Float32Array(rows * places.length);
  for (let r = 0; r < rows; r++) places.forEach((c, i) => { cut[r * places.length + i] = numbers[r * columns + c]; });
  return { sheets: [{ rows, columns: places.length, numbers: cut }], columns: places };
}

export function largest(numbers) {
  let most = 0;
  for (const x of numbers) if (Math.abs(x) > most && Number.isFinite(x)) most = Math.abs(x);
  return most;
}

export function difference(one, other) {
  if (!one || !other || one.shape.join() !== other.shape.join()) return null;
  return { shape: one.shape, numbers: one.numbers.map((x, i) => (x === other.numbers[i] ? 0 : other.numbers[i] - x)) };
}
