"""The contents of an incremental archive on their way into chunks: headers made by one thread, files read by many.

All sizes are known before the first byte is packed, so the place of everything in the stream is known too. The main thread
makes headers and notes where each file lies; a worker then fills a whole chunk and packs it at once:

    parts of a chunk    header | extent of the device | padding | header | piece of a host file | ...

A worker reads the extents of its chunk in the order of the device, neighbours in one go: on a volume that was filled directory
by directory a chunk of small files is one or two reads. Contents that only the main thread can read are copied into the parts.
"""

import threading
from collections.abc import Callable
from functools import partial

from ..base.errors import StorageError
from ..base.sources import Reader
from ..base.zeros import clear, known_zeros
from ..blocks.device import BlockDevice, Buffer
from ..filesystems.filesystem import Extent, ReadsAnywhere
from .container import ArchiveWriter
from .tar_layout import RECORD
from .tar_write import padding

_STEP = 1 << 20             # bytes read at a time by the main thread
_GAP = 32 << 10             # extents closer than this are read together: a call costs as much as copying so many bytes
_MAX_TOGETHER = 2 << 20     # bytes read together
_LARGE = 128 << 10          # longer extents are read straight to their place

_Fill = Callable[[memoryview], None]


class TarStream:
    """Takes headers and files in the order of the tar stream. The same bytes come out whichever way the files are read."""

    def __init__(self, writer: ArchiveWriter, device: BlockDevice | None = None) -> None:
        """`device`: what `add_extents` reads from."""
        self._writer = writer
        self._assembler = _Assembler(writer.chunk_size, device)
        self._room = writer.chunk_size
        self._chunk = _Parts()
        self._filled = 0
        self._size = 0
        self._known = 0     # zeros that came last and are in no chunk yet

    def write(self, data: bytes) -> None:
        """Bytes that do not change any more."""
        if self._known:
            self._end_known_zeros()
        length = len(data)
        if self._filled + length < self._room:
            self._chunk.texts.append((self._filled, data))
            self._filled += length
            self._size += length
            return
        for into, at, step in self._places(length):
            self._chunk.texts.append((at, data[into : into + step]))
            self._advance(step)

    def write_view(self, data: Buffer) -> None:
        """Bytes that the giver uses again."""
        if isinstance(data, memoryview) and known_zeros(data):
            self._known += len(data)        # hole after hole, until something else comes
        else:
            self.write(bytes(data))

    def add_extents(self, extents: list[Extent], size: int) -> None:
        """The contents of a file of `size` bytes that lies on the device, and their padding."""
        room = self._room
        position = 0
        for logical, offset, length in extents:
            if logical > position:
                self._zeros(logical - position)
            if self._filled + length < room:
                self._chunk.extents.append((offset, self._filled, length))
                self._filled += length
                self._size += length
            else:
                for into, at, step in self._places(length):
                    self._chunk.extents.append((offset + into, at, step))
                    self._advance(step)
            position = logical + length
        self._zeros(size - position)
        self.write(padding(size))

    def add_file(self, volume: ReadsAnywhere, path: str, size: int, name: str) -> None:
        """The contents of a file that any thread can read, and their padding; `name` is used in messages."""
        done = 0
        # Whether a small file has holes is not asked: reading them takes no longer.
        for start, end in volume.data_ranges(path, size) if size >= self._room else [(0, size)]:
            self._zeros(start - done)
            for into, at, step in self._places(end - start):
                self._chunk.pieces.append((at, step, partial(_read_piece, volume, path, start + into, size, name)))
                self._advance(step)
            done = end
        self._zeros(size - done)
        self.write(padding(size))

    def copy(self, reader: Reader, size: int, name: str) -> None:
        """The contents of a file read here and now, and their padding. Raises StorageError when there are fewer."""
        left = size
        while left:
            data = reader.read(min(left, _STEP))
            if not data:
                raise _changed(name, size - left, size)
            self.write(data)
            left -= len(data)
        self.write(padding(size))

    def finish(self) -> None:
        """Pad to a whole record of tar and pass on the rest."""
        self.write(bytes(-self._size % RECORD))
        if self._filled:
            self._pass_on()

    def _places(self, length: int):  # type: ignore[no-untyped-def]
        """Offset in what is added, place in the chunk and length of each piece of `length` bytes."""
        done = 0
        while done < length:
            step = min(length - done, self._room - self._filled)
            yield done, self._filled, step
            done += step

    def _advance(self, step: int) -> None:
        self._filled += step
        self._size += step
        if self._filled == self._room:
            self._pass_on()

    def _zeros(self, length: int) -> None:
        """A hole: whole chunks of it are not filled and looked at first."""
        before = min(length, (self._room - self._filled) % self._room)
        whole = (length - before) // self._room * self._room
        self._zeros_in_chunk(before)
        self._writer.add_zeros(whole, used=True)
        self._size += whole
        self._zeros_in_chunk(length - before - whole)

    def _end_known_zeros(self) -> None:
        length, self._known = self._known, 0
        self._zeros(length)

    def _zeros_in_chunk(self, length: int) -> None:
        if length:
            self._chunk.zeros.append((self._filled, length))
            self._advance(length)

    def _pass_on(self) -> None:
        self._writer.add_later(self._filled, partial(self._assembler.fill, self._chunk, self._filled))
        self._chunk = _Parts()
        self._filled = 0


