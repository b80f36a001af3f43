// One of the four credentials (session or JWT, as a cookie or a Bearer token), and what this page knows about its login.

import { now, setServerTime } from "./clock.js";
import { browserHas, browserHasCookieOf, cookiesClearedBy, cookiesSetBy, recordCookieChanges, setSessionIdLength, setTokenLengths } from "./cookies.js";
import { sendRequest } from "./http-client.js";

const MODES = { session: "Session", jwt: "JWT" };
const TRANSPORTS = { cookie: "cookie", bearer: "Bearer token" };
const MAX_EXCHANGES = 12;

export class Credential {
  exchanges = [];

  constructor(mode, transport) {
    this.mode = mode;
    this.transport = transport;
    this.id = `${mode}-${transport}`;
    this.name = `${MODES[mode]} ${TRANSPORTS[transport]}`;
    this.isCookie = transport === "cookie";
    this.clear();
  }

  // The state before a login. `end`: why the credential is not active any more. `auth`: what its profile says about the login. `loginRecord`: the server's record of the login;
  // null if the login has ended, undefined if unknown.
  clear() {
    Object.assign(this, {
      state: "none", end: null, enteredUser: null, user: null, login: null, csrfToken: null, token: null, refreshToken: null,
      usedRefreshToken: null, tokenExpiresAt: null, loginRecord: undefined, sessionData: null, setCookies: [], lastOutcome: null, auth: null,
    });
  }

  get isActive() {
    return this.state === "active";
  }

  // The profile route. A cookie uses its mode's own, because on the shared route another cookie may take precedence.
  get profilePath() {
    return this.isCookie ? `/${this.mode}/profile` : "/profile";
  }

  // Whether both present one login: itself does, and what it was handed off to.
  isOfSameLogin(other) {
    return this === other || (this.login !== null && this.login.id === other.login?.id);
  }

  get isMissingInBrowser() {
    return this.isCookie && !browserHasCookieOf(this.mode);
  }

  // On the shared routes the cookie access_token takes precedence, even if it is invalid.
  get isOverriddenOnSharedRoutes() {
    return this.id === "session-cookie" && browserHas("access_token");
  }

  get isUsableOnSharedRoutes() {
    return this.isActive && !this.isOverriddenOnSharedRoutes;
  }

  headers(method, { token = this.token, csrfToken = this.csrfToken } = {}) {
    if (!this.isCookie) return { Authorization: `Bearer ${token}` };
    return method === "GET" || csrfToken === null ? {} : { "X-CSRF-Token": csrfToken };
  }

  // Sends a request with this credential, and adds it to the request log.
  // `storesCookies`: whether the browser keeps the response's cookies although this credential is none.
  async send(method, path, { body, headers = this.headers(method), note, highlight, storesCookies = false } = {}) {
    const withCookies = this.isCookie || storesCookies;
    return this.log(await sendRequest({ method, path, headers, body, note, highlight, withCookies }));
  }

  log(exchange) {
    this.exchanges = [exchange, ...this.exchanges].slice(0, MAX_EXCHANGES);
    return exchange;
  }

  // Checks whether the credential is accepted, and what it says about the login. Not in the request log, because it is sent often.
  async check() {
    const exchange = await sendRequest({ path: this.profilePath, headers: this.headers("GET"), withCookies: this.isCookie });
    if (exchange.isOk) this.auth = exchange.json.auth;
    return exchange;
  }

  async logIn(user) {
    const { username, password, remember_me } = user;
    const exchange = await this.logInWith({ username, password, remember_me });
    if (exchange.isOk) this.enteredUser = user;
    return exchange;
  }

  // `proof`: the members of the body that prove who the user is.
  async logInWith(proof) {
    const body = { ...proof, transport: this.transport, device_name: "playground" };
    const exchange = await this.send("POST", `/${this.mode}/login`, { body, headers: {} });
    if (exchange.isOk) {
      setServerTime(exchange.json.login.created_at);
      this.enteredUser = null;
      this.store(exchange, "login");
    }
    return exchange;
  }

  // Takes the login over that a code hands off.
  async takeOver(handoff) {
    const body = { handoff, transport: this.transport };
    const exchange = await this.send("POST", `/${this.mode}/login`, { body, headers: {} });
    if (exchange.isOk) this.store(exchange, "login");
    return exchange;
  }

