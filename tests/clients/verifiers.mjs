// Has one access token after another verified by each library for Node that docs/services.md lists, set up as it says there:
// a token a line in, and out a JSON object of what each library says of it, the user's id or why not.

import { webcrypto } from "node:crypto";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// Node 18 has it, but not where some look.
globalThis.crypto ??= webcrypto;

const [issuer, audience, algorithm] = process.argv.slice(-3);
const jwksUri = `${issuer}/.well-known/jwks.json`;

// From the folder that it runs in, where they are installed.
const require = createRequire(`${process.cwd()}/`);
const load = (name) => import(require.resolve(name));

/** As a framework calls a middleware: what it makes of a request with this token. */
const throughMiddleware = (middleware, user) => (token) =>
  new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, host: "api.example.com" };
    const get = (name) => headers[name.toLowerCase()];
    const request = { method: "GET", protocol: "https", url: "/", headers, query: {}, get, is: () => false };
    middleware(request, {}, (error) => (error ? reject(error) : resolve(user(request))));
  });

const isAccessToken = (header) => {
  if (header.typ !== "at+jwt") throw new Error("another type");
};

const libraries = {
  async "jose"() {
    const { createRemoteJWKSet, jwtVerify } = await import("jose");
    const keys = createRemoteJWKSet(new URL(jwksUri));
    const expected = { algorithms: [algorithm], issuer, audience, typ: "at+jwt" };
    return async (token) => (await jwtVerify(token, keys, expected)).payload.sub;
  },

  async "jsonwebtoken, jwks-rsa"() {
    const { default: jwt } = await load("jsonwebtoken");
    const { default: jwks } = await load("jwks-rsa");
    const client = jwks({ jwksUri });
    const key = (header, done) =>
      client.getSigningKey(header.kid).then((found) => done(null, found.getPublicKey()), done);
    const options = { algorithms: [algorithm], issuer, audience, complete: true };
    const verify = (token) =>
      new Promise((resolve, reject) =>
        jwt.verify(token, key, options, (error, verified) => (error ? reject(error) : resolve(verified))),
      );
    return async (token) => {
      const { header, payload } = await verify(token);
      isAccessToken(header);
      return payload.sub;
    };
  },

  async "express-jwt, jwks-rsa"() {
    const { expressjwt } = await load("express-jwt");
    const { expressJwtSecret } = (await load("jwks-rsa")).default;
    const middleware = expressjwt({ secret: expressJwtSecret({ jwksUri }), algorithms: [algorithm], issuer, audience });
    return throughMiddleware(middleware, (request) => request.auth.sub);
  },

  async "express-oauth2-jwt-bearer"() {
    const { auth } = await load("express-oauth2-jwt-bearer");
    return throughMiddleware(auth({ issuerBaseURL: issuer, audience, strict: true }), (request) => request.auth.payload.sub);
  },

  async "passport-jwt, jwks-rsa"() {
    const { ExtractJwt, Strategy } = (await load("passport-jwt")).default;
    const { passportJwtSecret } = (await load("jwks-rsa")).default;
    const options = {
      jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
      secretOrKeyProvider: passportJwtSecret({ jwksUri }),
      algorithms: [algorithm],
      issuer,
      audience,
    };
    return (token) =>
      new Promise((resolve, reject) => {
        const strategy = new Strategy(options, (claims, done) => done(null, { id: claims.sub }));
        const refuse = (why) => reject(why instanceof Error ? why : new Error(String(why)));
        Object.assign(strategy, { success: (user) => resolve(user.id), fail: refuse, error: refuse });
        strategy.authenticate({ headers: { authorization: `Bearer ${token}` } });
      });
  },

  async "fast-jwt"() {
    const { createVerifier } = (await load("fast-jwt")).default;
    const { createPublicKey } = await import("node:crypto");
    const key = async ({ header }) => {
      isAccessToken(header);
      const { keys } = await (await fetch(jwksUri)).json();
      const jwk = keys.find(({ kid }) => kid === header.kid);
      if (jwk === undefined) throw new Error("an unknown key");
      return createPublicKey({ key: jwk, format: "jwk" }).export({ type: "spki", format: "pem" });
    };
    const verify = createVerifier({ key, algorithms: [algorithm], allowedIss: issuer, allowedAud: audience });
    return async (token) => (await verify(token)).sub;
  },

  async "aws-jwt-verify"() {
    const { JwtVerifier } = await load("aws-jwt-verify");
    const customJwtCheck = ({ header }) => isAccessToken(header);
    const verifier = JwtVerifier.create({ issuer, audience, jwksUri, customJwtCheck });
    // By itself it fetches over https only.
    verifier.cacheJwks(await (await fetch(jwksUri)).json());
    return async (token) => (await verifier.verify(token)).sub;
  },

  async "oauth4webapi"() {
    const { allowInsecureRequests, discoveryRequest, processDiscoveryResponse, validateJwtAccessToken } =
      await load("oauth4webapi");
    const insecure = { [allowInsecureRequests]: true };
    const url = new URL(issuer);
    const server = await processDiscoveryResponse(url, await discoveryRequest(url, insecure));
    return async (token) => {
      const request = new Request("https://api.example.com/", { headers: { authorization: `Bearer ${token}` } });
      return (await validateJwtAccessToken(server, request, audience, insecure)).sub;
    };
  },
};

const verifiers = {};
for (const [name, setUp] of Object.entries(libraries)) {
  verifiers[name] = await setUp();
}

for await (const token of createInterface({ input: process.stdin })) {
  const verdicts = {};
  for (const [name, verify] of Object.entries(verifiers)) {
    verdicts[name] = await verify(token.trim()).catch((error) => `refused: ${error.code ?? error.message}`);
  }
  console.log(JSON.stringify(verdicts));
}
