"""Reading archives: from anywhere (a file) or in order only (a pipe, TFTP), in one piece or in fragments.

Fragments are named `name`, `name.001`, `name.002`, ... and simply follow each other (language.md 8.9); those that `split` made
`name.aa`, `name.ab`, ... or `name.00`, `name.01`, ..., and are named by the first of them.
"""

import os
import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Protocol, runtime_checkable

from ..base.errors import FormatError, NotFoundError, StorageError
from ..base.sources import FileSource, Reader, ReadsAnywhere
from ..blocks.device import HasDataRanges, ReadsInto
from ..blocks.holes import data_ranges_in
from ..filesystems.filesystem import Filesystem

MAX_FRAGMENTS = 999_999
_AT_ONCE = 17 << 20     # bytes asked for in one call: any chunk; what is longer may be a lie, and a reader may take the room beforehand


class Positional(Protocol):
    """Bytes that can be read from anywhere, by several threads. Every BlockDevice is one."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        ...

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        ...


@runtime_checkable
class _Closable(Protocol):
    def close(self) -> None: ...


@runtime_checkable
class _HasDescriptor(Protocol):
    def fileno(self) -> int: ...


@runtime_checkable
class _Seekable(Protocol):
    def seekable(self) -> bool: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def read(self, length: int = -1, /) -> bytes: ...


class DescriptorBytes(ReadsInto):
    """A file of the host, by pread. `owner` is closed with it."""

    def __init__(self, descriptor: int, name: str, owner: Reader | None = None) -> None:
        self._descriptor = descriptor
        self._owner = owner
        self._name = name
        self._size = os.fstat(descriptor).st_size

    @classmethod
    def open(cls, path: Path | str) -> "DescriptorBytes":
        """A file by its path. Raises NotFoundError or StorageError."""
        try:
            reader = Path(path).open("rb", buffering=0)     # noqa: SIM115 - closed by `close`
        except FileNotFoundError as error:
            raise NotFoundError(f"{path}: no such file") from error
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        return cls(reader.fileno(), str(path), reader)

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        view = memoryview(buffer).cast("B")
        while len(view):
            try:
                count = os.preadv(self._descriptor, [view], offset)
            except OSError as error:
                raise StorageError(f"{self._name}: {error.strerror}") from error
            if not count:
                raise FormatError(f"{self._name} ends at byte {offset}, more was expected")
            view, offset = view[count:], offset + count

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Half-open ranges inside the window that are no holes of the file, in order."""
        return data_ranges_in(self._descriptor, offset, offset + length)

    def close(self) -> None:
        """Close the file."""
        if self._owner is not None:
            self._owner.close()


class SeekingBytes:
    """A reader that can seek, one thread at a time."""

    def __init__(self, reader: _Seekable, name: str) -> None:
        self._reader = reader
        self._name = name
        self._lock = threading.Lock()
        self._size = reader.seek(0, os.SEEK_END)
        self._position = self._size

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        with self._lock:
            if offset != self._position:
                self._reader.seek(offset)
            self._position = -1             # unknown if the next line fails
            data = read_exactly(self._reader, length, self._name)
            self._position = offset + length
            return data

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        view = memoryview(buffer).cast("B")
        view[:] = self.read(offset, len(view))

    def close(self) -> None:
        """Close the reader."""
        close(self._reader)


class RangeBytes:
    """A file on a server that gives any part of it."""

    def __init__(self, reader: ReadsAnywhere) -> None:
        self._reader = reader
        self._size = reader.size or 0

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        return self._reader.read_at(offset, length)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        self._reader.readinto_at(offset, buffer)

    def close(self) -> None:
        """Close the reader."""
        close(self._reader)


class JoinedBytes(ReadsInto):
    """Fragments, one after the other; also one alone. `following` is the name that a further one would have.

    `block_map` reads the block map that lies beside an image (bmap.py), None when there is none.
    """

    block_map: Callable[[], bytes | None] = staticmethod(lambda: None)

    def __init__(self, parts: Sequence[Positional], following: str = "") -> None:
        self._parts = parts
        self.following = following
        self._ends: list[int] = []
        for part in parts:
            self._ends.append((self._ends[-1] if self._ends else 0) + part.size)

    @property
    def size(self) -> int:
        """Bytes of all fragments."""
        return self._ends[-1] if self._ends else 0

    @property
    def borders(self) -> list[int]:
        """Where fragments begin, except the first."""
        return self._ends[:-1]

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer, over borders."""
        view = memoryview(buffer).cast("B")
        if offset < 0 or offset + len(view) > self.size:
            raise FormatError(f"archive ends at byte {self.size}, bytes {offset} to {offset + len(view)} were expected")
        while len(view):
            index = bisect_right(self._ends, offset)
            part = self._parts[index]
            start = self._ends[index] - part.size
            step = min(len(view), self._ends[index] - offset)
            part.readinto(offset - start, view[:step])
            view, offset = view[step:], offset + step

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Half-open ranges inside the window that are no holes of the fragments, in order."""
        end = offset + length
        for part, part_end in zip(self._parts, self._ends, strict=True):
            start = part_end - part.size
            first, last = max(offset, start), min(end, part_end)
            if first < last:
                for a, b in ranges_with_data(part, first - start, last - first):
                    yield a + start, b + start

    @property
    def on_host(self) -> bool:
        """Whether all fragments are files of this host, read by their descriptors."""
        return all(isinstance(part, DescriptorBytes) for part in self._parts)

    def close(self) -> None:
        """Close all fragments."""
        for part in self._parts:
            close(part)


