"""DES and MD5 against published vectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.errors import FormatError
from bpscript.crypto.des import des_decrypt, des_decrypt_hex, des_encrypt, des_encrypt_hex
from bpscript.crypto.md5 import md5_hex


# Sources: FIPS 81 table B1 (the first block of "Now is the time for all "); NBS SP 500-20 (IP and E test, first row).
@pytest.mark.parametrize(
    ("key", "text", "crypted"),
    [
        ("0123456789abcdef", "4e6f772069732074", "3fa40e8a984d4815"),
        ("0101010101010101", "8000000000000000", "95f8a5e5dd31d900"),
        ("0101010101010101", "95f8a5e5dd31d900", "8000000000000000"),
        ("8001010101010101", "0000000000000000", "95a8d72813daa94d"),
    ],
)
def test_published_vectors(key: str, text: str, crypted: str) -> None:
    assert des_encrypt(bytes.fromhex(text), bytes.fromhex(key)).hex() == crypted


def test_the_known_answers_of_the_language() -> None:
    assert des_encrypt_hex(b"abcdefgh", b"12345678") == "94d4436bc3b5b693"
    assert des_encrypt_hex(b"secret", b"key12345") == "c0673e81bb2f08e9"
    assert des_decrypt_hex("C0673E81bb2f08e9", b"key12345") == b"secret"


def test_parity_bits_of_the_key_do_not_count() -> None:
    assert des_encrypt(b"12345678", b"\x00" * 8) == des_encrypt(b"12345678", b"\x01" * 8)


def test_keys_are_padded_and_cut() -> None:
    assert des_encrypt(b"text", b"ab") == des_encrypt(b"text", b"ab\0\0\0\0\0\0")
    assert des_encrypt(b"text", b"12345678rest") == des_encrypt(b"text", b"12345678")


def test_nothing_gives_nothing() -> None:
    assert des_encrypt_hex(b"", b"key") == ""
    assert des_decrypt_hex("", b"key") == b""


@given(st.binary(max_size=64), st.binary(max_size=12))
def test_what_was_encrypted_comes_back_without_trailing_nuls(text: bytes, key: bytes) -> None:
    assert des_decrypt_hex(des_encrypt_hex(text, key).upper(), key) == text.rstrip(b"\0")


@pytest.mark.parametrize(
    ("digits", "reason"),
    [
        ("c0673e81bb2f08eg", '"g" at character 15 is no hexadecimal digit'),
        ("c0 673e81bb2f08e9", '" " at character 2'),
        ("c0673e81bb2f08e", "15 hexadecimal digits"),
        ("c0673e81bb2f08", "14 hexadecimal digits"),
        ("c0673e81bb2f08e\N{ARABIC-INDIC DIGIT NINE}", "is no hexadecimal digit"),
    ],
)
def test_bad_hexadecimal_is_refused(digits: str, reason: str) -> None:
    with pytest.raises(FormatError) as caught:
        des_decrypt_hex(digits, b"key")
    assert reason in caught.value.message


def test_half_blocks_are_refused() -> None:
    with pytest.raises(FormatError, match="7 bytes cannot be decrypted"):
        des_decrypt(b"1234567", b"key")


# RFC 1321 A.5
@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (b"", "d41d8cd98f00b204e9800998ecf8427e"),
        (b"abc", "900150983cd24fb0d6963f7d28e17f72"),
        (b"message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
    ],
)
def test_md5_vectors(text: bytes, digest: str) -> None:
    assert md5_hex(text) == digest
