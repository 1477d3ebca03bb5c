"""A file by carousel: what comes by multicast goes into a temporary file, what is missing comes by HTTP, then every MiB is checked.

    join ──► receive (receiver.py) ──► holes by ranges ──► digests: wrong parts by ranges, and once more ──► leave: complete
       └─ no carousel, or no packet arrives, or no room ──► HTTP alone, with a warning

The file has no name, so it is gone whatever happens. It is given to the caller only when all is there and right; everything else is an
error, and the server is told that we did not get it.
"""

import secrets
import threading
from io import FileIO
from pathlib import Path
from time import monotonic, sleep

from ...base.errors import NetworkError
from ...base.events import Event, Kind, Progress, Sink, ignore, progress
from ...base.units import format_size
from ..http.client import Fetcher
from ..http.remote import RemoteFile
from ..http.urls import Url
from ..sockets import Listener, address_towards
from ..spool import room_for, spool, write_at
from .calls import Membership, NoCarouselError, changed
from .digests import wrong_parts
from .receiver import Next, Receiver

_JOIN = 64 << 10            # bytes between two holes that are fetched rather than asked around
_BLOCKS = 744               # of one range: about 1 MiB
_DIGEST_PAUSE_S = 0.2
_DIGEST_BASE_S = 30.0       # how long to wait for the digests,
_DIGEST_RATE = 20 << 20     # and longer for large files: bytes a second that any server reads
_LOOK_PACKETS = 16          # batches of packets between two looks at the clock


class Fetch:
    """One file on its way, its bytes by `fetcher`, talk about the carousel by `talker`.

    `folder` is where it is kept, by default where the host keeps temporary files.
    """

    def __init__(self, fetcher: Fetcher, talker: Fetcher, url: Url, *, folder: Path | None = None, events: Sink = ignore) -> None:
        self._fetcher = fetcher
        self._talker = talker
        self._url = url
        self._folder = folder
        self._events = events
        self._received = self._repaired = 0
        self._remote: RemoteFile | None = None

    def run(self) -> FileIO | None:
        """The whole file, checked; None when it has to come by HTTP alone (a warning says why). Raises NetworkError, StorageError."""
        try:
            membership = Membership(self._talker, self._url, secrets.token_hex(8))
        except NoCarouselError as error:
            self._by_http(error.message)
            return None
        complete = False
        keeper = threading.Thread(target=membership.keep, name="carousel", daemon=True)
        keeper.start()
        try:
            file = self._receive(membership)
            complete = file is not None
            return file
        finally:
            membership.leave(complete=complete, received=self._received, repaired=self._repaired)
            if self._remote is not None:
                self._remote.close()

    def _receive(self, membership: Membership) -> FileIO | None:
        told = membership.invitation
        receiver = Receiver(bytes.fromhex(told.session), told.size, told.block, monotonic())
        file = self._temporary(told.size)
        if file is None:
            return None
        try:
            with progress(self._events, f"receive {self._name}", told.size) as bar:
                if not self._listen(membership, receiver, file, bar):
                    file.close()
                    return None
                membership.passed()
                for start, end in receiver.holes(join=_JOIN):
                    for at in range(start, end, _BLOCKS * told.block):
                        until = min(at + _BLOCKS * told.block, end)
                        self._fetch(membership, file, at, until)
                        bar.advance(receiver.fill(at, until))
            if receiver.missing:
                raise AssertionError("holes that are filled are no holes")
            self._check(membership, file)
        except BaseException:
            file.close()
            raise
        return file

    def _listen(self, membership: Membership, receiver: Receiver, file: FileIO, bar: Progress) -> bool:
        """Take packets until the core says what else to do; False when it has to come by HTTP alone."""
        told = membership.invitation
        try:
            group = Listener(told.group, told.port, local=address_towards(told.source, told.port), source=told.source)
        except NetworkError as error:
            self._by_http(error.message)
            return False
        descriptor = file.fileno()
        try:
            what = Next.WAIT
            while what is Next.WAIT:
                for _ in range(_LOOK_PACKETS):
                    found = group.receive()
                    if found is None:
                        break
                    before = receiver.received
                    for write in receiver.take(*found, monotonic()):
                        write_at(descriptor, *write)
                    bar.advance(receiver.received - before)
                    self._received = receiver.received
                    if not receiver.missing:
                        break
                if membership.changed:
                    raise changed(self._url)
                what = receiver.next(monotonic())
                if what is Next.WAIT and membership.ended is not None:
                    self._warn(f"{membership.ended}; what is missing comes by HTTP")
                    what = Next.REPAIR
        finally:
            group.close()
        if what is Next.SILENT and not receiver.received:
            self._by_http(f"no packet of {told.group} port {told.port} arrives: does a switch hold multicast back?")
            return False
        if what is Next.SILENT:
            self._warn(f"{self._url}: the carousel fell silent; {format_size(told.size - receiver.received)} that are missing come by HTTP")
        return True

    def _fetch(self, membership: Membership, file: FileIO, start: int, end: int) -> None:
        """A part by HTTP, if it is of the same file."""
        told = membership.invitation
        if self._remote is None:
            self._remote = RemoteFile(self._fetcher, self._url)
            if self._remote.size != told.size or self._remote.etag != told.etag:
                raise changed(self._url)
            if not self._remote.reads_anywhere:
                raise NetworkError(f"{self._url}: the server does not know ranges, so what the carousel did not bring cannot be fetched")
        write_at(file.fileno(), start, [self._remote.read_at(start, end - start)])
        self._repaired += end - start

    def _check(self, membership: Membership, file: FileIO) -> None:
        """Compare every part with its digest; wrong ones are fetched by HTTP, once."""
        told = membership.invitation
        digests = self._digests(membership)
        wrong = list(wrong_parts(file.fileno(), told.size, digests))
        for start, end in wrong:
            self._fetch(membership, file, start, end)
        if wrong:
            self._warn(f"{self._url}: {len(wrong)} parts of 1 MiB came with wrong bytes and were fetched again by HTTP: does another sender use the group {told.group}?")
            if self._digests(membership) != digests or any(True for _ in wrong_parts(file.fileno(), told.size, digests)):
                raise NetworkError(f"{self._url}: the bytes do not fit the digests that the server gives", hint="start again")

    def _digests(self, membership: Membership) -> bytes:
        end = monotonic() + _DIGEST_BASE_S + membership.invitation.size / _DIGEST_RATE
        while (found := membership.digests()) is None:
            if membership.changed:
                raise changed(self._url)
            if monotonic() > end:
                raise NetworkError(f"{self._url}: the server does not say what the bytes should be")
            sleep(_DIGEST_PAUSE_S)
        return found

    def _temporary(self, size: int) -> FileIO | None:
        """A sparse file without a name; None when there is no room for it."""
        no_room = room_for(size, self._folder)
        if no_room is not None:
            self._by_http(f"a carousel {no_room}")
            return None
        return spool(size, self._folder)

    def _by_http(self, why: str) -> None:
        self._warn(f"{why.rstrip('.')}; the file comes by HTTP")

    def _warn(self, text: str) -> None:
        self._events(Event(Kind.WARNING, {"text": text}))

    @property
    def _name(self) -> str:
        return self._url.split()[1]
