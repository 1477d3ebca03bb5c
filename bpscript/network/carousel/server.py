"""The carousel of a server: files to the room, datagram by datagram, in a thread of its own.

    answer     in the thread of HTTP: somebody joins, is still there, leaves, wants the digests
    run        the sender: asks the station what is next, reads it, sends it, sleeps until the next
    digests    a thread that reads every file once, when somebody takes part in it for the first time

A file stays open while somebody takes part, so one that is replaced is sent to its end for those who have begun. One that is written to
is given up: its state (size and time) is looked at every second.
"""

import errno
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic
from urllib.parse import unquote_to_bytes

from ...base.errors import UsageError
from ...base.events import Event, Kind, Sink
from ...base.units import format_size
from ..http.files import Folder
from ..http.message import Answer, FilePart, RefusedError, Request, text_answer
from ..sockets import Address, Datagrams
from .digests import StoppedError, digests_of
from .packets import BLOCK, HEAD, MAGIC
from .station import KEEP_ALIVE_S, Burst, Ended, FileKey, Station
from .station import RefusedError as NotNowError
from .talk import COMPLETE, DIGESTS, HERE, REPAIR, Invitation, Word

_LOOK_S = 1.0               # between two looks at the state of a file
_MAX_DIGESTS = 64 << 20     # bytes of digests that are kept: those of 2 TB
_MAX_WAITING = 64           # files that wait for their digests


@dataclass(slots=True)
class _File:
    descriptor: int
    state: tuple[int, int]      # bytes, nanoseconds since 1970
    looked: float


