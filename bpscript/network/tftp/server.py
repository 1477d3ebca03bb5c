"""A TFTP server: all transfers in one thread, over one socket for each address of this host that was asked.

A client is known by its address and port (its "transfer identifier"; RFC 1350, 4); ours is the port of that one socket, so
thousands of transfers need no thousands of sockets. A request that comes again while nothing of its transfer was acknowledged is
the same request; later it begins a new transfer in place of the old one.
"""

import heapq
import math
import threading
from itertools import count
from pathlib import Path
from time import monotonic

from ...base.errors import FormatError, StorageError
from ...base.events import Event, Kind, Sink, ignore
from ..sockets import MAX_DATAGRAM, Address, Datagrams, Waiter
from .actions import Action, Deliver, Failed, Finished, Send, SendBlocks
from .ahead import NOTHING, Ahead
from .bursts import BURSTS, Bursts, windows_together
from .limits import Limits
from .multicast import ForMember, Member
from .packets import (
    DEFAULT_BLOCK_SIZE,
    ENHANCED_BLOCK_SIZE,
    HEAD,
    Code,
    Opcode,
    Request,
    error_packet,
    opcode_of,
    parse_request,
)
from .sender import Sender
from .serving import Lookup, Receiving, RefusedError, Sending, Service

_LINGER_S = 5.0         # a finished upload answers its repeated last block that long
_LAY_OUT = BURSTS // 2  # transfers, and what each will ask for next is laid out before
_PACKETS = 64           # taken from a socket before the others have their turn
MULTICAST_ADDRESS = "239.255.69.69"     # RFC 2365: of the local scope


class _Transfer:
    """A transfer under way: where it goes, what it asked for, and when it is looked at next."""

    __slots__ = ("closes", "core", "heap_time", "peer", "port", "request", "run", "started", "target", "together", "work")

    def __init__(self, port: "_Port", peer: Address, request: Request, work: Sending | Receiving, started: float) -> None:
        self.port = port
        self.peer = peer
        # Where blocks go.
        self.target: Address = (work.group.address, work.group.port) if isinstance(work, Sending) and work.group is not None else peer
        self.request = request
        self.work = work
        self.core = work.core
        self.together = windows_together(work.agreed.block_size, work.agreed.window)
        self.run = NOTHING      # with the block that was sent last
        self.started = started
        self.closes = math.inf          # when a finished upload is forgotten
        self.heap_time = math.inf       # of its earliest entry among the timers

    @property
    def heard(self) -> bool:
        return self.core.heard if isinstance(self.core, Sender) else self.core.received > 0


class _Port:
    """The socket that all transfers of one local address use."""

    __slots__ = ("packets", "transfers")

    def __init__(self, packets: Datagrams) -> None:
        self.packets = packets
        self.transfers: dict[Address, _Transfer] = {}


