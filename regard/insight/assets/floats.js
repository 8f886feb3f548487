// Numbers out of base64, little-endian and one after the other; and parts of them.

// Half precision: 1 bit of sign, 5 of exponent, 10 of fraction.
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction);
}

function bytes(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64), found = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) found[i] = text.charCodeAt(i);
  return found;
}

// `isHalf`: whether they are float16, and not float32.
export function floats(base64, isHalf = false) {
  const { buffer } = bytes(base64);
  if (!isHalf) return new Float32Array(buffer);
  const all = Float32Array.from({ length: 65536 }, (_, bits) => half(bits));
  return Float32Array.from(new Uint16Array(buffer), (bits) => all[bits]);
}

export const size = (shape) => shape.reduce((a, b) => a * b, 1);

// Numbers of up to three axes as sheets of rows: one sheet for each head, or one in all.
export function sheets({ shape, numbers }) {
  const [columns, rows = 1, count = 1] = shape.toReversed();
  return Array.from({ length: count }, (_, s) => ({ rows, columns, numbers: numbers.subarray(s * rows * columns, (s + 1) * rows * columns) }));
}

export function largest(numbers) {
  let most = 0;
  for (const x of numbers) if (Math.abs(x) > most && Number.isFinite(x)) most = Math.abs(x);
  return most;
}
