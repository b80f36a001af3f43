// Renders an exchange: request, response, and the parts that only the browser sees.

import { BASE } from "./base.js";
import { HIDDEN, line, nameOf } from "./cookies.js";
import { el, milliseconds } from "./dom.js";

const SECRETS = ["password", "current_password", "new_password"];

const elements = new WeakMap();

// Reuses the element of an exchange, so that an expanded one stays expanded.
export function transcript(record) {
  if (!elements.has(record)) elements.set(record, show(record));
  return elements.get(record);
}

function show(record) {
  const { method, path, status, ms, note } = record;
  const summary = el("summary", {},
    el("span", { class: "verb" }, method), " ", el("span", { class: "path" }, path), " ",
    el("span", { class: "status", "data-good": String(record.isOk) }, status === 0 ? "no answer" : String(status)), " ",
    el("span", { class: "took" }, milliseconds(ms)),
    ...(note ? [" · ", el("span", { class: "note" }, note)] : []));
  return el("details", { class: "exchange" }, summary,
    el("p", { class: "label" }, "Sent"), el("pre", {}, sent(record)),
    el("p", { class: "label" }, "Came back"), el("pre", {}, received(record)));
}

function sent({ method, path, sent, cookies, body, mark }) {
  const lines = [`${method} ${BASE}${path}\n`];
  for (const [name, value] of Object.entries(sent)) {
    lines.push(name === "Authorization" && mark ? marked(`${name}: `, value, mark) : header(name, value));
  }
  if (cookies.length > 0) {
    const pairs = cookies.map((kind) => `${nameOf(kind)}=${HIDDEN}`).join("; ");
    lines.push(header("Cookie", pairs), aside("added by the browser; this page can't see the values"));
  }
  if (method !== "GET") {
    lines.push(header("Origin", location.origin), aside("added by the browser; the server refuses other pages by it"));
  }
  if (body !== undefined) lines.push(`\n${pretty(body)}\n`);
  return lines;
}

function received({ status, statusText, received, setCookies, json, text }) {
  if (status === 0) return ["Nothing.\n"];
  const lines = [`${status} ${statusText}\n`, ...received.map(([name, value]) => header(name, value))];
  for (const cookie of setCookies) {
    lines.push(header("set-cookie", line(cookie)), aside("kept by the browser; told from the API's contract"));
  }
  const shown = json === undefined ? text : pretty(json);
  if (shown) lines.push(`\n${shown}\n`);
  return lines;
}

const header = (name, value) => el("span", {}, el("b", {}, name), `: ${value}\n`);

const aside = (text) => el("span", { class: "aside" }, `  ↑ ${text}\n`);

// The length of "Bearer ", which precedes the token.
function marked(name, value, [start, end]) {
  const at = (place) => place + "Bearer ".length;
  return el("span", {}, el("b", {}, name), value.slice(0, at(start)),
    el("mark", {}, value.slice(at(start), at(end))), `${value.slice(at(end))}\n`);
}

const pretty = (value) =>
  JSON.stringify(value, (key, member) => (SECRETS.includes(key) ? "‹not shown›" : member), 2);
