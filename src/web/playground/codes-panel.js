// The panel for codes by mail: set a forgotten password, sign in, prove an address. Shows both halves of a challenge.

import { keptChallenge, watchChallenges } from "../mail/challenge-store.js";
import { currentChallenge, discardChallenge } from "./challenge.js";
import { formatTime } from "./clock.js";
import { askForCode, followMailPage, redeemCode } from "./code-actions.js";
import { byId, code, descriptionList, el } from "./dom.js";
import { exchangeElement } from "./request-log.js";
import { randomPassphrase } from "./test-user.js";
import { enteredUser, setEnteredPassword } from "./user-panel.js";

const MAX_EXCHANGES = 6;

export function codesPanel({ credentials, runAction, showOutcome }) {
  const [purpose, email, select] = [byId("code-purpose"), byId("code-email"), byId("code-credential")];
  const [mailedCode, newPassword] = [byId("mailed-code"), byId("reset-password")];
  let exchanges = [];
  let suggestedEmail = "";
  select.append(...credentials.map(({ id, name }) => el("option", { value: id }, name)));
  newPassword.value = randomPassphrase();

  const selected = () => credentials.find(({ id }) => id === select.value);

  // Why this credential can't be used for the purpose; null if it can.
  function unavailable(credential) {
    if (purpose.value === "login") return credential.isActive ? "This credential is logged in already. Log it out first, or select another." : null;
    if (purpose.value !== "email") return null;
    if (!credential.isActive) return "Select an active credential first.";
    return credential.isOverriddenOnSharedRoutes ? "The browser also sends the cookie access_token, which takes precedence. Select another credential." : null;
  }

  async function withExchange(action) {
    const outcome = await action;
    exchanges = [outcome.exchange, ...exchanges].slice(0, MAX_EXCHANGES);
    return outcome;
  }

  byId("ask-for-code").addEventListener("submit", (event) => {
    event.preventDefault();
    const credential = selected();
    const reason = unavailable(credential);
    if (reason) return showOutcome({ headline: reason });
    const options = { credential, rememberMe: enteredUser().remember_me };
    runAction(() => withExchange(askForCode(purpose.value, email.value.trim(), options)));
  });

  byId("redeem-code").addEventListener("submit", (event) => {
    event.preventDefault();
    runAction(async () => {
      const outcome = await withExchange(redeemCode(mailedCode.value, { newPassword: newPassword.value, credentials }));
      if (outcome.isRedeemed) mailedCode.value = "";
      if (outcome.isRedeemed && currentChallenge().purpose === "reset_password") {
        setEnteredPassword(newPassword.value);
        newPassword.value = randomPassphrase();
      }
      return outcome;
    });
  });

  watchChallenges(() => {
    const challenge = currentChallenge();
    if (challenge && !challenge.end && !keptChallenge(challenge.id)) runAction(followMailPage);
  });

  purpose.addEventListener("change", update);

  function update() {
    if (email.value === suggestedEmail) email.value = suggestedEmail = enteredUser().email;
    byId("code-credential-field").hidden = purpose.value === "reset_password";
    if (unavailable(selected())) select.value = (credentials.find((it) => unavailable(it) === null) ?? selected()).id;
    const challenge = currentChallenge();
    byId("challenge").replaceChildren(...(challenge ? [challengeElement(challenge)] : []));
    byId("redeem-code").hidden = !challenge || challenge.end !== null;
    byId("reset-password-field").hidden = challenge?.purpose !== "reset_password";
    byId("code-exchanges").replaceChildren(...exchanges.map(exchangeElement));
  }

  return {
    update,
    reset() {
      discardChallenge();
      exchanges = [];
      email.value = suggestedEmail = "";
      mailedCode.value = "";
      newPassword.value = randomPassphrase();
    },
  };
}

const PURPOSES = {
  reset_password: "set a new password", login: "sign in", email: "prove an address", register: "complete a registration",
};

const challengeElement = ({ id, token, purpose, email, expiresAt, triesLeft, end }) => descriptionList([
  ["For", `${PURPOSES[purpose]}${end ? ` (${end})` : ""}`],
  ["This half: token", [code(token), el("span", { class: "meaning" }, "Came with the response, and stays in this browser. Sent back with the code.")]],
  ["Other half: code", ["‹by mail›", el("span", { class: "meaning" }, `Went to ${email}. Its link has the code in the fragment, which browsers send to nobody: `,
    code(`/mail#${id}.‹code›`))]],
  ["Expires", end ? "–" : formatTime(expiresAt)],
  ["Tries left", end ? "–" : `at most ${triesLeft} of 5`],
]);
