// The weights out of the page: base64 of their bytes, little-endian, one after the other.

// Half precision: 1 bit of sign, 5 of exponent, 10 of fraction.
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction);
}

function bytes(base64) {
  const text = atob(base64), found = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) found[i] = text.charCodeAt(i);
  return found;
}

function numbers(base64, dtype) {
  const { buffer } = bytes(base64);
  if (dtype === "float32") return new Float32Array(buffer);
  const all = Float32Array.from({ length: 65536 }, (_, bits) => half(bits));
  return Float32Array.from(new Uint16Array(buffer), (bits) => all[bits]);
}

// Name → {data, shape}. `layout`: [name, shape] in the order of the bytes; `tied`: other names of the same weights.
export function unpack({ layout, tied, dtype }, base64) {
  const flat = numbers(base64, dtype), found = {};
  let at = 0;
  for (const [name, shape] of layout) {
    const size = shape.reduce((a, b) => a * b, 1);
    found[name] = { data: flat.subarray(at, at + size), shape };
    at += size;
  }
  for (const [name, first] of Object.entries(tied)) found[name] = found[first];
  return found;
}
