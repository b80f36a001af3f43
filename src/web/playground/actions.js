// The actions on a credential. Each resolves to its outcome: a headline, the problem if there was one, and the credentials
// that should be invalid afterwards.

import { overwrite } from "./cookies.js";
import { milliseconds } from "./dom.js";
import { exchange } from "./exchange.js";
import { asAdministrator, withASlip } from "./jwt.js";

// Whether a response shows the effect of a request: not if there is none, nor on too many requests or a server error.
const tells = ({ status }) => status !== 0 && status !== 429 && status < 500;

function refused(who, what, record) {
  const { problem, requestId } = record;
  return { headline: `${who}: ${tells(record) ? what : "no answer that tells what came of it."}`, problem, requestId };
}

export async function register({ username, email, password }) {
  const record = await exchange({ method: "POST", path: "/session/register", body: { username, email, password } });
  if (!record.isOk) return { ...refused("Registration", "refused.", record), isTaken: record.problem.code === "conflict" };
  return { headline: `${record.json.username} has an account. That signs nobody in.` };
}

export async function signIn(slot, person) {
  const record = await slot.signIn(person);
  if (!record.isOk) return refused(slot.name, "not signed in.", record);
  return { headline: `${slot.name}: ${slot.user.username} is signed in, in ${milliseconds(record.ms)}. Most of that is the password's hash.` };
}

export async function profile(slot) {
  const record = await slot.ask("GET", slot.profilePath);
  const what = record.status === 401 ? `nobody is signed in, says ${slot.profilePath}.` : "the profile was not told.";
  if (!record.isOk) return refused(slot.name, what, record);
  return { headline: `${slot.name}: it is ${record.json.username}, says ${slot.profilePath}, after ${milliseconds(record.ms)}.` };
}

export async function writeData(slot) {
  const visits = (slot.kept?.visits ?? 0) + 1;
  const put = await slot.ask("PUT", "/session/data/visits", { body: visits });
  if (!put.isOk) return refused(slot.name, "nothing was written.", put);
  const all = await slot.ask("GET", "/session/data");
  if (!all.isOk) return { ...refused(slot.name, "", all), headline: `${slot.name}: written, but not read back.` };
  slot.kept = all.json;
  return { headline: `${slot.name}: the server keeps visits = ${all.json.visits} with this session. It never travels.` };
}

export async function refresh(slot) {
  const old = slot.token;
  const record = await slot.refresh();
  if (!record.isOk) return refused(slot.name, "not refreshed.", record);
  if (slot.isCookie) return { headline: `${slot.name}: the browser has new cookies in the old ones' place. The login is the same.` };
  const look = await slot.ask("GET", slot.profilePath, { headers: slot.headers("GET", { token: old }), note: "with the old token" });
  return { headline: `${slot.name}: ${afterRefresh(slot, look)}` };
}

// `look`: the response to a request with the old token.
function afterRefresh(slot, look) {
  if (look.isOk && slot.mode === "session") return "a new session id, the same login. The old one is good for a moment, since requests of other tabs may be under way with it.";
  if (look.isOk) return "new tokens, the same login. The old access token is still good, until its exp or the login's end.";
  if (look.status !== 401) return `a new token, the same login. Whether the old one is still good, no answer tells (${look.problem.code}).`;
  return `a new token, the same login. The old one is good no more (${look.problem.code}).`;
}

// Uses the refresh token again, as a thief would who has copied it, or a second tab by accident.
export async function reuse(slot) {
  const body = { refresh_token: slot.oldRefreshToken };
  const record = await slot.ask("POST", "/jwt/refresh", { headers: {}, body, note: "with the old refresh token" });
  if (record.isOk) {
    const successor = record.json.refresh_token === slot.refreshToken ? "the same successor" : "another successor, which it should not be";
    return { headline: `${slot.name}: accepted for a moment, since two tabs may refresh at once, and answered with ${successor}. Try again in half a minute.` };
  }
  if (record.problem.code !== "refresh_token_reused") return refused(slot.name, "refused, and not because the token is an old one.", record);
  return {
    ...refused(slot.name, "refused. Who uses an old refresh token may have stolen it, so the login ends.", record),
    doomed: [slot], by: "an old refresh token was used again", since: record.ended,
  };
}

