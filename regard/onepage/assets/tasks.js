// What each task gives the model, and makes of its logits: step after step, or at once. It knows no page.

import { argmax, sigmoid, softmax } from "./arrays.js";
import { build } from "./model.js";
import { Tokenizer } from "./tokenizer.js";

const BOS = 2, EOS = 3;
const BLANK = /^[\p{White_Space}\x1c-\x1f]*$/u;
const BEFORE = 16; // tokens of a prompt that can make a difference to the text of what follows

class TooLong extends Error {
  constructor(tokens, most) {
    super();
    Object.assign(this, { tokens, most });
  }
}

// Values of a pass by name, those of later passes below those of earlier ones. A key that was not there yet has weight 0.
class Seen {
  constructor() { this.parts = new Map(); }

  take(name, data, shape) {
    if (!this.parts.has(name)) this.parts.set(name, []);
    this.parts.get(name).push({ data, shape });
  }

  // (H, T, S) of all passes together.
  get(name) {
    const parts = this.parts.get(name) ?? [], [H] = parts[0]?.shape ?? [0];
    const T = parts.reduce((sum, { shape }) => sum + shape[1], 0), S = Math.max(0, ...parts.map(({ shape }) => shape[2]));
    const data = new Float32Array(H * T * S);
    let start = 0;
    for (const { data: some, shape: [, t, s] } of parts) {
      for (let h = 0; h < H; h++) for (let row = 0; row < t; row++) data.set(some.subarray((h * t + row) * s, (h * t + row + 1) * s), (h * T + start + row) * S);
      start += t;
    }
    return { data, shape: [H, T, S] };
  }

  get names() { return [...this.parts.keys()]; }
}

// What stands beside the answer, in all tasks:
//   sequences  {kind, tokens}: what entered each stack, for people to read
//   steps      {logits, chosen}: the logits, and the id that was taken; one where nothing is generated
class Task {
  constructor(about, weights) {
    this.about = about;
    this.model = build(about.model, weights, (name, data, shape) => this.seen.take(name, data, shape));
  }

  // Logits → probabilities.
  probabilities(logits, temperature) { return softmax(logits, temperature); }
}

class Generator extends Task {
  // Continues `given`, (T), until the model ends it or `most` tokens are generated. `begin`: ids that are taken whatever
  // the model makes of them; `rng`: gives a number from 0 to 1, or is none to take the most likely; `temperature`: of sampling.
  generate(cache, given, most, { begin = [], rng = null, temperature = 1 }) {
    const steps = [], ids = [];
    while (ids.length < most) {
      const logits = this.model.step(given, cache), forced = begin[ids.length];
      for (const never of this.about.never) logits[never] = -Infinity;
      const chosen = forced ?? (rng ? sample(softmax(logits, temperature), rng()) : argmax(logits));
      steps.push({ logits, chosen });
      if (chosen === EOS) break;
      ids.push(chosen);
      given = [chosen];
    }
    return { steps, ids };
  }
}

// The token whose probability, added to those of the tokens before it, first exceeds `at`.
function sample(probabilities, at) {
  const id = probabilities.findIndex((probability) => (at -= probability) < 0);
  return id < 0 ? argmax(probabilities) : id;
}

class Translation extends Generator {
  constructor(about, weights) {
    super(about, weights);
    this.source = new Tokenizer(about.tokenizers[0]);
    this.target = about.tokenizers[1] ? new Tokenizer(about.tokenizers[1]) : this.source;
  }

  answer(text, options = {}) {
    this.seen = new Seen();
    const ids = BLANK.test(text) ? [] : this.source.encode(text), { max_length, room } = this.about;
    if (ids.length > max_length) throw new TooLong(ids.length, max_length);
    if (!ids.length) return { text: "", steps: [], sequences: [] };
    const given = [...ids, EOS], cache = this.model.begin(given);
    const { steps, ids: written } = this.generate(cache, [BOS], Math.min(room, options.length ?? 2 * ids.length + 20), options);
    const into = [BOS, ...written].slice(0, steps.length); // what the decoder was given at each step
    return { text: this.target.decode(written), written, steps, sequences: [
      { kind: "encoder", tokens: given.map((id) => this.source.piece(id)) },
      { kind: "decoder", tokens: into.map((id) => this.target.piece(id)), memory: "encoder" },
    ] };
  }

