// The panel for second factors: enrol, list and remove them, sign in in two steps or by a passkey, and step up.

import { OVERRIDDEN } from "./account-panel.js";
import { formatTime } from "./clock.js";
import { byId, button, code, copyButton, descriptionList, el, svgPath } from "./dom.js";
import * as actions from "./factor-actions.js";
import { forgetAuthenticator, hasAuthenticator, nextCode, setAuthenticator } from "./page-authenticator.js";
import { closeSignIn, pendingSignIn } from "./pending-sign-in.js";
import { proofsTable } from "./proofs-table.js";
import { updateAttemptBox } from "./provider-attempt-box.js";
import { beginAttempt, currentAttempt, discardAttempt, finishAttempt, loadProviders, logIn } from "./provider-attempt.js";
import { watchReturns } from "./provider-return-channel.js";
import { showRecoveryCodes } from "./recovery-codes.js";
import { exchangeElement } from "./request-log.js";
import { enteredUser } from "./user-panel.js";
import { isAtAddress, thisPageByName } from "./web-authn.js";

const MAX_EXCHANGES = 6;

const unlessUsable = (credential) => {
  if (!credential.isActive) return "Log in first, or select a credential that is active.";
  return credential.isOverriddenOnSharedRoutes ? OVERRIDDEN : null;
};
const unlessActive = (credential) => (credential.isActive ? null : "Log in first, or select a credential that is active.");
const unlessInactive = (credential) => (credential.isActive ? "This credential is logged in already. Log it out first, or select another." : null);

