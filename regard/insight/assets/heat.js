// A heat map on canvas: thousands of cells, names of rows and columns, a cell that pointer and arrow keys move.
// It knows nothing of models: rows, columns, numbers.

import { el, short } from "./dom.js";

const root = document.documentElement;
const NAME = 11, GAP = 6; // pixels: the size of names, and what is between them and the cells
const LONGEST = 10; // letters of a name
const ROOM = 36; // a cell that is wider than this shows its number

// The theme's colours, read once for each theme: asking for a style makes the page settle all of them.
const palettes = new Map(), dark = matchMedia("(prefers-color-scheme: dark)");
export function palette() {
  const { theme } = root.dataset, key = theme === "auto" ? String(dark.matches) : theme;
  if (!palettes.has(key)) {
    const style = getComputedStyle(root);
    const read = (name) => style.getPropertyValue(name).trim();
    const triple = (text) => text.split(",").map(Number);
    const hex = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
    const base = hex(read("--panel"));
    const ramp = (end) => Array.from({ length: 256 }, (_, i) => base.map((x, c) => Math.round(x + ((end[c] - x) * i) / 255)));
    palettes.set(key, { plus: ramp(triple(read("--plus"))), minus: ramp(triple(read("--minus"))), ink: read("--ink"), soft: read("--soft"),
      line: read("--line"), paper: read("--paper"), panel: read("--panel"), forbidden: hex(read("--line")), accent: read("--link"), family: getComputedStyle(document.body).fontFamily || "sans-serif" });
  }
  return palettes.get(key);
}

export function colourOf(x, most, colours) {
  if (Number.isNaN(x)) return colours.forbidden;
  if (!Number.isFinite(x)) return x < 0 ? colours.forbidden : colours.plus[255];
  const at = Math.min(255, Math.round((Math.abs(x) / (most || 1)) * 255));
  return (x < 0 ? colours.minus : colours.plus)[at];
}

// One pixel a cell.
function pixels({ numbers, rows, columns }, most) {
  const colours = palette();
  const image = new ImageData(columns, rows);
  for (let i = 0; i < rows * columns; i++) {
    const [r, g, b] = colourOf(numbers[i], most, colours);
    image.data.set([r, g, b, 255], i * 4);
  }
  const small = new OffscreenCanvas(columns, rows);
  small.getContext("2d").putImageData(image, 0, 0);
  return small;
}

// An image of a sheet without names. Its size is not asked of the page, which would have to lay itself out.
export function thumbnail(canvas, sheet, most) {
  const ratio = devicePixelRatio || 1, wide = 68, tall = 34;
  canvas.width = wide * ratio;
  canvas.height = tall * ratio;
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = sheet.columns > wide * ratio || sheet.rows > tall * ratio;
  pen.drawImage(pixels(sheet, most), 0, 0, canvas.width, canvas.height);
}

