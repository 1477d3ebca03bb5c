"""Archives of whole disks: table, boot track and every partition in one. FORMAT.md, chapter "Disk archives".

    disk_capture.capture_disk(device, sink, clock=..., ...)         a disk to an archive; a disk without a table: an ordinary full archive
    disk_capture.survey_disk(device, clock=...)                     what would be captured: facts, used bytes
    DiskImage.open(positional.open_from_host(path))                 raises FormatError unless it is the archive of a disk
    image.facts, image.used, image.size                             `DiskFacts`: table kind, sector size, partitions
    image.partition(2)                                              one partition as a `PartitionImage`: restore it, list its files
    disk_restore.restore_disk(image, device, resize_last=..., ...)  a disk of the same or another size → `Restored`
    disk_restore.compare_disk(image, device)                        what differs on a disk of the same size

`full.FullImage` refuses such an archive with a hint; `open_partition_image` takes both kinds.
"""

from collections.abc import Callable
from typing import Protocol, Self

from ..base.errors import FormatError, NotFoundError
from ..partitions.table import Table, read_table
from .container import Archive, ChunkRecord
from .disk_facts import DiskFacts, boot_parts
from .full import AnyChunk, Chunks, FullImage, PartitionImage
from .positional import JoinedReader, Positional
from .ranges import Ranges
from .records import BOOT, TABLE_BYTES, USED, ArchiveKind
from .table_bytes import TableBytes


class DiskChunks(Chunks, Protocol):
    """Chunks of which a part can be asked for."""

    def each(
        self, work: Callable[[AnyChunk], None], *, threads: int | None = None, tick: Callable[[], None] = lambda: None,
        window: tuple[int, int] | None = None,
    ) -> None:
        """Call `work` for every chunk from one byte to another; in a stream, windows follow each other."""
        ...


class DiskImage:
    """The image of a whole disk: `chunks` with the bytes, `facts` and `used` for what they mean, `table_bytes` to read its table from."""

    def __init__(self, chunks: DiskChunks, facts: DiskFacts, used: Ranges, boots: dict[int, bytes], table_bytes: TableBytes) -> None:
        self.chunks = chunks
        self.facts = facts
        self.used = used
        self.table_bytes = table_bytes
        self._boots = boots

    @classmethod
    def of(cls, archive: Archive) -> Self:
        """An archive of ours that was opened. Raises FormatError unless it is the archive of a disk."""
        header = archive.header
        if header.kind is not ArchiveKind.DISK:
            what = "an incremental archive" if header.kind is ArchiveKind.INCREMENTAL else "the archive of a partition"
            raise FormatError(f"this is {what}, not of a whole disk")
        if header.size is None:
            raise FormatError("archive header: a disk archive must say how many bytes the disk has")
        if not {USED, TABLE_BYTES} <= set(header.sections):
            raise FormatError("archive header: a disk archive needs the sections USED and TABL")
        facts = DiskFacts.from_meta(header.meta, header.size)
        boots = boot_parts(facts, header.sections.get(BOOT, b""))
        image = cls(
            archive, facts, Ranges.unpack(header.sections[USED], header.size), boots,
            TableBytes.unpack(header.sections[TABLE_BYTES], header.size),
        )
        facts.check_table(image.table())
        return image

    @classmethod
    def open(cls, source: Positional | JoinedReader) -> Self:
        """From what `positional.open_from_...` gave. Raises FormatError."""
        return cls.of(Archive.open_stream(source) if isinstance(source, JoinedReader) else Archive.open(source))

    @property
    def size(self) -> int:
        """Bytes of the disk it was made of."""
        return self.facts.size

    def table(self) -> Table:
        """The partition table. Raises FormatError."""
        return read_table(self.table_bytes, self.facts.sector_size)

    def partition(self, number: int) -> PartitionImage:
        """One partition; it reads from the same chunks. Raises NotFoundError, FormatError for an extended one."""
        found = self.facts.get(number)
        if found is None:
            there = ", ".join(str(each.number) for each in self.facts.partitions) or "none"
            raise NotFoundError(f"the archive's disk has no partition {number}", hint=f"its partitions: {there}")
        if found.facts is None:
            raise FormatError(f"partition {number} of the archive's disk is an extended partition: no file system")
        used = self.used.part(found.start, found.end)
        return PartitionImage(RegionChunks(self.chunks, found.start, found.end), found.facts, used, self._boots[number])

    def close(self) -> None:
        """Close what the image is read from."""
        self.chunks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_partition_image(archive: Archive, number: int | None = None) -> PartitionImage:
    """The image of a partition: a full archive, or partition `number` of a disk archive.

    Raises FormatError for an incremental archive and a disk archive without a number, NotFoundError for a partition that is not there.
    """
    if archive.header.kind is ArchiveKind.DISK and number is not None:
        return DiskImage.of(archive).partition(number)
    image = FullImage(archive)
    if number is not None:
        raise NotFoundError(f"this is the archive of one partition, it has no partition {number}", hint="leave the number away")
    return image


