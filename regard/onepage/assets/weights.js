// The weights out of the page: base64 of their bytes, one after the other.

import { floats } from "./floats.js";

// Name → {data, shape}. `layout`: [name, shape] in the order of the bytes; `tied`: other names of the same weights.
export function unpack({ layout, tied, dtype }, base64) {
  const flat = floats(base64, dtype === "float16"), found = {};
  let at = 0;
  for (const [name, shape] of layout) {
    const size = shape.reduce((a, b) => a * b, 1);
    found[name] = { data: flat.subarray(at, at + size), shape };
    at += size;
  }
  for (const [name, first] of Object.entries(tied)) found[name] = found[first];
  return found;
}
