// The whole Transformer: tokens or an image in, logits out. It does what regard/model does, part by part and by the same
// names, without the training, one input at a time.
//
//     T query positions   S key positions   D width   H heads   G key/value heads   C head width   F hidden   V vocabulary
//
// x is the residual stream, memory an encoder's output, q k v what attention is given, scores what enters its softmax,
// weights what leaves it, logits what the head gives. `tap` is shown values by name: it is how the page looks inside.

import { ACTIVATIONS, add, columns, joined, linear, softmax } from "./arrays.js";
import { positionOf } from "./position.js";

// May the query at position i attend to the key at position j?
export const MASKS = {
  full: () => () => true,
  causal: () => (i, j) => j <= i,
  window: ({ before, after }) => (i, j) => j >= i - before && j <= i + after,
  prefix: ({ length }) => (i, j) => j <= i || j < length,
};

// Norms of rows of width D. LayerNorm: mean 0 and variance 1, then a gain and a shift. RMSNorm: mean square 1, then a gain.
export const NORMS = {
  layer: ({ eps }, gain, shift) => (x, D) => normed(x, D, gain, shift, eps, true),
  rms: ({ eps }, gain) => (x, D) => normed(x, D, gain, null, eps, false),
};

function normed(x, D, gain, shift, eps, centred) {
  const y = new Float32Array(x.length);
  for (let r = 0; r < x.length; r += D) {
    let mean = 0, square = 0;
    for (let i = 0; i < D; i++) mean += centred ? x[r + i] / D : 0;
    for (let i = 0; i < D; i++) square += (x[r + i] - mean) ** 2 / D;
    const scale = 1 / Math.sqrt(square + eps);
    for (let i = 0; i < D; i++) y[r + i] = (x[r + i] - mean) * scale * gain.data[i] + (shift ? shift.data[i] : 0);
  }
  return y;
}

const same = (x) => x;

// `config`: null where there is no norm.
const norm = (weights, name, config) => (config ? NORMS[config.kind](config, weights[`${name}.weight`], weights[`${name}.bias`]) : same);
const product = (weights, name) => (x) => linear(x, weights[`${name}.weight`], weights[`${name}.bias`]);

// softmax(scale · q kᵀ + bias) v, over the keys that are allowed.
// q: (T, H, C); k, v: (S, G, C) → the heads' outputs, (T, H, C), and the weights, (H, T, S).
function attend(q, k, v, { H, G, C, scale, additive, allowed, bias }) {
  const T = q.length / (H * C), S = k.length / (G * C);
  const heads = new Float32Array(T * H * C), weights = new Float32Array(H * T * S), scores = new Float32Array(S);
  for (let h = 0; h < H; h++) {
    const g = Math.floor((h * G) / H);
    for (let t = 0; t < T; t++) {
      for (let s = 0; s < S; s++) scores[s] = allowed(t, s) ? scale * compare(q, (t * H + h) * C, k, (s * G + g) * C, C, additive, h) + bias(h, t, s) : -Infinity;
      const row = softmax(scores);
      weights.set(row, (h * T + t) * S);
      for (let s = 0; s < S; s++) for (let c = 0; c < C; c++) heads[(t * H + h) * C + c] += row[s] * v[(s * G + g) * C + c];
    }
  }
  return { heads, weights };
}

// How a query is compared with a key: their product; or (Bahdanau) a learned vector times tanh(q + k).
function compare(q, i, k, j, C, additive, h) {
  let sum = 0;
  if (additive) for (let c = 0; c < C; c++) sum += additive.data[h * C + c] * Math.tanh(q[i + c] + k[j + c]);
  else for (let c = 0; c < C; c++) sum += q[i + c] * k[j + c];
  return sum;
}

