"""A client that openapi-python-client has written, in both modes by both transports: it signs in, reads, refreshes and
signs out.

client.py URL
"""

import sys
import time

from dualauth_client import AuthenticatedClient, Client
from dualauth_client.api.jwt import jwt_login, jwt_logout, jwt_profile, jwt_refresh
from dualauth_client.api.session import (
    session_login,
    session_logout,
    session_profile,
    session_refresh,
    session_register,
)
from dualauth_client.models import (
    Code,
    JwtByBearer,
    JwtByCookie,
    LoginRequest,
    Problem,
    ProfileBody,
    RefreshRequest,
    RegisterRequest,
    SessionByBearer,
    SessionByCookie,
    Transport,
    UserBody,
)
from dualauth_client.types import UNSET

URL = sys.argv[1]
NAME = f"python-{time.time_ns()}"
PASSWORD = "a quiet lantern over the weir"

ROUTES = {
    "session": (session_login, session_profile, session_refresh, session_logout),
    "jwt": (jwt_login, jwt_profile, jwt_refresh, jwt_logout),
}
KINDS = {
    ("session", Transport.COOKIE): SessionByCookie,
    ("session", Transport.BEARER): SessionByBearer,
    ("jwt", Transport.COOKIE): JwtByCookie,
    ("jwt", Transport.BEARER): JwtByBearer,
}


def shown(client, login):
    """The client that shows this login, and the CSRF header that goes with it."""
    match login:
        case SessionByBearer(session_token=token) | JwtByBearer(access_token=token):
            return AuthenticatedClient(base_url=URL, token=token, prefix=login.token_type), UNSET
        case SessionByCookie(csrf_token=csrf) | JwtByCookie(csrf_token=csrf):
            # Its cookies ride along.
            return client, csrf


def visit(mode, transport):
    login, profile, refresh, logout = ROUTES[mode]
    client = Client(base_url=URL)

    def read(answer):
        shower, _ = shown(client, answer)
        who = profile.sync(client=shower)
        assert isinstance(who, ProfileBody) and who.username == NAME, who
        assert who.auth.login_id == answer.login.id, who

    body = LoginRequest(username=NAME, password=PASSWORD, transport=transport)
    signed_in = login.sync(client=client, body=body)
    assert type(signed_in) is KINDS[mode, transport], signed_in
    assert signed_in.kind == f"{mode}_{transport}", signed_in
    read(signed_in)

    shower, csrf = shown(client, signed_in)
    if isinstance(signed_in, JwtByBearer):
        refreshed = refresh.sync(client=client, body=RefreshRequest(refresh_token=signed_in.refresh_token))
    else:
        refreshed = refresh.sync(client=shower, x_csrf_token=csrf)
    assert type(refreshed) is KINDS[mode, transport], refreshed
    assert refreshed.login.id == signed_in.login.id, refreshed
    read(refreshed)

    shower, csrf = shown(client, refreshed)
    assert logout.sync_detailed(client=shower, x_csrf_token=csrf).status_code == 204
    gone = profile.sync(client=shower)
    assert isinstance(gone, Problem), gone
    assert gone.code in (Code.SESSION_EXPIRED, Code.TOKEN_REVOKED, Code.NOT_AUTHENTICATED), gone


account = RegisterRequest(username=NAME, email=f"{NAME}@example.org", password=PASSWORD)
registered = session_register.sync(client=Client(base_url=URL), body=account)
assert isinstance(registered, UserBody), registered
for mode, transport in KINDS:
    visit(mode, transport)
    print(mode, transport)
