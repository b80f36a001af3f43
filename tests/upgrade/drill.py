"""A rolling upgrade from OLD to NEW (two programs): logins and tokens of each are taken by the other, and an account with two-step sign-in by neither
without its second factor. Says what it saw, and ends with 1 at the first thing that is not as promised."""

import base64
import hashlib
import hmac
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

OLD, NEW = sys.argv[1:]
PASSWORD = "a quiet lantern by the river"
# One name for all, whatever their ports: the issuer of the tokens.
SETTINGS = {"PUBLIC_URL": "http://127.0.0.1:9", "APP_SECRET": base64.b64encode(os.urandom(48)).decode(), "LISTEN": "127.0.0.1:0",
            "STALENESS_BOUND": "5s", "LOG": "info", "LOG_FORMAT": "pretty"}
PAIRS = [(mode, transport) for mode in ("session", "jwt") for transport in ("cookie", "bearer")]


def check(is_so, what):
    if not is_so:
        sys.exit(f"not as promised: {what}")
    print(f"  {what}")


def eventually(what, question):
    end = time.monotonic() + 30
    while not question():
        if time.monotonic() > end:
            sys.exit(f"never: {what}")
        time.sleep(0.05)
    print(f"  {what}")


class Answer:
    def __init__(self, status, headers, text):
        self.status, self.headers, self.text = status, headers, text

    def __getitem__(self, member):
        return json.loads(self.text)[member]


