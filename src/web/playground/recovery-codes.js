// Recovery codes, shown once: what is not kept now is lost.

import { button, copyButton, el } from "./dom.js";

const GROUP = 6;

// Easier to copy by hand; the server ignores the spaces.
const inGroups = (code) => code.match(new RegExp(`.{1,${GROUP}}`, "g")).join(" ");

export function showRecoveryCodes(region, codes) {
  const close = button("I have kept them", () => region.replaceChildren());
  region.replaceChildren(el("section", { class: "boxed", "aria-labelledby": "recovery-codes-name" },
    el("h4", { id: "recovery-codes-name" }, `Your ${codes.length} recovery codes`),
    el("p", {}, "Shown once, now. Each takes the place of a second factor, one time: keep them where the authenticator is not."),
    el("ol", { class: "codes" }, codes.map((code) => el("li", {}, el("code", {}, inGroups(code))))),
    el("p", { class: "buttons" }, copyButton("Copy all", () => codes.map(inGroups).join("\n")), close)));
}
