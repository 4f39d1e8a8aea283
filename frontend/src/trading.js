// Candles with orders, drawn by lightweight-charts. <div data-candles="/trading/candles.json?…" data-candles-topic="desk">
// fetches {"candles": [[unix s, open, high, low, close, volume]], "orders": [{"time", "side", "label"}], "precision"}
// and fetches it again when the topic tells of something new.
import { CandlestickSeries, HistogramSeries, createChart, createSeriesMarkers } from "lightweight-charts";

const HEIGHT = 340;
const SHOWN_BARS = 180;
const REFRESH_MS = 1000;
const charts = new Map();

function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function colours() {
  return { up: token("--up"), down: token("--down"), hair: token("--hair"), text: token("--color-secondary") };
}

function layout() {
  const { hair, text } = colours();
  return {
    // The attribution that the licence asks for stands below the chart, as a link.
    layout: {
      attributionLogo: false,
      background: { color: "transparent" },
      textColor: text,
      fontFamily: '"Geist Mono", monospace',
      fontSize: 11,
    },
    grid: { vertLines: { color: hair }, horzLines: { color: hair } },
    rightPriceScale: { borderColor: hair, scaleMargins: { top: 0.08, bottom: 0.24 } },
    timeScale: { borderColor: hair, timeVisible: true, secondsVisible: false, rightOffset: 4 },
  };
}

class Candles {
  constructor(element) {
    this.element = element;
    this.chart = createChart(element, { ...layout(), autoSize: true, height: HEIGHT });
    this.price = this.chart.addSeries(CandlestickSeries, {});
    this.volume = this.chart.addSeries(HistogramSeries, { priceScaleId: "", priceFormat: { type: "volume" } });
    this.volume.priceScale().applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
    this.markers = createSeriesMarkers(this.price, []);
    this.hear = () => this.refresh();
    document.body.addEventListener(`live:${element.dataset.candlesTopic}`, this.hear);
    this.load();
  }

  // At most one request a second; the last message of a burst is never lost.
  refresh() {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.load();
    }, REFRESH_MS);
  }

  async load() {
    try {
      const answer = await fetch(this.element.dataset.candles, { headers: { Accept: "application/json" } });
      if (answer.ok) this.show(await answer.json());
    } catch {
      // The site is away; the pill says so, and what was missed is fetched once it is back.
    }
  }

  show(data) {
    const first = this.data === undefined;
    this.data = data;
    this.paint();
    const bars = data.candles.length;
    if (first) this.chart.timeScale().setVisibleLogicalRange({ from: Math.max(-0.5, bars - SHOWN_BARS), to: bars + 4 });
    this.element.dataset.bars = bars;
    this.element.dataset.orders = data.orders.length;
  }

  paint() {
    const { up, down } = colours();
    const { candles, orders, precision } = this.data;
    this.chart.applyOptions(layout());
    this.price.applyOptions({
      priceFormat: { type: "price", precision, minMove: 10 ** -precision },
      upColor: up,
      downColor: down,
      borderUpColor: up,
      borderDownColor: down,
      wickUpColor: up,
      wickDownColor: down,
    });
    this.price.setData(candles.map(([time, open, high, low, close]) => ({ time, open, high, low, close })));
    this.volume.setData(
      candles.map(([time, open, , , close, value]) => ({ time, value, color: `${close < open ? down : up}66` })),
    );
    this.markers.setMarkers(
      orders.map(({ time, side, label }) =>
        side === "BUY"
          ? { time, position: "belowBar", shape: "arrowUp", color: up, text: label }
          : { time, position: "aboveBar", shape: "arrowDown", color: down, text: label },
      ),
    );
  }

  remove() {
    clearTimeout(this.timer);
    document.body.removeEventListener(`live:${this.element.dataset.candlesTopic}`, this.hear);
    this.chart.remove();
  }
}

function scan() {
  for (const [element, chart] of charts) {
    if (element.isConnected) continue;
    chart.remove();
    charts.delete(element);
  }
  for (const element of document.querySelectorAll("[data-candles]")) {
    if (!charts.has(element)) charts.set(element, new Candles(element));
  }
}

function repaint() {
  for (const chart of charts.values()) if (chart.data) chart.paint();
}

document.addEventListener("themechange", repaint);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
document.addEventListener("htmx:after:swap", scan);
scan();
