// The panel to register a user, or create a random one, and to log in all four credentials.

import * as actions from "./actions.js";
import { browserHasCookieOf } from "./cookies.js";
import { button, byId } from "./dom.js";
import { randomUser } from "./test-user.js";

const form = byId("user-form");

export const enteredUser = () => ({
  username: form.username.value.trim(), email: form.email.value.trim(), password: form.password.value,
  remember_me: form.remember_me.checked,
});

export function setEnteredPassword(password) {
  form.password.value = password;
}

export function userPanel({ credentials, runAction, resetPanels }) {
  async function register() {
    const user = enteredUser();
    const outcome = await actions.register(user);
    return outcome.isConflict ? { ...outcome, followUp: button(`Log in as ${user.username} instead`, logInInstead) } : outcome;
  }

  // The button disappears when it is used, so the focus is moved first.
  function logInInstead() {
    byId("log-in-all").focus();
    runAction(logInAll);
  }

  async function logInAll() {
    const user = enteredUser();
    const inactive = credentials.filter((credential) => !credential.isActive);
    for (const credential of inactive) {
      const outcome = await actions.logIn(credential, user);
      if (outcome.problem || outcome.isPending) return outcome;
      credential.lastOutcome = outcome.headline;
    }
    return { headline: describeUsers(credentials) };
  }

  async function createTestUser() {
    const failure = await logOutAll(credentials);
    if (failure) return failure;
    const { username, email, password } = randomUser();
    form.username.value = username;
    form.email.value = email;
    form.password.value = password;
    const outcome = await register();
    return outcome.problem || outcome.isPending ? outcome : logInAll();
  }

  async function reset() {
    const failure = await logOutAll(credentials);
    if (failure) return failure;
    resetPanels();
    return { headline: "All credentials were logged out and cleared." };
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    runAction(register);
  });
  byId("create-test-user").addEventListener("click", () => runAction(createTestUser));
  byId("log-in-all").addEventListener("click", () => runAction(logInAll));
  byId("reset-all").addEventListener("click", () => runAction(reset));
  byId("show-passwords").addEventListener("change", updatePasswordVisibility);

  return {
    update() {},
    reset() {
      form.reset();
      updatePasswordVisibility();
    },
  };
}

function updatePasswordVisibility() {
  const type = byId("show-passwords").checked ? "text" : "password";
  for (const field of document.querySelectorAll("input.password")) field.type = type;
}

// Credentials that were active before may belong to another user.
function describeUsers(credentials) {
  const users = new Map(credentials.map(({ user }) => [user.user_id, user.username]));
  if (users.size === 1) return `${credentials[0].user.username} is logged in four ways: four logins, each with its own credential.`;
  const lists = [...users].map(([id, name]) => `${name} (${credentials.filter(({ user }) => user.user_id === id).map((it) => it.name).join(", ")})`);
  return `Logged in: ${lists.join("; ")}. To log in one user four ways, press “Reset” first.`;
}

// Logs out and clears every credential. Returns the outcome for those for which it failed, or null.
async function logOutAll(credentials) {
  const failed = [];
  for (const credential of credentials) {
    const exchange = canLogOut(credential) ? await credential.logOut(`/${credential.mode}/logout`) : null;
    if (exchange && !exchange.isOk && exchange.status !== 401) {
      failed.push({ credential, exchange });
      continue;
    }
    credential.clear();
    credential.exchanges = [];
  }
  if (failed.length === 0) return null;
  const { problem, requestId } = failed[0].exchange;
  return { headline: `Not logged out: ${failed.map(({ credential }) => credential.name).join(", ")}.`, problem, requestId };
}

// An invalid credential too, if the browser still has its cookie: logging out clears it.
const canLogOut = ({ isActive, state, isCookie, mode }) => isActive || state === "expired" || (isCookie && browserHasCookieOf(mode));
