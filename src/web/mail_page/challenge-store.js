// The challenges that this browser has asked for. Whoever asks keeps the token here under the challenge's id, so that the page
// which the link in the mail opens can go on. The token is worth nothing without the code.

const KEY = "dualauth.challenges";

// The longest that a code by mail lives. By this browser's clock: it may differ from the server's.
const LIFETIME_MS = 10 * 60 * 1000;

// `for`: as in POST /challenges, or "register". `mode`: whose routes go on. `transport`: of the login that asked or is to begin; with
// "bearer" only the page that asked can go on. `email`: for the browser's password manager.
export function keepChallenge(id, { challenge, for: purpose, mode, transport, remember_me, email }) {
  const kept = { challenge, for: purpose, mode, transport, remember_me, email, until: Date.now() + LIFETIME_MS };
  write({ ...read(), [id]: kept });
}

// Undefined: another browser has asked, or it is long ago.
export const keptChallenge = (id) => read()[id];

export function forgetChallenge(id) {
  const { [id]: forgotten, ...others } = read();
  write(others);
}

// Calls `onChange` when another page has changed what is kept.
export function watchChallenges(onChange) {
  addEventListener("storage", ({ key }) => key === KEY && onChange());
}

// Without those that have expired.
function read() {
  try {
    const all = Object.entries(JSON.parse(localStorage.getItem(KEY)) ?? {});
    return Object.fromEntries(all.filter(([, { until }]) => until > Date.now()));
  } catch {
    return {}; // No storage, or not ours.
  }
}

function write(challenges) {
  try {
    if (Object.keys(challenges).length > 0) localStorage.setItem(KEY, JSON.stringify(challenges));
    else localStorage.removeItem(KEY);
  } catch {
    // No storage: the code can be typed.
  }
}

// Deletes those that have expired.
write(read());
