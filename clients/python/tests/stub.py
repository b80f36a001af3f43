"""A stub of dualauth: it publishes keys, signs whatever a test likes, and answers `POST /jwt/feed`."""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

PATIENCE = 20.0  # seconds


def encode(content: bytes | str) -> str:
    return base64.urlsafe_b64encode(content.encode() if isinstance(content, str) else content).rstrip(b"=").decode()


def eventually(what: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"it never came: {what}"
        time.sleep(0.005)


class Signer:
    """A key with its private half."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.kid = encode(uuid.uuid4().bytes + uuid.uuid4().bytes)
        if algorithm == "EdDSA":
            self._okp = ed25519.Ed25519PrivateKey.generate()
            jwk = OKPAlgorithm.to_jwk(self._okp.public_key(), as_dict=True)
        elif algorithm == "ES256":
            self._ec = ec.generate_private_key(ec.SECP256R1())
            jwk = ECAlgorithm.to_jwk(self._ec.public_key(), as_dict=True)
        else:
            self._rsa = rsa.generate_private_key(65537, 2048)
            jwk = RSAAlgorithm.to_jwk(self._rsa.public_key(), as_dict=True)
            del jwk["key_ops"]
        self.jwk: dict[str, Any] = {**jwk, "kid": self.kid, "use": "sig", "alg": algorithm}

    def signature(self, message: bytes) -> bytes:
        if self.algorithm == "EdDSA":
            return self._okp.sign(message)
        if self.algorithm == "RS256":
            return self._rsa.sign(message, padding.PKCS1v15(), hashes.SHA256())
        r, s = decode_dss_signature(self._ec.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def sign(self, message: str) -> str:
        return f"{message}.{encode(self.signature(message.encode()))}"

    def token(self, header: dict[str, Any] | str, claims: dict[str, Any] | str) -> str:
        parts = (part if isinstance(part, str) else json.dumps(part) for part in (header, claims))
        return self.sign(".".join(encode(part) for part in parts))

    def header(self, **others: Any) -> dict[str, Any]:
        return {"alg": self.algorithm, "typ": "at+jwt", "kid": self.kid, **others}


class Stub:
    """Dualauth, as far as a verifier sees it. Events are told once, in order; a cursor is how many were."""

    client_id, client_secret = "0199f0a4-0b0e-7d53-9a55-3a1a4f0e7c11", "duc_secret"

    def __init__(self, algorithm: str = "EdDSA") -> None:
        self.signer = Signer(algorithm)
        self.keys = [self.signer.jwk]
        self.news = threading.Condition()
        self.history = 1
        self.events: list[dict[str, Any]] = []
        self.page_size = 1000
        self.age_ms = 0
        self.is_away = self.keys_are_away = False
        self.requests: list[tuple[str, float]] = []
        self.key_fetches = 0
        self.last_query: dict[str, list[str]] | None = None
        self.answers_left: int | None = None  # Then it is away.
        self.longest_hold = float("inf")  # Seconds; a request that may be held for longer gets no answer.
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        # A follower that was closed reads no answer.
        self._server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        with self.changing():
            self.is_away = True
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def changing(self) -> Iterator[None]:
        with self.news:
            yield
            self.news.notify_all()

    def tell(self, **event: Any) -> None:
        with self.changing():
            self.events.append(event)

    def end(self, sid: str, lasting: float = 900) -> None:
        until = datetime.fromtimestamp(time.time() + lasting, timezone.utc)
        self.tell(ended={"sid": sid, "until": until.strftime("%Y-%m-%dT%H:%M:%S.%fZ")})

    def own(self, sub: str, username: str | None, roles: list[str]) -> None:
        until = datetime.fromtimestamp(time.time() + 900, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        name = {} if username is None else {"username": username}
        self.tell(roles={"sub": sub, **name, "roles": roles, "until": until})

    def publish(self, *signers: Signer) -> None:
        with self.changing():
            self.keys = [signer.jwk for signer in signers]
            self.events.append({"keys": True})

    def claims(self, **others: Any) -> dict[str, Any]:
        now = int(time.time())
        own = {"iss": self.url, "aud": self.url, "iat": now, "exp": now + 900, "username": "ada", "roles": ["user"]}
        ids = {name: str(uuid.uuid4()) for name in ("sub", "jti", "sid")}
        return {**own, **ids, "client_id": "dualauth", "auth_time": now, "acr": "aal1", "amr": ["pwd"], **others}

    def token(self, **others: Any) -> str:
        return self.signer.token(self.signer.header(), self.claims(**others))

    def answer(self, cursor: str, wait: float) -> dict[str, Any] | None:
        """What the feed answers; nothing while the node is away."""
        with self.news:
            self.requests.append((cursor, wait))
            history, _, told = cursor.partition("-")
            knows = history == str(self.history)
            position = int(told) if knows else 0
            self.news.wait_for(
                lambda: not knows or len(self.events) > position or str(self.history) != history or self.is_away, wait
            )
            if self.answers_left is not None:
                self.is_away = self.is_away or self.answers_left == 0
                self.answers_left = max(self.answers_left - 1, 0)
            if self.is_away:
                return None
            if str(self.history) != history:
                knows, position = False, 0
            page = self.events[position : position + self.page_size]
            more = position + len(page) < len(self.events)
            return {
                "cursor": f"{self.history}-{position + len(page)}",
                "anew": not knows,
                "more": more,
                "age_ms": 600_000 if more else self.age_ms,
                "ended": [event["ended"] for event in page if "ended" in event],
                "roles": [event["roles"] for event in page if "roles" in event],
                "keys_changed": any("keys" in event for event in page),
                "of_a_later_version": {},
            }


def basic(stub: Stub) -> str:
    pair = f"{quote_plus(stub.client_id)}:{quote_plus(stub.client_secret)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _handler(stub: Stub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = parse_qs(url.query)
            # Who follows the feed needs what is committed; who does not is served from a cache, too.
            is_right = query.keys() == ({"current"} if stub.requests else set()) and query != stub.last_query
            stub.key_fetches += 1
            stub.last_query = query or None
            away = stub.keys_are_away or stub.is_away or not is_right or url.path != "/.well-known/jwks.json"
            self._answer(503 if away else 200, {"keys": stub.keys})

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode(), keep_blank_values=True)
            if self.path != "/jwt/feed" or self.headers["Authorization"] != basic(stub):
                return self._answer(401, {})
            wait = float(form["wait"][0])
            if wait > stub.longest_hold:
                stub.requests.append((form["cursor"][0], wait))
                return self._answer(504, {})
            answer = stub.answer(form["cursor"][0], wait)
            self._answer(503 if answer is None else 200, answer or {})

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return Handler
