"""A partition that is not usable until the work on it is complete.

The first bytes, where every file system keeps what it is recognised by, are zeroed at once and written last (`filesystems/head.py`):

    lower   |0000|##############·····|      during the work: "not formatted"
    held     |##|                           what belongs there, in memory
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from ..base.errors import StorageError
from ..base.units import KIB
from ..blocks.device import BlockDevice, Buffer, ReadsInto, check_range, data_ranges_of
from ..blocks.medium import medium_of
from ..filesystems.head import forget, reveal

HEAD = 128 * KIB        # beyond the superblock of btrfs at 64 KiB, the farthest first signature that we know
FORMER = 8 * KIB        # both places of a GPT header


class HeldDevice(ReadsInto):
    """`lower` with its first bytes held back until `release`. It has no `host_file`: other programs would see the mark.

    They begin as zeros, or (`keep`) as they are: for those who compare before they write.
    """

    def __init__(self, lower: BlockDevice, *, keep: bool = False) -> None:
        self._lower = lower
        length = min(HEAD, lower.size)
        self._head = bytearray(lower.read(0, length) if keep else length)
        self.former = lower.read(0, min(FORMER, lower.size))        # what was there, for those who must know what they replace
        forget(lower, length)

    @property
    def size(self) -> int:
        """Bytes."""
        return self._lower.size

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        view = memoryview(buffer).cast("B")
        check_range(self.size, offset, len(view), "partition")
        held = self._held(offset, len(view))
        view[:held] = memoryview(self._head)[offset : offset + held]
        if held < len(view):
            self._lower.readinto(offset + held, view[held:])

    def write(self, offset: int, data: Buffer) -> None:
        """Write what lies behind the head, keep the rest."""
        view = memoryview(data).cast("B")
        check_range(self.size, offset, len(view), "partition")
        held = self._held(offset, len(view))
        self._head[offset : offset + held] = view[:held]
        if held < len(view):
            self._lower.write(offset + held, view[held:])

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """Write the buffers one after the other."""
        if offset >= len(self._head):
            self._lower.writev(offset, buffers)
            return
        for buffer in buffers:
            self.write(offset, buffer)
            offset += memoryview(buffer).nbytes

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros."""
        check_range(self.size, offset, length, "partition")
        held = self._held(offset, length)
        self._head[offset : offset + held] = bytes(held)
        if held < length:
            self._lower.zero(offset + held, length - held)

    def flush(self) -> None:
        """Flush what was written; the head stays in memory."""
        self._lower.flush()

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Ranges that may hold data; the head always may."""
        check_range(self.size, offset, length, "partition")
        held = self._held(offset, length)
        if held:
            yield offset, offset + held
        if held < length:
            yield from data_ranges_of(self._lower, offset + held, length - held)

    def medium(self) -> tuple[Path, int] | None:
        """Where the lower device lies."""
        return medium_of(self._lower)

    def release(self) -> None:
        """Everything is in place: write the head, the sector by which it is recognised last."""
        reveal(self._lower, self._head)

    def check_released(self) -> None:
        """Read the head back. Raises StorageError when it is not what was written."""
        if self._lower.read(0, len(self._head)) != self._head:
            raise StorageError(f"verify: the first {len(self._head)} bytes read back differ from what was written")

    def _held(self, offset: int, length: int) -> int:
        return max(0, min(len(self._head) - offset, length))
