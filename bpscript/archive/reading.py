"""Used bytes of a partition into buffers: what capturing, comparing and reading back have in common."""

import threading
from collections.abc import Callable

from ..base.buffers import large_buffer
from ..base.zeros import clear
from ..blocks.device import BlockDevice
from .ranges import Ranges
from .records import KIB


class CellReader:
    """Reads chunks in worker threads, each into its own buffer."""

    def __init__(self, device: BlockDevice, used: Ranges, chunk_size: int) -> None:
        self._device = device
        self._used = used
        self._chunk_size = chunk_size
        self._local = threading.local()

    def later(self, start: int, length: int) -> Callable[[], memoryview]:
        """How to get the chunk at a byte of the device."""
        return lambda: self._read(start, length)

    def _read(self, start: int, length: int) -> memoryview:
        buffer: memoryview | None = getattr(self._local, "buffer", None)
        if buffer is None:
            buffer = self._local.buffer = large_buffer(self._chunk_size)
        view = buffer[:length]
        read_used(self._device, view, start, self._used.within(start, start + length))
        return view


def read_used(device: BlockDevice, view: memoryview, start: int, parts: list[tuple[int, int]]) -> None:
    """Fill `view` with the device's bytes from `start` on: `parts` as they are, zeros between.

    Parts that lie close together are read in one go: one call costs as much as 100 KiB of copying.
    """
    position = start
    index = 0
    while index < len(parts):
        first, last = parts[index]
        end = index + 1
        while end < len(parts) and parts[end][0] - last <= 64 * KIB:
            last = parts[end][1]
            end += 1
        if position < first:
            clear(view[position - start : first - start])
        device.readinto(first, view[first - start : last - start])
        for at in range(index + 1, end):
            clear(view[parts[at - 1][1] - start : parts[at][0] - start])
        position, index = last, end
    if position < start + len(view):
        clear(view[position - start :])
