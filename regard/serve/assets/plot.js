// Figures of worked examples: Plotly's, which is loaded when the first is shown, in the page's colours.

import { el } from "./dom.js";

const root = document.documentElement;
let loading = null;

export function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = el("script", { src: "/assets/plotly.min.js" });
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => { loading = null; reject(new Error("plotly.min.js")); });
    document.head.append(script);
  });
  return loading;
}

const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

function themed(trace) {
  const scales = {
    share: [[0, colour("--panel")], [1, `rgb(${colour("--plus")})`]],
    signed: [[0, `rgb(${colour("--minus")})`], [0.5, colour("--panel")], [1, `rgb(${colour("--plus")})`]],
  };
  const scale = scales[trace.meta?.scale];
  return scale ? { ...trace, colorscale: scale } : trace;
}

export async function plot(place, { data, layout }) {
  const Plotly = await plotly();
  if (!place.isConnected) return;
  const line = colour("--line"), narrow = place.clientWidth < 520;
  const axes = {};
  for (const key of new Set(["xaxis", "yaxis", ...Object.keys(layout).filter((k) => /^[xy]axis\d*$/.test(k))])) {
    axes[key] = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true, ...layout[key] };
  }
  await Plotly.react(place, data.map(themed), {
    ...layout, ...axes, template: {}, autosize: true, width: undefined, height: undefined,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("--ink"), family: "inherit" },
    margin: narrow ? { l: 40, r: 8, t: 24, b: 40 } : { l: 60, r: 16, t: 24, b: 48 },
    legend: { ...(narrow ? { orientation: "h", y: -0.25 } : {}), ...layout.legend },
  }, { responsive: true, displaylogo: false, displayModeBar: false });
}
