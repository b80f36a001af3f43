// Checks the effect of an action on every credential: each is checked once, and those that should end until they are rejected.

const POLL_INTERVAL_MS = 4;
const TIMEOUT_MS = 1500;

// Other tabs share the browser's cookies.
const REPLACED = { cause: "replaced by another login in this browser", code: "replaced" };

// Codes that a token also gets while its login is live: they don't show the effect of an action.
const CODES_WITHOUT_LOGIN_STATE = ["token_expired", "not_authenticated"];

// `ending`: the credentials that the action should have ended. `since`: when its response arrived, by performance.now().
// Resolves to one result for each credential: `outcome` is active, expired, ended, still_active or unknown.
export function checkCredentials(credentials, { ending = [], since, cause }) {
  const expectedEnd = (credential) => (ending.some((it) => it.isOfSameLogin(credential)) ? { since, cause } : null);
  const checked = credentials.filter((it) => it.isActive || (it.state === "expired" && expectedEnd(it)));
  return Promise.all(checked.map((credential) => checkCredential(credential, expectedEnd(credential))));
}

// `expected`: the cause of its end and when that was; null if the credential should stay active.
async function checkCredential(credential, expected) {
  if (expected && credential.isMissingInBrowser) return ended(credential, { cause: `${expected.cause}, and the browser deleted the cookie` });
  if (expected && !credential.isActive) return ended(credential, { cause: expected.cause });
  for (let attempts = 1; ; attempts += 1) {
    const { status, json, problem, receivedAt } = await credential.check();
    if (status === 200 && json.auth.login_id !== credential.login.id) return ended(credential, REPLACED);
    if (status === 401 && !expected) return rejectedUnexpectedly(credential, problem.code);
    if (status !== 200 && status !== 401) return { credential, outcome: "unknown", status };
    if (!expected) return { credential, outcome: "active" };
    const afterMs = receivedAt - expected.since;
    if (status === 401) return ended(credential, endOf(expected, problem.code, { afterMs, attempts }));
    if (afterMs > TIMEOUT_MS) return { credential, outcome: "still_active", afterMs };
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
  }
}

const endOf = ({ cause }, code, measured) => (CODES_WITHOUT_LOGIN_STATE.includes(code) ? { cause, code } : { cause, code, ...measured });

function ended(credential, end) {
  credential.markEnded(end);
  return { credential, outcome: "ended", afterMs: end.afterMs };
}

async function rejectedUnexpectedly(credential, code) {
  if (!(await credential.isRefreshable(code))) return ended(credential, { cause: "unknown cause", code });
  credential.markExpired(code);
  return { credential, outcome: "expired" };
}
