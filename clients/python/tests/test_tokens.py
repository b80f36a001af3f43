"""Which tokens are accepted, and how each other one is refused, without a feed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import unittest
from contextlib import suppress
from typing import Any
from unittest.mock import patch

from dualauth_verify import VerificationError, Verifier

from tests.stub import Signer, Stub, encode, eventually

NEITHER: list[object] = [None, True, {}, [1], [[1]]]  # no string, number, list of strings or id
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class TokenTests(unittest.TestCase):
    def setUp(self) -> None:
        self.stub = Stub()
        self.addCleanup(self.stub.stop)
        self.verifier = Verifier(self.stub.url, self.stub.url)
        self.addCleanup(self.verifier.close)
        self.signer = self.stub.signer

    def assert_refused(self, token: str, code: str = "invalid_token") -> None:
        with self.assertRaises(VerificationError) as refused:
            self.verifier.verify(token)
            self.fail(f"accepted: {token}")
        self.assertEqual(refused.exception.code, code, token)

    def assert_header_refused(self, header: dict[str, Any] | str) -> None:
        self.assert_refused(self.signer.token(header, self.stub.claims()))

    def assert_claims_refused(self, claims: dict[str, Any] | str) -> None:
        self.assert_refused(self.signer.token(self.signer.header(), claims))

    def test_a_token_of_each_algorithm_is_accepted(self) -> None:
        for algorithm in ("EdDSA", "ES256", "RS256"):
            signer = Signer(algorithm)
            for jwk in (signer.jwk, {name: value for name, value in signer.jwk.items() if name != "alg"}):
                self.stub.keys = [{"kty": "oct", "k": "c2VjcmV0", "kid": "a secret"}, {"kty": "later"}, jwk]
                verifier = Verifier(self.stub.url, self.stub.url)
                self.addCleanup(verifier.close)
                claims = self.stub.claims()
                verified = verifier.verify(signer.token(signer.header(), claims))
                self.assertEqual((verified.sub, verified.username, verified.roles), (claims["sub"], "ada", ("user",)))

    def test_a_key_is_for_its_own_algorithm_alone(self) -> None:
        for jwk in ({**self.signer.jwk, "alg": "HS256"}, {**self.signer.jwk, "crv": "Ed448"}, {**self.signer.jwk, "x": "AA"}):
            self.stub.keys = [jwk]
            verifier = Verifier(self.stub.url, self.stub.url)
            self.addCleanup(verifier.close)
            with self.assertRaises(VerificationError) as refused:
                verifier.verify(self.stub.token())
            self.assertEqual(refused.exception.code, "invalid_token")

    def test_a_signature_is_checked_once_and_a_changed_token_is_refused(self) -> None:
        token = self.stub.token()
        self.assertIs(self.verifier.verify(token), self.verifier.verify(token))
        header, claims, signature = token.split(".")
        other = encode(json.dumps(self.stub.claims(roles=["admin"])))
        for changed in (
            f"{header}.{other}.{signature}",
            f"{header}.{claims}.",
            f"{header}.{claims}",
            f"{header}.{claims}.{signature}.{signature}",
            f"{header}.{claims}.{encode(bytes(64))}",
            f"{claims}.{header}.{signature}",
            f".{claims}.{signature}",
            "..",
            "",
            f"{token}A",
            f" {token}",
        ):
            self.assert_refused(changed)

    def test_another_key_s_token_is_refused(self) -> None:
        strange = Signer("EdDSA")
        self.assert_refused(strange.token(self.signer.header(), self.stub.claims()))
        self.assert_refused(strange.token(strange.header(), self.stub.claims()))

    def test_no_other_algorithm_is_accepted(self) -> None:
        for alg in ("none", "None", "HS256", "ES256", "RS256", "PS256", "Ed25519", "eddsa", "", None, ["EdDSA"]):
            self.assert_header_refused(self.signer.header(alg=alg))
        message = f"{encode(json.dumps(self.signer.header(alg='none')))}.{encode(json.dumps(self.stub.claims()))}"
        self.assert_refused(f"{message}.")
        public = base64.urlsafe_b64decode(self.signer.jwk["x"] + "=")
        message = f"{encode(json.dumps(self.signer.header(alg='HS256')))}.{encode(json.dumps(self.stub.claims()))}"
        self.assert_refused(f"{message}.{encode(hmac.digest(public, message.encode(), hashlib.sha256))}")

    def test_a_header_has_exactly_its_three_members(self) -> None:
        for name in ("alg", "typ", "kid"):
            header = self.signer.header()
            del header[name]
            self.assert_header_refused(header)
            self.assert_header_refused(self.signer.header(**{name: 1}))
        for name in ("jku", "x5u", "jwk", "x5c", "crit", "b64", "zip", "cty", "unknown"):
            self.assert_header_refused(self.signer.header(**{name: []}))
        for typ in ("JWT", "AT+JWT", "application/at+jwt", "at+jwt ", "rt+jwt"):
            self.assert_header_refused(self.signer.header(typ=typ))
        for text in ("[]", "{}", "null", '"x"', "{", "", "\ufeff" + json.dumps(self.signer.header())):
            self.assert_header_refused(text)

    def test_a_header_that_is_written_in_another_way_is_as_good(self) -> None:
        header = f'{{ "kid" :"{self.signer.kid}",\n\t"typ": "at\\u002bjwt", "\\u0061lg": "EdDSA"}} '
        self.verifier.verify(self.signer.token(header, self.stub.claims()))

    def test_what_is_said_twice_is_refused(self) -> None:
        header, claims = json.dumps(self.signer.header()), json.dumps(self.stub.claims(later=1))
        for name in ("alg", "\\u0061lg", "typ", "t\\u0079p", "kid"):
            self.assert_header_refused(f'{{"{name}":"none",{header[1:]}')
            self.assert_header_refused(f'{header[:-1]},"{name}":"EdDSA"}}')
        for name in ("roles", "r\\u006fles", "sub", "iss", "exp", "later", "l\\u0061ter"):
            self.assert_claims_refused(f'{{"{name}":["admin"],{claims[1:]}')
            self.assert_claims_refused(f'{claims[:-1]},"{name}":null}}')

    def test_what_a_later_version_adds_is_ignored(self) -> None:
        later: list[object] = ["admin", None, [], {"sub": "ada"}, 0.5]
        for value in later:
            self.verifier.verify(self.stub.token(later=value, Roles=value))
        twice = json.dumps(self.stub.claims())[:-1] + ',"act":{"sub":"a","sub":"b"}}'
        self.verifier.verify(self.signer.token(self.signer.header(), twice))

    def test_a_part_has_one_spelling(self) -> None:
        token = next(it for it in iter(self.stub.token, "") if len(it.split(".")[1]) % 4 == 2)
        header, claims, signature = token.split(".")
        for part, others in ((claims, 15), (signature, 15)):
            last = ALPHABET.index(part[-1])
            spellings = [part[:-1] + ALPHABET[last ^ bits] for bits in range(1, others + 1)]
            for spelling in [*spellings, f"{part}=", f"{part}==", f"{part}A", f"{part}\n", f"{part[:9]} {part[9:]}"]:
                parts = (header, spelling, signature) if part is claims else (header, claims, spelling)
                self.assert_refused(".".join(parts))
                if part is claims:
                    self.assert_refused(self.signer.sign(f"{header}.{spelling}"))

    def test_a_claim_that_is_missing_or_of_another_type_is_refused(self) -> None:
        for name in ("iss", "aud", "sub", "iat", "exp", "jti", "sid", "username", "roles"):
            claims = self.stub.claims()
            del claims[name]
            self.assert_claims_refused(claims)
            for value in NEITHER:
                self.assert_claims_refused(self.stub.claims(**{name: value}))
        for name in ("nbf", "client_id", "auth_time", "acr", "amr"):
            for value in (*NEITHER, 0.5):
                self.assert_claims_refused(self.stub.claims(**{name: value}))
        others: list[tuple[str, object]] = [("roles", "a"), ("roles", [1]), ("amr", "pwd"), ("acr", 2), ("username", 1)]
        for name, value in others:
            self.assert_claims_refused(self.stub.claims(**{name: value}))
        self.assert_claims_refused('{"username":"\\ud800",' + json.dumps(self.stub.claims())[1:])
        self.assert_claims_refused('{"later":"\\ud800",' + json.dumps(self.stub.claims())[1:])
        self.assert_claims_refused(json.dumps(self.stub.claims()) + "{}")
        self.assert_claims_refused("[" * 100_000)

    def test_optional_claims_may_be_absent(self) -> None:
        claims = self.stub.claims()
        for name in ("client_id", "auth_time", "acr", "amr"):
            del claims[name]
        self.assertIsNone(self.verifier.verify(self.signer.token(self.signer.header(), claims)).acr)

    def test_an_id_is_a_uuid_in_one_of_its_spellings(self) -> None:
        plain = "0199f0a0-3b0e-7d53-9a55-3a1a4f0e7c11"
        spellings = (plain, plain.upper(), plain.replace("-", ""), f"{{{plain}}}", f"URN:uuid:{plain}")
        for spelling in spellings:
            self.assertEqual(self.verifier.verify(self.stub.token(sub=spelling, sid=spelling)).sid, plain)
        for wrong in ("", "ada", plain[:-1], f"{plain}\n", f"{plain[1:]}-", f"{{{plain}", plain.replace("-", "_")):
            for name in ("sub", "sid", "jti"):
                self.assert_claims_refused(self.stub.claims(**{name: wrong}))

    def test_a_token_of_another_issuer_or_for_another_audience_is_refused(self) -> None:
        own = self.stub.url
        for other in ("https://evil.example.org", "", f"{own}/", own.upper(), [own], [], ["a", "b"], {"0": own}):
            self.assert_claims_refused(self.stub.claims(iss=other))
            self.assert_claims_refused(self.stub.claims(aud=other))
        self.verifier.verify(self.stub.token(aud=["https://other.example.org", own]))
        self.assert_claims_refused(self.stub.claims(aud=[own, 1]))

    def test_a_token_for_others_is_logged_once_in_a_while(self) -> None:
        with self.assertLogs("dualauth", "WARNING") as logs:
            for _ in range(3):
                self.assert_claims_refused(self.stub.claims(aud="https://other.example.org"))
            self.assert_refused(Signer("EdDSA").token(self.signer.header(), self.stub.claims(iss="forged")))
        expected = f"a token for 'https://other.example.org', expected '{self.stub.url}'"
        self.assertEqual([record.getMessage() for record in logs.records], [expected])

    def test_it_is_logged_that_there_are_no_keys(self) -> None:
        self.stub.keys = []
        with self.assertLogs("dualauth", "INFO") as logs:
            verifier = Verifier(self.stub.url, self.stub.url)
            self.addCleanup(verifier.close)
            self.assertFalse(verifier.fresh)
            with self.assertRaises(VerificationError):
                verifier.verify(self.stub.token())
        told = ["revocations are not followed", "dualauth publishes no keys: JWT_ALGORITHM=HS256"]
        self.assertEqual([record.getMessage() for record in logs.records], told)

    def test_times_are_whole_seconds(self) -> None:
        claims = json.dumps(self.stub.claims(exp=7))
        for number in ("4e9", "4000000000.0", "9223372036854775808", "1e999", "-0", "NaN", "Infinity", '"4000000000"'):
            self.assert_claims_refused(claims.replace('"exp": 7', f'"exp": {number}'))
        self.verifier.verify(self.stub.token(exp=2**63 - 1))

    def test_a_token_lives_from_its_time_to_its_end(self) -> None:
        now = int(time.time())
        self.assert_refused(self.stub.token(exp=now), "token_expired")
        self.assert_refused(self.stub.token(exp=now - 1), "token_expired")
        for name in ("iat", "nbf"):
            self.verifier.verify(self.stub.token(**{name: now + 4}))
            self.assert_claims_refused(self.stub.claims(**{name: now + 60}))
        self.assert_claims_refused(self.stub.claims(iat=now + 60, exp=now - 1))

    def test_a_remembered_token_expires(self) -> None:
        token = self.stub.token(exp=int(time.time()) + 2)
        self.verifier.verify(token)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                self.verifier.verify(token)
            except VerificationError as refused:
                self.assertEqual(refused.code, "token_expired")
                self.assertEqual(self.stub.key_fetches, 1)
                return
            time.sleep(0.02)
        self.fail("it never expired")

    def test_what_is_no_token_is_refused_without_a_question(self) -> None:
        for other in ("dur_abc", "dus_abc", "a.b.c", self.signer.kid, "ey" + "A" * 30_000, "\udc80", "é.é.é"):
            self.assert_refused(other)
        self.assertEqual(self.stub.key_fetches, 0)

    def test_an_unknown_key_is_looked_for_once_in_a_while(self) -> None:
        self.verifier.verify(self.stub.token())
        for _ in range(20):
            self.assert_header_refused(self.signer.header(kid=Signer("EdDSA").kid))
        self.assertLess(self.stub.key_fetches, 10)

    def test_without_keys_no_token_can_be_judged(self) -> None:
        self.stub.keys_are_away = True
        for _ in range(2):
            self.assert_refused(self.stub.token(), "unavailable")
            self.assertFalse(self.verifier.fresh)
        self.stub.keys_are_away = False
        eventually("the keys are known", lambda: self.verifier.fresh)
        self.verifier.verify(self.stub.token())

    def test_old_keys_are_fetched_again_and_are_good_while_that_fails(self) -> None:
        self.verifier.verify(self.stub.token())
        with patch("dualauth_verify._UNKNOWN_KID_PAUSE", 0.0), patch("dualauth_verify._KEYS_LIFETIME", 0.0):
            self.stub.keys_are_away = True
            self.verifier.verify(self.stub.token())
            eventually("a look at the set", lambda: self.stub.key_fetches > 1)
            self.verifier.verify(self.stub.token())
            self.stub.keys_are_away = False
            old = self.stub.token()
            self.stub.keys = [Signer("EdDSA").jwk]

            def is_refused() -> bool:
                with suppress(VerificationError):
                    self.verifier.verify(old)
                    return False
                return True

            eventually("the new set", is_refused)

    def test_an_authorization_header_is_read_as_dualauth_reads_it(self) -> None:
        token = self.stub.token()
        for value in (f"Bearer {token}", f"bearer  {token} ", f"BEARER {token}"):
            self.verifier.authenticate([value])
        for values, status, code in (
            ([], 401, "not_authenticated"),
            (["Basic YTpi"], 401, "not_authenticated"),
            ([f"Bearer{token}"], 401, "not_authenticated"),
            (["Bearer"], 400, "malformed_request"),
            (["Bearer "], 400, "malformed_request"),
            ([f"Bearer {token},Bearer {token}"], 400, "malformed_request"),
            ([f"Bearer\t{token}"], 400, "malformed_request"),
            (["Bearer é"], 400, "malformed_request"),
            ([f"Bearer {token}"] * 2, 400, "malformed_request"),
            (["Bearer x"], 401, "invalid_token"),
        ):
            with self.assertRaises(VerificationError) as refused:
                self.verifier.authenticate(values)
            self.assertEqual((refused.exception.status, refused.exception.code), (status, code), values)
            self.assertEqual(refused.exception.problem["code"], code)
            self.assertEqual("WWW-Authenticate" in refused.exception.headers, status == 401)


if __name__ == "__main__":
    unittest.main()
