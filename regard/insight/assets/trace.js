"use strict";
(() => {
  const root = document.documentElement;
  const about = JSON.parse(document.getElementById("trace").textContent);
  const numbers = decode(document.getElementById("numbers").textContent, about.half);
  const say = (en, zh) => (root.dataset.lang === "zh" ? zh : en);
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const rgb = (name) => `rgb(${colour(name)})`;
  const calm = (text) => text.replaceAll("<", "‹").replaceAll(">", "›"); // Plotly would take it for markup
  const short = (x) => (Number.isFinite(x) ? String(Number(x.toPrecision(4))) : String(x));
  const MOST_TICKS = 40, MOST_HOVERED = 40000, MOST_CELLS = 800;
  const drawn = new Map(); // what is on the page, to be drawn again in another language or theme

  // ---------------------------------------------------------------- numbers

  function decode(text, half) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    if (!half) return new Float32Array(bytes.buffer);
    const halves = new Uint16Array(bytes.buffer), found = new Float32Array(halves.length);
    for (let i = 0; i < halves.length; i++) {
      const h = halves[i], sign = h & 0x8000 ? -1 : 1, power = (h >> 10) & 31, rest = h & 1023;
      found[i] = power === 0 ? sign * rest * 2 ** -24
        : power === 31 ? (rest ? NaN : sign * Infinity) : sign * (1 + rest / 1024) * 2 ** (power - 15);
    }
    return found;
  }

  const labels = (entry, axis) => about.labels[entry.labels[axis]];
  const size = (entry) => entry.shape.reduce((a, b) => a * b, 1);

  // An entry as sheets of rows: one sheet for each head, or one in all.
  function sheets(entry) {
    const shape = entry.shape.length > 1 ? entry.shape : [1, ...entry.shape];
    const [count, rows, columns] = shape.length === 3 ? shape : [1, ...shape];
    const made = [];
    for (let s = 0; s < count; s++) {
      const sheet = [];
      for (let r = 0; r < rows; r++) {
        const begin = entry.at + (s * rows + r) * columns;
        sheet.push(numbers.subarray(begin, begin + columns));
      }
      made.push(sheet);
    }
    return made;
  }

  const { axes: AXES, formulas: FORMULAS } = about.words; // insight/names.py
  const bothOf = (entry) => FORMULAS[entry.formula] ?? [entry.formula, entry.formula];
  const formula = (entry) => say(...bothOf(entry));
  const axisName = (name) => say(...(AXES[name] ?? [name, name]));
  const isShare = (entry) => /\.(weights|mask|probabilities)$/.test(entry.name);
  const nameAt = (entry, axis, place) => labels(entry, axis)[place] ?? String(place);

  // ---------------------------------------------------------------- heat maps

  function heat(plot, entry, pointed) {
    const pages = sheets(entry), two = entry.shape.length;
    const rowAxis = two - 2, columnAxis = two - 1;
    const room = plot.clientWidth || 600;
    const [height_, width_] = [pages[0].length, pages[0][0].length];
    const most = Math.max(1, Math.min(4, Math.floor(room / 250)));
    const across = Math.min(pages.length, width_ > 3 * height_ && width_ > 60 ? Math.min(2, most) : most);
    const down = Math.ceil(pages.length / across);
    const rowNames = rowAxis >= 0 ? labels(entry, rowAxis) : [], columnNames = labels(entry, columnAxis);
    const longest = (names) => Math.min(12, Math.max(1, ...names.map((name) => name.length)));
    const ticks = (names, pixels) => names.length > 0 && names.length <= Math.min(MOST_TICKS, pixels / 9);
    const each = room / across - 24;
    const left = 14 + 7 * longest(rowNames), top = 30 + (ticks(columnNames, each) ? 7 * longest(columnNames) : 14);
    const wide = Math.min(Math.max(80, each - left), Math.max(120, width_ * 40)); // few cells stay small
    const tall = Math.max(60, Math.min(height_ * (columnNames.length ? Math.max(18, wide / width_) : 18), 420));
    const whole = down * (tall + top) + 24;
    const share = isShare(entry), hover = size(entry) <= MOST_HOVERED;
    let largest = 0;
    for (const page of pages) for (const line of page) for (const x of line) if (Number.isFinite(x)) largest = Math.max(largest, Math.abs(x));
    const scale = share ? [[0, colour("--panel")], [1, rgb("--plus")]]
      : [[0, rgb("--minus")], [0.5, colour("--panel")], [1, rgb("--plus")]];
    const layout = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("--ink"), family: "inherit", size: 11 },
      margin: { l: 0, r: 0, t: 0, b: 0 }, height: whole, annotations: [], hovermode: "closest", dragmode: false,
    };
    const data = pages.map((page, index) => {
      const number = index ? String(index + 1) : "";
      const column = index % across, row = Math.floor(index / across);
      const x0 = (column * room) / across + left, y0 = row * (tall + top) + top;
      const axis = (names, pixels) => ({
        showgrid: false, zeroline: false, fixedrange: true, ticks: "", tickfont: { size: 10 },
        ...(ticks(names, pixels) ? { tickvals: names.map((_, i) => i), ticktext: names.map((name) => calm(name.slice(0, 12))) } : { nticks: 5 }),
      });
      layout[`xaxis${number}`] = { ...axis(columnNames, wide), domain: [x0 / room, Math.min(1, (x0 + wide) / room)], anchor: `y${number}`, side: "top", tickangle: columnNames.length ? -90 : 0 };
      layout[`yaxis${number}`] = { ...axis(rowNames, tall), domain: [1 - (y0 + tall) / whole, 1 - y0 / whole], anchor: `x${number}`, autorange: "reversed" };
      if (two === 3) {
        layout.annotations.push({
          text: `${axisName(entry.axes[0])} ${nameAt(entry, 0, index)}`, showarrow: false, xref: "paper", yref: "paper",
          x: x0 / room, y: 1 - (y0 + tall) / whole, yanchor: "top", xanchor: "left", font: { size: 11, color: colour("--soft") },
        });
      }
      const names = hover ? page.map((line, r) => Array.from(line, (x, c) =>
        `${calm(rowAxis >= 0 ? nameAt(entry, rowAxis, r) : "")} → ${calm(nameAt(entry, columnAxis, c))}<br>${short(x)}`)) : undefined;
      return {
        type: "heatmap", z: page.map((line) => Array.from(line, (x) => (Number.isFinite(x) ? x : null))),
        xaxis: `x${number}`, yaxis: `y${number}`, colorscale: scale, zmin: share ? 0 : -largest || -1, zmax: largest || 1,
        showscale: false, xgap: width_ <= 60 ? 1 : 0, ygap: height_ <= 60 ? 1 : 0,
        text: names, hovertemplate: hover ? "%{text}<extra></extra>" : undefined, hoverinfo: hover ? undefined : "none", meta: index,
      };
    });
    const draw = () => Plotly.react(plot, data, layout, { responsive: false, displayModeBar: false });
    window.plotly.then(draw).then(() => {
      plot.removeAllListeners?.("plotly_hover");
      plot.removeAllListeners?.("plotly_click");
      const told = (done) => (event) => { const [p] = event.points; done(p.data.meta, p.y, p.x); };
      plot.on("plotly_hover", told(pointed.over));
      plot.on("plotly_click", told(pointed.chosen));
    });
  }

  const valueAt = (entry, s, r, c) => sheets(entry)[s][r][c];

  function describe(entry, s, r, c) {
    const two = entry.shape.length;
    const head = two === 3 ? `${axisName(entry.axes[0])} ${nameAt(entry, 0, s)}: ` : "";
    const row = two > 1 ? `${nameAt(entry, two - 2, r)} → ` : "";
    const value = valueAt(entry, s, r, c);
    return `${head}${row}${nameAt(entry, two - 1, c)} = ${Number.isFinite(value) ? Number(value.toPrecision(about.half ? 4 : 8)) : value}`;
  }

  // ---------------------------------------------------------------- where a number comes from

  function table(head, rows, caption) {
    const box = document.createElement("div");
    box.className = "grid";
    const scroll = document.createElement("div");
    scroll.className = "scroll";
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "group");
    scroll.setAttribute("aria-label", caption);
    const grid = document.createElement("table");
    grid.className = "numbers";
    grid.createCaption().textContent = caption;
    const top = grid.createTHead().insertRow();
    top.append(document.createElement("td"), ...head.map((text) => cell("th", text, "col")));
    const body = grid.createTBody();
    let largest = 0;
    for (const [, line] of rows) for (const x of line) if (Number.isFinite(x)) largest = Math.max(largest, Math.abs(x));
    for (const [name, line] of rows) {
      const row = body.insertRow();
      row.append(cell("th", name, "row"));
      for (const x of line) {
        const one = cell("td", short(x));
        one.dataset.v = String(x);
        if (x < 0) one.className = "minus";
        one.style.setProperty("--w", String(largest && Number.isFinite(x) ? Math.abs(x) / largest : 0));
        row.append(one);
      }
    }
    scroll.append(grid);
    const readout = document.createElement("p");
    readout.className = "readout";
    box.append(scroll, readout);
    return box;
  }

  function cell(kind, text, scope) {
    const one = document.createElement(kind);
    one.textContent = text;
    if (scope) one.scope = scope;
    return one;
  }

  function paragraph(text, kind) {
    const one = document.createElement("p");
    one.textContent = text;
    if (kind) one.className = kind;
    return one;
  }

  // q · k, scaled, and what the softmax makes of the row.
  function sumOf(sequence, entry, s, r, c) {
    const place = entry.name.replace(/\.[^.]*$/, "");
    const get = (point) => sequence.entries.find((other) => other.name === `${place}.${point}`);
    const [q, k, v, scores, weights, mask] = ["q", "k", "v", "scores", "weights", "mask"].map(get);
    const box = document.createElement("div");
    box.append(paragraph(describe(entry, s, r, c)));
    if (!q || !k || !scores || !weights) return box;
    const head = labels(q, 0)[s], groups = labels(k, 0);
    const g = k.shape[0] === q.shape[0] ? s : Math.min(groups.length - 1, Math.floor((s * k.shape[0]) / q.shape[0]));
    const queries = sheets(q)[s][r], keys = sheets(k)[g][c];
    const products = Array.from(queries, (x, i) => x * keys[i]);
    const sum = products.reduce((a, b) => a + b, 0);
    const score = valueAt(scores, s, r, c), weight = valueAt(weights, s, r, c);
    const from = nameAt(scores, 1, r), to = nameAt(scores, 2, c);
    box.append(table(products.map((_, i) => String(i)),
      [[`q ${from}`, [...queries]], [`k ${to}`, [...keys]], ["q · k", products]],
      say(`head ${head}: query of ‘${from}’ times key of ‘${to}’, number by number`, `头 ${head}：“${from}”的查询乘以“${to}”的键，逐维相乘`)));
    if (scores.formula.startsWith("q kᵀ")) {
      const bias = /\+ bias/.test(scores.formula) ? say(" + bias", " + 偏置") : "";
      const scale = scores.formula.match(/· ([\d.e+-]+)/)?.[1] ?? "1";
      box.append(paragraph(`${say("score", "分数")} = ${scale} · Σ q·k${bias} = ${scale} · ${short(sum)}${bias} = ${short(score)}`));
    }
    const line = sheets(scores)[s][r], seen = mask ? sheets(mask)[0][r] : line.map(() => 1);
    const allowed = [...line.keys()].filter((i) => seen[i] && Number.isFinite(line[i]));
    const top = Math.max(...allowed.map((i) => line[i]));
    const total = allowed.reduce((a, i) => a + Math.exp(line[i] - top), 0);
    box.append(paragraph(seen[c]
      ? `${say("weight", "权重")} = e^(${short(score)} − ${short(top)}) / ${short(total)} = ${short(weight)}`
      : say("The mask forbids this key: the weight is 0.", "掩码不允许看这个键：权重为 0。")));
    if (v) {
      const values = sheets(v)[g];
      box.append(table([...values[c].keys()].map(String), [[`v ${to}`, [...values[c]]], [say("weight · v", "权重 · v"), Array.from(values[c], (x) => x * weight)]],
        say("what it takes over of that value vector", "从这个值向量取走的部分")));
    }
    return box;
  }

  // ---------------------------------------------------------------- heads side by side

  function choice(text, options, chosen) {
    const label = document.createElement("label");
    const words = document.createElement("span");
    words.textContent = say(...text);
    words.dataset.en = text[0];
    words.dataset.zh = text[1];
    const select = document.createElement("select");
    for (const [value, en, zh] of options) {
      const one = new Option(say(en, zh), value);
      one.dataset.en = en;
      one.dataset.zh = zh;
      select.append(one);
    }
    if (chosen !== undefined) select.value = chosen;
    label.append(words, select);
    return [label, select];
  }

  function heads(sequence, place) {
    const all = sequence.entries.filter((entry) => /\.blocks\.\d+\.(attention|cross)\.(weights|scores|mask)$/.test(entry.name));
    if (!all.length) return;
    const unique = (pattern) => [...new Set(all.map((entry) => entry.name.match(pattern)[1]))];
    const layers = unique(/blocks\.(\d+)\./), kinds = unique(/\.(attention|cross)\.[a-z]+$/);
    const called = { attention: ["attention, self", "自注意力"], cross: ["attention to the encoder", "对编码器的注意力"] };
    const points = [["weights", "weights", "权重"], ["scores", "scores, before the softmax", "分数（softmax 之前）"], ["mask", "mask: who may see whom", "掩码：谁能看谁"]];
    const [layerBox, layer] = choice(["layer", "层"], layers.map((x) => [x, x, x]), layers.at(-1));
    const [kindBox, kind] = choice(["part", "部分"], kinds.map((x) => [x, ...called[x]]), kinds.at(-1));
    const recorded = points.filter(([name]) => all.some((entry) => entry.name.endsWith(`.${name}`)));
    const [pointBox, point] = choice(["show", "显示"], recorded);
    const controls = document.createElement("div");
    controls.className = "controls";
    controls.append(layerBox, ...(kinds.length > 1 ? [kindBox] : []), ...(recorded.length > 1 ? [pointBox] : []));
    const plot = document.createElement("div");
    plot.className = "maps";
    plot.setAttribute("role", "img");
    const pointed = paragraph("", "pointed");
    pointed.setAttribute("aria-live", "polite");
    const worked = document.createElement("div");
    worked.className = "worked";
    place.append(controls, plot, pointed, worked);
    const show = () => {
      const entry = all.find((one) => one.name.endsWith(`.blocks.${layer.value}.${kind.value}.${point.value}`));
      worked.replaceChildren();
      pointed.textContent = entry ? `${entry.name}: ${say(...entry.title)} = ${formula(entry)}` : say("not recorded", "没有记录");
      if (!entry) return window.plotly.then(() => Plotly.purge(plot));
      plot.setAttribute("aria-label", entry.name);
      heat(plot, entry, {
        over: (s, r, c) => { pointed.textContent = describe(entry, s, r, c); },
        chosen: (s, r, c) => worked.replaceChildren(sumOf(sequence, entry, entry.shape.length === 3 ? s : 0, r, c)),
      });
    };
    for (const select of [layer, kind, point]) select.addEventListener("change", show);
    drawn.set(plot, show);
    show();
  }

  // ---------------------------------------------------------------- every value, in order

  function stage(name) {
    const block = name.match(/\.blocks\.(\d+)\./);
    if (block) return [`layer ${block[1]}`, `第 ${block[1]} 层`];
    if (/^head\./.test(name)) return ["from vectors to the prediction", "从向量到预测"];
    if (/\.output$/.test(name)) return ["what the stack gives", "模型主体的输出"];
    return ["embedding and position", "嵌入与位置"];
  }

  function value(sequence, index, entry) {
    const box = document.createElement("details");
    box.id = `value-${index}-${entry.name}`;
    const top = document.createElement("summary");
    const code = document.createElement("code");
    code.textContent = entry.name.replace(/^.*\.blocks\.\d+\./, "");
    const shape = document.createElement("span");
    shape.className = "shape";
    const [en, zh] = [0, 1].map((i) => {
      const sizes = entry.axes.map((axis, at) => `${i ? AXES[axis]?.[1] ?? axis : axis} ${entry.shape[at]}`).join(" × ");
      return `${entry.title[i].split(/: |：/).at(-1)} · ${sizes} · ${bothOf(entry)[i]}`;
    });
    Object.assign(shape.dataset, { en, zh });
    shape.textContent = say(shape.dataset.en, shape.dataset.zh);
    top.append(code, " ", shape);
    box.append(top);
    const inside = document.createElement("div");
    box.append(inside);
    const fill = () => {
      if (!box.open) return;
      inside.replaceChildren();
      const made = paragraph("", "made");
      made.append(`${say(...entry.title)} = ${formula(entry)}`);
      if (entry.sources.length) made.append(say("; from ", "；来自 "));
      entry.sources.forEach((source, i) => {
        const target = document.getElementById(`value-${index}-${source}`);
        const one = document.createElement(target ? "a" : "span");
        one.textContent = source;
        if (target) {
          one.href = `#${CSS.escape(target.id)}`;
          one.addEventListener("click", (event) => {
            event.preventDefault();
            for (let up = target; up; up = up.parentElement?.closest("details")) up.open = true;
            target.scrollIntoView({ block: "start" });
          });
        }
        made.append(i ? ", " : "", one);
      });
      const plot = document.createElement("div");
      plot.className = "maps";
      plot.setAttribute("role", "img");
      plot.setAttribute("aria-label", entry.name);
      const pointed = paragraph("", "pointed");
      const rows = document.createElement("div");
      inside.append(made, plot, pointed, rows);
      const scores = /\.(attention|cross)\.(weights|scores|mask)$/.test(entry.name);
      heat(plot, entry, {
        over: (s, r, c) => { pointed.textContent = describe(entry, s, r, c); },
        chosen: (s, r, c) => rows.replaceChildren(scores ? sumOf(sequence, entry, entry.shape.length === 3 ? s : 0, r, c) : lines(entry, s, r)),
      });
      if (!scores) rows.replaceChildren(lines(entry, 0, 0));
    };
    box.addEventListener("toggle", fill);
    drawn.set(box, fill);
    return box;
  }

  // The numbers of one sheet, or of the row that was chosen where there are many.
  function lines(entry, s, r) {
    const sheet = sheets(entry)[s], two = entry.shape.length, width = sheet[0].length;
    const all = sheet.length * width <= MOST_CELLS;
    const shown = all ? [...sheet.keys()] : [r];
    const name = two === 3 ? ` · ${axisName(entry.axes[0])} ${nameAt(entry, 0, s)}` : "";
    const names = labels(entry, two - 1);
    const more = all ? "" : say(" (click in the image for another row)", "（点击图中其他行可换一行）");
    return table([...sheet[0].keys()].map((i) => names[i] ?? String(i)),
      shown.map((i) => [two > 1 ? nameAt(entry, two - 2, i) : "", [...sheet[i]]]), `${entry.name}${name}${more}`);
  }

  function layers(sequence, index, place) {
    const groups = new Map();
    for (const entry of sequence.entries) {
      const words = stage(entry.name);
      if (!groups.has(words[0])) groups.set(words[0], [words, []]);
      groups.get(words[0])[1].push(entry);
    }
    for (const [words, entries] of groups.values()) {
      const group = document.createElement("details");
      const top = document.createElement("summary");
      top.textContent = say(...words);
      top.dataset.en = words[0];
      top.dataset.zh = words[1];
      group.append(top, ...entries.map((entry) => value(sequence, index, entry)));
      place.append(group);
    }
  }

  // ---------------------------------------------------------------- the page

  about.sequences.forEach((sequence, index) => {
    const section = document.querySelector(`[data-sequence="${index}"]`);
    heads(sequence, section.querySelector(".attention"));
    layers(sequence, index, section.querySelector(".layers"));
  });

  function again() {
    document.querySelectorAll("[data-en]").forEach((one) => { one.textContent = say(one.dataset.en, one.dataset.zh); });
    drawn.forEach((draw) => draw());
  }
  new MutationObserver(again).observe(root, { attributes: true, attributeFilter: ["data-lang", "data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  let width = innerWidth, waiting = 0;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(again, 150);
  });
})();