export class Heat {
  // `pointed(row, column)`: the cell under the pointer or the keys; `chosen`: pressed. `name`: what a reader hears.
  constructor({ pointed = () => {}, chosen = () => {} }) {
    this.told = { pointed, chosen };
    this.cell = null;
    this.canvas = el("canvas", { class: "heat", tabindex: 0, role: "img" });
    this.element = el("div", { class: "heat-scroll" }, this.canvas);
    this.canvas.addEventListener("pointermove", (event) => this.#at(event));
    this.canvas.addEventListener("pointerleave", () => this.#mark(null));
    this.canvas.addEventListener("click", (event) => { this.#at(event); if (this.cell) this.told.chosen(...this.cell); });
    this.canvas.addEventListener("focus", () => { if (!this.cell) this.#move(0, 0); });
    this.canvas.addEventListener("blur", () => this.#mark(null));
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  // sheet: {numbers, rows, columns}; names: arrays or null; `most`: what is full colour; `room`: pixels across.
  show({ sheet, rowNames, columnNames, most, room, tall = 420, square = false, name }) {
    Object.assign(this, { sheet, rowNames, columnNames, most });
    this.canvas.setAttribute("aria-label", name);
    const cut = (names, count) => (names && names.length >= count ? names.slice(0, count).map((x) => (x.length > LONGEST ? `${x.slice(0, LONGEST - 1)}…` : x)) : null);
    this.rows = cut(rowNames, sheet.rows);
    this.columns = cut(columnNames, sheet.columns);
    const pen = this.canvas.getContext("2d");
    pen.font = font();
    const widest = (names, otherwise) => (names ? Math.ceil(Math.max(...names.map((x) => pen.measureText(x).width))) : otherwise);
    this.left = sheet.rows === 1 && !this.rows ? 0 : widest(this.rows, 22) + GAP;
    const across = Math.max(40, room - this.left - 1);
    this.wide = Math.max(2, Math.min(this.columns ? 46 : 28, across / sheet.columns));
    const high = tall / sheet.rows;
    this.tall = Math.max(2, Math.min(this.rows ? 24 : 20, high));
    if (this.rows && sheet.rows <= 64) this.tall = Math.max(this.tall, 14);
    if (square) this.wide = this.tall = Math.max(2, Math.min(26, across / sheet.columns, this.rows ? 26 : high));
    if (square && this.wide > 8 && this.wide < 12 && sheet.rows <= 64) this.tall = 12;
    this.upright = this.columns && this.wide >= widest(this.columns) + 4;
    this.every = this.columns ? Math.max(1, Math.ceil(12 / this.wide)) : nice(34 / this.wide);
    this.top = this.columns && !this.upright ? widest(this.columns) + GAP : NAME + GAP + 2;
    this.everyRow = this.rows ? Math.max(1, Math.ceil(11 / this.tall)) : nice(16 / this.tall);
    this.draw();
  }

  draw() {
    const { sheet, left, top, wide, tall } = this;
    const ratio = devicePixelRatio || 1, colours = palette();
    const width = Math.ceil(left + wide * sheet.columns + 1), height = Math.ceil(top + tall * sheet.rows + 1);
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(pixels(sheet, this.most), left, top, wide * sheet.columns, tall * sheet.rows);
    this.#lines(pen, colours);
    this.#names(pen, colours);
    if (wide >= ROOM && tall >= 14) this.#numbers(pen, colours);
    this.whole = new OffscreenCanvas(this.canvas.width, this.canvas.height);
    this.whole.getContext("2d").drawImage(this.canvas, 0, 0);
    this.#cursor();
  }

  #lines(pen, colours) {
    const { sheet, left, top, wide, tall } = this;
    pen.fillStyle = colours.paper;
    if (wide >= 6) for (let c = 1; c < sheet.columns; c++) pen.fillRect(left + c * wide - 0.5, top, 1, tall * sheet.rows);
    if (tall >= 6) for (let r = 1; r < sheet.rows; r++) pen.fillRect(left, top + r * tall - 0.5, wide * sheet.columns, 1);
  }

  #names(pen, colours) {
    const { sheet, left, top, wide, tall } = this;
    pen.font = font();
    pen.fillStyle = colours.soft;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    if (left) for (let r = 0; r < sheet.rows; r += this.everyRow) pen.fillText(this.rows?.[r] ?? r, left - GAP, top + (r + 0.5) * tall);
    for (let c = 0; c < sheet.columns; c += this.every) {
      const text = this.columns?.[c] ?? c, x = left + (c + 0.5) * wide;
      pen.save();
      if (this.columns && !this.upright) {
        pen.translate(x, top - GAP);
        pen.rotate(-Math.PI / 2);
        pen.textAlign = "left";
        pen.fillText(text, 0, 0);
      } else {
        pen.textAlign = "center";
        pen.fillText(text, Math.max(x, pen.measureText(text).width / 2), top - NAME + 1);
      }
      pen.restore();
    }
  }

  #numbers(pen, colours) {
    const { sheet, left, top, wide, tall } = this;
    pen.font = font(10.5);
    pen.textAlign = "center";
    for (let i = 0; i < sheet.rows * sheet.columns; i++) {
      const x = sheet.numbers[i], [r, g, b] = colourOf(x, this.most, colours);
      pen.fillStyle = 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#111418" : "#ffffff";
      const text = Number.isFinite(x) ? (Number.isInteger(x) && Math.abs(x) < 1000 ? String(x) : Math.abs(x) >= 100 ? x.toFixed(0) : x.toFixed(Math.abs(x) < 9.995 ? 2 : 1)) : short(x);
      pen.fillText(text.replace("-", "−"), left + ((i % sheet.columns) + 0.5) * wide, top + (Math.floor(i / sheet.columns) + 0.5) * tall + 0.5);
    }
  }

  #cursor() {
    if (!this.cell) return;
    const [r, c] = this.cell, pen = this.canvas.getContext("2d"), colours = palette();
    const box = [this.left + c * this.wide, this.top + r * this.tall, this.wide, this.tall];
    pen.lineWidth = 3.5;
    pen.strokeStyle = colours.paper;
    pen.strokeRect(...box);
    pen.lineWidth = 1.75;
    pen.strokeStyle = colours.ink;
    pen.strokeRect(...box);
  }

  // Show `row` as what is looked at from elsewhere, or nothing.
  #mark(cell) {
    if (cell?.join() === this.cell?.join()) return;
    this.cell = cell;
    const pen = this.canvas.getContext("2d");
    if (!this.whole) return;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.drawImage(this.whole, 0, 0);
    pen.scale(devicePixelRatio || 1, devicePixelRatio || 1);
    this.#cursor();
    if (cell) this.told.pointed(...cell);
  }

  #at(event) {
    const c = Math.floor((event.offsetX - this.left) / this.wide), r = Math.floor((event.offsetY - this.top) / this.tall);
    const inside = r >= 0 && c >= 0 && r < this.sheet.rows && c < this.sheet.columns;
    this.#mark(inside ? [r, c] : null);
  }

  #move(r, c) {
    const within = (x, n) => Math.min(Math.max(x, 0), n - 1);
    this.#mark([within(r, this.sheet.rows), within(c, this.sheet.columns)]);
    const [row, column] = this.cell, box = this.element;
    const x = this.left + column * this.wide, y = this.top + row * this.tall;
    if (x < box.scrollLeft + this.left || x + this.wide > box.scrollLeft + box.clientWidth) box.scrollLeft = x - box.clientWidth / 2;
    if (y < box.scrollTop || y + this.tall > box.scrollTop + box.clientHeight) box.scrollTop = y - box.clientHeight / 2;
  }

  #key(event) {
    const [r, c] = this.cell ?? [0, 0];
    const page = event.ctrlKey ? 10 : 1;
    const next = { ArrowLeft: [r, c - page], ArrowRight: [r, c + page], ArrowUp: [r - page, c], ArrowDown: [r + page, c], Home: [r, 0], End: [r, this.sheet.columns - 1] }[event.key];
    if (next) this.#move(...next);
    else if (event.key === "Enter" || event.key === " ") this.told.chosen(r, c);
    else return;
    event.preventDefault();
  }
}

