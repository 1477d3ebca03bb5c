"""Crypt and Match-Passwd against published vectors and, as a second opinion, the C library's crypt(3)."""

import ctypes
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.base.errors import FormatError
from bpscript.crypto.unix_crypt import crypt, matches

# SHA: "Unix crypt using SHA-256 and SHA-512" (Drepper), the table of its reference implementation. DES: language.md 8.2.
# MD5: the OpenSSL manual (openssl-passwd).
VECTORS = [
    (b"justdoit", "Bp", "BpR8oiIlRR9bo"),
    (b"password", "$1$xxxxxxxx", "$1$xxxxxxxx$UYCIxa628.9qXjpQCjM4a."),
    (b"Hello world!", "$5$saltstring", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
    (b"Hello world!", "$5$rounds=10000$saltstringsaltstring",
     "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"),
    (b"This is just a test", "$5$rounds=5000$toolongsaltstring",
     "$5$rounds=5000$toolongsaltstrin$Un/5jzAHMgOGZ5.mWJpuVolil07guHPvOW8mGRcvxa5"),
    (b"a very much longer text to encrypt.  This one even stretches over morethan one line.",
     "$5$rounds=1400$anotherlongsaltstring",
     "$5$rounds=1400$anotherlongsalts$Rx.j8H.h8HjEDGomFU8bDkXm3XIUnzyxf12oP84Bnq1"),
    (b"the minimum number is still observed", "$5$rounds=10$roundstoolow",
     "$5$rounds=1000$roundstoolow$yfvwcWrQ8l/K0DAWyuPMDNHpIVlTQebY9l/gL972bIC"),
    (b"Hello world!", "$6$saltstring",
     "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"),
    (b"Hello world!", "$6$rounds=10000$saltstringsaltstring",
     "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v."),
    (b"This is just a test", "$6$rounds=5000$toolongsaltstring",
     "$6$rounds=5000$toolongsaltstrin$lQ8jolhgVRVhY4b5pZKaysCLi0QBxGoNeKQzQ3glMhwllF7oGDZxUhx1yxdYcz/e1JSbq3y6JMxxl8audkUEm0"),
    (b"the minimum number is still observed", "$6$rounds=10$roundstoolow",
     "$6$rounds=1000$roundstoolow$kUMsbe306n21p9R.FRkW3IGn.S9NPN0x50YhH1xhLsPuWGsUSklZt58jaTfF4ZEQpyUNGc0dqbpBYYBaHHrsX."),
]


@pytest.mark.parametrize(("text", "salt", "crypted"), VECTORS)
def test_published_vectors(text: bytes, salt: str, crypted: str) -> None:
    assert crypt(text, salt) == crypted
    assert crypt(text, crypted) == crypted      # a whole password is a salt too
    assert matches(text, crypted)
    assert not matches(text[1:], crypted)


@settings(max_examples=40, deadline=None)
@given(
    st.binary(max_size=40).map(lambda text: text.replace(b"\0", b"x")),
    st.sampled_from(["", "$1$", "$5$rounds=1000$", "$6$rounds=1001$"]),
    st.text("./09azAZ", min_size=2, max_size=20),
)
def test_the_c_library_agrees(text: bytes, method: str, salt: str) -> None:
    try:
        library = ctypes.CDLL("libcrypt.so.1")
    except OSError as error:
        pytest.skip(str(error))
    library.crypt.restype = ctypes.c_char_p
    # Its bigcrypt, for longer salts without a method, is not in the language: those are cut to two characters.
    theirs = library.crypt(text, (method + salt if method else salt[:2]).encode())
    assert crypt(text, method + salt).encode() == theirs


def test_only_the_first_eight_bytes_count_for_des() -> None:
    assert crypt(b"justdoit and more", "Bp") == "BpR8oiIlRR9bo"
    assert matches(b"justdoit!", "BpR8oiIlRR9bo")


def test_long_des_salts_are_cut_to_two_characters() -> None:
    assert crypt(b"justdoit", "Bpxyz%") == "BpR8oiIlRR9bo"


def test_an_empty_salt_of_a_modern_format_is_one() -> None:
    assert crypt(b"x", "$1$") == "$1$$LP5.V3ajGqHDdXW6XwZQy."


@pytest.mark.parametrize(
    ("salt", "reason"),
    [
        ("", "needs two characters"),
        ("B", '"B" is no salt'),
        ("B!", '"B!" is no salt'),
        ("_J9..", '"_J" is no salt'),
        ("$2b$12$abcdefghijklmnopqrstuu", '"$2b$" is no password format'),
        ("$y$j9T$abc", '"$y$" is no password format'),
        ("$6", "is no password format"),
        ("$6$rounds=abc$salt", '"rounds=abc" is no number'),
        ("$6$rounds=999999999$salt", "999999999 rounds is refused"),
        ("$6$rounds=99999999999999999999$salt", "is no number of rounds"),
        ("$5$sa:lt", '"sa:lt" is no salt'),
    ],
)
def test_a_salt_that_is_none_is_refused(salt: str, reason: str) -> None:
    with pytest.raises(FormatError) as caught:
        crypt(b"x", salt)
    assert reason in caught.value.message


def test_a_text_of_unreasonable_length_is_refused() -> None:
    with pytest.raises(FormatError, match="5000 bytes is too long"):
        crypt(b"x" * 5000, "$6$salt")
    assert not matches(b"x" * 5000, VECTORS[-1][2])


@given(st.text(max_size=60) | st.text("$156=rounds0/.aZ", max_size=60))
@settings(max_examples=200, deadline=None)
def test_nothing_but_a_true_match_matches(crypted: str) -> None:
    """Any text is a known password or never matches; nothing raises."""
    assert not matches(b"something else altogether", crypted)


@pytest.mark.parametrize("crypted", ["", "x", "Bp", "plain text", "BpR8oiIlRR9b", "BpR8oiIlRR9bo ", "$9$x$y", "Bé" + "R8oiIlRR9bo"])
def test_unknown_formats_never_match(crypted: str) -> None:
    assert not matches(b"justdoit", crypted)


def test_passlib_is_not_loaded_before_it_is_needed() -> None:
    code = "import sys, bpscript.crypto.unix_crypt, bpscript.crypto.des; print([m for m in sys.modules if m[:4] in ('pass', 'Cryp')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
