// The model's parts as boxes: which points stand together, in the order of the computation. What is open is
// named by a part, as "decoder.blocks.0.cross.weights"; its box and its layer follow from that.

import { store } from "./state.js";

// Of all sequences of a stack (several windows of a text), the one that is looked at.
export function shownParts() {
  const wanted = store.view.sequence;
  const counted = new Set(store.structure.map((part) => part.sequence));
  if (new Set([...counted].map((n) => kindOf(n))).size === counted.size) return store.structure; // one of each kind
  const chosen = counted.has(wanted) ? wanted : Math.min(...counted);
  return store.structure.filter((part) => part.sequence === chosen);
}

const kindOf = (sequence) => store.predicted?.original.sequences[sequence]?.kind ?? sequence;

// [{key, stack, layer, section, parts}], those of the head with the last stack.
export function boxes(parts) {
  const found = [];
  let last = null;
  const stacks = [...new Set(parts.map((part) => part.stack).filter(Boolean))];
  for (const part of parts) {
    const stack = part.stack ?? stacks.at(-1);
    const same = last && last.stack === stack && last.layer === part.layer && last.section === part.section;
    if (same) last.parts.push(part);
    else found.push((last = { stack, layer: part.layer, section: part.section, parts: [part] }));
  }
  for (const box of found) box.key = box.parts[0].name;
  return found;
}

export const boxOf = (all, name) => all.find((box) => box.parts.some((part) => part.name === name));

// What is open at first, and where the part that was open is not in this model.
export function begin(all) {
  const order = ["cross", "attention", "head"];
  const box = order.map((section) => all.find((one) => one.section === section)).find(Boolean) ?? all[0];
  return box ? main(box).name : null;
}

// The part of a box that shows most.
export function main(box) {
  const order = ["weights", "probabilities", "vector", "pooled", "hidden", "normed", "sum", "placed", "out", "output"];
  return order.map((point) => box.parts.findLast((part) => part.point === point)).find(Boolean) ?? box.parts.at(-1);
}

// The same part of another layer, or the layer's first attention where it has no such part.
export function inLayer(all, name, stack, layer) {
  const wanted = `${stack}.blocks.${layer}.${name.replace(/^.*\.blocks\.\d+\./, "")}`;
  if (boxOf(all, wanted)) return wanted;
  const box = all.find((one) => one.stack === stack && one.layer === layer && one.section === "attention");
  return box ? main(box).name : name;
}
