// Drawing an image for a model, or opening one: strokes become a small image with the drawing in its middle, as the
// digits are that such models learn from.

import { el } from "./dom.js";
import { say } from "./texts.js";

const SIDE = 252, PEN = 18, STEP = 9; // pixels of the pad
const LARGEST = 512; // pixels across of an image that is sent

export class Pad {
  // `drawn(dataUrl)`: there is an image; null for an empty one.
  constructor({ rows, columns, channels }, drawn) {
    Object.assign(this, { rows, columns, channels, drawn, pen: [SIDE / 2, SIDE / 3], down: false });
    this.canvas = el("canvas", { class: "pad", width: SIDE, height: SIDE, tabindex: 0, role: "img", "aria-label": `${say("draw")}. ${say("keys")}`, title: say("keys") });
    this.small = el("canvas", { class: "seen", width: columns, height: rows, role: "img", "aria-label": say("sees") });
    this.element = el("div", { class: "pad-row" }, this.canvas, el("div", { class: "seen-box" }, this.small, el("span", { class: "hint" }, say("sees"))));
    const at = (event) => [(event.offsetX * SIDE) / this.canvas.clientWidth, (event.offsetY * SIDE) / this.canvas.clientHeight];
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.pen = at(event);
      this.stroke(this.pen);
      this.held = true;
    });
    this.canvas.addEventListener("pointermove", (event) => { if (this.held) this.stroke(at(event)); });
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, () => { this.held = false; });
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.canvas.addEventListener("blur", () => { this.down = false; this.#show(false); });
    this.ink = new OffscreenCanvas(SIDE, SIDE);
    this.clear(false);
  }

  get #brush() {
    const brush = this.ink.getContext("2d", { willReadFrequently: true });
    Object.assign(brush, { strokeStyle: "#fff", lineWidth: PEN, lineCap: "round", lineJoin: "round" });
    return brush;
  }

  clear(tell = true) {
    const brush = this.#brush;
    brush.fillStyle = "#000";
    brush.fillRect(0, 0, SIDE, SIDE);
    this.own = true; // what is on the pad was drawn here, not opened
    this.#show(false);
    this.small.getContext("2d").clearRect(0, 0, this.columns, this.rows);
    if (tell) this.drawn(null);
  }

  // A seven, for the first look.
  begin() {
    this.pen = [0.28, 0.25].map((x) => x * SIDE);
    for (const [x, y] of [[0.7, 0.25], [0.66, 0.36], [0.42, 0.8]]) this.stroke([x * SIDE, y * SIDE]);
  }

  stroke(to) {
    if (!this.own) this.clear(false);
    const brush = this.#brush;
    brush.beginPath();
    brush.moveTo(...this.pen);
    brush.lineTo(...to);
    brush.stroke();
    this.pen = to;
    this.#show(false);
    this.#tell();
  }

  #key(event) {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === " ") {
      this.down = !this.down;
      if (this.down) this.stroke(this.pen);
    } else if (move) {
      const to = this.pen.map((x, i) => Math.min(SIDE - PEN / 2, Math.max(PEN / 2, x + move[i] * STEP)));
      if (this.down) this.stroke(to);
      else this.pen = to;
    } else return;
    event.preventDefault();
    this.#show(true);
  }

  #show(pen) {
    const front = this.canvas.getContext("2d");
    front.drawImage(this.ink, 0, 0);
    if (!pen) return;
    front.strokeStyle = this.down ? "#8ab4ff" : "#aaa";
    front.lineWidth = 2;
    front.beginPath();
    front.arc(...this.pen, PEN / 2, 0, 7);
    front.stroke();
  }

  // The strokes in the middle by their weight, as tall as the digits of the well-known sets are: 20 of 28.
  #tell() {
    const { data } = this.#brush.getImageData(0, 0, SIDE, SIDE);
    let [left, top, right, bottom, weight, x, y] = [SIDE, SIDE, 0, 0, 0, 0, 0];
    for (let i = 0; i < SIDE * SIDE; i++) {
      const light = data[i * 4], c = i % SIDE, r = (i - c) / SIDE;
      if (light < 32) continue;
      [left, right, top, bottom] = [Math.min(left, c), Math.max(right, c), Math.min(top, r), Math.max(bottom, r)];
      weight += light;
      x += c * light;
      y += r * light;
    }
    if (!weight) return;
    const scale = Math.min(((20 / 28) * this.rows) / (bottom - top + 1), ((20 / 28) * this.columns) / (right - left + 1), this.rows / SIDE * 2.2);
    const brush = this.small.getContext("2d");
    brush.fillStyle = "#000";
    brush.fillRect(0, 0, this.columns, this.rows);
    brush.imageSmoothingQuality = "high";
    brush.drawImage(this.ink, this.columns / 2 - (x / weight) * scale, this.rows / 2 - (y / weight) * scale, SIDE * scale, SIDE * scale);
    this.drawn(this.small.toDataURL("image/png"));
  }

  // An image from a file or a link; `tell`: whether it is news. Rejects what is none.
  async open(url, tell = true) {
    const image = new Image();
    image.src = url;
    await image.decode();
    const front = this.#brush;
    this.own = false;
    front.fillStyle = "#000";
    front.fillRect(0, 0, SIDE, SIDE);
    const scale = Math.min(SIDE / image.width, SIDE / image.height);
    front.imageSmoothingEnabled = scale < 1;
    front.drawImage(image, (SIDE - image.width * scale) / 2, (SIDE - image.height * scale) / 2, image.width * scale, image.height * scale);
    this.#show(false);
    this.small.getContext("2d").drawImage(image, 0, 0, this.columns, this.rows);
    if (tell) this.drawn(image.width <= LARGEST && image.height <= LARGEST && url.startsWith("data:") ? url : reduced(image));
  }
}

function reduced(image) {
  const scale = Math.min(1, LARGEST / Math.max(image.width, image.height));
  const canvas = el("canvas", { width: Math.max(1, Math.round(image.width * scale)), height: Math.max(1, Math.round(image.height * scale)) });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/png");
}

export function fileUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
