"""Base archives of differences: how the files of a tree are compared with them, in the order of the archive.

    an incremental archive    one pass over its tar stream; each file is compared as it comes out of the decoder
    a full archive            the volume in it gives names, facts and places. A file that lies on the same blocks as it did is
                              the same where the BLAKE3 of its chunks is: nothing is decoded. Other chunks are decoded, each
                              once and in order, and compared piece by piece, by several threads.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import NamedTuple

from ..base.errors import StorageError
from ..base.sources import Reader
from ..blocks.device import BlockDevice
from ..filesystems.filesystem import Extent, Facts, Family, FileKind, Filesystem, HasExtents, ReadsAnywhere
from .container import ChunkKind, ChunkRecord
from .difference import Now, Verdict
from .filters import Filters
from .full import AnyChunk, FullImage
from .image_device import ArchiveDevice
from .reading import read_used
from .records import Json
from .tar_usual import TarEntry
from .trees import listing

_BATCH = 50_000         # files whose places are in memory at a time
_STEP = 1 << 20


class IncrementalBase:
    """The entries of an incremental archive, in order."""

    def __init__(self, entries: Iterable[TarEntry], root: bytes | None, *, coarse: bool) -> None:
        self.description: Mapping[str, Json] = {"kind": "incremental", "root": root.hex() if root else ""}
        self.coarse = coarse
        self._entries = entries

    def compare(self, now: Now) -> Iterator[Verdict]:
        """Every path of the base, once."""
        files = _Files(now.volume)
        for path, facts, link, chunks in ((entry.path, entry.facts, entry.link, entry.chunks) for entry in self._entries):
            same = now.agrees(path, facts, link)
            if same and link is None and facts.kind is FileKind.FILE and facts.size:
                with closing(files.reader(now.place(path), facts.size)) as reader:
                    same = all(_next_is(reader, chunk) for chunk in chunks)
            yield Verdict(path, facts, same)


class VolumeBase:
    """A volume below `path`; `image`: the full archive that it lies in, which spares reading what its chunks answer for."""

    def __init__(self, volume: Filesystem, path: str, root: bytes | None, image: FullImage | None = None) -> None:
        self.description: Mapping[str, Json] = {"kind": "full", "root": root.hex() if root else ""}
        self.coarse = volume.family is Family.FAT
        self._volume = volume
        self._path = path
        self._image = image

    def compare(self, now: Now) -> Iterator[Verdict]:
        """Every path of the base, in any order."""
        doubtful: list[tuple[str, Facts]] = []
        for path, facts, link in listing(self._volume, self._path, Filters()):
            same = now.agrees(path, facts, link)
            if same and link is None and facts.kind is FileKind.FILE and facts.size:
                doubtful.append((path, facts))
                if len(doubtful) >= _BATCH:
                    yield from self._contents(now, doubtful)
                    doubtful = []
            else:
                yield Verdict(path, facts, same)
        yield from self._contents(now, doubtful)

    def _contents(self, now: Now, doubtful: list[tuple[str, Facts]]) -> Iterator[Verdict]:
        """Files that agree in everything else."""
        start = f"{self._path}/" if self._path else ""
        work = None
        image, volume = self._image, self._volume
        if image is not None and isinstance(volume, HasExtents) and isinstance(volume.device, ArchiveDevice):
            work = _ChunkWork(image, now, volume)
        files, base_files = _Files(now.volume), _Files(self._volume)
        different: set[str] = set()
        for path, facts in doubtful:
            if work is None or not work.add(path, facts.size, start + path):
                with (
                    closing(files.reader(now.place(path), facts.size)) as one,
                    closing(base_files.reader(start + path, facts.size)) as other,
                ):
                    if not _equal(one, other):
                        different.add(path)
        if work is not None:
            different |= work.run()
        for path, facts in doubtful:
            yield Verdict(path, facts, path not in different)


class _Piece(NamedTuple):
    """A run of bytes of a file, in one chunk of the base or in a hole of it, where it is zeros."""

    path: str
    base: int               # offset in the base image
    length: int
    offset: int             # in the file
    extents: list[Extent] | None        # where the file lies now; None when `read_at` reads it
    in_place: bool          # at the same offset of the device as in the base


class _ChunkWork:
    """Comparisons of many files, sorted by the chunks of the base."""

    def __init__(self, image: FullImage, now: Now, base: HasExtents) -> None:
        self._image = image
        self._now = now
        self._base = base
        self._lies = now.volume if isinstance(now.volume, HasExtents) else None     # asked once: it is slow
        self._reads = now.volume if isinstance(now.volume, ReadsAnywhere) else None
        self._device: BlockDevice | None = None if self._lies is None else self._lies.device
        self._record: ChunkRecord | None = None         # of the last extent
        self._pieces: dict[int, list[_Piece]] = defaultdict(list)       # by the offset of the chunk
        self._holes: list[_Piece] = []
        self._local = threading.local()
        self._different: set[str] = set()
        self._lock = threading.Lock()

    def add(self, path: str, size: int, base_place: str) -> bool:
        """Note a file of the base and of the tree; False when only the volumes can read it."""
        base = self._base.extents(base_place)
        extents = None if self._lies is None else self._lies.extents(self._now.place(path))
        if base is None or (extents is None and self._reads is None):
            return False
        in_place = extents == base
        position = 0
        for logical, offset, length in base:
            if logical > position and not in_place:
                self._holes.append(_Piece(path, 0, logical - position, position, extents, False))
            self._add_extent(path, Extent(logical, offset, length), extents, in_place)
            position = logical + length
        if position < size and not in_place:
            self._holes.append(_Piece(path, 0, size - position, position, extents, False))
        return True

    def _add_extent(self, path: str, extent: Extent, extents: list[Extent] | None, in_place: bool) -> None:
        chunks = self._image.chunks
        logical, offset, left = extent
        while left:
            record = self._record
            if record is None or not record.offset <= offset < record.offset + record.length:
                record = self._record = chunks.record(chunks.find(offset))
            step = min(left, record.offset + record.length - offset)
            self._pieces[record.offset].append(_Piece(path, offset, step, logical, extents, in_place))
            logical, offset, left = logical + step, offset + step, left - step

    def run(self) -> set[str]:
        """The paths whose contents differ."""
        self._image.chunks.each(self._compare)
        return self._different | {piece.path for piece in self._holes if piece.path not in self._different and not self._is_zero(piece)}

    def _compare(self, chunk: AnyChunk) -> None:
        """The pieces that lie in one chunk; called by several threads."""
        record = chunk.record
        pieces = [piece for piece in self._pieces.get(record.offset, ()) if piece.path not in self._different]
        if record.kind is not ChunkKind.DATA:
            self._note({piece.path for piece in pieces if not self._is_zero(piece)})
            return
        here = self._same_place(record) if any(piece.in_place for piece in pieces) else None
        if here is not None and self._image.chunks.agrees(record, here):
            pieces = [piece for piece in pieces if not piece.in_place]
        if not pieces:
            return
        data = chunk.data()
        found = set()
        for piece in pieces:
            start = piece.base - record.offset
            if piece.path in found:
                continue
            now = here[start : start + piece.length].tobytes() if piece.in_place and here is not None else self._read(piece)
            if now != data[start : start + piece.length].tobytes():
                found.add(piece.path)
        self._note(found)

    def _same_place(self, record: ChunkRecord) -> memoryview | None:
        """What the device of the tree has where the base has a chunk; valid until this thread asks again."""
        device = self._device
        if device is None or record.offset + record.length > device.size:
            return None
        buffer: bytearray | None = getattr(self._local, "buffer", None)
        if buffer is None:
            buffer = self._local.buffer = bytearray(self._image.chunks.chunk_size)
        view = memoryview(buffer)[: record.length]
        read_used(device, view, record.offset, self._image.used.within(record.offset, record.offset + record.length))
        return view

    def _note(self, paths: set[str]) -> None:
        if paths:
            with self._lock:
                self._different |= paths

    def _is_zero(self, piece: _Piece) -> bool:
        position = 0
        while position < piece.length:
            step = min(_STEP, piece.length - position)
            if any(self._read(piece._replace(offset=piece.offset + position, length=step)).strip(b"\0")):
                return False
            position += step
        return True

    def _read(self, piece: _Piece) -> bytes:
        """The bytes of the tree that a piece is compared with."""
        if piece.extents is not None and self._device is not None:
            return read_extents(self._device, piece.extents, piece.offset, piece.length)
        assert self._reads is not None      # `add` saw to that
        buffer = bytearray(piece.length)
        count = self._reads.read_at(self._now.place(piece.path), piece.offset, memoryview(buffer))
        if count < piece.length:
            raise _changed(piece.path)
        return bytes(buffer)


class _Files:
    """Opens files of a volume in the quickest way."""

    def __init__(self, volume: Filesystem) -> None:
        self._volume = volume
        self._lies = volume if isinstance(volume, HasExtents) else None     # asked once: it is slow

    def reader(self, place: str, size: int) -> Reader:
        """The contents of a file."""
        if self._lies is not None and (extents := self._lies.extents(place)) is not None:
            return _ExtentReader(self._lies.device, extents, size)
        return self._volume.open(place)


class _ExtentReader:
    """A file read from its places."""

    def __init__(self, device: BlockDevice, extents: list[Extent], size: int) -> None:
        self._device = device
        self._extents = extents
        self._size = size
        self._position = 0

    def read(self, length: int = -1, /) -> bytes:
        """At most `length` bytes, all that is left when negative."""
        left = self._size - self._position
        length = left if length < 0 else min(length, left)
        data = read_extents(self._device, self._extents, self._position, length)
        self._position += length
        return data

    def close(self) -> None:
        """Nothing to give back."""


def read_extents(device: BlockDevice, extents: list[Extent], position: int, length: int) -> bytes:
    """Bytes of a file from `position` on; what no extent covers is zeros."""
    if len(extents) == 1:
        logical, offset, room = extents[0]
        if logical <= position and position + length <= logical + room:
            return device.read(offset + position - logical, length)
    buffer = bytearray(length)
    for logical, offset, room in extents:
        start, end = max(position, logical), min(position + length, logical + room)
        if start < end:
            device.readinto(offset + start - logical, memoryview(buffer)[start - position : end - position])
    return bytes(buffer)


def _next_is(reader: Reader, expected: memoryview) -> bool:
    """Whether the next bytes of a file are these."""
    data = reader.read(len(expected))
    while len(data) < len(expected):
        more = reader.read(len(expected) - len(data))
        if not more:
            return False        # it became shorter since it was listed: whoever stores it will say so
        data += more
    return data == expected.tobytes()       # not the view itself: views compare item by item


def _equal(one: Reader, other: Reader) -> bool:
    while data := one.read(_STEP):
        if not _next_is(other, memoryview(data)):
            return False
    return True


def _changed(name: str) -> StorageError:
    return StorageError(f'"{name}" changed while it was compared with the base archive')
