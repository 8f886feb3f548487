"use strict";
(() => {
  const root = document.documentElement;
  const titles = JSON.parse(document.getElementById("titles").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // ---------------------------------------------------------------- numbers: whole, and as sums

  const shorter = (x) => String(Number(x.toPrecision(5)));
  const signed = (x) => (x < 0 ? `(${shorter(x)})` : shorter(x));

  function sum(table, row, column) {
    if (!table.dataset.factors) return "";
    const [left, right, scale] = JSON.parse(table.dataset.factors);
    const terms = left[row].map((x, k) => `${signed(x)}·${signed(right[k][column])}`);
    const most = 12;
    const shown = terms.length > most ? [...terms.slice(0, most), `… (${terms.length - most})`] : terms;
    const added = shown.join(" + ");
    return scale === 1 ? ` = ${added}` : ` = ${shorter(scale)} · (${added})`;
  }

  function show(cell) {
    const table = cell.closest("table");
    const readout = cell.closest(".grid").querySelector(".readout");
    if (!readout) return;
    table.querySelectorAll(".on").forEach((other) => other.classList.remove("on"));
    cell.classList.add("on");
    const line = cell.parentElement;
    const row = [...line.parentElement.children].indexOf(line);
    const column = [...line.querySelectorAll("td")].indexOf(cell);
    const heads = table.querySelectorAll("thead th");
    const name = line.querySelector("th")?.innerText.trim() || String(row + 1);
    const other = heads.length ? heads[column].innerText.trim() : String(column + 1);
    readout.textContent = `${name} · ${other}: ${cell.dataset.v}${sum(table, row, column)}`;
  }

  const cellOf = (event) => event.target.closest?.(".numbers td[data-v]");
  document.addEventListener("pointerover", (event) => { const cell = cellOf(event); if (cell) show(cell); });
  document.addEventListener("click", (event) => { const cell = cellOf(event); if (cell) show(cell); });
  document.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!move || !event.target.matches?.(".scroll")) return;
    const lines = [...event.target.querySelectorAll(".numbers tbody tr")];
    if (!lines.length) return;
    const cells = lines.map((line) => [...line.querySelectorAll("td[data-v]")]);
    const row = cells.findIndex((some) => some.some((cell) => cell.classList.contains("on")));
    const column = row < 0 ? 0 : cells[row].findIndex((cell) => cell.classList.contains("on"));
    const inside = (x, n) => Math.min(Math.max(x, 0), n - 1);
    const next = row < 0 ? cells[0][0] : cells[inside(row + move[0], cells.length)][inside(column + move[1], cells[row].length)];
    event.preventDefault();
    show(next);
    next.scrollIntoView({ block: "nearest", inline: "nearest" });
  });

  // ---------------------------------------------------------------- figures

  // Plotly's script stands inside as text. To run it takes a browser a second or two; the page is shown first.
  window.plotly = new Promise((ready) => {
    const source = document.getElementById("plotly");
    if (!source) return;
    const run = () => setTimeout(() => {
      const script = document.createElement("script");
      script.textContent = source.textContent;
      source.remove();
      document.head.append(script);
      ready();
    });
    if (document.readyState === "complete") run();
    else addEventListener("load", run, { once: true });
  });

  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const rgb = (name) => `rgb(${colour(name)})`;

  function themed(trace) {
    const scales = {
      share: [[0, colour("--panel")], [1, rgb("--plus")]],
      signed: [[0, rgb("--minus")], [0.5, colour("--panel")], [1, rgb("--plus")]],
    };
    const scale = scales[trace.meta?.scale];
    return scale ? { ...trace, colorscale: scale } : trace;
  }

  function draw() {
    if (!window.Plotly) return;
    const ink = colour("--ink"), line = colour("--line"), narrow = innerWidth < 640;
    for (const figure of document.querySelectorAll(".drawing")) {
      const plot = figure.querySelector(".plot");
      const both = JSON.parse(figure.querySelector("script").textContent);
      const { data, layout, frames } = both[root.dataset.lang];
      if (layout.height) plot.style.height = `${layout.height}px`;
      const axes = {};
      for (const key of new Set(["xaxis", "yaxis", ...Object.keys(layout).filter((k) => /^[xy]axis\d*$/.test(k))])) {
        axes[key] = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true, ...layout[key] };
      }
      const legend = narrow ? { orientation: "h", y: -0.25 } : {};
      const shown = {
        ...layout, ...axes, template: {}, autosize: true, width: undefined, height: undefined,
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, family: "inherit" },
        margin: narrow ? { l: 40, r: 8, t: 24, b: 40 } : { l: 60, r: 16, t: 24, b: 48 },
        legend: { ...legend, ...layout.legend },
      };
      const config = { responsive: true, displaylogo: false, displayModeBar: narrow ? false : "hover" };
      Plotly.react(plot, { data: data.map(themed), layout: shown, frames, config });
    }
  }

  // ---------------------------------------------------------------- language and theme

  function speak(lang) {
    root.dataset.lang = lang;
    root.lang = lang === "zh" ? "zh-CN" : "en";
    document.title = titles[lang];
    document.querySelectorAll(".readout").forEach((readout) => { readout.textContent = ""; });
    draw();
  }

  document.getElementById("lang").addEventListener("click", () => speak(root.dataset.lang === "en" ? "zh" : "en"));
  document.getElementById("theme").addEventListener("click", () => {
    const isDark = root.dataset.theme === "dark" || (root.dataset.theme === "auto" && dark.matches);
    root.dataset.theme = isDark ? "light" : "dark";
    draw();
  });
  dark.addEventListener("change", draw);
  window.plotly.then(draw);
})();
