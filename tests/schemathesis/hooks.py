"""The clients that schemathesis tests the API as: each of its requests shows credentials that are good.

IDENTITY says which client: "anonymous", "cookie" or "bearer". What was answered is counted in the file REACHED.
"""

import atexit
import base64
import collections
import datetime
import hashlib
import hmac
import itertools
import json
import os
import secrets
import time
import urllib.parse

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

URL = os.environ["URL"]
IDENTITY = os.environ["IDENTITY"]
SERVICE = f"{os.environ['CLIENT_ID']}:{os.environ['CLIENT_SECRET']}".encode()
PASSWORD = "a quiet lantern over the weir"
UNCOMMON = "mn3!Kq~wZ7"
# Of the service that is tested.
RETURN_TO = os.environ["RETURN_TO"]

# What a schema can't say: not one of the common ones, and of so many bytes.
schemathesis.openapi.format(
    "password", st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=15, max_size=100)
)

# Where other services ask, who prove themselves and nobody's login.
SERVICES = ("/jwt/introspect", "/jwt/revoke", "/jwt/feed", "/tokens", "/tokens/redeem", "/tokens/{id}")

# After these the credentials that were shown are good no more, or are others by now.
SPENDING = {
    "session_login", "session_refresh", "session_logout", "session_logout_all", "session_step_up",
    "jwt_login", "jwt_refresh", "jwt_logout", "jwt_logout_all", "jwt_step_up",
    "change_password", "end_login", "oauth_revoke",
    "enrol_factor", "remove_factor", "remove_password", "renew_recovery_codes",
}  # fmt: skip


# Credentials are optional in the document, since they may be in the body; without any there is nothing to do.
OPTIONAL = {"jwt_refresh", "jwt_logout", "jwt_logout_all"}

# What is only for who has a second factor, and has proved it; a session shows that at once.
TWO_STEP = {"remove_factor", "renew_recovery_codes"}

# Those that are called without credentials in turns: that they refuse is not left to what is made up.
WITHOUT_IN_TURNS = OPTIONAL | {"change_password"}


def ask(method, path, status, **arguments):
    """Asks again for as long as the service is busy; it says so when it is."""
    for _ in range(30):
        response = requests.request(method, URL + path, timeout=60, **arguments)
        if response.status_code != 503:
            break
        time.sleep(1)
    assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text}"
    return response


def totp(secret, now):
    """The code at this time, in seconds (RFC 6238)."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.digest(key, int(now // 30).to_bytes(8, "big"), hashlib.sha1)
    start = digest[-1] & 15
    return f"{(int.from_bytes(digest[start : start + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"


class Person:
    """A user who is signed in in both modes."""

    def __init__(self):
        self.name = f"person-{secrets.token_hex(8)}"
        account = {"username": self.name, "email": f"{self.name}@example.org", "password": PASSWORD}
        ask("POST", "/session/register", 201, json=account)
        by = "bearer" if IDENTITY == "anonymous" else IDENTITY
        self.session, self.session_cookies = self.sign_in("session", by)
        self.jwt, self.jwt_cookies = self.sign_in("jwt", by)
        self.tokens, _ = self.sign_in("jwt", "bearer")
        headers, cookies = self.headers("session"), self.session_cookies
        ask("PUT", "/session/data/theme", 204, json="dark", headers=headers, cookies=cookies)

    def sign_in(self, mode, transport):
        credentials = {"username": self.name, "password": PASSWORD, "transport": transport}
        response = ask("POST", f"/{mode}/login", 200, json=credentials)
        return response.json(), response.cookies.get_dict()

    def own(self, method, path, status, **body):
        """Asks by the person's session."""
        headers, cookies = self.headers("session"), self.session_cookies
        return ask(method, path, status, headers=headers, cookies=cookies, **body).json()

    def first_code(self):
        """What enrols an authenticator: both halves of a challenge."""
        challenge = self.own("POST", "/challenges", 201, json={"for": "factor", "method": "totp"})
        # By the service's clock: a challenge is good for ten minutes.
        now = datetime.datetime.fromisoformat(challenge["expires_at"]).timestamp() - 600
        return {"challenge": challenge["challenge"], "code": totp(challenge["totp"]["secret"], now)}

    def enrol(self):
        """The id of an authenticator of the person's. Every other login is over then."""
        return self.own("POST", "/account/factors", 201, json=self.first_code())["id"]

    def headers(self, mode):
        login = self.session if mode == "session" else self.jwt
        if IDENTITY == "cookie":
            return {"X-CSRF-Token": login["csrf_token"]}
        return {"Authorization": "Bearer " + login.get("session_token", login.get("access_token"))}

    def show(self, case):
        """Puts credentials on a request: those of the mode whose route it is; on shared routes of either, in turns."""
        if case.path in SERVICES:
            case.headers["Authorization"] = "Basic " + base64.b64encode(SERVICE).decode()
            return
        of_mode = case.path.split("/")[1]
        mode = of_mode if of_mode in ("session", "jwt") else next(turns)
        if operation_id(case) in TWO_STEP:
            mode = "session"
        case.headers.update(self.headers(mode))
        if operation_id(case) == "session_open":
            # An access token in the header, and nothing else.
            case.headers["Authorization"] = "Bearer " + self.tokens["access_token"]
        if IDENTITY == "cookie":
            case.cookies.clear()
            case.cookies.update(self.session_cookies if mode == "session" else self.jwt_cookies)


