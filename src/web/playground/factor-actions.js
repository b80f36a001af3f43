// The actions of the panel “Second factors”: enrol, list and remove factors, sign in with them, and step up.

import { failure } from "./actions.js";
import { sendRequest } from "./http-client.js";
import { forgetAuthenticator } from "./page-authenticator.js";
import { closeSignIn, pendingSignIn } from "./pending-sign-in.js";
import { createPasskey, usePasskey } from "./web-authn.js";

export const KINDS = { totp: "Authenticator app", passkey: "Passkey", security_key: "Security key", provider: "Provider" };

const METHODS = { totp: "a code of the authenticator", recovery_code: "a recovery code", passkey: "a passkey or security key" };

export const listMethods = (methods) => methods.map((method) => METHODS[method] ?? method).join(", or ");

// Why a change of the factors was refused, with what to do next.
export function refusal(subject, text, exchange) {
  const outcome = { ...failure(subject, text, exchange), exchange };
  const { code, max_age, acr_values } = exchange.problem;
  if (code === "insufficient_user_authentication") {
    const strength = acr_values ? `, and must be at ${acr_values}` : "";
    return { ...outcome, headline: `${subject}: the last proof of this login must not be older than ${max_age / 60} minutes${strength}. Step up below, then try again.` };
  }
  if (code === "email_not_verified") return { ...outcome, headline: `${subject}: the address must be proved first, so that notices reach its owner.`, needsAddress: true };
  return outcome;
}

// Asks for a challenge. `credential`: whose login asks; null for anybody.
function ask(credential, purpose, method) {
  const body = { for: purpose, method };
  return credential ? credential.send("POST", "/challenges", { body }) : sendRequest({ method: "POST", path: "/challenges", body });
}

// Resolves to an outcome with `setup`: what the authenticator needs.
export async function askForAuthenticator(credential) {
  const exchange = await ask(credential, "factor", "totp");
  if (!exchange.isOk) return refusal(KINDS.totp, "not added.", exchange);
  const { challenge, totp } = exchange.json;
  return { headline: "Scan the picture with an authenticator app, and send its first code.", exchange, setup: { challenge, ...totp, credential } };
}

export const enrolBy = (credential, kind, proof, credentials) => enrol(credential, kind, { ...proof, name: "" }, credentials);

export const enrolAuthenticator = ({ credential, challenge }, code, name, credentials) =>
  enrol(credential, KINDS.totp, { challenge, code, name }, credentials);

// `kind`: `passkey` or `security_key`.
export async function enrolPasskey(credential, kind, name, credentials) {
  const asked = await ask(credential, "factor", kind);
  if (!asked.isOk) return refusal(KINDS[kind], "not added.", asked);
  const { passkey, problem } = await createPasskey(asked.json.passkey);
  if (problem) return { headline: `${KINDS[kind]}: not added.`, problem, exchange: asked };
  return enrol(credential, KINDS[kind], { challenge: asked.json.challenge, passkey, name }, credentials);
}

async function enrol(credential, kind, { name, ...proof }, credentials) {
  const body = name === "" ? proof : { ...proof, name };
  const exchange = await credential.send("POST", "/account/factors", { body });
  if (!exchange.isOk) return refusal(kind, "not added.", exchange);
  const codes = exchange.json.recovery_codes ?? null;
  const shown = credential.mode === "session" ? "" : ` ${credential.name} shows that after a refresh.`;
  const outcome = { exchange, isEnrolled: true, recoveryCodes: codes };
  const named = exchange.json.name ? ` as “${exchange.json.name}”` : "";
  const added = `${kind}: added${named}. It counts as a proof of this login.${shown}`;
  if (!codes) return { ...outcome, headline: added };
  return { ...outcome, ...othersEnd(credential, credentials, exchange, "two-step sign-in turned on"), headline: `${added} Each sign-in takes two steps from now on, and all other logins were ended.` };
}

function othersEnd(credential, credentials, { receivedAt }, cause) {
  const ending = credentials.filter((it) => !it.isOfSameLogin(credential) && it.user?.user_id === credential.user.user_id);
  return { ending, cause, since: receivedAt };
}

