// The card of a credential: its actions, what is sent with requests, and its details.

import { BASE_PATH } from "./base-path.js";
import { countdown, formatTime } from "./clock.js";
import { HIDDEN, browserHas, cookieHeaderSize, cookieName, cookiesSentTo, explainSetCookie, setCookieValue } from "./cookies.js";
import { button, byteLength, code, descriptionList, el } from "./dom.js";
import { CLAIMS, HEADER_FIELDS, TIME_CLAIMS, decodeJwt } from "./jwt.js";
import { exchangeElement } from "./request-log.js";
import { STATES, describeEnd } from "./status-bar.js";

const DESCRIPTIONS = {
  "session-cookie": "The browser stores a random id and sends it with every request to this server, even if another site triggers the request. Unsafe requests therefore also need a CSRF token.",
  "session-bearer": "The page stores the same kind of id and sends it in the Authorization header. Nothing is sent automatically, so no CSRF token is needed, but an injected script (XSS) could steal the id.",
  "jwt-cookie": "The browser stores the access token and the refresh token in HttpOnly cookies, which scripts can’t read. Unsafe requests also need a CSRF token.",
  "jwt-bearer": "The page stores both tokens and sends the access token in the Authorization header. Whoever has it can read its claims, and use it until it expires or is revoked.",
};

// The expandable details of a credential.
const DETAILS = [
  ["Set-Cookie headers", setCookieDetails],
  ["Decoded token", decodedToken],
  ["Login record on the server", loginRecord],
  ["Requests and responses", exchanges],
];

// `actions`: each with a label, `run`, and `unavailable`, which returns the reason why it can't run now, or null.
export function credentialCard(credential, actions, onAction) {
  const heading = el("h3", { id: `${credential.id}-name` }, credential.isCookie ? "Cookie" : "Bearer token");
  const state = el("p", { class: "state" });
  const outcome = el("p", { class: "outcome" });
  const body = el("div", { class: "body" });
  const buttons = actions.map((action) => [action, button(action.label, () => onAction(credential, action))]);
  const details = DETAILS.map(([title, content]) => expandable(title, content));
  const element = el("article", { id: credential.id, class: "card", "aria-labelledby": `${credential.mode}-name ${credential.id}-name` },
    el("header", {}, heading, state),
    el("p", { class: "description" }, DESCRIPTIONS[credential.id]),
    el("div", { class: "buttons", role: "group", "aria-label": `${credential.name}: actions` }, buttons.map(([, it]) => it)),
    outcome, body, details.map((it) => it.element));

  return {
    element,
    update() {
      element.dataset.state = credential.state;
      state.replaceChildren(...stateText(credential));
      outcome.textContent = credential.lastOutcome ?? "";
      for (const [action, it] of buttons) it.setAttribute("aria-disabled", String(action.unavailable(credential) !== null));
      body.replaceChildren(...(credential.state === "none" ? [] : [nextRequestHeaders(credential), loginFacts(credential)]));
      details.forEach((it) => it.update(credential));
    },
  };
}

function expandable(title, content) {
  const inside = el("div", { class: "inside" });
  const count = el("span", { class: "count" });
  const element = el("details", { class: "expandable" }, el("summary", {}, title, count), inside);
  const update = (credential) => {
    const children = content(credential);
    element.hidden = children.length === 0;
    count.textContent = title.startsWith("Requests") ? ` (${children.length})` : "";
    inside.replaceChildren(...children);
  };
  return { element, update };
}

function stateText(credential) {
  const { symbol, label } = STATES[credential.state];
  const cause = credential.end ? el("span", { class: "cause" }, `: ${describeEnd(credential.end)}`) : "";
  return [el("span", { "aria-hidden": "true" }, symbol), ` ${label}`, cause];
}

function nextRequestHeaders(credential) {
  const headers = credential.isCookie ? cookieHeaders(credential) : [["Authorization", `Bearer ${credential.token}`, "Every request"]];
  const items = headers.map(([name, value, requests, knownSize]) => {
    const size = knownSize ?? `${byteLength(`${name}: ${value}\r\n`)} bytes`;
    return el("li", {},
      el("p", { class: "label" }, `${requests}: `, el("span", { class: "size" }, size)),
      el("pre", {}, el("b", {}, name), ": ", colouredJwt(value)));
  });
  return el("section", { class: "next-request" }, el("h4", {}, "Sent with the next request"), el("ul", {}, items));
}

// A JWT's three parts, in the colours of the decoded token.
function colouredJwt(value) {
  const parts = value.split(".");
  if (parts.length !== 3) return value;
  const [header, claims, signature] = parts.map((part, index) => el("span", { class: JWT_PARTS[index] }, part.replace("Bearer ", "")));
  return el("span", {}, "Bearer ", header, ".", claims, ".", signature);
}

const JWT_PARTS = ["jwt-header", "jwt-claims", "jwt-signature"];

// Each cookie of a mode, with a path to which the browser sends it.
const COOKIE_REQUESTS = {
  session: [["sessionid", "/", "Every request"]],
  jwt: [["access_token", "/", "Every request"], ["refresh_token", "/jwt/", "Requests below /jwt"]],
};

