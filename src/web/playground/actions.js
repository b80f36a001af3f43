// The actions of the buttons. Each resolves to its outcome: a headline, the problem if there was one, and the credentials
// that should have ended (`ending`), with the cause and the time of the response.

import { openChallenge } from "./challenge.js";
import { tryOverwriteCookie } from "./cookies.js";
import { button, byId, formatMs } from "./dom.js";
import { sendRequest } from "./http-client.js";
import { withAdminRole, withChangedCharacter } from "./jwt.js";
import { openSignIn } from "./pending-sign-in.js";

// Whether a response shows the effect of a request: not if there is none, nor on too many requests or a server error.
const isConclusive = ({ status }) => status !== 0 && status !== 429 && status < 500;

export function failure(subject, text, exchange) {
  const { problem, requestId } = exchange;
  return { headline: `${subject}: ${isConclusive(exchange) ? text : "request failed."}`, problem, requestId };
}

export async function register({ username, email, password }) {
  const exchange = await sendRequest({ method: "POST", path: "/session/register", body: { username, email, password } });
  if (!exchange.isOk) return { ...failure("Registration", "rejected.", exchange), isConflict: exchange.problem.code === "conflict" };
  if (exchange.status === 202) {
    openChallenge(exchange, { purpose: "register", email });
    return { headline: `A code was mailed to ${email}. The account begins with it: enter it under “Forgot password, codes by mail”.`, isPending: true };
  }
  return { headline: `Registered ${exchange.json.username}. Registration does not log in.` };
}

export async function logIn(credential, user) {
  const exchange = await credential.logIn(user);
  if (exchange.problem?.code === "second_factor_required") {
    openSignIn(exchange, { user, credential });
    const followUp = button("Go on with the second step", () => byId("second-code").focus());
    return { headline: `${credential.name}: the password is right. This account takes a second step, under “Second factors”.`, isPending: true, followUp };
  }
  if (!exchange.isOk) return failure(credential.name, "login failed.", exchange);
  return { headline: `${credential.name}: logged in as ${credential.user.username} in ${formatMs(exchange.durationMs)}, most of it for the password hash.` };
}

export async function getProfile(credential) {
  const exchange = await credential.send("GET", credential.profilePath);
  const text = exchange.status === 401 ? `rejected by GET ${credential.profilePath}.` : "profile not returned.";
  if (!exchange.isOk) return failure(credential.name, text, exchange);
  return { headline: `${credential.name}: GET ${credential.profilePath} returned ${exchange.json.username} in ${formatMs(exchange.durationMs)}.` };
}

export async function writeSessionData(credential) {
  const visits = (credential.sessionData?.visits ?? 0) + 1;
  const write = await credential.send("PUT", "/session/data/visits", { body: visits });
  if (!write.isOk) return failure(credential.name, "session data not written.", write);
  const read = await credential.send("GET", "/session/data");
  if (!read.isOk) return { ...failure(credential.name, "", read), headline: `${credential.name}: session data written, but not read back.` };
  credential.sessionData = read.json;
  return { headline: `${credential.name}: stored visits = ${read.json.visits} with the session on the server. The credential does not contain it.` };
}

export async function refresh(credential) {
  const oldToken = credential.token;
  const exchange = await credential.refresh();
  if (!exchange.isOk) return failure(credential.name, "not refreshed.", exchange);
  if (credential.isCookie) return { headline: `${credential.name}: refreshed. New cookies, same login.` };
  const check = await credential.send("GET", credential.profilePath, { headers: credential.headers("GET", { token: oldToken }), note: "with the old token" });
  return { headline: `${credential.name}: refreshed. ${describeRefresh(credential, check)}` };
}

// `check`: a request with the old token.
function describeRefresh(credential, check) {
  if (check.isOk && credential.mode === "session") return "New session id, same login. The old id stays valid for a short grace period, for requests in flight.";
  if (check.isOk) return "New tokens, same login. The old access token stays valid until it expires or the login ends.";
  if (check.status !== 401) return `New token, same login. Could not check the old one (${check.problem.code}).`;
  return `New token, same login. The old one is rejected (${check.problem.code}).`;
}

// Sends a refresh token that was used before, as an attacker with a stolen copy would, or a second tab at the same time.
export async function reuseRefreshToken(credential) {
  const body = { refresh_token: credential.usedRefreshToken };
  const exchange = await credential.send("POST", "/jwt/refresh", { headers: {}, body, note: "with the old refresh token" });
  if (exchange.isOk) {
    const tokens = exchange.json.refresh_token === credential.refreshToken ? "the same new tokens" : "different tokens, which is a bug";
    return { headline: `${credential.name}: accepted within the grace period for concurrent refreshes, with ${tokens}. Try again in 30 seconds.` };
  }
  if (exchange.problem.code !== "refresh_token_reused") return failure(credential.name, "rejected, but not because of the reuse.", exchange);
  return {
    ...failure(credential.name, "rejected. Reuse of a refresh token may mean theft, so the server ended the login.", exchange),
    ending: [credential], cause: "refresh token reused", since: exchange.receivedAt,
  };
}

