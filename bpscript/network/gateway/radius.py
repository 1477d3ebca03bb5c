"""A RADIUS client's packets and timing, without sockets: Access-Request with PAP or CHAP, and what comes back.

    code 1 | identifier 1 | length 2 | authenticator 16 | attributes: type 1, length 1 (with these two), value

Sources: RFC 2865 (3 packet, 5.2 hiding of the password, 5.3 CHAP), RFC 2869 5.14 (Message-Authenticator). MD5 is what the protocol
has; an answer whose Message-Authenticator is missing can be forged by somebody in between (CVE-2024-3596), so it is wanted
unless the server is known to be old.
"""

import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import md5

from ...base.errors import FormatError, NetworkError

PORT = 1812
MAX_PACKET = 4096                   # RFC 2865, 3
MAX_PASSWORD = 128                  # bytes, RFC 2865, 5.2
NAS_IDENTIFIER = b"bpscript"
SENDS, WAIT_S = 3, 1.0              # of the same packet, and after each

_HEAD = struct.Struct(">BBH16s")


class Code(IntEnum):
    """RFC 2865, 3."""

    REQUEST = 1
    ACCEPT = 2
    REJECT = 3
    CHALLENGE = 11


class Attribute(IntEnum):
    """RFC 2865, 5; RFC 2869, 5.14."""

    USER_NAME = 1
    USER_PASSWORD = 2
    CHAP_PASSWORD = 3
    SERVICE_TYPE = 6
    NAS_IDENTIFIER = 32
    CHAP_CHALLENGE = 60
    MESSAGE_AUTHENTICATOR = 80


_AUTHENTICATE_ONLY = (8).to_bytes(4, "big")     # RFC 2865, 5.6


@dataclass(frozen=True, slots=True)
class Server:
    """Where and how to ask. `unsigned`: answers without Message-Authenticator are taken."""

    host: str
    secret: bytes
    port: int = PORT
    chap: bool = False
    unsigned: bool = False


class Query:
    """One question: `packet` goes to the server, up to `SENDS` times; `receive` says what an answer means."""

    def __init__(self, server: Server, user: str, password: str, random: Callable[[int], bytes]) -> None:
        """Raises FormatError for a name or password that does not fit."""
        self._server = server
        self._identifier = random(1)[0]
        self._authenticator = random(16)
        name, secret = user.encode(), password.encode()
        if len(name) > 253 or len(secret) > MAX_PASSWORD:
            raise FormatError(f"a password of more than {MAX_PASSWORD} bytes, or a name of more than 253")
        if server.chap:
            challenge, identifier = random(16), random(1)
            proof = identifier + _md5(identifier + secret + challenge)
            words = [(Attribute.CHAP_PASSWORD, proof), (Attribute.CHAP_CHALLENGE, challenge)]
        else:
            words = [(Attribute.USER_PASSWORD, hide(secret, server.secret, self._authenticator))]
        words += [(Attribute.USER_NAME, name), (Attribute.NAS_IDENTIFIER, NAS_IDENTIFIER), (Attribute.SERVICE_TYPE, _AUTHENTICATE_ONLY)]
        self.packet = self._signed(b"".join(bytes((kind, len(value) + 2)) + value for kind, value in words))
        self._sends = 0
        self._wake = 0.0

    def start(self, now: float) -> bytes:
        """The packet to send."""
        self._sends += 1
        self._wake = now + WAIT_S
        return self.packet

    def expire(self, now: float) -> bytes | None:
        """The packet to send again, None when it is not time. Raises NetworkError when that was often enough."""
        if now < self._wake:
            return None
        if self._sends >= SENDS:
            raise NetworkError(f"the RADIUS server {self._server.host} gives no answer (or does not know the secret)")
        return self.start(now)

    def receive(self, packet: bytes) -> bool | None:
        """Whether the user is let in; None for a packet that is no answer to this one. Raises NetworkError for an answer that cannot be trusted."""
        if not _HEAD.size <= len(packet) <= MAX_PACKET:
            return None
        code, identifier, length, proof = _HEAD.unpack_from(packet)
        if identifier != self._identifier or not _HEAD.size <= length <= len(packet) or code not in {Code.ACCEPT, Code.REJECT, Code.CHALLENGE}:
            return None
        body = packet[_HEAD.size : length]          # RFC 2865, 3: what is behind is padding
        head = packet[:4]
        if not hmac.compare_digest(proof, _md5(head + self._authenticator + body + self._server.secret)):
            return None
        found = find_attribute(body, Attribute.MESSAGE_AUTHENTICATOR)
        if found is None:
            if not self._server.unsigned:
                raise NetworkError(
                    f"the RADIUS server {self._server.host} answers without a Message-Authenticator, so that the answer may be forged (CVE-2024-3596)",
                    hint='update the server, or write "unsigned" at the end of its line',
                )
        else:
            at, value = found
            blank = body[:at] + bytes(16) + body[at + 16 :]
            if not hmac.compare_digest(value, hmac.digest(self._server.secret, head + self._authenticator + blank, "md5")):
                return None
        return bool(code == Code.ACCEPT)            # a challenge wants more than a password: that is no

    def _signed(self, attributes: bytes) -> bytes:
        """The packet, the Message-Authenticator first (as against CVE-2024-3596)."""
        length = _HEAD.size + 18 + len(attributes)
        start = _HEAD.pack(Code.REQUEST, self._identifier, length, self._authenticator) + bytes((Attribute.MESSAGE_AUTHENTICATOR, 18))
        return start + hmac.digest(self._server.secret, start + bytes(16) + attributes, "md5") + attributes


def hide(password: bytes, secret: bytes, authenticator: bytes) -> bytes:
    """The password as User-Password carries it (RFC 2865, 5.2)."""
    padded = password.ljust(max(16, -(-len(password) // 16) * 16), b"\0")
    hidden, last = b"", authenticator
    for at in range(0, len(padded), 16):
        last = bytes(a ^ b for a, b in zip(padded[at : at + 16], _md5(secret + last), strict=True))
        hidden += last
    return hidden


def find_attribute(body: bytes, wanted: Attribute) -> tuple[int, bytes] | None:
    """Offset and value (16 bytes) of a Message-Authenticator; None when there is none, or the attributes are none."""
    at = 0
    while at + 2 <= len(body):          # every attribute is at least 2 bytes long
        kind, length = body[at], body[at + 1]
        if length < 2 or at + length > len(body):
            return None
        if kind == wanted and length == 18:
            return at + 2, body[at + 2 : at + 18]
        at += length
    return None


def _md5(data: bytes) -> bytes:
    return md5(data, usedforsecurity=False).digest()
