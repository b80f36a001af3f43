// The panel “One login, two modes”.

import { byId, el } from "./dom.js";
import { getToken, handOff, openWebView } from "./exchange-actions.js";
import { exchangeElement } from "./request-log.js";

const MAX_EXCHANGES = 6;

export function exchangePanel({ credentials, runAction, showOutcome }) {
  const [source, target] = [byId("exchange-from"), byId("exchange-to")];
  let exchanges = [];
  source.append(...credentials.map(({ id, name }) => el("option", { value: id }, name)));

  const selected = (select) => credentials.find(({ id }) => id === select.value);
  const session = credentials.find(({ id }) => id === "session-cookie");

  function updateTargets() {
    const others = credentials.filter(({ mode }) => mode !== selected(source).mode);
    const kept = target.value;
    target.replaceChildren(...others.map(({ id, name }) => el("option", { value: id }, name)));
    target.value = (others.find(({ id }) => id === kept) ?? others[0]).id;
  }

  // Runs an action unless there is a reason against it.
  function run(reason, action) {
    if (reason) return showOutcome({ headline: reason });
    runAction(async () => {
      const outcome = await action();
      exchanges = [...outcome.exchanges, ...exchanges].slice(0, MAX_EXCHANGES);
      return outcome;
    });
  }

  const unusable = (credential) => (credential.isUsableOnSharedRoutes ? null : "Select an active credential to use. The cookie access_token takes precedence over the cookie sessionid.");
  const taken = (credential) => (credential.isActive ? `The ${credential.name} is logged in already. Log it out first, or select another.` : null);

  byId("hand-off").addEventListener("submit", (event) => {
    event.preventDefault();
    const [from, to] = [selected(source), selected(target)];
    run(unusable(from) ?? taken(to), () => handOff(from, to));
  });
  byId("open-web-view").addEventListener("click", () => {
    const app = credentials.find(({ id }) => id === "jwt-bearer");
    run(app.isActive ? taken(session) : "Log in with the JWT Bearer token first, as an app does.", () => openWebView(app, session));
  });
  byId("get-token").addEventListener("click", () => {
    const sender = credentials.find(({ mode, isActive }) => mode === "session" && isActive);
    run(sender ? null : "Log in with a session first.", () => getToken(sender));
  });
  source.addEventListener("change", updateTargets);
  updateTargets();

  return {
    update() {
      byId("exchange-exchanges").replaceChildren(...exchanges.map(exchangeElement));
    },
    reset() {
      exchanges = [];
    },
  };
}
