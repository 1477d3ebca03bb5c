"""The server: many connections in one thread, files by sendfile.

    new ──► reading ──► (waiting: another thread makes the answer) ──► writing ──► reading ... ──► closed
              │ ▲                                                        │
              └─┘ not complete                                           └─ the socket is full: goes on when it has room

One request of a connection is answered at a time, in order; what a peer sends ahead waits, at most a head and a body. A turn of a
connection writes a limited number of bytes, then the others have theirs. Every state has a time after which the connection is
closed; when there are too many connections, the one that is idle the longest goes, and when none is idle, the new one.
"""

import errno
import fcntl
import os
import selectors
import socket
import sys
import termios
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic, time

from .conditions import http_date
from .message import Answer, FilePart, RefusedError, Request, RequestReader, head_bytes, text_answer

_RECEIVE = 64 << 10     # bytes of one recv
_TURN = 2 << 20         # bytes that one connection writes before the others have their turn
_TOGETHER = 16 << 10    # bytes of a file that go out with the head in one packet
_SWEEP_S = 0.5
_BACKLOG = 1024

Later = Callable[[Callable[[Answer], None]], None]       # is called with the function that takes the answer, from any thread
Handler = Callable[[Request, str], Answer | Later]       # the request and the address of the peer. Raises RefusedError


@dataclass(frozen=True, slots=True)
class Limits:
    """What peers may do. Times are seconds."""

    connections: int = 10_000
    idle_s: float = 60.0        # between two requests
    request_s: float = 20.0     # from the first byte of a request to its last
    stalled_s: float = 60.0     # without taking a byte of an answer
    answer_s: float = 120.0     # for making an answer in another thread


@dataclass(frozen=True, slots=True)
class Served:
    """One finished exchange. `sent` is bytes of the body; `complete` is False when the peer went away before the end."""

    peer: str
    method: str
    path: bytes
    status: int
    start: int
    length: int
    sent: int
    seconds: float
    complete: bool


Watcher = Callable[[Served], None]


def fail(error: Exception) -> None:
    """What happens to a mistake of ours unless somebody keeps a log of them."""
    raise error


class _Connection:
    """One peer. `state` is one of reading, waiting, writing; `deadline` and the rest in seconds of a monotonic clock."""

    __slots__ = ("answer", "deadline", "drained", "events", "head", "keep", "left", "number", "offset", "peer", "queued", "reader", "request", "socket", "started", "state")

    def __init__(self, number: int, sock: socket.socket, peer: str, deadline: float) -> None:
        self.number = number
        self.socket = sock
        self.peer = peer
        self.deadline = deadline
        self.reader = RequestReader()
        self.state = "reading"
        self.events = selectors.EVENT_READ
        self.request: Request | None = None
        self.answer: Answer | None = None
        self.head = memoryview(b"")     # bytes that go out before the file
        self.offset = self.left = 0     # of the file
        self.queued = 0                 # bytes that the kernel held for the peer when it took no more
        self.keep = True
        self.drained = False            # only waits for the peer to close
        self.started = 0.0


