// Sends both halves of a challenge. The paths are relative to the page's, so that they are below the path of PUBLIC_URL.

const TIMEOUT_MS = 30000;

// Resolves to what came of it: "done", or a failure by its name in the texts.
export async function redeem({ challenge, for: purpose, mode, transport, remember_me }, code, newPassword) {
  const halves = { challenge, code };
  if (purpose === "reset_password") return send("account/password/reset", { ...halves, new_password: newPassword });
  if (purpose === "register") return send(`${mode}/register`, halves);
  if (purpose === "login") return send(`${mode}/login`, { ...halves, transport, remember_me });
  return proveAddress(mode, halves);
}

// As the login that asked, whose cookie this browser has.
async function proveAddress(mode, halves) {
  const csrf = await request(`${mode}/csrf`, { method: "GET" });
  if (!csrf) return "unreachable";
  if (csrf.status === 401) return "signedOut";
  if (!csrf.ok) return "unreachable";
  return send("account/email", halves, { "X-CSRF-Token": csrf.body.csrf_token });
}

async function send(path, body, headers = {}) {
  const options = { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await request(path, options);
  if (!response) return "unreachable";
  return response.ok ? "done" : failureOf(response.body);
}

function failureOf({ code, errors = [] }) {
  if (errors.some(({ pointer }) => pointer === "/new_password")) return "refusedPassword";
  return FAILURES[code] ?? "unreachable";
}

const FAILURES = {
  challenge_expired: "over",
  invalid_code: "wrongCode",
  conflict: "taken",
  rate_limited: "tooManyAttempts",
  not_authenticated: "signedOut",
  session_expired: "signedOut",
  token_expired: "signedOut",
  token_revoked: "signedOut",
  insufficient_user_authentication: "signedOut",
};

// Undefined: there was no answer, or one that is not ours.
async function request(path, options) {
  try {
    const response = await fetch(path, { ...options, credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    const text = await response.text();
    return { ok: response.ok, status: response.status, body: text ? JSON.parse(text) : {} };
  } catch {
    return undefined;
  }
}
