"""A place in a carousel, with a server that is a list of answers."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import pytest

from bpscript.base.errors import NetworkError
from bpscript.network.carousel.calls import Membership, NoCarouselError
from bpscript.network.carousel.talk import COMPLETE, HERE, REPAIR, Invitation, Word
from bpscript.network.http.client import BrokenError
from bpscript.network.http.urls import Url, parse_url

INVITATION = Invitation("0123456789abcdef", "239.255.69.71", 1759, "10.0.0.1", 1 << 20, '"1"', 1408, 1_000_000, 0.1)


class Answer:
    def __init__(self, status: int, body: bytes, fields: Mapping[str, str] | None = None) -> None:
        self.status, self.reason, self.url = status, "Because", parse_url("http://10.0.0.1/x")
        self._body = body
        self._fields = dict(fields or {})

    def field(self, name: str) -> str | None:
        return self._fields.get(name)

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._body))
        buffer[:count] = self._body[:count]
        self._body = self._body[count:]
        return count

    def close(self) -> None:
        pass


class Server:
    """Answers one after the other; the last one again and again. `heard` are the words."""

    def __init__(self, *answers: Answer | Invitation | Exception) -> None:
        self.answers = list(answers)
        self.heard: list[Word] = []

    def fetch(self, method: str, url: Url, fields: Mapping[str, str], body: bytes | None = None) -> Answer:
        assert (method, str(url), body is not None) == ("POST", "http://10.0.0.1/api/carousel", True)
        self.heard.append(Word.parse(body or b""))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return Answer(200, answer.build()) if isinstance(answer, Invitation) else answer


@contextmanager
def kept(server: Server) -> Iterator[Membership]:
    membership = Membership(server, parse_url("http://10.0.0.1/x"), "0123abcd")
    thread = threading.Thread(target=membership.keep)
    thread.start()
    try:
        yield membership
    finally:
        membership.stop()
        thread.join(5)
        assert not thread.is_alive()


def soon(what: object) -> None:
    assert callable(what)
    end = time.monotonic() + 5
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("change", [{"session": "ffffffffffffffff"}, {"etag": '"2"'}, {"size": 7}], ids=str)
def test_another_state_of_the_file_is_noticed_and_the_place_given_up(change: dict[str, object]) -> None:
    server = Server(INVITATION, INVITATION, replace(INVITATION, **change))  # type: ignore[arg-type]
    with kept(server) as membership:
        soon(lambda: membership.changed)
        assert membership.ended is None
        time.sleep(0.3)
    assert len(server.heard) == 3


def test_the_same_file_at_another_rate_is_no_change() -> None:
    server = Server(INVITATION, replace(INVITATION, rate=5))
    with kept(server) as membership:
        soon(lambda: len(server.heard) > 3)
        assert not membership.changed
        assert membership.ended is None


def test_a_place_that_is_lost_is_told_and_not_asked_for_again() -> None:
    server = Server(INVITATION, Answer(503, b""))
    with kept(server) as membership:
        soon(lambda: membership.ended)
        assert membership.ended == "the server has no carousel for http://10.0.0.1/x (503 Because)"
        assert not membership.changed
        time.sleep(0.3)
    assert len(server.heard) == 2


def test_a_server_that_is_away_for_a_moment_is_told_again() -> None:
    server = Server(INVITATION, BrokenError("gone"), BrokenError("gone"), INVITATION)
    with kept(server) as membership:
        soon(lambda: len(server.heard) > 5)
        assert membership.ended is None


def test_from_the_switch_to_repair_on_it_says_so_every_time() -> None:
    server = Server(INVITATION)
    with kept(server) as membership:
        soon(lambda: len(server.heard) > 2)
        membership.passed()
        switched = len(server.heard)
        soon(lambda: len(server.heard) > switched + 2)
    assert server.heard[0].state == HERE
    assert {word.state for word in server.heard[switched:]} == {REPAIR}


def test_who_leaves_says_how_it_went_even_to_nobody() -> None:
    server = Server(INVITATION, NetworkError("gone"))
    membership = Membership(server, parse_url("http://10.0.0.1/x"), "0123abcd")
    membership.leave(complete=True, received=5, repaired=3)
    assert server.heard[-1] == Word("/x", "0123abcd", COMPLETE, 5, 3)


def test_without_a_place_there_is_no_carousel() -> None:
    with pytest.raises(NoCarouselError, match=r"no carousel for http://10\.0\.0\.1/x \(404 Because\)"):
        Membership(Server(Answer(404, b"")), parse_url("http://10.0.0.1/x"), "0123abcd")


def test_digests_of_another_state_are_a_change() -> None:
    server = Server(INVITATION, Answer(202, b""), Answer(200, bytes(32), {"etag": '"1"'}), Answer(200, bytes(32), {"etag": '"2"'}), Answer(200, bytes(31), {"etag": '"1"'}))
    membership = Membership(server, parse_url("http://10.0.0.1/x"), "0123abcd")
    assert membership.digests() is None
    assert membership.digests() == bytes(32)
    with pytest.raises(NetworkError, match="changed on the server while it was received"):
        membership.digests()
    with pytest.raises(NetworkError, match="sends digests of 31 bytes, expected 32"):
        membership.digests()
