// Which tokens are accepted, and how each other one is refused, without a feed.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { afterEach, beforeEach, test } from "node:test";

import { Verifier } from "../index.js";
import { encode, eventually, Signer, Stub } from "./stub.js";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const NEITHER = [null, true, {}, [1], [[1]]]; // no string, number, list of strings or id

let stub, verifier, signer, logged;

const log = { warn: (text) => logged.push(text), info: (text) => logged.push(text) };

beforeEach(async () => {
  logged = [];
  stub = await new Stub().start();
  verifier = new Verifier({ issuer: stub.url, audience: stub.url, log });
  signer = stub.signer;
});
afterEach(() => stub.stop());

const refused = (token, code = "invalid_token") =>
  assert.rejects(verifier.verify(token), { name: "VerificationError", code }, token.slice(0, 2000));
const headerRefused = (header) => refused(signer.token(header, stub.claims()));
const claimsRefused = (claims) => refused(signer.token(signer.header(), claims));
const without = (object, name) => Object.fromEntries(Object.entries(object).filter(([other]) => other !== name));

test("a token of each algorithm is accepted", async () => {
  for (const algorithm of ["EdDSA", "ES256", "RS256"]) {
    const signer = new Signer(algorithm);
    for (const jwk of [signer.jwk, without(signer.jwk, "alg")]) {
      stub.keys = [{ kty: "oct", k: "c2VjcmV0", kid: "a secret" }, { kty: "later" }, null, jwk];
      const verifier = new Verifier({ issuer: stub.url, audience: stub.url, log });
      const claims = stub.claims();
      const { sub, username, roles } = await verifier.verify(signer.token(signer.header(), claims));
      assert.deepEqual({ sub, username, roles }, { sub: claims.sub, username: "ada", roles: ["user"] });
    }
  }
});

test("a key is for its own algorithm alone", async () => {
  for (const others of [{ alg: "HS256" }, { crv: "Ed448" }, { x: "AA" }]) {
    stub.keys = [{ ...signer.jwk, ...others }];
    const verifier = new Verifier({ issuer: stub.url, audience: stub.url, log });
    await assert.rejects(verifier.verify(stub.token()), { code: "invalid_token" });
  }
});

test("a signature is checked once, and a changed token is refused", async () => {
  const token = stub.token();
  assert.equal(await verifier.verify(token), await verifier.verify(token));
  const [header, claims, signature] = token.split(".");
  const other = encode(JSON.stringify(stub.claims({ roles: ["admin"] })));
  for (const changed of [
    `${header}.${other}.${signature}`, `${header}.${claims}.`, `${header}.${claims}`, `${token}.${signature}`, `${token}A`,
    `${header}.${claims}.${encode(Buffer.alloc(64))}`, `${claims}.${header}.${signature}`, `.${claims}.${signature}`,
    "..", "", ` ${token}`,
  ]) {
    await refused(changed);
  }
});

test("another key's token is refused", async () => {
  const strange = new Signer("EdDSA");
  await refused(strange.token(signer.header(), stub.claims()));
  await refused(strange.token(strange.header(), stub.claims()));
});

test("no other algorithm is accepted", async () => {
  for (const alg of ["none", "None", "HS256", "ES256", "RS256", "PS256", "Ed25519", "eddsa", "", null, ["EdDSA"]]) {
    await headerRefused(signer.header({ alg }));
  }
  const message = (alg) => [signer.header({ alg }), stub.claims()].map((it) => encode(JSON.stringify(it))).join(".");
  await refused(`${message("none")}.`);
  const hmac = createHmac("sha256", Buffer.from(signer.jwk.x, "base64url"));
  const forged = message("HS256");
  await refused(`${forged}.${hmac.update(forged).digest("base64url")}`);
});

test("a header has exactly its three members", async () => {
  for (const name of ["alg", "typ", "kid"]) {
    await headerRefused(without(signer.header(), name));
    await headerRefused(signer.header({ [name]: 1 }));
  }
  for (const name of ["jku", "x5u", "jwk", "x5c", "crit", "b64", "zip", "cty", "unknown", "__proto__"]) {
    await headerRefused(`${JSON.stringify(signer.header()).slice(0, -1)},"${name}":[]}`);
  }
  for (const typ of ["JWT", "AT+JWT", "application/at+jwt", "at+jwt ", "rt+jwt"]) {
    await headerRefused(signer.header({ typ }));
  }
  for (const text of ["[]", "{}", "null", '"x"', "{", "", `\ufeff${JSON.stringify(signer.header())}`]) {
    await headerRefused(text);
  }
});

test("a header that is written in another way is as good", async () => {
  const header = `{ "kid" :"${signer.kid}",\n\t"typ": "at\\u002bjwt", "\\u0061lg": "EdDSA"} `;
  await verifier.verify(signer.token(header, stub.claims()));
});

