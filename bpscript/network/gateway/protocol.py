"""What crosses the wire between a script and the login gateway; byte for byte in GATEWAY.md.

    read "hello/" + name of the client's key     ->  HELLO: the gateway's key, its key of this minute, a cookie, a signature
    read "check/" + sealed question              ->  sealed answer: wait, passed or failed

X25519 (RFC 7748), Ed25519 (RFC 8032), HKDF-SHA-256 (RFC 5869), ChaCha20-Poly1305 (RFC 8439) and XChaCha20-Poly1305, all of
pycryptodome. A client's key is for one question: what is sealed by it is sealed once.
"""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from ...base.errors import FormatError

if TYPE_CHECKING:
    from Crypto.PublicKey.ECC import EccKey

HELLO, CHECK = "hello/", "check/"
PORT = 89                       # of BpBatch's security gateway
LABEL = b"bpscript gateway 1 "
MAGIC = b"BPG1"
KEY_SIZE = 32                   # bytes of an X25519 and of an Ed25519 public key
PERIOD_SIZE = 8                 # the first bytes of the gateway's key of the minute tell which one is meant
COOKIE_SIZE = 16
SIGNATURE_SIZE = 64
TAG_SIZE = 16
PLAIN_SIZE = 256                # every question has this size, so that it does not tell how long the password is
MAX_TEXT = PLAIN_SIZE - 3       # bytes of user, domain and password together; each has one byte of length in front

_HELLO = struct.Struct("4s32s32s16s64s")        # magic, Ed25519 key, X25519 key, cookie, signature of all before
_CHECK = struct.Struct(f"32s8s16s{PLAIN_SIZE + TAG_SIZE}s")     # client's X25519 key, period, cookie, sealed question
_ANSWER = struct.Struct("24s1s16s")             # nonce, sealed verdict, tag
HELLO_SIZE, CHECK_SIZE, ANSWER_SIZE = _HELLO.size, _CHECK.size, _ANSWER.size


class Verdict(IntEnum):
    """The byte of an answer."""

    WAITING = 0
    PASSED = 1
    FAILED = 2


@dataclass(frozen=True, slots=True)
class Hello:
    """The gateway's half of the handshake."""

    gateway_key: bytes          # Ed25519, for years
    period_key: bytes           # X25519, for two minutes
    cookie: bytes               # proves that the client gets what is sent to its address
    signature: bytes = b""

    @property
    def signed(self) -> bytes:
        """The bytes that are signed, together with the client's key."""
        return MAGIC + self.gateway_key + self.period_key + self.cookie

    def build(self) -> bytes:
        """The answer to `hello/`."""
        return self.signed + self.signature

    @classmethod
    def parse(cls, data: bytes) -> "Hello":
        """Raises FormatError; the signature is not looked at."""
        if len(data) != HELLO_SIZE or data[:4] != MAGIC:
            raise FormatError(f"{len(data)} bytes that are no greeting of a login gateway")
        return cls(*_HELLO.unpack(data)[1:])


def to_sign(client_key: bytes, hello: Hello) -> bytes:
    """What the gateway signs: nothing that it ever says to another client, or to this one at another time."""
    return LABEL + b"hello" + client_key + hello.signed


@dataclass(frozen=True, slots=True)
class Check:
    """A sealed question."""

    client_key: bytes
    period: bytes
    cookie: bytes
    sealed: bytes = b""

    @property
    def head(self) -> bytes:
        """What stands in clear, and is sealed in."""
        return self.client_key + self.period + self.cookie

    def build(self) -> bytes:
        """The bytes whose base64 is the file name after `check/`."""
        return self.head + self.sealed

    @classmethod
    def parse(cls, data: bytes) -> "Check":
        """Raises FormatError."""
        if len(data) != CHECK_SIZE:
            raise FormatError(f"{len(data)} bytes that are no question to a login gateway")
        return cls(*_CHECK.unpack(data))


@dataclass(frozen=True, slots=True)
class Question:
    """Who wants in."""

    user: str
    domain: str
    password: str = field(repr=False)

    def build(self) -> bytes:
        """Three texts with their lengths, and zeros. Raises FormatError for what is too long."""
        texts = [text.encode("utf-8", "surrogateescape") for text in (self.user, self.domain, self.password)]
        if sum(map(len, texts)) > MAX_TEXT or max(map(len, texts)) > 255:
            raise FormatError(f"user, password and domain have {sum(map(len, texts))} bytes; expected at most {MAX_TEXT}")
        return b"".join(bytes((len(text),)) + text for text in texts).ljust(PLAIN_SIZE, b"\0")

    @classmethod
    def parse(cls, data: bytes) -> "Question":
        """Raises FormatError."""
        texts, at = [], 0
        for _ in range(3):
            end = at + 1 + data[at] if at < len(data) else len(data) + 1
            if end > len(data):
                raise FormatError("a question that is cut off")
            texts.append(data[at + 1 : end])
            at = end
        if any(data[at:]):
            raise FormatError("a question with something behind it")
        try:
            user, domain, password = (text.decode("utf-8") for text in texts)
        except UnicodeDecodeError:
            raise FormatError("a question that is no text") from None
        return cls(user, domain, password)