// Sends a modified copy of the token.
async function sendForged(slot, { token, mark }, what) {
  const record = await slot.ask("GET", slot.profilePath, { headers: slot.headers("GET", { token }), note: what, mark });
  if (record.isOk) return { headline: `${slot.name}: accepted, ${what}. It should not be!` };
  return refused(slot.name, `refused, ${what}.`, record);
}

export const tamperWithClaims = (slot) => sendForged(slot, asAdministrator(slot.token), "with “admin” written into the roles");

export const tamperWithToken = (slot) => sendForged(slot, withASlip(slot.token), "with one character changed");

// A script can neither read nor overwrite the cookie, so the attack to try is an unsafe request without the CSRF token.
export async function tamperWithCookie(slot) {
  const isWritten = overwrite(slot.mode);
  const record = await slot.ask("POST", `/${slot.mode}/refresh`, { headers: {}, note: "without the CSRF token" });
  const script = isWritten ? "a script has overwritten the cookie, which no browser should let it" : "the browser let no script overwrite the cookie";
  if (record.isOk) {
    slot.take(record);
    return { headline: `${slot.name}: ${script}. But the server took a change without the CSRF token, which it should not!` };
  }
  if (record.status === 401) slot.clearIfDead(record);
  const server = record.problem.code === "csrf_failed" ? "and the server took no change without the CSRF token." : "and the server refused, but not for the CSRF token.";
  return refused(slot.name, `${script}, ${server}`, record);
}

export async function signOut(slot) {
  const record = await slot.leave(`/${slot.mode}/logout`);
  if (!record.isOk) return refused(slot.name, whyNotSignedOut(slot, record), record);
  return { headline: `${slot.name}: signed out.`, doomed: [slot], by: "signed out", since: record.ended };
}

function whyNotSignedOut(slot, { status }) {
  if (status !== 401) return "not signed out.";
  return slot.isCookie ? "there was nothing to sign out of. Its cookie is cleared all the same." : "there was nothing to sign out of.";
}

// Signs in again, as if on another device, and ends the login from there.
export async function revoke(slot, { username, password }) {
  const note = "another device";
  const body = { username, password, transport: "bearer", device_name: note };
  const other = slot.keep(await exchange({ method: "POST", path: "/jwt/login", body, note }));
  if (!other.isOk) return refused("The other device", "not signed in.", other);
  const headers = { Authorization: `Bearer ${other.json.access_token}` };
  const path = `/account/logins/${slot.login.id}`;
  const record = slot.keep(await exchange({ method: "DELETE", path, headers, note }));
  const afterwards = () => exchange({ method: "POST", path: "/jwt/logout", headers });
  if (!record.isOk) return { ...refused(slot.name, "not revoked.", record), afterwards };
  return {
    headline: `${slot.name}: revoked from another device.`,
    doomed: [slot], by: "revoked from another device", since: record.ended, afterwards,
  };
}

export async function signOutEverywhere(slot, slots) {
  const record = await slot.leave(`/${slot.mode}/logout-all`);
  if (!record.isOk) return refused(slot.name, "nothing was signed out.", record);
  const doomed = slots.filter((it) => it.user?.user_id === slot.user.user_id);
  return { headline: "Signed out everywhere, in both modes.", doomed, by: "signed out everywhere", since: record.ended };
}

export async function changePassword(slot, slots, { current, wanted }) {
  const body = { current_password: current, new_password: wanted };
  const record = await slot.ask("POST", "/account/password", { body });
  if (!record.isOk) return refused("The password", "still the old one.", record);
  const doomed = slots.filter((it) => it !== slot && it.user?.user_id === slot.user.user_id);
  return {
    headline: `The password was changed by ${slot.name}, which stays. Every other login ends.`,
    doomed, by: "the password was changed", since: record.ended, isChanged: true,
  };
}

// Sends several credentials at once, and shows which one the server used.
export async function precedence(slot, kind) {
  const token = { bearer: slot?.token, bad: "no-such-token", none: null }[kind];
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const record = await exchange({ path: "/profile", headers, cookies: true });
  if (!record.isOk) return { ...refused("The request", "refused.", record), record };
  const { mode, transport } = record.json.auth;
  return { headline: `The server went by ${NAMES[`${mode}-${transport}`]}.`, record };
}

const NAMES = {
  "session-cookie": "the cookie sessionid", "jwt-cookie": "the cookie access_token",
  "session-bearer": "the session's Bearer token", "jwt-bearer": "the JWT by Bearer",
};
