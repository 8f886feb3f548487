// Text to ids and back, as regard/data/tokenizer_kinds.py does it: normalise, split into words, cut into pieces.

const SPACE = "\u2581", UNKNOWN = "\ufffd", UNK = 1;
const WHITE = "\\p{White_Space}";

// Words with the space before them: letters and digits together, punctuation and symbols apart. Everything matches.
function wordPattern(space) {
  const letters = `${space}?(?:['’\\-]|[^\\p{P}\\p{S}${WHITE}])+`;
  const symbols = `${space}?(?:(?!['’\\-${space}])[\\p{P}\\p{S}])+`;
  return new RegExp(`${letters}|${symbols}|${space}+(?=${space})|${space}|${WHITE}+`, "gu");
}

const BYTE_WORDS = wordPattern(" "), WORDS = wordPattern(SPACE);
const APART = /<(?=(?:pad|s|\/s)>)/; // a word spelled like a special token is taken apart

// GPT-2's printable character for each byte: printable ones stand for themselves.
const isPlain = (byte) => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
const others = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !isPlain(byte));
const LETTERS = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPlain(byte) ? byte : 0x100 + others.indexOf(byte)));
const VALUES = new Map(LETTERS.map((letter, byte) => [letter, byte]));
const bytesOf = (names) => new Uint8Array(names.flatMap((name) => (name === UNKNOWN ? [0xef, 0xbf, 0xbd] : [...name].map((letter) => VALUES.get(letter)))));

// How each kind splits a text into words, a word into the smallest pieces, and joins pieces again.
const KINDS = {
  characters: { split: (text) => [...text], letters: (word) => [word], join: (names) => names.join("") },
  words: {
    split: (text) => text.split(new RegExp(`${WHITE}+`, "u")).filter(Boolean).flatMap(apart),
    letters: (word) => [word],
    join: (names) => names.join(" "),
  },
  bpe: {
    split: (text) => (text ? SPACE + text : "").replaceAll(" ", SPACE).match(WORDS) ?? [],
    letters: (word) => [...word],
    join: (names) => names.join("").replaceAll(SPACE, " ").replace(/^ /, ""),
  },
  "byte-bpe": {
    split: (text) => text.match(BYTE_WORDS) ?? [],
    letters: (word) => Array.from(new TextEncoder().encode(word), (byte) => LETTERS[byte]),
    join: (names) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytesOf(names)),
  },
};

function apart(word) {
  const found = [];
  for (let at = word.search(APART); at >= 0; at = word.search(APART)) {
    if (at) found.push(word.slice(0, at));
    found.push("<");
    word = word.slice(at + 1);
  }
  return word ? [...found, word] : found;
}

export class Tokenizer {
  // `special`: names of the first ids; `pieces`: of all others; `merges`: pairs of pieces, the first to be joined first.
  // `lines`: whether a document is cut line by line.
  constructor({ spec, special, pieces, merges, lines = false }) {
    this.spec = spec;
    this.lines = lines;
    this.kind = KINDS[spec.kind];
    this.special = special.length;
    this.names = [...special, ...pieces];
    this.ids = new Map(this.names.map((name, id) => [name, id]));
    this.merges = new Map(merges.map(([left, right], rank) => [this.#pair(this.ids.get(left), this.ids.get(right)), [rank, this.ids.get(left + right)]]));
  }

  #pair(left, right) { return left * this.names.length + right; }

  normalise(text) {
    const whole = text.replace(/\p{Cs}/gu, UNKNOWN), normal = this.spec.nfc ? whole.normalize("NFC") : whole;
    return this.spec.lowercase ? Array.from(normal, (letter) => letter.toLowerCase()).join("") : normal;
  }

  // The ids of a text, without special tokens; what is unknown becomes `unk`.
  encode(text) {
    return this.kind.split(this.normalise(text)).flatMap((word) => this.#joined(this.kind.letters(word).map((piece) => this.ids.get(piece) ?? UNK)));
  }

  // The ids of a document, or of its beginning: whole, or line by line.
  encodeDocument(text) {
    const parts = this.lines ? text.replaceAll("\r\n", "\n").split(/(?<=\n)/) : [text];
    return parts.flatMap((part) => this.encode(part));
  }

  // Byte-pair encoding: of all neighbours that may be joined, the pair that was learned first, until there is none.
  #joined(ids) {
    while (this.merges.size && ids.length > 1) {
      let best = Infinity, at = -1, made = 0;
      for (let i = 0; i + 1 < ids.length; i++) {
        const [rank, id] = this.merges.get(this.#pair(ids[i], ids[i + 1])) ?? [Infinity];
        if (rank < best) [best, at, made] = [rank, i, id];
      }
      if (at < 0) break;
      ids.splice(at, 2, made);
    }
    return ids;
  }

  // The text of ids; special tokens are left out, what was unknown is U+FFFD.
  decode(ids) {
    const text = this.kind.join(ids.filter((id) => id === UNK || id >= this.special).map((id) => (id === UNK ? UNKNOWN : this.names[id])));
    return this.lines && this.spec.kind === "bpe" ? text.replaceAll("\n ", "\n") : text; // each line was given a space, too
  }

  // What an id stands for, for people to read: bytes that are no character as <0xE4>.
  piece(id) {
    const name = this.names[id];
    if (this.spec.kind !== "byte-bpe" || id < this.special) return name;
    const bytes = bytesOf([name]);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes).replaceAll(" ", SPACE);
    } catch {
      return Array.from(bytes, (byte) => (byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`)).join("");
    }
  }
}