class CarouselServer:
    """Sends files of `folder` to a group, from the interface that has `address`. `rate` is bits a second on the wire.

    Raises UsageError, NetworkError.
    """

    def __init__(self, folder: Folder, address: str, target: tuple[str, int], *, rate: int, events: Sink, clock: Callable[[], float] = monotonic) -> None:
        if not address or ":" in address or address == "0.0.0.0":  # noqa: S104 - that is what is refused
            raise UsageError(f"a carousel goes out by one interface with an IPv4 address, not by {address or 'all'}", hint="name it: --interface eth0, or its address: --listen 10.0.0.1")
        self._folder = folder
        self._target: Address = target
        self._events = events
        self._clock = clock
        self._socket = Datagrams(address, 0)
        self.source = str(self._socket.where[0])
        self._changed = threading.Condition()       # guards all below
        self._station = Station(rate, self._over)
        self._files: dict[FileKey, _File] = {}
        self._to_close: list[int] = []
        self._digests: dict[FileKey, bytes | None] = {}     # None: on its way
        self._waiting: queue.SimpleQueue[tuple[FileKey, int] | None] = queue.SimpleQueue()
        self._stopping = False
        self._closed = False
        self._digester = threading.Thread(target=self._make_digests, name="digests", daemon=True)
        self._digester.start()
        self._buffer = memoryview(bytearray(BLOCK * 64))

    @property
    def members(self) -> int:
        """How many take part."""
        return self._station.members

    # --- clients -------------------------------------------------------------------------------------------------------

    def answer(self, request: Request, peer: str) -> Answer:
        """What a client says. Raises the RefusedError of HTTP."""
        if request.method != "POST":
            return text_answer(HTTPStatus.METHOD_NOT_ALLOWED, "a carousel is joined by POST", {"Allow": "POST"})
        try:
            word = Word.parse(request.body)
        except ValueError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, str(error)) from error
        path = word.path.partition("?")[0]
        found = self._folder.answer(Request("GET", unquote_to_bytes(path), b"", {}))
        descriptor = found.body.descriptor if isinstance(found.body, FilePart) else -1
        try:
            key = FileKey(path, int(found.fields["Content-Length"]), found.fields["ETag"])
            if word.state == DIGESTS:
                return self._answer_digests(key, descriptor)
            if word.state in {HERE, REPAIR}:
                return self._join(key, descriptor, word, peer)
            return self._leave(key, word, peer)
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _join(self, key: FileKey, descriptor: int, word: Word, peer: str) -> Answer:
        with self._changed:
            try:
                session = self._station.join(key, f"{peer} {word.member}", self._clock(), receiving=word.state == HERE)
            except NotNowError as error:
                raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, f"no place in the carousel: {error}") from error
            if key not in self._files:
                facts = os.fstat(descriptor)
                self._files[key] = _File(os.dup(descriptor), (facts.st_size, facts.st_mtime_ns), self._clock())
            self._want_digests(key, descriptor)
            share = self._station.share()
            self._changed.notify()
        words = Invitation(session.hex(), str(self._target[0]), self._target[1], self.source, key.size, key.etag, BLOCK, share, KEEP_ALIVE_S)
        return Answer(HTTPStatus.OK, {"Content-Type": "application/json", "Cache-Control": "no-store"}, words.build())

    def _leave(self, key: FileKey, word: Word, peer: str) -> Answer:
        complete = word.state == COMPLETE
        with self._changed:
            seconds = self._station.leave(key, f"{peer} {word.member}", self._clock(), complete=complete)
        if seconds is not None:
            text = f"{format_size(word.repaired)} by HTTP" if word.repaired else ""
            self._events(Event(Kind.TRANSFER, {
                "protocol": "carousel", "client": peer, "path": _shown(key.path), "outcome": "done" if complete else "failed", "text": text,
                "size": min(word.received + word.repaired, key.size), "seconds": round(seconds, 6), "repaired": word.repaired,
            }))
        return Answer(HTTPStatus.NO_CONTENT, {})

    def _answer_digests(self, key: FileKey, descriptor: int) -> Answer:
        with self._changed:
            self._want_digests(key, descriptor)
            digests = self._digests.get(key)
        if digests is None:
            return text_answer(HTTPStatus.ACCEPTED, "they are being made", {"Retry-After": "1"})
        return Answer(HTTPStatus.OK, {"Content-Type": "application/octet-stream", "Cache-Control": "no-store", "ETag": key.etag}, digests)

    def _want_digests(self, key: FileKey, descriptor: int) -> None:
        if key in self._digests or descriptor < 0 or sum(each is None for each in self._digests.values()) >= _MAX_WAITING:
            return
        self._digests[key] = None
        self._waiting.put((key, os.dup(descriptor)))

    # --- threads -------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Send until `stop`."""
        while True:
            with self._changed:
                while self._to_close:
                    os.close(self._to_close.pop())
                if self._stopping:
                    return
                now = self._clock()
                burst = self._station.step(now)
                if burst is None:
                    until = min(self._station.deadline, self._station.silence_ends)
                    self._changed.wait(min(max(0.0, until - now), _LOOK_S))
                    continue
                file = self._files[burst.key]
            self._send(burst, file)

    def stop(self) -> None:
        """From any thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def close(self) -> None:
        """End the threads and give everything back."""
        self.stop()
        if self._closed:
            return
        self._closed = True
        self._waiting.put(None)
        self._digester.join()
        with self._changed:
            for descriptor in (*self._to_close, *(each.descriptor for each in self._files.values())):
                os.close(descriptor)
            self._to_close.clear()
            self._files.clear()
        self._socket.close()

    def _send(self, burst: Burst, file: _File) -> None:
        """Read and send; this thread alone closes descriptors, so `file` is open."""
        now = self._clock()
        try:
            if now - file.looked >= _LOOK_S:
                facts = os.fstat(file.descriptor)
                if (facts.st_size, facts.st_mtime_ns) != file.state:
                    raise OSError(errno.ESTALE, "it was written to")
                file.looked = now
            start = burst.first * BLOCK
            view = self._buffer[: min(burst.count * BLOCK, burst.key.size - start)]
            if os.preadv(file.descriptor, [view], start) != len(view):
                raise OSError(errno.ESTALE, "it became shorter")
        except OSError as error:
            self._events(Event(Kind.WARNING, {"text": f"carousel {_shown(burst.key.path)}: given up: {error.strerror}"}))
            with self._changed:
                self._station.drop(burst.key, now)
            return
        buffers: list[bytes | memoryview] = []
        for at in range(0, len(view), BLOCK):
            buffers.append(HEAD.pack(MAGIC, burst.session, start + at))
            buffers.append(view[at : at + BLOCK])
        self._socket.send_segments(buffers, HEAD.size + BLOCK, burst.count, self._target)

    def _make_digests(self) -> None:
        while (wanted := self._waiting.get()) is not None:
            key, descriptor = wanted
            digests: bytes | None = None
            try:
                before = os.fstat(descriptor)
                made = digests_of(descriptor, key.size, lambda: self._stopping)
                after = os.fstat(descriptor)
                if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                    digests = made
            except StoppedError:
                pass
            except (OSError, EOFError):     # who asks again starts it again
                digests = None
            finally:
                os.close(descriptor)
            with self._changed:
                del self._digests[key]
                if digests is not None:
                    self._digests[key] = digests
                while sum(len(each or b"") for each in self._digests.values()) > _MAX_DIGESTS:
                    del self._digests[next(name for name, each in self._digests.items() if each is not None)]
        while not self._waiting.empty():
            left = self._waiting.get()
            if left is not None:
                os.close(left[1])

    def _over(self, ended: Ended) -> None:
        """A session is over; called with the lock held."""
        file = self._files.pop(ended.key, None)
        if file is not None:
            self._to_close.append(file.descriptor)
        what = f"{ended.complete} of {ended.complete + ended.incomplete} machines have it"
        text = f"carousel {_shown(ended.key.path)}: {what}, {ended.turns:.2f} turns, {format_size(ended.sent)} in {ended.seconds:.1f} s"
        self._events(Event(Kind.NOTE if not ended.incomplete else Kind.WARNING, {"text": text}))


def _shown(path: str) -> str:
    text = unquote_to_bytes(path).decode("utf-8", "replace")[:300]
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


