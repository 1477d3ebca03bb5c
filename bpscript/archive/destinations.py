"""Where an archive is written: a host folder, a file source, a disk; in fragments; replaced only when all of it is there.

    with HostDestination(path, fragment_size) as sink:      # or StagedDestination
        with ArchiveWriter(sink, header) as writer:
            ...
            writer.finish()
        sink.commit()                                       # without it nothing of the old archive is touched
"""

import os
import re
from collections.abc import Callable, Iterator
from io import FileIO
from itertools import count
from pathlib import Path
from typing import BinaryIO, Protocol

from ..base.errors import InTheWayError, NoSpaceError, StorageError, UsageError
from ..base.sources import FileSource
from ..base.units import KIB, parse_size
from ..filesystems.filesystem import Filesystem
from .positional import MAX_FRAGMENTS, DescriptorBytes, JoinedBytes, close, fragment_name

SMALLEST_FRAGMENT = 64 * KIB        # language.md 6, FragmentSize
_COPY_STEP = 1 << 20
_TEMPORARY = re.compile(r"(\A|/)\.[^/]+\.\d+-\d+\.part\Z")      # see `_Pieces`
_serial = count()

__all__ = ["Destination", "HostDestination", "StagedDestination", "StreamDestination", "parse_fragment_size", "to_source", "to_volume"]


def parse_fragment_size(text: str) -> int:
    """Bytes of `$FragmentSize`. Raises StorageError when it is no size, or less than 64 KB."""
    try:
        size = parse_size(text)
    except UsageError as error:
        raise StorageError(f'FragmentSize: "{text}" is not a size', hint=error.hint) from error
    if size < SMALLEST_FRAGMENT:
        raise StorageError(f'FragmentSize: "{text}" is less than 64 KB')
    return size


def is_temporary(path: str) -> bool:
    """Whether a file has a name that archives have before they are complete."""
    return _TEMPORARY.search(path) is not None


class Destination(Protocol):
    """Takes frames; nothing of an older archive is lost before `commit`."""

    def write(self, frame: bytes, /) -> object:
        """Append one whole frame."""
        ...

    @property
    def can_reopen(self) -> bool:
        """False for what is written in order only."""
        ...

    def reopen(self) -> JoinedBytes:
        """What was written, complete, to be read back before it is put in its place; the reader closes it."""
        ...

    def commit(self) -> None:
        """Put the archive in its place."""
        ...

    def discard(self) -> None:
        """Leave nothing behind; no effect after `commit`."""
        ...

    def __enter__(self) -> "Destination":
        """Itself."""
        ...

    def __exit__(self, *exc: object) -> None:
        """Discard."""
        ...


class StreamDestination:
    """An open file, pipe or socket: written in order, and gone as soon as it is written."""

    can_reopen = False

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, frame: bytes, /) -> None:
        """Append a frame."""
        self._stream.write(frame)

    def reopen(self) -> JoinedBytes:
        """Not possible."""
        raise StorageError("what went into a pipe cannot be read back")

    def commit(self) -> None:
        """Flush."""
        self._stream.flush()

    def discard(self) -> None:
        """What is written is written: without its table nobody takes it for complete."""

    def __enter__(self) -> "StreamDestination":
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class HostDestination:
    """Files of the host: written under temporary names in the same folder, then renamed, the first fragment last."""

    can_reopen = True

    def __init__(self, path: Path | str, fragment_size: int | None = None) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise InTheWayError(f"{self.path} is a directory")
        self._pieces = _Pieces(self.path.parent, f".{self.path.name}.", fragment_size)

    def write(self, frame: bytes, /) -> None:
        """Append a frame; a fragment that it does not fit in ends before it."""
        self._pieces.write(frame)

    def reopen(self) -> JoinedBytes:
        """The temporary files, complete."""
        return self._pieces.reopen()

    def commit(self) -> None:
        """Rename, and remove what is left over of a longer archive of this name."""
        paths = self._pieces.finish()
        try:
            for number in reversed(range(len(paths))):
                paths[number].replace(self.path.with_name(fragment_name(self.path.name, number)))
            for number in range(max(1, len(paths)), MAX_FRAGMENTS):
                left_over = self.path.with_name(fragment_name(self.path.name, number))
                if not left_over.exists():
                    break
                left_over.unlink()
        except OSError as error:
            raise StorageError(f"{self.path}: cannot put the archive in place: {error.strerror}") from error

    def discard(self) -> None:
        """Remove what was written under temporary names."""
        self._pieces.discard()

    def __enter__(self) -> "HostDestination":
        return self

    def __exit__(self, *exc: object) -> None:
        self.discard()


Publish = Callable[[list[Path]], None]