// Project to queries, keys and values, attend, join the heads, project back.
class Attention {
  constructor(weights, name, config, D, tap) {
    const H = config.heads, G = config.kv_heads ?? H, C = config.head_width ?? D / H;
    Object.assign(this, { name, H, G, C, tap, additive: weights[`${name}.additive`] });
    this.scale = config.score.kind === "additive" ? 1 : config.score.scale ?? 1 / Math.sqrt(C);
    [this.qNorm, this.kNorm] = ["q_norm", "k_norm"].map((part) => norm(weights, `${name}.${part}`, config.norm));
    for (const part of ["qkv", "q", "kv", "out"]) this[part] = product(weights, `${name}.${part}`);
  }

  // Self-attention of new vectors, (T, D), which attend to those before them, too, whose keys and values the cache holds.
  selfAttend(x, { start, allowed, position }, cache) {
    const { H, G, C } = this, qkv = this.qkv(x), W = (H + 2 * G) * C; // (T, (H + 2G) · C)
    const q = position.rotate(this.qNorm(columns(qkv, W, 0, H * C), C), H, start); // (T, H, C)
    const k = position.rotate(this.kNorm(columns(qkv, W, H * C, (H + G) * C), C), G, start); // (T, G, C)
    cache.k = joined(cache.k, k); // (S, G, C): a key that was made once stays as it is
    cache.v = joined(cache.v, columns(qkv, W, (H + G) * C, W));
    return this.#attend(q, cache, (t, s) => allowed(start + t, s), (h, t, s) => position.bias(h, start + t, s));
  }

  // Keys and values of an encoder's output, (S, D).
  projectMemory(memory, position) {
    const { G, C } = this, kv = this.kv(memory), k = this.kNorm(columns(kv, 2 * G * C, 0, G * C), C);
    return { k: position.rotate(k, G, 0), v: columns(kv, 2 * G * C, G * C, 2 * G * C) };
  }

  // The queries are the decoder's, keys and values the encoder's. Every key may be attended to.
  crossAttend(x, memory, { start, across }) {
    const q = across.rotate(this.qNorm(this.q(x), this.C), this.H, start);
    return this.#attend(q, memory, () => true, (h, t, s) => across.bias(h, start + t, s));
  }

  #attend(q, { k, v }, allowed, bias) {
    const { H, G, C, scale, additive, name } = this;
    const { heads, weights } = attend(q, k, v, { H, G, C, scale, additive, allowed, bias });
    const T = q.length / (H * C);
    this.tap(`${name}.weights`, weights, [H, T, weights.length / (H * T)]);
    return this.out(heads);
  }
}

// Each position by itself: D → F → D.
export const FEEDFORWARDS = {
  mlp: (config, weights, name) => {
    const [up, down, activation] = [product(weights, `${name}.up`), product(weights, `${name}.down`), ACTIVATIONS[config.activation]];
    return (x) => down(up(x).map(activation));
  },
  gated: (config, weights, name) => {
    const [both, down, activation] = [product(weights, `${name}.gate_up`), product(weights, `${name}.down`), ACTIVATIONS[config.activation]];
    const F = weights[`${name}.down.weight`].shape[1];
    return (x) => {
      const wide = both(x), up = columns(wide, 2 * F, F, 2 * F);
      return down(columns(wide, 2 * F, 0, F).map((number, i) => activation(number) * up[i]));
    };
  },
};

// Where the norms stand around a part: x and what the part makes of it, added up.
export const PLACEMENTS = {
  post: (before) => (x, D, part) => before(add(x, part(x)), D),
  pre: (before) => (x, D, part) => add(x, part(before(x, D))),
  sandwich: (before, after) => (x, D, part) => add(x, after(part(before(x, D)), D)),
  "layer-scale": (before, after, gain) => (x, D, part) => add(x, part(before(x, D)).map((number, i) => number * gain.data[i % D])),
};

function residual(weights, name, config) {
  const before = norm(weights, `${name}.norm`, config.norm);
  const after = config.placement.kind === "sandwich" ? norm(weights, `${name}.norm_out`, config.norm) : null;
  return PLACEMENTS[config.placement.kind](before, after, weights[`${name}.gain`]);
}

