// How order enters: each kind has the hooks that it needs. `add` changes the vectors that enter a stack, `rotate` queries
// and keys, `bias` is added to the scores. The same parts, by the same names, as regard/model/position.py.

// The angles of place p, one for each pair of numbers.
const angles = (p, pairs, base) => Float64Array.from({ length: pairs }, (_, i) => p * base ** (-i / pairs));

// Sines and cosines of the places, in turn or one half after the other; an odd width lacks the last cosine.
function sinusoids(p, D, base, interleaved) {
  const pairs = Math.ceil(D / 2), row = new Float64Array(2 * pairs);
  for (let i = 0; i < pairs; i++) {
    const angle = p * base ** ((-2 * i) / D);
    row[interleaved ? 2 * i : i] = Math.sin(angle);
    row[interleaved ? 2 * i + 1 : pairs + i] = Math.cos(angle);
  }
  return row.subarray(0, D);
}

// Adds row(p) to the vector at each place p. x: (T, D) → (T, D).
function added(x, D, start, row) {
  const y = Float32Array.from(x);
  for (let t = 0; t < x.length / D; t++) row(start + t).forEach((number, i) => { y[t * D + i] += Math.fround(number); });
  return y;
}

// Rotates each pair of numbers of each head by its angle; what exceeds the pairs is left alone. x: (T, heads, C).
function rotated(x, heads, C, start, angle, interleaved) {
  const y = Float32Array.from(x), T = x.length / (heads * C);
  for (let t = 0; t < T; t++) {
    const some = angle(start + t), pairs = some.length;
    for (let i = 0; i < pairs; i++) {
      const cos = Math.fround(Math.cos(some[i])), sin = Math.fround(Math.sin(some[i]));
      for (let h = 0; h < heads; h++) {
        const at = (t * heads + h) * C, a = at + (interleaved ? 2 * i : i), b = at + (interleaved ? 2 * i + 1 : pairs + i);
        y[a] = x[a] * cos - x[b] * sin;
        y[b] = x[b] * cos + x[a] * sin;
      }
    }
  }
  return y;
}

// Row and column of place p in a grid of patches, after some that stand nowhere.
const grid = (p, { columns, leading }) => {
  const patch = Math.max(0, p - leading);
  return [Math.floor(patch / columns), patch % columns];
};

// T5's buckets: exact when near, logarithmic when far. In single precision, as the library computes them.
function bucket(distance, { buckets, max_distance, bidirectional }) {
  const half = bidirectional ? buckets >> 1 : buckets, offset = bidirectional && distance > 0 ? half : 0;
  const away = bidirectional ? Math.abs(distance) : Math.max(0, -distance), exact = half >> 1;
  if (away < exact) return offset + away;
  const f = Math.fround, ratio = f(f(Math.log(f(away / exact))) / f(Math.log(max_distance / exact)));
  return offset + Math.min(half - 1, exact + Math.trunc(f(ratio * (half - exact))));
}

// 2^(-8/H), 2^(-16/H), …; when H is no power of two, the next one's odd slopes fill up.
function slopes(H) {
  const power = 2 ** Math.floor(Math.log2(H));
  return Array.from({ length: H }, (_, i) => Math.fround(i < power ? 2 ** ((-8 * (i + 1)) / power) : 2 ** ((-4 * (2 * (i - power) + 1)) / power)));
}

// A stack's position part. `table`: the learned rows, where there are any.
export const POSITIONS = {
  none: () => ({}),
  sinusoidal: ({ base, interleaved }) => ({ add: (x, D, start) => added(x, D, start, (p) => sinusoids(p, D, base, interleaved)) }),
  learned: (config, H, C, table) => ({ add: (x, D, start) => added(x, D, start, (p) => table.data.subarray(p * D, (p + 1) * D)) }),
  rotary: ({ base, fraction, interleaved }, H, C) => {
    const pairs = Math.round(C * fraction) / 2;
    return { rotate: (x, heads, start) => rotated(x, heads, C, start, (p) => angles(p, pairs, base), interleaved) };
  },
  alibi: (config, H) => {
    const slope = slopes(H);
    return { bias: (h, query, key) => -Math.abs(query - key) * slope[h] };
  },
  relative: (config, H, C, table) => ({ bias: (h, query, key) => table.data[bucket(key - query, config) * H + h] }),
  "sinusoidal-2d": (config) => ({
    add: (x, D, start) => added(x, D, start, (p) => {
      const [row, column] = grid(p, config), half = D / 2;
      return p < config.leading ? new Float64Array(D) : [...sinusoids(column, half, config.base, false), ...sinusoids(row, half, config.base, false)];
    }),
  }),
  "rotary-2d": (config, H, C) => ({
    rotate: (x, heads, start) => rotated(x, heads, C, start, (p) => grid(p, config).flatMap((place) => [...angles(place, C / 4, config.base)]), false),
  }),
};

// The part with all its hooks; those that it does not need leave everything as it is.
export const positionOf = (config, ...more) => ({ add: (x) => x, rotate: (x) => x, bias: () => 0, ...POSITIONS[config.kind](config, ...more) });
