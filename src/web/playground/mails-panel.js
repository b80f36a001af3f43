// The panel with the mails that the server wrote to files instead of sending them. The server leaves it out elsewhere.

import { byId, el } from "./dom.js";
import { sendRequest } from "./http-client.js";

const INTERVAL_MS = 2000;

export function mailsPanel() {
  const list = byId("mails");
  if (!list) return { update() {} };
  let shown = null;

  async function load() {
    const { json, text } = await sendRequest({ path: "/playground/mails" });
    if (!json?.mails || text === shown) return;
    shown = text;
    list.replaceChildren(...(json.mails.length > 0 ? json.mails.map(mailElement) : [el("p", { class: "footnote" }, "No mails yet.")]));
  }

  load();
  // A mail is sent after the response to the request that asked for it.
  setInterval(() => document.hidden || load(), INTERVAL_MS);
  return { update: load };
}

const mailElement = ({ at, to, subject, text }, index) =>
  el("details", { class: "exchange", ...(index === 0 ? { open: "" } : {}) },
    el("summary", {}, el("b", {}, subject), ` to ${to}, ${new Date(at).toLocaleTimeString()}`),
    el("pre", {}, ...withLinks(text)));

// Only links to this server.
function withLinks(text) {
  return text.split(/(https?:\/\/\S+)/).map((part) =>
    URL.canParse(part) && new URL(part).host === location.host ? el("a", { href: part, target: "_blank", rel: "noopener" }, part) : part);
}