export async function removeFactor(credential, { id, name, kind }, credentials) {
  const exchange = await credential.send("DELETE", `/account/factors/${id}`);
  if (!exchange.isOk) return refusal(KINDS[kind], "not removed.", exchange);
  if (kind === "totp") forgetAuthenticator();
  return { ...othersEnd(credential, credentials, exchange, "factor removed"), exchange, headline: `${KINDS[kind]} “${name}”: removed. All other logins were ended.` };
}

export async function renewRecoveryCodes(credential, credentials) {
  const exchange = await credential.send("POST", "/account/recovery-codes");
  if (!exchange.isOk) return refusal("Recovery codes", "not made.", exchange);
  const ends = othersEnd(credential, credentials, exchange, "recovery codes made anew");
  return { ...ends, exchange, recoveryCodes: exchange.json.recovery_codes, headline: "Ten new recovery codes. The old ones are dead, and all other logins were ended." };
}

// Goes on with the sign-in that waits for its second factor, in any mode and transport.
export async function finishSignIn(credential, code) {
  const { token, user } = pendingSignIn();
  return finish(await credential.logInWith({ challenge: token, code }), credential, user);
}

export async function finishSignInByPasskey(credential) {
  const { token, passkey: options, user } = pendingSignIn();
  const { passkey, problem } = await usePasskey(options);
  if (problem) return { headline: "Second step: not taken.", problem };
  return finish(await credential.logInWith({ challenge: token, passkey }), credential, user);
}

function finish(exchange, credential, user) {
  if (exchange.isOk) {
    closeSignIn();
    credential.enteredUser = user;
    return { headline: `${credential.name}: logged in as ${credential.user.username} in two steps.`, exchange, isUsed: true };
  }
  if (exchange.problem.code !== "challenge_expired") return { ...failure("Second step", "rejected.", exchange), exchange };
  closeSignIn();
  return { ...failure("Second step", "too late, or tried too often: begin again.", exchange), exchange };
}

// Nobody has to say who they are: the passkey does.
export async function logInByPasskey(credential) {
  const asked = await ask(null, "login", "passkey");
  if (!asked.isOk) return { ...failure("Passkey", "no challenge.", asked), exchange: asked };
  const { passkey, problem } = await usePasskey(asked.json.passkey);
  if (problem) return { headline: `${credential.name}: not logged in.`, problem, exchange: asked };
  const exchange = await credential.logInWith({ challenge: asked.json.challenge, passkey });
  if (!exchange.isOk) return { ...failure(credential.name, "login failed.", exchange), exchange };
  return { headline: `${credential.name}: logged in as ${credential.user.username} by a passkey, without a name or a password.`, exchange };
}

// `proof`: `{ password }`, `{ code }`, or both halves of a challenge.
export async function stepUp(credential, proof) {
  const exchange = await credential.stepUp(proof);
  if (!exchange.isOk) return { ...stepUpFailure(credential, exchange), exchange };
  return { headline: `${credential.name}: stepped up. Same login, new credential, and a new auth_time. Earlier credentials of it are dead at once.`, exchange, isUsed: true };
}

export async function stepUpByPasskey(credential) {
  const asked = await ask(credential, "step_up", "passkey");
  if (!asked.isOk) return { ...failure(credential.name, "not stepped up.", asked), exchange: asked };
  const { passkey, problem } = await usePasskey(asked.json.passkey);
  if (problem) return { headline: `${credential.name}: not stepped up.`, problem, exchange: asked };
  return stepUp(credential, { challenge: asked.json.challenge, passkey });
}

function stepUpFailure(credential, exchange) {
  const outcome = failure(credential.name, "not stepped up.", exchange);
  const seconds = new Map(exchange.responseHeaders).get("retry-after");
  if (exchange.status !== 429 || !seconds) return outcome;
  return { ...outcome, headline: `${credential.name}: too many step-ups in a short time. Wait ${seconds} seconds.` };
}

export async function loadFactors(credential) {
  const exchange = await sendRequest({ path: "/account/factors", headers: credential.headers("GET"), withCookies: credential.isCookie });
  return exchange.isOk ? exchange.json : null;
}
