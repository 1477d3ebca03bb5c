"""The files of an image in the order of their blocks: every chunk is decoded once, ahead in threads, and most files are views of one.

    chunks   |      1      |      2      |      3      |          in order
    files      aa bbb   cccccccccccc  d      eeee

Read path by path, files lie anywhere, chunks are decoded again and again, and nobody decodes ahead.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from ..filesystems.filesystem import HasExtents
from .container import ChunkKind, ChunkRecord
from .full import Chunks

_ZEROS = bytes(1 << 16)


class Placed(NamedTuple):
    """A file that lies in one piece: first byte in the image, bytes, and its number in the caller's list."""

    start: int
    size: int
    number: int


def place_of(source: HasExtents, path: str, size: int, number: int) -> Placed | None:
    """Where a file lies on its device when it lies there in one piece; None for any other."""
    extents = source.extents(path)
    if extents is None or len(extents) != 1 or extents[0].logical or extents[0].length != size:
        return None
    return Placed(extents[0].offset, size, number)


def apart(places: Iterable[Placed]) -> list[Placed]:
    """In the order of their places, without those that overlap the one before: a damaged volume gives blocks to two files."""
    found: list[Placed] = []
    end = 0
    for place in sorted(places):
        if place.start >= end:
            found.append(place)
            end = place.start + place.size
    return found


def contents_in_order(chunks: Chunks, places: Sequence[Placed]) -> Iterator[tuple[Placed, Iterable[memoryview | bytes]]]:
    """Each file with its contents, which are to be read before the next one is asked for. `places` as `apart` gives them.

    Raises FormatError where a chunk is damaged.
    """
    reader = _Forward(chunks)
    for place in places:
        yield place, reader.contents(place.start, place.size)


@runtime_checkable
class _DecodesAhead(Protocol):
    """Chunks that come in order by themselves: an archive of ours."""

    def chunks(self, threads: int | None = None) -> Iterator[tuple[ChunkRecord, memoryview]]: ...


def _in_order(chunks: Chunks) -> Iterator[tuple[ChunkRecord, memoryview]]:
    if isinstance(chunks, _DecodesAhead):
        yield from chunks.chunks()
        return
    for index in range(len(chunks)):
        record = chunks.record(index)
        if record.kind is ChunkKind.DATA:
            yield record, memoryview(chunks.data(index))


class _Forward:
    """Bytes of an image, at offsets that only go up."""

    def __init__(self, chunks: Chunks) -> None:
        self._coming = _in_order(chunks)
        self._view = memoryview(b"")
        self._start = self._end = 0     # of the view in the image
        self._record_at = -1            # where the last record began, to tell pieces of one run of zeros
        self._ended = False

    def contents(self, start: int, size: int) -> Iterable[memoryview | bytes]:
        """The bytes from `start` on."""
        while self._end <= start and not self._ended:
            self._advance()
        if self._start <= start and start + size <= self._end:
            return (self._view[start - self._start : start - self._start + size],)
        return self._pieces(start, start + size)

    def _pieces(self, start: int, end: int) -> Iterator[memoryview | bytes]:
        while start < end:
            while self._end <= start and not self._ended:
                self._advance()
            if self._ended or start < self._start:      # chunks of zeros may be left out
                stop = end if self._ended else min(end, self._start)
                stop = min(stop, start + len(_ZEROS))
                yield _ZEROS[: stop - start]
            else:
                stop = min(end, self._end)
                yield self._view[start - self._start : stop - self._start]
            start = stop

    def _advance(self) -> None:
        found = next(self._coming, None)
        if found is None:
            self._ended = True
            return
        record, self._view = found
        # A run of zeros comes in pieces under one record.
        self._start = self._end if record.offset == self._record_at else record.offset
        self._record_at = record.offset
        self._end = self._start + len(self._view)
