"""What goes over HTTP: anything is understood or refused."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.errors import NetworkError, UsageError
from bpscript.network.carousel.source import parse_carousel
from bpscript.network.carousel.talk import STATES, Invitation, Word, parse_group

WORD = Word("/images/a%20b.imz", "0123456789abcdef", "repair", 5, 6)
INVITATION = Invitation("00" * 8, "239.255.69.70", 1759, "10.0.0.1", 12345, '"1-2-3"', 1408, 90_000_000, 2.0)


@given(st.sampled_from(STATES), st.integers(0, 2**61), st.text("0123456789abcdef", min_size=8, max_size=64))
def test_a_word_comes_back_as_it_was(state: str, count: int, member: str) -> None:
    word = Word("/x", member, state, count, 0)
    assert Word.parse(word.build()) == word


def test_an_invitation_comes_back_as_it_was() -> None:
    assert Invitation.parse(INVITATION.build()) == INVITATION


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.integers(), max_size=2), st.sampled_from(["/x", "239.1.1.1"]))


@given(st.one_of(st.binary(max_size=80), st.dictionaries(st.sampled_from(["path", "member", "state", "received", "repaired"]), VALUES).map(lambda found: json.dumps(found).encode())))
def test_any_word_is_understood_or_refused(data: bytes) -> None:
    """Any bytes make a Word, or raise ValueError; nothing else."""
    with suppress(ValueError):
        Word.parse(data)


@given(st.one_of(st.binary(max_size=80), st.dictionaries(st.sampled_from([*json.loads(INVITATION.build())]), VALUES).map(lambda found: json.dumps({**json.loads(INVITATION.build()), **found}).encode())))
def test_any_invitation_is_understood_or_refused(data: bytes) -> None:
    """Any bytes make an Invitation that can be followed, or raise NetworkError; nothing else."""
    try:
        found = Invitation.parse(data)
    except NetworkError:
        return
    assert len(bytes.fromhex(found.session)) == 8
    assert 1 <= found.port <= 65535
    assert found.size >= 0


@pytest.mark.parametrize(("key", "value", "sentence"), [
    ("path", "x", "path is no path"), ("path", "/" + "x" * 5000, "path is no path"), ("member", "ABCDEFGH", "member is no name"),
    ("state", "gone", "state is none of here, repair"), ("received", -1, "a number is none"), ("repaired", True, "a number is none"),
])
def test_a_word_that_breaks_a_rule_is_refused(key: str, value: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Word.parse(json.dumps({**json.loads(WORD.build()), key: value}).encode())


@pytest.mark.parametrize(("key", "value"), [
    ("group", "10.0.0.1"), ("group", None), ("source", "server"), ("session", "xyz"), ("etag", ""), ("port", 0), ("block", 0), ("block", 70_000), ("size", -1),
    ("keep_alive_s", 0), ("keep_alive_s", 1e9), ("rate", "fast"),
])
def test_an_invitation_that_breaks_a_rule_is_refused(key: str, value: object) -> None:
    with pytest.raises(NetworkError, match="cannot be understood"):
        Invitation.parse(json.dumps({**json.loads(INVITATION.build()), key: value}).encode())


def test_a_group_has_a_port_by_default() -> None:
    assert parse_group("239.255.69.70") == ("239.255.69.70", 1759)
    assert parse_group("239.255.69.70:5000") == ("239.255.69.70", 5000)


@pytest.mark.parametrize(("text", "sentence"), [
    ("10.0.0.1", "expected an IPv4 multicast address"), ("room", "expected an IPv4 multicast address"), ("ff02::1", "expected an IPv4 multicast address"),
    ("239.1.1.1:", "'' is no port"), ("239.1.1.1:70000", "'70000' is no port"), ("239.1.1.1:0", "'0' is no port"),
])
def test_what_is_no_group_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        parse_group(text)


@pytest.mark.parametrize(("text", "sentence"), [("carousel+https://h/x", "by http only"), ("http://h/x", "begins with carousel"), ("carousel+ftp://h/x", "http://")])
def test_a_carousel_is_joined_by_http(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        parse_carousel(text)
