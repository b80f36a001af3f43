// What an action did to each credential: all are asked, those that should die until they are dead.

import { exchange } from "./exchange.js";

const PAUSE_MS = 4;
const PATIENCE_MS = 1500;

// The jar is the browser's, and other tabs put cookies into it.
const TAKEN = { by: "another sign-in in this browser, which took its cookie's place", code: "replaced" };

// `since`: when the answer to the action came in, by performance.now().
export const settle = (slots, { doomed = [], since = performance.now(), by }) =>
  Promise.all(slots.filter((slot) => slot.isAlive).map((slot) => watch(slot, doomed.includes(slot), since, by)));

async function watch(slot, isDoomed, since, by) {
  for (let looks = 1; ; looks += 1) {
    const { status, json, problem, ended } = await slot.look();
    const after = ended - since;
    if (status === 200 && json.auth.login_id !== slot.login.id) return pronounce(slot, { ...TAKEN, after, looks });
    if (status === 401) return pronounce(slot, { by: isDoomed ? by : "something else", code: problem.code, after, looks });
    if (status !== 200) return { slot, fate: "unknown", status };
    if (!isDoomed) return { slot, fate: "alive" };
    if (after > PATIENCE_MS) return { slot, fate: "late", after };
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

function pronounce(slot, death) {
  // One whose time is up can be refreshed: the login is another matter.
  slot.state = death.code === "token_expired" ? "expired" : "dead";
  slot.death = death;
  return { slot, fate: slot.state, after: death.after };
}

// The server's own record of each login, from whichever credential can ask for it.
export async function readRecords(slots) {
  const asking = ["session-bearer", "jwt-bearer", "jwt-cookie", "session-cookie"]
    .map((id) => slots.find((slot) => slot.id === id))
    .find((slot) => slot.isAlive && !slot.isShadowed);
  const { isOk, json } = asking ? await askForList(asking) : {};
  for (const slot of slots) {
    const isKnown = isOk && slot.user?.user_id === asking.user.user_id;
    slot.record = isKnown ? (json.logins.find((login) => login.id === slot.login?.id) ?? null) : undefined;
  }
}

const askForList = (slot) =>
  exchange({ path: "/account/logins", headers: slot.headers("GET"), cookies: slot.isCookie });