const font = (size = NAME) => `${size}px ${palette().family}`;

// The next of 1, 2, 5, 10, 20 …
function nice(x) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, x)));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= x) ?? 10 * power;
}

// Maps with their titles as one image.
export function together(pieces, title) {
  const ratio = devicePixelRatio || 1, colours = palette();
  const gap = 16, wide = Math.max(...pieces.map(({ canvas }) => canvas.width / ratio)), across = Math.min(pieces.length, Math.max(1, Math.floor(1400 / (wide + gap))));
  const tall = Math.max(...pieces.map(({ canvas }) => canvas.height / ratio)) + 20;
  const whole = el("canvas");
  whole.width = (across * (wide + gap) + gap) * ratio;
  whole.height = (Math.ceil(pieces.length / across) * (tall + gap) + gap + 24) * ratio;
  const pen = whole.getContext("2d");
  pen.scale(ratio, ratio);
  pen.fillStyle = colours.paper;
  pen.fillRect(0, 0, whole.width, whole.height);
  pen.fillStyle = colours.ink;
  pen.font = "600 13px sans-serif";
  pen.fillText(title, gap, gap + 8);
  pen.font = "12px sans-serif";
  pieces.forEach(({ canvas, name }, i) => {
    const x = gap + (i % across) * (wide + gap), y = gap + 24 + Math.floor(i / across) * (tall + gap);
    pen.fillText(name, x, y + 10);
    pen.drawImage(canvas, x, y + 18, canvas.width / ratio, canvas.height / ratio);
  });
  return new Promise((done) => whole.toBlob(done, "image/png"));
}
