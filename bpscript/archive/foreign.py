"""Images of partitions, ours and other people's, recognised by their first bytes and never by their name.

    first bytes                          what it is
    bpscript archive header              ours
    "partclone-image"                    partclone's (partclone.py)
    "QFI", FBh                           qcow2 (qcow2.py)
    zstd, gzip, xz, bzip2, lz4           a packed image: raw or partclone's
    anything else                        a raw image, perhaps with a block map beside it (bmap.py)

A raw image is captured like a partition: its file system's bitmaps say what is used, so restoring, comparing, other sizes work
as with an archive of ours. What is packed, or comes in order only, is unpacked into a sparse temporary file first; but an image of
partclone can be restored as it comes.
"""

import threading
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.clock import Clock
from ..base.errors import FormatError
from ..base.sources import Reader
from ..blocks.device import BlockDevice, data_ranges_of
from ..blocks.readonly import ReadOnlyDevice
from .adapters import PositionalDevice, Rejoined, Sequential
from .capture import CHUNK_SIZE, cells, survey
from .container import Archive, ChunkKind, ChunkRecord
from .crew import Crew, default_threads
from .full import BOOT_SIZE, AnyChunk, FullImage, PartitionImage
from .opening import ends_like_ours, is_ours
from .packing import UnpackedReader, packing_of
from .positional import JoinedBytes, JoinedReader, Positional, close
from .ranges import Ranges
from .reading import read_used
from .records import NO_HASH

if TYPE_CHECKING:       # few images are of other programs, and a workstation that starts counts milliseconds: the rest is imported late
    from .partclone import PartcloneHeader
    from .partclone_stream import PartcloneStream

_START = 32             # bytes that tell what it is
_PARTCLONE = b"partclone-image"
_QCOW2 = b"QFI\xfb"
_SECTOR = 512

_REFUSED = (
    (b"PK\x03\x04", "a zip archive", "IncrUnzip unpacks files"),
    (b"KDMV", "a VMDK image", "qemu-img convert makes a raw image of it"),
    (b"conectix", "a VHD image", "qemu-img convert makes a raw image of it"),
    (b"vhdxfile", "a VHDX image", "qemu-img convert makes a raw image of it"),
    (b"\0ntfsclone-image", "an image of ntfsclone", "ntfsclone --restore-image makes a raw image of it"),
    (b"LZIP", "packed by lzip", "lzip -d unpacks it"),
    (b"LRZI", "packed by lrzip", "lrzip -d unpacks it"),
    (b"\x89LZO\0", "packed by lzop", "lzop -d unpacks it"),
)


def open_image(
    source: Positional | JoinedReader, *, clock: Clock | None = None, code_page: str = "cp850", temp_folder: Path | str | None = None,
    in_order: bool = False,
) -> PartitionImage:
    """An image of a partition: ours, a raw one, or partclone's, packed or not.

    `in_order`: who calls is content with an image that can be read only once, in order, and then gets one instead of a temporary file
    where that is possible. Raises FormatError for what is no image, NoSpaceError when a packed one does not fit in `temp_folder`; the source is
    closed then.
    """
    try:
        return _Opener(clock or Clock(), code_page, temp_folder, in_order).open(source)
    except BaseException:
        close(source)
        raise


