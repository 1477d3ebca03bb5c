"""The packets of TFTP, from and to bytes. Everything is big endian; strings end with a zero byte.

    RRQ    1  name 0 mode 0 [option 0 value 0]...    RFC 1350, section 5; options RFC 2347
    WRQ    2  the same
    DATA   3  block number (2 bytes)  0 to blksize bytes
    ACK    4  block number
    ERROR  5  code (2 bytes)  text 0
    OACK   6  option 0 value 0 ...                   RFC 2347

On the wire a block number has 16 bits and 0 follows 65,535; inside the program numbers go on (`BlockNumber`).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from ...base.errors import FormatError

BlockNumber = int                   # counts from 1 and never rolls over; the wire has its low 16 bits
Buffer = bytes | bytearray | memoryview

HEAD = struct.Struct(">HH")         # opcode, block number or error code
MAX_REQUEST = 2048                  # bytes of an RRQ or WRQ that is looked at; RFC 2347 says 512, names of ours may be longer
MAX_TEXT = 200                      # characters of a peer's words that are passed on
DEFAULT_BLOCK_SIZE = 512            # RFC 1350
ENHANCED_BLOCK_SIZE = 1408          # BpBatch's enhanced port 59: without negotiation (language.md 1.2)
ENHANCED_PORT = 59
PORT = 69


class Opcode(IntEnum):
    """RFC 1350, section 5; OACK RFC 2347."""

    RRQ = 1
    WRQ = 2
    DATA = 3
    ACK = 4
    ERROR = 5
    OACK = 6


class Code(IntEnum):
    """Error codes: RFC 1350, appendix; 8 RFC 2347."""

    NOT_DEFINED = 0
    NOT_FOUND = 1
    ACCESS = 2
    FULL = 3
    ILLEGAL = 4
    UNKNOWN_TRANSFER = 5
    EXISTS = 6
    NO_USER = 7
    OPTIONS = 8


@dataclass(frozen=True, slots=True)
class Request:
    """RRQ, or WRQ when `write`. Options by their names in lower case; of one that is there twice the first counts."""

    name: str
    mode: str = "octet"
    options: Mapping[str, str] = field(default_factory=dict)
    write: bool = False

    def build(self) -> bytes:
        """The packet. Raises FormatError for what does not fit into one."""
        for text in (self.name, self.mode, *self.options, *self.options.values()):
            if "\0" in text:
                raise FormatError("a TFTP request cannot hold the character code 0")
        words = b"".join(_encode(word) + b"\0" for pair in self.options.items() for word in pair)
        packet = struct.pack(">H", Opcode.WRQ if self.write else Opcode.RRQ) + _encode(self.name) + b"\0" + _encode(self.mode) + b"\0" + words
        if len(packet) > MAX_REQUEST:
            raise FormatError(f"a TFTP request of {len(packet)} bytes is too long: expected at most {MAX_REQUEST}")
        return packet


def parse_request(packet: Buffer) -> Request:
    """RRQ or WRQ. Raises FormatError.

    An option without a value, or a last string without its zero, is left out as if it was not asked for: some boot ROMs pad.
    """
    data = bytes(packet[: MAX_REQUEST + 1])
    if len(data) > MAX_REQUEST:
        raise FormatError(f"a TFTP request of more than {MAX_REQUEST} bytes")
    if len(data) < 2 or data[0] or data[1] not in {Opcode.RRQ, Opcode.WRQ}:
        raise FormatError("not a TFTP request")
    words = data[2:].split(b"\0")
    if len(words) < 3 or not words[0]:
        raise FormatError("a TFTP request without a file name and a mode")
    options: dict[str, str] = {}
    for name, value in zip(words[2:-1:2], words[3:-1:2], strict=False):
        options.setdefault(_decode(name).lower(), _decode(value))
    return Request(_decode(words[0]), _decode(words[1]).lower(), options, write=data[1] == Opcode.WRQ)


def data_packet(block: int, payload: Buffer) -> bytes:
    """DATA; `block` may be a number that never rolls over."""
    return HEAD.pack(Opcode.DATA, block & 0xFFFF) + payload


def ack_packet(block: int) -> bytes:
    """ACK; `block` may be a number that never rolls over."""
    return HEAD.pack(Opcode.ACK, block & 0xFFFF)


def error_packet(code: int, text: str) -> bytes:
    """ERROR; the text is cut where it would make a large packet."""
    return HEAD.pack(Opcode.ERROR, code) + _encode(text[:MAX_TEXT]).replace(b"\0", b" ") + b"\0"


def oack_packet(options: Mapping[str, str]) -> bytes:
    """OACK."""
    return struct.pack(">H", Opcode.OACK) + b"".join(_encode(word) + b"\0" for pair in options.items() for word in pair)


def parse_error(packet: Buffer) -> tuple[int, str]:
    """Code and text of an ERROR; the text in one line of printable characters. Raises FormatError."""
    if len(packet) < 4:
        raise FormatError("a TFTP error without a code")
    text = _decode(bytes(packet[4 : 4 + 4 * MAX_TEXT]).partition(b"\0")[0])[:MAX_TEXT]
    return int.from_bytes(packet[2:4], "big"), "".join(c if c.isprintable() else " " for c in text).strip()


def parse_oack(packet: Buffer) -> dict[str, str]:
    """Options of an OACK, names in lower case. Raises FormatError."""
    words = bytes(packet[2:]).split(b"\0")
    if len(packet) > MAX_REQUEST or words[-1] or len(words) % 2 == 0:
        raise FormatError("a TFTP option acknowledgement that is no list of names and values")
    return {_decode(name).lower(): _decode(value) for name, value in zip(words[:-1:2], words[1:-1:2], strict=True)}


def opcode_of(packet: Buffer) -> int:
    """The opcode; 0, which is none, for what is too short to have one."""
    return int.from_bytes(packet[:2], "big") if len(packet) >= 2 else 0


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