class _Parts:
    """What a chunk is made of; places are offsets in the chunk."""

    __slots__ = ("extents", "pieces", "texts", "zeros")

    def __init__(self) -> None:
        self.texts: list[tuple[int, bytes]] = []
        self.extents: list[tuple[int, int, int]] = []               # offset on the device, place, length
        self.pieces: list[tuple[int, int, _Fill]] = []              # place, length, what fills it
        self.zeros: list[tuple[int, int]] = []                      # place, length

    def clear(self) -> None:
        """Let everything go."""
        for parts in (self.texts, self.extents, self.pieces, self.zeros):
            parts.clear()


class _Assembler:
    """Fills chunks; each thread has its own buffers."""

    def __init__(self, chunk_size: int, device: BlockDevice | None) -> None:
        self._chunk_size = chunk_size
        self._device = device
        self._local = threading.local()

    def fill(self, parts: _Parts, length: int) -> bytearray | memoryview:
        """The bytes of a chunk, valid until this thread fills the next one."""
        buffer: bytearray | None = getattr(self._local, "buffer", None)
        if buffer is None:
            buffer = self._local.buffer = bytearray(self._chunk_size)
        view = memoryview(buffer)
        for at, data in parts.texts:
            buffer[at : at + len(data)] = data
        for at, step in parts.zeros:
            clear(view[at : at + step])
        for at, step, fill in parts.pieces:
            fill(view[at : at + step])
        if parts.extents:
            self._read(sorted(parts.extents), view)
        parts.clear()       # the headers of small files take as much room as the chunk, and packing it takes a while
        return buffer if length == len(buffer) else view[:length]

    def _read(self, extents: list[tuple[int, int, int]], view: memoryview) -> None:
        """Extents sorted by where they lie."""
        device = self._device
        assert device is not None
        first = 0
        while first < len(extents):
            start, at, length = extents[first]
            end, after = start + length, first + 1
            if length < _LARGE:
                while after < len(extents):
                    offset, _, length = extents[after]
                    if offset - end > _GAP or length >= _LARGE or offset + length - start > _MAX_TOGETHER:
                        break
                    end = max(end, offset + length)
                    after += 1
            if after == first + 1:
                device.readinto(start, view[at : at + end - start])
            else:
                scratch = self._scratch()
                device.readinto(start, scratch[: end - start])
                for offset, at, length in extents[first:after]:
                    view[at : at + length] = scratch[offset - start : offset - start + length]
            first = after

    def _scratch(self) -> memoryview:
        scratch: memoryview | None = getattr(self._local, "scratch", None)
        if scratch is None:
            scratch = self._local.scratch = memoryview(bytearray(_MAX_TOGETHER))
        return scratch


def _read_piece(volume: ReadsAnywhere, path: str, offset: int, size: int, name: str, view: memoryview) -> None:  # noqa: PLR0917 - bound ahead
    found = volume.read_at(path, offset, view)
    if found < len(view):
        raise _changed(name, offset + found, size)


def _changed(name: str, found: int, size: int) -> StorageError:
    return StorageError(f'"{name}" changed while it was read: it has {found} bytes, it had {size}')
