// The server's clock, estimated from its responses: expiry times are in server time, and this machine's clock may differ.

import { el } from "./dom.js";

let offsetMs = 0;

export const setServerTime = (time) => {
  offsetMs = Date.parse(time) - Date.now();
};

export const now = () => Date.now() + offsetMs;

export const secondsUntil = (time) => Math.round((Date.parse(time) - now()) / 1000);

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

// The two largest units, such as "14 min 59 s".
function formatDuration(seconds) {
  if (seconds <= 0) return "expired";
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
  el("time", { datetime: time, class: "countdown", title: formatTime(time) }, formatDuration(secondsUntil(time)));

export const formatTime = (time) => new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });

// Calls `onExpiry` once for each countdown that reaches zero. It returns false if it could not run yet: then it is called again.
export function startCountdowns(onExpiry) {
  const handled = new Set();
  setInterval(() => {
    const countdowns = [...document.querySelectorAll("time.countdown")];
    countdowns.forEach(updateCountdown);
    const expired = countdowns.map((element) => element.dateTime).filter((time) => secondsUntil(time) < 0 && !handled.has(time));
    if (expired.length > 0 && onExpiry()) expired.forEach((time) => handled.add(time));
  }, 1000);
}

function updateCountdown(element) {
  const text = formatDuration(secondsUntil(element.dateTime));
  if (element.textContent !== text) element.textContent = text;
}
