"""Files with holes: where a volume has something of a file, reading them without reading holes, and finding holes in what is to be written.

    to be written    |data|zeros ......................|data|0|
    pieces           |data|0|  65536 n, a number  |0|data|0|         holes begin and end at borders of 64 KiB

Shorter runs of zeros are written, so that files do not go to pieces. A swap file keeps its zeros: the kernel refuses one with holes (swapon(8)).
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Protocol, runtime_checkable

from ..base.sources import Reader
from ..base.zeros import ZEROS, known_zeros, zeros
from ..blocks.device import Buffer
from .filesystem import Filesystem, HasExtents, ReadsAnywhere

PIECE = 64 << 10            # bytes
WORTH_IT = 1 << 20          # bytes of a file from which on its holes are asked for
STEP = 1 << 20              # bytes read at a time
_EMPTY = bytes(PIECE)
# linux/swap.h, `union swap_header`: at the end of the first page, whose size is the machine's.
_SWAP_MAGIC = b"SWAPSPACE2"
_PAGES = (4096, 8192, 16384, 65536)


@runtime_checkable
class _Seekable(Protocol):
    def seek(self, offset: int, whence: int = 0, /) -> int: ...


class WithHoles:
    """Contents of which at most `stored` bytes are written where holes are kept (`stored` and `room` below); iterate over them as over any others."""

    __slots__ = ("_chunks", "stored")

    def __init__(self, chunks: Iterable[Buffer], stored: int) -> None:
        self._chunks = chunks
        self.stored = stored

    def __iter__(self) -> Iterator[Buffer]:
        return iter(self._chunks)


def needed(chunks: Iterable[Buffer], size: int) -> int:
    """Bytes of room that contents of `size` bytes need where holes are kept."""
    return chunks.stored if isinstance(chunks, WithHoles) else size


def pieces(chunks: Iterable[Buffer]) -> Iterator[Buffer | int]:
    """The contents in order: bytes, valid until the next step, and lengths of holes.

    Zeros are looked for in chunks of 64 KiB and more; smaller ones pass as they are.
    """
    position = 0        # in the file
    held = 0            # zeros before it, from a border on, that were not given yet
    keeps_all = False
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        length = len(view)
        if not length:
            continue
        if not position:
            keeps_all = _is_swap(view)
        if keeps_all or (length < PIECE and not held):
            yield chunk
            position += length
            continue
        given = done = 0            # of this chunk; what lies between is data
        for end in _borders(position, length, whole=known_zeros(view)):
            if (held or not (position + done) % PIECE) and _all_zeros(view[done:end]):
                if given < done:
                    yield view[given:done]
                held += end - done
                given = end
            elif held:
                yield from _holes(held)
                held = 0
            done = end
        if given < length:
            yield view[given:]
        position += length
    yield from _holes(held)


def gathered(chunks: Iterable[Buffer]) -> Iterator[Buffer]:
    """The same contents without small chunks, but for the last: then `pieces` finds every hole, however they came."""
    small: list[Buffer] = []
    length = 0
    for chunk in chunks:
        if not small and len(chunk) >= PIECE:
            yield chunk
            continue
        small.append(bytes(chunk))
        length += len(chunk)
        if length >= PIECE:
            yield b"".join(small)
            small, length = [], 0
    if small:
        yield b"".join(small)


def contents_of(volume: Filesystem, path: str, size: int, *, beyond: bool = False) -> Iterable[Buffer]:
    """The contents of a file of `size` bytes: in one piece when it is small, which volumes store with less ado, else in steps, holes without reading them.

    What a large file has grown by meanwhile comes too; of a small one, a log mostly, a byte of it with `beyond`.
    """
    if 0 < size <= STEP:
        with closing(volume.open(path)) as reader:
            return (reader.read(size + beyond),)
    return _in_steps(volume, path, size)


def read_in_steps(reader: Reader) -> Iterator[bytes]:
    """What is left to be read, in pieces of at most `STEP` bytes."""
    while data := reader.read(STEP):
        yield data


def stored(volume: Filesystem, path: str, size: int) -> int:
    """Bytes of a file of `size` bytes that are written when a volume that keeps holes gets it: at most so many."""
    ranges = _ranges(volume, path, size)
    if ranges is None:
        return size
    with closing(volume.open(path)) as reader:
        if _is_swap(memoryview(reader.read(_PAGES[-1]))):
            return size
    return room(ranges, size)


def room(ranges: Iterable[tuple[int, int]], size: int) -> int:
    """The same for half-open ranges, in order, that hold everything but zeros."""
    total = end = 0
    for low, high in ranges:
        first, last = max(end, low // PIECE * PIECE), min(size, -(-high // PIECE) * PIECE)
        if first < last:
            total += last - first
            end = last
    if end < size:
        total += size % PIECE       # the last piece is none
    return total


def _in_steps(volume: Filesystem, path: str, size: int) -> Iterator[Buffer]:
    with closing(volume.open(path)) as reader:
        ranges = _ranges(volume, path, size) if isinstance(reader, _Seekable) else None
        if ranges is None or not isinstance(reader, _Seekable):
            yield from read_in_steps(reader)
            return
        done = 0
        for low, high in ranges:
            yield from zeros(low - done)
            reader.seek(low)
            done = low
            while done < high and (data := reader.read(min(STEP, high - done))):
                yield data
                done += len(data)
            if done < high:
                return      # it became shorter; who counts will tell, also of one that became longer
        yield from zeros(size - done)
        reader.seek(size)
        yield from read_in_steps(reader)


def _ranges(volume: Filesystem, path: str, size: int) -> list[tuple[int, int]] | None:
    """Half-open ranges of a file that may hold something; None where all of it may."""
    if size < WORTH_IT:
        return None
    if isinstance(volume, HasExtents):
        extents = volume.extents(path)
        return None if extents is None else [(logical, min(size, logical + length)) for logical, _, length in extents if logical < size]
    return volume.data_ranges(path, size) if isinstance(volume, ReadsAnywhere) else None


def _borders(position: int, length: int, *, whole: bool) -> Iterator[int]:
    """Where the parts of a chunk end: at each border of pieces; with `whole` at the first and the last one only."""
    first = -position % PIECE
    if 0 < first < length:
        yield first
    last = length - (position + length) % PIECE
    if whole and first < last:
        yield last
    elif not whole:
        yield from range(first + PIECE, last + 1, PIECE)
    if last < length or last <= first:
        yield length


def _all_zeros(view: memoryview) -> bool:
    # Two bytes tell it for nearly every piece that holds something; bytes compare by memcmp, a memoryview item by item.
    return known_zeros(view) or (view[0] == 0 == view[-1] and view.tobytes() == (_EMPTY if len(view) == PIECE else bytes(len(view))))


def _holes(held: int) -> Iterator[Buffer | int]:
    if held >= PIECE:
        yield held // PIECE * PIECE
    if held % PIECE:
        yield ZEROS[: held % PIECE]


def _is_swap(view: memoryview) -> bool:
    return any(view[page - len(_SWAP_MAGIC) : page] == _SWAP_MAGIC for page in _PAGES if len(view) >= page)