function cookieHeaders(credential) {
  if (credential.isMissingInBrowser) return [["Cookie", "none (deleted by the browser)", "Every request", "0 bytes"]];
  const headers = COOKIE_REQUESTS[credential.mode].filter(([cookie]) => browserHas(cookie)).map(([, path, requests]) => {
    const cookies = cookiesSentTo(path);
    return ["Cookie", cookies.map((cookie) => `${cookieName(cookie)}=${HIDDEN}`).join("; "), requests, cookieHeaderSize(cookies)];
  });
  return credential.csrfToken ? [...headers, ["X-CSRF-Token", credential.csrfToken, "Unsafe requests (POST, PUT, DELETE)"]] : headers;
}

function loginFacts(credential) {
  const { idle_expires_at, expires_at } = { ...credential.login, ...credential.loginRecord };
  const facts = [
    ["Login id", code(credential.login?.id ?? "unknown")],
    ["User", credential.user?.username ?? "unknown"],
  ];
  if (credential.state !== "ended") {
    const activity = credential.mode === "jwt" ? "refresh" : "use";
    if (credential.tokenExpiresAt) facts.push(["Token expires in", countdown(credential.tokenExpiresAt)]);
    if (idle_expires_at) facts.push(["Idle timeout in", [countdown(idle_expires_at), `, restarts with each ${activity}`]]);
    if (expires_at) facts.push(["Login expires in", [countdown(expires_at), ", in any case"]]);
  }
  if (credential.sessionData) facts.push(["Session data", code(JSON.stringify(credential.sessionData))]);
  return descriptionList(facts);
}

function setCookieDetails(credential) {
  const cookies = credential.setCookies.filter((cookie) => !cookie.isCleared);
  if (cookies.length === 0) return [];
  const explained = cookies.map((cookie) =>
    el("div", { class: "cookie" },
      el("pre", {}, el("b", {}, "Set-Cookie"), `: ${setCookieValue(cookie)}`),
      descriptionList(explainSetCookie(cookie).map(([attribute, meaning]) => [code(attribute), meaning]))));
  return [...explained, ...realHeaderHint(credential)];
}

// How to see the real header, which no page can read.
function realHeaderHint(credential) {
  const body = JSON.stringify({ username: credential.user.username, password: "your password", transport: "cookie" });
  const command = `curl -si ${location.origin}${BASE_PATH}/${credential.mode}/login -H 'Content-Type: application/json' -d '${body}' | grep -i set-cookie`;
  return [
    el("p", { class: "footnote" }, "Scripts can’t read Set-Cookie headers, so these are derived from the API reference. Scripts don’t see the cookies either: ",
      code(`document.cookie === ${JSON.stringify(document.cookie)}`),
      ". To see the real headers, open the Network tab of your browser’s developer tools, or log in from a terminal:"),
    el("pre", {}, command),
  ];
}

function decodedToken(credential) {
  if (credential.mode !== "jwt" || credential.state === "none") return [];
  if (credential.isCookie) {
    return [el("p", { class: "footnote" }, "The token is in an HttpOnly cookie, so this page can’t decode it. The JWT Bearer token has the same claims and can be decoded.")];
  }
  const { header, claims, signature } = decodeJwt(credential.token);
  const explained = (values, meanings) => descriptionList(Object.entries(values).map(([name, value]) =>
    [code(name), el("span", {}, code(JSON.stringify(value)), TIME_CLAIMS.includes(name) ? ` ${formatTime(value * 1000)}` : "", el("span", { class: "meaning" }, meanings[name] ?? ""))]));
  return [
    el("p", { class: "label" }, el("b", { class: JWT_PARTS[0] }, "Header")), explained(header, HEADER_FIELDS),
    el("p", { class: "label" }, el("b", { class: JWT_PARTS[1] }, "Claims"), ": readable by anyone, protected by the signature"), explained(claims, CLAIMS),
    el("p", { class: "label" }, el("b", { class: JWT_PARTS[2] }, "Signature"), ": of header and claims, with the server’s private key"), el("pre", {}, el("span", { class: JWT_PARTS[2] }, signature)),
    el("p", { class: "label" }, el("b", {}, "Refresh token"), ": opaque, sent to /jwt/refresh only"), el("pre", {}, credential.refreshToken ?? ""),
  ];
}

function loginRecord(credential) {
  if (credential.state === "none") return [];
  if (credential.loginRecord === undefined) return [el("p", {}, "Unknown: no active credential to request it with.")];
  if (credential.loginRecord === null) return [el("p", {}, "Not found: the login has ended.")];
  const { id, mode, transport, remember_me, device_name, address, user_agent, created_at, last_seen_at, idle_expires_at, expires_at } = credential.loginRecord;
  return [
    descriptionList([
      ["id", code(id)], ["mode, transport", `${mode}, ${transport}`], ["device_name", device_name ?? "none"], ["address", code(address)],
      ["user_agent", user_agent], ["remember_me", String(remember_me)], ["created_at", formatTime(created_at)], ["last_seen_at", formatTime(last_seen_at)],
      ["idle_expires_at", formatTime(idle_expires_at)], ["expires_at", formatTime(expires_at)],
    ]),
    el("p", { class: "footnote" }, "From GET /account/logins. Each login on a device is one row, in both modes. The row contains a hash of the credential at most."),
  ];
}

function exchanges(credential) {
  return credential.exchanges.map(exchangeElement);
}
