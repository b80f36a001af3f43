// Verifies dualauth's access tokens in a JavaScript service, and follows dualauth's revocations.
//
// A token is verified here, without a request to dualauth. `POST /jwt/feed` is followed in the background, so a token whose
// login has ended, or whose owner's name or roles have changed, is refused within `stalenessBound` seconds. Without a client
// id there is no feed: a token is then valid until it expires.
//
// Needs jose, for the signature alone, and `fetch`: Node 20 or later, Deno, Bun.

import { compactVerify, importJWK } from "jose";

const LEEWAY = 5; // Seconds that the clock of whoever signed a token may be ahead; entries of the feed are kept as much longer.
const KEYS_LIFETIME = 300; // Seconds; with a feed, too: it tells of new keys, and a key is also withdrawn by time alone.
const KEYS_TIMEOUT = 5; // Seconds; only without a feed, whose bound limits this, too.
const UNKNOWN_KID_PAUSE = 1; // Seconds between two looks for a key: a token's `kid` is its sender's choice.
const CACHE_SIZE = 10_000;
const LONGEST_TOKEN = 65_536;
const NODE_PACE = 1; // Seconds between two looks of a node at its own feed, at most.
const LONGEST_WAIT = 25; // Seconds for which the server holds a request, at most.
const SHORTEST_WAIT = 0.25; // Seconds; what a proxy cuts off is asked for with shorter waits, down to this.
const LONG_BEFORE = 60; // Seconds; no two clocks are that far apart, so it is certain which of two events was first.
const WARNING_PAUSE = 60; // Seconds between two warnings that requests may cause.

const INVALID_TOKEN = 'Bearer error="invalid_token"';
const PROBLEMS = {
  not_authenticated: [401, "Not signed in", { "WWW-Authenticate": "Bearer" }],
  malformed_request: [400, "Malformed request", {}],
  invalid_token: [401, "Invalid token", { "WWW-Authenticate": INVALID_TOKEN }],
  token_expired: [401, "Token expired", { "WWW-Authenticate": INVALID_TOKEN }],
  token_revoked: [401, "Token revoked", { "WWW-Authenticate": INVALID_TOKEN }],
  unavailable: [503, "Temporarily unavailable", { "Retry-After": "1" }],
};

/** Why a request is refused, and what to answer: status, headers, and a problem document (RFC 9457). */
export class VerificationError extends Error {
  constructor(code, detail) {
    super(detail);
    const [status, title, headers] = PROBLEMS[code];
    Object.assign(this, { name: "VerificationError", code, detail, status, headers: { ...headers } });
    this.problem = { type: "about:blank", title, status, detail, code };
  }
}

const invalid = () => new VerificationError("invalid_token", "The token is not valid here.");
const unavailable = () =>
  new VerificationError("unavailable", "The service can't answer at the moment. Try again shortly.");

/** The token in a request's `Authorization` headers (RFC 6750, section 2.1). */
function bearer(values) {
  if (values.length > 1) {
    throw new VerificationError("malformed_request", "Send one Authorization header, not several.");
  }
  const value = values[0]?.replace(/^[ \t]+|[ \t]+$/g, "") ?? "";
  const match = /^bearer(?: +(?<token>[A-Za-z0-9._~+/-]+=*) *|[ \t].*|)$/is.exec(value);
  if (match === null) {
    throw new VerificationError("not_authenticated", "Sign in first: no credential came that this route takes.");
  }
  if (match.groups.token === undefined) {
    throw new VerificationError("malformed_request", "Send `Authorization: Bearer`, one space and the token.");
  }
  return match.groups.token;
}

/** The bytes of canonical base64url without padding (RFC 7515, section 2), a character each. */
function decoded(part) {
  if (!/^[A-Za-z0-9_-]*$/.test(part) || part.length % 4 === 1) throw invalid();
  const bytes = atob(part.replaceAll("-", "+").replaceAll("_", "/"));
  const again = btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  if (again !== part) throw invalid(); // Unused bits are set: another spelling of the same bytes.
  return bytes;
}

/** The members of a part of a token, a JSON object that names none twice: the JSON text of each value by its name. */
function members(part) {
  try {
    const bytes = Uint8Array.from(decoded(part), (character) => character.charCodeAt(0));
    const json = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    const value = JSON.parse(json);
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid();
    return membersOfObject(json);
  } catch {
    throw invalid();
  }
}

