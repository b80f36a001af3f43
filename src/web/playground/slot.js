// One of four credentials: a mode, a way to travel, and what this page knows of the login behind it.

import { now, setClock } from "./clock.js";
import { clearedBy, isHeld, keepBook, learnLengths, setBy } from "./cookies.js";
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

  // As before anybody signed in.
  forget() {
    Object.assign(this, {
      state: "none", death: null, person: null, user: null, login: null, csrf: null, token: null, refreshToken: null, oldRefreshToken: null,
      tokenEnds: null, record: undefined, kept: null, setCookies: [], outcome: null,
    });
  }

  get isAlive() {
    return this.state === "alive";
  }

  // Where it is asked who it is. A cookie at its mode's own path: the shared one may have another cookie before it.
  get profilePath() {
    return this.isCookie ? `/${this.mode}/profile` : "/profile";
  }

  // At the shared routes the cookie access_token goes first, dead or alive.
  get isShadowed() {
    return this.id === "session-cookie" && isHeld("access_token");
  }

  headers(method, { token = this.token, csrf = this.csrf } = {}) {
    if (!this.isCookie) return { Authorization: `Bearer ${token}` };
    return method === "GET" || csrf === null ? {} : { "X-CSRF-Token": csrf };
  }

  // Sends a request with this credential, and writes it down.
  async ask(method, path, { body, headers = this.headers(method), note, mark } = {}) {
    return this.keep(await exchange({ method, path, headers, body, note, mark, cookies: this.isCookie }));
  }

  keep(record) {
    this.exchanges = [record, ...this.exchanges].slice(0, MOST_EXCHANGES);
    return record;
  }

  // Whether it is good now. Not written down: it is asked often.
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
      this.take(record);
      this.oldRefreshToken = used;
    } else {
      this.clearIfDead(record);
    }
    return record;
  }

  async leave(path) {
    const isRunOut = this.state === "expired" && this.refreshToken !== null;
    const how = isRunOut ? { headers: {}, body: { refresh_token: this.refreshToken } } : {};
    const record = await this.ask("POST", path, how);
    this.clearIfDead(record);
    return record;
  }

  // What a sign-in or a refresh gave.
  take(record) {
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
    if (this.isCookie) this.expect(record, setBy(this.mode, body));
  }

  // A sign-out clears the cookies, and so does a 401 at a route that would have changed them.
  clearIfDead(record) {
    const isOver = record.isOk || record.status === 401;
    if (this.isCookie && isOver) this.expect(record, clearedBy(this.mode));
  }

  expect(record, cookies) {
    record.setCookies = cookies;
    this.setCookies = cookies;
    keepBook(cookies);
  }

  // After a reload: the tokens that this page held are gone, and the cookies are where they were.
  async adopt() {
    const record = await this.ask("GET", this.profilePath, { note: "after a reload" });
    this.state = { 200: "alive", 401: record.problem?.code === "token_expired" ? "expired" : "dead" }[record.status] ?? "none";
    if (this.state === "dead") this.death = { by: "something while this page was away", code: record.problem.code };
    if (this.state === "alive" || this.state === "expired") {
      const csrf = await this.ask("GET", `/${this.mode}/csrf`, { note: "after a reload" });
      this.csrf = csrf.json?.csrf_token ?? null;
    }
    if (!record.isOk) return;
    this.user = { user_id: record.json.user_id, username: record.json.username };
    this.login = { id: record.json.auth.login_id };
    if (this.mode === "jwt") this.tokenEnds = record.json.auth.expires_at;
  }
}
