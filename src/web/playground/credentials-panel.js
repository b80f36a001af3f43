// The cards of the four credentials, and which actions each has.

import * as actions from "./actions.js";
import { credentialCard } from "./credential-card.js";
import { byId } from "./dom.js";
import { enteredUser } from "./user-panel.js";

export function credentialsPanel({ credentials, runAction, showOutcome }) {
  const onAction = (credential, { run, unavailable }) => {
    const reason = unavailable(credential);
    if (reason) showOutcome({ headline: `${credential.name}: ${reason}` });
    else runAction(() => run(credential), credential);
  };
  const cards = credentials.map((credential) => {
    const card = credentialCard(credential, actionsOf(credential), onAction);
    byId(`${credential.mode}-cards`).append(card.element);
    return card;
  });
  return { update: () => cards.forEach((card) => card.update()) };
}

function actionsOf({ id, mode, isCookie }) {
  return [
    { label: "Log in", unavailable: unlessInactive, run: (credential) => actions.logIn(credential, enteredUser()) },
    { label: "Get profile", unavailable: unlessLoggedIn, run: actions.getProfile },
    mode === "session" ? { label: "Write session data", unavailable: unlessLoggedIn, run: actions.writeSessionData } : null,
    { label: "Refresh", unavailable: unlessLoggedIn, run: actions.refresh },
    id === "jwt-bearer" ? { label: "Reuse old refresh token", unavailable: unlessRefreshed, run: actions.reuseRefreshToken } : null,
    isCookie ? { label: "Tamper with cookie", unavailable: unlessActive, run: actions.tamperWithCookie } : null,
    id === "jwt-bearer" ? { label: "Tamper with claims", unavailable: unlessLoggedIn, run: actions.tamperWithClaims } : null,
    isCookie ? null : { label: "Tamper with token", unavailable: unlessLoggedIn, run: actions.tamperWithToken },
    { label: "Log out", unavailable: unlessLoggedIn, run: actions.logOut },
    { label: "Revoke from another device", unavailable: unlessPasswordKnown, run: (credential) => actions.revoke(credential, userOf(credential)) },
  ].filter((action) => action !== null);
}

// The reasons why an action is unavailable; null if it is available.
const unlessLoggedIn = ({ state }) => (state === "none" ? "log in first." : null);
const unlessActive = (credential) => unlessLoggedIn(credential) ?? (credential.isActive ? null : "not active any more.");
const unlessInactive = ({ isActive }) => (isActive ? "already logged in. Log out first." : null);
const unlessRefreshed = (credential) => unlessLoggedIn(credential) ?? (credential.usedRefreshToken ? null : "refresh first.");
const unlessUserKnown = (credential) =>
  unlessLoggedIn(credential) ?? (credential.login && credential.user ? null : "refresh first, so that this page knows the user.");
const unlessPasswordKnown = (credential) =>
  unlessUserKnown(credential) ?? (userOf(credential).password ? null : "enter the password above first.");

// After a reload only the username is known: the password is in the form, if anywhere.
const userOf = (credential) => credential.enteredUser ?? { ...enteredUser(), username: credential.user?.username };