/** `JSON.parse` keeps only the last of two members of one name, so this reads the names. `json` is known to be JSON. */
function membersOfObject(json) {
  const found = new Map();
  let depth = 0, name, begin;
  const end = (index) => {
    if (name === undefined) return; // `{}`
    if (found.has(name)) throw invalid();
    found.set(name, json.slice(begin, index).trim());
    name = undefined;
  };
  for (const { 0: token, index } of json.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]:,]|-?[0-9][0-9.eE+-]*/g)) {
    if (token[0] === '"') {
      const text = JSON.parse(token);
      if (!text.isWellFormed()) throw invalid(); // half a surrogate pair
      if (depth === 1 && name === undefined) name = text;
    } else if (token === "{" || token === "[") {
      depth += 1;
    } else if (token === "}" || token === "]") {
      depth -= 1;
      if (depth === 0) end(index);
    } else if (depth === 1 && token === ",") {
      end(index);
    } else if (depth === 1 && token === ":") {
      begin = index + 1;
    } else if (!Number.isFinite(Number(token)) && !/^[:,]$/.test(token)) {
      throw invalid();
    }
  }
  return found;
}

// Each reads a claim from its JSON text; `undefined` where there is none.

function string(json) {
  const value = json === undefined ? undefined : JSON.parse(json);
  if (typeof value !== "string") throw invalid();
  return value;
}

function strings(json) {
  const value = json === undefined ? undefined : JSON.parse(json);
  if (!Array.isArray(value) || !value.every((each) => typeof each === "string")) throw invalid();
  return Object.freeze(value);
}

function integer(json) {
  if (json === undefined || !/^(?:0|-?[1-9][0-9]*)$/.test(json) || BigInt.asIntN(64, BigInt(json)) !== BigInt(json)) {
    throw invalid();
  }
  return Number(json);
}

const UUID = /^[0-9a-f]{8}(-?)(?:[0-9a-f]{4}\1){3}[0-9a-f]{12}$/i;

