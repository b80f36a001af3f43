// One of four credentials: a mode, a transport, and what this page knows about its login.

import { now, setClock } from "./clock.js";
import { clearedBy, holdsAnyOf, isHeld, keepBook, learnLengths, learnSessionId, setBy } from "./cookies.js";
import { exchange } from "./exchange.js";

const MODES = { session: "Session", jwt: "JWT" };
const TRANSPORTS = { cookie: "cookie", bearer: "Bearer" };
const MOST_EXCHANGES = 12;

export class Slot {
  exchanges = [];

  constructor(mode, transport) {
    this.mode = mode;
    this.transport = transport;
    this.id = `${mode}-${transport}`;
    this.name = `${MODES[mode]} by ${TRANSPORTS[transport]}`;
    this.isCookie = transport === "cookie";
    this.forget();
  }

  // The state before a sign-in.
  forget() {
    Object.assign(this, {
      state: "none", death: null, person: null, user: null, login: null, csrf: null, token: null, refreshToken: null, oldRefreshToken: null,
      tokenEnds: null, record: undefined, kept: null, setCookies: [], outcome: null,
    });
  }

  get isAlive() {
    return this.state === "alive";
  }

  // The profile route. A cookie uses its mode's own, because on the shared route another cookie may take precedence.
  get profilePath() {
    return this.isCookie ? `/${this.mode}/profile` : "/profile";
  }

  // Whether the browser holds no cookie of this credential any more.
  get isForgotten() {
    return this.isCookie && !holdsAnyOf(this.mode);
  }

  // On the shared routes the cookie access_token takes precedence, even if it is invalid.
  get isShadowed() {
    return this.id === "session-cookie" && isHeld("access_token");
  }

  headers(method, { token = this.token, csrf = this.csrf } = {}) {
    if (!this.isCookie) return { Authorization: `Bearer ${token}` };
    return method === "GET" || csrf === null ? {} : { "X-CSRF-Token": csrf };
  }

  // Sends a request with this credential, and adds it to the transcript.
  async ask(method, path, { body, headers = this.headers(method), note, mark } = {}) {
    return this.keep(await exchange({ method, path, headers, body, note, mark, cookies: this.isCookie }));
  }

  keep(record) {
    this.exchanges = [record, ...this.exchanges].slice(0, MOST_EXCHANGES);
    return record;
  }

  // Checks whether the credential is valid. Not in the transcript, because it is called often.
  look() {
    return exchange({ path: this.profilePath, headers: this.headers("GET"), cookies: this.isCookie });
  }

  async signIn(person) {
    const { username, password, remember_me } = person;
    const body = { username, password, transport: this.transport, remember_me, device_name: "the playground" };
    const record = await this.ask("POST", `/${this.mode}/login`, { body, headers: {} });
    if (record.isOk) {
      setClock(record.json.login.created_at);
      this.person = person;
      this.take(record);
    }
    return record;
  }

  async refresh() {
    const path = `/${this.mode}/refresh`;
    const byBody = this.refreshToken !== null;
    const how = byBody ? { headers: {}, body: { refresh_token: this.refreshToken } } : {};
    const used = this.refreshToken;
    const record = await this.ask("POST", path, how);
    if (record.isOk) {
      this.take(record, "later");
      this.oldRefreshToken = used;
    } else {
      this.clearIfDead(record);
      if (record.status === 401) this.die({ by: "a refresh was refused", code: record.problem.code });
    }
    return record;
  }

  // Signing out needs the refresh token once the access token has expired.
  async leave(path) {
    let record = await this.ask("POST", path);
    if (record.problem?.code === "token_expired" && this.refreshToken !== null) {
      record = await this.ask("POST", path, { headers: {}, body: { refresh_token: this.refreshToken } });
    }
    this.clearIfDead(record);
    return record;
  }

  // Stores the result of a sign-in or refresh.
  take(record, which = "first") {
    const body = record.json;
    this.state = "alive";
    this.death = null;
    this.user = body.user;
    this.login = body.login;
    this.csrf = body.csrf_token ?? null;
    this.token = body.session_token ?? body.access_token ?? null;
    this.refreshToken = body.refresh_token ?? null;
    this.tokenEnds = body.expires_in === undefined ? null : new Date(now() + body.expires_in * 1000).toISOString();
    if (body.refresh_token) learnLengths(body);
    if (this.isCookie && this.mode === "session") learnSessionId(which);
    if (this.isCookie) this.expect(record, setBy(this.mode, body));
  }

  // A sign-out clears the cookies, and so does a 401 of a route that would have changed them.
  clearIfDead(record) {
    const isOver = record.isOk || record.status === 401;
    if (!this.isCookie || !isOver) return;
    this.expect(record, clearedBy(this.mode));
    this.csrf = null;
  }

  die(death) {
    this.state = "dead";
    this.death = death;
  }

  // The access token has expired, but the login may be live: a refresh gets a new token. With "remember me" the cookie has a
  // Max-Age, so that the browser has dropped it and the response is `not_authenticated`.
  runOut(code) {
    this.state = "expired";
    this.death = { by: "its exp has passed", code };
    if (code === "not_authenticated") keepBook([{ kind: "access_token", isCleared: true }]);
  }

  // Whether a credential that was refused with this code can still be refreshed.
  async hasRunOut(code) {
    if (code === "token_expired") return true;
    const isDropped = code === "not_authenticated" && this.id === "jwt-cookie" && isHeld("refresh_token");
    return isDropped && (await exchange({ path: "/jwt/csrf", cookies: true })).isOk;
  }

  expect(record, cookies) {
    record.setCookies = cookies;
    this.setCookies = cookies;
    keepBook(cookies);
  }

  // Restores the state of a cookie after a reload. The refresh token's cookie is enough to get a CSRF token, so a response of
  // /csrf shows that a refresh is still possible.
  async adopt() {
    const note = "after a reload";
    const record = await this.ask("GET", this.profilePath, { note });
    const date = new Map(record.received).get("date");
    if (date) setClock(date);
    const csrf = await this.ask("GET", `/${this.mode}/csrf`, { note });
    this.csrf = csrf.json?.csrf_token ?? null;
    if (record.isOk) this.recognise(record.json);
    if (record.status !== 401) return;
    if (csrf.isOk) this.runOut(record.problem.code);
    if (csrf.status === 401) this.die({ by: "something while this page was away", code: record.problem.code });
  }

  recognise({ user_id, username, auth }) {
    this.state = "alive";
    this.user = { user_id, username };
    this.login = { id: auth.login_id };
    if (this.mode === "jwt") this.tokenEnds = auth.expires_at;
  }
}
