"""What the tests of HTTP share: a server in a thread, a proxy that cuts connections, answers from a table."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bpscript.network.http.client import BrokenError
from bpscript.network.http.files import Folder
from bpscript.network.http.server import Handler, HttpServer, Limits, Served
from bpscript.network.http.urls import Url


@dataclass
class Serving:
    """A server that runs. `told` are the finished exchanges so far; `seen` waits until all have been told."""

    port: int
    server: HttpServer
    told: list[Served]
    running: bool = True

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    @property
    def seen(self) -> list[Served]:
        """The finished exchanges: one more request and its answer, and the server has told of all before it."""
        if self.running:
            self.talk(b"GET /settled HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        return [each for each in self.told if each.path != b"/settled"]

    def connect(self, timeout_s: float = 10) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)

    def talk(self, data: bytes, timeout_s: float = 10) -> bytes:
        """Everything that comes back until the server closes; the peer's half is closed after `data`."""
        with self.connect(timeout_s) as sock:
            sock.sendall(data)
            with suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
            return received(sock)


def received(sock: socket.socket) -> bytes:
    """Everything up to the end."""
    pieces = []
    with suppress(ConnectionResetError):
        while data := sock.recv(1 << 20):
            pieces.append(data)
    return b"".join(pieces)


@contextmanager
def serving(folder: Path | None = None, limits: Limits | None = None, handler: Handler | None = None) -> Iterator[Serving]:
    """A server of a folder on a free port. A mistake in it fails the test."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    seen: list[Served] = []
    if handler is None:
        assert folder is not None
        files = Folder(folder)
        handler = lambda request, _: files.answer(request)  # noqa: E731
    mistakes: list[Exception] = []
    server = HttpServer([listener], handler, limits=limits, watch=seen.append, mistake=mistakes.append)
    thread = threading.Thread(target=server.run)
    port = listener.getsockname()[1]
    thread.start()
    found = Serving(port, server, seen)
    try:
        yield found
    finally:
        found.running = False
        server.stop()
        thread.join(10)
    assert not thread.is_alive()
    assert mistakes == []


@contextmanager
def cutting(port: int, cuts: Callable[[int], int | None]) -> Iterator[tuple[int, list[int]]]:
    """A proxy that closes its connection number N after `cuts(N)` bytes of answers (None: never); its port, and what passed of each."""
    listener = socket.create_server(("127.0.0.1", 0))
    passed: list[int] = []
    stopping = threading.Event()

    def up(peer: socket.socket, there: socket.socket) -> None:
        with suppress(OSError):
            while data := peer.recv(65536):
                there.sendall(data)

    def one(peer: socket.socket, number: int) -> None:
        left = cuts(number)
        with peer, socket.create_connection(("127.0.0.1", port)) as there, suppress(OSError):
            threading.Thread(target=up, args=(peer, there), daemon=True).start()
            while left is None or left > 0:
                data = there.recv(65536 if left is None else min(65536, left))
                if not data:
                    break
                peer.sendall(data)
                passed[number] += len(data)
                left = None if left is None else left - len(data)
            for each in (peer, there):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while not stopping.is_set():
                peer, _ = listener.accept()
                passed.append(0)
                threading.Thread(target=one, args=(peer, len(passed) - 1), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], passed
    finally:
        stopping.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@dataclass
class TableReply:
    """An answer from memory, that may break off."""

    status: int
    fields: Mapping[str, str]
    body: bytes
    url: Url
    breaks_after: int | None = None
    reason: str = "Reason"
    done: int = 0

    def field(self, name: str) -> str | None:
        return {key.lower(): value for key, value in self.fields.items()}.get(name)

    def readinto(self, buffer: memoryview) -> int:
        end = len(self.body) if self.breaks_after is None else min(self.breaks_after, len(self.body))
        part = self.body[self.done : min(self.done + len(buffer), end)]
        if not part and self.breaks_after is not None and self.done == self.breaks_after:
            raise BrokenError("it broke")
        buffer[: len(part)] = part
        self.done += len(part)
        return len(part)

    def close(self) -> None:
        pass


@dataclass
class Table:
    """A server without sockets: `answer` makes each reply of the request's fields; `asked` are those."""

    answer: Callable[[Mapping[str, str]], TableReply]
    asked: list[Mapping[str, str]] = field(default_factory=list)

    def fetch(self, method: str, url: Url, fields: Mapping[str, str], body: bytes | None = None) -> TableReply:
        self.asked.append(fields)
        return self.answer(fields)
