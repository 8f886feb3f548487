// The course: worked examples as pages, each computed by the server when it is asked for, with something to change.

import { Refused, get, inProgress } from "./api.js";
import { el, short } from "./dom.js";
import { plot } from "./plot.js";
import { emit, look, store } from "./state.js";
import { lang } from "./shell.js";
import { sumLine } from "./sums.js";
import { of, say } from "./texts.js";
import { grid } from "./worked.js";

const WAIT = 250; // milliseconds of rest before something typed is computed
const SLOW = 400; // milliseconds after which the page says how far the computation is

export class Course {
  constructor(element) {
    this.element = element;
    this.bar = el("progress", { max: 1 });
    this.done = el("span", { class: "hint" });
    this.progress = el("div", { class: "course-progress", hidden: true }, this.bar, this.done);
    this.list = el("nav", { class: "course-list" });
    this.page = el("article", { class: "course-page" });
    sumLine(this.page);
    element.replaceChildren(this.list, el("div", {}, this.progress, this.page));
  }

  async show() {
    try {
      this.examples ??= (await this.#waitFor(() => get("/api/course"))).examples;
    } catch (problem) {
      return emit("problem", problem.message || say("gone"));
    }
    const at = this.examples.findIndex((one) => one.name === store.view.course);
    this.example = this.examples[Math.max(0, at)];
    if (store.view.course !== this.example.name) store.view.course = this.example.name;
    store.view.given = fitting(this.example, store.view.given);
    this.#contents();
    await this.compute();
  }

  #contents() {
    this.list.setAttribute("aria-label", say("contents"));
    const open = (name) => { look({ course: name, given: {} }); };
    this.list.replaceChildren(el("h2", { class: "label" }, say("course")), el("p", { class: "hint" }, say("courseHelp")),
      el("ol", {}, this.examples.map((one) => el("li", {}, el("button", { type: "button", class: "lesson", "aria-current": one === this.example ? "page" : null, onclick: () => open(one.name) }, of(one.title))))),
      el("label", { class: "lesson-choice" }, el("span", { class: "unseen" }, say("contents")), el("select", { onchange: (event) => open(event.target.value) },
        this.examples.map((one, i) => el("option", { value: one.name, selected: one === this.example }, `${i + 1}. ${of(one.title)}`)))));
  }

