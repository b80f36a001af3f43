// The live cells of the comparison table: logs in a new user in both modes, and shows the result of each demonstration.

import { BASE_PATH } from '../playground/base-path.js';

const button = document.getElementById('run-demo');
const status = document.getElementById('demo-status');

// Writes a result into its cell.
function showResult(name, mode, text) {
  const cell = document.querySelector(`[data-live="${name}"][data-mode="${mode}"]`);
  cell.textContent = `Live: ${text}`;
  cell.dataset.done = '';
}

// Sends a request. Resolves to the response's status and body.
async function send(method, path, { body, headers = {}, credentials = 'omit' } = {}) {
  const response = await fetch(BASE_PATH + path, {
    method,
    credentials,
    headers: body === undefined ? headers : { 'Content-Type': 'application/json', ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text ? JSON.parse(text) : null };
}

// The same, but throws unless the response is a success.
async function sendOrThrow(method, path, options) {
  const response = await send(method, path, options);
  if (response.status >= 400) throw new Error(response.body?.detail ?? `${path} returned ${response.status}`);
  return response;
}

const bearer = (token) => ({ headers: { Authorization: `Bearer ${token}` } });

const byCookie = { credentials: 'same-origin' };

const random = (length) =>
  Array.from(crypto.getRandomValues(new Uint8Array(length)), (byte) => (byte % 36).toString(36)).join('');

// Registers a user with a random name, and logs in with both modes and both transports.
async function logIn() {
  const [username, password] = [`compare-${random(10)}`, random(24)];
  await sendOrThrow('POST', '/session/register', { body: { username, email: `${username}@example.com`, password } });
  const responses = {};
  for (const mode of ['session', 'jwt']) {
    for (const transport of ['cookie', 'bearer']) {
      const body = { username, password, transport };
      const credentials = transport === 'cookie' ? 'same-origin' : 'omit';
      responses[`${mode} ${transport}`] = (await sendOrThrow('POST', `/${mode}/login`, { body, credentials })).body;
    }
  }
  return {
    logins: { session: responses['session bearer'].login, jwt: responses['jwt bearer'].login },
    tokens: { session: responses['session bearer'].session_token, jwt: responses['jwt bearer'].access_token },
    csrfTokens: { session: responses['session cookie'].csrf_token, jwt: responses['jwt cookie'].csrf_token },
  };
}

const secondsUntil = (time) => Math.round((new Date(time) - Date.now()) / 1000);

async function demonstrateExpiry(mode, { logins, tokens }) {
  const expiry = async () => (await sendOrThrow('GET', `/${mode}/profile`, bearer(tokens[mode]))).body.auth.expires_at;
  const first = await expiry();
  await new Promise((done) => setTimeout(done, 1100));
  const second = await expiry();
  const effect = first === second ? 'using it did not extend it' : 'using it extended it';
  showResult('expiry', mode, `expires in ${secondsUntil(second)} s; ${effect}. The login expires in ${secondsUntil(logins[mode].expires_at)} s at the latest.`);
}

async function demonstrateTransports(mode, { tokens }) {
  const headerResponse = await send('GET', `/${mode}/profile`, bearer(tokens[mode]));
  const cookieResponse = await send('GET', `/${mode}/profile`, byCookie);
  showResult('use', mode, `a request with the Bearer token returned ${headerResponse.status}, a request with the cookie returned ${cookieResponse.status}.`);
}

async function demonstrateXss(mode, { tokens }) {
  const name = mode === 'session' ? 'sessionid' : 'access_token';
  const isReadable = document.cookie.includes(`${name}=`);
  const isSent = (await send('GET', `/${mode}/profile`, byCookie)).status === 200;
  const hidden = isSent ? 'can’t read the cookie, although the browser sends it, because it is HttpOnly' : 'finds no cookie, and the browser sends none';
  const cookie = isReadable ? 'can read the cookie' : hidden;
  showResult('xss', mode, `this script ${cookie}. It can read the Bearer token (“${tokens[mode].slice(0, 12)}…”), and could send it anywhere.`);
}

// CSRF: an unsafe request by cookie fails without the CSRF token, which other sites do not know.
async function demonstrateCsrf(mode, { tokens, csrfTokens }) {
  const forged = await send('POST', `/${mode}/refresh`, byCookie);
  const legitimate = await send('POST', `/${mode}/refresh`, { ...byCookie, headers: { 'X-CSRF-Token': csrfTokens[mode] } });
  const withBearer = await send('GET', `/${mode}/profile`, bearer(tokens[mode]));
  showResult('csrf', mode, `by cookie without the CSRF token ${forged.status} ${forged.body?.code ?? ''}, with it ${legitimate.status}. A Bearer token (${withBearer.status}) needs none: browsers do not send it automatically.`);
}

async function demonstrateLogout(mode, { tokens }) {
  const profile = () => send('GET', `/${mode}/profile`, bearer(tokens[mode]));
  const before = await profile();
  await sendOrThrow('POST', `/${mode}/logout`, bearer(tokens[mode]));
  const loggedOutAt = performance.now();
  // Measures until the sending time of the last accepted request: the duration of a response must not count.
  let acceptedForMs = null;
  let sentAt = loggedOutAt;
  let after = await profile();
  while (after.status === 200 && performance.now() - loggedOutAt < 5000) {
    acceptedForMs = Math.round(sentAt - loggedOutAt);
    sentAt = performance.now();
    after = await profile();
  }
  const response = `${after.status} ${after.body?.code ?? ''}`.trim();
  const delay = acceptedForMs === null ? 'on the first request after it' : `more than ${acceptedForMs} ms after it`;
  showResult('logout', mode, `a copy of the token got ${before.status} before the logout, and ${response} ${delay}.`);
}

// Clears the cookies as well: the visitor must not stay logged in as the demonstration's user.
async function logOut({ csrfTokens }) {
  for (const mode of ['session', 'jwt']) {
    await send('POST', `/${mode}/logout`, { ...byCookie, headers: { 'X-CSRF-Token': csrfTokens[mode] } });
  }
}

async function runDemonstrations() {
  const user = await logIn();
  try {
    for (const mode of ['session', 'jwt']) {
      await demonstrateExpiry(mode, user);
      await demonstrateTransports(mode, user);
      await demonstrateXss(mode, user);
      await demonstrateCsrf(mode, user);
    }
    for (const mode of ['session', 'jwt']) await demonstrateLogout(mode, user);
  } finally {
    await logOut(user);
  }
}

let isBusy = false;

button.addEventListener('click', async () => {
  if (isBusy) return;
  isBusy = true;
  // Not `disabled`, which would lose the keyboard focus.
  button.setAttribute('aria-disabled', 'true');
  status.textContent = 'Running …';
  try {
    await runDemonstrations();
    status.textContent = 'Done. The live cells are filled in.';
  } catch (error) {
    status.textContent = `The demonstration failed: ${error.message}`;
  }
  button.removeAttribute('aria-disabled');
  isBusy = false;
});
