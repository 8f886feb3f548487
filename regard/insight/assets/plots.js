// Plotly's figures in the page's colours.

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The colours of numbers from 0 to 1, or of those with a sign.
function scaleOf(isShare) {
  const [panel, plus, minus] = [colour("--panel"), `rgb(${colour("--plus")})`, `rgb(${colour("--minus")})`];
  return isShare ? [[0, panel], [1, plus]] : [[0, minus], [0.5, panel], [1, plus]];
}

// A figure as the library makes it, for a place that is `narrow` or wide.
export function themed({ data, layout, frames }, narrow) {
  const line = colour("--line"), axes = {};
  for (const key of new Set(["xaxis", "yaxis", ...Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name))])) {
    axes[key] = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true, ...layout[key] };
  }
  return {
    data: data.map((trace) => (trace.meta?.scale ? { ...trace, colorscale: scaleOf(trace.meta.scale === "share") } : trace)),
    layout: {
      ...layout, ...axes, template: {}, autosize: true, width: undefined, height: undefined,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("--ink"), family: "inherit" },
      margin: narrow ? { l: 40, r: 8, t: 24, b: 40 } : { l: 60, r: 16, t: 24, b: 48 },
      legend: { ...(narrow ? { orientation: "h", y: -0.25 } : {}), ...layout.legend },
    },
    frames,
  };
}
