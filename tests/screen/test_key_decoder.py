"""What terminals send for keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.screen.key_decoder import KeyDecoder
from bpscript.screen.keyboard import Key


def decoded(*pieces: bytes) -> list[Key]:
    decoder = KeyDecoder()
    for piece in pieces:
        decoder.feed(piece)
    decoder.pause()
    return list(decoder.keys)


def plain(text: str) -> list[Key]:
    return [Key(character) for character in text]


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        (b"ab", plain("ab")),
        ("é€😀".encode(), plain("é€😀")),
        (b"\r", plain("\r")),
        (b"\n", plain("\r")),
        (b"\r\n\r\0\r", plain("\r\r\r")),
        (b"\x7f\x08", plain("\b\b")),
        (b"\t\x01\0", plain("\t\x01")),
        (b"\x1b", plain("\x1b")),
        (b"\x1b\x1b", plain("\x1b\x1b")),
        (b"\x1bx\x1b2", [Key("x", alt=True), Key("2", alt=True)]),
        ("\x1bé".encode(), [Key("é", alt=True)]),
        (b"\x1b\r\x1b\x7f", [Key("\r", alt=True), Key("\b", alt=True)]),
        (b"\x1b[", [Key("[", alt=True)]),
        (b"\x1bO", [Key("O", alt=True)]),
        (b"a\x1b[Ab\x1b[1;5Cc\x1b[3~d\x1bOPe\x1b[[Af\x1b[15~", plain("abcdef")),
        (b"\x1bOM\x1bOj\x1bOp\x1bOy", plain("\r*09")),
        (b"\x1b\x1b[A", plain("\x1b")),
        (b"x\x1b[12", plain("x")),
        (b"\x1b[1;\x1b[Ax", plain("x")),
        ("\x1b[é".encode(), [Key("[", alt=True), Key("é")]),
        (b"\x1b[200~a\x1bb\r\nc\x1b[201~d", plain("a\x1bb\rcd")),
        (b"\x1b[200~a\x1b[201", plain("a\x1b[201")),
        (b"\x1b[" + b"1" * 100 + b"~x", plain("x")),
        (b"\xffa", plain("\ufffda")),
        (b"\xc3a", plain("\ufffda")),
    ],
)
def test_what_is_sent_is_a_key(sent: bytes, keys: list[Key]) -> None:
    assert decoded(sent) == keys


@pytest.mark.parametrize("sent", [b"q\x1b[1;3Ax\x1bOPy\x1bzw", "ä€\x1bé😀x".encode(), b"\x1b[200~ab\x1bc\x1b[20\x1b[201~d\x1b[B"])
def test_the_pieces_in_which_it_comes_do_not_matter(sent: bytes) -> None:
    for cut in range(len(sent) + 1):
        assert decoded(sent[:cut], sent[cut:]) == decoded(sent), cut
    assert decoded(*(bytes([byte]) for byte in sent)) == decoded(sent)


def test_half_a_character_waits_and_is_shown_as_such_in_the_end() -> None:
    decoder = KeyDecoder()
    decoder.feed("é".encode()[:1])
    decoder.pause()
    assert not decoder.keys
    decoder.end()
    assert list(decoder.keys) == [Key("\ufffd")]


@given(st.lists(st.binary(max_size=40)))
def test_any_bytes_are_keys_and_nothing_is_kept(pieces: list[bytes]) -> None:
    """Any bytes decode, to no more keys than bytes; none is NUL; what is kept of them is bounded."""
    decoder = KeyDecoder()
    for piece in pieces:
        decoder.feed(piece)
        assert len(decoder._text) < 64
    decoder.end()
    assert len(decoder.keys) <= sum(map(len, pieces))
    assert all(len(key.character) == 1 and key.character != "\0" for key in decoder.keys)
