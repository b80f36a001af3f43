// Sends a request, and returns the exchange: the request and its response, as far as a page can see them.

import { BASE_PATH } from "./base-path.js";
import { cookiesSentTo } from "./cookies.js";

const TIMEOUT_S = 30;

// `withCookies`: whether the browser sends cookies, and stores those of the response. `note` and `highlight` are for the request log.
export async function sendRequest({ method = "GET", path, headers = {}, body, withCookies = false, note = null, highlight = null }) {
  const json = body === undefined ? undefined : JSON.stringify(body);
  const requestHeaders = json === undefined ? headers : { ...headers, "Content-Type": "application/json" };
  const request = { method, path, requestHeaders, body, note, highlight, cookies: withCookies ? cookiesSentTo(path) : [] };
  const sentAt = performance.now();
  const response = await fetchResponse(path, {
    method, headers: requestHeaders, body: json, credentials: withCookies ? "same-origin" : "omit", cache: "no-store",
  });
  const receivedAt = performance.now();
  return { ...request, ...response, setCookies: [], durationMs: receivedAt - sentAt, receivedAt };
}

async function fetchResponse(path, options) {
  try {
    const response = await fetch(BASE_PATH + path, { ...options, signal: AbortSignal.timeout(TIMEOUT_S * 1000) });
    return readResponse(response, await response.text());
  } catch (error) {
    const detail = error.name === "TimeoutError" ? `The request timed out after ${TIMEOUT_S} seconds.` : `The request failed: ${error.message}.`;
    const problem = { code: "no_response", title: "No response", detail };
    return { status: 0, statusText: "", isOk: false, responseHeaders: [], text: "", json: undefined, problem };
  }
}

function readResponse(response, text) {
  const type = response.headers.get("Content-Type") ?? "";
  const json = type.includes("json") && text ? JSON.parse(text) : undefined;
  return {
    status: response.status,
    statusText: response.statusText,
    isOk: response.ok,
    responseHeaders: [...response.headers],
    requestId: response.headers.get("X-Request-Id"),
    text,
    json,
    problem: response.ok ? null : (json ?? { code: "unknown", title: response.statusText, detail: text }),
  };
}