export function factorsPanel({ credentials, runAction, showOutcome }) {
  const updateProofs = proofsTable(byId("proofs").tBodies[0], credentials);
  const own = credentialSelect("factor-credential", credentials, unlessUsable);
  const steppedUp = credentialSelect("step-up-credential", credentials, unlessActive);
  const second = credentialSelect("second-step-credential", credentials, unlessInactive);
  const byPasskey = credentialSelect("passkey-credential", credentials, unlessInactive);
  const name = () => byId("factor-name").value.trim();
  let [exchanges, factors, setup, providers] = [[], null, null, []];

  // Runs an action with the selected credential, unless it can't be used for it.
  function run(select, action) {
    const credential = select.selected();
    const reason = select.unless(credential);
    if (reason) return showOutcome({ headline: reason });
    runAction(() => settle(action(credential), credential), credential);
  }

  async function settle(action, credential) {
    const outcome = await action;
    if (outcome.exchange) exchanges = [outcome.exchange, ...exchanges].slice(0, MAX_EXCHANGES);
    if (outcome.recoveryCodes) showRecoveryCodes(byId("recovery-codes"), outcome.recoveryCodes);
    if (outcome.setup) openSetup(outcome.setup);
    if (outcome.isEnrolled) closeSetup();
    if (outcome.isEnrolled) byId("factor-name").value = "";
    if (outcome.isUsed) byId("second-code").value = byId("step-up-code").value = "";
    return outcome.needsAddress ? { ...outcome, followUp: proveAddress(credential) } : outcome;
  }

  function openSetup(next) {
    setup = next;
    byId("totp-secret").replaceChildren(...setupElements(setup));
    byId("totp-code").value = "";
  }

  function closeSetup() {
    setup = null;
    byId("totp-secret").replaceChildren();
  }

  function remove(factor) {
    run(own, (credential) => actions.removeFactor(credential, factor, credentials));
  }

  byId("add-factor").addEventListener("submit", (event) => event.preventDefault());
  byId("add-totp").addEventListener("click", () => run(own, actions.askForAuthenticator));
  byId("add-passkey").addEventListener("click", () => run(own, (credential) => actions.enrolPasskey(credential, "passkey", name(), credentials)));
  byId("add-security-key").addEventListener("click", () => run(own, (credential) => actions.enrolPasskey(credential, "security_key", name(), credentials)));
  onSubmit("totp-setup", () => {
    const { credential } = setup;
    runAction(() => settle(actions.enrolAuthenticator(setup, byId("totp-code").value, name(), credentials), credential), credential);
  });
  byId("compute-first-code").addEventListener("click", () => {
    setAuthenticator(setup.secret);
    compute(byId("totp-code"), showOutcome);
  });

  onSubmit("second-step", () => run(second, (credential) => actions.finishSignIn(credential, byId("second-code").value)));
  byId("second-passkey").addEventListener("click", () => run(second, actions.finishSignInByPasskey));
  onSubmit("sign-in-by-passkey", () => run(byPasskey, actions.logInByPasskey));

  onSubmit("step-up", () => run(steppedUp, (credential) => actions.stepUp(credential, { code: byId("step-up-code").value })));
  byId("step-up-password").addEventListener("click", () => run(steppedUp, (credential) =>
    actions.stepUp(credential, { password: credential.enteredUser?.password ?? enteredUser().password })));
  byId("step-up-passkey").addEventListener("click", () => run(steppedUp, actions.stepUpByPasskey));
  for (const it of document.querySelectorAll("button.compute")) {
    it.addEventListener("click", () => compute(it.form.querySelector("input"), showOutcome));
  }

  loadProviders().then((loaded) => {
    providers = loaded;
    const offer = (id, label, select, purpose) => offerProviders(byId(id), providers, label, (provider) => run(select, (credential) => beginAttempt(purpose, provider, credential)));
    offer("sign-in-providers", "Sign in with", byPasskey, "login");
    offer("link-providers", "Link", own, "factor");
    offer("step-up-providers", "With", steppedUp, "step_up");
  });
  watchReturns((returned) => {
    const attempt = currentAttempt();
    // Somebody else’s, or of a sign-in that was begun elsewhere.
    if (attempt?.id !== returned.challenge) return;
    runAction(() => settle(finishAttempt(returned, credentials), attempt.credential), attempt.credential);
  });

  function link() {
    const attempt = currentAttempt();
    runAction(() => settle(logIn(attempt, { challenge: attempt.token, password: enteredUser().password }), attempt.credential), attempt.credential);
  }

  if (isAtAddress) showAddressNotice();

  return {
    async load() {
      own.keepUsable();
      const credential = own.selected();
      factors = unlessUsable(credential) === null ? await actions.loadFactors(credential) : null;
    },
    update() {
      updateProofs();
      [own, steppedUp, byPasskey].forEach((select) => select.keepUsable());
      if (setup && !setup.credential.isActive) closeSetup();
      byId("totp-setup").hidden = setup === null;
      byId("factors").replaceChildren(...factorElements(factors, providers, remove, () => run(own, (credential) => actions.renewRecoveryCodes(credential, credentials))));
      updateAttemptBox(link);
      updateSecondStep(second);
      for (const it of document.querySelectorAll("button.compute")) it.hidden = !hasAuthenticator();
      byId("factor-exchanges").replaceChildren(...exchanges.map(exchangeElement));
    },
    reset() {
      closeSignIn();
      discardAttempt();
      closeSetup();
      forgetAuthenticator();
      byId("recovery-codes").replaceChildren();
      for (const id of ["factor-name", "second-code", "step-up-code"]) byId(id).value = "";
      exchanges = [];
    },
  };
}

function onSubmit(id, action) {
  byId(id).addEventListener("submit", (event) => {
    event.preventDefault();
    action();
  });
}

// `unless`: why a credential can't be used; null if it can.
function credentialSelect(id, credentials, unless) {
  const select = byId(id);
  select.append(...credentials.map((it) => el("option", { value: it.id }, it.name)));
  const selected = () => credentials.find((it) => it.id === select.value);
  return {
    unless,
    selected,
    select: (credential) => { select.value = credential.id; },
    // Bearer tokens first: they have one login each on every route.
    keepUsable() {
      const usable = credentials.filter((it) => unless(it) === null);
      if (!usable.includes(selected())) select.value = (usable.find((it) => !it.isCookie) ?? usable[0] ?? selected()).id;
    },
  };
}

async function compute(field, showOutcome) {
  const { code: next, waitS } = await nextCode();
  if (waitS) return showOutcome({ headline: `Each code counts once: the next one can be used in ${waitS} seconds.` });
  field.value = next;
  field.focus();
}

