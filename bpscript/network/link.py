"""Sockets of one network interface: UDP with broadcasts, frames to machines without an address, router solicitations.

They stand beside `sockets.py`, whose sockets belong to addresses: DHCP must know on which interface a broadcast came, and answer there.
"""

import contextlib
import errno
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from ..base.errors import NetworkError
from .advertisement import ALL_NODES, ALL_ROUTERS, ROUTER_SOLICITATION
from .datagram import ip_packet
from .interface import Interface

_BIND_TO_DEVICE, _PACKET_INFO, _RECEIVE_BUFFER_FORCE = 25, 8, 33        # asm-generic/socket.h, linux/in.h
_ICMP6_FILTER = 1                           # linux/icmpv6.h
_INFO = struct.Struct("=I4s4s")             # in_pktinfo: interface, our address, destination of the packet
_BUFFER = 4 << 20                           # bytes of packets that may wait: a room that is switched on at once
_LARGEST = 65535
_HOP_LIMIT = 255                            # RFC 4861 4.2: others are dropped


@dataclass(frozen=True, slots=True)
class Received:
    """A UDP payload with its sender, and the destination it was sent to."""

    data: bytes
    source: IPv4Address
    port: int
    destination: IPv4Address


class LinkDatagrams:
    """A UDP port on one interface; it hears broadcasts and sends them. Raises NetworkError when it cannot be had."""

    def __init__(self, interface: str, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.setblocking(False)
            # The device first: the same port may be bound once on each.
            self._socket.setsockopt(socket.SOL_SOCKET, _BIND_TO_DEVICE, interface.encode("utf-8", "surrogateescape") + b"\0")
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            self._socket.setsockopt(socket.IPPROTO_IP, _PACKET_INFO, 1)
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, _BUFFER)
            except PermissionError:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._socket.bind(("", port))
        except OSError as error:
            self._socket.close()
            hint = {
                errno.EACCES: "ports below 1024 need root, or the capability CAP_NET_BIND_SERVICE",
                errno.EADDRINUSE: "another DHCP server or client is running; --proxy-dhcp works beside a server on another machine",
            }.get(error.errno or 0)
            raise NetworkError(f"UDP port {port} on {interface} cannot be used: {error.strerror}", hint=hint) from error
        self.port: int = self._socket.getsockname()[1]
        self.fileno = self._socket.fileno

    def receive(self) -> Received | None:
        """The next packet; None when there is none."""
        try:
            data, ancillary, _, (source, port) = self._socket.recvmsg(_LARGEST, socket.CMSG_SPACE(_INFO.size))
        except OSError:             # nothing there, or what an earlier packet met
            return None
        destination = IPv4Address(0)
        for level, kind, content in ancillary:
            if level == socket.IPPROTO_IP and kind == _PACKET_INFO and len(content) >= _INFO.size:
                destination = IPv4Address(_INFO.unpack_from(content)[2])
        return Received(data, IPv4Address(source), port, destination)

    def send(self, data: bytes, address: IPv4Address, port: int, source: IPv4Address | None = None) -> bool:
        """Send from `source` (one of our addresses); False when the kernel refuses."""
        info = [] if source is None else [(socket.IPPROTO_IP, _PACKET_INFO, _INFO.pack(0, source.packed, bytes(4)))]
        try:
            self._socket.sendmsg([data], info, 0, (str(address), port))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class FrameSender:
    """Sends UDP to a hardware address, without ARP. `send` answers False where that is not allowed (it needs CAP_NET_RAW)."""

    def __init__(self, interface: Interface) -> None:
        self._name = interface.name
        self._socket: socket.socket | None = None
        with contextlib.suppress(OSError):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0)

    def send(self, data: bytes, source: tuple[IPv4Address, int], target: tuple[IPv4Address, int], hardware_address: bytes) -> bool:
        """One packet; True when it left."""
        if self._socket is None:
            return False
        try:
            self._socket.sendto(ip_packet(data, source, target), (self._name, 0x0800, 0, 1, hardware_address))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()


class Solicitations:
    """Hears those who look for an IPv6 router on an interface, and answers all nodes. Raises OSError where that is not allowed."""

    def __init__(self, interface: Interface) -> None:
        self._index = interface.index
        self._socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMPV6)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, _BIND_TO_DEVICE, interface.name.encode("utf-8", "surrogateescape") + b"\0")
            # One bit for each type of message; those set are dropped.
            dropped = bytearray(b"\xff" * 32)
            words = struct.unpack("=8I", dropped)
            kept = [word & ~(1 << (ROUTER_SOLICITATION & 31)) if number == ROUTER_SOLICITATION >> 5 else word for number, word in enumerate(words)]
            self._socket.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *kept))
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOP_LIMIT)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, self._index)
            group = socket.inet_pton(socket.AF_INET6, ALL_ROUTERS) + struct.pack("=I", self._index)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        except OSError:
            self._socket.close()
            raise
        self.fileno = self._socket.fileno

    def receive(self) -> bytes | None:
        """The next ICMPv6 message; None when there is none."""
        try:
            return self._socket.recv(_LARGEST)
        except OSError:
            return None

    def send(self, message: bytes) -> bool:
        """To all nodes of the link."""
        try:
            self._socket.sendto(message, (ALL_NODES, 0, 0, self._index))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
