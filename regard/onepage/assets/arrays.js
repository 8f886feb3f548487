// Arithmetic on arrays: rows of numbers one after the other (row-major), so that (T, D) is a Float32Array of T · D.
// Sums are taken in double precision and kept in single.

// x Wᵀ + b for each row. x: (T, I); weight: (O, I); bias: (O), or none → (T, O).
export function linear(x, weight, bias) {
  const [O, I] = weight.shape, W = weight.data, T = x.length / I, y = new Float32Array(T * O);
  for (let o = 0; o < O; o++) {
    const w = o * I, b = bias ? bias.data[o] : 0;
    for (let t = 0; t < T; t++) {
      const r = t * I;
      let i = 0, p = 0, q = 0, m = 0, n = 0; // four sums at once: each waits for nobody but itself
      for (; i + 3 < I; i += 4) {
        p += x[r + i] * W[w + i];
        q += x[r + i + 1] * W[w + i + 1];
        m += x[r + i + 2] * W[w + i + 2];
        n += x[r + i + 3] * W[w + i + 3];
      }
      for (; i < I; i++) p += x[r + i] * W[w + i];
      y[t * O + o] = b + p + q + m + n;
    }
  }
  return y;
}

export const add = (x, y) => x.map((number, i) => number + y[i]);
export const rows = (x, from, to, D) => x.subarray(from * D, to * D);

// Columns from … to of (T, D), as a new array.
export function columns(x, D, from, to) {
  const T = x.length / D, C = to - from, y = new Float32Array(T * C);
  for (let t = 0; t < T; t++) y.set(x.subarray(t * D + from, t * D + to), t * C);
  return y;
}

// One array after the other: (S, …) and (T, …) → (S + T, …).
export function joined(x, y) {
  const both = new Float32Array(x.length + y.length);
  both.set(x);
  both.set(y, x.length);
  return both;
}

// Numbers that are not forbidden (-∞) as probabilities; all zeros where everything is forbidden.
export function softmax(x, temperature = 1) {
  const most = x.reduce((a, b) => Math.max(a, b), -Infinity);
  if (most === -Infinity) return new Float32Array(x.length);
  const powers = Float64Array.from(x, (number) => Math.exp((number - most) / temperature));
  const sum = powers.reduce((a, b) => a + b, 0);
  return Float32Array.from(powers, (power) => power / sum);
}

export const sigmoid = (x) => 1 / (1 + Math.exp(-x));

// The index of the first of the largest.
export const argmax = (x) => x.reduce((best, number, i) => (number > x[best] ? i : best), 0);

// Abramowitz and Stegun, 7.1.26: within 2e-7.
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return Math.sign(x) * (1 - p * Math.exp(-x * x));
}

export const ACTIVATIONS = {
  relu: (x) => Math.max(0, x),
  gelu: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  "gelu-tanh": (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  silu: (x) => x * sigmoid(x),
  tanh: Math.tanh,
};
