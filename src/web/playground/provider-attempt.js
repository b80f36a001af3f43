// What is tried by a sign-in provider: to sign in, to link, to step up. Another tab goes there, and comes back with a code.

import { failure } from "./actions.js";
import { BASE_PATH } from "./base-path.js";
import { button, byId } from "./dom.js";
import { enrolBy, refusal, stepUp } from "./factor-actions.js";
import { sendRequest } from "./http-client.js";
import { openSignIn } from "./pending-sign-in.js";

const RETURN_PAGE = "/playground/provider-return.html";

let attempt = null;

export const currentAttempt = () => attempt;

export function discardAttempt() {
  attempt = null;
}

export async function loadProviders() {
  const { json } = await sendRequest({ path: "/providers" });
  return json?.providers ?? [];
}

// Asks for a challenge. `purpose`: as in POST /challenges. `credential`: to log in with, or whose login asks.
export async function beginAttempt(purpose, provider, credential) {
  const body = { for: purpose, method: provider.name, return_to: location.origin + BASE_PATH + RETURN_PAGE };
  const exchange = purpose === "login"
    ? await sendRequest({ method: "POST", path: "/challenges", body })
    : await credential.send("POST", "/challenges", { body });
  if (!exchange.isOk) return refusal(provider.title, "no challenge.", exchange);
  const { id, challenge, authorization_url, expires_at } = exchange.json;
  attempt = { id, token: challenge, url: authorization_url, expiresAt: expires_at, purpose, provider, credential, methods: null };
  const followUp = button("Show the challenge", () => byId("go-to-provider").focus());
  return { headline: `There is a challenge for ${provider.title}: go there in another tab, under “Second factors”.`, exchange, followUp };
}

// `returned`: the members of the fragment that the other tab came back with.
export async function finishAttempt({ code, error }, credentials) {
  const { purpose, provider, token } = attempt;
  if (error) {
    discardAttempt();
    return { headline: `${provider.title}: ${ERRORS[error] ?? error}` };
  }
  return FINISHES[purpose](attempt, { challenge: token, code }, credentials);
}

const ERRORS = {
  access_denied: "nobody signed in there, or somebody said no. Nothing has changed.",
  provider_failed: "it does not answer, or what it says can’t be believed. The server’s log says why.",
};

const FINISHES = {
  login: logIn,
  async factor({ credential, provider }, halves, credentials) {
    discardAttempt();
    return enrolBy(credential, `Account at ${provider.title}`, halves, credentials);
  },
  async step_up({ credential }, halves) {
    discardAttempt();
    return stepUp(credential, halves);
  },
};

// Also links, with a proof of the account that has the address.
export async function logIn({ credential, provider, methods }, proof) {
  const exchange = await credential.logInWith(proof);
  const { problem } = exchange;
  if (problem?.code === "link_required") return requireLink(exchange);
  if (problem?.code === "invalid_credentials") return { ...failure(credential.name, "not linked: this is not the account’s password.", exchange), exchange };
  discardAttempt();
  if (exchange.isOk) {
    const how = methods ? "which is linked to it now" : "without a password";
    return { headline: `${credential.name}: logged in as ${credential.user.username} by ${provider.title}, ${how}.`, exchange };
  }
  if (problem.code !== "second_factor_required") return { ...failure(credential.name, "login failed.", exchange), exchange };
  openSignIn(exchange, { user: null, credential });
  const followUp = button("Go on with the second step", () => byId("second-code").focus());
  return { headline: `${credential.name}: the first step is done. This account takes a second one.`, exchange, followUp };
}

function requireLink(exchange) {
  const { challenge, methods, expires_at } = exchange.problem;
  attempt = { ...attempt, token: challenge, methods, expiresAt: expires_at };
  return { headline: `${attempt.credential.name}: an account has this address. Its own password links the two, and ${attempt.provider.title}’s word counts for nothing here.`, exchange };
}
