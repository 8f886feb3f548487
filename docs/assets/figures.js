"use strict";
// Draws the figures of a page in the colours of its theme.
(() => {
  const figures = document.querySelectorAll("figure.drawing");
  const colour = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();

  function draw(figure) {
    const plot = figure.querySelector(".plot");
    const { data, layout, frames } = JSON.parse(figure.querySelector("script").textContent);
    const ink = colour("--md-default-fg-color"), line = colour("--md-default-fg-color--lightest");
    const axes = {};
    for (const key of new Set(["xaxis", "yaxis", ...Object.keys(layout).filter((k) => /^[xy]axis\d*$/.test(k))])) {
      axes[key] = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true, ...layout[key] };
    }
    const narrow = figure.clientWidth < 640;
    const legend = narrow ? { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" } : {};
    const whole = data.map((one) => (one.mode?.includes("text") ? { ...one, cliponaxis: false } : one));
    // A figure that is wider than the page shrinks, but not below what can be read; then it scrolls.
    const least = layout.xaxis2 ? 0.8 * layout.width : 620;
    const width = Math.min(layout.width, Math.max(plot.clientWidth, least));
    const height = Math.max(Math.min(layout.height, 260), layout.height * (width / layout.width));
    const size = layout.width ? { width, height } : { autosize: true };
    const given = {
      ...layout, ...axes, ...size, template: {},
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, family: "inherit" },
      legend: { ...layout.legend, ...legend }, annotations: layout.annotations,
      margin: layout.margin || (narrow ? { l: 40, r: 8, t: 32, b: 40 } : { l: 60, r: 16, t: 32, b: 48 }),
    };
    const wanted = { responsive: !layout.width, displaylogo: false, displayModeBar: false };
    Plotly.react(plot, { data: whole, layout: given, frames, config: wanted });
    if (plot.scrollWidth > plot.clientWidth) plot.tabIndex = 0;  // so that the keyboard can scroll it
  }

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "400px" });
  figures.forEach((figure) => seen.observe(figure));
  new MutationObserver(() => figures.forEach((figure) => seen.observe(figure)))
    .observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
})();
