"""Many blocks as one run of packets, laid out so that the file is read straight between the heads.

    |0 3 nn nn|payload of block_size bytes|0 3 nn nn|payload|...|0 3 nn nn|shorter at the end of the file|

The last few are kept: a room that fetches one file together asks for the same windows one client after the other, and a client
for the window that follows, so several small ones are laid out together.
"""

from collections import OrderedDict

from ..sockets import MAX_DATAGRAM, MAX_SEGMENTS
from .content import Content
from .packets import Opcode

HEAD = 4                    # bytes before the payload of DATA
BURSTS = 8                  # kept, of LAID_OUT bytes: few enough to stay in the processor's cache
LAID_OUT = 96 << 10         # bytes with their heads
_LOW = bytes(range(256)) * 2    # the low bytes of block numbers that follow each other: at most MAX_SEGMENTS of them are taken


def most_of(block_size: int) -> int:
    """How many blocks of that size go into a burst."""
    return min(MAX_SEGMENTS, max(1, MAX_DATAGRAM // (block_size + HEAD)))


def windows_together(block_size: int, window: int) -> int:
    """How many blocks of whole windows are laid out at a time; 0 when not even one window is."""
    return _room(block_size) // window * window


def _room(block_size: int) -> int:
    return min(MAX_SEGMENTS, max(1, LAID_OUT // (block_size + HEAD)))


class Burst:
    """A buffer for blocks of one size; `most` fit into it."""

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self.step = block_size + HEAD
        self.most = _room(block_size)
        self._buffer = bytearray(self.most * self.step)
        self._buffer[1 :: self.step] = bytes([Opcode.DATA]) * self.most
        self._view = memoryview(self._buffer)
        self._payloads = [self._view[at + HEAD : at + self.step] for at in range(0, len(self._buffer), self.step)]

    def fill(self, content: Content, first: int, count: int) -> tuple[memoryview, int]:
        """Packets of the blocks from `first` on, valid until the next call, and how many: less than `count` at the end of the content only."""
        got = content.read_into(first, self._payloads if count == self.most else self._payloads[:count], self.block_size)
        full, rest = divmod(got, self.block_size)
        packets, length = (count, count * self.step) if full == count else (full + 1, full * self.step + HEAD + rest)
        step, end, low = self.step, count * self.step, first & 0xFF
        self._buffer[3:end:step] = _LOW[low : low + count]
        if low + count <= 256:
            self._buffer[2:end:step] = bytes([first >> 8 & 0xFF]) * count
        else:
            self._buffer[2:end:step] = bytes([number >> 8 & 0xFF for number in range(first, first + count)])
        return self._view[:length], packets


class Bursts:
    """The buffers of a server; the oldest of a block size is filled anew."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[object, int, int, int], tuple[Burst, memoryview, int]] = OrderedDict()

    def take(self, content: Content, block_size: int, first: int, count: int, *, together: int = 0) -> tuple[Burst, memoryview, int]:
        """Packets of `count` blocks from `first` on, valid until the next call, and how many: less when more do not fit, or at the end of the content.

        `together` blocks, counted from the beginning, are laid out at a time if that is more. Raises StorageError.
        """
        if together <= count or content.size is None:
            return self._laid_out(content, block_size, first, min(count, most_of(block_size)))
        start = (first - 1) % together
        burst, packets, laid_out = self._laid_out(content, block_size, first - start, together)
        count = min(count, laid_out - start)
        return burst, packets[start * burst.step : (start + count) * burst.step], count

    def _laid_out(self, content: Content, block_size: int, first: int, count: int) -> tuple[Burst, memoryview, int]:
        key = content.identity, block_size, first, count
        found = self._kept.get(key)
        if found is None or content.size is None:       # netascii is read in order, by each of its readers
            burst = self._free(block_size)
            found = self._kept[key] = (burst, *burst.fill(content, first, count))
        return found

    def _free(self, block_size: int) -> Burst:
        if len(self._kept) < BURSTS:
            return Burst(block_size)
        oldest = next((key for key in self._kept if key[1] == block_size), None)
        if oldest is not None:
            return self._kept.pop(oldest)[0]
        self._kept.popitem(last=False)
        return Burst(block_size)
