"""Images of partitions, ours and other people's, recognised by their first bytes and never by their name.

    first bytes                  what it is
    bpscript archive header      ours
    zstd, gzip, xz               a packed raw image
    anything else                a raw image

A raw image is captured like a partition: its file system's bitmaps say what is used, so restoring, comparing, other sizes work
as with an archive of ours. What is packed, or comes in order only, is unpacked into a sparse temporary file first.
"""

import tempfile
import threading
from array import array
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path

from ..base.clock import Clock
from ..base.errors import FormatError
from ..base.sources import Reader
from ..blocks.device import BlockDevice, data_ranges_of
from ..blocks.file import FileDevice
from ..blocks.readonly import ReadOnlyDevice
from .adapters import PositionalDevice, Rejoined, Sequential
from .capture import CHUNK_SIZE, cells, read_used, survey
from .container import Archive, ChunkKind, ChunkRecord
from .crew import Crew, default_threads
from .full import BOOT_SIZE, FullImage, PartitionImage
from .opening import ends_like_ours, is_ours
from .positional import JoinedReader, Positional, close
from .ranges import Ranges
from .records import NO_HASH
from .unpacking import packing_of, pieces, unpacked, write_sparse

_START = 32             # bytes that tell what it is
_SECTOR = 512

_NO_BEGINNING = "this is a damaged archive: its end is there, its beginning is not"
_REFUSED = (
    (b"partclone-image", "a partclone image", "partclone.restore writes it to a raw image, which can be used here"),
    (b"PK\x03\x04", "a zip archive", "IncrUnzip unpacks files"),
    (b"QFI\xfb", "a qcow2 image", "qemu-img convert makes a raw image of it"),
    (b"KDMV", "a VMDK image", "qemu-img convert makes a raw image of it"),
    (b"conectix", "a VHD image", "qemu-img convert makes a raw image of it"),
    (b"vhdxfile", "a VHDX image", "qemu-img convert makes a raw image of it"),
)


def open_image(
    source: Positional | JoinedReader, *, clock: Clock | None = None, code_page: str = "cp850", temp_folder: Path | str | None = None
) -> PartitionImage:
    """An image of a partition: ours, or a raw one, packed or not.

    Raises FormatError for what is none, NoSpaceError when a packed one does not fit in `temp_folder`; the source is closed then.
    """
    try:
        return _open(source, clock, code_page, temp_folder)
    except BaseException:
        close(source)
        raise


def _open(
    source: Positional | JoinedReader, clock: Clock | None, code_page: str, temp_folder: Path | str | None
) -> PartitionImage:
    if isinstance(source, JoinedReader):
        start = _read_start(source)
        rest = Rejoined(start, source)
        if is_ours(start):
            return FullImage(Archive.open_stream(rest))
        return _from_stream(start, rest, clock, code_page, temp_folder)
    start = source.read(0, min(_START, source.size))
    if is_ours(start):
        return FullImage(Archive.open(source))
    if packing_of(start) is None:
        _refuse_others(start)
        if ends_like_ours(source):
            raise FormatError(_NO_BEGINNING)
        return _from_device(PositionalDevice(source), clock, code_page, lambda: close(source))
    return _from_stream(start, Sequential(source), clock, code_page, temp_folder)


def _refuse_others(start: bytes) -> None:
    for magic, what, hint in _REFUSED:
        if start.startswith(magic):
            raise FormatError(f"this is {what}, not the image of a partition", hint=hint)


def _read_start(reader: Reader) -> bytes:
    start = b""
    while len(start) < _START:
        data = reader.read(_START - len(start))
        if not data:
            break
        start += data
    return start


def _from_stream(
    start: bytes, reader: Reader, clock: Clock | None, code_page: str, temp_folder: Path | str | None
) -> PartitionImage:
    packing = packing_of(start)
    folder = tempfile.TemporaryDirectory(prefix="bpscript-", dir=temp_folder or None)
    try:
        path = Path(folder.name) / "image"
        write_sparse(path, unpacked(reader, packing) if packing else pieces(reader))
        close(reader)
        with path.open("rb") as file:
            _refuse_others(file.read(_START))
        device = FileDevice(path, writable=False)
    except BaseException:
        folder.cleanup()
        raise

    def let_go() -> None:
        device.close()
        folder.cleanup()

    try:
        if packing is None and ends_like_ours(device):
            raise FormatError(_NO_BEGINNING)
        return _from_device(device, clock, code_page, let_go)
    except BaseException:
        let_go()
        raise


