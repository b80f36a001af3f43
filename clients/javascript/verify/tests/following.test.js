// How the feed is followed: what is revoked is refused, and nothing is accepted by knowledge that is too old.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { afterEach, beforeEach, test } from "node:test";

import { middleware, Verifier } from "../index.js";
import { eventually, Signer, Stub } from "./stub.js";

let stub, verifiers, logged;

beforeEach(async () => {
  stub = await new Stub().start();
  verifiers = [];
  logged = [];
});
afterEach(() => {
  for (const verifier of verifiers) verifier.close();
  stub.stop();
});

/** A bound that a busy machine keeps, where a test is not about what happens beyond it. */
function following(settings = {}) {
  const { url, clientId, clientSecret } = stub;
  const log = { warn: (text) => logged.push(text), info: (text) => logged.push(text) };
  const verifier = new Verifier({ issuer: url, audience: url, clientId, clientSecret, stalenessBound: 20, log, ...settings });
  verifiers.push(verifier);
  return verifier;
}

const code = (verifier, token) => verifier.verify(token).then(() => "accepted", (error) => error.code ?? error);
const becomes = (verifier, token, expected) =>
  eventually(expected, async () => (await code(verifier, token)) === expected);

test("the first request waits until the feed is loaded", async () => {
  const sid = randomUUID();
  for (let count = 0; count < 10; count += 1) stub.end(randomUUID());
  stub.end(sid);
  stub.pageSize = 3;
  const verifier = following();
  assert.equal(await code(verifier, stub.token({ sid })), "token_revoked");
  assert.equal(await code(verifier, stub.token()), "accepted");
  assert.ok(await verifier.fresh());
  assert.deepEqual(stub.requests[0], { cursor: "", wait: 0 }, "it waits for no news before it knows the present");
});

test("a revoked login is refused though its token was accepted before", async () => {
  const [verifier, sid] = [following(), randomUUID()];
  const token = stub.token({ sid: sid.toUpperCase() });
  assert.equal(await code(verifier, token), "accepted");
  stub.end(sid);
  await becomes(verifier, token, "token_revoked");
});

test("other roles or another name are refused until they change back", async () => {
  const [verifier, sub] = [following(), randomUUID()];
  const token = stub.token({ sub });
  assert.equal(await code(verifier, token), "accepted");
  for (const [username, roles] of [["ada", ["user", "admin"]], ["ada", []], ["lovelace", ["user"]]]) {
    stub.own(sub, username, roles);
    await becomes(verifier, token, "token_revoked");
    assert.equal(await code(verifier, stub.token({ sub, username, roles })), "accepted");
    stub.own(sub, "ada", ["user"]);
    await becomes(verifier, token, "accepted");
  }
});

test("a token that is newer than what is known is accepted", async () => {
  const [verifier, sub] = [following(), randomUUID()];
  stub.own(sub, "ada", ["user"]);
  assert.equal(await code(verifier, stub.token({ sub })), "accepted");
  stub.isQuiet = true;
  stub.own(sub, "ada", ["admin"]);
  const [asked, token] = [stub.requests.length, stub.token({ sub, roles: ["admin"] })];
  const codes = await Promise.all(Array.from({ length: 20 }, () => code(verifier, token)));
  assert.deepEqual(new Set(codes), new Set(["accepted"]));
  assert.ok(stub.requests.length - asked < 20, "callers share a request");
});

test("a token is asked about until the answer is newer than the token", async () => {
  const [verifier, sub] = [following(), randomUUID()];
  stub.own(sub, "ada", ["admin"]);
  const token = stub.token({ sub });
  await becomes(verifier, token, "token_revoked");
  stub.ageMs = 5_000;
  const asked = () => stub.requests.filter(({ wait }) => wait === 0).length;
  const before = asked();
  let isJudged = false;
  const judged = code(verifier, token).finally(() => (isJudged = true));
  await eventually("it asks again", async () => asked() >= before + 2);
  assert.equal(isJudged, false, "what is that old says nothing of the token");
  stub.own(sub, "ada", ["user"]);
  stub.ageMs = 0;
  assert.equal(await judged, "accepted");
});