test("what is said twice is refused", async () => {
  const header = JSON.stringify(signer.header());
  for (const name of ["alg", "\\u0061lg", "typ", "t\\u0079p", "kid"]) {
    await headerRefused(`{"${name}":"none",${header.slice(1)}`);
    await headerRefused(`${header.slice(0, -1)},"${name}":"EdDSA"}`);
  }
  const claims = JSON.stringify(stub.claims({ later: 1, 'a"}': { b: ["]", "\\"] }, __proto__: null }));
  await verifier.verify(signer.token(signer.header(), claims));
  for (const name of ["roles", "r\\u006fles", "sub", "iss", "exp", "later", "l\\u0061ter", 'a\\"}', "\\u0061\\u0022}"]) {
    await claimsRefused(`{"${name}":["admin"],${claims.slice(1)}`);
    await claimsRefused(`${claims.slice(0, -1)} , "${name}" : null }`);
  }
  await claimsRefused(`${claims.slice(0, -1)},"__proto__":1,"__proto__":1}`);
});

test("what a later version adds is ignored", async () => {
  for (const later of ["admin", null, [], {}, { sub: "ada" }, [{ sub: "ada" }, "}"], 0.5, "\ud83d\ude00"]) {
    await verifier.verify(stub.token({ later, Roles: later }));
  }
  const twice = `${JSON.stringify(stub.claims()).slice(0, -1)},"act":{"sub":"a","sub":"b"}}`;
  await verifier.verify(signer.token(signer.header(), twice));
});

test("a part has one spelling", async () => {
  let token;
  do token = stub.token({ jti: crypto.randomUUID(), username: "ada".padEnd(3 + Math.random() * 4, "a") });
  while (token.split(".")[1].length % 4 !== 2);
  const [header, claims, signature] = token.split(".");
  for (const part of [claims, signature]) {
    const last = ALPHABET.indexOf(part.at(-1));
    const spellings = Array.from({ length: 15 }, (_, bits) => part.slice(0, -1) + ALPHABET[last ^ (bits + 1)]);
    for (const spelling of [...spellings, `${part}=`, `${part}==`, `${part}A`, `${part}\n`, `${part.slice(0, 9)} ${part.slice(9)}`]) {
      await refused(part === claims ? `${header}.${spelling}.${signature}` : `${header}.${claims}.${spelling}`);
      if (part === claims) await refused(signer.sign(`${header}.${spelling}`));
    }
  }
});

test("a claim that is missing or of another type is refused", async () => {
  for (const name of ["iss", "aud", "sub", "iat", "exp", "jti", "sid", "username", "roles"]) {
    await claimsRefused(without(stub.claims(), name));
    for (const value of NEITHER) await claimsRefused(stub.claims({ [name]: value }));
  }
  for (const name of ["nbf", "client_id", "auth_time", "acr", "amr"]) {
    for (const value of [...NEITHER, 0.5]) await claimsRefused(stub.claims({ [name]: value }));
  }
  for (const [name, value] of [["roles", "a"], ["roles", [1]], ["amr", "pwd"], ["acr", 2], ["username", 1]]) {
    await claimsRefused(stub.claims({ [name]: value }));
  }
  for (const name of ["username", "later"]) {
    await claimsRefused(`{"${name}":"\\ud800",${JSON.stringify(without(stub.claims(), name)).slice(1)}`);
  }
  await claimsRefused(`${JSON.stringify(stub.claims())}{}`);
  await claimsRefused("[".repeat(40_000));
});

test("optional claims may be absent", async () => {
  const claims = ["client_id", "auth_time", "acr", "amr"].reduce(without, stub.claims());
  assert.equal((await verifier.verify(signer.token(signer.header(), claims))).acr, undefined);
});

test("an id is a UUID in one of its spellings", async () => {
  const plain = "0199f0a0-3b0e-7d53-9a55-3a1a4f0e7c11";
  const bare = plain.replaceAll("-", "");
  for (const spelling of [plain, plain.toUpperCase(), bare, `{${plain}}`, `URN:uuid:${plain}`]) {
    assert.equal((await verifier.verify(stub.token({ sub: spelling, sid: spelling }))).sid, plain);
  }
  for (const wrong of ["", "ada", plain.slice(1), `${plain}\n`, `${plain.slice(1)}-`, `{${plain}`, `{${bare}}`, `urn:uuid:${bare}`, plain.replace("-", "")]) {
    for (const name of ["sub", "sid", "jti"]) await claimsRefused(stub.claims({ [name]: wrong }));
  }
});

test("a token of another issuer or for another audience is refused", async () => {
  const own = stub.url;
  for (const other of ["https://evil.example.org", "", `${own}/`, own.toUpperCase(), [own], [], ["a", "b"], { 0: own }]) {
    await claimsRefused(stub.claims({ iss: other }));
    await claimsRefused(stub.claims({ aud: other }));
  }
  await verifier.verify(stub.token({ aud: ["https://other.example.org", own] }));
  await claimsRefused(stub.claims({ aud: [own, 1] }));
});

