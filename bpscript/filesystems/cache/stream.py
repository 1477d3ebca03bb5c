"""Contents of files in the cache: written block by block with their checksums, checked block by block when read."""

import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate

from ...base.errors import FormatError
from ...base.units import MIB
from ...blocks.device import BlockDevice, Buffer
from .layout import BLOCK, CHECKSUMS, Entry, Extent, Geometry, block_checksum

_STEP = MIB // BLOCK        # blocks read or written at a time


class Run:
    """The blocks of a file as one sequence, wherever they lie."""

    def __init__(self, geometry: Geometry, extents: list[Extent]) -> None:
        self._geometry = geometry
        self.extents = extents
        self._ends = list(accumulate(count for _, count in extents))

    @property
    def blocks(self) -> int:
        """How many there are."""
        return self._ends[-1] if self._ends else 0

    def add(self, extents: list[Extent]) -> None:
        """More blocks at the end; an extent that continues the last one becomes part of it."""
        for first, count in extents:
            if self.extents and sum(self.extents[-1]) == first:
                self.extents[-1] = (self.extents[-1][0], self.extents[-1][1] + count)
                self._ends[-1] += count
            else:
                self.extents.append((first, count))
                self._ends.append(self.blocks + count)

    def locate(self, index: int) -> tuple[int, int]:
        """Offset in the area of block `index`, and how many blocks follow each other from there."""
        place = bisect_right(self._ends, index)
        first, count = self.extents[place]
        inner = index - (self._ends[place] - count)
        return self._geometry.block_offset(first + inner), count - inner


class BlockWriter:
    """Writes the contents of one file. `grow` is asked for more blocks when `run` is full, with how many are needed at least."""

    def __init__(self, device: BlockDevice, run: Run, seed: int, grow: Callable[[int], list[Extent]]) -> None:
        self._device = device
        self._run = run
        self._seed = seed
        self._grow = grow
        self._checksums = array("I")
        self._waiting = bytearray()
        self.size = 0
        self.first_block = b""

    def write(self, data: Buffer) -> None:
        """The next bytes; they are not kept."""
        view = memoryview(data).cast("B")
        if self.size < BLOCK:
            self.first_block += bytes(view[: BLOCK - self.size])
        self.size += len(view)
        if self._waiting or len(view) < _STEP * BLOCK:
            self._waiting += view
            whole = len(self._waiting) // BLOCK * BLOCK
            if len(self._waiting) >= _STEP * BLOCK:
                with memoryview(self._waiting) as waiting:
                    self._write_blocks(waiting[:whole])
                del self._waiting[:whole]
            return
        whole = len(view) // BLOCK * BLOCK
        self._write_blocks(view[:whole])
        self._waiting += view[whole:]

    def finish(self) -> None:
        """Write what is left, and the checksums behind it."""
        self._write_blocks(memoryview(bytes(self._waiting)))
        count = len(self._checksums)
        for start in range(0, count, CHECKSUMS):
            part = self._checksums[start : start + CHECKSUMS]
            body = struct.pack(f"<{len(part)}I", *part).ljust(BLOCK - 4, b"\0")
            index = count + start // CHECKSUMS
            checksum = block_checksum(self._seed, index, body)
            self._put(index, memoryview(body + checksum.to_bytes(4, "little")))

    def _write_blocks(self, view: memoryview) -> None:
        index = len(self._checksums)
        for start in range(0, len(view), BLOCK):
            self._checksums.append(block_checksum(self._seed, index + start // BLOCK, view[start : start + BLOCK]))
        self._put(index, view)

    def _put(self, index: int, view: memoryview) -> None:
        needed = index + -(-len(view) // BLOCK)
        if needed > self._run.blocks:
            self._run.add(self._grow(needed - self._run.blocks))
        while view:
            offset, count = self._run.locate(index)
            self._device.write(offset, view[: count * BLOCK])
            view = view[count * BLOCK :]
            index += count


class CacheReader:
    """The contents of one file, checked as they are read.

    A block that does not check raises FormatError after `forget` was called: the file is gone from the cache then.
    `close` calls `release`.
    """

    def __init__(
        self, device: BlockDevice, geometry: Geometry, entry: Entry, forget: Callable[[], None], release: Callable[[], None]
    ) -> None:
        self._device = device
        self._run = Run(geometry, list(entry.extents))
        self._entry = entry
        self._forget = forget
        self._release = release
        self._table: tuple[int, tuple[int, ...]] = (-1, ())
        self._index = 0             # the next block to read
        self._rest = memoryview(b"")
        self._closed = False

    def read(self, length: int = -1, /) -> bytes:
        """At most `length` bytes, all that is left when negative."""
        if length < 0:
            return b"".join(iter(lambda: self.read(MIB), b""))
        if not self._rest:
            self._rest = memoryview(self._next_blocks())
        data = bytes(self._rest[:length])
        self._rest = self._rest[len(data) :]
        return data

    def seekable(self) -> bool:
        """True: cached archives are read from anywhere."""
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go on reading at another place; like `io.IOBase.seek`, but never beyond the end."""
        size = self._entry.size
        here = min(self._index * BLOCK, size) - len(self._rest)
        target = max(0, min(offset + (0, here, size)[whence], size))
        self._index, inside = divmod(target, BLOCK)
        self._rest = memoryview(self._next_blocks())[inside:] if inside else memoryview(b"")
        return target

    def close(self) -> None:
        """Let the cache reuse the blocks when it needs to."""
        if not self._closed:
            self._closed = True
            self._release()

    def check(self) -> None:
        """Read everything from here on. Raises FormatError at the first block that does not check."""
        while self._next_blocks():
            pass

    def _next_blocks(self) -> bytes:
        left = self._entry.size - self._index * BLOCK
        if left <= 0:
            return b""
        offset, count = self._run.locate(self._index)
        data = self._device.read(offset, min(left, min(count, _STEP) * BLOCK))
        view = memoryview(data)
        for start in range(0, len(data), BLOCK):
            checksum = block_checksum(self._entry.seed, self._index, view[start : start + BLOCK])
            if checksum != self._checksum_of(self._index):
                raise self._failure(self._index)
            self._index += 1
        return data

    def _checksum_of(self, index: int) -> int:
        number, place = divmod(index, CHECKSUMS)
        if number != self._table[0]:
            block = self._entry.data_blocks + number
            offset, _ = self._run.locate(block)
            body = self._device.read(offset, BLOCK)
            *checksums, own = struct.unpack(f"<{BLOCK // 4}I", body)
            if block_checksum(self._entry.seed, block, memoryview(body)[:-4]) != own:
                raise self._failure(block)
            self._table = (number, tuple(checksums))
        return self._table[1][place]

    def _failure(self, index: int) -> FormatError:
        self._forget()
        return FormatError(
            f'the cache no longer holds "{self._entry.name}": block {index} does not check', hint="it will be fetched again"
        )
