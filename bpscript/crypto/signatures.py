"""Ed25519 signatures (RFC 8032), on pycryptodome."""

from ..base.errors import FormatError

PUBLIC_KEY_SIZE = 32        # bytes, RFC 8032 5.1.5


def parse_public_key(text: bytes) -> bytes:
    """The 32 bytes of a public key from the contents of a key file.

    Understood are PEM and DER (RFC 8410, `openssl pkey -pubout`), the line of an OpenSSH key, 64 hexadecimal digits, and the
    32 bytes themselves. Raises FormatError for anything else, private keys and other algorithms included.
    """
    if len(text) == PUBLIC_KEY_SIZE:
        return text
    try:
        digits = bytes.fromhex(text.decode("ascii").strip())
        if len(digits) == PUBLIC_KEY_SIZE:
            return digits
    except ValueError:
        pass
    from Crypto.PublicKey import ECC  # noqa: PLC0415 - slow to load

    try:
        key = ECC.import_key(text)
    except (ValueError, IndexError, TypeError) as error:
        raise FormatError("this is no public key: expected an Ed25519 key in PEM, OpenSSH or hexadecimal form") from error
    if key.curve != "Ed25519":
        raise FormatError(f"this is a key for {key.curve}: expected one for Ed25519")
    if key.has_private():
        raise FormatError("this is a private key: expected the public one", hint="openssl pkey -pubout makes it")
    return bytes(key.export_key(format="raw"))


def is_valid(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature (64 bytes) of a message was made with the private key of `public_key` (32 bytes)."""
    from Crypto.Signature import eddsa  # noqa: PLC0415 - slow to load

    try:
        eddsa.new(eddsa.import_public_key(public_key), "rfc8032").verify(message, signature)
    except ValueError:
        return False
    return True