test("a token for others is logged once in a while", async () => {
  for (let count = 0; count < 3; count += 1) await claimsRefused(stub.claims({ aud: "https://other.example.org" }));
  await refused(new Signer("EdDSA").token(signer.header(), stub.claims({ iss: "forged" })));
  const expected = `a token for "https://other.example.org", expected "${stub.url}"`;
  assert.deepEqual(logged, ["revocations are not followed: no client is set", expected]);
});

test("it is logged that there are no keys", async () => {
  stub.keys = [];
  assert.equal(await verifier.fresh(), false);
  await refused(stub.token());
  assert.deepEqual(logged, ["revocations are not followed: no client is set", "dualauth publishes no keys: JWT_ALGORITHM=HS256"]);
});

test("times are whole seconds", async () => {
  const claims = JSON.stringify(stub.claims({ exp: 7 }));
  for (const number of ["4e9", "4000000000.0", "9223372036854775808", "1e999", "-0", "NaN", "Infinity", '"4000000000"']) {
    await claimsRefused(claims.replace('"exp":7', `"exp":${number}`));
  }
  await claimsRefused(claims.replace('"exp":7', '"exp":4000000000,"later":[1e999]'));
  await verifier.verify(signer.token(signer.header(), claims.replace('"exp":7', '"exp": 9223372036854775807 ')));
});

test("a token lives from its time to its end", async () => {
  const now = Math.floor(Date.now() / 1000);
  for (const exp of [now, now - 1, 0]) await refused(stub.token({ exp }), "token_expired");
  for (const name of ["iat", "nbf"]) {
    await verifier.verify(stub.token({ [name]: now + 4 }));
    await claimsRefused(stub.claims({ [name]: now + 60 }));
  }
  await claimsRefused(stub.claims({ iat: now + 60, exp: now - 1 }));
});

test("a remembered token expires", async () => {
  const token = stub.token({ exp: Math.floor(Date.now() / 1000) + 2 });
  await verifier.verify(token);
  await eventually("it expires", () => verifier.verify(token).then(() => false, ({ code }) => code === "token_expired"));
  assert.equal(stub.keyFetches, 1);
});

test("what is no token is refused without a request", async () => {
  for (const other of ["dur_abc", "dus_abc", "a.b.c", signer.kid, `ey${"A".repeat(30_000)}`, "\udc80", "é.é.é", `${"A".repeat(99_999)}..`]) {
    await refused(other);
  }
  assert.equal(stub.keyFetches, 0);
});

test("an unknown key is looked for once in a while, for all callers together", async () => {
  await verifier.verify(stub.token());
  const unknown = () => headerRefused(signer.header({ kid: new Signer("EdDSA").kid }));
  await Promise.all(Array.from({ length: 20 }, unknown));
  for (let count = 0; count < 20; count += 1) await unknown();
  assert.ok(stub.keyFetches < 10, `${stub.keyFetches}`);
});

test("without keys no token can be judged", async () => {
  stub.keysAreAway = true;
  for (let count = 0; count < 2; count += 1) {
    await refused(stub.token(), "unavailable");
    assert.equal(await verifier.fresh(), false);
  }
  stub.keysAreAway = false;
  await eventually("the keys are known", () => verifier.fresh());
  await verifier.verify(stub.token());
});

test("old keys are fetched again, and are good while that fails", async (context) => {
  let later = 0;
  const now = Date.now.bind(Date);
  context.mock.method(Date, "now", () => now() + later);
  await verifier.verify(stub.token());
  stub.keysAreAway = true;
  later = 400_000;
  await verifier.verify(stub.token());
  await eventually("a look at the set", () => stub.keyFetches > 1);
  await verifier.verify(stub.token());
  stub.keysAreAway = false;
  later = 800_000;
  const old = stub.token();
  stub.keys = [new Signer("EdDSA").jwk];
  await eventually("the new set", () => verifier.verify(old).then(() => false, ({ code }) => code === "invalid_token"));
});

test("an Authorization header is read as dualauth reads it", async () => {
  const token = stub.token();
  for (const value of [`Bearer ${token}`, `bearer  ${token} `, `BEARER ${token}`]) await verifier.authenticate([value]);
  for (const [values, status, code] of [
    [[], 401, "not_authenticated"],
    [["Basic YTpi"], 401, "not_authenticated"],
    [[`Bearer${token}`], 401, "not_authenticated"],
    [["Bearer"], 400, "malformed_request"],
    [["Bearer "], 400, "malformed_request"],
    [[`Bearer ${token},Bearer ${token}`], 400, "malformed_request"],
    [[`Bearer\t${token}`], 400, "malformed_request"],
    [["Bearer é"], 400, "malformed_request"],
    [[`Bearer ${token}`, `Bearer ${token}`], 400, "malformed_request"],
    [["Bearer x"], 401, "invalid_token"],
  ]) {
    await assert.rejects(verifier.authenticate(values), (error) => {
      assert.deepEqual([error.status, error.code, error.problem.code], [status, code, code], `${values}`);
      return "WWW-Authenticate" in error.headers === (status === 401);
    });
  }
});
