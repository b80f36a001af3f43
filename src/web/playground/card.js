// The card of a credential: its content, its actions, and what is sent with requests.

import { BASE } from "./base.js";
import { atTime, countdown } from "./clock.js";
import { HIDDEN, explanations, isHeld, line, nameOf, sentTo, sizeOf } from "./cookies.js";
import { bytes, button, code, definitions, el } from "./dom.js";
import { CLAIMS, HEADER, decode } from "./jwt.js";
import { STATES, fateInWords } from "./board.js";
import { transcript } from "./transcript.js";

const ABOUT = {
  "session-cookie": "The browser keeps a random id and sends it by itself, whoever made it ask. So what changes something must also show a CSRF token, which this page alone has.",
  "session-bearer": "The page keeps the same kind of id and sends it in a header. Nothing is sent by itself, so no CSRF token is needed; but a script that got in could take it away.",
  "jwt-cookie": "The browser keeps the signed token, and a refresh token that buys the next one. A script sees neither.",
  "jwt-bearer": "The page keeps both tokens and sends the signed one in a header. Whoever holds it can read it, as you can below, and use it until it is revoked or runs out.",
};

// The expandable details of a credential.
const FOLDS = [
  ["Set-Cookie, explained", cookiesExplained],
  ["The token, decoded", tokenDecoded],
  ["The server's record of this login", serverRecord],
  ["Requests and answers", exchanges],
];

// `verbs`: the actions, each with a label, a function, and the reason why it is unavailable now, if it is.
export function card(slot, verbs, press) {
  const heading = el("h3", { id: `${slot.id}-name` }, slot.isCookie ? "By cookie" : "By Bearer token");
  const state = el("p", { class: "state" });
  const outcome = el("p", { class: "outcome" });
  const body = el("div", { class: "body" });
  const buttons = verbs.map((verb) => [verb, button(verb.label, () => press(slot, verb))]);
  const folds = FOLDS.map(([title, content]) => fold(title, content));
  const element = el("article", { id: slot.id, class: "card", "aria-labelledby": `${slot.mode}-name ${slot.id}-name` },
    el("header", {}, heading, state),
    el("p", { class: "about" }, ABOUT[slot.id]),
    el("div", { class: "buttons", role: "group", "aria-label": `${slot.name}: actions` }, buttons.map(([, it]) => it)),
    outcome, body, folds.map(({ element }) => element));

  return {
    element,
    show() {
      element.dataset.state = slot.state;
      state.replaceChildren(...stateInWords(slot));
      outcome.textContent = slot.outcome ?? "";
      for (const [verb, it] of buttons) it.setAttribute("aria-disabled", String(verb.unless(slot) !== null));
      body.replaceChildren(...(slot.state === "none" ? [] : [travels(slot), ends(slot)]));
      folds.forEach((it) => it.show(slot));
    },
  };
}

function fold(title, content) {
  const inside = el("div", { class: "inside" });
  const count = el("span", { class: "count" });
  const element = el("details", { class: "fold" }, el("summary", {}, title, count), inside);
  const show = (slot) => {
    const children = content(slot);
    element.hidden = children.length === 0;
    count.textContent = title.startsWith("Requests") ? ` (${children.length})` : "";
    inside.replaceChildren(...children);
  };
  return { element, show };
}

function stateInWords(slot) {
  const { sign, word } = STATES[slot.state];
  return [el("span", { "aria-hidden": "true" }, sign), ` ${word}`, slot.death ? el("span", { class: "cause" }, `: ${fateInWords(slot.death)}`) : ""];
}

// The headers that the next request will send.
function travels(slot) {
  const lines = slot.isCookie ? cookieLines(slot) : [["Authorization", `Bearer ${slot.token}`, "every request for this login"]];
  const items = lines.map(([name, value, when, size]) => {
    const length = size ?? `${bytes(`${name}: ${value}\r\n`)} bytes`;
    return el("li", {}, el("p", { class: "when" }, `With ${when}: `, el("span", { class: "bytes" }, length)), el("pre", {}, el("b", {}, name), ": ", inParts(value)));
  });
  return el("section", { class: "travels" }, el("h4", {}, "What travels next time"), el("ul", {}, items));
}

// The three parts of a JWT, marked up as in the explanation below.
function inParts(value) {
  const parts = value.split(".");
  if (parts.length !== 3) return value;
  const [header, claims, signature] = parts.map((part, place) => el("span", { class: PARTS[place] }, part.replace("Bearer ", "")));
  return el("span", {}, "Bearer ", header, ".", claims, ".", signature);
}

const PARTS = ["jwt-header", "jwt-claims", "jwt-signature"];

// The paths for which a mode's cookies are sent.
const ERRANDS = {
  session: [["sessionid", "/", "every request"]],
  jwt: [["access_token", "/", "every request"], ["refresh_token", "/jwt/", "requests below /jwt"]],
};

