"""Ed25519 signatures (RFC 8032), on pycryptodome."""

from typing import TYPE_CHECKING

from ..base.errors import FormatError

if TYPE_CHECKING:
    from Crypto.PublicKey.ECC import EccKey

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


class PrivateKey:
    """An Ed25519 key that signs. `public` are the 32 bytes of its public key."""

    def __init__(self, key: "EccKey") -> None:
        self._key = key
        self.public = bytes(key.public_key().export_key(format="raw"))

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes; the same for the same message."""
        from Crypto.Signature import eddsa  # noqa: PLC0415 - slow to load

        return bytes(eddsa.new(self._key, "rfc8032").sign(message))

    def to_pem(self) -> bytes:
        """The private key as PEM (PKCS #8, RFC 8410), without a passphrase: `openssl pkey -in` reads it."""
        return str(self._key.export_key(format="PEM")).encode() + b"\n"

    def public_pem(self) -> bytes:
        """The public key as PEM (SubjectPublicKeyInfo, RFC 8410): `openssl pkey -pubin -in` reads it."""
        return str(self._key.public_key().export_key(format="PEM")).encode() + b"\n"


def new_private_key() -> PrivateKey:
    """A key from the randomness of the system."""
    from Crypto.PublicKey import ECC  # noqa: PLC0415 - slow to load

    return PrivateKey(ECC.generate(curve="Ed25519"))


def parse_private_key(text: bytes) -> PrivateKey:
    """A private key from the contents of a key file: PEM or DER (`openssl genpkey -algorithm ed25519`), or OpenSSH's.

    Raises FormatError for anything else, public keys and keys under a passphrase included.
    """
    from Crypto.PublicKey import ECC  # noqa: PLC0415 - slow to load

    if b"ENCRYPTED" in text:
        raise _locked()
    try:
        key = ECC.import_key(text)
    except (ValueError, IndexError, TypeError) as error:
        if "passphrase" in str(error).lower() or "encrypted" in str(error).lower():
            raise _locked() from error
        raise FormatError("this is no private key: expected an Ed25519 key in PEM form", hint="bpscript image keygen makes one") from error
    if key.curve != "Ed25519":
        raise FormatError(f"this is a key for {key.curve}: expected one for Ed25519")
    if not key.has_private():
        raise FormatError("this is a public key: signing needs the private one")
    return PrivateKey(key)


def _locked() -> FormatError:
    return FormatError("this key is locked by a passphrase", hint="openssl pkey -in KEY -out UNLOCKED removes it")
