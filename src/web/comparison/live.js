// The live cells of the comparison table: signs in a new user in both modes, and shows the result of each demonstration.

import { BASE } from '../playground/base.js';

const button = document.getElementById('show');
const status = document.getElementById('outcome');

// Writes a result into its cell.
const cell = (name, mode) => document.querySelector(`[data-live="${name}"][data-mode="${mode}"]`);
function tell(name, mode, text) {
  const place = cell(name, mode);
  place.textContent = text;
  place.dataset.seen = '';
}

// Sends a request. Resolves to the response with its duration.
async function ask(method, path, { body, headers = {}, credentials = 'omit' } = {}) {
  const began = performance.now();
  const response = await fetch(BASE + path, {
    method,
    credentials,
    headers: body === undefined ? headers : { 'Content-Type': 'application/json', ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text ? JSON.parse(text) : null, ms: performance.now() - began };
}

// The same, but throws unless the response is a success.
async function must(method, path, options) {
  const answer = await ask(method, path, options);
  if (answer.status >= 400) throw new Error(answer.body?.detail ?? `${path} answered ${answer.status}`);
  return answer;
}

const bearer = (token) => ({ headers: { Authorization: `Bearer ${token}` } });

const random = (length) =>
  Array.from(crypto.getRandomValues(new Uint8Array(length)), (byte) => (byte % 36).toString(36)).join('');

// Registers a user with a random name, and signs in by both modes and both transports.
async function signIn() {
  const [username, password] = [`compare-${random(10)}`, random(24)];
  await must('POST', '/session/register', { body: { username, email: `${username}@example.com`, password } });
  const logins = {};
  for (const mode of ['session', 'jwt']) {
    for (const transport of ['cookie', 'bearer']) {
      const body = { username, password, transport };
      const credentials = transport === 'cookie' ? 'same-origin' : 'omit';
      logins[`${mode} ${transport}`] = (await must('POST', `/${mode}/login`, { body, credentials })).body;
    }
  }
  return {
    logins,
    token: { session: logins['session bearer'].session_token, jwt: logins['jwt bearer'].access_token },
    csrf: { session: logins['session cookie'].csrf_token, jwt: logins['jwt cookie'].csrf_token },
  };
}

const seconds = (text) => Math.round((new Date(text) - Date.now()) / 1000);

async function showExpiry(mode, { logins, token }) {
  const first = (await must('GET', `/${mode}/profile`, bearer(token[mode]))).body.auth.expires_at;
  await new Promise((done) => setTimeout(done, 1100));
  const second = (await must('GET', `/${mode}/profile`, bearer(token[mode]))).body.auth.expires_at;
  const end = seconds(logins[`${mode} bearer`].login.expires_at);
  const moved = first === second ? 'it stood still while it was used' : 'it moved on while it was used';
  tell('expiry', mode, `Live: ends in ${seconds(second)} s if it is not renewed; ${moved}. The login ends in ${end} s in any case.`);
}

async function showUse(mode, { token }) {
  const byHeader = await ask('GET', `/${mode}/profile`, bearer(token[mode]));
  const byCookie = await ask('GET', `/${mode}/profile`, { credentials: 'same-origin' });
  tell('use', mode, `Live: a client with a header got ${byHeader.status}, this browser with its cookie got ${byCookie.status}.`);
}

async function showExposure(mode, { token }) {
  const name = mode === 'session' ? 'sessionid' : 'access_token';
  const isReadable = document.cookie.includes(`${name}=`);
  const isSent = (await ask('GET', `/${mode}/profile`, { credentials: 'same-origin' })).status === 200;
  const hidden = isSent ? 'can’t read the cookie, though the browser sends it: it is HttpOnly' : 'finds no cookie, and the browser sends none';
  const byCookie = isReadable ? 'can read the cookie' : hidden;
  tell('xss', mode, `Live: this script ${byCookie}; the Bearer token it was handed begins with “${token[mode].slice(0, 12)}”, and it could send it anywhere.`);
}

// CSRF: an unsafe request by cookie fails without the token, which a page of another site does not know.
async function showForgery(mode, { token, csrf }) {
  const forged = await ask('POST', `/${mode}/refresh`, { credentials: 'same-origin' });
  const own = await ask('POST', `/${mode}/refresh`, { credentials: 'same-origin', headers: { 'X-CSRF-Token': csrf[mode] } });
  const header = await ask('GET', `/${mode}/profile`, bearer(token[mode]));
  tell('csrf', mode, `Live: by cookie without the CSRF token ${forged.status} ${forged.body?.code ?? ''}, with it ${own.status}. By Bearer (${header.status}) none is needed: no browser sends that header by itself.`);
}

async function showLogout(mode, { token }) {
  const before = await ask('GET', `/${mode}/profile`, bearer(token[mode]));
  await must('POST', `/${mode}/logout`, bearer(token[mode]));
  const acknowledged = performance.now();
  // Measures until the sending time of the last accepted request: the duration of a response must not count.
  let lived = null;
  let sent = acknowledged;
  let after = await ask('GET', `/${mode}/profile`, bearer(token[mode]));
  while (after.status === 200 && performance.now() - acknowledged < 5000) {
    lived = Math.round(sent - acknowledged);
    sent = performance.now();
    after = await ask('GET', `/${mode}/profile`, bearer(token[mode]));
  }
  const answer = `${after.status} ${after.body?.code ?? ''}`.trim();
  const fate = lived === null ? `at once after it by ${answer}` : `by ${answer} more than ${lived} ms after it`;
  tell('logout', mode, `Live: a copy of the token was answered by ${before.status} before the logout, and ${fate}.`);
}

// Signs out, cookies included: the visitor must not stay signed in as the demonstration's user.
async function leave({ csrf }) {
  for (const mode of ['session', 'jwt']) {
    await ask('POST', `/${mode}/logout`, { credentials: 'same-origin', headers: { 'X-CSRF-Token': csrf[mode] } });
  }
}

async function show() {
  const somebody = await signIn();
  try {
    await showAll(somebody);
  } finally {
    await leave(somebody);
  }
}

async function showAll(somebody) {
  for (const mode of ['session', 'jwt']) {
    await showExpiry(mode, somebody);
    await showUse(mode, somebody);
    await showExposure(mode, somebody);
    await showForgery(mode, somebody);
  }
  for (const mode of ['session', 'jwt']) await showLogout(mode, somebody);
}

let isBusy = false;

button.addEventListener('click', async () => {
  if (isBusy) return;
  isBusy = true;
  // Not `disabled`, which would lose the keyboard focus.
  button.setAttribute('aria-disabled', 'true');
  status.textContent = 'Signing in and trying …';
  try {
    await show();
    status.textContent = 'Done. The live cells are filled in.';
  } catch (error) {
    status.textContent = `That did not work: ${error.message}`;
  }
  button.removeAttribute('aria-disabled');
  isBusy = false;
});