/** An id in lower case, with hyphens. */
function uuid(json) {
  let text = string(json);
  if (/^\{.{36}\}$/.test(text)) text = text.slice(1, -1);
  if (/^urn:uuid:.{36}$/i.test(text)) text = text.slice(9);
  if (!UUID.test(text)) throw invalid();
  return text.replaceAll("-", "").toLowerCase().replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** The `kid` and `alg` of a header with exactly the three members that dualauth's tokens have. */
function headerOf(part) {
  const header = members(part);
  if (header.size !== 3 || string(header.get("typ")) !== "at+jwt") throw invalid();
  const alg = string(header.get("alg"));
  if (!["EdDSA", "ES256", "RS256"].includes(alg)) throw invalid();
  return { kid: string(header.get("kid")), alg };
}

/** The claims of a token from this issuer, for this audience (RFC 9068, section 2.2). */
function claimsOf(part, issuer, audience, warn) {
  const claims = members(part);
  const optional = (name, read) => (claims.has(name) ? read(claims.get(name)) : undefined);
  const aud = claims.get("aud");
  // As dualauth writes it: one audience is a string, and several are an array.
  const audiences = aud?.startsWith("[") ? strings(aud) : [string(aud)];
  if (aud.startsWith("[") && audiences.length < 2) throw invalid();
  const iss = string(claims.get("iss"));
  if (iss !== issuer) {
    warn(`a token of the issuer ${JSON.stringify(iss)}, expected ${JSON.stringify(issuer)}`);
    throw invalid();
  }
  if (!audiences.includes(audience)) {
    warn(`a token for ${JSON.stringify(JSON.parse(aud))}, expected ${JSON.stringify(audience)}`);
    throw invalid();
  }
  return Object.freeze({
    sub: uuid(claims.get("sub")),
    username: string(claims.get("username")),
    roles: strings(claims.get("roles")),
    sid: uuid(claims.get("sid")),
    jti: uuid(claims.get("jti")),
    iat: integer(claims.get("iat")),
    exp: integer(claims.get("exp")),
    nbf: optional("nbf", integer),
    client_id: optional("client_id", string),
    auth_time: optional("auth_time", integer),
    acr: optional("acr", string),
    amr: optional("amr", strings),
  });
}

function checkTimes({ iat, nbf = iat, exp }) {
  const now = Math.floor(Date.now() / 1000);
  if (Math.max(iat, nbf) > now + LEEWAY) throw invalid();
  if (now >= exp) throw new VerificationError("token_expired", "The token has expired.");
}

/** A moment. Either clock may stand still or be set: one while the machine sleeps, the other by hand. */
const moment = () => ({ monotonic: performance.now(), wall: Date.now() });

/** Seconds since then, rather too many than too few. */
const secondsSince = (then) => Math.max(performance.now() - then.monotonic, Date.now() - then.wall) / 1000;

/** A warning that is given once in a while, however often there is a reason. */
function rareWarning(log) {
  let given = { monotonic: -Infinity, wall: -Infinity };
  return (message) => {
    if (secondsSince(given) <= WARNING_PAUSE) return;
    given = moment();
    log.warn(message);
  };
}

/** As in `application/x-www-form-urlencoded`. */
const formEncoded = (text) => new URLSearchParams([["", text]]).toString().slice(1);

const sleep = (seconds) =>
  new Promise((resolve) => {
    // A wait alone keeps no process alive.
    setTimeout(resolve, seconds * 1000).unref?.();
  });

/** Sends a request, and returns the object in its 200. Throws if none comes in time. */
async function fetchJson(url, seconds, init, controller = new AbortController(), tries = 2) {
  const timer = setTimeout(() => controller.abort(new Error("no answer in time")), seconds * 1000);
  try {
    const response = await fetch(url, { redirect: "error", ...init, signal: controller.signal });
    const answer = await response.text();
    if (response.status === 401) throw new Error("dualauth refuses the client's id or secret");
    if (response.status !== 200) throw new Error(`status ${response.status}`);
    return JSON.parse(answer);
  } catch (error) {
    // `fetch` may have taken a connection that was closed while it was idle.
    if (error instanceof TypeError && tries > 1) return fetchJson(url, seconds, init, controller, tries - 1);
    throw new Error(`${new URL(url).pathname}: ${error.cause?.message ?? error.message}`);
  } finally {
    clearTimeout(timer);
  }
}

/** The published keys. Fetches never overlap, so an older answer can't replace a newer one. */
class KeySet {
  #url;
  #timeout;
  #mustBeCurrent;
  #warnOfNone;
  #keys = new Map();
  #fetchedAt = { monotonic: -Infinity, wall: -Infinity };
  #queue = Promise.resolve();
  #looking;
  #looked = { at: this.#fetchedAt, failed: false };

  constructor(url, timeout, mustBeCurrent, log) {
    this.#url = `${url}/.well-known/jwks.json`;
    this.#timeout = timeout;
    this.#mustBeCurrent = mustBeCurrent;
    this.#warnOfNone = rareWarning(log);
  }

  async areKnown() {
    try {
      if (this.#keys.size === 0) await this.#lookAgain();
      return this.#keys.size > 0;
    } catch {
      return false;
    }
  }

  /** The key of this name, which may have to be fetched. Throws if that fails. */
  async find(kid) {
    if (!this.#keys.has(kid)) await this.#lookAgain();
    // Nobody waits for this: while it fails, old keys are as good as they were.
    else if (secondsSince(this.#fetchedAt) > KEYS_LIFETIME) this.#lookAgain().catch(() => {});
    const key = this.#keys.get(kid);
    if (key === undefined) throw invalid();
    return key;
  }

  async #lookAgain() {
    await (this.#looking ??= this.#look().finally(() => (this.#looking = undefined)));
  }

  async #look() {
    if (secondsSince(this.#looked.at) < UNKNOWN_KID_PAUSE) {
      if (this.#looked.failed) throw new Error("the keys could not be fetched");
      return;
    }
    let failed = true;
    try {
      await this.fetch();
      failed = false;
    } finally {
      this.#looked = { at: moment(), failed };
    }
  }

  /** Fetches them, if need be in a way that no cache can answer. */
  fetch() {
    const turn = this.#queue.then(() => this.#fetch());
    this.#queue = turn.catch(() => {});
    return turn;
  }

  async #fetch() {
    const sent = moment();
    const microseconds = Math.round((performance.timeOrigin + sent.monotonic) * 1000);
    const query = this.#mustBeCurrent ? `?current=${microseconds}` : "";
    const { keys } = await fetchJson(this.#url + query, this.#timeout, {});
    if (keys.length === 0) this.#warnOfNone("dualauth publishes no keys: JWT_ALGORITHM=HS256");
    const read = await Promise.all(keys.map((jwk) => this.#read(jwk)));
    this.#keys = new Map(read.filter((key) => key !== undefined).map((key) => [key.kid, key]));
    this.#fetchedAt = sent;
  }

  /** One that was known stays the same object; one that can't be used is left out. */
  async #read(jwk) {
    const json = JSON.stringify(jwk);
    const known = this.#keys.get(jwk?.kid);
    if (known?.json === json) return known;
    const alg = { Ed25519: "EdDSA", "P-256": "ES256" }[jwk?.crv] ?? (jwk?.kty === "RSA" ? "RS256" : undefined);
    if (alg === undefined || (jwk.alg ?? alg) !== alg || typeof jwk.kid !== "string") return undefined;
    const publicKey = await importJWK(jwk, alg).catch(() => undefined);
    return publicKey && { kid: jwk.kid, alg, json, publicKey };
  }
}

/** What the feed has told: logins that have ended, and owners' names and roles, each with when it may be forgotten. */
class Knowledge {
  #ended = new Map();
  #owners = new Map();
  /** The latest time of day at which entries were forgotten. */
  #forgotAt = -Infinity;
  /** Nothing that was acknowledged before is missing. */
  since;

  add({ ended, roles }) {
    const until = (entry) => {
      const time = Date.parse(entry.until);
      if (Number.isNaN(time)) throw new Error("a time that can't be read");
      return time + LEEWAY * 1000;
    };
    const id = (text) => uuid(JSON.stringify(text));
    // Read before any is kept: an answer that can't be read changes nothing.
    const dead = ended.map((entry) => [id(entry.sid), until(entry)]);
    const owners = roles.map((entry) => {
      const username = entry.username == null ? undefined : string(JSON.stringify(entry.username));
      return [id(entry.sub), { username, roles: strings(JSON.stringify(entry.roles)), until: until(entry) }];
    });
    for (const [sid, time] of dead) this.#ended.set(sid, time);
    for (const [sub, owner] of owners) this.#owners.set(sub, owner);
  }

  forgetExpired() {
    const now = Date.now();
    for (const [sid, until] of this.#ended) if (until <= now) this.#ended.delete(sid);
    for (const [sub, { until }] of this.#owners) if (until <= now) this.#owners.delete(sub);
    this.#forgotAt = Math.max(this.#forgotAt, now);
  }

  /** Whether the time of day was set back so far that entries may have been forgotten too early. */
  lacksEntries() {
    return Date.now() + LEEWAY * 1000 <= this.#forgotAt;
  }

  hasEnded({ sid }) {
    return this.#ended.has(sid);
  }

  differs({ sub, username, roles }) {
    const owner = this.#owners.get(sub);
    if (owner === undefined) return false;
    return (owner.username ?? username) !== username || JSON.stringify(owner.roles) !== JSON.stringify(roles);
  }

  /** Whether a token is certainly older than what is known. */
  isLongAfter({ iat }) {
    return iat + LONG_BEFORE < Date.now() / 1000 - secondsSince(this.since);
  }
}

/** Follows `POST /jwt/feed`. An answer is dropped if another one was applied since it was asked for. */
class Feed {
  #url;
  #headers;
  #bound;
  #pace;
  #keys;
  #log;
  #wasFresh = true;
  #cursor = "";
  #applied = 0; // how many answers
  #loading; // pages that are to replace what is known
  #isInParts = false; // The last answer said that there is more.
  #prunedAt = moment();
  #again;
  #held = new AbortController();
  #closed = false;
  /** Complete, or `undefined`. */
  known;
  /** Resolved when it was loaded, or that failed. */
  tried;

  constructor(url, clientId, clientSecret, bound, keys, log) {
    this.#url = `${url}/jwt/feed`;
    // RFC 6749, section 2.3.1.
    const basic = btoa(`${formEncoded(clientId)}:${formEncoded(clientSecret)}`);
    this.#headers = { Authorization: `Basic ${basic}` };
    this.#bound = bound;
    this.#pace = Math.min(bound / 4, LONGEST_WAIT);
    this.#keys = keys;
    this.#log = log;
    this.tried = new Promise((resolve) => this.#follow(resolve));
  }

  isFresh(known) {
    return known !== undefined && secondsSince(known.since) <= this.#bound && !known.lacksEntries();
  }

  close() {
    this.#closed = true;
    this.#held.abort(new Error("closed"));
  }

  /**
   * Returns once everything is known that was committed before this call. Throws if that fails. A node may be behind the one
   * that signed a token, and its answers say by how much.
   */
  async askAgain() {
    const called = moment();
    const patience = Math.min(this.#bound, NODE_PACE) + NODE_PACE;
    const isBehind = () => this.known === undefined || this.known.since.monotonic < called.monotonic;
    while (isBehind()) {
      const left = patience - secondsSince(called);
      if (left < 0) throw new Error("/jwt/feed: the node is behind");
      await (this.#again ??= this.#ask(0, left).finally(() => (this.#again = undefined)));
      if (isBehind() && !this.#isInParts) await sleep(Math.min(this.#bound / 16, NODE_PACE / 4));
    }
  }

  async #follow(tried) {
    let [failures, longest] = [0, this.#pace];
    while (!this.#closed) {
      const began = moment();
      // Behind, the present is asked for; else news.
      const wait = failures === 0 && this.isFresh(this.known) ? longest : 0;
      try {
        this.#held = new AbortController();
        const hasNews = await this.#ask(wait, Infinity, this.#held);
        failures = 0;
        if (wait > 0) longest = Math.min(longest * 1.05, this.#pace);
        this.#logChange();
        if (this.known !== undefined) tried();
        // However dualauth answers, it is not asked more often.
        if (!hasNews) await sleep(Math.max((wait || this.#pace) - secondsSince(began), 0));
      } catch (error) {
        if (this.#closed) break;
        failures += 1;
        if (wait > 0) longest = Math.max(longest / 2, Math.min(longest, SHORTEST_WAIT)); // A proxy may not let it wait that long.
        if (failures === 1) continue; // At once: another node may answer.
        this.#logChange(error);
        tried();
        await sleep(Math.min(this.#pace * 2 ** Math.min(failures - 2, 16), 1));
      }
    }
    tried();
  }

  /** Logs when revocations are no longer known in time, and when they are again. */
  #logChange(error) {
    const isFresh = this.isFresh(this.known);
    if (isFresh === this.#wasFresh || (error === undefined && this.#isInParts)) return;
    this.#wasFresh = isFresh;
    const lost = error
      ? `dualauth's revocations can't be followed: ${error.message}`
      : "dualauth's answers are older than stalenessBound: its own STALENESS_BOUND must not be larger";
    this.#log.warn(isFresh ? "dualauth's revocations are followed again" : lost);
  }

  /** Asks what is new, and applies the answer, which takes `atMost` seconds. Returns whether there was news. */
  async #ask(wait, atMost, controller) {
    const [applied, sent] = [this.#applied, moment()];
    const readsAllAgain = this.#loading === undefined && this.known?.lacksEntries();
    const cursor = readsAllAgain ? "" : this.#cursor;
    const body = new URLSearchParams({ cursor, wait: wait.toFixed(3) });
    const init = { method: "POST", headers: this.#headers, body };
    const answer = await fetchJson(this.#url, Math.min(wait + this.#bound / 2, atMost), init, controller);
    const { anew, more, keys_changed: keysChanged, ended, roles } = answer;
    // First: what is known of revocations is never newer than the keys.
    if (anew || keysChanged || cursor === "") await this.#keys.fetch();
    if (this.#applied !== applied) return true; // What it says has to be asked for again.
    this.#apply(answer, cursor === "", sent);
    return anew || more || keysChanged || ended.length > 0 || roles.length > 0;
  }

  #apply(answer, isFirst, sent) {
    const { cursor, anew, more, age_ms: age } = answer;
    if (typeof cursor !== "string" || !Number.isFinite(age)) throw new Error("/jwt/feed: an answer that can't be read");
    const loading = anew || isFirst ? new Knowledge() : this.#loading;
    const known = loading ?? this.known;
    known.add(answer);
    const since = { monotonic: sent.monotonic - age, wall: sent.wall - age };
    // A part has an age of its own: what is known is not complete until the last one.
    const isExact = more || this.#isInParts || known.since === undefined;
    if (isExact || known.since.monotonic < since.monotonic) known.since = since;
    this.#cursor = cursor;
    this.#applied += 1;
    this.#isInParts = more;
    if (more) {
      this.#loading = loading;
      return;
    }
    this.known = known;
    this.#loading = undefined;
    if (secondsSince(this.#prunedAt) > 60) {
      this.#prunedAt = moment();
      known.forgetExpired();
    }
  }
}

function checkUrl(url) {
  if (!/^https?:\/\/[^/]/i.test(url) || !URL.canParse(url)) throw new TypeError(`no URL with http:// or https://: ${url}`);
}

/** Verifies access tokens. One is made for all requests. The options are described in `index.d.ts`. */
export class Verifier {
  #options;
  #url;
  #keys;
  #feed;
  #warnOfOthers;
  #verified = new Map();

  constructor({ issuer, audience, url = issuer, clientId, clientSecret, stalenessBound = 1, whenStale = "refuse", log = console }) {
    if (typeof issuer !== "string" || typeof audience !== "string") throw new TypeError("issuer and audience are needed");
    if (!["refuse", "serve"].includes(whenStale)) throw new RangeError('whenStale is "refuse" or "serve"');
    if (!(stalenessBound > 0)) throw new RangeError("stalenessBound is a number of seconds above 0");
    if ((clientId === undefined) !== (clientSecret === undefined)) throw new TypeError("clientId needs clientSecret");
    checkUrl(url);
    this.#options = { issuer, audience, clientId, clientSecret, stalenessBound, whenStale, log };
    this.#url = url.replace(/\/+$/, "");
    this.#warnOfOthers = rareWarning(log);
    const follows = clientId !== undefined;
    this.#keys = new KeySet(this.#url, follows ? Math.max(stalenessBound, 1) : KEYS_TIMEOUT, follows, log);
    if (!follows) log.warn("revocations are not followed: no client is set");
  }

  /** The feed, which the first caller starts: they wait until it is loaded, or that failed. */
  async #followed() {
    const { clientId, clientSecret, stalenessBound, log } = this.#options;
    if (clientId === undefined) return undefined;
    this.#feed ??= new Feed(this.#url, clientId, clientSecret, stalenessBound, this.#keys, log);
    await this.#feed.tried;
    return this.#feed;
  }

  /** Whether what is known of revocations is within the bound; without a feed, whether the keys are known. */
  async fresh() {
    const feed = await this.#followed();
    return feed === undefined ? this.#keys.areKnown() : feed.isFresh(feed.known);
  }

  /** Ends the following. */
  close() {
    this.#feed?.close();
  }

  /** The claims of a request with these `Authorization` headers. Throws a VerificationError. */
  async authenticate(authorization) {
    return this.verify(bearer(authorization));
  }

  /** The claims of a valid token. Throws a VerificationError. */
  async verify(token) {
    const feed = await this.#followed();
    const claims = await this.#checkSignature(token, feed);
    checkTimes(claims);
    if (feed !== undefined) await this.#checkRevocation(claims, feed);
    return claims;
  }

  async #checkSignature(token, feed) {
    const before = this.#verified.get(token);
    const parts = token.length > LONGEST_TOKEN ? [] : token.split(".");
    if (parts.length !== 3) throw invalid();
    const { kid, alg } = before?.key ?? headerOf(parts[0]);
    if (feed !== undefined && feed.known === undefined) throw unavailable(); // The keys come with it.
    const key = await this.#keys.find(kid).catch(orUnavailable);
    if (before?.key === key) return before.claims;
    decoded(parts[2]);
    if (alg !== key.alg) throw invalid();
    await compactVerify(token, key.publicKey, { algorithms: [alg] }).catch(() => {
      throw invalid();
    });
    const claims = claimsOf(parts[1], this.#options.issuer, this.#options.audience, this.#warnOfOthers);
    if (this.#verified.size >= CACHE_SIZE) this.#verified.delete(this.#verified.keys().next().value); // the oldest
    this.#verified.set(token, { key, claims });
    return claims;
  }

  async #checkRevocation(claims, feed) {
    let known = feed.known;
    if (this.#options.whenStale === "refuse" && !feed.isFresh(known)) throw unavailable();
    if (!known.hasEnded(claims) && known.differs(claims) && !known.isLongAfter(claims)) {
      // Roles change back and forth: the token may be newer than what is known.
      await feed.askAgain().catch(orUnavailable);
      known = feed.known;
    }
    if (known.hasEnded(claims)) throw new VerificationError("token_revoked", "The token's login has ended. Sign in again.");
    if (known.differs(claims)) {
      const detail = "The name or the roles of the token's owner have changed. A refresh brings a token with the new ones.";
      throw new VerificationError("token_revoked", detail);
    }
  }
}

function orUnavailable(error) {
  throw error instanceof VerificationError ? error : unavailable();
}

/** A middleware for Express, Connect and the like: sets `request.auth` to the claims, or answers with a problem document. */
export function middleware(verifier) {
  return async (request, response, next) => {
    try {
      request.auth = await verifier.authenticate(request.headersDistinct.authorization ?? []);
    } catch (error) {
      if (!(error instanceof VerificationError)) return next(error);
      response.writeHead(error.status, { ...error.headers, "Content-Type": "application/problem+json" });
      response.end(JSON.stringify(error.problem));
      return;
    }
    next();
  };
}
