// Entry point: creates the credentials and the panels, and runs the actions.
//
// A panel is a module with one function, which gets the `playground` and returns `update`, called after every action, and
// optionally `load`, which requests what `update` shows, and `reset`.

import { accountPanel } from "./account-panel.js";
import { startCountdowns } from "./clock.js";
import { codesPanel } from "./codes-panel.js";
import { browserHasCookieOf } from "./cookies.js";
import { checkCredentials } from "./credential-checks.js";
import { Credential } from "./credential.js";
import { credentialsPanel } from "./credentials-panel.js";
import { byId } from "./dom.js";
import { exchangePanel } from "./exchange-panel.js";
import { factorsPanel } from "./factors-panel.js";
import { loadLoginRecords } from "./login-records.js";
import { mailsPanel } from "./mails-panel.js";
import { precedencePanel } from "./precedence-panel.js";
import { outcomeRegion, reserveScrollPadding, statusList } from "./status-bar.js";
import { userPanel } from "./user-panel.js";

const credentials = ["session", "jwt"].flatMap((mode) => ["cookie", "bearer"].map((transport) => new Credential(mode, transport)));
const showOutcome = outcomeRegion(byId("outcome"));
const updateStatusList = statusList(byId("status-list"), credentials);

const playground = { credentials, showOutcome, runAction, resetPanels };
const panels = [userPanel, credentialsPanel, accountPanel, factorsPanel, precedencePanel, exchangePanel, codesPanel, mailsPanel].map((panel) => panel(playground));

function updatePage() {
  updateStatusList();
  panels.forEach((panel) => panel.update());
}

function resetPanels() {
  panels.forEach((panel) => panel.reset?.());
}

const isBusy = () => document.body.dataset.busy === "true";

// Runs one action at a time, so that its effects can be observed. `credential`: whose card shows the outcome, too.
async function runAction(action, credential = null) {
  if (isBusy()) return showOutcome({ headline: "Please wait: the previous action is still running." });
  document.body.dataset.busy = "true";
  try {
    const outcome = await action();
    const checks = await checkCredentials(credentials, outcome);
    await outcome.cleanUp?.();
    await loadLoginRecords(credentials);
    for (const panel of panels) await panel.load?.();
    if (credential) credential.lastOutcome = outcome.headline;
    showOutcome({ ...outcome, checks });
  } catch (error) {
    showOutcome({ headline: `Unexpected error in this page: ${error.message}. Please reload it.` });
    throw error;
  } finally {
    updatePage();
    document.body.dataset.busy = "false";
  }
}

// A reload loses the tokens in the page's memory, but not the cookies.
async function restoreCookies() {
  const restored = credentials.filter(({ isCookie, mode }) => isCookie && browserHasCookieOf(mode));
  for (const credential of restored) await credential.restore();
  const states = Object.entries(RESTORED_STATES)
    .map(([state, text]) => [text, restored.filter((it) => it.state === state)])
    .filter(([, matching]) => matching.length > 0)
    .map(([text, matching]) => `${text}: ${matching.map(({ name }) => name).join(" and ")}`);
  return { headline: `Page reloaded. The Bearer tokens were in its memory and are lost. ${states.join("; ")}.` };
}

const RESTORED_STATES = {
  active: "Still logged in by cookie", expired: "Expired, but refreshable", ended: "Ended", none: "Status unknown",
};

// Detects expiry without an action of the user.
function checkAfterExpiry() {
  if (isBusy()) return false;
  runAction(() => ({ headline: "A countdown reached zero, so all active credentials were checked." }));
  return true;
}

updatePage();
reserveScrollPadding(document.querySelector(".status-bar"));
startCountdowns(checkAfterExpiry);
if (browserHasCookieOf("session") || browserHasCookieOf("jwt")) runAction(restoreCookies);