@dataclass(frozen=True, slots=True)
class _Opener:
    clock: Clock
    code_page: str
    temp_folder: Path | str | None
    in_order: bool

    def open(self, source: Positional | JoinedReader) -> PartitionImage:
        if isinstance(source, JoinedReader):
            start = _read_start(source)
            rest = Rejoined(start, source)
            if is_ours(start):
                return FullImage(Archive.open_stream(rest))
            return self._from_stream(start, rest, source.block_map)
        block_map = source.block_map if isinstance(source, JoinedBytes) else lambda: None
        start = source.read(0, min(_START, source.size))
        if is_ours(start):
            return FullImage(Archive.open(source))
        if packing_of(start) is not None:
            return self._from_stream(start, Sequential(source), block_map)
        return self._from_anywhere(source, block_map, lambda: close(source))

    def _from_stream(self, start: bytes, source: Reader, block_map: Callable[[], bytes | None]) -> PartitionImage:
        packing = packing_of(start)
        reader = UnpackedReader(source, packing, f"the {packing} image" if packing else "the image")
        if self.in_order and reader.peek(len(_PARTCLONE)) == _PARTCLONE:
            from .partclone_stream import PartcloneStream  # noqa: PLC0415

            return self._from_partclone(PartcloneStream(reader))
        from .unpacking import TemporaryImage, write_sparse  # noqa: PLC0415

        file = TemporaryImage(self.temp_folder)
        try:
            device = file.fill(lambda descriptor: write_sparse(descriptor, reader))
            reader.close()
            return self._from_anywhere(device, block_map, file.close)
        except BaseException:
            file.close()
            raise

    def _from_anywhere(
        self, source: Positional, block_map: Callable[[], bytes | None], let_go: Callable[[], None]
    ) -> PartitionImage:
        """What is not packed, in bytes that can be read from anywhere."""
        start = source.read(0, min(_START, source.size))
        for magic, what, hint in _REFUSED:
            if start.startswith(magic):
                raise FormatError(f"this is {what}, not the image of a partition", hint=hint)
        if start.startswith(_PARTCLONE):
            from .partclone_bytes import PartcloneBytes  # noqa: PLC0415

            blocks = PartcloneBytes(source)
            return self._described(PositionalDevice(blocks), blocks.used, blocks.header, let_go)
        if start.startswith(_QCOW2):
            from .qcow2 import Qcow2Bytes  # noqa: PLC0415

            return self._surveyed(Qcow2Bytes(source), let_go)
        if ends_like_ours(source):
            raise FormatError("this is a damaged archive: its end is there, its beginning is not")
        mapped = block_map()
        if mapped is not None:
            from .bmap import BlockMap, MappedBytes  # noqa: PLC0415

            source = MappedBytes(source, BlockMap.parse(mapped))
        return self._surveyed(source, let_go)

    def _surveyed(self, contents: Positional, let_go: Callable[[], None]) -> PartitionImage:
        """The bytes of a partition, of which its file system tells what is used."""
        device = PositionalDevice(contents)
        if not device.size or device.size % _SECTOR:
            raise FormatError(f"this is no image of a partition: its {device.size} bytes are not whole sectors")
        found = survey(ReadOnlyDevice(device, "the image"), clock=self.clock, code_page=self.code_page)
        boot = device.read(0, min(device.size, BOOT_SIZE))
        return PartitionImage(RawChunks(device, found.used, let_go), found.facts, found.used, boot)

    def _described(self, device: BlockDevice, used: Ranges, header: "PartcloneHeader", let_go: Callable[[], None]) -> PartitionImage:
        """An image of partclone that can be read from anywhere."""
        from .description import describe  # noqa: PLC0415

        facts = describe(device, used, now_ns=self.clock.now_ns(), writer=header.program, code_page=self.code_page)
        return PartitionImage(RawChunks(device, used, let_go), facts, used, device.read(0, min(device.size, BOOT_SIZE)))

    def _from_partclone(self, stream: "PartcloneStream") -> PartitionImage:
        from .description import START, StartDevice, describe  # noqa: PLC0415

        start, size = stream.start(START), stream.header.size
        facts = describe(
            StartDevice(start, size), stream.used, now_ns=self.clock.now_ns(), writer=stream.header.program, code_page=self.code_page,
            is_whole=False,
        )
        return PartitionImage(stream, facts, stream.used, start[:BOOT_SIZE], lambda: self._unpack(stream))

    def _unpack(self, stream: "PartcloneStream") -> PartitionImage:
        """A stream, from its beginning, as an image that can be read from anywhere."""
        from .unpacking import TemporaryImage, write_at  # noqa: PLC0415

        file = TemporaryImage(self.temp_folder)

        def write(descriptor: int) -> int:
            for record, data in stream.chunks():
                write_at(descriptor, data, record.offset)
            return stream.size

        try:
            return self._described(file.fill(write), stream.used, stream.header, file.close)
        except BaseException:
            file.close()
            raise


def _read_start(reader: Reader) -> bytes:
    start = b""
    while len(start) < _START:
        data = reader.read(_START - len(start))
        if not data:
            break
        start += data
    return start


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

    def data_into(self, index: int, room: memoryview) -> None:
        """The contents of one DATA chunk into `room`."""
        room[:] = self._read(self.record(index))

    def agrees(self, record: ChunkRecord, data: memoryview) -> bool:
        """True when `data` is what the image has there."""
        return bool(bytes(self._read(record)) == bytes(data))

    def each(
        self, work: Callable[[AnyChunk], None], *, threads: int | None = None, tick: Callable[[], None] = lambda: None
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

    def chunks(self) -> Iterator[tuple[ChunkRecord, memoryview]]:
        """Every chunk of data in order; a view is valid until the next step. What lies between are zeros."""
        for index in range(len(self)):
            record = self.record(index)
            if record.kind is ChunkKind.DATA:
                yield record, self._read(record)

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
