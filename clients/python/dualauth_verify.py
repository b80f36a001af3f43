"""Verifies dualauth's access tokens in a Python service, and follows dualauth's revocations.

    verifier = Verifier(issuer="https://auth.example.com", audience="https://api.example.com",
                        client_id="…", client_secret="…")
    claims = verifier.authenticate(authorization_header_values)

A token is verified here, without a request to dualauth. A daemon thread per process follows `POST /jwt/feed`, so a
token whose login has ended, or whose owner's name or roles have changed, is refused within `staleness_bound` seconds.
Without a client id there is no feed: a token is then valid until it expires.

Needs PyJWT with its extra `crypto`, for the signature alone: `_Key` is all that would change for joserfc.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import logging
import os
import re
import threading
import time
import weakref
from asyncio import to_thread
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar
from urllib.parse import quote_plus, urlencode, urlsplit

import jwt

__all__ = ["Claims", "VerificationError", "Verifier"]

_log = logging.getLogger("dualauth")

_LEEWAY = 5  # Seconds that the clock of whoever signed a token may be ahead; entries of the feed are kept as much longer.
_KEYS_LIFETIME = 300  # Seconds; with a feed, too: it tells of new keys, and a key is also withdrawn by time alone.
_KEYS_TIMEOUT = 5.0  # Seconds; only without a feed, whose bound limits this, too.
_UNKNOWN_KID_PAUSE = 1.0  # Seconds between two looks for a key: a token's `kid` is its sender's choice.
_CACHE_SIZE = 10_000
_NODE_PACE = 1.0  # Seconds between two looks of a node at its own feed, at most.
_LONGEST_WAIT = 25.0  # Seconds for which the server holds a request, at most.
_SHORTEST_WAIT = 0.25  # Seconds; what a proxy cuts off is asked for with shorter waits, down to this.
_LONG_BEFORE = 60  # Seconds; no two clocks are that far apart, so it is certain which of two events was first.
_WARNING_PAUSE = 60.0  # Seconds between two warnings that requests may cause.

_PROBLEMS = {
    "not_authenticated": (401, "Not signed in", "Bearer"),
    "malformed_request": (400, "Malformed request", None),
    "invalid_token": (401, "Invalid token", 'Bearer error="invalid_token"'),
    "token_expired": (401, "Token expired", 'Bearer error="invalid_token"'),
    "token_revoked": (401, "Token revoked", 'Bearer error="invalid_token"'),
    "unavailable": (503, "Temporarily unavailable", None),
}


class VerificationError(Exception):
    """Why a request is refused: `status` (HTTP), `code` (dualauth's word for it) and `detail` (for people)."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail
        self.status, self.title, self.challenge = _PROBLEMS[code]

    @property
    def headers(self) -> dict[str, str]:
        """What the response has besides its body: `WWW-Authenticate` (RFC 6750, section 3), or `Retry-After`."""
        if self.challenge is not None:
            return {"WWW-Authenticate": self.challenge}
        return {"Retry-After": "1"} if self.status == 503 else {}

    @property
    def problem(self) -> dict[str, object]:
        """The body of the response, `application/problem+json` (RFC 9457)."""
        members = {"title": self.title, "status": self.status, "detail": self.detail, "code": self.code}
        return {"type": "about:blank", **members}


def _invalid() -> VerificationError:
    return VerificationError("invalid_token", "The token is not valid here.")


def _unavailable() -> VerificationError:
    return VerificationError("unavailable", "The service can't answer at the moment. Try again shortly.")


@dataclass(frozen=True)
class Claims:
    """What a valid token says. Times are in seconds since 1970; ids are UUIDs in lower case with hyphens."""

    sub: str  # the user
    username: str
    roles: tuple[str, ...]
    sid: str  # the login
    jti: str
    iat: int
    exp: int
    nbf: int | None = None
    client_id: str | None = None
    auth_time: int | None = None  # when the user last authenticated; if absent, that is unknown
    acr: str | None = None  # "aal1", or "aal2" for two factors
    amr: tuple[str, ...] | None = None  # by which methods


_BASE64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_BEARER = re.compile(r"bearer(?: +(?P<token>[A-Za-z0-9._~+/-]+=*) *|[ \t].*|)", re.ASCII | re.IGNORECASE | re.DOTALL)
_HEX = "[0-9a-fA-F]"
_HYPHENATED = f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}"
_UUID = re.compile(rf"{_HEX}{{32}}|{_HYPHENATED}|\{{{_HYPHENATED}\}}|(?i:urn:uuid:){_HYPHENATED}")


