// What every page does: figures drawn in its colours, numbers told in full, languages and themes.

import { el, find } from "./dom.js";
import { themed } from "./plots.js";
import { begin, lang } from "./shell.js";
import { sumLine } from "./sums.js";

const titles = JSON.parse(find("#titles").textContent);

// Plotly's script stands inside as text. To run it takes a browser a second or two; the page is shown first.
const plotly = new Promise((ready) => {
  const source = find("#plotly");
  if (!source) return;
  const run = () => setTimeout(() => {
    document.head.append(el("script", {}, source.textContent));
    source.remove();
    ready();
  });
  if (document.readyState === "complete") run();
  else addEventListener("load", run, { once: true });
});

function draw() {
  if (!window.Plotly) return;
  const narrow = innerWidth < 640, config = { responsive: true, displaylogo: false, displayModeBar: narrow ? false : "hover" };
  for (const drawing of document.querySelectorAll(".drawing")) {
    const plot = find(".plot", drawing), figure = JSON.parse(find("script", drawing).textContent)[lang()];
    if (figure.layout.height) plot.style.height = `${figure.layout.height}px`;
    Plotly.react(plot, { ...themed(figure, narrow), config });
  }
}

const drawings = [draw];
export const onChange = (act) => drawings.push(act); // of language or colours

sumLine(document);
plotly.then(draw);
begin(() => {
  document.title = titles[lang()];
  for (const readout of document.querySelectorAll(".readout")) readout.textContent = "";
  for (const act of drawings) act();
}, null, lang());