// One layer: attention, cross-attention if there is a memory, feed-forward.
class Block {
  constructor(weights, name, config, tap) {
    this.D = config.width;
    this.attention = new Attention(weights, `${name}.attention`, config.attention, config.width, tap);
    this.cross = config.cross && new Attention(weights, `${name}.cross`, config.cross, config.width, tap);
    this.feedforward = FEEDFORWARDS[config.feedforward.kind](config.feedforward, weights, `${name}.feedforward`);
    for (const part of ["attention", "cross", "feedforward"]) if (this[part]) this[`${part}Residual`] = residual(weights, `${name}.${part}_residual`, config);
  }

  // (T, D) → (T, D)
  forward(x, context, cache) {
    x = this.attentionResidual(x, this.D, (y) => this.attention.selfAttend(y, context, cache));
    if (this.cross) x = this.crossResidual(x, this.D, (y) => this.cross.crossAttend(y, cache.memory, context));
    return this.feedforwardResidual(x, this.D, this.feedforward);
  }
}

// N blocks over a sequence of vectors.
class Stack {
  constructor(weights, name, config, tap) {
    const { attention, width, placement } = config, H = attention.heads, C = attention.head_width ?? width / H;
    this.config = config;
    this.position = positionOf(config.position, H, C, weights[`${name}.position.table.weight`]);
    this.across = config.cross_position ? this.position : positionOf({ kind: "none" });
    const pattern = config.pattern.length ? config.pattern : [{}]; // block by block, again and again
    this.layers = pattern.map(({ mask, position: own }) => ({
      allowed: MASKS[(mask ?? config.mask).kind](mask ?? config.mask),
      position: own ? positionOf(own, H, C) : this.position,
    }));
    this.blocks = Array.from({ length: config.depth }, (_, i) => new Block(weights, `${name}.blocks.${i}`, config, tap));
    this.E = config.entry_width ?? width;
    this.entryNorm = norm(weights, `${name}.entry_norm`, config.entry_norm && config.norm);
    this.entryProjection = config.entry_width ? product(weights, `${name}.entry_projection`) : same;
    this.finalNorm = norm(weights, `${name}.final_norm`, placement.kind !== "post" && config.norm);
  }

  // What later tokens need of earlier ones: keys and values of each layer, empty at first; and those of the memory.
  cache(memory) {
    const empty = () => new Float32Array(0);
    return { length: 0, layers: this.blocks.map(({ cross }) => ({ k: empty(), v: empty(), memory: cross && cross.projectMemory(memory, this.across) })) };
  }

  // (T, E) → (T, D): vectors that follow those of which the cache holds keys and values. E is D but where one product widens.
  forward(x, cache) {
    const { E, layers, position, across } = this, D = this.config.width, start = cache.length;
    cache.length += x.length / E;
    x = this.entryProjection(this.entryNorm(position.add(x, E, start), E));
    this.blocks.forEach((block, i) => { x = block.forward(x, { start, ...layers[i % layers.length], across }, cache.layers[i]); });
    return this.finalNorm(x, D);
  }
}

// From what a model is given to vectors: ids (T) or an image (channels, rows, columns) → (T, D).
export const EMBEDDINGS = {
  tokens: ({ scale }, weights, name, D) => (ids) => {
    const table = weights[`${name}.weight`].data, factor = scale ? Math.sqrt(D) : 1, x = new Float32Array(ids.length * D);
    ids.forEach((id, t) => { for (let i = 0; i < D; i++) x[t * D + i] = table[id * D + i] * factor; });
    return x;
  },
  patches: ({ channels, pixel_rows, pixel_columns, patch: P }, weights, name) => (image) => {
    const [down, across, size] = [pixel_rows / P, pixel_columns / P, channels * P * P], flat = new Float32Array(down * across * size);
    for (let n = 0, i = 0; n < down * across; n++) // patch by patch, and in each: channels, rows, columns
      for (let c = 0; c < channels; c++)
        for (let r = 0; r < P; r++)
          for (let s = 0; s < P; s++) flat[i++] = image[(c * pixel_rows + Math.floor(n / across) * P + r) * pixel_columns + (n % across) * P + s];
    const weight = weights[`${name}.weight`], first = weights[`${name}.first`];
    const x = linear(flat, { data: weight.data, shape: [weight.shape[0], size] }, weights[`${name}.bias`]);
    return first ? joined(first.data, x) : x;
  },
};

