"""Ed25519: the published vectors, and the forms of key files that openssl and ssh-keygen make."""

from pathlib import Path

import pytest

from bpscript.base.errors import FormatError
from bpscript.crypto.signatures import is_valid, parse_public_key
from tests.oracles import run_tool

# RFC 8032, 7.1: tests 1 and 3.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
def test_the_published_vectors(key: str, message: str, signature: str) -> None:
    good = bytes.fromhex(signature)
    assert is_valid(bytes.fromhex(key), bytes.fromhex(message), good)
    assert not is_valid(bytes.fromhex(key), bytes.fromhex(message) + b"x", good)
    assert not is_valid(bytes.fromhex(key), bytes.fromhex(message), bytes([good[0] ^ 1]) + good[1:])
    assert not is_valid(bytes(32), bytes.fromhex(message), good)
    assert not is_valid(bytes.fromhex(key), bytes.fromhex(message), good[:63])


def test_key_files_of_openssl(tmp_path: Path) -> None:
    private, pem, der = tmp_path / "k", tmp_path / "k.pem", tmp_path / "k.der"
    run_tool(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private])
    run_tool(["openssl", "pkey", "-in", private, "-pubout", "-out", pem])
    run_tool(["openssl", "pkey", "-in", private, "-pubout", "-outform", "DER", "-out", der])
    key = parse_public_key(pem.read_bytes())
    assert key == parse_public_key(der.read_bytes()) == der.read_bytes()[-32:]
    assert parse_public_key(key) == key
    assert parse_public_key(key.hex().encode() + b"\n") == key
    with pytest.raises(FormatError, match="private key"):
        parse_public_key(private.read_bytes())


def test_other_keys_are_refused(tmp_path: Path) -> None:
    run_tool(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", tmp_path / "ec"])
    with pytest.raises(FormatError, match="expected one for Ed25519"):
        parse_public_key((tmp_path / "ec").read_bytes())
    for noise in (b"", b"x" * 31, b"-----BEGIN PUBLIC KEY-----\n", bytes(100)):
        with pytest.raises(FormatError, match="no public key"):
            parse_public_key(noise)
