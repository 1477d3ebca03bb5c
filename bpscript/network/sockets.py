"""Sockets that belong to addresses: UDP with many packets a system call, TCP listeners, waiting for several at once.

Those that belong to an interface, for DHCP, are in `link.py`.

UDP segmentation (Linux 4.18): one `sendmsg` carries up to 64 packets that the kernel or the network card cuts apart. Where a
path does not take it (old kernel, packets larger than its MTU) the packets go one by one.
"""

import errno
import os
import select
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from ..base.errors import NetworkError

Address = tuple[str, int] | tuple[str, int, int, int]       # host (numeric) and port; of IPv6 flow and scope too
Buffer = bytes | bytearray | memoryview

_UDP_SEGMENT, _UDP_GRO = 103, 104               # linux/udp.h
_IP_PKTINFO, _IP_RECVERR = 8, 11                # linux/in.h; not in Python's socket module
_IP_MULTICAST_ALL, _SO_RCVBUFFORCE = 49, 33     # linux/in.h, asm-generic/socket.h
_IN_PKTINFO = struct.Struct("=i4s4s")           # in_pktinfo: interface, local address, address of the header
_IN6_PKTINFO = struct.Struct("=16si")           # in6_pktinfo: address, interface
MAX_DATAGRAM = 65_507                           # bytes of UDP payload over IPv4
MAX_SEGMENTS = 64                               # linux/udp.h, UDP_MAX_SEGMENTS of kernels before 6.9
_NO_SEGMENTS = {errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.ENOPROTOOPT, errno.EOPNOTSUPP}
_MOST_LOOKS = 60        # each some 1.5 us
_SLEEPS = 256           # without a look, until it tries anew
_BUFFER = 4 << 20       # bytes that the kernel shall keep; it takes as much as net.core.rmem_max allows


