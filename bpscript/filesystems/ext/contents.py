"""The contents of files: written straight to block runs of the device, and read from them.

Room is taken ahead when the size is known and there is so much. What is a hole (`sparse.py`) gets no room, or gives it back.
"""

from collections.abc import Sequence

from ...base.errors import StorageError
from ...blocks.device import BlockDevice, Buffer
from ..elsewhere import Elsewhere
from ..write_behind import WriteBehind
from .allocator import Allocator
from .blockmap import Run, append_run, cut_holes

_GATHER = 1 << 20           # small chunks are written together up to this size
_DIRECT = 64 << 10          # chunks from this size on are written as they are
_GROWTH = 8 << 20           # room taken at once while the size is unknown


class FileWriter:
    """Writes the blocks of one new file. Afterwards `runs` and `size` are its map; `abort` gives everything back."""

    def __init__(self, data: WriteBehind, allocator: Allocator, block_size: int) -> None:
        self._data = data
        self._allocator = allocator
        self._block_size = block_size
        self._expected: int | None = None
        self.runs: list[Run] = []
        self.size = 0                               # bytes given so far
        self._written = 0                           # bytes that reached the device, or became holes
        self._room = 0                              # bytes that `runs` and holes between them have room for
        self._index = 0                             # the run that `_written` lies in
        self._gathered: list[Buffer] = []
        self._gathered_size = 0
        self._holes: list[tuple[int, int]] = []     # half-open, in blocks

    def expect(self, size: int, stored: int) -> None:
        """So many bytes will come, of which `stored` are in no hole: take the room for them, in one run where possible. Raises NoSpaceError.

        Where the holes lie is not known: with them, room is taken as it is needed.
        """
        self._expected = size
        if stored < size:
            self._allocator.check(-(-stored // self._block_size))
        elif size:
            self._grow(size)

    def put(self, chunk: Buffer) -> None:
        """The next bytes; the buffer may be reused afterwards."""
        length = chunk.nbytes if isinstance(chunk, memoryview) else len(chunk)
        if not length:
            return
        self._count(length)
        if length < _DIRECT:
            self._gathered.append(chunk if isinstance(chunk, bytes) else bytes(chunk))
            self._gathered_size += length
            if self._gathered_size >= _GATHER:
                self._write_gathered()
            return
        self._write_gathered()
        self._need(length)
        self._write([memoryview(chunk).cast("B")], length)

    def skip(self, length: int) -> None:
        """A hole of whole blocks at a border of a block."""
        self._write_gathered()
        self._count(length)
        end = self._written + length
        block = self._block_size
        if end < self._room:
            self._holes.append((self._written // block, end // block))
        else:
            self._give_back_rest()
            self._room = end
        self._written = end

    def finish(self) -> None:
        """Write what is left, fill the last block with zeros and give back what was not needed."""
        if self._expected is not None and self.size != self._expected:
            raise StorageError(f"the contents are {self.size} bytes long, not the announced {self._expected} bytes")
        padding = -self.size % self._block_size
        if padding:
            self._gathered.append(bytes(padding))
            self._gathered_size += padding
        self._write_gathered()
        self._give_back_rest()
        if self._holes:
            self.runs, freed = cut_holes(self.runs, self._holes)
            self._allocator.give_back(freed)

    def bring(self, contents: Elsewhere) -> None:
        """Room for contents that somebody else brings; their extents begin at borders of blocks. Raises NoSpaceError."""
        block = self._block_size
        for logical, _, length in contents.extents:
            position, end = logical, logical + length
            for start, count in self._allocator.take(-(-length // block)):
                append_run(self.runs, position // block, start, count)
                contents.part_belongs(position, min(count * block, end - position), start * block, count * block)
                position += count * block
        self.size = contents.size

    def abort(self) -> None:
        """Give back every block."""
        self._data.flush()
        self._allocator.give_back([(run.start, run.blocks) for run in self.runs])
        self.runs = []

    def _count(self, length: int) -> None:
        self.size += length
        if self._expected is not None and self.size > self._expected:
            raise StorageError(f"the contents are longer than the announced {self._expected} bytes")

    def _grow(self, length: int) -> None:
        logical = self._room // self._block_size
        for start, count in self._allocator.take(-(-length // self._block_size)):
            append_run(self.runs, logical, start, count)
            logical += count
        self._room = logical * self._block_size

    def _give_back_rest(self) -> None:
        """Give back the room behind what was written."""
        first = self._written // self._block_size
        freed = []
        while self.runs and self.runs[-1].logical + self.runs[-1].blocks > first:
            run = self.runs.pop()
            kept = max(0, first - run.logical)
            freed.append((run.start + kept, run.blocks - kept))
            if kept:
                self.runs.append(Run(run.logical, run.start, kept))
        self._allocator.give_back(freed)
        self._room = self._written

    def _need(self, length: int) -> None:
        """Room for the next `length` bytes; more than that while the end is unknown and the volume has plenty."""
        missing = self._written + length - self._room
        if missing > 0:
            if self._expected is not None:
                self._grow(missing)
                return
            generous = min(max(_GROWTH, self._room // 4), self._allocator.free * self._block_size // 4)
            self._grow(max(missing, generous) if self._gathered_size >= _GATHER or length >= _DIRECT else missing)

    def _write_gathered(self) -> None:
        if self._gathered:
            self._need(self._gathered_size)
            self._write(self._gathered, self._gathered_size)
            self._gathered = []
            self._gathered_size = 0

    def _write(self, buffers: Sequence[Buffer], length: int) -> None:
        """Write buffers at the present position, run by run."""
        while True:
            run = self.runs[self._index]
            into = self._written - run.logical * self._block_size
            room = run.blocks * self._block_size - into
            if room <= 0:
                self._index += 1
                continue
            target = run.start * self._block_size + into
            if length <= room:
                for buffer in buffers:
                    self._data.put(target, buffer)
                    target += len(buffer)
                self._written += length
                return
            whole = memoryview(buffers[0] if len(buffers) == 1 else b"".join(buffers)).cast("B")
            self._data.put(target, whole[:room])
            self._written += room
            buffers, length = [whole[room:]], length - room


class FileReader:
    """Reads a file's bytes in order."""

    def __init__(self, device: BlockDevice, runs: list[Run], block_size: int, size: int) -> None:
        self._device = device
        self._runs = runs
        self._block_size = block_size
        self._size = size
        self._position = 0
        self._index = 0

    def read(self, length: int = -1, /) -> bytes:
        """At most `length` bytes, all that is left when negative."""
        left = self._size - self._position
        length = left if length < 0 else min(length, left)
        parts = []
        while length > 0:
            piece = self._piece(length)
            parts.append(piece)
            self._position += len(piece)
            length -= len(piece)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def seekable(self) -> bool:
        """True: archives on a disk are read from anywhere."""
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go on reading at another place; like `io.IOBase.seek`, but never beyond the end."""
        target = max(0, min(offset + (0, self._position, self._size)[whence], self._size))
        if target < self._position:
            self._index = 0
        self._position = target
        return target

    def _piece(self, length: int) -> bytes:
        """Bytes of one run or one hole."""
        size = self._block_size
        while self._index < len(self._runs):
            run = self._runs[self._index]
            start, end = run.logical * size, (run.logical + run.blocks) * size
            if self._position >= end:
                self._index += 1
                continue
            if self._position < start:
                return bytes(min(length, start - self._position))
            step = min(length, end - self._position)
            if run.unwritten:
                return bytes(step)
            return self._device.read(run.start * size + self._position - start, step)
        return bytes(length)

    def close(self) -> None:
        """Nothing to give back."""
        self._runs = []
        self._position = self._size
