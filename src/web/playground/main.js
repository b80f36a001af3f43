// Entry point: connects the four credentials, their actions, the board and the account's section.

import { accountPanel } from "./account.js";
import * as actions from "./actions.js";
import { keepClear, news, pills } from "./board.js";
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
const known = (slot) => signedIn(slot) ?? (slot.login && slot.user ? null : "refresh first, so that this page knows whose it is.");
const withPassword = (slot) => known(slot) ?? (personOf(slot).password ? null : "type the password above first.");

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

const isBusy = () => document.body.dataset.busy === "true";

// Runs one action at a time, so that its effects can be observed.
async function run(act, slot = null) {
  if (isBusy()) return tell({ headline: "One moment: the last action is not done yet." });
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
  return { ...outcome, offer: button(`Sign in as ${person.username} instead`, takeTheOffer) };
}

// The button disappears when it is used, so the focus is moved first.
function takeTheOffer() {
  byId("sign-in-all").focus();
  run(signInAll);
}

async function signInAll() {
  const person = typed();
  const waiting = slots.filter((slot) => !slot.isAlive);
  for (const slot of waiting) {
    const outcome = await actions.signIn(slot, person);
    if (outcome.problem) return outcome;
    slot.outcome = outcome.headline;
  }
  return { headline: whoIsSignedIn(waiting.length > 0) };
}

// Credentials that were valid before may belong to another user.
function whoIsSignedIn(isAnybodyNew) {
  const users = new Map(slots.map(({ user }) => [user.user_id, user.username]));
  if (isAnybodyNew && users.size === 1) return `${slots[0].user.username} is signed in four ways: four logins, and four credentials for them.`;
  const where = [...users].map(([id, name]) => `${name} (${slots.filter(({ user }) => user.user_id === id).map((slot) => slot.name).join(", ")})`);
  return `Signed in: ${where.join("; ")}. For one person in all four ways, press “Start over” first.`;
}

async function makeUp() {
  const failure = await leaveAll();
  if (failure) return failure;
  const { username, email, password } = madeUp();
  form.username.value = username;
  form.email.value = email;
  form.password.value = password;
  const outcome = await register();
  return outcome.problem ? outcome : signInAll();
}

// Signs out and forgets every credential. Returns those for which it failed.
async function leaveAll() {
  const left = [];
  for (const slot of slots) {
    const record = await leave(slot);
    if (record && !record.isOk && record.status !== 401) {
      left.push({ slot, record });
      continue;
    }
    slot.forget();
    slot.exchanges = [];
  }
  if (left.length === 0) return null;
  const { problem, requestId } = left[0].record;
  return { headline: `Not everything could be signed out: ${left.map(({ slot }) => slot.name).join(", ")}.`, problem, requestId };
}

// Includes credentials that are invalid, if the browser still holds a cookie: signing out clears it.
function leave(slot) {
  const isOfUse = slot.isAlive || slot.state === "expired" || (slot.isCookie && holdsAnyOf(slot.mode));
  return isOfUse ? slot.leave(`/${slot.mode}/logout`) : null;
}

async function startOver() {
  const failure = await leaveAll();
  if (failure) return failure;
  form.reset();
  showPasswords();
  account.forget();
  return { headline: "All four are signed out, and this page has forgotten them." };
}

// A reload loses the tokens in the page's memory, but not the cookies.
async function adopt() {
  const left = slots.filter((slot) => slot.isCookie && holdsAnyOf(slot.mode));
  for (const slot of left) await slot.adopt();
  const found = Object.entries(FOUND).map(([state, words]) => [words, left.filter((slot) => slot.state === state)]);
  const told = found.filter(([, some]) => some.length > 0).map(([words, some]) => `${words}: ${some.map((slot) => slot.name).join(" and ")}`);
  return { headline: `The page was loaded anew, and the tokens that it held are gone; ${told.join("; ")}.` };
}

const FOUND = {
  alive: "the cookies are still here", expired: "run out, but can be refreshed", dead: "ended meanwhile", none: "no answer tells of",
};

// Detects expiry without an action of the user.
function askAgain() {
  if (isBusy()) return false;
  run(() => ({ headline: "A countdown has come to its end, so all that are alive were asked." }));
  return true;
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
keepClear(document.querySelector(".board"));
startTicking(askAgain);
if (holdsAnyOf("session") || holdsAnyOf("jwt")) run(adopt);
