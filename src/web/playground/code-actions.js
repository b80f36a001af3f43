// The actions of the panel “Forgot password, codes by mail”: ask for a challenge, and send both halves.

import { failure } from "./actions.js";
import { countWrongCode, currentChallenge, endChallenge, openChallenge } from "./challenge.js";
import { recordCookiesOf } from "./cookies.js";
import { sendRequest } from "./http-client.js";

// `credential`: to log in with, or whose login asks.
export async function askForCode(purpose, email, { credential, rememberMe }) {
  const body = { for: purpose, method: "email", email };
  const exchange = purpose === "email"
    ? await credential.send("POST", "/challenges", { body })
    : await sendRequest({ method: "POST", path: "/challenges", body });
  if (!exchange.isOk) return { ...failure("Code by mail", "not asked for.", exchange), exchange };
  openChallenge(exchange, { purpose, email, credential: purpose === "reset_password" ? null : credential, rememberMe });
  return { headline: `A code is mailed to ${email}, if it may be. The answer is the same whether anybody has the address.`, exchange };
}

// Sends both halves of the open challenge.
export async function redeemCode(code, { newPassword, credentials }) {
  const challenge = currentChallenge();
  const { request, describe } = REDEMPTIONS[challenge.purpose];
  const exchange = await request(challenge, { challenge: challenge.token, code }, newPassword);
  if (!exchange.isOk) return { ...rejection(exchange), exchange };
  const outcome = describe(challenge, exchange, credentials);
  endChallenge("used");
  return { ...outcome, exchange, isRedeemed: true };
}

function rejection(exchange) {
  const { code } = exchange.problem;
  if (code === "invalid_code") countWrongCode();
  if (code === "challenge_expired") endChallenge("over: used, tried too often, superseded or expired");
  return failure("Code by mail", "rejected.", exchange);
}

// For each purpose: the request with both halves, and the outcome.
const REDEMPTIONS = {
  reset_password: {
    request: (_, halves, newPassword) =>
      sendRequest({ method: "POST", path: "/account/password/reset", body: { ...halves, new_password: newPassword } }),
    describe: ({ email }, { receivedAt }, credentials) => ({
      headline: "New password set. Every login of the user has ended, and nobody was signed in.",
      ending: credentials.filter(({ user }) => user?.email?.toLowerCase() === email.toLowerCase()), cause: "password reset", since: receivedAt,
    }),
  },
  login: {
    request: ({ credential, rememberMe }, halves) => credential.logInWith({ ...halves, remember_me: rememberMe }),
    describe: ({ credential }) => ({ headline: `${credential.name}: logged in as ${credential.user.username} by a code, without a password.` }),
  },
  email: {
    request: ({ credential }, halves) => credential.send("POST", "/account/email", { body: halves }),
    describe: describeProvedAddress,
  },
  register: {
    request: (_, halves) => sendRequest({ method: "POST", path: "/session/register", body: halves }),
    describe: (_, { json }) => ({ headline: `Registered ${json.username}, with a proved address. Registration does not log in.` }),
  },
};

function describeProvedAddress({ credential }, { json, receivedAt }, credentials) {
  // After a reload the page does not know the address.
  const isAnother = credential.user.email !== undefined && json.email !== credential.user.email;
  const others = credentials.filter((it) => !it.isOfSameLogin(credential) && it.user?.user_id === json.user_id);
  credential.user = json;
  const headline = `${json.email} is proved, and the address of ${json.username}.`;
  if (!isAnother) return { headline };
  return { headline: `${headline} All other logins were ended.`, ending: others, cause: "address changed", since: receivedAt };
}

// The page that the mail's link opens has used the challenge, or has found that it is over. It may have signed in.
export async function followMailPage() {
  const { purpose, credential } = currentChallenge();
  endChallenge("used or over, says the page of the mail’s link");
  const isSignIn = purpose === "login" && (await sendRequest({ path: credential.profilePath, withCookies: true })).isOk;
  if (!isSignIn) return { headline: "The page of the mail’s link has used the challenge, or found that it is over." };
  recordCookiesOf(credential.mode);
  await credential.restore();
  return { headline: `${credential.name}: logged in by the page of the mail’s link.` };
}
