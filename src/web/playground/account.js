// The account's section of the page: all logins of the user, and which credential wins if several are sent.

import { changePassword, precedence, signOutEverywhere } from "./actions.js";
import { byId, el } from "./dom.js";
import { passphrase } from "./people.js";
import { transcript } from "./transcript.js";

export function accountPanel({ slots, run, tell, typed, setPassword }) {
  const [chooser, wanted] = [byId("actor"), byId("new-password")];
  chooser.append(...slots.map((slot) => el("option", { value: slot.id }, slot.name)));
  const shown = [];

  const chosen = () => slots.find((slot) => slot.id === chooser.value);
  const refuse = (slot) => {
    if (!slot?.isAlive) return "Choose one that is alive.";
    return null;
  };

  byId("change-password").addEventListener("submit", (event) => {
    event.preventDefault();
    const slot = chosen();
    const reason = refuse(slot) ?? (slot.isShadowed ? SHADOWED : null);
    if (reason) return tell({ headline: reason });
    const current = slot.person?.password ?? typed().password;
    run(() => change(slot, { current, wanted: wanted.value }), slot);
  });

  async function change(slot, passwords) {
    const outcome = await changePassword(slot, slots, passwords);
    if (!outcome.isChanged) return outcome;
    for (const it of slots.filter((it) => it.user?.user_id === slot.user.user_id)) {
      it.person = { username: it.user.username, ...it.person, password: passwords.wanted };
    }
    setPassword(passwords.wanted);
    wanted.value = passphrase();
    return outcome;
  }

  byId("sign-out-everywhere").addEventListener("click", () => {
    const reason = refuse(chosen());
    if (reason) tell({ headline: reason });
    else run(() => signOutEverywhere(chosen(), slots), chosen());
  });

  const compare = (kind) => run(async () => {
    const bearer = slots.find((slot) => slot.id === "jwt-bearer" && slot.isAlive) ?? slots.find((slot) => !slot.isCookie && slot.isAlive);
    if (kind === "bearer" && !bearer) return { headline: "Sign in by Bearer first." };
    const outcome = await precedence(bearer, kind);
    shown.unshift(outcome.record);
    return outcome;
  });
  for (const kind of ["bearer", "none", "bad"]) byId(`send-${kind}`).addEventListener("click", () => compare(kind));

  wanted.value = passphrase();
  return {
    show() {
      const choosable = slots.filter((slot) => slot.isAlive && !slot.isShadowed);
      if (!chosen()?.isAlive || chosen().isShadowed) chooser.value = (choosable.find((slot) => !slot.isCookie) ?? choosable[0] ?? slots[1]).id;
      byId("account-username").value = chosen().user?.username ?? "";
      byId("precedence-exchanges").replaceChildren(...shown.slice(0, 6).map(transcript));
    },
    forget() {
      shown.length = 0;
      wanted.value = passphrase();
    },
  };
}

const SHADOWED = "At this route the cookie access_token goes before sessionid, and the browser sends both. Choose another, or sign out of JWT by cookie.";
