// Times: the UTC clock, ages that grow while one looks, and the local time on hover.

const UNITS = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

export function age(seconds) {
  const elapsed = Math.max(0, Math.floor(seconds));
  const [size, unit] = UNITS.find(([size]) => elapsed >= size) ?? [1, "s"];
  return `${Math.floor(elapsed / size)} ${unit} ago`;
}

function tick() {
  const now = new Date();
  for (const clock of document.querySelectorAll("[data-clock]")) {
    clock.textContent = `${now.toISOString().slice(11, 19)} UTC`;
  }
  for (const time of document.querySelectorAll("time[data-relative]")) {
    time.textContent = age((now - new Date(time.dateTime)) / 1000);
  }
}

function showLocal(event) {
  const time = event.target.closest?.("time[datetime]");
  if (!time || time.dataset.local) return;
  const moment = new Date(time.dateTime);
  if (Number.isNaN(moment.getTime())) return;
  // The zone of the account's profile; the browser's where none was chosen.
  const timeZone = document.documentElement.dataset.zone || undefined;
  const local = moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long", timeZone });
  const utc = moment.toISOString().slice(0, 19).replace("T", " ");
  time.title = `${local}\n${utc} UTC`;
  time.dataset.local = "1";
}

export function startClocks() {
  tick();
  setInterval(tick, 1000);
  document.addEventListener("pointerover", showLocal, { passive: true });
}