class TftpServer:
    """Serves the files below a folder.

        with TftpServer(Path("images"), address="192.0.2.1", port=69, enhanced_port=59, events=sink) as server:
            server.run()                    # in this thread, until `stop` is called by another one or a signal handler

    or, beside other servers, `server.start()` runs it in a thread of its own and `server.stop()` ends that and waits for it. All
    sockets are bound by the constructor, so that a port in use is an error before anything is served; `port` and `enhanced_port`
    then are the real numbers (0 asks for any free one). `close` (or the end of `with`) gives everything back.

    * `address`: the one to listen on, IPv4 or IPv6; "0.0.0.0" and "::" are all of that family, answers come from the one that was asked
    * `enhanced_port`: where blocks have 1408 bytes without negotiation, as BpBatch's server on port 59; None: not served
    * `multicast`: the group address for clients that ask for it (RFC 2090), on the network of the address that was asked; None: never
    * `writable`: files may be stored below the root (they appear whole or not at all)
    * `lookup(path, client)`: may answer with another path below the root, with the bytes themselves, or with None
    * `events`: called in the server's thread with one `transfer` event for each transfer at its end, and for each refusal
    """

    def __init__(
        self, root: Path, *, address: str = "127.0.0.1", port: int = 69, enhanced_port: int | None = None, writable: bool = False,
        events: Sink = ignore, limits: Limits | None = None, lookup: Lookup | None = None, multicast: str | None = MULTICAST_ADDRESS,
    ) -> None:
        self.limits = limits or Limits()
        self._service = Service(root, writable=writable, lookup=lookup, limits=self.limits, multicast=multicast)
        self._events = events
        self._waiter = Waiter()
        self._ahead = Ahead()
        self._bursts = Bursts()
        self._buffer = bytearray(MAX_DATAGRAM + 1)
        self._view = memoryview(self._buffer)
        self._ports: dict[str, _Port] = {}
        self._per_client: dict[str, int] = {}
        self._timers: list[tuple[float, int, _Transfer]] = []
        self._order = count()
        self._active = 0
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._listening: list[Datagrams] = []
        self.port = self.enhanced_port = 0
        try:
            self.port = self._listen(address, port, DEFAULT_BLOCK_SIZE)
            if enhanced_port is not None:
                self.enhanced_port = self._listen(address, enhanced_port, ENHANCED_BLOCK_SIZE)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "TftpServer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        self.close()

    @property
    def transfers(self) -> int:
        """How many transfers are under way."""
        return self._active

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="tftp", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End `run`; waits for the thread of `start`. May be called at any time, more than once, and from a signal handler of `run`'s thread."""
        self._stopping = True
        self._waiter.wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None

    def run(self) -> None:
        """Serve until `stop` is called; transfers under way are then broken off, and their clients told."""
        while not self._stopping:
            wait = self._timers[0][0] - monotonic() if self._timers else 3600.0
            self._waiter.wait(wait)
            self._expire(monotonic())
        for port in self._ports.values():
            for transfer in list(port.transfers.values()):
                if not transfer.core.over:
                    self._fail(transfer, Code.NOT_DEFINED, "the server is stopping")

    def close(self) -> None:
        """Close sockets and files."""
        for port in self._ports.values():
            for transfer in list(port.transfers.values()):
                self._drop(transfer)
            port.packets.close()
        for packets in self._listening:
            packets.close()
        self._ports.clear()
        self._listening.clear()
        self._service.close()
        self._waiter.close()

    # --- requests ----------------------------------------------------------------------------------------------------

    def _listen(self, address: str, port: int, block_size: int) -> int:
        packets = Datagrams(address, port, tell_destination=True)
        self._listening.append(packets)
        self._waiter.add(packets.fileno(), lambda: self._requests(packets, block_size))
        return packets.where[1]

    def _requests(self, packets: Datagrams, block_size: int) -> None:
        for _ in range(_PACKETS):
            got = packets.receive_with_destination(self._buffer)
            if got is None:
                return
            length, sender, local = got
            if length and sender[1]:
                self._request(self._view[:length], sender, local, block_size)

    def _request(self, packet: memoryview, sender: Address, local: str, block_size: int) -> None:
        if opcode_of(packet) not in {Opcode.RRQ, Opcode.WRQ}:
            return      # nothing is said to strays: two servers could keep each other busy for ever
        port = self._port(local)
        try:
            request = parse_request(packet)
        except FormatError as error:
            port.packets.send_quietly(error_packet(Code.ILLEGAL, error.message), sender)
            return
        now = monotonic()
        before = port.transfers.get(sender)
        if before is not None:
            if before.request == request and not before.heard:
                if isinstance(before.core, Sender):
                    self._act(before, before.core.opened_again(now))
                else:
                    self._act(before, before.core.start(now))
                return
            self._end(before, "replaced", "the client began anew")
        client = sender[0]
        if not self._has_room(client):
            self._refused(request, sender, "busy", "too many transfers")
            return
        try:
            work = self._service.open(request, client, block_size)
        except RefusedError as refusal:
            port.packets.send_quietly(error_packet(refusal.code, refusal.text), sender)
            self._refused(request, sender, "refused", refusal.text)
            return
        transfer = port.transfers[sender] = _Transfer(port, sender, request, work, now)
        self._active += 1
        self._per_client[client] = self._per_client.get(client, 0) + 1
        self._act(transfer, work.core.start(now))

    def _port(self, local: str) -> _Port:
        """The socket that answers for a local address."""
        port = self._ports.get(local)
        if port is None:
            packets = Datagrams(local, 0)
            port = self._ports[local] = _Port(packets)
            self._waiter.add(packets.fileno(), lambda: self._packets(port))
        return port

    def _has_room(self, client: str) -> bool:
        if self._per_client.get(client, 0) >= self.limits.transfers_per_client:
            return False
        if self._active < self.limits.transfers:
            return True
        for port in self._ports.values():       # dicts keep their order: the oldest first
            for transfer in port.transfers.values():
                if not transfer.heard:
                    self._end(transfer, "failed", "no answer, and others wait")
                    return True
        return False

    # --- transfers ---------------------------------------------------------------------------------------------------

    def _packets(self, port: _Port) -> None:
        # Where one packet came, the answer to what it is answered with is near: waiting for it here saves a system call for each block.
        receive, transfers, buffer, view, unpack = port.packets.receive_soon, port.transfers, self._buffer, self._view, HEAD.unpack_from
        for _ in range(_PACKETS):
            got = receive(buffer)
            if got is None:
                return
            length, sender = got
            transfer = transfers.get(sender)
            if transfer is None:
                if length >= HEAD.size and buffer[1] in {Opcode.DATA, Opcode.OACK}:
                    port.packets.send_quietly(error_packet(Code.UNKNOWN_TRANSFER, "no such transfer"), sender)
                continue
            core, now = transfer.core, monotonic()
            if type(core) is Sender and length == HEAD.size:
                opcode, number = unpack(buffer)
                first = core.advance(number, now) if opcode == 4 else 0     # Opcode.ACK, without looking it up for every block
                if first:
                    if self._send_blocks(transfer, first, core.sent - core.acked) and core.deadline < transfer.heap_time:
                        self._set_timer(transfer, core.deadline)
                    continue
            self._act(transfer, core.receive_member(view[:length], now) if type(core) is Member else core.receive(view[:length], now))

    def _act(self, transfer: _Transfer, actions: tuple[Action | ForMember, ...]) -> None:
        for number, action in enumerate(actions):
            match action:
                case ForMember():
                    others = (other for port in self._ports.values() for other in port.transfers.values() if other.core is action.member)
                    other = next(others, None)
                    if other is not None:
                        self._act(other, (action.action,))
                case SendBlocks():
                    if not self._send_blocks(transfer, action.first, action.count):
                        return
                case Send():
                    transfer.port.packets.send_quietly(action.packet, transfer.peer)
                case Deliver():
                    if not self._deliver(transfer, action):
                        return
                case Finished():
                    if not self._finish(transfer, action):
                        self._act(transfer, actions[number + 1 :])      # the next master of a group is told
                        return
                case Failed():
                    # A client that only wants the size says so before it has acknowledged anything (OVMF does).
                    outcome = "aborted" if action.by_peer else "failed"
                    self._end(transfer, outcome, action.text or f"error {action.code}")
                    self._act(transfer, actions[number + 1 :])
                    return
        if transfer.core.deadline < transfer.heap_time:
            self._set_timer(transfer, transfer.core.deadline)

    def _send_blocks(self, transfer: _Transfer, first: int, count: int) -> bool:
        """False when the transfer is over."""
        try:
            if count == 1:
                self._send_block(transfer, first)
            else:
                self._send_window(transfer, first, count)
        except StorageError as error:
            self._fail(transfer, Code.NOT_DEFINED, error.message)
            return False
        return True

    def _send_block(self, transfer: _Transfer, number: int) -> None:
        run = transfer.run
        at = number - run.first
        if not 0 <= at < len(run.packets):
            work = transfer.work
            assert type(work) is Sending
            size = work.agreed.block_size
            if work.content.size is None:       # netascii: it cannot be read ahead of what is acknowledged
                data = work.content.read(number, 1, size)
                transfer.port.packets.send_quietly(HEAD.pack(Opcode.DATA, number & 0xFFFF) + data, transfer.target)
                if len(data) < size:
                    work.core.ends_at(number)
                return
            run = self._ahead.run(work.content, number, size, work.content.size // size + 1, transfers=self._active)
            at = number - run.first
            if len(run.packets) > 1:
                transfer.run = run
        transfer.port.packets.send_quietly(run.packets[at], transfer.target)

    def _send_window(self, transfer: _Transfer, first: int, count: int) -> None:
        work, peer = transfer.work, transfer.peer
        assert type(work) is Sending
        core, content, size = work.core, work.content, work.agreed.block_size
        together = transfer.together if self._active <= _LAY_OUT else 0
        while count:
            burst, packets, sent = self._bursts.take(content, size, first, count, together=together)
            transfer.port.packets.send_run(packets, burst.step, sent, peer)
            first += sent
            count -= sent
            if len(packets) < sent * burst.step:
                core.ends_at(first - 1)
                return
        if together and first <= (core.last_block or 0):    # the next window is laid out while the client takes this one
            self._bursts.take(content, size, first, core.window, together=together)

    def _deliver(self, transfer: _Transfer, action: Deliver) -> bool:
        assert isinstance(transfer.work, Receiving)
        upload, most = transfer.work.content, self.limits.upload_size
        if most is not None and upload.size + len(action.payload) > most:
            self._fail(transfer, Code.FULL, "the file is too large")
            return False
        try:
            upload.write(action.payload)
            if len(action.payload) < transfer.work.agreed.block_size:
                upload.commit()
        except StorageError as error:
            self._fail(transfer, Code.FULL, error.message)
            return False
        return True

    def _finish(self, transfer: _Transfer, action: Finished) -> bool:
        """False when the transfer is forgotten; a finished upload stays for a while."""
        if isinstance(transfer.work, Sending):
            self._end(transfer, "done", "" if action.confirmed else "the last acknowledgement never came")
            return False
        self._report(transfer, "done", "")
        transfer.closes = monotonic() + _LINGER_S
        self._set_timer(transfer, transfer.closes)
        return True

    def _fail(self, transfer: _Transfer, code: Code, text: str) -> None:
        transfer.port.packets.send_quietly(error_packet(code, text), transfer.peer)
        self._end(transfer, "failed", text)

    def _end(self, transfer: _Transfer, outcome: str, text: str) -> None:
        if transfer.closes is math.inf:
            self._report(transfer, outcome, text)
        self._drop(transfer)

    def _drop(self, transfer: _Transfer) -> None:
        transfer.core.over = True
        transfer.core.deadline = transfer.closes = math.inf
        transfer.work.content.close()
        if isinstance(transfer.core, Member):
            self._act(transfer, transfer.core.group.leave(transfer.core, monotonic()))
        if transfer.port.transfers.pop(transfer.peer, None) is None:
            return
        self._active -= 1
        client = transfer.peer[0]
        left = self._per_client[client] - 1
        if left:
            self._per_client[client] = left
        else:
            del self._per_client[client]

    # --- timers ------------------------------------------------------------------------------------------------------
    #
    # An entry is not moved when a deadline moves: it is looked at when its time comes, and put back if it came too early. So an
    # acknowledgement costs nothing here, and there are a few entries per transfer at most.

    def _set_timer(self, transfer: _Transfer, when: float) -> None:
        transfer.heap_time = when
        heapq.heappush(self._timers, (when, next(self._order), transfer))

    def _expire(self, now: float) -> None:
        timers = self._timers
        while timers and timers[0][0] <= now:
            when, _, transfer = heapq.heappop(timers)
            if when != transfer.heap_time:
                continue        # an earlier entry was made since
            transfer.heap_time = math.inf
            if transfer.closes <= now:
                self._drop(transfer)
                continue
            core = transfer.core
            if isinstance(core, Member):
                pass
            elif not transfer.heard and isinstance(core, Sender):
                core.timing.repetitions = self.limits.first_repetitions
            elif core.timing.repetitions != self.limits.repetitions:
                core.timing.repetitions = self.limits.repetitions
            self._act(transfer, core.expire_member(now) if isinstance(core, Member) else core.expire(now))
            following = min(core.deadline, transfer.closes)
            if following < transfer.heap_time:
                self._set_timer(transfer, following)

    # --- statistics --------------------------------------------------------------------------------------------------

    def _report(self, transfer: _Transfer, outcome: str, text: str) -> None:
        work = transfer.work
        self._events(Event(Kind.TRANSFER, {
            "protocol": "tftp", "client": str(transfer.peer[0]), "port": transfer.peer[1], "path": _shown(transfer.request.name),
            "write": transfer.request.write, "outcome": outcome, "text": _shown(text), "size": work.size,
            "seconds": round(monotonic() - transfer.started, 6), "block_size": work.agreed.block_size, "window": work.agreed.window,
            "multicast": isinstance(work, Sending) and work.group is not None,
            "repeated": work.core.repeated_windows if isinstance(work.core, Sender) else 0,
        }))

    def _refused(self, request: Request, sender: Address, outcome: str, text: str) -> None:
        self._events(Event(Kind.TRANSFER, {
            "protocol": "tftp", "client": str(sender[0]), "port": sender[1], "path": _shown(request.name), "write": request.write,
            "outcome": outcome, "text": _shown(text), "size": 0, "seconds": 0.0,
        }))


def _shown(text: str) -> str:
    """What a peer wrote, fit for a log line."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:300])