// Nothing, where none is set up.
function offerProviders(place, providers, label, begin) {
  place.replaceChildren(...providers.map((provider) => button(`${label} ${provider.title}`, () => begin(provider))));
  place.hidden = providers.length === 0;
}

function setupElements({ secret, uri, qr }) {
  return [
    svgPath(qr.size, qr.path, { class: "qr", "aria-label": "QR code for an authenticator app" }),
    el("div", { class: "beside" },
      el("p", {}, "Scan it with an authenticator app, or type the secret:"),
      el("p", { class: "secret" }, code(secret.match(/.{1,4}/g).join(" "))),
      el("p", { class: "buttons" }, copyButton("Copy secret", () => secret), copyButton("Copy URI", () => uri)),
      el("p", { class: "footnote" }, "Shown once. The server keeps it encrypted, and never shows it again.")),
  ];
}

function factorElements(factors, providers, remove, renew) {
  if (!factors) return [el("p", { class: "footnote" }, "Log in to see them.")];
  const { password, two_step, totp, passkeys, recovery_codes_left } = factors;
  const titleOf = (name) => providers.find((it) => it.name === name)?.title ?? name;
  const linked = factors.providers.map((it) => ({ ...it, kind: "provider", name: titleOf(it.provider) }));
  const all = [...(totp ? [{ ...totp, kind: "totp" }] : []), ...passkeys, ...linked];
  const list = el("ul", { class: "factor-list" },
    password ? el("li", {}, el("p", {}, el("b", {}, "Password"))) : null,
    all.map((factor) => factorItem(factor, remove)));
  const codes = two_step ? el("p", { class: "buttons" }, el("span", {}, `Recovery codes left: ${recovery_codes_left}`), button("Make new codes", renew)) : null;
  return [list, el("p", { class: "two-step", "data-on": String(two_step) }, `Two-step sign-in is ${two_step ? "on" : "off"}.`), ...(codes ? [codes] : [])];
}

function factorItem(factor, remove) {
  const { kind, name, email, synced, created_at, last_used_at } = factor;
  const facts = [actions.KINDS[kind].toLowerCase(), email, synced ? "synced to other devices" : null, `added ${formatTime(created_at)}`, last_used_at ? `last used ${formatTime(last_used_at)}` : "not used yet"];
  return el("li", {},
    el("p", {}, el("b", {}, name), el("span", { class: "meaning" }, facts.filter((it) => it).join(", "))),
    button("Remove", () => remove(factor), { "aria-label": `Remove ${name}` }));
}

let shownSignIn = null;

function updateSecondStep(select) {
  const pending = pendingSignIn();
  byId("second-step").hidden = pending === null;
  if (pending === shownSignIn) return;
  shownSignIn = pending;
  byId("pending").replaceChildren(...(pending ? [pendingElement(pending)] : []));
  if (!pending) return;
  select.select(pending.credential);
  byId("second-passkey").hidden = !pending.methods.includes("passkey");
  byId("second-code").value = "";
}

const pendingElement = ({ token, methods, user, expiresAt }) => el("div", { class: "boxed" },
  el("p", {}, el("b", {}, "Second step"), user ? ` of ${user.username}` : "", `: ${actions.listMethods(methods)}.`),
  descriptionList([
    ["Challenge", [code(token), el("span", { class: "meaning" }, "All there is so far: no cookie, no token, no login in the list. It can be continued in either mode.")]],
    ["Expires", formatTime(expiresAt)],
  ]));

// The factors wait for a proved address while the server has mail.
function proveAddress({ user }) {
  return button("Prove the address", () => {
    const [purpose, email] = [byId("code-purpose"), byId("code-email")];
    purpose.value = "email";
    purpose.dispatchEvent(new Event("change", { bubbles: true }));
    if (user.email) email.value = user.email;
    document.querySelector("#ask-for-code [type=submit]").focus();
  });
}

function showAddressNotice() {
  const [notice, url] = [byId("passkey-address"), thisPageByName()];
  notice.replaceChildren("Passkeys and security keys need a name: browsers refuse them at an IP address. ",
    ...(url ? ["Open this page at ", el("a", { href: url }, url), "."] : ["Open this page by https at its domain."]));
  notice.hidden = false;
}
