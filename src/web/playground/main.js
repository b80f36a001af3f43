// The page put together: four credentials, what can be done with each, and what came of it.

import { accountPanel } from "./account.js";
import * as actions from "./actions.js";
import { news, pills } from "./board.js";
import { card } from "./card.js";
import { startTicking } from "./clock.js";
import { holdsAnyOf } from "./cookies.js";
import { button, byId } from "./dom.js";
import { readRecords, settle } from "./fate.js";
import { madeUp } from "./people.js";
import { Slot } from "./slot.js";

const slots = ["session", "jwt"].flatMap((mode) => ["cookie", "bearer"].map((transport) => new Slot(mode, transport)));

const tell = news(byId("news"));
const form = byId("who");
const typed = () => ({
  username: form.username.value.trim(), email: form.email.value.trim(), password: form.password.value,
  remember_me: form.remember_me.checked,
});

const signedIn = (slot) => (slot.state === "none" ? "sign in first." : null);
const alive = (slot) => signedIn(slot) ?? (slot.isAlive ? null : "it is not alive any more.");
const notYet = (slot) => (slot.isAlive ? "it is signed in already. Sign out first." : null);
const refreshed = (slot) => signedIn(slot) ?? (slot.oldRefreshToken ? null : "refresh first.");
const personOf = (slot) => slot.person ?? { ...typed(), username: slot.user?.username };
const withPassword = (slot) => signedIn(slot) ?? (personOf(slot).password ? null : "type the password above first.");

const verbs = (slot) => [
  { label: "Sign in", unless: notYet, act: () => actions.signIn(slot, typed()) },
  { label: "Ask for the profile", unless: signedIn, act: () => actions.profile(slot) },
  slot.mode === "session" ? { label: "Write session data", unless: signedIn, act: () => actions.writeData(slot) } : null,
  { label: "Refresh", unless: signedIn, act: () => actions.refresh(slot) },
  slot.id === "jwt-bearer" ? { label: "Use the old refresh token again", unless: refreshed, act: () => actions.reuse(slot) } : null,
  ...tampering(slot),
  { label: "Sign out", unless: signedIn, act: () => actions.signOut(slot) },
  { label: "Revoke from another device", unless: withPassword, act: () => actions.revoke(slot, personOf(slot)) },
].filter((verb) => verb !== null);

function tampering(slot) {
  if (slot.isCookie) return [{ label: "Tamper", unless: alive, act: () => actions.tamperWithCookie(slot) }];
  const slip = { label: "Tamper with the token", unless: signedIn, act: () => actions.tamperWithToken(slot) };
  const claims = { label: "Tamper with the claims", unless: signedIn, act: () => actions.tamperWithClaims(slot) };
  return slot.mode === "jwt" ? [claims, slip] : [slip];
}

function press(slot, verb) {
  const reason = verb.unless(slot);
  if (reason) tell({ headline: `${slot.name}: ${reason}` });
  else run(verb.act, slot);
}

// One thing at a time: what it did to whom is to be seen.
async function run(act, slot = null) {
  if (document.body.dataset.busy === "true") return;
  document.body.dataset.busy = "true";
  try {
    const outcome = await act();
    const fates = await settle(slots, outcome);
    await outcome.afterwards?.();
    await readRecords(slots);
    if (slot) slot.outcome = outcome.headline;
    tell({ ...outcome, fates });
  } catch (error) {
    tell({ headline: `This page has a fault: ${error.message}. Load it anew.` });
    throw error;
  } finally {
    show();
    document.body.dataset.busy = "false";
  }
}

const cards = slots.map((slot) => {
  const it = card(slot, verbs(slot), press);
  byId(`${slot.mode}-cards`).append(it.element);
  return it;
});
const showPills = pills(byId("pills"), slots);
const account = accountPanel({ slots, run, tell, typed, setPassword: (password) => (form.password.value = password) });

function show() {
  cards.forEach((it) => it.show());
  showPills();
  account.show();
}

async function register() {
  const person = typed();
  const outcome = await actions.register(person);
  if (!outcome.isTaken) return outcome;
  return { ...outcome, offer: button(`Sign in as ${person.username} instead`, () => run(signInAll)) };
}

async function signInAll() {
  const person = typed();
  const waiting = slots.filter((slot) => !slot.isAlive);
  for (const slot of waiting) {
    const outcome = await actions.signIn(slot, person);
    if (outcome.problem) return outcome;
    slot.outcome = outcome.headline;
  }
  return { headline: `${person.username} is signed in four ways: four logins, and four credentials for them.` };
}

async function makeUp() {
  await leaveAll();
  const { username, email, password } = madeUp();
  form.username.value = username;
  form.email.value = email;
  form.password.value = password;
  const outcome = await register();
  return outcome.problem ? outcome : signInAll();
}

// A dead cookie that the browser still holds is cleared by signing out, too.
async function leaveAll() {
  for (const slot of slots) {
    const isOfUse = slot.isAlive || slot.state === "expired" || (slot.isCookie && holdsAnyOf(slot.mode));
    if (isOfUse) await slot.leave(`/${slot.mode}/logout`);
    slot.forget();
    slot.exchanges = [];
  }
}

async function startOver() {
  await leaveAll();
  form.reset();
  showPasswords();
  account.forget();
  return { headline: "All four are signed out, and this page has forgotten them." };
}

// Tokens in a page's memory are gone when it is loaded anew. Cookies are not.
async function adopt() {
  const left = slots.filter((slot) => slot.isCookie && holdsAnyOf(slot.mode));
  for (const slot of left) await slot.adopt();
  const names = left.filter((slot) => slot.isAlive).map((slot) => slot.name).join(" and ");
  const cookies = names === "" ? "and the cookies' logins have ended meanwhile" : `and the cookies are still here: ${names}`;
  return { headline: `The page was loaded anew: the tokens that it held are gone, ${cookies}.` };
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  run(register);
});
byId("make-up").addEventListener("click", () => run(makeUp));
byId("sign-in-all").addEventListener("click", () => run(signInAll));
byId("start-over").addEventListener("click", () => run(startOver));
byId("show-password").addEventListener("change", showPasswords);

function showPasswords() {
  const type = byId("show-password").checked ? "text" : "password";
  for (const field of [form.password, byId("new-password")]) field.type = type;
}

show();
startTicking();
if (holdsAnyOf("session") || holdsAnyOf("jwt")) run(adopt);