function cookieLines(slot) {
  const lines = ERRANDS[slot.mode].filter(([kind]) => isHeld(kind)).map(([, path, when]) => {
    const kinds = sentTo(path);
    return ["Cookie", kinds.map((kind) => `${nameOf(kind)}=${HIDDEN}`).join("; "), when, sizeOf(kinds)];
  });
  if (slot.isForgotten) return [["Cookie", "none: the browser has forgotten it", "no request", "0 bytes"]];
  return slot.csrf ? [...lines, ["X-CSRF-Token", slot.csrf, "requests that change something"]] : lines;
}

function ends(slot) {
  const { idle_expires_at, expires_at } = { ...slot.login, ...slot.record };
  const pairs = [
    ["Login", code(slot.login?.id ?? "unknown")],
    ["Whose", slot.user?.username ?? "unknown"],
  ];
  if (slot.state !== "dead") {
    if (slot.tokenEnds) pairs.push(["Token runs out in", countdown(slot.tokenEnds)]);
    const unless = slot.mode === "jwt" ? "Unless refreshed, ends in" : "Unless used, ends in";
    if (idle_expires_at) pairs.push([unless, countdown(idle_expires_at)]);
    if (expires_at) pairs.push(["Ends in any case in", countdown(expires_at)]);
  }
  if (slot.kept) pairs.push(["Kept with it", code(JSON.stringify(slot.kept))]);
  return definitions(pairs);
}

function cookiesExplained(slot) {
  return slot.setCookies.filter((cookie) => !cookie.isCleared).map((cookie) =>
    el("div", { class: "cookie" },
      el("pre", {}, el("b", {}, "Set-Cookie"), `: ${line(cookie)}`),
      definitions(explanations(cookie).map(([attribute, meaning]) => [code(attribute), meaning]))))
    .concat(slot.setCookies.some((cookie) => !cookie.isCleared) ? honesty(slot) : []);
}

function honesty(slot) {
  const body = JSON.stringify({ username: slot.user.username, password: "your password", transport: "cookie" });
  const command = `curl -si ${location.origin}${BASE}/${slot.mode}/login -H 'Content-Type: application/json' -d '${body}' | grep -i set-cookie`;
  return [
    el("p", { class: "honest" }, "No page may read a Set-Cookie header, so this one tells it from the API's contract. All that a script sees of these cookies is ",
      code(`document.cookie === ${JSON.stringify(document.cookie)}`),
      ". To see a real one, look into your browser's developer tools under Network, or sign in from a terminal:"),
    el("pre", {}, command),
  ];
}

function tokenDecoded(slot) {
  if (slot.mode !== "jwt" || slot.state === "none") return [];
  if (slot.isCookie) {
    return [el("p", { class: "honest" }, "It is in an HttpOnly cookie, so this page can't decode it. The one by Bearer looks the same; try that.")];
  }
  const { header, claims, signature } = decode(slot.token);
  const told = (values, meanings) => definitions(Object.entries(values).map(([name, value]) =>
    [code(name), el("span", {}, code(JSON.stringify(value)), isTime(name) ? `: ${atTime(value * 1000)}` : "", el("span", { class: "meaning" }, meanings[name] ?? ""))]));
  return [
    el("p", { class: "label" }, el("b", { class: PARTS[0] }, "Header")), told(header, HEADER),
    el("p", { class: "label" }, el("b", { class: PARTS[1] }, "Claims"), ": anybody can read them, and nobody can change them"), told(claims, CLAIMS),
    el("p", { class: "label" }, el("b", { class: PARTS[2] }, "Signature"), " of both, by the server's key"), el("pre", {}, el("span", { class: PARTS[2] }, signature)),
    el("p", { class: "label" }, el("b", {}, "Refresh token"), ": says nothing, and is shown to /jwt/refresh alone"), el("pre", {}, slot.refreshToken ?? ""),
  ];
}

const isTime = (name) => name === "iat" || name === "exp";

function serverRecord(slot) {
  if (slot.state === "none") return [];
  if (slot.record === undefined) return [el("p", {}, "No credential here can ask for it at the moment.")];
  if (slot.record === null) return [el("p", {}, "It is not among the live logins any more.")];
  const { id, mode, transport, remember_me, device_name, address, user_agent, created_at, last_seen_at, idle_expires_at, expires_at } = slot.record;
  return [
    definitions([
      ["id", code(id)], ["mode, transport", `${mode}, ${transport}`], ["device_name", device_name ?? "none"], ["address", code(address)],
      ["user_agent", user_agent], ["remember_me", String(remember_me)], ["created_at", atTime(created_at)], ["last_seen_at", atTime(last_seen_at)],
      ["idle_expires_at", atTime(idle_expires_at)], ["expires_at", atTime(expires_at)],
    ]),
    el("p", { class: "honest" }, "From GET /account/logins: one row for one sign-in on one device, the same in both modes. Of the credential itself it has a hash at most."),
  ];
}

function exchanges(slot) {
  return slot.exchanges.map(transcript);
}
