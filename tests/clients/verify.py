"""Verifies access tokens with PyJWT, as a service behind dualauth does: one a line in, a verdict a line out."""

import sys

import jwt

jwks, issuer, audience, algorithm, cooldown = sys.argv[1:]
client = jwt.PyJWKClient(jwks, cooldown_duration=float(cooldown))


def verify(token: str) -> str:
    key = client.get_signing_key_from_jwt(token)
    verified = jwt.decode_complete(
        token,
        key,
        algorithms=[algorithm],
        issuer=issuer,
        audience=audience,
        options={"require": ["exp", "iat", "iss", "aud", "sub"]},
    )
    # Which kind of token it is, PyJWT leaves to its caller.
    if verified["header"].get("typ") != "at+jwt":
        raise jwt.InvalidTokenError("another type")
    return verified["payload"]["sub"]


for line in sys.stdin:
    try:
        verdict = "good " + verify(line.strip())
    except jwt.PyJWTError as error:
        verdict = f"bad {type(error).__name__}"
    print(verdict, flush=True)
