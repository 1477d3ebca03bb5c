"""The DHCP or proxyDHCP server with its sockets: one thread that serves interfaces until it is stopped.

    service = DhcpService([interface], server=Server(Settings(subnets)), sink=log)
    service.start()             # binds at once, or raises NetworkError
    ...
    service.stop()

A packet that goes to a machine without an address is sent to its hardware address; where that is not allowed it is broadcast.
"""

import selectors
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from threading import Lock, Thread
from time import time

from ...base.errors import StorageError
from ...base.events import Event, Kind, Sink, ignore
from ..advertisement import advertisement, is_solicitation
from ..interface import Interface
from ..link import FrameSender, LinkDatagrams, Solicitations
from .actions import BROADCAST, Action, Arrival, Ports, Send
from .proxy import ProxyServer
from .server import Server

_AT_ONCE = 64           # packets of one socket before the others have their turn


class DhcpService:
    """Serves DHCP (`server`) or proxyDHCP (`proxy`) on interfaces, one address of ours on each.

    `sink` gets the events, from the service's thread. `advertises` answers IPv6 router solicitations with "no router here", so that
    iPXE does not wait for one; without the right to do so it is left out. Ports of 0 are chosen by the kernel: see `ports`.
    """

    def __init__(
        self,
        interfaces: Sequence[Interface],
        *,
        server: Server | None = None,
        proxy: ProxyServer | None = None,
        sink: Sink = ignore,
        ports: Ports | None = None,
        advertises: bool = True,
    ) -> None:
        if (server is None) == (proxy is None):
            raise ValueError("either a server or a proxy")
        self._interfaces = tuple(interfaces)
        self._server = server
        self._proxy = proxy
        self._sink = sink
        self._advertises = advertises
        self.ports = ports if ports is not None else Ports()
        self._selector = selectors.DefaultSelector()
        self._open = ExitStack()
        self._thread: Thread | None = None
        self._lock = Lock()

    @property
    def server(self) -> Server | None:
        """The core, with its leases in `server.pool`; None for a proxy."""
        return self._server

    def start(self) -> None:
        """Bind the ports and serve from now on. Raises NetworkError when a port cannot be had."""
        try:
            for interface in self._interfaces:
                self._serve(interface)
            self._waker, waiting = socket.socketpair()
            self._open.callback(self._waker.close)
            self._open.callback(waiting.close)
            self._selector.register(waiting, selectors.EVENT_READ, None)
        except BaseException:
            self._open.close()
            raise
        self._thread = Thread(target=self._run, name="dhcp", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and close everything; returns when the thread has ended. Does nothing the second time."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is None:
            return
        self._waker.send(b"\0")
        thread.join()
        self._selector.close()
        self._open.close()
        if self._server is not None:
            self._server.pool.close()

    def _serve(self, interface: Interface) -> None:
        frames = FrameSender(interface)
        self._open.callback(frames.close)
        if self._server is not None:
            self._listen(interface, self.ports.server, self._server.receive, frames)
        if self._proxy is not None:
            self._listen(interface, self.ports.server, self._proxy.receive, frames)
            self._listen(interface, self.ports.proxy, self._proxy.receive_boot_request, frames)
        if self._advertises:
            try:
                solicitations = Solicitations(interface)
            except OSError:         # no IPv6, or not root
                return
            self._open.callback(solicitations.close)
            self._selector.register(solicitations, selectors.EVENT_READ, partial(self._advertise, solicitations))

    def _listen(
        self, interface: Interface, port: int, core: Callable[[bytes, Arrival, float], Sequence[Action]], frames: FrameSender
    ) -> None:
        link = LinkDatagrams(interface.name, port)
        self._open.callback(link.close)
        self._selector.register(link, selectors.EVENT_READ, partial(self._receive, interface, link, core, frames))

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                key.data()

    def _receive(
        self, interface: Interface, link: LinkDatagrams, core: Callable[[bytes, Arrival, float], Sequence[Action]], frames: FrameSender
    ) -> None:
        for _ in range(_AT_ONCE):
            packet = link.receive()
            if packet is None:
                return
            if packet.destination not in {interface.address, BROADCAST, interface.network.broadcast_address}:
                continue            # to another address of this machine: we listen to what we were told
            try:
                actions = core(packet.data, Arrival(interface, packet.source, packet.port), time())
            except StorageError as error:
                self._sink(Event(Kind.ERROR, {"text": error.message}))
                continue
            except Exception as error:      # a mistake of ours: said, and the rest of the room is served on
                text = f"a DHCP packet from {packet.source} on {interface.name} was not answered: {type(error).__name__}: {error}"
                self._sink(Event(Kind.ERROR, {"text": text}))
                continue
            for action in actions:
                if isinstance(action, Event):
                    self._sink(action)
                else:
                    self._send(interface, link, frames, action)

    def _send(self, interface: Interface, link: LinkDatagrams, frames: FrameSender, action: Send) -> None:
        source = (interface.address, link.port)
        if action.hardware_address:
            if frames.send(action.packet, source, (action.address, action.port), action.hardware_address):
                return
            link.send(action.packet, BROADCAST, action.port, interface.address)
        elif not link.send(action.packet, action.address, action.port, interface.address):
            text = f"a reply to {action.address} cannot be sent on {interface.name}"
            self._sink(Event(Kind.WARNING, {"text": text}))

    def _advertise(self, solicitations: Solicitations) -> None:
        for _ in range(_AT_ONCE):
            message = solicitations.receive()
            if message is None:
                return
            if is_solicitation(message):
                solicitations.send(advertisement())
