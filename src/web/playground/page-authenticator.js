// An authenticator (TOTP, RFC 6238) in this page, so that the codes can be tried without a telephone. A secret that is in a page is no
// second factor: whoever has the page has both.

import { now } from "./clock.js";

const STEP_S = 30;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

// The server takes the codes of one step before and after its own, for clocks that differ.
const STEPS_AHEAD = 1;

let authenticator = null;

export const hasAuthenticator = () => authenticator !== null;

// `secret`: in Base32, as the server gave it.
export function setAuthenticator(secret) {
  authenticator = { key: decodeBase32(secret), lastStep: 0 };
}

export function forgetAuthenticator() {
  authenticator = null;
}

// The next code that was not shown before: each counts once. Resolves to `{ code }`, or `{ waitS }` if the next one is too far ahead.
export async function nextCode() {
  const current = Math.floor(now() / 1000 / STEP_S);
  const step = Math.max(current, authenticator.lastStep + 1);
  if (step > current + STEPS_AHEAD) return { waitS: Math.ceil((step - STEPS_AHEAD) * STEP_S - now() / 1000) };
  authenticator.lastStep = step;
  return { code: await codeOf(authenticator.key, step) };
}

// HOTP (RFC 4226, section 5.3).
async function codeOf(secret, step) {
  const message = new DataView(new ArrayBuffer(8));
  message.setBigUint64(0, BigInt(step));
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-1" }, false, ["sign"]);
  const mac = new DataView(await crypto.subtle.sign("HMAC", key, message));
  const number = mac.getUint32(mac.getUint8(19) & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, "0");
}

function decodeBase32(text) {
  const bits = [...text].map((letter) => ALPHABET.indexOf(letter).toString(2).padStart(5, "0")).join("");
  return Uint8Array.from({ length: Math.floor(bits.length / 8) }, (_, index) => parseInt(bits.slice(8 * index, 8 * index + 8), 2));
}
