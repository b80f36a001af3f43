// The server's clock, estimated from its responses: expiry times are in server time, and this machine's clock may differ.

import { el } from "./dom.js";

let ahead = 0;

// Sets the clock: the server's current time.
export const setClock = (time) => {
  ahead = Date.parse(time) - Date.now();
};

export const now = () => Date.now() + ahead;

export const secondsUntil = (time) => Math.round((Date.parse(time) - now()) / 1000);

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function inWords(seconds) {
  if (seconds <= 0) return "over";
  const first = UNITS.findIndex(([, size]) => seconds >= size);
  const shown = UNITS.slice(first, first + 2);
  let rest = seconds;
  return shown
    .map(([unit, size]) => {
      const count = Math.floor(rest / size);
      rest -= count * size;
      return `${count} ${unit}`;
    })
    .join(" ");
}

// An element that counts down to a time, updated every second.
export const countdown = (time) =>
  el("time", { datetime: time, class: "countdown", title: atTime(time) }, inWords(secondsUntil(time)));

export const atTime = (time) => new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });

// `onEnd` is called once for each time that has passed; it returns whether it could run now.
export function startTicking(onEnd) {
  const seen = new Set();
  setInterval(() => {
    const shown = [...document.querySelectorAll("time.countdown")];
    shown.forEach(tick);
    const ended = shown.map((element) => element.dateTime).filter((time) => secondsUntil(time) < 0 && !seen.has(time));
    if (ended.length > 0 && onEnd()) ended.forEach((time) => seen.add(time));
  }, 1000);
}

function tick(element) {
  const text = inWords(secondsUntil(element.dateTime));
  if (element.textContent !== text) element.textContent = text;
}
