// The panel for actions on the account, which affect all logins of the user: change the password, log out everywhere.

import { changePassword, logOutEverywhere } from "./actions.js";
import { byId, el } from "./dom.js";
import { randomPassphrase } from "./test-user.js";
import { enteredUser, setEnteredPassword } from "./user-panel.js";

export function accountPanel({ credentials, runAction, showOutcome }) {
  const [select, newPassword] = [byId("account-credential"), byId("new-password")];
  select.append(...credentials.map(({ id, name }) => el("option", { value: id }, name)));
  newPassword.value = randomPassphrase();

  const selected = () => credentials.find(({ id }) => id === select.value);
  const unlessActive = (credential) => (credential?.isActive ? null : "Select an active credential first.");

  async function submitNewPassword(credential, passwords) {
    const outcome = await changePassword(credential, credentials, passwords);
    if (!outcome.isChanged) return outcome;
    for (const it of credentials.filter(({ user }) => user?.user_id === credential.user.user_id)) {
      it.enteredUser = { username: it.user.username, ...it.enteredUser, password: passwords.newPassword };
    }
    setEnteredPassword(passwords.newPassword);
    newPassword.value = randomPassphrase();
    return outcome;
  }

  byId("change-password").addEventListener("submit", (event) => {
    event.preventDefault();
    const credential = selected();
    const reason = unlessActive(credential) ?? (credential.isOverriddenOnSharedRoutes ? OVERRIDDEN : null);
    if (reason) return showOutcome({ headline: reason });
    const currentPassword = credential.enteredUser?.password ?? enteredUser().password;
    runAction(() => submitNewPassword(credential, { currentPassword, newPassword: newPassword.value }), credential);
  });

  byId("log-out-everywhere").addEventListener("click", () => {
    const credential = selected();
    const reason = unlessActive(credential);
    if (reason) showOutcome({ headline: reason });
    else runAction(() => logOutEverywhere(credential, credentials), credential);
  });

  return {
    // Keeps a usable credential selected: a Bearer token if there is one.
    update() {
      const usable = credentials.filter((it) => it.isUsableOnSharedRoutes);
      if (!usable.includes(selected())) select.value = (usable.find((it) => !it.isCookie) ?? usable[0] ?? credentials[1]).id;
      byId("account-username").value = selected().user?.username ?? "";
    },
    reset() {
      newPassword.value = randomPassphrase();
    },
  };
}

export const OVERRIDDEN = "The browser also sends the cookie access_token, which takes precedence over sessionid on this route. Select another credential, or log out the JWT cookie.";
