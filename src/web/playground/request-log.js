// Renders an HTTP exchange: request, response, and the parts that only the browser sees.

import { BASE_PATH } from "./base-path.js";
import { HIDDEN, cookieName, setCookieValue } from "./cookies.js";
import { el, formatMs } from "./dom.js";

// Passwords, and what is shown once, elsewhere on the page.
const HIDDEN_FIELDS = ["password", "current_password", "new_password", "recovery_codes", "totp"];

const elements = new WeakMap();

// Reuses the element of an exchange, so that an expanded one stays expanded.
export function exchangeElement(exchange) {
  if (!elements.has(exchange)) elements.set(exchange, render(exchange));
  return elements.get(exchange);
}

function render(exchange) {
  const { method, path, status, durationMs, note } = exchange;
  const summary = el("summary", {},
    el("span", { class: "method" }, method), " ", el("span", { class: "path" }, path), " ",
    el("span", { class: "status", "data-ok": String(exchange.isOk) }, status === 0 ? "no response" : String(status)), " ",
    el("span", { class: "duration" }, formatMs(durationMs)),
    ...(note ? [" · ", el("span", { class: "note" }, note)] : []));
  return el("details", { class: "exchange" }, summary,
    el("p", { class: "label" }, "Request"), el("pre", {}, requestLines(exchange)),
    el("p", { class: "label" }, "Response"), el("pre", {}, responseLines(exchange)));
}

function requestLines({ method, path, requestHeaders, cookies, body, highlight }) {
  const lines = [`${method} ${BASE_PATH}${path}\n`];
  for (const [name, value] of Object.entries(requestHeaders)) {
    lines.push(name === "Authorization" && highlight ? highlightedHeader(name, value, highlight) : header(name, value));
  }
  if (cookies.length > 0) {
    const pairs = cookies.map((cookie) => `${cookieName(cookie)}=${HIDDEN}`).join("; ");
    lines.push(header("Cookie", pairs), annotation("added by the browser; scripts can’t read the values"));
  }
  if (method !== "GET") {
    lines.push(header("Origin", location.origin), annotation("added by the browser; the server rejects other origins"));
  }
  if (body !== undefined) lines.push(`\n${formatJson(body)}\n`);
  return lines;
}

function responseLines({ status, statusText, responseHeaders, setCookies, json, text }) {
  if (status === 0) return ["No response.\n"];
  const lines = [`${status} ${statusText}\n`, ...responseHeaders.map(([name, value]) => header(name, value))];
  for (const cookie of setCookies) {
    lines.push(header("set-cookie", setCookieValue(cookie)), annotation("hidden from scripts; derived from the API reference"));
  }
  const body = json === undefined ? text : formatJson(json);
  if (body) lines.push(`\n${body}\n`);
  return lines;
}

const header = (name, value) => el("span", {}, el("b", {}, name), `: ${value}\n`);

const annotation = (text) => el("span", { class: "annotation" }, `  ↑ ${text}\n`);

// `start` and `end` are positions in the token, which follows "Bearer ".
function highlightedHeader(name, value, [start, end]) {
  const at = (position) => position + "Bearer ".length;
  return el("span", {}, el("b", {}, name), `: ${value.slice(0, at(start))}`,
    el("mark", {}, value.slice(at(start), at(end))), `${value.slice(at(end))}\n`);
}

const formatJson = (value) =>
  JSON.stringify(value, (key, member) => (HIDDEN_FIELDS.includes(key) && member !== null && typeof member !== "boolean" ? "‹not shown›" : member), 2);
