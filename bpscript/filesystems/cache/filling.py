"""A file on its way into the cache piece by piece, in any order and from several threads: what is fetched from anywhere on a server.

Pieces begin and end where they like. Whole blocks are written at once; blocks of which only a part has come wait in memory, the oldest
of them are given up when there are too many (and are missing then). Nothing of the file is in the cache before `commit`.
"""

import struct
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable

from ...blocks.device import BlockDevice, Buffer
from ...blocks.ranges import RangeSet
from .layout import BLOCK, CHECKSUMS, block_checksum
from .stream import Run

_MOST_PARTS = 256       # blocks that wait for their other part: 8 MiB


class _Part:
    """A block of which a part has come: its bytes, and which of them have come."""

    def __init__(self, length: int) -> None:
        self.data = bytearray(length)
        self._come = RangeSet()

    def add(self, start: int, piece: memoryview) -> bool:
        """Keep a piece; True when nothing is missing any more."""
        self.data[start : start + len(piece)] = piece
        self._come.add(start, start + len(piece))
        return list(self._come) == [(0, len(self.data))]


class Filling:
    """`put` pieces, then `commit` or `abandon`. `finish` and `give_up` are the volume's."""

    def __init__(  # noqa: PLR0917 - what the volume knows of it
        self, device: BlockDevice, run: Run, seed: int, size: int, finish: Callable[[bytes], None], give_up: Callable[[], None]
    ) -> None:
        self._device = device
        self._run = run
        self._seed = seed
        self.size = size
        self._finish = finish
        self._give_up = give_up
        self._blocks = -(-size // BLOCK)
        self._taken = bytearray(self._blocks)           # 1: written, or being written
        self._checksums = array("I", bytes(4 * self._blocks))
        self._parts: OrderedDict[int, _Part] = OrderedDict()
        self._first_block = b""
        self._lock = threading.Lock()

    @property
    def filled(self) -> int:
        """Bytes that are there, in whole blocks."""
        return self.size - sum(end - start for start, end in self.missing())

    def put(self, offset: int, data: Buffer) -> None:
        """Bytes of the file; they are not kept. What is there already is passed over."""
        view = memoryview(data).cast("B")
        while view:
            index, inside = divmod(offset, BLOCK)
            if inside or len(view) < self._length(index):
                step = min(self._length(index) - inside, len(view))
                self._put_part(index, inside, view[:step])
            else:
                step = self._put_blocks(index, view)
            view, offset = view[step:], offset + step

    def missing(self) -> list[tuple[int, int]]:
        """Half-open ranges of bytes that `commit` still needs; parts of blocks count as missing."""
        found: list[tuple[int, int]] = []
        position = self._taken.find(0)
        while position >= 0:
            end = self._taken.find(1, position)
            end = self._blocks if end < 0 else end
            found.append((position * BLOCK, min(end * BLOCK, self.size)))
            position = self._taken.find(0, end)
        return found

    def commit(self) -> None:
        """The file is in the cache when this returns. Nothing may be missing."""
        assert not self.missing()
        for start in range(0, self._blocks, CHECKSUMS):
            part = self._checksums[start : start + CHECKSUMS]
            body = struct.pack(f"<{len(part)}I", *part).ljust(BLOCK - 4, b"\0")
            index = self._blocks + start // CHECKSUMS
            checksum = block_checksum(self._seed, index, body)
            self._write(index, memoryview(body + checksum.to_bytes(4, "little")))
        self._device.flush()
        self._finish(self._first_block)

    def abandon(self) -> None:
        """Give its room back."""
        self._give_up()

    def _length(self, index: int) -> int:
        return min(BLOCK, self.size - index * BLOCK)

    def _put_part(self, index: int, inside: int, piece: memoryview) -> None:
        with self._lock:
            if self._taken[index]:
                return
            part = self._parts.get(index)
            if part is None:
                part = self._parts[index] = _Part(self._length(index))
                if len(self._parts) > _MOST_PARTS:
                    self._parts.popitem(last=False)
            if not part.add(inside, piece):
                return
            del self._parts[index]
            self._taken[index] = 1
        self._keep(index, memoryview(part.data))

    def _put_blocks(self, index: int, view: memoryview) -> int:
        """Whole blocks from the beginning of the view, as far as they are all new or all there; how many bytes that is."""
        end_offset = index * BLOCK + len(view)
        count = (self._blocks if end_offset == self.size else end_offset // BLOCK) - index
        with self._lock:
            is_there = self._taken[index]
            end = self._taken.find(1 - is_there, index, index + count)
            count = count if end < 0 else end - index
            if not is_there:
                self._taken[index : index + count] = b"\1" * count
                for each in range(index, index + count):
                    self._parts.pop(each, None)
        length = min(count * BLOCK, len(view))
        if not is_there:
            self._keep(index, view[:length])
        return length

    def _keep(self, index: int, view: memoryview) -> None:
        if index == 0:
            self._first_block = bytes(view[:BLOCK])
        for start in range(0, len(view), BLOCK):
            self._checksums[index + start // BLOCK] = block_checksum(self._seed, index + start // BLOCK, view[start : start + BLOCK])
        self._write(index, view)

    def _write(self, index: int, view: memoryview) -> None:
        while view:
            offset, count = self._run.locate(index)
            self._device.write(offset, view[: count * BLOCK])
            view = view[count * BLOCK :]
            index += count
