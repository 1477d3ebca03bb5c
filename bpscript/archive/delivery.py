"""Contents of files on their way from decoded chunks to the device: they stay where they were decoded, and only their places are told.

    ring      |..aaaa.bb..|..cccccc....|      chunks, in memory that both processes have
                  │    │
    pieces     (place in the ring, length, zeros behind it, place on the device)
                  │    │                      written by the process that decoded them, or here when that one is behind
    device    ....aaaabb......

Who makes the files says what goes where (`Carrier`), and never touches the bytes.
"""

from collections.abc import Iterable
from mmap import mmap
from struct import Struct
from typing import Protocol

from ..blocks.device import BlockDevice, Buffer

Piece = tuple[int, int, int, int]
PIECE = Struct("<IIIQ")     # as a pipe has it: place in the ring, length and zeros behind it in bytes; place on the device

_ZEROS = memoryview(bytes(1 << 16))


class Writer(Protocol):
    """One ring, and the process that fills it."""

    ring: mmap
    address: int            # of the ring in memory
    pieces: list[Piece]     # of the chunk at hand

    def settle(self) -> None:
        """All pieces are on the device afterwards. Raises what the device finds wrong."""
        ...


class Delivery:
    """Takes contents that lie in a ring. Nothing is delivered to the first `first` bytes of the device.

    The device must be good in a copy of this process: a range of a file or disk of the host.
    """

    def __init__(self, device: BlockDevice, first: int) -> None:
        from ctypes import addressof, c_char  # noqa: PLC0415 - slow to load

        self.device = device
        self.writers: list[Writer] = []
        self.at_hand: Writer | None = None      # whose chunk it is that files are made of now
        self._first = first
        self._address, self._byte = addressof, c_char

    def carry(self, offset: int, data: Buffer, padding: int) -> bool:
        """Bring `data`, and zeros behind it, to `offset` sooner or later; False when it does not lie in a ring."""
        writer = self.at_hand
        if writer is None or not isinstance(data, memoryview) or data.obj is not writer.ring or offset < self._first or padding > len(_ZEROS):
            return False
        writer.pieces.append((self.address_of(data) - writer.address, len(data), padding, offset))
        return True

    def settle(self) -> None:
        """Everything is on the device afterwards. Raises what the device finds wrong."""
        for writer in self.writers:
            writer.settle()

    def address_of(self, data: memoryview | mmap) -> int:
        """Where bytes lie in memory."""
        return int(self._address(self._byte.from_buffer(data)))


def write_pieces(device: BlockDevice, ring: memoryview, pieces: Iterable[Piece]) -> None:
    """Write pieces; those that follow each other on the device in one go."""
    run: list[Buffer] = []
    start = end = -1
    for place, length, padding, offset in pieces:
        if offset != end:
            if run:
                device.writev(start, run)
                run = []
            start = offset
        run.append(ring[place : place + length])
        if padding:
            run.append(_ZEROS[:padding])
        end = offset + length + padding
    if run:
        device.writev(start, run)