  async refresh() {
    const usedRefreshToken = this.refreshToken;
    const options = usedRefreshToken === null ? {} : { headers: {}, body: { refresh_token: usedRefreshToken } };
    const exchange = await this.send("POST", `/${this.mode}/refresh`, options);
    if (exchange.isOk) {
      this.store(exchange, "refresh");
      this.usedRefreshToken = usedRefreshToken;
    } else {
      this.recordClearedCookies(exchange);
      if (exchange.status === 401) this.markEnded({ cause: "refresh rejected", code: exchange.problem.code });
    }
    return exchange;
  }

  // Proves the login anew. `proof`: the members of the body.
  async stepUp(proof) {
    const exchange = await this.send("POST", `/${this.mode}/step-up`, { body: proof });
    if (exchange.isOk) {
      this.store(exchange, "refresh");
      this.usedRefreshToken = null;
    }
    return exchange;
  }

  // `path`: of the logout route. Once the access token has expired, it needs the refresh token.
  async logOut(path) {
    let exchange = await this.send("POST", path);
    if (exchange.problem?.code === "token_expired" && this.refreshToken !== null) {
      exchange = await this.send("POST", path, { headers: {}, body: { refresh_token: this.refreshToken } });
    }
    this.recordClearedCookies(exchange);
    return exchange;
  }

  // Stores the credential that a login or refresh returned. `issuedBy`: "login" or "refresh".
  store(exchange, issuedBy) {
    const body = exchange.json;
    this.state = "active";
    this.end = null;
    this.user = body.user;
    this.login = body.login;
    this.csrfToken = body.csrf_token ?? null;
    this.token = body.session_token ?? body.access_token ?? null;
    this.refreshToken = body.refresh_token ?? null;
    this.tokenExpiresAt = body.expires_in === undefined ? null : new Date(now() + body.expires_in * 1000).toISOString();
    if (body.refresh_token) setTokenLengths(body);
    if (this.isCookie && this.mode === "session") setSessionIdLength(issuedBy);
    if (this.isCookie) this.recordCookies(exchange, cookiesSetBy(this.mode, body));
  }

  // A logout clears the cookies, and so does a 401 of a route that would have changed them.
  recordClearedCookies(exchange) {
    const areCleared = exchange.isOk || exchange.status === 401;
    if (!this.isCookie || !areCleared) return;
    this.recordCookies(exchange, cookiesClearedBy(this.mode));
    this.csrfToken = null;
  }

  recordCookies(exchange, setCookies) {
    exchange.setCookies = setCookies;
    this.setCookies = setCookies;
    recordCookieChanges(setCookies);
  }

  markEnded(end) {
    this.state = "ended";
    this.end = end;
  }

  // The access token has expired, but the login may be live: a refresh gets a new token. With "remember me" the cookie has a
  // Max-Age, so that the browser has deleted it and the response is `not_authenticated`.
  markExpired(code) {
    this.state = "expired";
    this.end = { cause: "exp has passed", code };
    if (code === "not_authenticated") recordCookieChanges([{ cookie: "access_token", isCleared: true }]);
  }

  // Whether a credential that was rejected with this code has expired and can be refreshed.
  async isRefreshable(code) {
    if (code === "token_expired") return true;
    const isDeleted = code === "not_authenticated" && this.id === "jwt-cookie" && browserHas("refresh_token");
    return isDeleted && (await sendRequest({ path: "/jwt/csrf", withCookies: true })).isOk;
  }

  // Restores the state of a cookie after a reload. The refresh token's cookie is enough to get a CSRF token, so a response of
  // /csrf shows that a refresh is still possible.
  async restore() {
    const note = "after reload";
    const profile = await this.send("GET", this.profilePath, { note });
    const date = new Map(profile.responseHeaders).get("date");
    if (date) setServerTime(date);
    const csrf = await this.send("GET", `/${this.mode}/csrf`, { note });
    this.csrfToken = csrf.json?.csrf_token ?? null;
    if (profile.isOk) this.restoreFrom(profile.json);
    if (profile.status !== 401) return;
    if (csrf.isOk) this.markExpired(profile.problem.code);
    if (csrf.status === 401) this.markEnded({ cause: "ended before the reload", code: profile.problem.code });
  }

  restoreFrom({ user_id, username, auth }) {
    this.state = "active";
    this.user = { user_id, username };
    this.login = { id: auth.login_id };
    if (this.mode === "jwt") this.tokenExpiresAt = auth.expires_at;
  }
}