def _bearer(values: Sequence[str]) -> str:
    """The token in a request's `Authorization` headers (RFC 6750, section 2.1)."""
    if len(values) > 1:
        raise VerificationError("malformed_request", "Send one Authorization header, not several.")
    match = _BEARER.fullmatch(values[0].strip(" \t")) if values else None
    if match is None:
        raise VerificationError("not_authenticated", "Sign in first: no credential came that this route takes.")
    token = match["token"]
    if token is None:
        raise VerificationError("malformed_request", "Send `Authorization: Bearer`, one space and the token.")
    return str(token)


def _decoded(part: str) -> bytes:
    """The bytes of canonical base64url without padding (RFC 7515, section 2)."""
    if _BASE64URL.fullmatch(part) is None or len(part) % 4 == 1:
        raise _invalid()
    content = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(content).rstrip(b"=").decode() != part:
        raise _invalid()  # Unused bits are set: another spelling of the same bytes.
    return content


def _refuse_constant(name: str) -> object:
    raise ValueError(name)


def _members(part: str) -> dict[str, Any]:
    """The members of a part of a token, a JSON object that names none twice. Objects in it are tuples of pairs."""
    try:
        pairs = json.loads(
            _decoded(part).decode("utf-8"),
            object_pairs_hook=tuple,
            parse_int=lambda text: -0.0 if text == "-0" else int(text),
            parse_constant=_refuse_constant,
        )
        # Text with half a surrogate pair, or a number that is infinite, can't be written again.
        json.dumps(pairs, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise _invalid() from None
    if not isinstance(pairs, tuple) or len({name for name, _ in pairs}) != len(pairs):
        raise _invalid()
    return dict(pairs)


_T = TypeVar("_T")


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise _invalid()
    return value


def _strings(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _invalid()
    return tuple(_string(each) for each in value)


def _integer(value: object) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise _invalid()
    return value


def _uuid(value: object) -> str:
    text = _string(value)
    if _UUID.fullmatch(text) is None:
        raise _invalid()
    digits = text[9 if len(text) == 45 else 0 :].strip("{}").replace("-", "").lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


class _RareWarning:
    """A warning that is given once in a while, however often there is a reason."""

    def __init__(self) -> None:
        self._given_at = float("-inf")

    def __call__(self, message: str, *values: object) -> None:
        if _elapsed() > self._given_at + _WARNING_PAUSE:
            self._given_at = _elapsed()
            _log.warning(message, *values)


def _claims(part: str, issuer: str, audience: str, warn: _RareWarning) -> Claims:
    """The claims of a token from this issuer, for this audience (RFC 9068, section 2.2)."""
    members = _members(part)

    def required(name: str, read: Callable[[object], _T]) -> _T:
        return read(members.get(name))

    def optional(name: str, read: Callable[[object], _T]) -> _T | None:
        return read(members[name]) if name in members else None

    aud = members.get("aud")
    # As dualauth writes it: one audience is a string, and several are an array.
    audiences = (aud,) if isinstance(aud, str) else _strings(aud)
    if isinstance(aud, list) and len(aud) < 2:
        raise _invalid()
    iss = required("iss", _string)
    if iss != issuer:
        warn("a token of the issuer %r, expected %r", iss, issuer)
        raise _invalid()
    if audience not in audiences:
        warn("a token for %r, expected %r", aud, audience)
        raise _invalid()
    return Claims(
        sub=required("sub", _uuid),
        username=required("username", _string),
        roles=required("roles", _strings),
        sid=required("sid", _uuid),
        jti=required("jti", _uuid),
        iat=required("iat", _integer),
        exp=required("exp", _integer),
        nbf=optional("nbf", _integer),
        client_id=optional("client_id", _string),
        auth_time=optional("auth_time", _integer),
        acr=optional("acr", _string),
        amr=optional("amr", _strings),
    )


def _header(part: str) -> tuple[str, str]:
    """The `kid` and `alg` of a header with exactly the three members that dualauth's tokens have."""
    header = _members(part)
    if header.keys() != {"alg", "typ", "kid"} or header["typ"] != "at+jwt":
        raise _invalid()
    if header["alg"] not in ("EdDSA", "ES256", "RS256"):
        raise _invalid()
    return _string(header["kid"]), _string(header["alg"])


def _check_times(claims: Claims) -> None:
    now = int(time.time())
    if max(claims.iat, claims.nbf if claims.nbf is not None else claims.iat) > now + _LEEWAY:
        raise _invalid()
    if now >= claims.exp:
        raise VerificationError("token_expired", "The token has expired.")


class _Key:
    """A public key of the JWK set (RFC 7517)."""

    def __init__(self, jwk: Mapping[str, Any]) -> None:
        by_type = {("OKP", "Ed25519"): "EdDSA", ("EC", "P-256"): "ES256", ("RSA", None): "RS256"}
        algorithm = by_type.get((jwk["kty"], jwk.get("crv")))
        if algorithm is None or jwk.get("alg", algorithm) != algorithm:
            raise ValueError("a key for another purpose")
        self.jwk, self.algorithm = jwk, algorithm
        self._key = jwt.PyJWK(dict(jwk), algorithm)
        self._jws = jwt.PyJWS(algorithms=[algorithm])

    def check_signature(self, token: str) -> None:
        try:
            self._jws.decode(token, self._key, algorithms=[self.algorithm])
        except jwt.PyJWTError:
            raise _invalid() from None


_CLOCK = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


def _elapsed() -> float:
    """Seconds on a clock that nobody sets, and that goes on while the machine sleeps, where the system has one."""
    return time.clock_gettime(_CLOCK) if _CLOCK is not None else time.monotonic()


class _Connection:
    """A connection to dualauth that is kept. Used by one thread at a time."""

    def __init__(self, base: str) -> None:
        self._base = urlsplit(base)
        self._kept: http.client.HTTPConnection | None = None

    def json(self, path: str, timeout: float, headers: Mapping[str, str], form: bytes | None = None) -> dict[str, Any]:
        """Sends a GET, or a POST with a form, and returns the object in its 200. OSError if none comes."""
        is_kept, connection = self._kept is not None, self._kept or self._connect(timeout)
        self._kept = None
        try:
            status, content = self._exchange(connection, path, timeout, headers, form)
            answer = json.loads(content) if status == 200 else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            if is_kept and not isinstance(error, TimeoutError):
                return self.json(path, timeout, headers, form)  # It may have been closed while it was idle.
            raise OSError(f"{path}: {error}") from error
        if not isinstance(answer, dict):
            connection.close()  # The next one may lead to another node.
            refused = status == 401
            raise OSError("dualauth refuses the client's id or secret" if refused else f"{path}: status {status}")
        self._kept = connection
        return answer

    def close(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._base.scheme == "https" else http.client.HTTPConnection
        return kind(self._base.hostname or "", self._base.port, timeout=timeout)

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        path: str,
        timeout: float,
        headers: Mapping[str, str],
        form: bytes | None,
    ) -> tuple[int, bytes]:
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        method = "GET" if form is None else "POST"
        connection.request(method, self._base.path.rstrip("/") + path, form, dict(headers))
        response = connection.getresponse()
        return response.status, response.read()


class _KeySet:
    """The published keys. Fetches never overlap, so an older answer can't replace a newer one."""

    def __init__(self, url: str, timeout: float, *, must_be_current: bool) -> None:
        self._connection, self._timeout, self._must_be_current = _Connection(url), timeout, must_be_current
        self._warn_of_none = _RareWarning()
        self._fetching, self._looking = threading.Lock(), threading.Lock()
        self._keys: dict[str, _Key] = {}
        self._fetched_at = self._looked_at = float("-inf")
        self._failed = False

    def are_known(self) -> bool:
        try:
            if not self._keys:
                self._look_again()
        except OSError:
            return False
        return bool(self._keys)

    def find(self, kid: str) -> _Key:
        """The key of this name, which may have to be fetched. OSError if that failed."""
        if kid not in self._keys:
            self._look_again()
        elif _elapsed() > max(self._fetched_at + _KEYS_LIFETIME, self._looked_at + _UNKNOWN_KID_PAUSE):
            self._refresh()
        key = self._keys.get(kid)
        if key is None:
            raise _invalid()
        return key

    def _refresh(self) -> None:
        """Fetches old keys again, and nobody waits for it: while that fails, they are as good as they were."""
        if not self._looking.locked():
            threading.Thread(target=self._try_to_look_again, name="dualauth-keys", daemon=True).start()

    def _try_to_look_again(self) -> None:
        with suppress(OSError):
            self._look_again()

    def close(self) -> None:
        with self._fetching:
            self._connection.close()

    def _look_again(self) -> None:
        with self._looking:  # Who waited here shares the outcome.
            if _elapsed() > self._looked_at + _UNKNOWN_KID_PAUSE:
                self._failed = True
                try:
                    self.fetch()
                    self._failed = False
                finally:
                    self._looked_at = _elapsed()
            elif self._failed:
                raise OSError("the keys could not be fetched")

    def fetch(self) -> None:
        """Fetches them, if need be in a way that no cache can answer. OSError if that failed."""
        with self._fetching:
            sent = _elapsed()
            path = "/.well-known/jwks.json"
            query = f"?current={time.time_ns() // 1000}" if self._must_be_current else ""
            jwks = self._connection.json(path + query, self._timeout, {}).get("keys")
            if not isinstance(jwks, list):
                raise OSError(f"{path}: no keys")
            if not jwks:
                self._warn_of_none("dualauth publishes no keys: JWT_ALGORITHM=HS256")
            self._keys, self._fetched_at = self._read(jwks), sent

    def _read(self, jwks: list[Any]) -> dict[str, _Key]:
        """One that was known stays the same object; one that can't be used is left out."""
        keys: dict[str, _Key] = {}
        for jwk in jwks:
            try:
                known = self._keys.get(jwk["kid"])
                keys[jwk["kid"]] = known if known is not None and known.jwk == jwk else _Key(jwk)
            except (jwt.PyJWTError, LookupError, TypeError, ValueError):
                continue
        return keys


@dataclass
class _Knowledge:
    """What the feed has told: logins that have ended, and owners' names and roles, each with when it may be forgotten."""

    ended: dict[str, float] = field(default_factory=dict)
    owners: dict[str, tuple[str | None, tuple[str, ...], float]] = field(default_factory=dict)
    since: float = float("-inf")  # by `_elapsed`: nothing that was acknowledged before is missing
    forgot_at: float = float("-inf")  # the latest time of day at which entries were forgotten

    def add(self, answer: Mapping[str, Any]) -> None:
        # Read before any is kept: an answer that can't be read changes nothing.
        ended = {_uuid(entry["sid"]): _until(entry) for entry in answer["ended"]}
        owners = {
            _uuid(entry["sub"]): (_username(entry), _strings(entry["roles"]), _until(entry))
            for entry in answer["roles"]
        }
        self.ended.update(ended)
        self.owners.update(owners)

    def forget_expired(self) -> None:
        now = time.time()
        self.ended = {sid: until for sid, until in self.ended.items() if until > now}
        self.owners = {sub: owner for sub, owner in self.owners.items() if owner[2] > now}
        self.forgot_at = max(self.forgot_at, now)

    def lacks_entries(self) -> bool:
        """Whether the time of day was set back so far that entries may have been forgotten too early."""
        return time.time() + _LEEWAY <= self.forgot_at

    def has_ended(self, claims: Claims) -> bool:
        return claims.sid in self.ended

    def differs(self, claims: Claims) -> bool:
        username, roles, _ = self.owners.get(claims.sub, (None, claims.roles, 0))
        return username not in (None, claims.username) or roles != claims.roles

    def is_long_after(self, claims: Claims) -> bool:
        """Whether a token is certainly older than what is known."""
        return claims.iat + _LONG_BEFORE < time.time() - (_elapsed() - self.since)


def _username(entry: Mapping[str, Any]) -> str | None:
    return None if entry.get("username") is None else _string(entry["username"])


def _until(entry: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(entry["until"].replace("Z", "+00:00")).timestamp() + _LEEWAY


class _Feed:
    """Follows `POST /jwt/feed`. An answer is dropped if another one was applied since it was asked for."""

    def __init__(self, url: str, client: tuple[str, str], bound: float, keys: _KeySet) -> None:
        # RFC 6749, section 2.3.1.
        basic = base64.b64encode(":".join(quote_plus(part, errors="replace") for part in client).encode()).decode()
        self._headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
        self._bound, self._keys = bound, keys
        self._pace = min(bound / 4, _LONGEST_WAIT)
        self._was_fresh = True
        self._connection, self._connection_again = _Connection(url), _Connection(url)
        self._applying, self._again = threading.Lock(), threading.Lock()
        self._cursor, self._applied = "", 0
        self._loading: _Knowledge | None = None  # pages that are to replace what is known
        self._is_in_parts = False  # The last answer said that there is more.
        self._pruned_at = _elapsed()
        self.known: _Knowledge | None = None
        self.tried = threading.Event()  # It was loaded, or that failed.
        self._closed = threading.Event()
        threading.Thread(target=self._follow, name="dualauth-feed", daemon=True).start()

    def is_fresh(self, known: _Knowledge | None) -> bool:
        return known is not None and _elapsed() - known.since <= self._bound and not known.lacks_entries()

    def close(self) -> None:
        self._closed.set()
        with self._again:
            self._connection_again.close()

    def ask_again(self) -> None:
        """Returns once everything is known that was committed before this call. OSError if that fails.

        A node may be behind the one that signed a token, and its answers say by how much.
        """
        called = _elapsed()
        give_up_at = called + min(self._bound, _NODE_PACE) + _NODE_PACE
        with self._again:
            while self._is_behind(called):
                if _elapsed() > give_up_at:
                    raise OSError("/jwt/feed: the node is behind")
                self._ask(self._connection_again, 0, max(give_up_at - _elapsed(), 0.01))
                if self._is_behind(called) and not self._is_in_parts:
                    time.sleep(min(self._bound / 16, _NODE_PACE / 4))

    def _is_behind(self, moment: float) -> bool:
        return self.known is None or self.known.since < moment

    def _follow(self) -> None:
        failures, longest = 0, self._pace
        while not self._closed.is_set():
            began = _elapsed()
            # Behind, the present is asked for; else news.
            wait = longest if failures == 0 and self.is_fresh(self.known) else 0.0
            try:
                has_news = self._ask(self._connection, wait)
            except Exception as error:  # Whatever it is, the thread has to go on.
                failures += 1
                if wait > 0:
                    longest = max(longest / 2, min(longest, _SHORTEST_WAIT))  # A proxy may not let it wait that long.
                if failures > 1:  # The first is asked again at once: another node may answer.
                    self._log_change(error)
                    self.tried.set()
                    self._closed.wait(min(self._pace * 2 ** min(failures - 2, 16), 1.0))
                continue
            failures = 0
            if wait > 0:
                longest = min(longest * 1.05, self._pace)
            self._log_change(None)
            if self.known is not None:
                self.tried.set()
            if not has_news:  # However dualauth answers, it is not asked more often.
                self._closed.wait(max(began + (wait or self._pace) - _elapsed(), 0.0))
        self._connection.close()

    def _log_change(self, error: Exception | None) -> None:
        """Logs when revocations are no longer known in time, and when they are again."""
        is_fresh = self.is_fresh(self.known)
        if is_fresh == self._was_fresh or (error is None and self._is_in_parts):
            return
        self._was_fresh = is_fresh
        if is_fresh:
            _log.warning("dualauth's revocations are followed again")
        elif error is not None:
            _log.warning("dualauth's revocations can't be followed: %s", error)
        else:
            _log.warning(
                "dualauth's answers are older than staleness_bound: its own STALENESS_BOUND must not be larger"
            )

    def _ask(self, connection: _Connection, wait: float, at_most: float = float("inf")) -> bool:
        """Asks what is new, and applies the answer, which takes `at_most` seconds. Returns whether there was news."""
        applied, sent, cursor = self._applied, _elapsed(), self._cursor
        if self._loading is None and self.known is not None and self.known.lacks_entries():
            cursor = ""  # All is read again.
        form = urlencode({"cursor": cursor, "wait": f"{wait:.3f}"}).encode()
        answer = connection.json("/jwt/feed", min(wait + self._bound / 2, at_most), self._headers, form)
        try:
            if answer["anew"] or answer["keys_changed"] or not cursor:
                self._keys.fetch()  # First: what is known of revocations is never newer than the keys.
            with self._applying:
                if self._applied != applied:
                    return True  # What it says has to be asked for again.
                self._apply(answer, not cursor, sent)
            return any(answer[name] for name in ("anew", "more", "keys_changed", "ended", "roles"))
        except (LookupError, TypeError, ValueError, AttributeError, VerificationError) as error:
            raise OSError(f"/jwt/feed: an answer that can't be read: {error!r}") from error

    def _apply(self, answer: Mapping[str, Any], is_first: bool, sent: float) -> None:
        loading = _Knowledge() if answer["anew"] or is_first else self._loading
        known = loading or self.known or _Knowledge()
        cursor, since, more = str(answer["cursor"]), sent - answer["age_ms"] / 1000, bool(answer["more"])
        known.add(answer)
        # A part has an age of its own: what is known is not complete until the last one.
        known.since = since if more or self._is_in_parts else max(since, known.since)
        self._cursor, self._applied, self._is_in_parts = cursor, self._applied + 1, more
        if more:
            self._loading = loading
            return
        self.known, self._loading = known, None
        if sent > self._pruned_at + 60:
            self._pruned_at = sent
            known.forget_expired()


def _check_url(url: str) -> None:
    parts = urlsplit(url)  # A port that is no number is a ValueError, too, once it is read.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError(f"no URL with http:// or https://: {url!r}")


class Verifier:
    """Verifies access tokens. One is made for all requests; any thread may use it.

    `issuer` and `audience` are dualauth's JWT_ISSUER and JWT_AUDIENCE (or one of those that it names). `url` is where
    dualauth is reached, if that is not the issuer. `client_id` and `client_secret` are from `dualauth client create`.
    `staleness_bound`, in seconds: what is known of revocations counts for so long. When it is older, tokens are
    refused with 503 (`when_stale="refuse"`), or accepted unless they are known to be revoked (`"serve"`).
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        client_id: str | None = None,
        client_secret: str | None = None,
        *,
        url: str | None = None,
        staleness_bound: float = 1.0,
        when_stale: Literal["refuse", "serve"] = "refuse",
    ) -> None:
        if when_stale not in ("refuse", "serve") or not staleness_bound > 0:
            raise ValueError("when_stale is 'refuse' or 'serve', and staleness_bound is above 0")
        if (client_id is None) != (client_secret is None):
            raise ValueError("client_id and client_secret belong together")
        self._issuer, self._audience, self._url = issuer, audience, url or issuer
        _check_url(self._url)
        self._client = (client_id, client_secret) if client_id is not None and client_secret is not None else None
        self._bound, self._serves_stale = staleness_bound, when_stale == "serve"
        self._warn_of_others = _RareWarning()
        if self._client is None:
            _log.info("revocations are not followed")
        self._forget()
        _verifiers.add(self)

    def _forget(self) -> None:
        """As new: a process that was forked has neither the thread nor connections of its own."""
        self._lock = threading.Lock()
        if self._client is None:
            self._keys = _KeySet(self._url, _KEYS_TIMEOUT, must_be_current=False)
        else:
            self._keys = _KeySet(self._url, max(self._bound, 1.0), must_be_current=True)
        self._feed: _Feed | None = None
        self._verified: dict[bytes, tuple[str, _Key, Claims]] = {}

    def _followed(self) -> _Feed | None:
        """The feed, which the first caller in a process starts: they wait until it is loaded, or that failed."""
        if self._client is None:
            return None
        if self._feed is None:
            with self._lock:
                if self._feed is None:
                    self._feed = _Feed(self._url, self._client, self._bound, self._keys)
        self._feed.tried.wait(2 * self._bound)
        return self._feed

    @property
    def fresh(self) -> bool:
        """Whether what is known of revocations is within the bound; without a feed, whether the keys are known."""
        feed = self._followed()
        return self._keys.are_known() if feed is None else feed.is_fresh(feed.known)

    def close(self) -> None:
        """Ends the following, and closes connections. What stays for as long as its process needs no such end."""
        if self._feed is not None:
            self._feed.close()
        self._keys.close()

    def authenticate(self, authorization: Sequence[str]) -> Claims:
        """The claims of a request with these `Authorization` headers. VerificationError says what to answer instead."""
        return self.verify(_bearer(authorization))

    def verify(self, token: str) -> Claims:
        """The claims of a valid token. Answers from memory, but for an unknown key and a changed owner."""
        try:
            return self._verify(token)
        except OSError:
            raise _unavailable() from None

    async def verify_async(self, token: str) -> Claims:
        """The same, for a coroutine."""
        return await to_thread(self.verify, token)

    def _verify(self, token: str) -> Claims:
        feed = self._followed()
        claims = self._check_signature(token, feed)
        _check_times(claims)
        if feed is not None:
            self._check_revocation(claims, feed)
        return claims

    def _check_signature(self, token: str, feed: _Feed | None) -> Claims:
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        before = self._verified.get(digest)
        parts = token.split(".")
        if before is None and len(parts) != 3:
            raise _invalid()
        kid, algorithm = (before[0], before[1].algorithm) if before is not None else _header(parts[0])
        if feed is not None and feed.known is None:
            raise _unavailable()  # The keys come with it.
        key = self._keys.find(kid)
        if before is not None and before[1] is key:
            return before[2]
        _decoded(parts[2])
        if algorithm != key.algorithm:
            raise _invalid()
        key.check_signature(token)
        claims = _claims(parts[1], self._issuer, self._audience, self._warn_of_others)
        with self._lock:
            if len(self._verified) >= _CACHE_SIZE:
                del self._verified[next(iter(self._verified))]  # the oldest
            self._verified[digest] = (kid, key, claims)
        return claims

    def _check_revocation(self, claims: Claims, feed: _Feed) -> None:
        known = feed.known
        if known is None or not (self._serves_stale or feed.is_fresh(known)):
            raise _unavailable()
        if not known.has_ended(claims) and known.differs(claims) and not known.is_long_after(claims):
            feed.ask_again()  # Roles change back and forth: the token may be newer than what is known.
            known = feed.known or known
        if known.has_ended(claims):
            raise VerificationError("token_revoked", "The token's login has ended. Sign in again.")
        if known.differs(claims):
            detail = "The name or the roles of the token's owner have changed. A refresh brings a token with the new ones."
            raise VerificationError("token_revoked", detail)


_verifiers: weakref.WeakSet[Verifier] = weakref.WeakSet()


def _after_fork() -> None:
    for verifier in list(_verifiers):
        verifier._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
