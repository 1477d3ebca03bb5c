"""IPv4 and UDP headers around a payload, for receivers that have no address yet and cannot answer ARP.

Sources: RFC 791 3.1, RFC 768, RFC 1071 (checksum).
"""

import struct
from ipaddress import IPv4Address

# version and header length +0, service +1, total length +2, identification +4, flags and fragment +6, time to live +8, protocol +9,
# checksum +10, source +12, destination +16
_IP = struct.Struct(">BBHHHBBH4s4s")
_UDP = struct.Struct(">HHHH")           # source port, destination port, length, checksum
_PSEUDO = struct.Struct(">4s4sBBH")     # source, destination, 0, protocol, UDP length
_VERSION_AND_LENGTH = 0x45
_DO_NOT_FRAGMENT = 0x4000
_TIME_TO_LIVE = 64
_PROTOCOL_UDP = 17


def ip_packet(payload: bytes, source: tuple[IPv4Address, int], target: tuple[IPv4Address, int]) -> bytes:
    """The IP packet that carries a UDP payload from address and port to address and port."""
    length = _UDP.size + len(payload)
    pseudo = _PSEUDO.pack(source[0].packed, target[0].packed, 0, _PROTOCOL_UDP, length)
    udp = _UDP.pack(source[1], target[1], length, 0)
    total = _checksum(pseudo + udp + payload) or 0xFFFF         # RFC 768: 0 means no checksum
    udp = _UDP.pack(source[1], target[1], length, total)
    head = (_VERSION_AND_LENGTH, 0, _IP.size + length, 0, _DO_NOT_FRAGMENT, _TIME_TO_LIVE, _PROTOCOL_UDP)
    check = _checksum(_IP.pack(*head, 0, source[0].packed, target[0].packed))
    return _IP.pack(*head, check, source[0].packed, target[0].packed) + udp + payload


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
