// Verifies access tokens with jose, as a service behind dualauth does: one a line in, a verdict a line out.

import { webcrypto } from "node:crypto";
import { createInterface } from "node:readline";

// Node 18 has it, but not where jose looks.
globalThis.crypto ??= webcrypto;
const { createRemoteJWKSet, errors, jwtVerify } = await import("jose");

const [jwks, issuer, audience, algorithm, cooldown] = process.argv.slice(-5);
const keys = createRemoteJWKSet(new URL(jwks), { cooldownDuration: Number(cooldown) * 1_000 });
const expected = {
  algorithms: [algorithm],
  issuer,
  audience,
  typ: "at+jwt",
  requiredClaims: ["exp", "iat", "iss", "aud", "sub"],
};

async function verify(token) {
  try {
    const { payload } = await jwtVerify(token, keys, expected);
    return `good ${payload.sub}`;
  } catch (error) {
    if (!(error instanceof errors.JOSEError)) throw error;
    return `bad ${error.code}`;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(await verify(line.trim()));
}
