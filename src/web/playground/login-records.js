// The server's records of the logins, from GET /account/logins.

import { sendRequest } from "./http-client.js";

// The credentials for the request, the preferred one first.
const PREFERENCE = ["session-bearer", "jwt-bearer", "jwt-cookie", "session-cookie"];

// Requests the list with any active credential, and stores each credential's record.
export async function loadLoginRecords(credentials) {
  const sender = PREFERENCE.map((id) => credentials.find((it) => it.id === id)).find((it) => it.isUsableOnSharedRoutes);
  const { isOk, json } = sender ? await requestLogins(sender) : {};
  for (const credential of credentials) {
    const isListed = isOk && credential.user?.user_id === sender.user.user_id;
    const record = isListed ? json.logins.find((login) => login.id === credential.login?.id) : undefined;
    // A login that is not on this page of the list may be on a later one.
    credential.loginRecord = record ?? (isListed && json.next === null ? null : undefined);
  }
}

const requestLogins = (credential) =>
  sendRequest({ path: "/account/logins?limit=200", headers: credential.headers("GET"), withCookies: credential.isCookie });