  outputs(id) { return this.target.piece(id); }
}

class TextGeneration extends Generator {
  constructor(about, weights) {
    super(about, weights);
    this.tokenizer = new Tokenizer({ ...about.tokenizers[0], lines: about.lines });
  }

  answer(text, options = {}) {
    this.seen = new Seen();
    const prompt = [BOS, ...this.tokenizer.encodeDocument(text)], { max_length } = this.about;
    if (prompt.length >= max_length) throw new TooLong(prompt.length, max_length - 1);
    const most = Math.min(options.length ?? 32, max_length - prompt.length + 1);
    const { steps, ids } = this.generate(this.model.begin(), prompt, most, options);
    const into = [...prompt, ...ids].slice(0, prompt.length + steps.length - 1);
    return { text: this.continued(prompt.slice(-BEFORE), ids), written: ids, prompt: prompt.length, steps, sequences: [{ kind: "stack", tokens: into.map((id) => this.tokenizer.piece(id)) }] };
  }

  // What ids add to the text before them: the space before a word too, that of a text's first word is not one.
  continued(before, ids) {
    const known = this.tokenizer.decode(before), whole = this.tokenizer.decode([...before, ...ids]);
    return whole.startsWith(known) ? whole.slice(known.length) : this.tokenizer.decode(ids);
  }

  outputs(id) { return this.tokenizer.piece(id); }
}

class Classifier extends Task {
  classed(given, tokens) {
    const logits = this.model.step(given, this.model.begin()), chosen = argmax(logits);
    const text = this.about.separator === null ? this.outputs(chosen) : this.about.labels.filter((_, i) => sigmoid(logits[i]) >= 0.5).join(this.about.separator);
    return { text, steps: [{ logits, chosen }], sequences: [{ kind: "stack", tokens }] };
  }

  outputs(id) { return this.about.labels[id]; }

  // Where a text may have several labels, each is a yes or no of its own.
  probabilities(logits, temperature) { return this.about.separator === null ? softmax(logits, temperature) : logits.map((x) => sigmoid(x / temperature)); }
}

class TextClassification extends Classifier {
  constructor(about, weights) {
    super(about, weights);
    this.tokenizer = new Tokenizer(about.tokenizers[0]);
  }

  answer(text) {
    this.seen = new Seen();
    const ids = [BOS, ...this.tokenizer.encode(BLANK.test(text) ? "" : text).slice(0, this.about.max_length - 2), EOS], { room } = this.about;
    if (ids.length > room) throw new TooLong(ids.length, room);
    return this.classed(ids, ids.map((id) => this.tokenizer.piece(id)));
  }
}

class ImageClassification extends Classifier {
  // `pixels`: (channels, rows, columns) from 0 to 255.
  answer(pixels) {
    this.seen = new Seen();
    const { mean, deviation, rows, columns } = this.about.look, { patch, class_token, registers } = this.about.model.embed;
    const centred = Float32Array.from(pixels, (x, i) => {
      const channel = Math.floor(i / (rows * columns));
      return (x / 255 - mean[channel]) / deviation[channel];
    });
    const patches = (rows * columns) / patch ** 2;
    const tokens = [...(class_token ? ["CLS"] : []), ...Array.from({ length: registers }, (_, i) => `R${i + 1}`), ...Array.from({ length: patches }, (_, i) => String(i + 1))];
    return this.classed(centred, tokens);
  }
}

const TASKS = { translation: Translation, "text-generation": TextGeneration, "text-classification": TextClassification, "image-classification": ImageClassification };

export const taskOf = (about, weights) => new TASKS[about.task](about, weights);
