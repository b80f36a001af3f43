// What an action did to each credential: all are asked, those that should die until they are dead.

import { exchange } from "./exchange.js";

const PAUSE_MS = 4;
const PATIENCE_MS = 1500;

// The jar is the browser's, and other tabs put cookies into it.
const TAKEN = { by: "another sign-in in this browser, which took its cookie's place", code: "replaced" };

const FORGOTTEN = "the browser has forgotten the cookie, so there is nothing left to show";

// Refused like this is also a token whose login is alive. So it tells nothing of what an action did.
const SAYS_NOTHING = ["token_expired", "not_authenticated"];

// `doomed`: those that should be dead by the action. `since`: when the answer to it came in, by performance.now().
export function settle(slots, { doomed = [], since, by }) {
  const endOf = (slot) => (doomed.includes(slot) ? { since, by } : null);
  const open = slots.filter((slot) => slot.isAlive || (slot.state === "expired" && endOf(slot)));
  return Promise.all(open.map((slot) => watch(slot, endOf(slot))));
}

// `end`: what should have ended it, and when; null if nothing should.
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

// One that is refused although nothing was done to it.
async function pronounce(slot, code) {
  if (!(await slot.hasRunOut(code))) return bury(slot, { by: "something else", code });
  slot.runOut(code);
  return { slot, fate: "expired" };
}

// The server's own record of each login, from whichever credential can ask for it.
export async function readRecords(slots) {
  const asking = ["session-bearer", "jwt-bearer", "jwt-cookie", "session-cookie"]
    .map((id) => slots.find((slot) => slot.id === id))
    .find((slot) => slot.isAlive && !slot.isShadowed);
  const { isOk, json } = asking ? await askForList(asking) : {};
  for (const slot of slots) {
    const isKnown = isOk && slot.user?.user_id === asking.user.user_id;
    const record = isKnown ? json.logins.find((login) => login.id === slot.login?.id) : undefined;
    // Whoever is not on the first page may be on another.
    slot.record = record ?? (isKnown && json.next === null ? null : undefined);
  }
}

const askForList = (slot) =>
  exchange({ path: "/account/logins?limit=200", headers: slot.headers("GET"), cookies: slot.isCookie });