class RegionChunks:
    """The chunks of one region of a disk, counted from its first byte."""

    def __init__(self, chunks: DiskChunks, start: int, end: int) -> None:
        self._chunks = chunks
        self._start = start
        self._end = end
        self._first: int | None = None
        self._count = 0

    @property
    def size(self) -> int:
        """Bytes."""
        return self._end - self._start

    @property
    def chunk_size(self) -> int:
        """No DATA chunk is longer (bytes)."""
        return self._chunks.chunk_size

    @property
    def is_stream(self) -> bool:
        """True when it can be read only once, in order."""
        return self._chunks.is_stream

    def __len__(self) -> int:
        """Number of chunks; 0 for a stream that has not ended."""
        self._bounds()
        return self._count

    def record(self, index: int) -> ChunkRecord:
        """What is known of a chunk."""
        return shifted(self._chunks.record(self._bounds() + index), self._start)

    def find(self, offset: int) -> int:
        """The index of the chunk that holds a byte of the region."""
        return self._chunks.find(self._start + offset) - self._bounds()

    def data(self, index: int) -> bytes:
        """The contents of one chunk."""
        return self._chunks.data(self._bounds() + index)

    def data_into(self, index: int, room: memoryview) -> None:
        """The contents of one DATA chunk into `room`."""
        self._chunks.data_into(self._bounds() + index, room)

    def agrees(self, record: ChunkRecord, data: memoryview) -> bool:
        """True when `data` is what the DATA chunk holds."""
        return self._chunks.agrees(shifted(record, -self._start), data)

    def each(
        self, work: Callable[[AnyChunk], None], *, threads: int | None = None, tick: Callable[[], None] = lambda: None
    ) -> None:
        """Call `work` for every chunk of the region."""
        self._chunks.each(
            lambda chunk: work(_Shifted(chunk, self._start)), threads=threads, tick=tick, window=(self._start, self._end)
        )

    def close(self) -> None:
        """Close what the whole image is read from."""
        self._chunks.close()

    def _bounds(self) -> int:
        """Index of the first chunk, found once. Raises FormatError when a chunk crosses the border of the region."""
        if self._first is None:
            if not len(self._chunks):
                return 0
            first, last = self._chunks.find(self._start), self._chunks.find(self._end - 1)
            end = self._chunks.record(last)
            if self._chunks.record(first).offset != self._start or end.offset + end.length != self._end:
                raise FormatError(f"archive: no chunk ends where the part from byte {self._start} to {self._end} begins or ends")
            self._first, self._count = first, last + 1 - first
        return self._first


class _Shifted:
    """A chunk in the hands of a worker, with its place in the region."""

    def __init__(self, chunk: AnyChunk, distance: int) -> None:
        self._chunk = chunk
        self.record = shifted(chunk.record, distance)
        self.data = chunk.data
        self.check_zeros = chunk.check_zeros


def shifted(record: ChunkRecord, distance: int) -> ChunkRecord:
    """A record with its offset counted from another byte."""
    return ChunkRecord(record.offset - distance, record.length, record.stored, record.kind, record.digest)


def check_regions(image: DiskImage) -> None:
    """Raise FormatError unless every region of an archive that can be read from anywhere begins and ends with a chunk."""
    if not image.chunks.is_stream:
        for start, end, _ in image.facts.regions():
            len(RegionChunks(image.chunks, start, end))


