"""The files of an image in the order of their blocks: every chunk is decoded once, ahead in threads, and most files are views of one.

    chunks   |      1      |      2      |      3      |          in order
    files      aa bbb   cccccccccccc  d      eeee

Read path by path, files lie anywhere, chunks are decoded again and again, and nobody decodes ahead.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol, runtime_checkable

from ..filesystems.filesystem import Extent, HasExtents
from .container import Archive, ChunkKind, ChunkRecord
from .delivery import Delivery
from .full import Chunks

_ZEROS = bytes(1 << 16)


class Placed(NamedTuple):
    """A file whose pieces lie in the order of its contents: from its first byte in the image to its last, and its number in the caller's list.

    Without `extents` it lies there in one piece; with them it has `length` bytes, zeros where they leave holes.
    """

    start: int
    size: int
    number: int
    extents: tuple[Extent, ...] = ()
    length: int = 0


def place_of(source: HasExtents, path: str, size: int, number: int) -> Placed | None:
    """Where a file lies on its device; None where that is not from front to back."""
    extents = source.extents(path)
    if not extents:
        return None
    first, last = extents[0], extents[-1]
    if len(extents) == 1 and not first.logical and first.length == size:
        return Placed(first.offset, size, number)
    if any(one.offset + one.length > other.offset for one, other in pairwise(extents)):
        return None
    return Placed(first.offset, last.offset + last.length - first.offset, number, tuple(extents), size)


def apart(places: Iterable[Placed]) -> tuple[list[Placed], list[Placed]]:
    """In the order of their places, and those that overlap one before: a damaged volume gives blocks to two files."""
    found: list[Placed] = []
    others: list[Placed] = []
    end = 0
    for place in sorted(places):
        if place.start >= end:
            found.append(place)
            end = place.start + place.size
        else:
            others.append(place)
    return found, others


Contents = tuple[Placed, Iterable[memoryview | bytes]]


def contents_in_order(chunks: Chunks, places: Sequence[Placed], delivery: Delivery | None = None) -> Iterator[list[Contents]]:
    """Files with their contents, in groups: contents are to be read before the next group is asked for. `places` are apart from each other and in order.

    The contents of each file of a group of several are one view. What `delivery` takes of the contents is written by those who decode
    them; it is settled before the last step. Raises FormatError where a chunk is damaged.
    """
    reader = _Forward(chunks, delivery)
    position = 0
    while position < len(places):
        first = places[position]
        position += 1
        if first.extents:
            yield [(first, _scattered(reader, first))]
            continue
        contents = reader.contents(first.start, first.size)
        group: list[Contents] = [(first, contents)]
        while isinstance(contents, tuple) and position < len(places) and (view := reader.at_hand(places[position])) is not None:
            group.append((places[position], (view,)))
            position += 1
        yield group
    if delivery is not None:
        delivery.settle()


def _scattered(reader: "_Forward", place: Placed) -> Iterator[memoryview | bytes]:
    """The contents of a file in pieces, with its holes."""
    position = 0
    for logical, offset, length in (*place.extents, Extent(place.length, 0, 0)):
        while position < logical:
            step = min(logical - position, len(_ZEROS))
            yield _ZEROS[:step]
            position += step
        yield from reader.contents(offset, length)
        position += length


@runtime_checkable
class _DecodesAhead(Protocol):
    """Chunks that come in order by themselves."""

    def chunks(self) -> Iterator[tuple[ChunkRecord, memoryview]]: ...


def _in_order(chunks: Chunks, delivery: Delivery | None) -> Iterator[tuple[ChunkRecord, memoryview]]:
    if isinstance(chunks, Archive):         # its chunks may be decoded by processes that can write
        yield from chunks.chunks(delivery=delivery)
        return
    if isinstance(chunks, _DecodesAhead):
        yield from chunks.chunks()
        return
    for index in range(len(chunks)):
        record = chunks.record(index)
        if record.kind is ChunkKind.DATA:
            yield record, memoryview(chunks.data(index))


class _Forward:
    """Bytes of an image, at offsets that only go up."""

    def __init__(self, chunks: Chunks, delivery: Delivery | None) -> None:
        self._coming = _in_order(chunks, delivery)
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

    def at_hand(self, place: Placed) -> memoryview | None:
        """The contents of a file that lies whole in the chunk that is decoded; else None."""
        if self._start <= place.start and place.start + place.size <= self._end and not place.extents:
            return self._view[place.start - self._start : place.start - self._start + place.size]
        return None

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