  // What takes long says how far it is.
  async #waitFor(act) {
    this.#progressed(0);
    const slow = this.slow = setTimeout(() => { this.progress.hidden = false; }, SLOW);
    try {
      return await act();
    } finally {
      clearTimeout(slow);
      if (this.slow === slow) this.progress.hidden = true;
    }
  }

  async compute() {
    const { name } = this.example, wanted = lang();
    this.leave(); // what was asked for before is given up
    const asked = this.asked = new AbortController();
    this.page.setAttribute("aria-busy", "true");
    try {
      const body = { lang: wanted, changes: store.view.given };
      const found = await this.#waitFor(() => inProgress(`/api/course/${encodeURIComponent(name)}`, body, asked.signal, (share) => this.#progressed(share)));
      if (!found) return;
      Object.assign(this, { found, problem: null });
    } catch (problem) {
      if (!(problem instanceof Refused)) throw problem;
      this.problem = problem.message || say("gone");
      if (!problem.message) emit("problem", this.problem); // which goes away when the server is back
    }
    this.page.removeAttribute("aria-busy");
    this.#draw();
  }

  // Nobody looks any more: the server stops computing.
  leave() {
    this.asked?.abort();
    this.progress.hidden = true;
  }

  #progressed(share) {
    const text = say("working", Math.round(100 * share));
    this.bar.value = share;
    this.bar.setAttribute("aria-label", text);
    this.done.textContent = text;
  }

  #draw() {
    if (this.problem && this.found?.example.name !== this.example.name) {
      this.page.replaceChildren(el("h1", {}, of(this.example.title)), el("p", { class: "hint", role: "alert" }, this.problem));
      return;
    }
    const { example, figures } = this.found;
    const same = this.shown === `${example.name}${lang()}`;
    this.shown = `${example.name}${lang()}`;
    const plots = [];
    const steps = example.steps.map((step, i) => {
      const figure = figures?.[i] ? el("figure", {}, el("div", { class: "plot", role: "img", "aria-label": of(step.figure) }), el("figcaption", { class: "hint" }, of(step.figure))) : null;
      if (figure) plots.push([figure.firstChild, figures[i]]);
      return el("section", {}, el("h2", {}, el("span", { class: "count" }, `${i + 1} `), of(step.title)), paragraphs(of(step.text)),
        step.formula ? el("p", { class: "formula" }, step.formula) : null, el("div", { class: "values" }, step.values.flatMap((value) => grid(value))), figure);
    });
    const head = [el("h1", {}, of(example.title)), paragraphs(of(example.text))];
    const content = el("div", { class: "course-steps" }, this.problem ? el("p", { class: "hint", role: "alert" }, this.problem) : null, el("p", { class: "hint" }, say("pointSum")), steps, this.#proofs(example), this.#onward());
    if (same) this.page.querySelector(".course-steps").replaceWith(content); // the fields that are typed into stay
    else {
      this.page.replaceChildren(...head.flat(), this.#fields(), content);
      scrollTo(0, 0);
    }
    plots.forEach(([place, figure]) => plot(place, figure));
  }

  #proofs(example) {
    const rows = example.proofs.map((proof) => el("tr", {}, el("th", { scope: "row" }, of(proof.claim)), el("td", {}, short(proof.difference, 2)), el("td", {}, short(proof.tolerance, 1)),
      el("td", { class: proof.holds ? "holds" : "broken" }, say(proof.holds ? "holds" : "broken"))));
    const head = ["claim", "differs", "allowed", "result"].map((key) => el("th", { scope: "col" }, say(key)));
    return el("section", { class: "proofs" }, el("h2", {}, say("proof")), el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": say("proof") },
      el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows))));
  }

  #onward() {
    const at = this.examples.indexOf(this.example);
    const to = (one, label) => (one ? el("button", { type: "button", onclick: () => look({ course: one.name, given: {} }) }, `${say(label)}: ${of(one.title)}`) : null);
    return el("div", { class: "row onward" }, to(this.examples[at - 1], "previous"), el("span", { class: "fill" }), to(this.examples[at + 1], "following"));
  }

  // ---------------------------------------------------------------- something to change

  #fields() {
    const { parameters } = this.example;
    if (!parameters?.length) return el("div");
    const form = el("form", { class: "try" }, el("h2", { class: "label" }, say("try")));
    let waiting = 0;
    const send = (name, value, wait) => {
      const { [name]: _, ...rest } = store.view.given;
      const one = parameters.find((some) => some.name === name);
      look({ given: value === one.default ? rest : { ...rest, [name]: value } });
      clearTimeout(waiting);
      waiting = setTimeout(() => this.compute(), wait);
    };
    form.append(el("div", { class: "try-fields" }, parameters.map((one) => this.#field(one, store.view.given[one.name] ?? one.default, send))));
    form.append(el("button", { type: "reset", class: "small" }, say("asWas")));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", (event) => {
      event.preventDefault();
      look({ given: {} });
      form.replaceWith(this.#fields());
      this.compute();
    });
    return form;
  }

  #field(one, value, send) {
    const label = el("span", { class: "label" }, of(one.label));
    if (one.kind === "switch") return el("label", { class: "tick" }, el("input", { type: "checkbox", checked: Boolean(value), onchange: (event) => send(one.name, event.target.checked, 0) }), of(one.label));
    if (one.kind === "choice") {
      const select = el("select", { onchange: (event) => send(one.name, event.target.value, 0) }, one.options.map((option) => el("option", { value: option.value }, of(option.label))));
      select.value = value;
      return el("label", {}, label, select);
    }
    const isText = one.kind === "text";
    const kind = isText ? { type: "text", maxlength: one.longest } : { type: "number", min: one.least, max: one.most, step: one.kind === "whole" ? 1 : "any" };
    const told = el("span", { class: "refused", id: `refused-${one.name}`, role: "status" });
    const field = el("input", { ...kind, value: String(value), "aria-describedby": told.id, oninput: (event) => {
      if (event.isComposing) return;
      const given = isText || field.value === "" ? field.value : Number(field.value), fits = allowed(one, given);
      told.textContent = fits ? "" : bounds(one);
      field.setAttribute("aria-invalid", String(!fits));
      if (fits) send(one.name, given, WAIT);
    } });
    return el("label", { class: isText ? "grow" : null }, label, field, told);
  }
}

// Whether the server would take it (insight/parameters.py): what is known to be refused is never sent.
function allowed(one, value) {
  const within = Number.isFinite(value) && value >= one.least && value <= one.most;
  return { whole: () => within && Number.isInteger(value), real: () => within, switch: () => typeof value === "boolean",
    text: () => typeof value === "string" && value.trim() !== "" && [...value].length <= one.longest,
    choice: () => one.options.some((option) => option.value === value) }[one.kind]();
}

const bounds = (one) => say({ whole: "wholeFrom", real: "realFrom", text: "textUpTo" }[one.kind], ...(one.kind === "text" ? [one.longest] : [one.least, one.most]));

// Of a link, what this example can take.
function fitting({ parameters }, given) {
  return Object.fromEntries(Object.entries(given ?? {}).filter(([name, value]) => { const one = parameters.find((some) => some.name === name); return one && allowed(one, value); }));
}

const paragraphs = (text) => text.split("\n").filter(Boolean).map((line) => el("p", {}, line));
