// A stub of dualauth: it publishes keys, signs whatever a test likes, and answers `POST /jwt/feed`.

import { createServer } from "node:http";
import { generateKeyPairSync, randomBytes, randomUUID, sign } from "node:crypto";

const PATIENCE_MS = 20_000;

export const encode = (content) => Buffer.from(content).toString("base64url");

export async function eventually(what, isSo) {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`it never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const PAIRS = {
  EdDSA: () => generateKeyPairSync("ed25519"),
  ES256: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  RS256: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
};

/** A key with its private half. */
export class Signer {
  constructor(algorithm) {
    this.algorithm = algorithm;
    this.kid = encode(randomBytes(32));
    const { publicKey, privateKey } = PAIRS[algorithm]();
    this.privateKey = privateKey;
    this.jwk = { ...publicKey.export({ format: "jwk" }), kid: this.kid, use: "sig", alg: algorithm };
  }

  sign(message) {
    const key = { key: this.privateKey, dsaEncoding: "ieee-p1363" };
    return `${message}.${encode(sign(this.algorithm === "EdDSA" ? null : "sha256", Buffer.from(message), key))}`;
  }

  token(header, claims) {
    const parts = [header, claims].map((part) => encode(typeof part === "string" ? part : JSON.stringify(part)));
    return this.sign(parts.join("."));
  }

  header(others = {}) {
    return { alg: this.algorithm, typ: "at+jwt", kid: this.kid, ...others };
  }
}

/** Dualauth, as far as a verifier sees it. Events are told once, in order; a cursor is how many were. */
export class Stub {
  clientId = "0199f0a4-0b0e-7d53-9a55-3a1a4f0e7c11";
  clientSecret = "duc_secret";
  signer = new Signer("EdDSA");
  keys = [this.signer.jwk];
  history = 1;
  events = [];
  pageSize = 1000;
  ageMs = 0;
  isAway = false;
  keysAreAway = false;
  /** Has those wait who are held, whatever comes. */
  isQuiet = false;
  requests = [];
  keyFetches = 0;
  lastQuery = "";
  /** Then it is away. */
  answersLeft = Infinity;
  /** Seconds; a request that may be held for longer gets no answer. */
  longestHold = Infinity;
  #held = new Set();
  #server = createServer((request, response) => this.#handle(request, response));

  async start() {
    await new Promise((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${this.#server.address().port}`;
    return this;
  }

  stop() {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** Wakes those who are held. */
  wake() {
    for (const wake of this.#held) wake();
  }

  tell(event) {
    this.events.push(event);
    if (!this.isQuiet) this.wake();
  }

  end(sid, seconds = 900) {
    this.tell({ ended: { sid, until: until(seconds) } });
  }

  own(sub, username, roles) {
    this.tell({ roles: { sub, username, roles, until: until(900) } });
  }

  publish(...signers) {
    this.keys = signers.map(({ jwk }) => jwk);
    this.tell({ keys: true });
  }

  leave() {
    this.isAway = true;
    this.wake();
  }

  claims(others = {}) {
    const now = Math.floor(Date.now() / 1000);
    const own = { iss: this.url, aud: this.url, iat: now, exp: now + 900, username: "ada", roles: ["user"] };
    const ids = { sub: randomUUID(), jti: randomUUID(), sid: randomUUID() };
    return { ...own, ...ids, client_id: "dualauth", auth_time: now, acr: "aal1", amr: ["pwd"], ...others };
  }

  token(others) {
    return this.signer.token(this.signer.header(), this.claims(others));
  }

  async #handle(request, response) {
    let body = "";
    for await (const piece of request) body += piece;
    const answer = (status, content) => {
      response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(content));
    };
    const { pathname, search } = new URL(request.url, this.url);
    if (request.method === "GET" && pathname === "/.well-known/jwks.json") {
      this.keyFetches += 1;
      // Who follows the feed needs what is committed; who does not is served from a cache, too.
      const isCurrent = /^\?current=[0-9]+$/.test(search) && search !== this.lastQuery;
      const isRight = this.requests.length > 0 ? isCurrent : search === "";
      this.lastQuery = search;
      const isAway = this.keysAreAway || this.isAway || !isRight;
      return answer(isAway ? 503 : 200, { keys: this.keys });
    }
    const pair = new URLSearchParams([[this.clientId, this.clientSecret]]).toString().replace("=", ":");
    const basic = `Basic ${Buffer.from(pair).toString("base64")}`;
    if (request.url !== "/jwt/feed" || request.headers.authorization !== basic) return answer(401, {});
    const form = new URLSearchParams(body);
    const [cursor, wait] = [form.get("cursor"), Number(form.get("wait"))];
    if (wait > this.longestHold) {
      this.requests.push({ cursor, wait });
      return answer(504, {});
    }
    const page = await this.#page(cursor, wait);
    answer(page === undefined ? 503 : 200, page ?? {});
  }

  async #page(cursor, wait) {
    this.requests.push({ cursor, wait });
    let [history, told] = cursor.split("-").map(Number);
    if (!this.isAway && history === this.history && told === this.events.length && wait > 0) {
      await new Promise((resolve) => {
        const done = () => {
          clearTimeout(timer);
          this.#held.delete(done);
          resolve();
        };
        const timer = setTimeout(done, wait * 1000).unref();
        this.#held.add(done);
      });
    }
    if (this.answersLeft === 0) this.isAway = true;
    this.answersLeft -= 1;
    if (this.isAway) return undefined;
    const anew = history !== this.history;
    if (anew) told = 0;
    const page = this.events.slice(told, told + this.pageSize);
    const more = told + page.length < this.events.length;
    return {
      cursor: `${this.history}-${told + page.length}`,
      anew,
      more,
      age_ms: more ? 600_000 : this.ageMs,
      ended: page.flatMap(({ ended }) => ended ?? []),
      roles: page.flatMap(({ roles }) => roles ?? []),
      keys_changed: page.some(({ keys }) => keys),
      of_a_later_version: {},
    };
  }
}

const until = (seconds) => new Date(Date.now() + seconds * 1000).toISOString().replace("Z", "000Z");