class Keys:
    """The keys of one question, the same on both sides; made from the shared secret and all that was said in the handshake."""

    def __init__(self, own: "EccKey", peer: bytes, client_key: bytes, hello: Hello) -> None:
        """Raises FormatError for a key of the peer that is none."""
        from Crypto.Hash import SHA256  # noqa: PLC0415 - slow to load
        from Crypto.Protocol.DH import import_x25519_public_key, key_agreement  # noqa: PLC0415
        from Crypto.Protocol.KDF import HKDF  # noqa: PLC0415

        salt = SHA256.new(LABEL + b"keys" + client_key + hello.signed).digest()

        def derive(secret: bytes) -> bytes:
            made = HKDF(secret, 76, salt, SHA256, context=LABEL + b"question and answer")
            assert isinstance(made, bytes)
            return made

        try:
            made = bytes(key_agreement(eph_priv=own, eph_pub=import_x25519_public_key(peer), kdf=derive))
        except ValueError as error:     # RFC 7748, 6.1: a key that makes every secret zero is refused too
            raise FormatError("a key that is no X25519 key") from error
        self._question, self._nonce, self._answer = made[:32], made[32:44], made[44:76]

    def seal(self, check: Check, question: Question) -> Check:
        """The question sealed into its request. Once for each object: a second question would need another nonce."""
        from Crypto.Cipher import ChaCha20_Poly1305  # noqa: PLC0415 - slow to load

        cipher = ChaCha20_Poly1305.new(key=self._question, nonce=self._nonce)
        cipher.update(check.head)
        sealed, tag = cipher.encrypt_and_digest(question.build())
        return Check(check.client_key, check.period, check.cookie, sealed + tag)

    def open(self, check: Check) -> Question:
        """The question. Raises FormatError when it was not sealed by the owner of these keys, or was changed."""
        from Crypto.Cipher import ChaCha20_Poly1305  # noqa: PLC0415

        cipher = ChaCha20_Poly1305.new(key=self._question, nonce=self._nonce)
        cipher.update(check.head)
        try:
            return Question.parse(cipher.decrypt_and_verify(check.sealed[:-TAG_SIZE], check.sealed[-TAG_SIZE:]))
        except ValueError as error:
            raise FormatError("a question that was changed on its way") from error

    def seal_answer(self, check: Check, verdict: Verdict, nonce: bytes) -> bytes:
        """The answer to a question; `nonce` are 24 random bytes."""
        from Crypto.Cipher import ChaCha20_Poly1305  # noqa: PLC0415

        cipher = ChaCha20_Poly1305.new(key=self._answer, nonce=nonce)
        cipher.update(check.build())
        sealed, tag = cipher.encrypt_and_digest(bytes((verdict,)))
        return nonce + sealed + tag

    def open_answer(self, check: Check, data: bytes) -> Verdict:
        """Raises FormatError when it is no answer to this question by the gateway."""
        from Crypto.Cipher import ChaCha20_Poly1305  # noqa: PLC0415

        if len(data) != ANSWER_SIZE:
            raise FormatError(f"{len(data)} bytes that are no answer of a login gateway")
        nonce, sealed, tag = _ANSWER.unpack(data)
        cipher = ChaCha20_Poly1305.new(key=self._answer, nonce=nonce)
        cipher.update(check.build())
        try:
            return Verdict(cipher.decrypt_and_verify(sealed, tag)[0])
        except ValueError as error:
            raise FormatError("an answer that is not the gateway's, or not to this question") from error


def exchange_key(seed: bytes) -> "EccKey":
    """An X25519 key from 32 random bytes."""
    from Crypto.PublicKey import ECC  # noqa: PLC0415 - slow to load

    return ECC.construct(curve="Curve25519", seed=seed)


def public_bytes(key: "EccKey") -> bytes:
    """Its public half, 32 bytes."""
    return bytes(key.public_key().export_key(format="raw"))


def to_name(data: bytes) -> str:
    """Bytes as letters of a file name (RFC 4648, 5, without padding)."""
    return urlsafe_b64encode(data).decode("ascii").rstrip("=")


def from_name(name: str) -> bytes:
    """Raises FormatError. There is only one name for the same bytes."""
    try:
        data = urlsafe_b64decode(name.encode("ascii") + b"=" * (-len(name) % 4))
    except ValueError:
        data = b""
    if to_name(data) != name:
        raise FormatError("a name that is no base64")
    return data