// One more layer before the predictions, where there is one: norm(activation(W x + b)).
function transform(weights, name, config) {
  if (!config) return same;
  const dense = product(weights, `${name}.dense`), last = norm(weights, `${name}.norm`, config.norm);
  return (x) => last(dense(x).map(ACTIVATIONS[config.activation]), weights[`${name}.dense.weight`].shape[0]);
}

const mean = (x, D, from) => Float32Array.from({ length: D }, (_, i) => { // of the vectors from that one on
  let sum = 0;
  for (let r = from * D; r < x.length; r += D) sum += x[r + i];
  return sum / Math.max(1, x.length / D - from);
});
export const POOLINGS = {
  mean: (x, D) => mean(x, D, 0),
  first: (x, D) => x.slice(0, D),
  "first-and-second": (x, D) => x.slice(0, 2 * D),
  "first-and-mean": (x, D, skipped) => joined(x.slice(0, D), mean(x, D, 1 + skipped)),
};

// From a stack's vectors, (T, D), to logits: of the token that follows the last, (V), or of classes for all together, (V).
export const HEADS = {
  vocabulary: (config, weights, name) => {
    const last = transform(weights, `${name}.transform`, config.transform), words = product(weights, name);
    return (x, D) => words(last(x.slice(x.length - D)));
  },
  classes: (config, weights, name) => {
    const last = transform(weights, `${name}.transform`, config.transform), classes = product(weights, name);
    return (x, D) => classes(last(POOLINGS[config.pooling](x, D, config.skipped)));
  },
};

// Embed, stack, head: a GPT when its mask is causal, a BERT or a ViT when it is full.
class Transformer {
  constructor(config, weights, tap) {
    this.D = config.stack.width;
    this.stack = new Stack(weights, "stack", config.stack, tap);
    this.embed = EMBEDDINGS[config.embed.kind](config.embed, weights, "embed", this.stack.E);
    this.head = HEADS[config.head.kind](config.head, weights, "head");
  }

  begin() { return this.stack.cache(null); }

  // What follows, or what it is: logits, (V).
  step(given, cache) { return this.head(this.stack.forward(this.embed(given), cache), this.D); }
}

// Two stacks; the decoder also attends to the encoder's output.
class EncoderDecoder {
  constructor(config, weights, tap) {
    this.D = config.decoder.width;
    this.encoder = new Stack(weights, "encoder", config.encoder, tap);
    this.decoder = new Stack(weights, "decoder", config.decoder, tap);
    this.source = EMBEDDINGS[config.source.kind](config.source, weights, "source", this.encoder.E);
    this.target = EMBEDDINGS[config.target.kind](config.target, weights, "target", this.decoder.E);
    this.head = HEADS.vocabulary({ transform: null }, weights, "head");
  }

  // Reads the source once: ids, (S).
  begin(source) { return this.decoder.cache(this.encoder.forward(this.source(source), this.encoder.cache(null))); }

  step(given, cache) { return this.head(this.decoder.forward(this.target(given), cache), this.D); }
}

export const MODELS = { transformer: Transformer, "encoder-decoder": EncoderDecoder };

export const build = (config, weights, tap = () => {}) => new MODELS[config.kind](config, weights, tap);