class Node:
    """A running program; with a private Postgres unless it is given a database."""

    def __init__(self, program, folder, database=None):
        os.makedirs(folder, exist_ok=True)
        self.log = os.path.join(folder, "out")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "DATABASE_"))}
        environment |= SETTINGS | ({"DATABASE_URL": database} if database else {})
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen([program, "serve"], cwd=folder, env=environment, stdout=out, stderr=out)

    def output(self):
        with open(self.log, encoding="utf-8") as log:
            return log.read()

    def wait(self):
        """Waits until it listens; `False` if it ends instead."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if self.process.poll() is not None:
                return False
            if listens := re.search(r"listens on (127\.0\.0\.1:\d+)\n", self.output()):
                self.address = f"http://{listens.group(1)}"
                if self.send("GET", "/health/ready").status == 200:
                    return True
            time.sleep(0.1)
        sys.exit(f"it does not start: {self.output()}")

    def send(self, method, path, body=None, headers=None):
        request = urllib.request.Request(self.address + path, method=method, headers=headers or {})
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return Answer(answer.status, answer.headers, answer.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read().decode())

    def profile_of(self, client):
        return json.loads(client.profile(self).text).get("auth", {})

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


class Client:
    """A login in one mode by one transport."""

    def __init__(self, mode, transport):
        self.mode, self.transport, self.cookies, self.body = mode, transport, {}, {}

    def headers(self, token="access"):
        if self.transport == "cookie":
            cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            return {"Cookie": cookies, "X-CSRF-Token": self.body.get("csrf_token") or ""}
        name = "session_token" if self.mode == "session" else "access_token"
        return {"Authorization": f"Bearer {self.body[name]}"}

    def take(self, answer):
        if answer.status == 200:
            self.body = self.body | {name: value for name, value in json.loads(answer.text).items() if value is not None}
            for cookie in answer.headers.get_all("Set-Cookie") or []:
                name, value = cookie.split(";")[0].split("=", 1)
                self.cookies[name] = value
        return answer

    def login(self, node, body):
        return self.take(node.send("POST", f"/{self.mode}/login", body | {"transport": self.transport}))

    def refresh(self, node):
        if self.mode == "jwt" and self.transport == "bearer":
            return self.take(node.send("POST", "/jwt/refresh", {"refresh_token": self.body["refresh_token"]}))
        return self.take(node.send("POST", f"/{self.mode}/refresh", headers=self.headers()))

    def profile(self, node):
        return node.send("GET", f"/{self.mode}/profile", headers=self.headers())

    def logout(self, node):
        return node.send("POST", f"/{self.mode}/logout", headers=self.headers())


def totp(secret, at):
    mac = hmac.digest(base64.b32decode(secret), struct.pack(">Q", int(at) // 30), hashlib.sha1)
    number = struct.unpack_from(">I", mac, mac[-1] & 15)[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


def credentials(name):
    return {"username": name, "password": PASSWORD}


def register(node, name):
    return node.send("POST", "/session/register", credentials(name) | {"email": f"{name}@example.org"})


def crosses(made_by, taken_by, what):
    """Logins of one node are served, refreshed and ended by another."""
    for mode, transport in PAIRS:
        client = Client(mode, transport)
        name = f"{what} {mode} by {transport}"
        check(client.login(made_by, credentials("ada")).status == 200, f"{name}: signed in")
        check(client.profile(taken_by).status == 200, f"{name}: taken by the other node")
        check(client.refresh(taken_by).status == 200, f"{name}: refreshed by the other node")
        check(client.profile(made_by).status == 200, f"{name}: the refreshed one is taken by the first")
        check(client.refresh(made_by).status == 200 and client.profile(taken_by).status == 200, f"{name}: and back")
        check(client.logout(taken_by).status == 204, f"{name}: ended by the other node")
        eventually(f"{name}: dead at the first", lambda: client.profile(made_by).status == 401)


def two_step(new, old):
    """An account that has two-step sign-in since the new version runs."""
    check(register(new, "bea").status == 201, "an account for two-step sign-in")
    owner = Client("session", "bearer")
    owner.login(new, credentials("bea"))
    challenge = new.send("POST", "/challenges", {"for": "factor", "method": "totp"}, owner.headers())
    proof = {"challenge": challenge["challenge"], "code": totp(challenge["totp"]["secret"], time.time())}
    enrolled = new.send("POST", "/account/factors", proof, owner.headers())
    check(enrolled.status == 201, "the new node enrols an authenticator")
    codes = enrolled["recovery_codes"]
    for (mode, transport), code in zip(PAIRS, codes):
        name = f"two steps, {mode} by {transport}"
        pending = new.send("POST", f"/{mode}/login", credentials("bea"))
        check(pending.status == 401 and pending["code"] == "second_factor_required", f"{name}: the new node asks for the second factor")
        client = Client(mode, transport)
        check(client.login(new, {"challenge": pending["challenge"], "code": code}).status == 200, f"{name}: signed in by both")
        check(client.profile(new)["auth"]["acr"] == "aal2", f"{name}: aal2")
        check(client.profile(old).status == 200, f"{name}: taken by the old node, with its new claims")
        check(client.refresh(old).status == 200, f"{name}: refreshed by the old node")
        # A token of the first version does not say how its login was proved, and is believed no more than that.
        says = client.profile(new)["auth"]["acr"]
        check(says == "aal2" or mode == "jwt" and says == "aal1" and "acr" not in old.profile_of(client), f"{name}: then {says}")
        check(client.refresh(new).status == 200 and client.profile(new)["auth"]["acr"] == "aal2", f"{name}: aal2 after a refresh by the new node")
        by_password = old.send("POST", f"/{mode}/login", credentials("bea"))
        check(by_password.status not in (200, 201) and not by_password.headers.get_all("Set-Cookie"),
              f"{name}: the old node signs nobody in by the password alone ({by_password.status})")


def drill(work):
    first = Node(OLD, os.path.join(work, "old"))
    try:
        first.wait()
        database = re.search(r"Postgres\s+(postgres://\S+)", first.output()).group(1)
        check(register(first, "ada").status == 201, "the old node has an account")
        before = {pair: Client(*pair) for pair in PAIRS}
        for client in before.values():
            check(client.login(first, credentials("ada")).status == 200, f"signed in before the upgrade: {client.mode} by {client.transport}")
        environment = os.environ | SETTINGS | {"DATABASE_URL": database}
        check(subprocess.run([NEW, "migrate"], env=environment, cwd=work).returncode == 0, "the new version migrates while the old node serves")
        new = Node(NEW, os.path.join(work, "new"), database)
        try:
            check(new.wait(), "the new node serves")
            for client in before.values():
                name = f"from before the upgrade, {client.mode} by {client.transport}"
                check(client.profile(first).status == 200, f"{name}: taken by the old node")
                taken = client.profile(new)
                check(taken.status == 200 and taken["auth"]["acr"] == "aal1", f"{name}: taken by the new node, as aal1")
                check(client.refresh(new).status == 200 and client.profile(first).status == 200, f"{name}: refreshed by the new node, taken by the old")
            crosses(first, new, "old to new,")
            crosses(new, first, "new to old,")
            again = Node(OLD, os.path.join(work, "again"), database)
            check(again.wait(), "an old node starts on the new schema")
            again.stop()
            two_step(new, first)
            check(not Node(OLD, os.path.join(work, "late"), database).wait(), "and no old node starts once an account has two-step sign-in")
        finally:
            new.stop()
    finally:
        first.stop()


print(f"From {os.path.basename(OLD)} to this version:")
with tempfile.TemporaryDirectory() as folder:
    drill(folder)
