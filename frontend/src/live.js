// One WebSocket for the page. Elements say what they watch with data-live="topic other.topic"; every message
// becomes a DOM event "live:<topic>" on <body>, which hx-trigger="live:<topic> from:body" turns into a refetch.

const PING_MS = 2000;
const STALE_MS = 10_000;
const DEAD_MS = 20_000;
const BURST_MS = 250;
const BACKOFF_MS = [500, 1000, 2000, 5000, 10_000];

class Live {
  constructor() {
    this.refused = new Set();
    this.topics = [];
    this.pending = new Map();
    this.attempts = 0;
    this.wasOpen = false;
  }

  gather() {
    const named = [...document.querySelectorAll("[data-live]")].flatMap((e) => e.dataset.live.split(/\s+/));
    return [...new Set(named)].filter((topic) => topic && !this.refused.has(topic)).sort();
  }

  // Called at the start and after each swap: reconnects only when the set of topics has changed.
  sync() {
    const topics = this.gather();
    if (topics.join() === this.topics.join()) return;
    this.topics = topics;
    this.disconnect();
    if (topics.length) this.connect();
    else this.show(null);
  }

  connect() {
    this.show(this.wasOpen ? "reconnecting" : "connecting");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const query = this.topics.map(encodeURIComponent).join(",");
    const socket = new WebSocket(`${scheme}://${location.host}/ws/live?topics=${query}`);
    this.socket = socket;
    this.heardAt = Date.now();
    socket.onmessage = (event) => this.receive(JSON.parse(event.data));
    socket.onclose = () => {
      if (this.socket === socket) this.retry();
    };
  }

  disconnect() {
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  retry() {
    this.disconnect();
    this.show("reconnecting");
    const wait = BACKOFF_MS[Math.min(this.attempts, BACKOFF_MS.length - 1)];
    this.attempts += 1;
    this.timer = setTimeout(() => this.connect(), wait * (0.75 + Math.random() / 2));
  }

  receive(frame) {
    this.heardAt = Date.now();
    if (frame.error) this.refuse(frame.topic);
    else if (frame.ready) this.ready();
    else if (frame.topic) this.collect(frame.topic, frame.message);
    if (this.state === "stale") this.show("live");
  }

  refuse(topic) {
    this.refused.add(topic);
    this.sync();
  }

  ready() {
    this.show("live");
    // What happened while nobody listened is fetched once.
    if (this.wasOpen) for (const topic of this.topics) this.collect(topic, { kind: "reconnected" });
    this.wasOpen = true;
    this.attempts = 0;
  }

  // A burst of messages on one topic is one event.
  collect(topic, message) {
    const waiting = this.pending.get(topic);
    if (waiting) {
      waiting.push(message);
      return;
    }
    const messages = [message];
    this.pending.set(topic, messages);
    setTimeout(() => {
      this.pending.delete(topic);
      document.body.dispatchEvent(new CustomEvent(`live:${topic}`, { detail: { messages } }));
    }, BURST_MS);
  }

  beat() {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    const silence = Date.now() - this.heardAt;
    if (silence > DEAD_MS) this.retry();
    else if (silence > STALE_MS) this.show("stale");
    this.socket?.send(JSON.stringify({ ping: 1 }));
  }

  show(state) {
    this.state = state;
    for (const pill of document.querySelectorAll("[data-live-pill]")) {
      pill.hidden = state === null;
      if (state === null) continue;
      pill.dataset.state = state;
      pill.querySelector("[data-word]").textContent = pill.getAttribute(`data-word-${state}`);
    }
  }
}

export function startLive() {
  const live = new Live();
  live.sync();
  setInterval(() => live.beat(), PING_MS);
  document.addEventListener("htmx:after:swap", () => live.sync());
}
