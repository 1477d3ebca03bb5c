"""The bytes of a partition table, apart from the disk they come from: section TABL of a disk archive (FORMAT.md, chapter "Disk archives").

    disk     |T··········|E|·····|E|···········|tt|
    pieces   |T|         |E|     |E|           |tt|         the rest reads as zeros
"""

from bisect import bisect_right
from collections.abc import Iterable
from struct import Struct

from ..base.errors import FormatError, ReadOnlyError
from ..blocks.device import BlockDevice, Buffer, check_range
from ..blocks.readonly import ReadOnlyDevice
from ..partitions.table import Table, read_table
from .ranges import merge

MAX_PIECES = 4096
MAX_BYTES = 16 << 20            # two GPT arrays of 4 MiB are the most that a table takes
_COUNT = Struct("<I")
_PIECE = Struct("<QI")          # offset on the disk, length


class TableBytes:
    """The bytes of a partition table as a read-only device of the disk's size; everything else reads as zeros."""

    def __init__(self, size: int, pieces: Iterable[tuple[int, bytes]]) -> None:
        self._size = size
        self.pieces = tuple(sorted(pieces))
        self._starts = [start for start, _ in self.pieces]

    @property
    def size(self) -> int:
        """Bytes of the disk."""
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        check_range(self._size, offset, length, "partition table")
        data = bytearray(length)
        end = offset + length
        for index in range(max(0, bisect_right(self._starts, offset) - 1), len(self.pieces)):
            start, piece = self.pieces[index]
            if start >= end:
                break
            first, last = max(start, offset), min(start + len(piece), end)
            if first < last:
                data[first - offset : last - offset] = piece[first - start : last - start]
        return bytes(data)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        view = memoryview(buffer).cast("B")
        view[:] = self.read(offset, len(view))

    def write(self, offset: int, data: Buffer) -> None:
        """Refuse."""
        raise ReadOnlyError("an archive cannot be written to")

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """Refuse."""
        raise ReadOnlyError("an archive cannot be written to")

    def zero(self, offset: int, length: int) -> None:
        """Refuse."""
        raise ReadOnlyError("an archive cannot be written to")

    def flush(self) -> None:
        """Nothing was written."""

    def pack(self) -> bytes:
        """The section TABL."""
        head = [_PIECE.pack(start, len(piece)) for start, piece in self.pieces]
        return b"".join([_COUNT.pack(len(head)), *head, *(piece for _, piece in self.pieces)])

    @classmethod
    def unpack(cls, data: bytes, size: int) -> "TableBytes":
        """From the section TABL. Raises FormatError."""
        count = _COUNT.unpack_from(data)[0] if len(data) >= _COUNT.size else MAX_PIECES + 1
        position = _COUNT.size + count * _PIECE.size
        if count > MAX_PIECES or position > len(data) or len(data) > MAX_BYTES:
            raise FormatError(f"archive header: section TABL of {len(data)} bytes is damaged")
        pieces = []
        last = 0
        for start, length in _PIECE.iter_unpack(data[_COUNT.size : position]):
            if start < last or not length or start + length > size:
                raise FormatError(f"archive header: section TABL has a piece of {length} bytes at byte {start} of {size}")
            pieces.append((start, data[position : position + length]))
            position, last = position + length, start + length
        if position != len(data):
            raise FormatError(f"archive header: section TABL has {len(data)} bytes, its pieces {position}")
        return cls(size, pieces)


class _Recorder(ReadOnlyDevice):
    """Remembers which bytes were read."""

    def __init__(self, lower: BlockDevice) -> None:
        super().__init__(lower, "the disk")
        self.seen: list[tuple[int, int]] = []

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        data = super().read(offset, length)
        self.seen.append((offset, offset + length))
        return data


def read_with_bytes(device: BlockDevice, sector_size: int) -> tuple[Table, TableBytes]:
    """The table of a disk, and every byte that was read to know it. Raises what `read_table` raises."""
    recorder = _Recorder(device)
    table = read_table(recorder, sector_size)
    return table, TableBytes(device.size, ((start, device.read(start, end - start)) for start, end in merge(recorder.seen)))
