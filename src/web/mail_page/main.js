// Entry point. The link is /mail#<id of a challenge>.<code>. In the browser that asked for the challenge the page goes on after a
// press; in any other it shows the code. It requests nothing before a press: programs open the links in mails, too, and run scripts.

import { forgetChallenge, keptChallenge } from "./challenge-store.js";
import { redeem } from "./redemption.js";
import { language, texts } from "./texts.js";

const byId = (id) => document.getElementById(id);
const page = document.querySelector("main");

// The link that is open: the challenge's id, the code, and the challenge if this browser asked for it.
let link = null;

// Shows one view, or none, and moves the focus: to `focused`, or to the title.
function show(view, title, message, focused = byId("title")) {
  for (const other of ["code-view", "password-view", "confirm-view"]) byId(other).hidden = other !== view;
  document.title = title;
  byId("title").textContent = title;
  byId("message").textContent = message;
  showFailure("");
  byId("notice").textContent = "";
  focused.focus();
}

function showFailure(text) {
  byId("failure").textContent = text;
  byId("new-password").setAttribute("aria-invalid", String(text !== ""));
}

function showCode() {
  if (!link) return;
  const { code } = link;
  byId("code").textContent = `${code.slice(0, 4)} ${code.slice(4)}`;
  byId("spoken-code").textContent = [...code].join(" ");
  show("code-view", texts.codeTitle, texts.typeIt);
}

function askToGoOn() {
  const { title, ask, goOn } = texts[link.asked.for];
  byId("go-on").textContent = goOn;
  show("confirm-view", title, ask);
}

function goOn() {
  if (!link?.asked) return;
  if (link.asked.for !== "reset_password") return send();
  byId("username").value = link.asked.email ?? "";
  byId("new-password").value = "";
  show("password-view", texts.reset_password.title, texts.reset_password.form, byId("new-password"));
}

async function send() {
  if (!link?.asked || page.ariaBusy === "true") return;
  page.ariaBusy = "true";
  showFailure("");
  byId("notice").textContent = texts.working;
  const sent = link;
  const result = await redeem(sent.asked, sent.code, byId("new-password").value);
  page.ariaBusy = "false";
  if (sent !== link) return; // Another link was opened meanwhile.
  byId("notice").textContent = "";
  showResult(result);
}

function showResult(result) {
  if (result === "done") {
    forgetChallenge(link.id);
    byId("new-password").value = "";
    show(null, texts[link.asked.for].doneTitle, texts[link.asked.for].done);
  } else if (result === "over") {
    forgetChallenge(link.id);
    show(null, texts.overTitle, texts.over);
  } else if (result === "wrongCode") {
    show(null, texts.wrongCodeTitle, texts.wrongCode);
  } else {
    showFailure(texts[result]);
  }
}

async function copyCode() {
  if (!link) return;
  try {
    await navigator.clipboard.writeText(link.code);
    byId("notice").textContent = texts.copied;
  } catch {
    getSelection().selectAllChildren(byId("code"));
    byId("notice").textContent = texts.notCopied;
  }
}

// Reads the link, and removes it from the address bar and the history.
function openLink() {
  const [, id, code] = location.hash.match(/^#([0-9a-f-]{36})\.(\d{8})$/) ?? [];
  history.replaceState(null, "", location.pathname);
  link = id ? { id, code, asked: keptChallenge(id) } : null;
  if (!link) show(null, texts.incompleteTitle, texts.incomplete);
  else if (link.asked && goesOnHere(link.asked)) askToGoOn();
  else showCode();
}

// Bearer tokens are in the memory of the page that asked.
const goesOnHere = ({ for: purpose, transport }) =>
  ["reset_password", "register"].includes(purpose) || (["login", "email"].includes(purpose) && transport === "cookie");

document.documentElement.lang = language;
byId("host").textContent = location.host;
for (const element of document.querySelectorAll("[data-text]")) element.textContent = texts[element.dataset.text];
byId("copy").addEventListener("click", copyCode);
byId("show-code").addEventListener("click", showCode);
byId("go-on").addEventListener("click", goOn);
byId("password-view").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
byId("show-password").addEventListener("change", ({ target }) => {
  byId("new-password").type = target.checked ? "text" : "password";
});
// Another link that is opened in this tab.
addEventListener("hashchange", () => location.hash && openLink());
openLink();
