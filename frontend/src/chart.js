// Series drawn by uPlot. <div data-chart> holds a <script type="application/json"> with
// {"x": [unix seconds], "series": [{"label", "unit", "values", "colour"?, "fill"?}]}; colours are token names.
import uPlot from "uplot";

const charts = new Map();
const HEIGHT = 220;

function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// Labels of the time axis: hours and minutes, or the day where the steps are days; seconds only for short steps.
function moments(_, ticks, __, ___, step) {
  const [from, to] = step >= 86400 ? [5, 10] : step < 60 ? [11, 19] : [11, 16];
  return ticks.map((tick) => new Date(tick * 1000).toISOString().slice(from, to));
}

function axis(more) {
  const line = { stroke: token("--hair"), width: 1 };
  return { stroke: token("--color-secondary"), font: '11px "Geist Mono"', grid: line, ticks: { ...line, size: 4 }, ...more };
}

function options(data, width) {
  const series = data.series.map((one) => {
    const colour = token(`--color-${one.colour ?? "primary"}`);
    return {
      label: one.label,
      stroke: colour,
      width: 1.5,
      fill: one.fill ? `color-mix(in oklab, ${colour} 12%, transparent)` : undefined,
      points: { show: data.x.length < 40 },
      value: (_, value) => (value === null ? "–" : `${value} ${one.unit ?? ""}`.trim()),
    };
  });
  return {
    width,
    height: HEIGHT,
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    scales: { y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.1 : 1] } },
    axes: [axis({ values: moments, size: 32 }), axis({ size: 56 })],
    series: [{ label: "UTC", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" }, ...series],
  };
}

function source(element) {
  return element.querySelector("script[type='application/json']").textContent;
}

function draw(element) {
  charts.get(element)?.plot.destroy();
  const text = source(element);
  const data = JSON.parse(text);
  const rows = [data.x, ...data.series.map((one) => one.values)];
  charts.set(element, { text, plot: new uPlot(options(data, element.clientWidth), rows, element) });
}

// A morph takes the drawing away, since the server knows only its data, and may bring other data.
function isDrawn(element) {
  const chart = charts.get(element);
  return chart !== undefined && chart.plot.root.isConnected && chart.text === source(element);
}

function scan() {
  for (const [element, chart] of charts) {
    if (element.isConnected) continue;
    chart.plot.destroy();
    charts.delete(element);
  }
  for (const element of document.querySelectorAll("[data-chart]")) {
    if (!isDrawn(element)) draw(element);
  }
}

function redraw() {
  for (const element of charts.keys()) draw(element);
}

let resizing;
window.addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(redraw, 100);
});
document.addEventListener("themechange", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.addEventListener("htmx:after:swap", scan);
scan();