def resolve(host: str, port: int) -> tuple[int, Address]:
    """Address family and numeric address of a host. Raises NetworkError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise NetworkError(f'no address is known for the server "{host}": {reason}', hint="write its address, or look at the name server") from error
    family, _, _, _, address = found[0]
    numeric = str(address[0])
    if family == socket.AF_INET6 and len(address) == 4 and address[3] and "%" not in numeric:
        numeric = f"{numeric}%{socket.if_indextoname(int(address[3]))}"
    return int(family), (numeric, port)


class Datagrams:
    """A UDP socket. Sending waits for room in the kernel's buffer; receiving does not wait, or only for a moment.

    `where` is the address it is bound to. Raises NetworkError when it cannot be bound.
    """

    SOON_S = 0.001

    def __init__(self, address: str, port: int, *, tell_destination: bool = False) -> None:
        self.family, numeric = resolve(address, port) if address else (int(socket.AF_INET), ("0.0.0.0", port))  # noqa: S104 - asked for
        self._socket = socket.socket(self.family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._segments = True
        self._tells = tell_destination
        self._looks, self._slept = _MOST_LOOKS, 0
        try:
            self._enlarge()
            if self.family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                if tell_destination:
                    self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            elif tell_destination:
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            elif address:
                self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(numeric[0]))
            self._socket.bind(numeric)
        except OSError as error:
            self._socket.close()
            raise NetworkError(f"UDP port {port} of {address or 'this host'} cannot be used: {error.strerror}", hint=_bind_hint(error)) from error
        self.where: Address = self._socket.getsockname()[:2]
        self.fileno = self._socket.fileno

    def receive(self, buffer: bytearray | memoryview) -> tuple[int, Address] | None:
        """Length and sender of a packet that is there, or None. A packet larger than the buffer is cut."""
        try:
            length, sender = self._socket.recvfrom_into(buffer, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:     # what an earlier packet met (ICMP) is told here; the timers know what to do
            return 0, ("", 0)
        return length, sender

    def receive_soon(self, buffer: bytearray | memoryview) -> tuple[int, Address] | None:
        """As `receive`, but waits a moment (`SOON_S`, or what the kernel makes of it) for a packet that is not there yet.

        Before it sleeps it looks a few times more: being woken takes longer than a peer on a fast network takes to answer. Where that is in
        vain (a slow network, a busy machine) it looks less and less often, and not at all in the end; now and then it tries anew.
        """
        receive = self._socket.recvfrom_into
        looks = self._looks
        if not looks:
            self._slept += 1
            if self._slept == _SLEEPS:
                self._slept, looks = 0, _MOST_LOOKS
        for _ in range(looks):
            try:
                got = receive(buffer, 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            except OSError:
                return 0, ("", 0)
            self._looks = _MOST_LOOKS
            return got
        self._looks = looks // 2
        try:
            return self._socket.recvfrom_into(buffer)
        except BlockingIOError:
            return None
        except OSError:
            return 0, ("", 0)

    def receive_with_destination(self, buffer: bytearray | memoryview) -> tuple[int, Address, str] | None:
        """As `receive`, with the address of ours that the packet was sent to. For sockets made with `tell_destination`."""
        try:
            length, ancillary, _, sender = self._socket.recvmsg_into([buffer], 64, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            return 0, ("", 0), ""
        for level, kind, data in ancillary:
            if level == socket.IPPROTO_IP and kind == _IP_PKTINFO and len(data) >= _IN_PKTINFO.size:
                return length, sender, socket.inet_ntop(socket.AF_INET, _IN_PKTINFO.unpack_from(data)[1])
            if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and len(data) >= _IN6_PKTINFO.size:
                text = socket.inet_ntop(socket.AF_INET6, _IN6_PKTINFO.unpack_from(data)[0])
                index = _IN6_PKTINFO.unpack_from(data)[1]
                return length, sender, f"{text}%{socket.if_indextoname(index)}" if text.startswith("fe80") else text
        return length, sender, self.where[0]

    def send_run(self, packets: memoryview, segment: int, count: int, target: Address) -> None:
        """Send `count` packets of `segment` bytes each (the last may be shorter), that lie one after the other, to one peer.

        What cannot be sent is lost, as anything in a network may be.
        """
        if count > 1 and self._segments and segment * count <= MAX_DATAGRAM and count <= MAX_SEGMENTS:
            try:
                self._socket.sendmsg((packets,), [(socket.SOL_UDP, _UDP_SEGMENT, segment.to_bytes(2, "little"))], 0, target)
            except OSError as error:
                if error.errno not in _NO_SEGMENTS:
                    return
                # Not for packets larger than the MTU, and not on this kernel at all. The others of this server still may.
                self._segments = error.errno in {errno.EINVAL, errno.EMSGSIZE}
            else:
                return
        for at in range(0, len(packets), segment):
            try:
                self._socket.sendto(packets[at : at + segment], target)
            except OSError:
                return

    def send_segments(self, buffers: Sequence[Buffer], segment: int, count: int, target: Address) -> None:
        """As `send_run`, of packets that lie in halves: head, payload, head, ..."""
        self.send_run(memoryview(b"".join(buffers)), segment, count, target)

    def send_quietly(self, packet: Buffer, target: Address) -> None:
        """Send a packet; what cannot be sent is lost, as anything in a network may be."""
        try:
            self._socket.sendto(packet, target)
        except OSError:
            return

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _enlarge(self) -> None:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self._socket.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, int(self.SOON_S * 1e6)))


def _bind_hint(error: OSError) -> str | None:
    if error.errno == errno.EACCES:
        return "ports below 1024 need root (or CAP_NET_BIND_SERVICE)"
    if error.errno == errno.EADDRINUSE:
        return "another program is using it"
    return "it is no address of this host" if error.errno == errno.EADDRNOTAVAIL else None


class Waiter:
    """Waits for several sockets; `wake` ends a wait from another thread or a signal handler."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._bell, select.EPOLLIN)
        self._calls: dict[int, Callable[[], None]] = {self._bell: self._silence}

    def add(self, fileno: int, call: Callable[[], None]) -> None:
        """Call this when something can be read."""
        self._calls[fileno] = call
        self._poll.register(fileno, select.EPOLLIN)

    def wait(self, seconds: float) -> None:
        """Wait at most that long, and make the calls."""
        for fileno, _ in self._poll.poll(max(0.0, seconds)):
            self._calls[fileno]()

    def wake(self) -> None:
        """End the wait; no effect once it is closed."""
        if self._bell >= 0:
            os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Give back what was opened; the sockets stay open."""
        bell, self._bell = self._bell, -1
        if bell >= 0:
            self._poll.close()
            os.close(bell)

    def _silence(self) -> None:
        os.eventfd_read(self._bell)


def readable(sockets: "Sequence[Exchange | Listener]", seconds: float) -> "list[Exchange | Listener]":
    """Those of which something can be read, after at most that long."""
    return select.select(sockets, (), (), max(0.0, seconds))[0]


class RefusedError(Exception):
    """The host is there and says that nothing listens on that port (ICMP port unreachable)."""


class Exchange:
    """The socket of a client that talks to one server. `receive` waits at most `TICK_S` and gives all packets that came together.

    Until `fix` is called packets of any port of that host are taken. Raises NetworkError when there is no way to the server.
    """

    TICK_S = 0.05

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.family, self._target = resolve(host, port)
        self._socket = socket.socket(self.family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._buffer = bytearray(1 << 16)
        self._view = memoryview(self._buffer)
        self._into = (self._buffer,)
        self._fixed = False
        self.fileno = self._socket.fileno
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, int(self.TICK_S * 1e6)))
        if self.family == socket.AF_INET:       # else an unconnected socket does not hear of ICMP
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        with suppress(OSError):                 # Linux 5.0
            self._socket.setsockopt(socket.SOL_UDP, _UDP_GRO, 1)

    def send(self, packet: Buffer) -> None:
        """Send to the server; what cannot be sent for now is lost. Raises RefusedError, and NetworkError when there is no way to the host."""
        try:
            if self._fixed:
                self._socket.send(packet)
            else:
                self._socket.sendto(packet, self._target)
        except OSError as error:
            self._complain(error)

    def receive(self) -> tuple[memoryview, int, Address] | None:
        """Packets that came together, valid until the next call, the size of each (the last may be shorter), and their sender.

        None when nothing came in time.
        """
        try:
            length, ancillary, _, sender = self._socket.recvmsg_into(self._into, 32)
        except BlockingIOError:
            return None
        except OSError as error:
            # The kernel tells of the refusal before it gives what came earlier.
            try:
                length, ancillary, _, sender = self._socket.recvmsg_into(self._into, 32, socket.MSG_DONTWAIT)
            except OSError:
                self._complain(error)
                return None
        if not self._fixed and sender[0].partition("%")[0] != self._target[0].partition("%")[0]:
            return None     # only the host that was asked may answer
        step = length
        for level, kind, data in ancillary:
            if level == socket.SOL_UDP and kind == _UDP_GRO and len(data) >= 4:
                step = int.from_bytes(data[:4], sys.byteorder)
        return self._view[:length], step, sender

    def fix(self, sender: Address) -> None:
        """From now on talk to this port only; the kernel refuses packets of others (ICMP port unreachable)."""
        try:
            self._socket.connect(sender)
        except OSError as error:
            self._complain(error)
        self._fixed = True

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _complain(self, error: OSError) -> None:
        if error.errno == errno.ECONNREFUSED:
            raise RefusedError from error
        if error.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EAFNOSUPPORT}:
            raise NetworkError(f"there is no way to the server {self.host}: {error.strerror}", hint="look at cable, address and routes") from error
        if error.errno not in {errno.EPERM, errno.ENOBUFS, errno.EAGAIN, errno.EINTR}:
            raise NetworkError(f"the server {self.host} cannot be talked to: {error.strerror}") from error


def listen(address: str, port: int, *, backlog: int = 1024) -> socket.socket:
    """A TCP socket that listens on one address; "0.0.0.0" and "::" are all of that family. Raises NetworkError when it cannot be had."""
    family, numeric = resolve(address, port)
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Connections of a server that was stopped a moment ago do not keep the port; a server that runs does.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(numeric)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise NetworkError(f"TCP port {port} of {address} cannot be used: {error.strerror}", hint=_bind_hint(error)) from error
    return listener


def address_towards(host: str, port: int) -> str:
    """The IPv4 address of ours from which a host is reached. Raises NetworkError; nothing is sent."""
    family, target = resolve(host, port)
    if family != socket.AF_INET:
        raise NetworkError(f"{host} has no IPv4 address")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect(target)
        except OSError as error:
            raise NetworkError(f"there is no way to the server {host}: {error.strerror}", hint="look at cable, address and routes") from error
        return str(probe.getsockname()[0])


class Listener:
    """A member of an IPv4 multicast group on the interface that has `local`. Several on one host each get every packet.

    `receive` waits at most `TICK_S`, gives packets of `source` only, and all that came together. Raises NetworkError.
    """

    TICK_S = 0.1

    def __init__(self, group: str, port: int, *, local: str, source: str) -> None:
        self._source = source
        self._buffer = bytearray(1 << 16)
        self._view = memoryview(self._buffer)
        self._into = (self._buffer,)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.fileno = self._socket.fileno
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            with suppress(OSError):             # more than the host allows everybody; for root
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
            with suppress(OSError):             # Linux 5.0
                self._socket.setsockopt(socket.SOL_UDP, _UDP_GRO, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, int(self.TICK_S * 1e6)))
            self._socket.bind((group, port))
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton(local))
        except OSError as error:
            self._socket.close()
            raise NetworkError(f"the group {group} cannot be joined from {local}: {error.strerror}", hint=_bind_hint(error)) from error

    def receive(self) -> tuple[memoryview, int] | None:
        """Packets that came together, valid until the next call, and the size of each (the last may be shorter); None when nothing came in time."""
        try:
            length, ancillary, _, sender = self._socket.recvmsg_into(self._into, 32)
        except BlockingIOError:
            return None
        except OSError as error:
            raise NetworkError(f"the network cannot be listened to: {error.strerror}") from error
        if sender[0] != self._source or not length:
            return None
        step = length
        for level, kind, data in ancillary:
            if level == socket.SOL_UDP and kind == _UDP_GRO and len(data) >= 4:
                step = int.from_bytes(data[:4], sys.byteorder) or length
        return self._view[:length], step

    def close(self) -> None:
        """Leave the group."""
        self._socket.close()