class HttpServer:
    """Serves on sockets that listen already. `run` returns after `stop`; `handler` and `watch` are called in its thread.

    `mistake` gets what is neither the peer's nor the disk's fault; the connection is closed, the others go on.
    """

    def __init__(
        self, listeners: Sequence[socket.socket], handler: Handler, *, limits: Limits | None = None, watch: Watcher = lambda _: None,
        mistake: Callable[[Exception], None] = fail,
    ) -> None:
        self._listeners = list(listeners)
        self._addresses: list[tuple[str, int]] = [listener.getsockname()[:2] for listener in self._listeners]
        self._handler = handler
        self._limits = limits or Limits()
        self._watch = watch
        self._mistake = mistake
        self._selector = selectors.DefaultSelector()
        self._connections: dict[int, _Connection] = {}
        self._numbers = 0
        self._done: deque[tuple[int, Answer]] = deque()     # answers from other threads
        self._ready: deque[_Connection] = deque()           # the next request of these has come already
        self._wake_in, self._wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stopping = False
        self._date = (0, "")
        self._accept_again = 0.0
        self._next_sweep = 0.0
        self._selector.register(self._wake_in, selectors.EVENT_READ, None)
        for listener in self._listeners:
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, listener)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens."""
        return self._addresses

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._connections)

    def run(self) -> None:
        """Serve until `stop`; then everything is closed."""
        try:
            while not self._stopping:
                for key, events in self._selector.select(0 if self._ready else _SWEEP_S):
                    if isinstance(key.data, _Connection):
                        self._guarded(key.data, self._turn, events)
                    elif key.data is None:
                        with suppress(BlockingIOError):
                            os.read(self._wake_in, 4096)
                    else:
                        self._accept(key.data)
                for _ in range(len(self._ready)):
                    self._guarded(self._ready.popleft(), self._next)
                while self._done:
                    number, answer = self._done.popleft()
                    connection = self._connections.get(number)
                    if connection is None or connection.state != "waiting":
                        _give_back(answer)
                    else:
                        self._guarded(connection, self._begin, answer)
                now = monotonic()
                if now >= self._next_sweep:
                    self._next_sweep = now + _SWEEP_S
                    self._sweep(now)
        finally:
            self.close()

    def close(self) -> None:
        """Close everything; the end of `run` does that too."""
        if self._wake_out < 0:
            return
        for connection in list(self._connections.values()):
            self._close(connection)
        for listener in self._listeners:
            listener.close()
        while self._done:
            _give_back(self._done.popleft()[1])
        self._selector.close()
        os.close(self._wake_in)
        wake, self._wake_out = self._wake_out, -1
        os.close(wake)

    def stop(self) -> None:
        """From any thread, or a signal handler."""
        self._stopping = True
        self._wake()

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _guarded(self, connection: _Connection, work: Callable[..., None], *arguments: object) -> None:
        """Work on a connection, unless it was closed earlier in this round."""
        if connection.number not in self._connections:
            return
        try:
            work(connection, *arguments)
        except OSError:
            self._close(connection)     # the peer has gone, or the disk does not read
        except Exception as error:      # a mistake of ours costs one connection, not a room of machines
            self._close(connection)
            self._mistake(error)

    def _turn(self, connection: _Connection, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._write(connection)
        elif events & selectors.EVENT_READ:
            self._read(connection)

    def _accept(self, listener: socket.socket) -> None:
        now = monotonic()
        if now < self._accept_again:
            return
        for _ in range(64):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                    self._accept_again = now + 0.1      # those who wait are accepted when others have gone
                    self._drop_idle()
                return
            if len(self._connections) >= self._limits.connections and not self._drop_idle():
                sock.close()
                continue
            sock.setblocking(False)
            with suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._numbers += 1
            connection = _Connection(self._numbers, sock, str(address[0]), now + self._limits.request_s)
            self._connections[connection.number] = connection
            self._selector.register(sock, selectors.EVENT_READ, connection)

    def _drop_idle(self) -> bool:
        """Close the connection that has been without a complete request the longest; False when there is none."""
        idle = next((each for each in self._connections.values() if each.state == "reading"), None)
        if idle is None:
            return False
        self._close(idle)
        return True

    def _sweep(self, now: float) -> None:
        for connection in [each for each in self._connections.values() if each.deadline <= now]:
            if connection.state == "reading" and not connection.reader.is_between and not connection.drained:
                self._guarded(connection, self._refuse, RefusedError(HTTPStatus.REQUEST_TIMEOUT, "the request did not come in time", close=True))
            elif connection.state == "writing" and (queued := _queued(connection.socket)) < connection.queued:
                # It is slow, but takes what the kernel holds: room for more is told only when a third of that has gone.
                connection.queued = queued
                connection.deadline = now + self._limits.stalled_s
            else:
                self._close(connection)

    # --- a connection --------------------------------------------------------------------------------------------------

    def _read(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(_RECEIVE)
        except BlockingIOError:
            return
        if not data or connection.drained:
            if not data:
                self._close(connection)
            return
        if connection.reader.is_between:
            connection.deadline = monotonic() + self._limits.request_s
        connection.reader.feed(data)
        self._next(connection)

    def _next(self, connection: _Connection) -> None:
        """Begin with the next request, if it is complete."""
        try:
            request = connection.reader.take()
        except RefusedError as refused:
            self._refuse(connection, refused)
            return
        if request is None:
            if connection.reader.expects_continue:
                with suppress(BlockingIOError):
                    connection.socket.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._listen_for(connection, selectors.EVENT_READ)
            return
        connection.request = request
        connection.started = monotonic()
        connection.keep = request.keeps_alive
        try:
            answer = self._handler(request, connection.peer)
        except RefusedError as refused:
            self._refuse(connection, refused)
            return
        if isinstance(answer, Answer):
            self._begin(connection, answer)
            return
        connection.state = "waiting"
        connection.deadline = monotonic() + self._limits.answer_s
        self._listen_for(connection, 0)
        number = connection.number
        answer(lambda made: self._made(number, made))

    def _made(self, number: int, answer: Answer) -> None:
        """An answer from another thread."""
        self._done.append((number, answer))
        self._wake()

    def _refuse(self, connection: _Connection, refused: RefusedError) -> None:
        fields = {"Allow": "GET, HEAD"} if refused.status is HTTPStatus.METHOD_NOT_ALLOWED else None
        self._begin(connection, text_answer(refused.status, refused.sentence, fields, close=refused.close))

    def _begin(self, connection: _Connection, answer: Answer) -> None:
        """Send an answer, as much of it as the socket takes now."""
        request = connection.request
        connection.answer = answer
        connection.keep = connection.keep and not answer.close and not self._stopping
        if not connection.started:
            connection.started = monotonic()
        head = head_bytes(answer, self._now(), keep=connection.keep, minor=1 if request is None else request.minor)
        connection.offset = connection.left = 0
        if isinstance(answer.body, FilePart):
            part = answer.body
            connection.offset, connection.left = part.offset, part.length
            if part.length <= _TOGETHER:
                data = os.pread(part.descriptor, part.length, part.offset)
                head += data
                connection.offset, connection.left = part.offset + len(data), part.length - len(data)
        elif request is None or request.method != "HEAD":
            head += answer.body
        connection.head = memoryview(head)
        connection.state = "writing"
        connection.deadline = monotonic() + self._limits.stalled_s
        self._write(connection)

    def _write(self, connection: _Connection) -> None:
        try:
            if len(connection.head):
                more = socket.MSG_MORE if connection.left else 0
                connection.head = connection.head[connection.socket.send(connection.head, more) :]
                if len(connection.head):
                    raise BlockingIOError
            if connection.left:
                assert connection.answer is not None
                assert isinstance(connection.answer.body, FilePart)
                descriptor, out, turn = connection.answer.body.descriptor, connection.socket.fileno(), _TURN
                while connection.left and turn > 0:
                    count = os.sendfile(out, descriptor, connection.offset, min(connection.left, turn))
                    if not count:
                        self._close(connection)     # the file became shorter: the length that was promised cannot be sent
                        return
                    connection.offset += count
                    connection.left -= count
                    turn -= count
                    connection.deadline = monotonic() + self._limits.stalled_s      # here: a slow peer blocks before its turn is over
        except BlockingIOError:
            connection.queued = _queued(connection.socket)
            self._listen_for(connection, selectors.EVENT_WRITE)
            return
        if connection.left:
            self._listen_for(connection, selectors.EVENT_WRITE)
            return
        self._finish(connection)

    def _finish(self, connection: _Connection) -> None:
        """The answer is out: the next request, or the end."""
        self._tell(connection, complete=True)
        connection.request = None
        connection.started = 0.0
        now = monotonic()
        if not connection.keep:
            # Closing at once could reset the connection before the peer has read the answer (RFC 9112 9.6): it closes first, or soon.
            connection.drained = True
            connection.state = "reading"
            connection.deadline = now + 2.0
            with suppress(OSError):
                connection.socket.shutdown(socket.SHUT_WR)
            self._listen_for(connection, selectors.EVENT_READ)
            return
        connection.state = "reading"
        connection.deadline = now + (self._limits.idle_s if connection.reader.is_between else self._limits.request_s)
        # To the end of the row, where the connection that has been idle for the shortest time is.
        self._connections[connection.number] = self._connections.pop(connection.number)
        if connection.reader.is_between:
            self._listen_for(connection, selectors.EVENT_READ)
        else:
            self._listen_for(connection, 0)
            self._ready.append(connection)      # not from here: a row of small requests would go ever deeper

    def _listen_for(self, connection: _Connection, events: int) -> None:
        if connection.events == events:
            return
        if not events:
            self._selector.unregister(connection.socket)
        elif not connection.events:
            self._selector.register(connection.socket, events, connection)
        else:
            self._selector.modify(connection.socket, events, connection)
        connection.events = events

    def _tell(self, connection: _Connection, *, complete: bool) -> None:
        answer, connection.answer = connection.answer, None
        if answer is None:
            return
        _give_back(answer)
        request = connection.request
        start = answer.body.offset if isinstance(answer.body, FilePart) else 0
        self._watch(
            Served(
                connection.peer, "" if request is None else request.method, b"" if request is None else request.path, answer.status.value,
                start, answer.length, answer.length - connection.left, monotonic() - connection.started, complete,
            )
        )

    def _close(self, connection: _Connection) -> None:
        self._tell(connection, complete=False)
        self._connections.pop(connection.number, None)
        if connection.events:
            with suppress(KeyError, ValueError):
                self._selector.unregister(connection.socket)
        connection.socket.close()

    def _wake(self) -> None:
        with suppress(OSError):
            os.write(self._wake_out, b"\0")

    def _now(self) -> str:
        seconds = int(time())
        if self._date[0] != seconds:
            self._date = seconds, http_date(seconds)
        return self._date[1]


def _give_back(answer: Answer) -> None:
    """Close the file of an answer."""
    if isinstance(answer.body, FilePart) and answer.body.descriptor >= 0:
        os.close(answer.body.descriptor)
        answer.body.descriptor = -1


def _queued(sock: socket.socket) -> int:
    """Bytes that were written and that the peer has not confirmed. Source: SIOCOUTQ in tcp(7)."""
    return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