test("a changed owner is not judged while nobody can be asked", async () => {
  const [verifier, sub] = [following(), randomUUID()];
  stub.own(sub, "ada", ["admin"]);
  const token = stub.token({ sub });
  await becomes(verifier, token, "token_revoked");
  stub.leave();
  await becomes(verifier, token, "unavailable");
});

test("what is too old is refused or served as set", async () => {
  const refusing = following({ stalenessBound: 0.5 });
  const serving = following({ stalenessBound: 0.5, whenStale: "serve" });
  const [good, sid] = [stub.token(), randomUUID()];
  const dead = stub.token({ sid });
  stub.end(sid);
  for (const verifier of [refusing, serving]) {
    await becomes(verifier, dead, "token_revoked");
    await becomes(verifier, good, "accepted");
  }
  stub.leave();
  await becomes(refusing, good, "unavailable");
  await eventually("it knows that it is stale", async () => !(await serving.fresh()));
  assert.equal(await code(serving, good), "accepted");
  assert.equal(await code(serving, dead), "token_revoked");
  stub.isAway = false;
  await becomes(refusing, good, "accepted");
  await eventually("it is fresh again", () => serving.fresh());
});

test("the age of an answer counts", async () => {
  stub.ageMs = 30_000;
  assert.equal(await code(following(), stub.token()), "unavailable");
  assert.equal(await code(following({ whenStale: "serve" }), stub.token()), "accepted");
});

test("before the first answer nothing is accepted", async () => {
  stub.isAway = true;
  for (const whenStale of ["refuse", "serve"]) {
    const verifier = following({ whenStale, stalenessBound: 0.5 });
    assert.equal(await code(verifier, stub.token()), "unavailable");
    assert.equal(await verifier.fresh(), false);
    assert.equal(await code(verifier, "dur_x"), "invalid_token");
  }
  assert.equal(stub.keyFetches, 0, "no sender of tokens makes it ask");
  stub.isAway = false;
  await becomes(verifiers[1], stub.token(), "accepted");
});

test("a wrong secret accepts nothing", async () => {
  assert.equal(await code(following({ clientSecret: "wrong", stalenessBound: 0.5 }), stub.token()), "unavailable");
});

test("what was known counts until the pages that replace it are complete", async () => {
  const [verifier, before, after] = [following(), randomUUID(), randomUUID()];
  stub.end(before);
  const [token, later] = [stub.token({ sid: before }), stub.token({ sid: after })];
  await becomes(verifier, token, "token_revoked");
  Object.assign(stub, { history: 2, events: [], pageSize: 1 });
  for (let count = 0; count < 50; count += 1) stub.events.push({ ended: { sid: randomUUID(), until: "2999-01-01T00:00:00.000000Z" } });
  const asked = stub.requests.length;
  stub.end(after);
  while (stub.requests.length < asked + 30) {
    assert.equal(await code(verifier, token), "token_revoked");
    await new Promise((resolve) => setImmediate(resolve));
  }
  await becomes(verifier, later, "token_revoked");
  await becomes(verifier, token, "accepted");
});

test("a retired key is refused and a new one accepted", async () => {
  const [verifier, old, next] = [following(), stub.signer, new Signer("ES256")];
  const token = stub.token();
  assert.equal(await code(verifier, token), "accepted");
  stub.publish(next);
  assert.equal(await code(verifier, next.token(next.header(), stub.claims())), "accepted");
  await becomes(verifier, token, "invalid_token");
  stub.publish(next, old);
  await becomes(verifier, token, "accepted");
});

test("no news count before the keys that they tell of are there", async () => {
  const [verifier, token] = [following({ stalenessBound: 1 }), stub.token()];
  await becomes(verifier, token, "accepted");
  stub.keysAreAway = true;
  stub.publish(new Signer("EdDSA"));
  await becomes(verifier, token, "unavailable");
  stub.keysAreAway = false;
  await becomes(verifier, token, "invalid_token");
});

