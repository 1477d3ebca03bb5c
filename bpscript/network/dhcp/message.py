"""BOOTP and DHCP messages: packets in, fields out, and back.

Sources: RFC 951 and RFC 2131 (fields), RFC 2132 (options), RFC 3396 (options longer than 255 bytes).

Fields file and sname may hold options too, when option 52 says so (RFC 2132 9.3). Parts of one option, wherever they stand,
are put together in the order options, file, sname (RFC 3396 5).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ...base.errors import FormatError

REQUEST = 1
REPLY = 2

# RFC 2132 9.6
DISCOVER, OFFER, REQUEST_ADDRESS, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)

PAD, OVERLOAD, MESSAGE_TYPE, END = 0, 52, 53, 255

# RFC 2131 2: op +0, htype +1, hlen +2, hops +3, xid +4, secs +8, flags +10, ciaddr +12, yiaddr +16, siaddr +20, giaddr +24,
# chaddr +28, sname +44, file +108; options follow at +236.
_FIELDS = struct.Struct(">BBBBIHH4s4s4s4s16s64s128s")
_MAGIC_COOKIE = bytes((99, 130, 83, 99))       # RFC 2131 3: what follows are options
_SHORTEST = 300                                # bytes; RFC 1542 2.1: shorter replies are padded
_NO_ADDRESS = bytes(4)


@dataclass(frozen=True, slots=True)
class Message:
    """A BOOTP or DHCP message. Addresses are 4 bytes; `server_name` and `boot_file` end before their first NUL.

    `options` has each option once, in the order of its first part, without 0 (pad) and 255 (end).
    """

    operation: int = REPLY
    hardware_type: int = 1
    hops: int = 0
    transaction_id: int = 0
    seconds: int = 0
    flags: int = 0
    client_ip: bytes = _NO_ADDRESS
    your_ip: bytes = _NO_ADDRESS
    server_ip: bytes = _NO_ADDRESS
    gateway_ip: bytes = _NO_ADDRESS
    hardware_address: bytes = b""
    server_name: bytes = b""
    boot_file: bytes = b""
    options: tuple[tuple[int, bytes], ...] = ()

    @classmethod
    def parse(cls, packet: bytes) -> "Message":
        """The message in a UDP payload. Raises FormatError that says which rule is broken."""
        if len(packet) < _FIELDS.size:
            raise FormatError(f"a BOOTP message of {len(packet)} bytes is too short, expected at least {_FIELDS.size}")
        op, htype, hlen, hops, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file = _FIELDS.unpack_from(packet)
        if op not in {REQUEST, REPLY}:
            raise FormatError(f"a BOOTP message begins with 1 or 2, found {op}")
        if hlen > len(chaddr):
            raise FormatError(f"a BOOTP message has room for {len(chaddr)} bytes of hardware address, this one claims {hlen}")
        parts: list[tuple[int, bytes]] = []
        overload = 0
        if packet[_FIELDS.size : _FIELDS.size + 4] == _MAGIC_COOKIE:
            parts = list(_options(packet[_FIELDS.size + 4 :], "the options field"))
            overload = next((data[0] for code, data in parts if code == OVERLOAD and data), 0)
            if overload in {1, 3}:
                parts += _options(file, "the file field")
                file = b""
            if overload in {2, 3}:
                parts += _options(sname, "the sname field")
                sname = b""
        joined: dict[int, bytes] = {}
        for code, data in parts:
            joined[code] = joined.get(code, b"") + data
        return cls(
            op, htype, hops, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr[:hlen],
            sname.partition(b"\0")[0], file.partition(b"\0")[0], tuple(joined.items()),
        )

    def build(self) -> bytes:
        """The UDP payload; options longer than 255 bytes are split (RFC 3396), nothing is put into file or sname but their own.

        Raises FormatError for a value that does not fit its field.
        """
        for field, value, room in (
            ("file", self.boot_file, 128), ("sname", self.server_name, 64), ("chaddr", self.hardware_address, 16)
        ):
            if len(value) > room:
                raise FormatError(f"{len(value)} bytes do not fit into the {field} field of {room} bytes")
        packet = bytearray(
            _FIELDS.pack(
                self.operation, self.hardware_type, len(self.hardware_address), self.hops, self.transaction_id, self.seconds,
                self.flags, self.client_ip, self.your_ip, self.server_ip, self.gateway_ip, self.hardware_address,
                self.server_name, self.boot_file,
            )
        )
        packet += _MAGIC_COOKIE
        for code, data in self.options:
            if not PAD < code < END:
                raise FormatError(f"{code} is no number of an option, expected 1 to 254")
            for start in range(0, max(1, len(data)), 255):
                part = data[start : start + 255]
                packet += bytes((code, len(part))) + part
        packet.append(END)
        return bytes(packet.ljust(_SHORTEST, b"\0"))

    def option(self, code: int) -> bytes | None:
        """The value of an option; None when it was not sent."""
        return next((data for each, data in self.options if each == code), None)

    @property
    def message_type(self) -> int | None:
        """Option 53; None for plain BOOTP."""
        data = self.option(MESSAGE_TYPE)
        return data[0] if data else None


def _options(area: bytes, where: str) -> Iterator[tuple[int, bytes]]:
    """Codes and values up to the end option; a missing end option is forgiven, as every client does."""
    position = 0
    while position < len(area):         # each turn consumes at least one byte
        code = area[position]
        position += 1
        if code == PAD:
            continue
        if code == END:
            return
        if position == len(area):
            raise FormatError(f"option {code} in {where} has no length")
        length = area[position]
        position += 1
        if position + length > len(area):
            raise FormatError(f"option {code} in {where} has {length} bytes, but only {len(area) - position} are left")
        yield code, area[position : position + length]
        position += length
