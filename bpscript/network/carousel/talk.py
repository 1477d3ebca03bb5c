"""What clients and server of a carousel say to each other over HTTP: JSON, checked at the border. CAROUSEL.md is the description for others."""

import json
import re
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address
from typing import Any

from ...base.errors import NetworkError, UsageError

PATH = "/api/carousel"
HERE, REPAIR, COMPLETE, INCOMPLETE, DIGESTS = "here", "repair", "complete", "incomplete", "digests"
STATES = (HERE, REPAIR, COMPLETE, INCOMPLETE, DIGESTS)
DEFAULT_PORT = 1759
DEFAULT_RATE_MBIT = 90          # leaves room on 100 Mbit/s for those who fetch what they missed
MAX_REPLY = 64 << 10            # bytes
_MEMBER = re.compile(r"[0-9a-f]{8,64}")
_SESSION = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Word:
    """What a client says. `path` is quoted as in a request line; `received` and `repaired` are bytes, at the end."""

    path: str
    member: str
    state: str = HERE
    received: int = 0
    repaired: int = 0

    def build(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, data: bytes) -> "Word":
        """Raises ValueError."""
        found = _object(data)
        path, member, state = found.get("path"), found.get("member"), found.get("state", HERE)
        if not isinstance(path, str) or not path.startswith("/") or len(path) > 4096 or not path.isascii():
            raise ValueError("path is no path of an address")
        if not isinstance(member, str) or not _MEMBER.fullmatch(member):
            raise ValueError("member is no name of 8 to 64 hexadecimal digits")
        if state not in STATES:
            raise ValueError(f"state is none of {', '.join(STATES)}")
        return cls(path, member, state, _count(found.get("received", 0)), _count(found.get("repaired", 0)))


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the server answers: where the datagrams go and what is in them. `size` and `block` are bytes, `rate` bits a second."""

    session: str
    group: str
    port: int
    source: str
    size: int
    etag: str
    block: int
    rate: int
    keep_alive_s: float

    def build(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, data: bytes) -> "Invitation":
        """Raises NetworkError."""
        try:
            found = _object(data)
            session, etag, keep = found.get("session"), found.get("etag"), found.get("keep_alive_s")
            group, source = IPv4Address(found.get("group", "")), IPv4Address(found.get("source", ""))
            if not group.is_multicast or not isinstance(session, str) or not _SESSION.fullmatch(session):
                raise ValueError("group or session")
            if not isinstance(etag, str) or not etag or not isinstance(keep, int | float) or isinstance(keep, bool) or not 0.1 <= keep <= 60:
                raise ValueError("etag or keep_alive_s")
            port, block = _count(found.get("port")), _count(found.get("block"))
            if not 1 <= port <= 65535 or not 1 <= block <= 65_000:
                raise ValueError("port or block")
            return cls(session, str(group), port, str(source), _count(found.get("size")), etag, block, _count(found.get("rate")), float(keep))
        except ValueError as error:
            raise NetworkError(f"the server's invitation to its carousel cannot be understood: {error}") from error


def parse_group(text: str) -> tuple[str, int]:
    """`GROUP[:PORT]`. Raises UsageError."""
    group, colon, port = text.partition(":")
    try:
        address = IPv4Address(group)
    except ValueError:
        address = None
    if address is None or not address.is_multicast:
        raise UsageError(f"--carousel {text}: expected an IPv4 multicast address and perhaps a port", hint="addresses from 239.0.0.0 to 239.255.255.255 are for private use: --carousel 239.255.69.70")
    if colon and not (port.isascii() and port.isdecimal() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise UsageError(f"--carousel {text}: {port!r} is no port; expected 1 to 65535")
    return str(address), int(port) if colon else DEFAULT_PORT


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise ValueError("a number is none, or too large")
    return value
