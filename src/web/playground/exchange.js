// An HTTP exchange: a request and its response, as far as a page can see them.

import { BASE } from "./base.js";
import { sentTo } from "./cookies.js";

const PATIENCE_S = 30;

// `cookies`: whether the browser may send cookies, and store those of the response.
export async function exchange({ method = "GET", path, headers = {}, body, cookies = false, note = null, mark = null }) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const sent = text === undefined ? headers : { ...headers, "Content-Type": "application/json" };
  const record = { method, path, sent, body, note, mark, cookies: cookies ? sentTo(path) : [] };
  const began = performance.now();
  const answer = await ask(path, {
    method, headers: sent, body: text, credentials: cookies ? "same-origin" : "omit", cache: "no-store",
  });
  const ended = performance.now();
  return { ...record, ...answer, setCookies: [], ms: ended - began, ended };
}

async function ask(path, options) {
  try {
    const response = await fetch(BASE + path, { ...options, signal: AbortSignal.timeout(PATIENCE_S * 1000) });
    return read(response, await response.text());
  } catch (error) {
    const detail = error.name === "TimeoutError" ? `None came within ${PATIENCE_S} seconds.` : `The server can't be reached: ${error.message}.`;
    const problem = { code: "no_answer", title: "No answer", detail };
    return { status: 0, statusText: "", isOk: false, received: [], text: "", json: undefined, problem };
  }
}

function read(response, text) {
  const kind = response.headers.get("Content-Type") ?? "";
  const json = kind.includes("json") && text ? JSON.parse(text) : undefined;
  return {
    status: response.status,
    statusText: response.statusText,
    isOk: response.ok,
    received: [...response.headers],
    requestId: response.headers.get("X-Request-Id"),
    text,
    json,
    problem: response.ok ? null : (json ?? { code: "unknown", title: response.statusText, detail: text }),
  };
}