class StagedDestination:
    """Written to temporary files first; `publish` gets their paths, in order, when all is there."""

    can_reopen = True

    def __init__(self, publish: Publish, fragment_size: int | None = None, folder: Path | str | None = None) -> None:
        self._publish = publish
        import tempfile  # noqa: PLC0415 - slow to load, and archives are written in their place mostly

        self._pieces = _Pieces(Path(folder or tempfile.gettempdir()), "bpscript-", fragment_size)

    def write(self, frame: bytes, /) -> None:
        """Append a frame."""
        self._pieces.write(frame)

    def reopen(self) -> JoinedBytes:
        """The temporary files, complete."""
        return self._pieces.reopen()

    def commit(self) -> None:
        """Publish, and remove the temporary files."""
        paths = self._pieces.finish()
        try:
            self._publish(paths)
        finally:
            self._pieces.discard()

    def discard(self) -> None:
        """Remove the temporary files."""
        self._pieces.discard()

    def __enter__(self) -> "StagedDestination":
        return self

    def __exit__(self, *exc: object) -> None:
        self.discard()


def to_source(source: FileSource, path: str) -> Publish:
    """Publish in a file source. The first fragment comes last, so that a reader sees the new archive only when it is whole."""

    def publish(paths: list[Path]) -> None:
        for number in reversed(range(len(paths))):
            source.store(fragment_name(path, number), _content(paths[number]))

    return publish


def to_volume(volume: Filesystem, path: str) -> Publish:
    """Publish on a disk: under temporary names first when there is room, then renamed."""

    def publish(paths: list[Path]) -> None:
        sizes = [piece.stat().st_size for piece in paths]
        names = [fragment_name(path, number) for number in range(len(paths))]
        room = volume.usage().free + sum(volume.stat(name).size for name in names if volume.exists(name))
        if sum(sizes) > room:
            raise NoSpaceError(f"{path}: the archive has {sum(sizes)} bytes, only {room} are free")
        staged = [fragment_name(f"{path}.new", number) for number in range(len(paths))]
        if sum(sizes) <= volume.usage().free:
            try:
                for name, piece, size in zip(staged, paths, sizes, strict=True):
                    volume.write_file(name, _content(piece), size)
            except BaseException:
                for name in staged:
                    if volume.exists(name):
                        volume.remove(name)
                raise
            for old, new in reversed(list(zip(staged, names, strict=True))):
                if volume.exists(new):
                    volume.remove(new)
                volume.rename(old, new)
        else:
            for name, piece, size in zip(names, paths, sizes, strict=True):
                volume.write_file(name, _content(piece), size)
        for number in range(max(1, len(paths)), MAX_FRAGMENTS):
            name = fragment_name(path, number)
            if not volume.exists(name):
                break
            volume.remove(name)

    return publish


class _Pieces:
    """Temporary files of at most `limit` bytes, cut at frame borders."""

    def __init__(self, folder: Path, prefix: str, limit: int | None) -> None:
        if limit is not None and limit < SMALLEST_FRAGMENT:
            raise StorageError(f"fragments of {limit} bytes: at least {SMALLEST_FRAGMENT} are needed")
        self._folder = folder
        self._prefix = re.sub(r"[^\w.-]", "_", prefix)
        self._limit = limit
        self._paths: list[Path] = []
        self._file: FileIO | None = None
        self._length = 0

    def write(self, frame: bytes) -> None:
        view = memoryview(frame)
        if self._file is None or (self._limit is not None and self._length + len(view) > self._limit and self._length):
            self._next()
        # A frame that is longer than a fragment (a huge table) is cut where the fragment is full.
        while self._limit is not None and self._length + len(view) > self._limit:
            room = self._limit - self._length
            self._append(view[:room])
            view = view[room:]
            self._next()
        self._append(view)

    def finish(self) -> list[Path]:
        """The paths of all pieces, complete."""
        if self._file is not None:
            self._file.close()
            self._file = None
        return list(self._paths)

    def reopen(self) -> JoinedBytes:
        """The pieces, from the medium where the host lets us: written out, and dropped from its cache."""
        parts: list[DescriptorBytes] = []
        try:
            for path in self.finish():
                with path.open("rb", buffering=0) as file:
                    os.fdatasync(file.fileno())
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                parts.append(DescriptorBytes.open(path))
        except OSError as error:
            close(JoinedBytes(parts))
            raise NoSpaceError(f"{self._folder}: cannot write the archive: {error.strerror}") from error
        return JoinedBytes(parts)

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        for path in self._paths:
            path.unlink(missing_ok=True)
        self._paths = []

    def _append(self, view: memoryview) -> None:
        assert self._file is not None
        self._length += len(view)
        try:
            while len(view):
                view = view[self._file.write(view) :]
        except OSError as error:
            raise NoSpaceError(f"{self._paths[-1].parent}: cannot write the archive: {error.strerror}") from error

    def _next(self) -> None:
        if self._file is not None:
            self._file.close()
        while True:
            path = self._folder / f"{self._prefix}{os.getpid()}-{next(_serial)}.part"
            try:
                self._file = FileIO(path, "xb")
            except FileExistsError:
                continue                # a run of the same number left it; the serial number grows
            except OSError as error:
                raise StorageError(f"{self._folder}: cannot write the archive: {error.strerror}") from error
            break
        self._paths.append(path)
        self._length = 0


def _content(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while data := file.read(_COPY_STEP):
            yield data
