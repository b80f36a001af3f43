// Entry point. The link is /handoff#<code>. The page says whose login it is, and takes it over after a press: any page may open such
// a link here, with a code of its own. The paths are relative to the page's, so that they are below the path of PUBLIC_URL.

import { language, texts } from "./texts.js";

const TIMEOUT_MS = 30000;

const byId = (id) => document.getElementById(id);
const page = document.querySelector("main");

// The link that is open: its code, and whose login it hands off.
let link = null;

function show(title, message) {
  byId("confirm-view").hidden = true;
  document.title = title;
  byId("title").textContent = title;
  byId("message").textContent = message;
  byId("failure").textContent = "";
  byId("notice").textContent = "";
  byId("title").focus();
}

function showFailure(failure) {
  byId("notice").textContent = "";
  if (texts[`${failure}Title`]) show(texts[`${failure}Title`], texts[failure]);
  else byId("failure").textContent = texts[failure];
}

function ask() {
  show(texts.title, texts.ask(link.username));
  byId("go-on").textContent = texts.goOn(link.username);
  byId("hint").textContent = texts.hint;
  byId("confirm-view").hidden = false;
}

// Reads the link, and removes it from the address bar and the history.
async function openLink() {
  const [, code] = location.hash.match(/^#(dah_[\w-]{43})$/) ?? [];
  history.replaceState(null, "", location.pathname);
  const opened = code ? { code } : null;
  link = opened;
  if (!opened) return showFailure("incomplete");
  show(texts.title, texts.working);
  const { failure, body } = await send("account/handoff/inspect", { code });
  if (link !== opened) return; // Another link was opened meanwhile.
  byId("message").textContent = "";
  if (failure) return showFailure(failure);
  opened.username = body.username;
  ask();
}

async function takeOver() {
  if (!link?.username || page.ariaBusy === "true") return;
  page.ariaBusy = "true";
  byId("failure").textContent = "";
  byId("notice").textContent = texts.working;
  const taken = link;
  const handoff = { handoff: taken.code, transport: "cookie" };
  let { failure } = await send("session/login", handoff);
  // It is a session's login, which this browser takes over in the other mode.
  if (failure === "taken") ({ failure } = await send("jwt/login", handoff));
  page.ariaBusy = "false";
  if (link !== taken) return;
  if (failure) return showFailure(failure);
  link = null;
  show(texts.doneTitle, texts.done(taken.username));
}

const FAILURES = {
  challenge_expired: "over",
  conflict: "taken",
  insufficient_user_authentication: "weak",
  rate_limited: "tooManyAttempts",
};

// Resolves to the answer's body, or a failure by its name in the texts.
async function send(path, body) {
  try {
    const response = await fetch(path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
      credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const answer = await response.json();
    return response.ok ? { body: answer } : { failure: FAILURES[answer.code] ?? "unreachable" };
  } catch {
    return { failure: "unreachable" };
  }
}

document.documentElement.lang = language;
byId("host").textContent = location.host;
byId("go-on").addEventListener("click", takeOver);
// Another link that is opened in this tab.
addEventListener("hashchange", () => location.hash && openLink());
openLink();