def _from_device(device: BlockDevice, clock: Clock | None, code_page: str, let_go: Callable[[], None]) -> PartitionImage:
    if not device.size or device.size % _SECTOR:
        raise FormatError(f"this is no image of a partition: its {device.size} bytes are not whole sectors")
    found = survey(ReadOnlyDevice(device, "the image"), clock=clock or Clock(), code_page=code_page)
    boot = device.read(0, min(device.size, BOOT_SIZE))
    return PartitionImage(RawChunks(device, found.used, let_go), found.facts, found.used, boot)


class RawChunks:
    """A raw image cut into chunks as `capture` cuts a partition. Chunks have no hash: comparing compares bytes."""

    is_stream = False
    chunk_size = CHUNK_SIZE

    def __init__(self, device: BlockDevice, used: Ranges, let_go: Callable[[], None]) -> None:
        self._device = device
        self._used = used
        self._let_go = let_go
        everything = used.total == device.size
        content = Ranges(data_ranges_of(device, 0, device.size)) if everything else used
        empty = ChunkKind.ZERO if everything else ChunkKind.UNUSED
        self._starts = array("Q")
        self._kinds = bytearray()
        position = 0
        for start, length in cells(content, device.size, CHUNK_SIZE):
            if start > position:
                self._starts.append(position)
                self._kinds.append(empty)
            if length:
                self._starts.append(start)
                self._kinds.append(ChunkKind.DATA)
            position = start + length
        self._local = threading.local()

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def size(self) -> int:
        """Bytes of the image."""
        return self._device.size

    def record(self, index: int) -> ChunkRecord:
        """Place and kind of a chunk."""
        start = self._starts[index]
        end = self._starts[index + 1] if index + 1 < len(self._starts) else self._device.size
        return ChunkRecord(start, end - start, 0, ChunkKind(self._kinds[index]), NO_HASH)

    def find(self, offset: int) -> int:
        """The index of the chunk that holds a byte."""
        return bisect_right(self._starts, offset) - 1

    def data(self, index: int) -> bytes:
        """The contents of one chunk, zeros where nothing is used."""
        record = self.record(index)
        return bytes(self._read(record)) if record.kind is ChunkKind.DATA else bytes(record.length)

    def agrees(self, record: ChunkRecord, data: memoryview) -> bool:
        """True when `data` is what the image has there."""
        return bool(bytes(self._read(record)) == bytes(data))

    def each(
        self, work: Callable[["RawChunk"], None], *, threads: int | None = None, tick: Callable[[], None] = lambda: None
    ) -> None:
        """Call `work` for every chunk, in several threads."""
        numbers = iter(range(len(self)))
        lock = threading.Lock()

        def loop() -> None:
            while not crew.stopping:
                with lock:
                    index = next(numbers, None)
                if index is None:
                    return
                record = self.record(index)
                work(RawChunk(index, record, self._read))

        crew = Crew(loop, threads or default_threads())
        crew.run(tick)

    def close(self) -> None:
        """Close the image; a temporary file is removed."""
        self._let_go()

    def _read(self, record: ChunkRecord) -> memoryview:
        buffer: bytearray | None = getattr(self._local, "buffer", None)
        if buffer is None:
            buffer = self._local.buffer = bytearray(CHUNK_SIZE)
        view = memoryview(buffer)[: record.length]
        read_used(self._device, view, record.offset, self._used.within(record.offset, record.offset + record.length))
        return view


class RawChunk:
    """A chunk of a raw image in the hands of a worker."""

    def __init__(self, index: int, record: ChunkRecord, read: Callable[[ChunkRecord], memoryview]) -> None:
        self.index = index
        self.record = record
        self._read = read

    def data(self) -> memoryview:
        """The bytes, valid until the worker's next chunk."""
        return self._read(self.record)

    def check_zeros(self) -> None:
        """A hole of a file cannot be damaged."""
