// An Express service that takes dualauth's access tokens: `node express.js PORT`.

import express from "express";
import { middleware, Verifier } from "dualauth-verify";

const env = process.env;
const verifier = new Verifier({
  issuer: env.DUALAUTH_ISSUER,
  audience: env.DUALAUTH_AUDIENCE,
  url: env.DUALAUTH_URL,
  clientId: env.DUALAUTH_CLIENT_ID,
  clientSecret: env.DUALAUTH_CLIENT_SECRET,
  stalenessBound: Number(env.DUALAUTH_STALENESS_BOUND ?? 1),
  whenStale: env.DUALAUTH_WHEN_STALE,
});
const signedIn = middleware(verifier);
const app = express();

app.get("/me", signedIn, (request, response) => {
  const { sub, username, roles, sid } = request.auth;
  response.json({ sub, username, roles, sid });
});

app.get("/health", async (request, response) => {
  response.json({ fresh: await verifier.fresh() });
});

const server = app.listen(Number(process.argv[2]), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});

process.once("SIGTERM", () => {
  verifier.close();
  server.close();
});
