// The actions of the panel “One login, two modes”: hand a login off, open a session as an app's web view does, get a token of a session.

import { failure } from "./actions.js";
import { recordCookiesOf } from "./cookies.js";
import { decodeJwt } from "./jwt.js";

// Makes a code with one credential, and redeems it for another, of the other mode.
export async function handOff(from, to) {
  const asked = await from.send("POST", "/account/handoff");
  if (!asked.isOk) return { ...failure(from.name, "no code to hand the login off.", asked), exchanges: [asked] };
  const taken = await to.takeOver(asked.json.code);
  const exchanges = [taken, asked];
  if (!taken.isOk) return { ...failure(to.name, "login not taken over.", taken), exchanges };
  return {
    headline: `${to.name}: the login of the ${from.name} is presented here as well. Each is refreshed on its own; log one out, and both end.`,
    exchanges,
  };
}

// As the first load of an app's web view: with the access token in the header. The browser then has the session's cookie.
export async function openWebView(app, session) {
  const exchange = session.log(await app.send("GET", "/session/open?to=/profile", { note: "as a web view", storesCookies: true }));
  if (!exchange.isOk) return { ...failure("Web view", "not opened.", exchange), exchanges: [exchange] };
  recordCookiesOf("session");
  await session.restore();
  return {
    headline: `${session.name}: opened by the ${app.name}, for the same login. The browser followed the redirect to /profile.`,
    exchanges: [exchange],
  };
}

export async function getToken(session) {
  const exchange = await session.send("POST", "/session/token");
  if (!exchange.isOk) return { ...failure(session.name, "no access token.", exchange), exchanges: [exchange] };
  const { sid, acr } = decodeJwt(exchange.json.access_token).claims;
  return {
    headline: `${session.name}: a token of this login (sid ${sid.slice(0, 8)}…, ${acr}), for ${exchange.json.expires_in} seconds. It has no refresh token, and is revoked with the login.`,
    exchanges: [exchange],
  };
}
