// The open challenge of the panel “Forgot password, codes by mail”. Its token is also kept for the page that the link in the mail opens.

import { forgetChallenge, keepChallenge } from "../mail/challenge-store.js";

const MAX_TRIES = 5;

let current = null;

export const currentChallenge = () => current;

// `exchange`: with the challenge in its response. `credential`: to log in with, or that asked; null if the purpose needs none.
export function openChallenge(exchange, { purpose, email, credential = null, rememberMe = false }) {
  if (current) forgetChallenge(current.id);
  const { id, challenge, expires_at } = exchange.json;
  current = { id, token: challenge, purpose, email, credential, rememberMe, expiresAt: expires_at, triesLeft: MAX_TRIES, end: null };
  const { mode, transport } = credential ?? { mode: "session", transport: "cookie" };
  keepChallenge(id, { challenge, for: purpose, mode, transport, remember_me: rememberMe, email });
}

// `end`: what became of it, in words.
export function endChallenge(end) {
  forgetChallenge(current.id);
  current.end = end;
}

// Counted here: the server does not tell.
export function countWrongCode() {
  current.triesLeft -= 1;
}

export function discardChallenge() {
  if (current) forgetChallenge(current.id);
  current = null;
}
