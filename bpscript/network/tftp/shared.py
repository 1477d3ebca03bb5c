"""Large files of a TFTP server, together with all who fetch them now (RFC 2090): `--root multicast+tftp://10.0.0.1/images`.

A file is received whole, into a temporary file without a name, before the first byte is read, because a group sends it from where it is. It is
kept until another one is received: an archive is opened more than once. Small files, and those that no group brings, come as in source.py.
"""

from collections.abc import Iterable
from contextlib import closing
from io import FileIO
from pathlib import Path
from time import monotonic

from ...base.errors import BpscriptError, FormatError, NetworkError, NotFoundError
from ...base.events import Event, Kind, Sink, ignore, progress
from ...base.sources import Reader, SourceFacts
from ..sockets import Exchange, Listener, RefusedError, address_towards, readable
from ..spool import read_again, room_for, spool, write_at
from .actions import Failed, Finished, Send
from .joining import Action, Alone, Join, Joining, Place
from .options import OCTET
from .packets import Code, error_packet
from .source import BLOCK_SIZE, TftpSource

SCHEME = "multicast+"
SMALL = 1 << 20     # bytes; a file below that is fetched alone
_LONGEST_S = 1.0    # between two looks at the clock


class SharedSource:
    """The files of one server. `folder` is where they are kept."""

    def __init__(self, base: TftpSource, *, folder: Path | None = None, events: Sink = ignore) -> None:
        self.base = base
        self._folder = folder
        self._events = events
        self._kept: tuple[str, int, FileIO] | None = None

    def __str__(self) -> str:
        return f"{SCHEME}{self.base}"

    def stat(self, path: str) -> SourceFacts | None:
        """As the server says it."""
        return self.base.stat(path)

    def open(self, path: str) -> Reader:
        """The contents: received whole before this returns, unless they are fetched alone. Raises NotFoundError, NetworkError, StorageError."""
        facts = self.base.stat(path)
        if facts is None or facts.size is None or facts.size < SMALL:
            return self.base.open(path)
        if self._kept is None or self._kept[:2] != (path, facts.size):
            self.close()
            no_room = room_for(facts.size, self._folder)
            file = None if no_room is not None else self._receive(path, facts.size)
            if no_room is not None:
                self._warn(path, f"a multicast {no_room}")
            if file is None:
                return self.base.open(path)
            self._kept = (path, facts.size, file)
        return read_again(self._kept[2])

    def store(self, path: str, chunks: Iterable[bytes]) -> None:
        """Always refused."""
        self.base.store(path, chunks)

    def entries(self, path: str) -> list[tuple[str, SourceFacts]]:
        """Always refused."""
        return self.base.entries(path)

    def close(self) -> None:
        """Give up what is kept."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept[2].close()

    def _receive(self, path: str, size: int) -> FileIO | None:
        """The whole file; None when it has to be fetched alone (a warning says why)."""
        what = f'"{self.base.full_name(path)}" of {self.base}'
        file = spool(size, self._folder)
        try:
            with progress(self._events, f"receive {path}", size) as bar, closing(_Group(self.base, path, what)) as group:
                while not group.over:
                    for place in group.step():
                        write_at(file.fileno(), place.offset, [place.payload])
                        bar.advance(len(place.payload))
            if group.alone is not None:
                self._warn(path, group.alone)
                file.close()
                return None
            if group.size != size:
                raise NetworkError(f"{what} has {group.size} bytes; the server announced {size}")
        except BaseException:
            file.close()
            raise
        return file

    def _warn(self, path: str, why: str) -> None:
        self._events(Event(Kind.WARNING, {"text": f"{path}: {why}{'' if why.endswith('?') else ';'} the file comes to this machine alone"}))


class _Group:
    """The sockets around a `Joining`. Raises NotFoundError, NetworkError."""

    def __init__(self, source: TftpSource, path: str, what: str) -> None:
        self.over = False
        self.alone: str | None = None
        self._what = what
        self._core = Joining(source.full_name(path), OCTET, {"blksize": str(BLOCK_SIZE), "tsize": "0"})
        self._places: list[Place] = []
        self._listener: Listener | None = None
        self._server = ""
        self._exchange = Exchange(source.host, source.port)
        try:
            self._act(self._core.start(monotonic()))
        except FormatError as error:
            self._exchange.close()
            raise NotFoundError(f"{what} cannot be asked for: {error.message}") from error
        except BaseException:
            self._exchange.close()
            raise

    @property
    def size(self) -> int | None:
        """Bytes of the file."""
        return self._core.size

    def step(self) -> list[Place]:
        """Wait a moment for packets, and do what they ask for; what came in them, valid until the next call."""
        self._places = []
        sockets = [each for each in (self._exchange, self._listener) if each is not None]
        ready = readable(sockets, min(_LONGEST_S, self._core.deadline - monotonic()))
        try:
            if self._listener in ready and self._listener is not None:
                found = self._listener.receive()
                if found is not None:
                    packets, step = found
                    for at in range(0, len(packets), step):
                        self._act(self._core.receive_shared(packets[at : at + step], monotonic()))
            if self._exchange in ready:
                self._talk()
            self._act(self._core.expire(monotonic()))
        except RefusedError as error:
            reason = "broke off the transfer" if self._server else "has no TFTP server on that port"
            raise NetworkError(f"{self._what} cannot be fetched: the host {reason}") from error
        return self._places

    def close(self) -> None:
        """Leave the group; the server is told if it still counts on us."""
        try:
            if not self._core.over and self._server:
                self._exchange.send(error_packet(Code.NOT_DEFINED, "no longer wanted"))
        except (NetworkError, RefusedError):
            pass
        finally:
            self._exchange.close()
            if self._listener is not None:
                self._listener.close()

    def _talk(self) -> None:
        got = self._exchange.receive()
        if got is None:
            return
        packets, step, sender = got
        if not self._server:
            self._server = sender[0]
            self._exchange.fix(sender)
        for at in range(0, len(packets), max(1, step)):
            self._act(self._core.receive(packets[at : at + step], monotonic()))

    def _act(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            if self.over:
                return      # the group could not be joined: nothing is asked for
            match action:
                case Send():
                    self._exchange.send(action.packet)
                case Place():
                    self._places.append(action)
                case Join():
                    self._join(action)
                case Finished():
                    self.over = True
                case Alone():
                    self.over, self.alone = True, action.text
                case Failed():
                    raise self._failure(action)

    def _join(self, group: Join) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        try:
            self._listener = Listener(group.address, group.port, local=address_towards(self._server, group.port), source=self._server)
        except NetworkError as error:
            self.over, self.alone = True, error.message.rstrip(".")

    def _failure(self, failed: Failed) -> BpscriptError:
        if failed.by_peer and failed.code == Code.NOT_FOUND:
            return NotFoundError(f"no file {self._what}")
        who = "the server says" if failed.by_peer else "the server gives" if failed.code is None else "the server sent"
        return NetworkError(f'{self._what} cannot be fetched: {who} {failed.text or "no reason"}')
