// The panel that sends several credentials with one request, and shows which one the server used.

import { sendSeveralCredentials } from "./actions.js";
import { byId } from "./dom.js";
import { exchangeElement } from "./request-log.js";

const MAX_EXCHANGES = 6;

export function precedencePanel({ credentials, runAction }) {
  let exchanges = [];

  const send = async (bearerToken) => {
    const bearers = credentials.filter((it) => !it.isCookie && it.isActive);
    const credential = bearers.find(({ mode }) => mode === "jwt") ?? bearers[0];
    if (bearerToken === "valid" && !credential) return { headline: "Log in with a Bearer token first." };
    const outcome = await sendSeveralCredentials(credential, bearerToken);
    exchanges = [outcome.exchange, ...exchanges].slice(0, MAX_EXCHANGES);
    return outcome;
  };
  for (const bearerToken of ["valid", "none", "invalid"]) {
    byId(`send-bearer-${bearerToken}`).addEventListener("click", () => runAction(() => send(bearerToken)));
  }

  return {
    update() {
      byId("precedence-exchanges").replaceChildren(...exchanges.map(exchangeElement));
    },
    reset() {
      exchanges = [];
    },
  };
}
