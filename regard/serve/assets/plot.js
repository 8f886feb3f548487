// Figures of worked examples: Plotly's, which is loaded when the first is shown, in the page's colours.

import { el } from "./dom.js";
import { themed } from "./plots.js";

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

export async function plot(place, figure) {
  const Plotly = await plotly();
  if (!place.isConnected) return;
  const config = { responsive: true, displaylogo: false, displayModeBar: false };
  await Plotly.react(place, { ...themed(figure, place.clientWidth < 520), config });
}
