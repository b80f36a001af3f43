// The box of what is tried by a sign-in provider: both halves of its challenge, and the way there.

import { formatTime } from "./clock.js";
import { button, byId, code, descriptionList, el } from "./dom.js";
import { currentAttempt } from "./provider-attempt.js";

const PURPOSES = { login: "sign in", factor: "link", step_up: "step up" };

let shown = null;

// `link`: sends the password that was entered, for the account to be linked.
export function updateAttemptBox(link) {
  const attempt = currentAttempt();
  if (attempt === shown) return;
  shown = attempt;
  byId("provider-attempt").replaceChildren(...(attempt ? [attempt.methods ? linkElement(attempt, link) : attemptElement(attempt)] : []));
}

const attemptElement = ({ id, token, url, purpose, provider, credential, expiresAt }) => el("div", { class: "boxed" },
  descriptionList([
    ["For", `${PURPOSES[purpose]}: ${provider.title}, ${credential.name}`],
    ["This half: challenge", [code(token), el("span", { class: "meaning" }, "Came with the response, and stays in this page. No cookie goes along.")]],
    ["Other half: code", ["‹by redirect›", el("span", { class: "meaning" }, "Comes back in the fragment, which browsers send to nobody: ", code(`#challenge=${id}&code=‹code›`))]],
    ["Expires", formatTime(expiresAt)],
  ]),
  el("p", { class: "buttons" }, el("a", { id: "go-to-provider", href: url, target: "_blank", rel: "noopener" }, `Go to ${provider.title} in another tab`)));

const linkElement = ({ token, provider, methods, expiresAt }, link) => el("div", { class: "boxed" },
  el("p", {}, el("b", {}, "Is it yours? "), `An account has the address that ${provider.title} has verified. The address alone opens nothing: a proof of that account links the two.`),
  descriptionList([["Challenge", code(token)], ["Would do", methods.join(", ")], ["Expires", formatTime(expiresAt)]]),
  methods.includes("password") ? el("p", { class: "buttons" }, button("Link with the password entered above", link)) : null);
