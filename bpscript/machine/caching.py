"""A server whose files are kept in the cache of a disk (language.md 5): a FileSource that wraps a source and lies on a disk.

    is the cached file still the server's?      same size and time; without a time, same size and first block
      yes   it is read from the cache; a block of it that does not check is read from the server instead, and the file is forgotten
      no    from a server with ranges           every part that somebody reads is kept on its way; at the end of the command what is
                                                missing is fetched, if more than half has come
            from any other server               the whole file goes into the cache first, and is read there: so archives by TFTP can be
                                                read from anywhere, too

So a restore by difference, which reads little of an archive, stays small: what it fetches is not worth a whole file, and the next
difference is as small again. One `CachingSource` lives for one command; when that fails, nothing that is half there is kept.

A file that cannot be kept (no room, a disk that may not be written) comes past the cache, with a note that says why; where there is no
cache at all (no disk, no table, nothing behind the last partition) that is how the disk was laid out, and no news.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing

from ..base.errors import BpscriptError, FormatError, NetworkError, NotFoundError, StorageError
from ..base.events import Progress, Sink, progress
from ..base.sources import FileSource, Reader, ReadsAnywhere, SourceFacts
from ..filesystems.cache.filling import Filling
from ..filesystems.cache.layout import BLOCK
from ..filesystems.cache.stream import CacheReader
from ..filesystems.cache.volume import CacheVolume
from ..filesystems.filesystem import Facts, FileKind
from ..network.foreign import parse_foreign

_STEP = 4 << 20         # bytes fetched at a time
_BEFORE = 256           # bytes read in front of what is asked for: a restore leaves out the records between chunks, and they are the file's, too
_WORTH_IT = 2           # a file is fetched to its end when at least one of so many parts has come

Note = Callable[[str], None]


class CachingSource:
    """Use it in a `with`, around a command. `cache` gives the volume, or raises NotFoundError when there is none."""

    def __init__(self, source: FileSource, cache: Callable[[], CacheVolume], note: Note, events: Sink) -> None:
        self._source = source
        self._cache = cache
        self._note = note
        self._events = events
        self._known: dict[str, SourceFacts | None] = {}
        self._noted: set[str] = set()
        self._keeping: dict[str, _Keeping] = {}

    def __enter__(self) -> "CachingSource":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        for name, keeping in self._keeping.items():
            if kind is not None:
                keeping.give_up()
                continue
            try:
                keeping.complete(self._events)
            except BpscriptError as error:      # the command itself has succeeded
                self._not_kept(name, error.message)

    def stat(self, path: str) -> SourceFacts | None:
        """What the server says; asked once in a command."""
        if path not in self._known:
            self._known[path] = self._source.stat(path)
        return self._known[path]

    def open(self, path: str) -> Reader:
        """The contents, from the cache if they are there and current."""
        facts = self.stat(path)
        if facts is None or facts.is_directory:
            return self._source.open(path)      # whose error it is
        if path in self._keeping:
            return self._kept(path, self._source.open(path))
        try:
            volume = self._cache()
        except NotFoundError:
            return self._source.open(path)
        except StorageError as error:
            self._not_kept(path, error.message)
            return self._source.open(path)
        name = cache_name(path)
        if volume.exists(name) and self._is_current(volume, name, path, facts):
            try:
                return self._cached(volume, name, path, facts)
            except NotFoundError:               # it was damaged
                pass
        return self._fetched(volume, name, path, facts)

    def store(self, path: str, chunks: Iterable[bytes]) -> None:
        """As the server does it."""
        self._source.store(path, chunks)

    def entries(self, path: str) -> list[tuple[str, SourceFacts]]:
        """As the server says."""
        return self._source.entries(path)

    def _is_current(self, volume: CacheVolume, name: str, path: str, facts: SourceFacts) -> bool:
        first_block = None
        if facts.mtime_ns is None and facts.size in {None, volume.stat(name).size}:
            with closing(self._source.open(path)) as reader:
                first_block = _first(reader, BLOCK)
        return volume.is_current(name, facts, first_block)

    def _fetched(self, volume: CacheVolume, name: str, path: str, facts: SourceFacts) -> Reader:
        """From the server, and into the cache."""
        reader = self._source.open(path)
        times = None if facts.mtime_ns is None else Facts(FileKind.FILE, facts.size or 0, facts.mtime_ns)
        try:
            if facts.size is not None and isinstance(reader, ReadsAnywhere) and reader.reads_anywhere and reader.size == facts.size:
                filling = volume.fill(name, facts.size, times)
                self._keeping[path] = _Keeping(filling, lambda reason: self._not_kept(path, reason), lambda: self._source.open(path))
                return self._kept(path, reader)
            with closing(reader), progress(self._events, f"fetch {path}", facts.size or 0) as state:
                volume.write_file(name, _counted(reader, state), facts.size, times)
        except StorageError as error:
            reader.close()
            self._not_kept(path, error.message)
            return self._source.open(path)
        return self._cached(volume, name, path, facts)

    def _kept(self, path: str, reader: Reader) -> Reader:
        """The reader, with what it reads kept where that is possible."""
        if isinstance(reader, ReadsAnywhere) and reader.reads_anywhere and reader.size == self._keeping[path].size:
            return _KeepingReader(reader, reader, self._keeping[path])
        return reader

    def _cached(self, volume: CacheVolume, name: str, path: str, facts: SourceFacts) -> Reader:
        return _CachedReader(volume.open(name), volume.stat(name).size, lambda: self._again(path, facts))

    def _again(self, path: str, facts: SourceFacts) -> Reader:
        """The file of the server once more, in the middle of reading it from the cache. Raises NetworkError when it is another one."""
        if self._source.stat(path) != facts:
            raise NetworkError(f'"{path}" is damaged in the cache, and the server has another one by now', hint="run the command again")
        return self._source.open(path)

    def _not_kept(self, path: str, reason: str) -> None:
        if path not in self._noted:
            self._noted.add(path)
            self._note(f'"{path}" is not kept in the cache: {reason}')


class _Keeping:
    """A file that is being put together from what its readers read. A cache that fails is left alone from then on."""

    def __init__(self, filling: Filling, failed: Note, open_again: Callable[[], Reader]) -> None:
        self._filling: Filling | None = filling
        self._failed = failed
        self._open_again = open_again
        self.size = filling.size

    def keep(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """A part that was read."""
        filling = self._filling
        if filling is None:
            return
        try:
            filling.put(offset, data)
        except StorageError as error:
            self.give_up()
            self._failed(error.message)

    def complete(self, events: Sink) -> None:
        """Fetch what is missing, if that is worth it, and let the file be in the cache. Raises NetworkError, StorageError."""
        filling, self._filling = self._filling, None
        if filling is None:
            return
        try:
            if filling.filled * _WORTH_IT >= self.size:
                if missing := filling.missing():
                    self._fetch(filling, missing, events)
                filling.commit()
        finally:
            filling.abandon()

    def give_up(self) -> None:
        """Nothing of it is kept."""
        filling, self._filling = self._filling, None
        if filling is not None:
            filling.abandon()

    def _fetch(self, filling: Filling, missing: list[tuple[int, int]], events: Sink) -> None:
        total = sum(end - start for start, end in missing)
        with closing(self._open_again()) as reader, progress(events, "fetch the rest for the cache", total) as state:
            if not isinstance(reader, ReadsAnywhere) or reader.size != self.size:
                raise NetworkError("the server has another one by now")
            for first, last in missing:
                for offset in range(first, last, _STEP):
                    data = reader.read_at(offset, min(_STEP, last - offset))
                    filling.put(offset, data)
                    state.advance(len(data))


class _KeepingReader:
    """A file on a server with ranges; what is read is kept too."""

    reads_anywhere = True

    def __init__(self, reader: Reader, there: ReadsAnywhere, keeping: _Keeping) -> None:
        self._reader = reader
        self._there = there             # the same
        self._keeping = keeping
        self._position = 0
        self.size = keeping.size

    def read(self, length: int = -1, /) -> bytes:
        """At most `length` bytes in order, all that is left when negative."""
        data = self._reader.read(length)
        self._keeping.keep(self._position, data)
        self._position += len(data)
        return data

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        before = min(offset, _BEFORE)
        data = self._there.read_at(offset - before, before + length)
        self._keeping.keep(offset - before, data)
        return data[before:]

    def readinto_at(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        view = memoryview(buffer).cast("B")
        view[:] = self.read_at(offset, len(view))

    def close(self) -> None:
        """Let the server go; what came is settled at the end of the command."""
        self._reader.close()


class _CachedReader:
    """A file in the cache. When a block of it does not check, the rest comes from the server: `again` opens it there."""

    def __init__(self, reader: CacheReader, size: int, again: Callable[[], Reader]) -> None:
        self._reader = reader
        self._size = size
        self._again = again
        self._server: Reader | None = None
        self._server_position = 0
        self._position = 0

    def read(self, length: int = -1, /) -> bytes:
        """At most `length` bytes, all that is left when negative."""
        if length < 0:
            return b"".join(iter(lambda: self.read(_STEP), b""))
        data = self._from_cache(length) if self._server is None else None
        if data is None:
            data = self._from_server(length)
        self._position += len(data)
        return data

    def seekable(self) -> bool:
        """True: also the server's file is read from anywhere, if need be from its beginning again."""
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go on reading at another place."""
        self._position = max(0, min(offset + (0, self._position, self._size)[whence], self._size))
        if self._server is None:
            try:
                self._reader.seek(self._position)
            except FormatError:         # of the block around the place
                self._server = self._again()
        return self._position

    def close(self) -> None:
        """Let go of both."""
        self._reader.close()
        if self._server is not None:
            self._server.close()

    def _from_cache(self, length: int) -> bytes | None:
        try:
            return self._reader.read(length)
        except FormatError:
            self._server = self._again()
            return None

    def _from_server(self, length: int) -> bytes:
        assert self._server is not None
        if isinstance(self._server, ReadsAnywhere) and self._server.reads_anywhere:
            return self._server.read_at(self._position, min(length, self._size - self._position))
        if self._server_position > self._position:
            self._server.close()
            self._server, self._server_position = self._again(), 0
        while self._server_position < self._position:
            passed = self._server.read(min(_STEP, self._position - self._server_position))
            if not passed:
                return b""
            self._server_position += len(passed)
        data = self._server.read(length)
        self._server_position += len(data)
        return data


def cache_name(path: str) -> str:
    """The name in the cache of a file of a server; that of another server has its server part in front."""
    return str(parse_foreign(path))


def _counted(reader: Reader, state: Progress) -> Iterator[bytes]:
    for data in iter(lambda: reader.read(_STEP), b""):
        state.advance(len(data))
        yield data


def _first(reader: Reader, length: int) -> bytes:
    data = b""
    while len(data) < length and (more := reader.read(length - len(data))):
        data += more
    return data
