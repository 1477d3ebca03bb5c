"""RADIUS packets: published values, and answers that are damaged, of somebody else, or forged.

Invariant: any bytes are an answer that was made with the secret for this very question, or None, or a NetworkError.
"""

import hmac
import struct
from hashlib import md5, shake_256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.errors import FormatError, NetworkError
from bpscript.network.gateway.radius import SENDS, WAIT_S, Code, Query, Server, hide

SERVER = Server("radius", b"xyzzy5461")
OLD = Server("radius", b"xyzzy5461", unsigned=True)


def query(server: Server = SERVER, user: str = "nemo", password: str = "arctangent") -> Query:
    count = iter(range(100))
    return Query(server, user, password, lambda length: shake_256(bytes((next(count),))).digest(length))


def answer(asked: Query, code: int = Code.ACCEPT, secret: bytes = b"xyzzy5461", *, signed: bool = True, attributes: bytes = b"") -> bytes:
    """What a server says (RFC 2865, 3; RFC 2869, 5.14), made apart from the code under test."""
    authenticator = asked.packet[4:20]
    length = 20 + len(attributes) + (18 if signed else 0)
    head = struct.pack(">BBH", code, asked.packet[1], length)
    if signed:
        mac = hmac.new(secret, head + authenticator + b"\x50\x12" + bytes(16) + attributes, "md5").digest()
        attributes = b"\x50\x12" + mac + attributes
    return head + md5(head + authenticator + attributes + secret).digest() + attributes


def test_the_password_of_the_example_of_the_standard() -> None:
    """RFC 2865, 7.1: "nemo" logs in with "arctangent"."""
    authenticator = bytes.fromhex("0f403f9473978057bd83d5cb98f4227a")
    assert hide(b"arctangent", b"xyzzy5461", authenticator).hex() == "0dbe708d93d413ce3196e43f782a0aee"


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 32, 128], ids=str)
def test_hiding_can_be_undone_by_who_knows_the_secret(length: int) -> None:
    password, authenticator = bytes(range(1, length + 1)), bytes(range(16))
    hidden = hide(password, b"secret", authenticator)
    assert len(hidden) == max(16, -(-length // 16) * 16)
    last, found = authenticator, b""
    for at in range(0, len(hidden), 16):
        found += bytes(a ^ b for a, b in zip(hidden[at : at + 16], md5(b"secret" + last).digest(), strict=True))
        last = hidden[at : at + 16]
    assert found.rstrip(b"\0") == password


@pytest.mark.parametrize(("code", "passed"), [(Code.ACCEPT, True), (Code.REJECT, False), (Code.CHALLENGE, False)], ids=["accept", "reject", "challenge"])
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_an_answer(code: Code, passed: bool, signed: bool) -> None:
    asked = query(SERVER if signed else OLD)
    assert asked.receive(answer(asked, code, signed=signed, attributes=b"\x12\x06hey!")) is passed


def test_an_answer_that_may_be_forged_is_refused() -> None:
    asked = query()
    with pytest.raises(NetworkError, match="without a Message-Authenticator"):
        asked.receive(answer(asked, signed=False))


@given(at=st.integers(4, 43), bit=st.integers(0, 7), server=st.sampled_from([SERVER, OLD]))
def test_a_changed_answer_is_none(at: int, bit: int, server: Server) -> None:
    asked = query(server)
    packet = bytearray(answer(asked, attributes=b"\x12\x06hey!"))
    packet[at] ^= 1 << bit
    assert asked.receive(bytes(packet)) is None


def test_a_reject_cannot_be_made_an_accept() -> None:
    asked = query(OLD)
    packet = answer(asked, Code.REJECT, signed=False)
    assert asked.receive(bytes((Code.ACCEPT,)) + packet[1:]) is None


def test_answers_to_others_are_none() -> None:
    asked, other = query(), query(user="other")
    assert asked.receive(answer(asked, secret=b"guessed")) is None
    packet = answer(other)
    assert asked.packet[1] == other.packet[1]
    wrong = bytes((packet[0], packet[1] ^ 1)) + packet[2:]
    assert asked.receive(wrong) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_no_answer(junk: bytes) -> None:
    assert query().receive(junk) is None
    assert query().receive(bytes((2, query().packet[1])) + junk) is None


@given(st.binary(max_size=120))
def test_any_attributes_are_read_or_not(attributes: bytes) -> None:
    asked = query()
    try:
        assert asked.receive(answer(asked, signed=False, attributes=attributes)) is None     # a Message-Authenticator that is wrong
    except NetworkError as error:
        assert "Message-Authenticator" in error.message  # noqa: PT017


def test_it_asks_three_times_and_then_gives_up() -> None:
    asked = query()
    assert asked.start(0.0) == asked.packet
    sent = 1
    for tenth in range(1, 100):
        try:
            sent += asked.expire(tenth / 10) is not None
        except NetworkError as error:
            assert "gives no answer" in error.message  # noqa: PT017
            assert tenth / 10 == SENDS * WAIT_S
            break
    assert sent == SENDS


def test_neither_form_holds_the_password() -> None:
    for server in (SERVER, Server("radius", b"xyzzy5461", chap=True)):
        assert b"arctangent" not in query(server).packet
        assert b"nemo" in query(server).packet


@pytest.mark.parametrize(("user", "password"), [("x" * 254, "p"), ("u", "p" * 129)], ids=["user", "password"])
def test_what_does_not_fit(user: str, password: str) -> None:
    with pytest.raises(FormatError, match="more than 128 bytes"):
        query(user=user, password=password)