turns = itertools.cycle(["session", "jwt"])
# By operation: every third time it is somebody else who calls.
others = collections.defaultdict(lambda: itertools.cycle([False, False, True]))
people = []


def somebody():
    """Who is signed in at the moment."""
    if not people:
        people.append(Person())
    return people[-1]


def operation_id(case):
    return case.operation.definition.raw["operationId"]


@schemathesis.auth(refresh_interval=None)
class Credentials:
    def get(self, case, context):
        if IDENTITY == "anonymous" and case.path not in SERVICES:
            return None
        return somebody()

    def set(self, case, person, context):
        person.show(case)


def leave_out_client(body):
    """It is in the header already, and may be in one place only."""
    for member in ("client_id", "client_secret"):
        body.pop(member, None)


def make_right(case):
    """What is of the right form becomes right: of many names, passwords and tokens only one is."""
    person, body, name = somebody(), case.body, operation_id(case)
    if name in ("session_login", "jwt_login"):
        body.update(username=person.name, password=PASSWORD)
    elif name in ("session_register", "jwt_register"):
        make_new(body)
    elif name in ("session_step_up", "jwt_step_up"):
        body.clear()
        body.update(password=PASSWORD)
    elif name == "enrol_factor":
        body.update(person.first_code())
    elif name in TWO_STEP:
        factor = person.enrol()
        if name == "remove_factor":
            case.path_parameters["id"] = factor
    elif name == "change_password":
        body.update(current_password=PASSWORD, new_password=uncommon(body["new_password"]))
    elif name in ("oauth_introspect", "oauth_revoke"):
        body.update(token=person.tokens["access_token"])
        leave_out_client(body)
    elif name == "oauth_feed":
        leave_out_client(body)
    elif name == "create_token":
        # One that is made up is nobody's.
        body.pop("user_id", None)
    elif name == "redeem_token":
        body.update(token=new_token(body["purpose"]))
    elif name == "verify" and case.query:
        case.query.update(role=["user"])
    elif isinstance(body, dict) and "refresh_token" in body:
        body.update(refresh_token=person.tokens["refresh_token"])
    elif name == "inspect_handoff":
        body.update(code=person.own("POST", "/account/handoff", 201)["code"])
    elif name == "session_open":
        case.query.update(to="/account")
    elif name == "end_login":
        case.path_parameters["id"] = person.tokens["login"]["id"]
    elif name == "session_data_get":
        case.path_parameters["key"] = "theme"


def new_token(purpose):
    """One that the service has made for this purpose."""
    wanted = {"purpose": purpose, "expires_in": 600}
    return ask("POST", "/tokens", 201, json=wanted, auth=tuple(SERVICE.decode().split(":"))).json()["token"]


def make_new(body):
    """The document's example is somebody by now."""
    without_challenge(body)
    if (body.get("username") or "ada") == "ada":
        body["username"] = "ada" + secrets.token_hex(8)
    if (body.get("email") or "ada@example.com").startswith("ada@"):
        body["email"] = secrets.token_hex(8) + "ada@example.com"
    body["password"] = uncommon(body.get("password") or PASSWORD)