class JoinedReader:
    """Fragments in order, each opened when the one before has ended; also one alone. `block_map` as with JoinedBytes."""

    block_map: Callable[[], bytes | None] = staticmethod(lambda: None)

    def __init__(self, first: Reader, following: Iterable[Reader] = ()) -> None:
        self._reader: Reader | None = first
        self._following = iter(following)

    def read(self, length: int = -1, /) -> bytes:
        """At most `length` bytes; empty at the end of the last fragment."""
        while self._reader is not None:
            data = self._reader.read(length)
            if data or not length:
                return data
            self._reader.close()
            self._reader = next(self._following, None)
        return b""

    def close(self) -> None:
        """Close the fragment that is open."""
        if self._reader is not None:
            self._reader.close()


def read_exactly(reader: Reader | _Seekable, length: int, what: str) -> bytes:
    """`length` bytes in order. Raises FormatError when the end comes before."""
    data = reader.read(min(length, _AT_ONCE))
    if len(data) == length:
        return data
    pieces, missing = [data], length - len(data)
    while missing:
        data = reader.read(min(missing, 1 << 20))
        if not data:
            raise FormatError(f"{what} ends {missing} bytes too early")
        pieces.append(data)
        missing -= len(data)
    return b"".join(pieces)


def ranges_with_data(source: Positional, offset: int, length: int) -> Iterable[tuple[int, int]]:
    """Where the source is not known to hold zeros: the whole window when it cannot tell."""
    if isinstance(source, HasDataRanges):
        return source.data_ranges(offset, length)
    return [(offset, offset + length)]


def fragment_name(name: str, number: int) -> str:
    """The name of a fragment; number 0 is the first, which has the name itself."""
    if not number:
        return name
    match = _SPLIT.search(name)
    if match is None:
        return f"{name}.{number:03d}"
    suffix = match[1]
    if suffix.isdigit():
        last = f"{int(suffix) + number:0{len(suffix)}d}"
    else:
        last = ""
        for _ in suffix:
            number, letter = divmod(number, 26)
            last = chr(ord("a") + letter) + last
        last = last if not number else "?"      # all names are used up: there is no such file
    return name[: match.start(1)] + last


_SPLIT = re.compile(r"\.(a{2,5}|0+[01])$")       # the first of `split`: letters, or with -d digits; some count from 1


def positional(reader: Reader, name: str) -> Positional | None:
    """The reader as bytes that can be read from anywhere; None when it gives them in order only."""
    if isinstance(reader, ReadsAnywhere):
        return RangeBytes(reader) if reader.reads_anywhere else None
    if isinstance(reader, _HasDescriptor):
        try:
            descriptor = reader.fileno()
            os.lseek(descriptor, 0, os.SEEK_CUR)
            return DescriptorBytes(descriptor, name, reader)
        except (OSError, ValueError):       # a pipe; a file object without descriptor (io.UnsupportedOperation is both)
            pass
    if isinstance(reader, _Seekable) and reader.seekable():
        return SeekingBytes(reader, name)
    return None


def close(input_bytes: object) -> None:
    """Close what can be closed."""
    if isinstance(input_bytes, _Closable):
        input_bytes.close()


def open_pieces(name: str, open_one: Callable[[str], Reader], exists: Callable[[str], bool]) -> Positional | JoinedReader:
    """An archive with all its fragments: as positional bytes where every fragment is, else as a stream.

    `open_one` and `exists` take the name of a fragment. Fragments of an older, longer archive of the same name may follow:
    the container finds its own end.
    """
    def block_map() -> bytes | None:
        from .bmap import find_bmap  # noqa: PLC0415 - only beside raw images

        return find_bmap(name, lambda beside: _contents(open_one(beside)) if exists(beside) else None)

    first = open_one(name)
    whole = positional(first, name)
    count = 1
    while count <= MAX_FRAGMENTS and exists(fragment_name(name, count)):
        count += 1
    if whole is not None:
        with ExitStack() as failing:
            failing.callback(close, whole)
            parts = [whole]
            for number in range(1, count):
                reader = open_one(fragment_name(name, number))
                failing.callback(close, reader)
                part = positional(reader, fragment_name(name, number))
                if part is None:
                    raise StorageError(f"{fragment_name(name, number)} can be read in order only, unlike {name}")
                parts.append(part)
            failing.pop_all()
        joined = JoinedBytes(parts, fragment_name(name, count))
        joined.block_map = block_map
        return joined
    stream = JoinedReader(first, (open_one(fragment_name(name, number)) for number in range(1, count)))
    stream.block_map = block_map
    return stream


def _contents(reader: Reader) -> bytes:
    from .bmap import MAX_BMAP  # noqa: PLC0415

    with closing(reader):
        data = b""
        while len(data) <= MAX_BMAP and (more := reader.read(1 << 20)):
            data += more
        return data


def open_from_source(source: FileSource, path: str) -> Positional | JoinedReader:
    """An archive in a file source."""

    def exists(name: str) -> bool:
        facts = source.stat(name)
        return facts is not None and not facts.is_directory

    return open_pieces(path, source.open, exists)


def open_from_volume(volume: Filesystem, path: str) -> Positional | JoinedReader:
    """An archive on a disk."""
    return open_pieces(path, volume.open, volume.exists)


def open_from_host(path: Path | str) -> Positional | JoinedReader:
    """An archive in a file of the host (a pipe is read in order), or a partition in an image folder of Clonezilla."""
    from .clonezilla import on_host  # noqa: PLC0415 - positions are asked for by all

    path = on_host(path)

    def open_one(name: str) -> Reader:
        try:
            return Path(name).open("rb", buffering=0)
        except FileNotFoundError as error:
            raise NotFoundError(f"{name}: no such file") from error
        except OSError as error:
            raise StorageError(f"{name}: {error.strerror}") from error

    return open_pieces(str(path), open_one, lambda name: Path(name).is_file())
