// Observes the effect of an action on every credential: probes each once, and those that should end until they do.

import { exchange } from "./exchange.js";

const PAUSE_MS = 4;
const PATIENCE_MS = 1500;

// The cookie may have been replaced, since other tabs share the browser's cookies.
const TAKEN = { by: "another sign-in in this browser, which took its cookie's place", code: "replaced" };

const FORGOTTEN = "the browser has forgotten the cookie, so there is nothing left to show";

// Codes that a token also gets while its login is live, so that they don't show the effect of an action.
const SAYS_NOTHING = ["token_expired", "not_authenticated"];

// `doomed`: the credentials that the action should have ended. `since`: when its response arrived, by performance.now().
export function settle(slots, { doomed = [], since, by }) {
  const endOf = (slot) => (doomed.includes(slot) ? { since, by } : null);
  const open = slots.filter((slot) => slot.isAlive || (slot.state === "expired" && endOf(slot)));
  return Promise.all(open.map((slot) => watch(slot, endOf(slot))));
}

// `end`: the action that should have ended it, and when; null if none should.
async function watch(slot, end) {
  if (end && slot.isForgotten) return bury(slot, { by: `${end.by}, and ${FORGOTTEN}` });
  if (end && !slot.isAlive) return bury(slot, { by: end.by });
  for (let looks = 1; ; looks += 1) {
    const { status, json, problem, ended } = await slot.look();
    if (status === 200 && json.auth.login_id !== slot.login.id) return bury(slot, TAKEN);
    if (status === 401 && !end) return pronounce(slot, problem.code);
    if (status !== 200 && status !== 401) return { slot, fate: "unknown", status };
    if (!end) return { slot, fate: "alive" };
    const after = ended - end.since;
    if (status === 401) return bury(slot, causeOf(end, problem.code, { after, looks }));
    if (after > PATIENCE_MS) return { slot, fate: "late", after };
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

const causeOf = ({ by }, code, measured) => (SAYS_NOTHING.includes(code) ? { by, code } : { by, code, ...measured });

function bury(slot, death) {
  slot.die(death);
  return { slot, fate: "dead", after: death.after };
}

// A credential that is refused although no action should have ended it.
async function pronounce(slot, code) {
  if (!(await slot.hasRunOut(code))) return bury(slot, { by: "something else", code });
  slot.runOut(code);
  return { slot, fate: "expired" };
}

// The server's list of logins, requested with any credential that is valid.
export async function readRecords(slots) {
  const asking = ["session-bearer", "jwt-bearer", "jwt-cookie", "session-cookie"]
    .map((id) => slots.find((slot) => slot.id === id))
    .find((slot) => slot.isAlive && !slot.isShadowed);
  const { isOk, json } = asking ? await askForList(asking) : {};
  for (const slot of slots) {
    const isKnown = isOk && slot.user?.user_id === asking.user.user_id;
    const record = isKnown ? json.logins.find((login) => login.id === slot.login?.id) : undefined;
    // A login that is not on this page of the list may be on a later one.
    slot.record = record ?? (isKnown && json.next === null ? null : undefined);
  }
}

const askForList = (slot) =>
  exchange({ path: "/account/logins?limit=200", headers: slot.headers("GET"), cookies: slot.isCookie });
