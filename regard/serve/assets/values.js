// The numbers of parts: decoding, slicing, and how each place of an axis is called.

import { visible } from "./dom.js";
import { floats } from "./floats.js";
import { store } from "./state.js";

export const decode = (values) => values && { shape: values.shape, numbers: floats(values.data) };

export const SHARES = new Set(["weights", "mask", "probabilities"]);

// Names of the places of an axis; null where they are only counted.
export function labels(axis, part, answer) {
  const here = answer.sequences[part.sequence] ?? answer.sequences.at(-1);
  if (axis === "query" || axis === "key") return here?.tokens.map(visible) ?? null;
  if (axis === "memory") return (answer.sequences.find((one) => one.kind === "encoder") ?? here)?.tokens.map(visible) ?? null;
  if (axis === "output") return store.outputs?.length ? store.outputs.map(visible) : null;
  return null;
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

export function difference(one, other) {
  if (!one || !other || one.shape.join() !== other.shape.join()) return null;
  return { shape: one.shape, numbers: one.numbers.map((x, i) => (x === other.numbers[i] ? 0 : other.numbers[i] - x)) };
}