// Sends a modified copy of the token.
async function sendForgedToken(credential, { token, highlight }, note) {
  const exchange = await credential.send("GET", credential.profilePath, { headers: credential.headers("GET", { token }), note, highlight });
  if (exchange.isOk) return { headline: `${credential.name}: accepted ${note}. This is a security bug!` };
  return failure(credential.name, `rejected ${note}.`, exchange);
}

export const tamperWithClaims = (credential) => sendForgedToken(credential, withAdminRole(credential.token), "with the role “admin” in the claims");

export const tamperWithToken = (credential) => sendForgedToken(credential, withChangedCharacter(credential.token), "with one character changed");

// A script can neither read nor overwrite the cookie, so the attack to try is an unsafe request without the CSRF token.
export async function tamperWithCookie(credential) {
  const isOverwritten = tryOverwriteCookie(credential.mode);
  const exchange = await credential.send("POST", `/${credential.mode}/refresh`, { headers: {}, note: "without the CSRF token" });
  const script = isOverwritten ? "a script could overwrite the cookie, which is a browser bug" : "the browser did not let a script overwrite the cookie";
  if (exchange.isOk) {
    credential.store(exchange, "refresh");
    return { headline: `${credential.name}: ${script}. But the server accepted a request without the CSRF token. This is a security bug!` };
  }
  if (exchange.status === 401) credential.recordClearedCookies(exchange);
  const server = exchange.problem.code === "csrf_failed" ? "the server rejected a request without the CSRF token." : "the server rejected the request for another reason.";
  return failure(credential.name, `${script}, and ${server}`, exchange);
}

export async function logOut(credential) {
  const exchange = await credential.logOut(`/${credential.mode}/logout`);
  if (!exchange.isOk) return failure(credential.name, describeFailedLogout(credential, exchange), exchange);
  return { headline: `${credential.name}: logged out.`, ending: [credential], cause: "logged out", since: exchange.receivedAt };
}

function describeFailedLogout(credential, { status }) {
  if (status !== 401) return "not logged out.";
  return credential.isCookie ? "was not logged in. The cookie is cleared anyway." : "was not logged in.";
}

// Logs in again, as if on another device, and revokes the credential's login from there.
export async function revoke(credential, { username, password }) {
  const note = "other device";
  const body = { username, password, transport: "bearer", device_name: note };
  const other = credential.log(await sendRequest({ method: "POST", path: "/jwt/login", body, note }));
  if (!other.isOk) return failure("Other device", "login failed.", other);
  const headers = { Authorization: `Bearer ${other.json.access_token}` };
  const path = `/account/logins/${credential.login.id}`;
  const exchange = credential.log(await sendRequest({ method: "DELETE", path, headers, note }));
  const cleanUp = () => sendRequest({ method: "POST", path: "/jwt/logout", headers });
  if (!exchange.isOk) return { ...failure(credential.name, "not revoked.", exchange), cleanUp };
  return {
    headline: `${credential.name}: revoked from another device.`,
    ending: [credential], cause: "revoked from another device", since: exchange.receivedAt, cleanUp,
  };
}

export async function logOutEverywhere(credential, credentials) {
  const exchange = await credential.logOut(`/${credential.mode}/logout-all`);
  if (!exchange.isOk) return failure(credential.name, "not logged out everywhere.", exchange);
  const ending = credentials.filter((it) => it.user?.user_id === credential.user.user_id);
  return { headline: "Logged out everywhere, in both modes.", ending, cause: "logged out everywhere", since: exchange.receivedAt };
}

export async function changePassword(credential, credentials, { currentPassword, newPassword }) {
  const body = { current_password: currentPassword, new_password: newPassword };
  const exchange = await credential.send("POST", "/account/password", { body });
  if (!exchange.isOk) return failure("Password", "not changed.", exchange);
  const ending = credentials.filter((it) => !it.isOfSameLogin(credential) && it.user?.user_id === credential.user.user_id);
  return {
    headline: `Password changed with the ${credential.name}, which stays logged in. All other logins were ended.`,
    ending, cause: "password changed", since: exchange.receivedAt, isChanged: true,
  };
}

// Sends the cookies and a Bearer token ("valid", "invalid" or "none"), and shows which credential the server used.
export async function sendSeveralCredentials(credential, bearerToken) {
  const token = { valid: credential?.token, invalid: "no-such-token", none: null }[bearerToken];
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const exchange = await sendRequest({ path: "/profile", headers, withCookies: true });
  if (!exchange.isOk) return { ...failure("Request", "rejected.", exchange), exchange };
  const { mode, transport } = exchange.json.auth;
  return { headline: `The server used the ${USED_CREDENTIALS[`${mode}-${transport}`]}.`, exchange };
}

const USED_CREDENTIALS = {
  "session-cookie": "cookie sessionid", "jwt-cookie": "cookie access_token",
  "session-bearer": "session Bearer token", "jwt-bearer": "JWT Bearer token",
};
