"""BOOTP messages in network captures: pcap, pcapng, and frames without a file around them.

Sources: draft-ietf-opsawg-pcap (pcap), draft-ietf-opsawg-pcapng (blocks), the link types of tcpdump.org, RFC 791, RFC 768,
IEEE 802.1Q. IP fragments are not put together: a BOOTP message fits into one packet.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ...base.errors import FormatError

PORTS = frozenset({67, 68})             # RFC 951: server and client

_LONGEST_RECORD = 1 << 20               # bytes; a longer frame or block is no capture of a network
_MAGICS = {                             # the first four bytes of a pcap file: byte order (microseconds and nanoseconds)
    b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">", b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<",
}
_SECTION_HEADER = b"\x0a\x0d\x0d\x0a"   # the first block of a pcapng file
_INTERFACE, _PACKET, _SIMPLE_PACKET, _ENHANCED_PACKET = 1, 2, 3, 6

ETHERNET, RAW_IP = 1, 101
_NULL, _LOOP, _LINUX_COOKED, _LINUX_COOKED_2, _RAW_IPV4 = 0, 108, 113, 276, 228
_RAW_TYPES = {RAW_IP, _RAW_IPV4, 12, 14}        # 12 and 14: what some systems write for raw IP

_IPV4 = 0x0800
_VLAN_TAGS = {0x8100, 0x88A8, 0x9100}
_MOST_TAGS = 4
_UDP = 17


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured frame: its link type and its bytes."""

    link_type: int
    data: bytes


def is_capture(start: bytes) -> bool:
    """True for the first bytes of a pcap or pcapng file."""
    return start[:4] in _MAGICS or start[:4] == _SECTION_HEADER


def read_frames(file: BinaryIO) -> Iterator[Frame]:
    """Every frame of a capture, up to its end or to where it breaks off (a capture that was not closed).

    Raises FormatError for a record that cannot be.
    """
    magic = file.read(4)
    if magic == _SECTION_HEADER:
        yield from _read_pcapng(file)
    elif magic in _MAGICS:
        yield from _read_pcap(file, _MAGICS[magic])
    else:
        raise FormatError(f"no capture begins with {magic.hex()}")


def bootp_payload(frame: Frame) -> bytes | None:
    """What a frame carries to or from the BOOTP ports; None for everything else."""
    packet = _ip_packet(frame)
    if packet is None or len(packet) < 20 or packet[0] >> 4 != 4:
        return None
    header = (packet[0] & 15) * 4
    total, _, fragment = struct.unpack_from(">HHH", packet, 2)
    if header < 20 or fragment & 0x3FFF or packet[9] != _UDP:
        return None
    # A total length of 0 is what segmentation offload leaves in a capture.
    datagram = packet[header : total if total >= header else None]
    if len(datagram) < 8:
        return None
    source, target, length = struct.unpack_from(">HHH", datagram)
    if not {source, target} & PORTS:
        return None
    return datagram[8 : length if length >= 8 else None]


def _read_pcap(file: BinaryIO, order: str) -> Iterator[Frame]:
    header = file.read(20)              # version +4, zone +8, accuracy +12, snapshot length +16, link type +20
    if len(header) < 20:
        return
    link_type = struct.unpack_from(f"{order}I", header, 16)[0] & 0xFFFF      # the upper half tells about checksums
    while len(head := file.read(16)) == 16:     # seconds +0, fraction +4, captured length +8, original length +12
        length: int = struct.unpack_from(f"{order}I", head, 8)[0]
        if length > _LONGEST_RECORD:
            raise FormatError(f"the capture has a packet of {length} bytes")
        data = file.read(length)
        if len(data) < length:
            return
        yield Frame(link_type, data)


def _read_pcapng(file: BinaryIO) -> Iterator[Frame]:
    order = "<"
    link_types: list[int] = []
    kind_bytes = _SECTION_HEADER
    while len(kind_bytes) == 4:
        length_bytes = file.read(4)
        if len(length_bytes) < 4:
            return
        is_section = kind_bytes == _SECTION_HEADER
        body = b""
        if is_section:                  # its byte order stands behind its length
            body = file.read(4)
            order = ">" if body == b"\x1a\x2b\x3c\x4d" else "<"
            link_types = []
        kind, length = struct.unpack(f"{order}II", kind_bytes + length_bytes)
        if length < 12 + len(body) or length % 4 or length > _LONGEST_RECORD:
            raise FormatError(f"the capture has a block of {length} bytes")
        rest = length - 8 - len(body)
        body += file.read(rest)
        if len(body) < length - 8:
            return
        if kind == _INTERFACE and len(body) >= 12:
            if len(link_types) >= 65536:
                raise FormatError("the capture has more than 65536 interfaces")
            link_types.append(struct.unpack_from(f"{order}H", body)[0])
        elif not is_section:
            frame = _packet_block(kind, body[:-4], order, link_types)
            if frame is not None:
                yield frame
        kind_bytes = file.read(4)


def _packet_block(kind: int, body: bytes, order: str, link_types: list[int]) -> Frame | None:
    """The frame in a block; None when it is of another kind, or of an interface that was not described."""
    if kind == _ENHANCED_PACKET and len(body) >= 20:
        interface, _, _, length, _ = struct.unpack_from(f"{order}IIIII", body)
        data = body[20 : 20 + length]
    elif kind == _SIMPLE_PACKET and len(body) >= 4:
        interface, length = 0, struct.unpack_from(f"{order}I", body)[0]
        data = body[4 : 4 + length]
    elif kind == _PACKET and len(body) >= 20:
        interface, _, _, _, length, _ = struct.unpack_from(f"{order}HHIIII", body)
        data = body[20 : 20 + length]
    else:
        return None
    return Frame(link_types[interface], data) if interface < len(link_types) else None


def _ip_packet(frame: Frame) -> bytes | None:
    """The IPv4 packet in a frame, link headers and VLAN tags taken off."""
    data = frame.data
    if frame.link_type in _RAW_TYPES:
        return data
    if frame.link_type in {_NULL, _LOOP}:
        return data[4:]
    if frame.link_type == ETHERNET:
        position = 12
    elif frame.link_type == _LINUX_COOKED:
        position = 14
    elif frame.link_type == _LINUX_COOKED_2:
        return data[20:] if data[:2] == b"\x08\x00" else None
    else:
        return None
    for _ in range(_MOST_TAGS + 1):
        if len(data) < position + 2:
            return None
        protocol = int.from_bytes(data[position : position + 2], "big")
        if protocol == _IPV4:
            return data[position + 2 :]
        if protocol not in _VLAN_TAGS:
            return None
        position += 4
    return None
