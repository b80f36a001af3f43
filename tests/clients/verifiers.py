"""Has one access token after another verified by each library for Python that docs/services.md lists, set up as it says
there: a token a line in, and out a JSON object of what each library says of it, the user's id or why not.

The arguments are the issuer, the audience, the algorithm, and the id and the secret of a registered client.
"""

import json
import sys
import urllib.request

ISSUER, AUDIENCE, ALGORITHM, CLIENT_ID, CLIENT_SECRET = sys.argv[1:]
JWKS_URI = f"{ISSUER}/.well-known/jwks.json"


def jwks():
    with urllib.request.urlopen(JWKS_URI) as answer:
        return json.load(answer)


def check_type(header):
    if header.get("typ") != "at+jwt":
        raise ValueError("another type")


def pyjwt():
    import jwt

    keys = jwt.PyJWKClient(JWKS_URI)

    def verify(token):
        key = keys.get_signing_key_from_jwt(token)
        options = {"require": ["exp", "iat", "sub"]}
        verified = jwt.decode_complete(
            token, key, algorithms=[ALGORITHM], issuer=ISSUER, audience=AUDIENCE, options=options
        )
        check_type(verified["header"])
        return verified["payload"]["sub"]

    return verify


def joserfc():
    from joserfc import jwt
    from joserfc.jwk import KeySet

    keys = KeySet.import_key_set(jwks())
    claims = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER}, aud={"essential": True, "value": AUDIENCE}, exp={"essential": True}
    )

    def verify(token):
        decoded = jwt.decode(token, keys, algorithms=[ALGORITHM])
        check_type(decoded.header)
        claims.validate(decoded.claims)
        return decoded.claims["sub"]

    return verify


def authlib():
    from authlib.oauth2.rfc9068 import JWTBearerTokenValidator

    class Validator(JWTBearerTokenValidator):
        def get_jwks(self):
            return keys

    keys = jwks()
    validator = Validator(issuer=ISSUER, resource_server=AUDIENCE)

    def verify(token):
        claims = validator.authenticate_token(token)
        validator.validate_token(claims, scopes=None, request=None, roles=["user"])
        return claims["sub"]

    return verify


def python_jose():
    from jose import jwt

    keys = jwks()

    def verify(token):
        check_type(jwt.get_unverified_header(token))
        return jwt.decode(token, keys, algorithms=[ALGORITHM], issuer=ISSUER, audience=AUDIENCE)["sub"]

    return verify


def set_up_django():
    import django
    from django.conf import settings
    from django.core.management import call_command

    settings.configure(
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        SECRET_KEY="of this service",
        USE_TZ=True,
        LOGGING_CONFIG=None,
        SIMPLE_JWT={
            "ALGORITHM": ALGORITHM,
            "JWK_URL": JWKS_URI,
            "ISSUER": ISSUER,
            "AUDIENCE": AUDIENCE,
            "USER_ID_CLAIM": "sub",
            "TOKEN_TYPE_CLAIM": None,
        },
        OAUTH2_PROVIDER={
            "RESOURCE_SERVER_INTROSPECTION_URL": f"{ISSUER}/jwt/introspect",
            "RESOURCE_SERVER_INTROSPECTION_CREDENTIALS": (CLIENT_ID, CLIENT_SECRET),
        },
    )
    django.setup()
    call_command("migrate", verbosity=0)


def simplejwt():
    from rest_framework_simplejwt.tokens import AccessToken

    return lambda token: AccessToken(token.encode())["sub"]


def oauth_toolkit():
    from oauth2_provider.oauth2_validators import OAuth2Validator
    from oauthlib.common import Request

    def verify(token):
        request = Request(f"{AUDIENCE}/orders")
        if not OAuth2Validator().validate_bearer_token(token, [], request):
            raise ValueError("refused")
        return request.user.username

    return verify


set_up_django()
VERIFIERS = {
    "PyJWT": pyjwt(),
    "joserfc": joserfc(),
    "Authlib": authlib(),
    "python-jose": python_jose(),
    "djangorestframework-simplejwt": simplejwt(),
    "django-oauth-toolkit": oauth_toolkit(),
}


def verdict(verify, token):
    try:
        return verify(token)
    except Exception as error:  # Each library has its own.
        return f"refused: {type(error).__name__}: {error}"


for line in sys.stdin:
    verdicts = {name: verdict(verify, line.strip()) for name, verify in VERIFIERS.items()}
    print(json.dumps(verdicts), flush=True)
