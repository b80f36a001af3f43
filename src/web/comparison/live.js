// The live cells of the table: somebody signs in in both modes, and each cell shows what happens to them.

const button = document.getElementById('show');
const status = document.getElementById('outcome');

// Where a cell says what happened.
const cell = (name, mode) => document.querySelector(`[data-live="${name}"][data-mode="${mode}"]`);
function tell(name, mode, text) {
  const place = cell(name, mode);
  place.textContent = text;
  place.dataset.seen = '';
}

// A request, and its answer with the time that it took.
async function ask(method, path, { body, headers = {}, credentials = 'omit' } = {}) {
  const began = performance.now();
  const response = await fetch(path, {
    method,
    credentials,
    headers: body === undefined ? headers : { 'Content-Type': 'application/json', ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text ? JSON.parse(text) : null, ms: performance.now() - began };
}

// The same, when there is only one answer that will do.
async function must(method, path, options) {
  const answer = await ask(method, path, options);
  if (answer.status >= 400) throw new Error(answer.body?.detail ?? `${path} answered ${answer.status}`);
  return answer;
}

const bearer = (token) => ({ headers: { Authorization: `Bearer ${token}` } });

const random = (length) =>
  Array.from(crypto.getRandomValues(new Uint8Array(length)), (byte) => (byte % 36).toString(36)).join('');

// An account with a random name, signed in in both modes and both transports.
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

function showExposure(mode, { token }) {
  const name = mode === 'session' ? 'sessionid' : 'access_token';
  const readable = document.cookie.includes(`${name}=`);
  const byCookie = readable ? 'can read the cookie' : 'can’t read the cookie: it is HttpOnly';
  tell('xss', mode, `Live: this script ${byCookie}; the Bearer token it was handed begins with “${token[mode].slice(0, 12)}”, and it could send it anywhere.`);
}

// Another site could have the browser send the cookie, but not the header.
async function showForgery(mode, { token, csrf }) {
  const forged = await ask('POST', `/${mode}/refresh`, { credentials: 'same-origin' });
  const own = await ask('POST', `/${mode}/refresh`, { credentials: 'same-origin', headers: { 'X-CSRF-Token': csrf[mode] } });
  const header = await ask('GET', `/${mode}/profile`, bearer(token[mode]));
  tell('csrf', mode, `Live: by cookie without the CSRF token ${forged.status} ${forged.body?.code ?? ''}, with it ${own.status}. By Bearer (${header.status}) none is needed: no browser sends that header by itself.`);
}

// Last: afterwards nobody is signed in any more.
async function showLogout(mode, { token }) {
  const before = await ask('GET', `/${mode}/profile`, bearer(token[mode]));
  await must('POST', `/${mode}/logout`, bearer(token[mode]));
  const acknowledged = performance.now();
  let after = await ask('GET', `/${mode}/profile`, bearer(token[mode]));
  while (after.status === 200 && performance.now() - acknowledged < 5000) {
    after = await ask('GET', `/${mode}/profile`, bearer(token[mode]));
  }
  const ms = Math.round(performance.now() - acknowledged);
  tell('logout', mode, `Live: a copy of the token was answered by ${before.status} before the logout, and by ${after.status} ${after.body?.code ?? ''} ${ms} ms after it.`);
}

async function show() {
  const somebody = await signIn();
  for (const mode of ['session', 'jwt']) {
    await showExpiry(mode, somebody);
    await showUse(mode, somebody);
    showExposure(mode, somebody);
    await showForgery(mode, somebody);
  }
  for (const mode of ['session', 'jwt']) await showLogout(mode, somebody);
}

button.addEventListener('click', async () => {
  button.disabled = true;
  status.textContent = 'Signing in and trying …';
  try {
    await show();
    status.textContent = 'Done. The live cells are filled in.';
  } catch (error) {
    status.textContent = `That did not work: ${error.message}`;
  }
  button.disabled = false;
});
