"""How the feed is followed: what is revoked is refused, and nothing is accepted by knowledge that is too old."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import unittest
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

from dualauth_verify import VerificationError, Verifier, _Connection

from tests.stub import Signer, Stub, eventually


class FollowingTests(unittest.TestCase):
    def setUp(self) -> None:
        self.stub = Stub()
        self.addCleanup(self.stub.stop)

    def verifier(self, **settings: Any) -> Verifier:
        # A bound that a busy machine keeps, where a test is not about what happens beyond it.
        all_settings = {"staleness_bound": 20.0, **settings}
        verifier = Verifier(
            self.stub.url, self.stub.url, self.stub.client_id, self.stub.client_secret, **all_settings
        )
        self.addCleanup(verifier.close)
        return verifier

    def code(self, verifier: Verifier, token: str) -> str:
        try:
            verifier.verify(token)
        except VerificationError as refused:
            return refused.code
        return "accepted"

    def assert_becomes(self, verifier: Verifier, token: str, code: str) -> None:
        eventually(f"{code} instead of {self.code(verifier, token)}", lambda: self.code(verifier, token) == code)

    def test_the_first_request_waits_until_the_feed_is_loaded(self) -> None:
        sid = str(uuid.uuid4())
        for _ in range(10):
            self.stub.end(str(uuid.uuid4()))
        self.stub.end(sid)
        self.stub.page_size = 3
        verifier = self.verifier()
        self.assertEqual(self.code(verifier, self.stub.token(sid=sid)), "token_revoked")
        self.assertEqual(self.code(verifier, self.stub.token()), "accepted")
        self.assertTrue(verifier.fresh)
        self.assertEqual(self.stub.requests[0], ("", 0.0), "it waits for no news before it knows the present")

    def test_a_revoked_login_is_refused_though_its_token_was_accepted_before(self) -> None:
        verifier, sid = self.verifier(), str(uuid.uuid4())
        token = self.stub.token(sid=sid.upper())
        self.assertEqual(self.code(verifier, token), "accepted")
        self.stub.end(sid)
        self.assert_becomes(verifier, token, "token_revoked")

    def test_a_coroutine_can_verify(self) -> None:
        token = self.stub.token()
        self.assertEqual(asyncio.run(self.verifier().verify_async(token)).username, "ada")

    def test_other_roles_or_another_name_are_refused_until_they_change_back(self) -> None:
        verifier, sub = self.verifier(), str(uuid.uuid4())
        token = self.stub.token(sub=sub)
        self.assertEqual(self.code(verifier, token), "accepted")
        for username, roles in (("ada", ["user", "admin"]), ("ada", []), ("lovelace", ["user"])):
            self.stub.own(sub, username, roles)
            self.assert_becomes(verifier, token, "token_revoked")
            self.assertEqual(self.code(verifier, self.stub.token(sub=sub, username=username, roles=roles)), "accepted")
            self.stub.own(sub, "ada", ["user"])
            self.assert_becomes(verifier, token, "accepted")

    def test_a_token_that_is_newer_than_what_is_known_is_accepted(self) -> None:
        verifier, sub = self.verifier(), str(uuid.uuid4())
        self.stub.own(sub, "ada", ["user"])
        self.assertEqual(self.code(verifier, self.stub.token(sub=sub)), "accepted")
        # Whoever follows is not told: the request that is held goes on being held.
        with self.stub.news:
            self.stub.own(sub, "ada", ["admin"])
            self.stub.news.notify_all = lambda: None  # type: ignore[method-assign]
        asked = len(self.stub.requests)
        with ThreadPoolExecutor(20) as pool:
            token = self.stub.token(sub=sub, roles=["admin"])
            codes = list(pool.map(lambda _: self.code(verifier, token), range(20)))
        self.assertEqual(set(codes), {"accepted"})
        self.assertLess(len(self.stub.requests) - asked, 20, "callers share a request")

    def test_a_token_is_asked_about_until_the_answer_is_newer_than_the_token(self) -> None:
        verifier, sub = self.verifier(), str(uuid.uuid4())
        self.stub.own(sub, "ada", ["admin"])
        token = self.stub.token(sub=sub)
        self.assert_becomes(verifier, token, "token_revoked")
        self.stub.age_ms = 5_000

        def asked() -> int:
            return sum(wait == 0 for _, wait in self.stub.requests)

        before = asked()
        with ThreadPoolExecutor(1) as pool:
            code = pool.submit(self.code, verifier, token)
            eventually("it asks again", lambda: asked() >= before + 2)
            self.assertFalse(code.done(), "what is that old says nothing of the token")
            self.stub.own(sub, "ada", ["user"])
            self.stub.age_ms = 0
            self.assertEqual(code.result(), "accepted")

    def test_a_changed_owner_is_not_judged_while_nobody_can_be_asked(self) -> None:
        verifier, sub = self.verifier(), str(uuid.uuid4())
        self.stub.own(sub, "ada", ["admin"])
        token = self.stub.token(sub=sub)
        self.assert_becomes(verifier, token, "token_revoked")
        with self.stub.changing():
            self.stub.is_away = True
        self.assert_becomes(verifier, token, "unavailable")

    def test_what_is_too_old_is_refused_or_served_as_set(self) -> None:
        refusing = self.verifier(staleness_bound=0.5)
        serving = self.verifier(staleness_bound=0.5, when_stale="serve")
        good, sid, dead = self.stub.token(), str(uuid.uuid4()), ""
        dead = self.stub.token(sid=sid)
        self.stub.end(sid)
        for verifier in (refusing, serving):
            self.assert_becomes(verifier, dead, "token_revoked")
            self.assert_becomes(verifier, good, "accepted")
        with self.stub.changing():
            self.stub.is_away = True
        self.assert_becomes(refusing, good, "unavailable")
        eventually("it knows that it is stale", lambda: not serving.fresh)
        self.assertEqual(self.code(serving, good), "accepted")
        self.assertEqual(self.code(serving, dead), "token_revoked")
        self.stub.is_away = False
        self.assert_becomes(refusing, good, "accepted")
        eventually("it is fresh again", lambda: serving.fresh)

    def test_the_age_of_an_answer_counts(self) -> None:
        self.stub.age_ms = 30_000
        self.assertEqual(self.code(self.verifier(), self.stub.token()), "unavailable")
        self.assertEqual(self.code(self.verifier(when_stale="serve"), self.stub.token()), "accepted")

    def test_before_the_first_answer_nothing_is_accepted(self) -> None:
        self.stub.is_away = True
        for when_stale in ("refuse", "serve"):
            verifier = self.verifier(when_stale=when_stale, staleness_bound=0.5)
            self.assertEqual(self.code(verifier, self.stub.token()), "unavailable")
            self.assertFalse(verifier.fresh)
            self.assertEqual(self.code(verifier, "dur_x"), "invalid_token")
        self.assertEqual(self.stub.key_fetches, 0, "no sender of tokens makes it ask")
        self.stub.is_away = False
        self.assert_becomes(verifier, self.stub.token(), "accepted")

    def test_a_wrong_secret_accepts_nothing(self) -> None:
        verifier = Verifier(self.stub.url, self.stub.url, self.stub.client_id, "wrong", staleness_bound=0.5)
        self.addCleanup(verifier.close)
        self.assertEqual(self.code(verifier, self.stub.token()), "unavailable")

    def test_what_was_known_counts_until_the_pages_that_replace_it_are_complete(self) -> None:
        verifier, before, after = self.verifier(), str(uuid.uuid4()), str(uuid.uuid4())
        self.stub.end(before)
        token, later = self.stub.token(sid=before), self.stub.token(sid=after)
        self.assert_becomes(verifier, token, "token_revoked")
        with self.stub.changing():
            self.stub.history, self.stub.events, self.stub.page_size = 2, [], 1
        for _ in range(50):
            self.stub.end(str(uuid.uuid4()))
            self.assertIn(self.code(verifier, token), ("token_revoked", "accepted"))
        self.stub.end(after)
        self.assert_becomes(verifier, later, "token_revoked")
        self.assert_becomes(verifier, token, "accepted")

    def test_a_retired_key_is_refused_and_a_new_one_accepted(self) -> None:
        verifier, old, new = self.verifier(), self.stub.signer, Signer("ES256")
        token = self.stub.token()
        self.assertEqual(self.code(verifier, token), "accepted")
        self.stub.publish(new)
        self.assertEqual(self.code(verifier, new.token(new.header(), self.stub.claims())), "accepted")
        self.assert_becomes(verifier, token, "invalid_token")
        self.stub.publish(new, old)
        self.assert_becomes(verifier, token, "accepted")

    def test_no_news_count_before_the_keys_that_they_tell_of_are_there(self) -> None:
        verifier, sid = self.verifier(staleness_bound=1.0), str(uuid.uuid4())
        token = self.stub.token()
        self.assert_becomes(verifier, token, "accepted")
        self.stub.keys_are_away = True
        self.stub.publish(Signer("EdDSA"))
        self.assert_becomes(verifier, token, "unavailable")
        self.stub.end(sid)
        self.stub.keys_are_away = False
        self.assert_becomes(verifier, token, "invalid_token")

    def test_what_has_expired_is_forgotten(self) -> None:
        verifier = self.verifier()
        self.stub.end(str(uuid.uuid4()), lasting=-60)
        self.stub.end(str(uuid.uuid4()))
        self.assertEqual(self.code(verifier, self.stub.token()), "accepted")
        known = verifier._feed.known  # type: ignore[union-attr]
        self.assertEqual(len(known.ended), 2)  # type: ignore[union-attr]
        known.forget_expired()  # type: ignore[union-attr]
        self.assertEqual(len(known.ended), 1)  # type: ignore[union-attr]

    def test_a_connection_that_was_closed_is_opened_again(self) -> None:
        verifier, sub = self.verifier(), str(uuid.uuid4())
        self.stub.own(sub, "ada", ["admin"])
        token = self.stub.token(sub=sub)
        self.assert_becomes(verifier, token, "token_revoked")
        kept = verifier._feed._connection_again._kept  # type: ignore[union-attr]
        kept.sock.shutdown(2)  # type: ignore[union-attr]
        self.assertEqual(self.code(verifier, token), "token_revoked")

    @unittest.skipUnless(hasattr(os, "fork"), "nothing forks here")
    def test_a_forked_process_follows_by_itself(self) -> None:
        verifier, token = self.verifier(), self.stub.token()
        self.assertEqual(self.code(verifier, token), "accepted")
        child = os.fork()
        if child == 0:
            follows = [thread.name for thread in threading.enumerate()]
            code = self.code(verifier, token)
            follows_now = [thread.name for thread in threading.enumerate()]
            is_right = code == "accepted" and "dualauth-feed" not in follows and "dualauth-feed" in follows_now
            sys.stdout.flush()
            os._exit(0 if is_right else 1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(self.code(verifier, token), "accepted")

    def test_only_a_change_is_logged(self) -> None:
        verifier = self.verifier(staleness_bound=1.0)
        eventually("it is loaded", lambda: verifier.fresh)
        with self.assertLogs("dualauth", "INFO") as logs:
            for expected in (2, 4):
                asked = len(self.stub.requests)
                with self.stub.changing():
                    self.stub.is_away = True
                eventually("it is stale", lambda: len(logs.records) == expected - 1)
                asked = len(self.stub.requests)
                eventually("more requests fail", lambda: len(self.stub.requests) > asked + 2)
                self.stub.is_away = False
                eventually("it is logged", lambda: len(logs.records) >= expected)
        self.assertEqual([record.levelname for record in logs.records], ["WARNING"] * 4)
        told = [record.getMessage() for record in logs.records]
        self.assertEqual(told[0], "dualauth's revocations can't be followed: /jwt/feed: status 503")
        self.assertEqual(told[1], "dualauth's revocations are followed again")

    def test_answers_that_are_too_old_are_logged(self) -> None:
        verifier = self.verifier(staleness_bound=2.0)
        self.stub.age_ms = 30_000
        with self.assertLogs("dualauth", "WARNING") as logs:
            self.assertFalse(verifier.fresh)
            eventually("several requests", lambda: len(self.stub.requests) > 3)
        self.assertEqual(len(logs.records), 1)
        self.assertIn("must not be larger", logs.records[0].getMessage())

    def test_a_wrong_secret_is_named_in_the_log(self) -> None:
        with self.assertLogs("dualauth", "WARNING") as logs:
            verifier = Verifier(self.stub.url, self.stub.url, self.stub.client_id, "wrong", staleness_bound=0.5)
            self.addCleanup(verifier.close)
            self.assertFalse(verifier.fresh)
        self.assertIn("dualauth refuses the client's id or secret", logs.records[0].getMessage())

    def test_an_id_and_a_secret_of_any_characters_are_sent(self) -> None:
        self.stub.client_id, self.stub.client_secret = "a:b c", "100 %+ö€"
        self.assertEqual(self.code(self.verifier(), self.stub.token()), "accepted")

    def test_no_entry_is_missed_when_the_clock_jumps_ahead_and_back(self) -> None:
        verifier, sid = self.verifier(), str(uuid.uuid4())
        token = self.stub.token(sid=sid)
        self.stub.end(sid)
        self.assertEqual(self.code(verifier, token), "token_revoked")
        now = time.time
        with patch("dualauth_verify.time.time", lambda: now() + 2_000):
            verifier._feed.known.forget_expired()  # type: ignore[union-attr]
        self.assertEqual(self.code(verifier, token), "unavailable")
        self.stub.end(str(uuid.uuid4()))

        def is_refused_again() -> bool:
            self.assertNotEqual(self.code(verifier, token), "accepted")
            return self.code(verifier, token) == "token_revoked"

        eventually("all is read again", is_refused_again)
        self.assertTrue(verifier.fresh)
        self.assertEqual([cursor for cursor, _ in self.stub.requests].count(""), 2)

    def test_what_is_known_in_part_is_not_fresh(self) -> None:
        verifier, sid, last, good = self.verifier(staleness_bound=100), str(uuid.uuid4()), str(uuid.uuid4()), self.stub.token()
        self.assertEqual(self.code(verifier, good), "accepted")
        with self.stub.changing():
            self.stub.page_size, self.stub.answers_left = 1, 1
            self.stub.end(sid)
            self.stub.end(last)
        self.assert_becomes(verifier, good, "unavailable")
        self.assert_becomes(verifier, self.stub.token(sid=sid), "unavailable")
        with self.stub.changing():
            self.stub.answers_left, self.stub.is_away = None, False
        self.assert_becomes(verifier, good, "accepted")
        for each in (sid, last):
            self.assertEqual(self.code(verifier, self.stub.token(sid=each)), "token_revoked")

    def test_a_key_that_is_withdrawn_by_time_alone_is_refused(self) -> None:
        verifier, old = self.verifier(), self.stub.token()
        self.assertEqual(self.code(verifier, old), "accepted")
        self.stub.keys = [Signer("EdDSA").jwk]
        with patch("dualauth_verify._UNKNOWN_KID_PAUSE", 0.0), patch("dualauth_verify._KEYS_LIFETIME", 0.0):
            self.assert_becomes(verifier, old, "invalid_token")

    def test_while_it_is_stale_it_waits_for_no_news(self) -> None:
        verifier = self.verifier(staleness_bound=1.0)
        self.stub.age_ms = 30_000
        self.assertFalse(verifier.fresh)
        eventually("several requests", lambda: len(self.stub.requests) > 3)
        self.assertEqual({wait for _, wait in self.stub.requests}, {0.0})
        self.stub.age_ms = 0
        eventually("a request for news", lambda: self.stub.requests[-1][1] > 0)
        self.assertTrue(verifier.fresh)

    def test_what_a_proxy_cuts_off_is_asked_for_with_shorter_waits(self) -> None:
        self.stub.longest_hold = 0.5
        verifier = self.verifier(staleness_bound=4.0)
        self.assertTrue(verifier.fresh)
        eventually("a shorter wait", lambda: self.stub.requests[-1][1] == 0.5)
        self.assertTrue(verifier.fresh)
        self.assertEqual([wait for _, wait in self.stub.requests][:4], [0.0, 1.0, 0.0, 0.5])

    def test_a_question_is_given_up_before_what_is_known_is_too_old(self) -> None:
        verifier = self.verifier()
        json, limits = _Connection.json, []

        def noted(connection: _Connection, path: str, timeout: float, *others: Any) -> Any:
            limits.append((path, timeout))
            return json(connection, path, timeout, *others)

        with patch.object(_Connection, "json", noted):
            self.assertTrue(verifier.fresh)
            eventually("a request for news", lambda: ("/jwt/feed", 15.0) in limits)
        self.assertEqual(limits[0], ("/jwt/feed", 10.0))

    def test_a_token_from_long_before_is_refused_without_a_question(self) -> None:
        verifier, sub = self.verifier(), str(uuid.uuid4())
        self.stub.own(sub, "ada", ["admin"])
        self.assertTrue(verifier.fresh)
        eventually("a request for news", lambda: self.stub.requests[-1][1] > 0)
        asked, now = len(self.stub.requests), int(time.time())
        self.assertEqual(self.code(verifier, self.stub.token(sub=sub, iat=now - 300)), "token_revoked")
        self.assertEqual(len(self.stub.requests), asked)
        self.assertEqual(self.code(verifier, self.stub.token(sub=sub, iat=now - 10)), "token_revoked")
        self.assertGreater(len(self.stub.requests), asked)

    def test_nobody_waits_long_for_a_node_that_is_behind(self) -> None:
        verifier, sub = self.verifier(staleness_bound=100), str(uuid.uuid4())
        self.stub.own(sub, "ada", ["admin"])
        self.stub.age_ms = 5_000
        with ThreadPoolExecutor(1) as pool:
            code = pool.submit(self.code, verifier, self.stub.token(sub=sub))
            eventually("an answer", code.done)
            self.assertEqual(code.result(), "unavailable")

    def test_a_name_that_is_not_told_is_not_compared(self) -> None:
        verifier, sub = self.verifier(), str(uuid.uuid4())
        self.stub.own(sub, None, ["user"])
        self.assertEqual(self.code(verifier, self.stub.token(sub=sub)), "accepted")
        self.assertEqual(self.code(verifier, self.stub.token(sub=sub, roles=["admin"])), "token_revoked")

    def test_settings_that_mean_nothing_are_refused(self) -> None:
        for settings in ({"when_stale": "perhaps"}, {"staleness_bound": 0}, {"staleness_bound": float("nan")}):
            with self.assertRaises(ValueError):
                self.verifier(**settings)
        with self.assertRaises(ValueError):
            Verifier(self.stub.url, self.stub.url, "an id alone")
        for url in ("auth.example.com", "localhost:8080", "//localhost", "https://", "ftp://localhost", "http://a:b"):
            with self.assertRaises(ValueError):
                self.verifier(url=url)


if __name__ == "__main__":
    unittest.main()