def without_challenge(body):
    """A body is either of a password, or of a challenge, whose code is in a mail or an authenticator, or of a hand-off."""
    for member in ("challenge", "code", "passkey", "id_token", "handoff"):
        body.pop(member, None)


# By what a challenge is for: the ways that it comes, and whether the request names an address. A step-up is for who has a passkey.
ROWS = {
    "login": {"email": True, "passkey": False, "stub": False},
    "reset_password": {"email": True},
    "email": {"email": True},
    "factor": {"totp": False, "passkey": False, "security_key": False},
}


def of_one_row(body):
    """What a challenge may be asked for, and how."""
    purpose = body["for"] if body["for"] in ROWS else "factor"
    ways = ROWS[purpose]
    method = body["method"] if body["method"] in ways else next(iter(ways))
    email = {"email": body.get("email") or "ada@example.com"} if ways[method] else {}
    body.clear()
    return_to = {"return_to": RETURN_TO} if method == "stub" else {}
    body.update({"for": purpose, "method": method, **email, **return_to})


def denial():
    """What a provider sends along with a browser whose user has denied: nobody has to be asked then."""
    asked = {"for": "login", "method": "stub", "return_to": RETURN_TO}
    url = ask("POST", "/challenges", 201, json=asked).json()["authorization_url"]
    state = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["state"][0]
    return {"state": state, "error": "access_denied"}


def uncommon(password):
    """Of the same length; the shortest and the longest that are made up are all of one letter."""
    return password if len(set(password)) > 8 else (UNCOMMON * len(password))[: len(password)]


@schemathesis.hook
def before_call(context, case, kwargs):
    is_right = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    if operation_id(case) == "session_open":
        # What it leads to is another operation's answer.
        kwargs["allow_redirects"] = False
    if case._has_explicit_auth:
        # It was made ready some time ago: perhaps for somebody who has signed out since.
        somebody().show(case)
    elif is_right and "Authorization" in case.headers:
        # A token that is made up is one at least, and no sequence of strange characters.
        made_up = case.headers["Authorization"].encode("utf-8", "replace").hex()
        case.headers["Authorization"] = f"Bearer {made_up}"
    if not is_right:
        return
    name = operation_id(case)
    if name == "create_challenge":
        of_one_row(case.body)
    if name == "provider_callback":
        case.path_parameters["name"] = "stub"
        case.query = denial()
    if name == "provider_form_callback":
        case.path_parameters["name"] = "stub"
        case.body = denial()
    if name == "reset_password":
        case.body["new_password"] = uncommon(case.body["new_password"])
    if name in ("reset_password", "enrol_factor"):
        # Either a code or a passkey, which has a form that the document does not say.
        case.body.pop("passkey", None)
        case.body["code"] = case.body.get("code") or "123456"
    if name in ("session_login", "jwt_login"):
        without_challenge(case.body)
        for member, value in (("username", "nobody"), ("password", PASSWORD)):
            case.body[member] = case.body.get(member) or value
    is_other = name in WITHOUT_IN_TURNS | {"session_login", "jwt_login"} and next(others[name])
    if is_other and name in WITHOUT_IN_TURNS:
        take_credentials_away(case)
    elif (
        IDENTITY != "anonymous"
        or case.path in SERVICES
        or name == "inspect_handoff"
        or name.endswith("_login")
        and not is_other
    ):
        make_right(case)
    elif name.endswith("_register"):
        make_new(case.body)


def take_credentials_away(case):
    case.headers.pop("Authorization", None)
    case.headers.pop("X-CSRF-Token", None)
    case.cookies.clear()
    if isinstance(case.body, dict):
        case.body.pop("refresh_token", None)


reached = collections.defaultdict(collections.Counter)


@schemathesis.hook
def after_call(context, case, response):
    name = operation_id(case)
    if case.method.upper() == case.operation.method.upper():
        reached[name][response.status_code] += 1
    if name in TWO_STEP or name in SPENDING and response.status_code < 300:
        people.clear()


@atexit.register
def tell():
    with open(os.environ["REACHED"], "w", encoding="utf-8") as file:
        json.dump(reached, file)
