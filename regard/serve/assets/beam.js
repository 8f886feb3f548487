// The beam search as a tree: a column for each step, a box for each token that was kept, lines from those that
// they go on from. The way to the answer is marked.

import { Panel } from "./panel.js";
import { el, refill, short, svg, visible } from "./dom.js";
import { change, lean, look, store } from "./state.js";
import { say } from "./texts.js";

const WIDE = 84, TALL = 40, GAP = 34, DOWN = 12, DEFAULT = 4;

export class Beam extends Panel {
  async refresh() {
    if (store.state.beam < 2) return this.show();
    await this.ask("/api/beam", lean(store.state));
  }

  show() {
    const { beam } = store.state;
    const field = el("input", { type: "number", min: 1, max: 16, value: beam, "data-focus": "beams", onchange: (event) => change({ beam: Math.min(16, Math.max(1, Math.round(Number(event.target.value)) || 1)) }) });
    const controls = el("div", { class: "row controls-row" }, el("label", { class: "tick" }, say("beams"), field));
    if (beam < 2) refill(this.element, controls, el("p", { class: "hint" }, say("wider")), el("button", { type: "button", onclick: () => change({ beam: DEFAULT }) }, `${say("beams")}: ${DEFAULT}`));
    else if (this.found) refill(this.element, controls, this.#drawn());
  }

  #drawn() {
    const { original, changed } = this.found, side = changed && store.view.side === "original" ? "original" : "changed";
    const one = changed && side === "changed" ? changed : original;
    const sides = changed ? el("div", { class: "picks", role: "group", "aria-label": say("treeOf") }, ["original", "changed"].map((name) => el("button", { type: "button", class: "pick", "aria-pressed": String(side === name), onclick: () => { look({ side: name }); this.show(); } }, say(name)))) : null;
    const scrolled = this.element.querySelector(".tree-scroll")?.scrollLeft ?? 0;
    const tree = el("div", { class: "tree-scroll", tabindex: 0, role: "group", "aria-label": say("tree") }, this.#tree(one));
    requestAnimationFrame(() => { tree.scrollLeft = scrolled; });
    return [el("p", { class: "hint" }, say("treeHelp")), sides, tree, this.#hypotheses(one)];
  }

  #tree(one) {
    const columns = one.steps.map((step) => step.filter((node) => node.total !== null));
    const most = Math.max(1, ...one.steps.map((step) => step.length));
    const at = (step, place) => ({ x: step * (WIDE + GAP), y: place * (TALL + DOWN) });
    const width = one.steps.length * (WIDE + GAP) + 8, height = most * (TALL + DOWN) + 22;
    const lines = svg("svg", { width, height, "aria-hidden": "true", class: "tree-lines" });
    columns.forEach((step, s) => step.forEach((node) => {
      if (!s) return;
      const a = at(s - 1, node.parent), b = at(s, node.place), x1 = a.x + WIDE, y1 = a.y + TALL / 2 + 20, x2 = b.x, y2 = b.y + TALL / 2 + 20;
      lines.append(svg("path", { d: `M${x1} ${y1}C${x1 + GAP / 2} ${y1} ${x2 - GAP / 2} ${y2} ${x2} ${y2}`, class: node.chosen ? "on" : "" }));
    }));
    const nodes = columns.flatMap((step, s) => [el("span", { class: "tree-step", vars: { left: `${at(s, 0).x}px` } }, say("step", s + 1)), ...step.map((node) => {
      const { x, y } = at(s, node.place), name = visible(node.token);
      const told = [name, say("total", short(node.total, 4)), node.score === null ? "" : `${say("score")} ${short(node.score, 4)}`, node.done ? say("ended") : "", node.chosen ? say("wasChosen") : ""].filter(Boolean).join(", ");
      return el("button", { type: "button", class: `node${node.chosen ? " on" : ""}${node.done ? " ended" : ""}`, title: told, "aria-label": `${say("step", s + 1)}: ${told}. ${say("goOn", name)}`,
        vars: { left: `${x}px`, top: `${y + 20}px`, width: `${WIDE}px`, height: `${TALL}px` }, onclick: () => change({ forced: this.#ids(one.steps, s, node) }) },
      el("span", { class: "node-token" }, name), el("span", { class: "shape" }, short(node.total, 3)));
    })]);
    return el("div", { class: "tree", vars: { width: `${width}px`, height: `${height}px` } }, lines, nodes);
  }

  // What was written on the way to a node.
  #ids(steps, s, node) {
    const ids = [];
    for (let at = s, one = node; one; one = at > 0 ? steps[at - 1].find((other) => other.place === one.parent) : null, at--) ids.unshift(one.id);
    return ids;
  }

  #hypotheses(one) {
    return el("section", {}, el("h2", { class: "label" }, say("hypotheses")), el("ol", { class: "hypotheses" }, one.hypotheses.map((each) => el("li", {}, el("span", {}, each.text || say("nothing")), el("span", { class: "fact" }, `${say("score")} ${short(each.score, 4)}`)))));
  }
}
