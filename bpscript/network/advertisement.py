"""A router advertisement that says "no router here": iPXE then stops waiting for one, which saves it about 13 seconds.

Source: RFC 4861 4.1 and 4.2. The kernel adds the IPv6 header and the checksum (RFC 3542 3.1).
"""

import struct

ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT = 133, 134
ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"

# type +0, code +1, checksum +2, current hop limit +4, flags +5, router lifetime +6 (s), reachable +8 (ms), retransmission +12 (ms)
_ADVERTISEMENT = struct.Struct(">BBHBBHII")
_SOLICITATION_LENGTH = 8
_HOP_LIMIT = 64
_NO_ROUTER = 0          # RFC 4861 6.2.3: with lifetime 0 nobody takes us as a default router


def is_solicitation(packet: bytes) -> bool:
    """True for what a client sends that looks for a router (the ICMPv6 message without IPv6 header)."""
    return len(packet) >= _SOLICITATION_LENGTH and packet[0] == ROUTER_SOLICITATION and packet[1] == 0


def advertisement() -> bytes:
    """The answer, to all nodes."""
    return _ADVERTISEMENT.pack(ROUTER_ADVERTISEMENT, 0, 0, _HOP_LIMIT, 0, _NO_ROUTER, 0, 0)