test("only a change is logged", async () => {
  const verifier = following({ stalenessBound: 1 });
  await eventually("it is loaded", () => verifier.fresh());
  for (const expected of [2, 4]) {
    stub.leave();
    await eventually("it is stale", () => logged.length === expected - 1);
    const asked = stub.requests.length;
    await eventually("more requests fail", () => stub.requests.length > asked + 2);
    stub.isAway = false;
    await eventually("it is logged", () => logged.length >= expected);
  }
  const lost = "dualauth's revocations can't be followed: /jwt/feed: status 503";
  const there = "dualauth's revocations are followed again";
  assert.deepEqual(logged, [lost, there, lost, there]);
});

test("answers that are too old are logged", async () => {
  stub.ageMs = 30_000;
  assert.equal(await following({ stalenessBound: 2 }).fresh(), false);
  await eventually("several requests", () => stub.requests.length > 3);
  assert.equal(logged.length, 1);
  assert.match(logged[0], /must not be larger/);
});

test("a wrong secret is named in the log", async () => {
  assert.equal(await following({ clientSecret: "wrong", stalenessBound: 0.5 }).fresh(), false);
  assert.match(logged[0], /dualauth refuses the client's id or secret/);
});

test("an id and a secret of any characters are sent", async () => {
  Object.assign(stub, { clientId: "a:b c", clientSecret: "100 %+ö€" });
  assert.equal(await code(following(), stub.token()), "accepted");
});

test("no entry is missed when the clock jumps ahead and back", async (context) => {
  let ahead = 0;
  const now = Date.now.bind(Date);
  context.mock.method(Date, "now", () => now() + ahead);
  const [verifier, sid] = [following(), randomUUID()];
  const token = stub.token({ sid });
  stub.end(sid);
  assert.equal(await code(verifier, token), "token_revoked");
  ahead = 2_000_000;
  const later = stub.token({ sid });
  await becomes(verifier, later, "unavailable");
  stub.end(randomUUID()); // Whoever is held asks again.
  await becomes(verifier, later, "accepted"); // The login's end is forgotten.
  ahead = 0;
  assert.equal(await code(verifier, token), "unavailable");
  stub.end(randomUUID());
  await eventually("all is read again", async () => {
    const judged = await code(verifier, token);
    assert.notEqual(judged, "accepted");
    return judged === "token_revoked";
  });
  assert.ok(await verifier.fresh());
  assert.equal(stub.requests.filter(({ cursor }) => cursor === "").length, 2);
});

test("what is known in part is not fresh", async () => {
  const [verifier, sids, good] = [following({ stalenessBound: 100 }), [randomUUID(), randomUUID()], stub.token()];
  assert.equal(await code(verifier, good), "accepted");
  Object.assign(stub, { pageSize: 1, answersLeft: 1, isQuiet: true });
  for (const sid of sids) stub.end(sid);
  stub.wake();
  await becomes(verifier, good, "unavailable");
  assert.equal(await code(verifier, stub.token({ sid: sids[0] })), "unavailable");
  Object.assign(stub, { answersLeft: Infinity, isAway: false });
  await becomes(verifier, good, "accepted");
  for (const sid of sids) assert.equal(await code(verifier, stub.token({ sid })), "token_revoked");
});

test("a key that is withdrawn by time alone is refused", async (context) => {
  let later = 0;
  const now = Date.now.bind(Date);
  context.mock.method(Date, "now", () => now() + later);
  const [verifier, old] = [following(), stub.token()];
  assert.equal(await code(verifier, old), "accepted");
  stub.keys = [new Signer("EdDSA").jwk];
  later = 400_000;
  await becomes(verifier, old, "invalid_token");
});

test("while it is stale it waits for no news", async () => {
  const verifier = following({ stalenessBound: 1 });
  stub.ageMs = 30_000;
  assert.equal(await verifier.fresh(), false);
  await eventually("several requests", () => stub.requests.length > 3);
  assert.deepEqual(new Set(stub.requests.map(({ wait }) => wait)), new Set([0]));
  stub.ageMs = 0;
  await eventually("a request for news", () => stub.requests.at(-1).wait > 0);
  assert.ok(await verifier.fresh());
});

test("what a proxy cuts off is asked for with shorter waits", async () => {
  stub.longestHold = 0.5;
  const verifier = following({ stalenessBound: 4 });
  assert.ok(await verifier.fresh());
  await eventually("a shorter wait", () => stub.requests.at(-1).wait === 0.5);
  assert.ok(await verifier.fresh());
  assert.deepEqual(stub.requests.slice(0, 4).map(({ wait }) => wait), [0, 1, 0, 0.5]);
});

test("a request is given up before what is known is too old", async (context) => {
  const timers = context.mock.method(globalThis, "setTimeout").mock;
  const limits = () => timers.calls.map(({ arguments: [, milliseconds] }) => milliseconds);
  assert.ok(await following().fresh());
  await eventually("a request for news", () => limits().includes(15_000));
  assert.ok(limits().includes(10_000));
});

test("a token from long before is refused without a request", async () => {
  const [verifier, sub] = [following(), randomUUID()];
  stub.own(sub, "ada", ["admin"]);
  assert.ok(await verifier.fresh());
  await eventually("a request for news", () => stub.requests.at(-1).wait > 0);
  const [asked, now] = [stub.requests.length, Math.floor(Date.now() / 1000)];
  assert.equal(await code(verifier, stub.token({ sub, iat: now - 300 })), "token_revoked");
  assert.equal(stub.requests.length, asked);
  assert.equal(await code(verifier, stub.token({ sub, iat: now - 10 })), "token_revoked");
  assert.ok(stub.requests.length > asked);
});

test("nobody waits long for a node that is behind", async () => {
  const [verifier, sub] = [following({ stalenessBound: 100 }), randomUUID()];
  stub.own(sub, "ada", ["admin"]);
  stub.ageMs = 5_000;
  let judged;
  code(verifier, stub.token({ sub })).then((result) => (judged = result));
  await eventually("an answer", () => judged !== undefined);
  assert.equal(judged, "unavailable");
});

test("a name that is not told is not compared", async () => {
  const [verifier, sub] = [following(), randomUUID()];
  stub.own(sub, undefined, ["user"]);
  assert.equal(await code(verifier, stub.token({ sub })), "accepted");
  assert.equal(await code(verifier, stub.token({ sub, roles: ["admin"] })), "token_revoked");
});

test("a middleware hands other errors on", async () => {
  const handed = await new Promise((resolve) => middleware(following())({}, {}, resolve));
  assert.ok(handed instanceof TypeError);
});

test("a middleware sets the claims, or answers", async () => {
  const signedIn = middleware(following());
  const server = createServer((request, response) => {
    signedIn(request, response, () => response.end(request.auth.username));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const ask = (headers) => fetch(`http://127.0.0.1:${server.address().port}/`, { headers });
  assert.equal(await (await ask({ Authorization: `Bearer ${stub.token()}` })).text(), "ada");
  const refused = await ask({});
  assert.equal(refused.status, 401);
  assert.equal(refused.headers.get("www-authenticate"), "Bearer");
  assert.equal(refused.headers.get("content-type"), "application/problem+json");
  assert.equal((await refused.json()).code, "not_authenticated");
  server.close();
  server.closeAllConnections();
});

test("settings that mean nothing are refused", () => {
  for (const settings of [
    ...["auth.example.com", "localhost:8080", "//localhost", "https://", "ftp://localhost", "http://a:b"].map((url) => ({ url })),
    { whenStale: "perhaps" }, { stalenessBound: 0 }, { stalenessBound: NaN }, { clientSecret: undefined }, { issuer: undefined },
  ]) {
    assert.throws(() => following(settings));
  }
});
