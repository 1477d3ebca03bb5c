"""DES as `DESCrypt` and `DESDecrypt` use it (language.md 8.6): ECB, NUL padding, hexadecimal text outside."""

import re

from ..base.errors import FormatError

BLOCK = 8       # bytes; FIPS 46-3

_HEX = re.compile(r"[0-9A-Fa-f]*\Z")


def des_encrypt(text: bytes, key: bytes) -> bytes:
    """`text` padded with NUL to whole blocks and encrypted; nothing gives nothing."""
    padded = text.ljust(-(-len(text) // BLOCK) * BLOCK, b"\0")
    return _cipher(key, padded, encrypt=True)


def des_decrypt(data: bytes, key: bytes) -> bytes:
    """What `des_encrypt` was given, without trailing NULs. Raises FormatError unless `data` is whole blocks."""
    if len(data) % BLOCK:
        raise FormatError(f"{len(data)} bytes cannot be decrypted: DES works on whole blocks of {BLOCK} bytes")
    return _cipher(key, data, encrypt=False).rstrip(b"\0")


def des_encrypt_hex(text: bytes, key: bytes) -> str:
    """`DESCrypt`: the encrypted text in lower-case hexadecimal digits."""
    return des_encrypt(text, key).hex()


def des_decrypt_hex(digits: str, key: bytes) -> bytes:
    """`DESDecrypt`: from hexadecimal digits of either case. Raises FormatError when they are something else."""
    if not _HEX.match(digits):
        place = next(i for i, letter in enumerate(digits) if not _HEX.match(letter))
        raise FormatError(f'"{digits[place]}" at character {place} is no hexadecimal digit')
    if len(digits) % (2 * BLOCK):
        raise FormatError(f"{len(digits)} hexadecimal digits cannot be decrypted: DES needs a multiple of {2 * BLOCK}")
    return des_decrypt(bytes.fromhex(digits), key)


def _cipher(key: bytes, data: bytes, *, encrypt: bool) -> bytes:
    if not data:
        return b""
    from Crypto.Cipher import DES  # noqa: PLC0415 - 50 ms

    # ECB and single DES are what the language defines; the lowest bit of each key byte is parity, which DES ignores.
    cipher = DES.new(key.ljust(BLOCK, b"\0")[:BLOCK], DES.MODE_ECB)  # noqa: S304
    return bytes(cipher.encrypt(data) if encrypt else cipher.decrypt(data))
