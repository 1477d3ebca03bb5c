"""Many blocks as one run of packets, laid out so that the file is read straight between the heads.

    |0 3 nn nn|payload of block_size bytes|0 3 nn nn|payload|...|0 3 nn nn|shorter at the end of the file|
"""

from ..sockets import MAX_DATAGRAM, MAX_SEGMENTS
from .content import Content
from .packets import Opcode

HEAD = 4                    # bytes before the payload of DATA
LAYOUTS = 8                 # buffers kept, for block sizes that are in use
_LOW = bytes(range(256)) * 2    # the low bytes of block numbers that follow each other: at most MAX_SEGMENTS of them are taken


class Burst:
    """A buffer for blocks of one size; `most` fit into it."""

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self.step = block_size + HEAD
        self.most = min(MAX_SEGMENTS, max(1, MAX_DATAGRAM // self.step))
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
    """The buffers of a server."""

    def __init__(self) -> None:
        self._kept: dict[int, Burst] = {}

    def of(self, block_size: int) -> Burst:
        """The buffer for a block size; the one that was made first makes room for a new one."""
        found = self._kept.get(block_size)
        if found is None:
            if len(self._kept) >= LAYOUTS:
                del self._kept[next(iter(self._kept))]
            found = self._kept[block_size] = Burst(block_size)
        return found
