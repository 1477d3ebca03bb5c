"""From a whole disk to a disk archive: table, boot track, and the used blocks of every partition.

    disk      |T·boot·track·|FAT ##··#··#···|E·····|ext #··##··|···········|t|
    used      |#############|##··#··#       |######|#··##      |           |#|

Between partitions nothing is used but the table and what boot loaders keep beside it: everything before the first partition (beyond
8 MiB only what is not zero there), and the track behind each table inside an extended partition.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..base.clock import Clock
from ..base.errors import BpscriptError, FormatError, StorageError
from ..base.events import Event, Kind, Sink, ignore, progress
from ..base.units import MIB
from ..blocks.device import BlockDevice, data_ranges_of
from ..blocks.slice import SliceDevice
from ..filesystems.detect import detect
from ..partitions.moving import leaves, table_ranges
from ..partitions.partition import Partition
from ..partitions.table import SECTOR_SIZES, Table, read_table
from .capture import CHUNK_SIZE, Survey, add_region, capture, data_of, survey
from .container import ArchiveWriter, FrameSink, Header, Summary
from .disk_facts import MAX_PARTITIONS, DiskFacts, DiskPartition
from .full import BOOT_SIZE, Facts
from .provenance import WRITER, Provenance
from .ranges import Ranges, merge
from .reading import CellReader
from .records import BOOT, TABLE_BYTES, USED, ArchiveKind
from .table import Signature
from .table_bytes import TableBytes, read_with_bytes
from .writer import LONG_CHUNK_SIZE

_WHOLE_TRACK = 8 * MIB          # a boot track up to this is taken as it is
_FAR_TRACK = 64 * MIB           # boot loaders of small boards lie beyond 8 MiB; nothing is known to begin farther
_NO_PARTITIONS = 1 * MIB        # the boot track of a table without partitions
_NESTED_TRACK = 1 * MIB         # behind a table inside an extended partition
_STEP = 4096


@dataclass(frozen=True, slots=True)
class DiskSurvey:
    """What will be captured. `content` is what must be read of `used`: without the holes of an image file."""

    device: BlockDevice
    facts: DiskFacts
    used: Ranges
    content: Ranges
    boots: bytes
    table_bytes: TableBytes
    warnings: tuple[str, ...]


def sector_size_of(device: BlockDevice) -> int:
    """Bytes of a sector: what a real disk says, else what the GPT on it was made for, else 512."""
    own = getattr(device, "sector_size", None)
    if isinstance(own, int) and getattr(device, "is_real_disk", True):
        return own
    for size in SECTOR_SIZES:
        try:
            if read_table(device, size).scheme == "GPT":
                return size
        except FormatError:
            continue
    return SECTOR_SIZES[0]


def survey_disk(
    device: BlockDevice, *, clock: Clock, code_page: str = "cp850", sector_size: int | None = None
) -> DiskSurvey | Survey:
    """Find out what is on a disk; nothing is written to it. A disk without a table is surveyed like a partition.

    A partition whose file system is damaged or reaches beyond it is taken as it is, with a warning. Raises FormatError for a
    damaged table, StorageError for partitions that overlap or leave the disk.
    """
    sectors = sector_size or sector_size_of(device)
    table, table_bytes = read_with_bytes(device, sectors)
    # The boot sector of a FAT volume can pass for an empty table.
    if table.scheme is None or (not table.partitions and detect(device) is not None):
        whole = survey(device, clock=clock, code_page=code_page)
        return Survey(whole.device, whole.facts._replace(whole_disk=True), whole.used)
    _check_places(table)
    warnings = list(table.warnings)
    used, content = Ranges(), Ranges()
    facts: dict[int, Facts] = {}
    boots = []
    position = 0
    outside = Ranges(merge([*table_ranges(table), *_tracks(device, table)]))
    for each in leaves(table):
        _extend(used, outside.part(position, each.start), position)
        _extend(content, outside.part(position, each.start), position)
        part = SliceDevice(device, each.start, each.size, f"partition {each.number}")
        found = _survey_partition(part, each.number, clock, code_page, warnings)
        _extend(used, found.used, each.start)
        _extend(content, found.used.common(data_of(part)), each.start)
        facts[each.number] = found.facts
        boots.append(part.read(0, min(BOOT_SIZE, part.size)))
        position = each.end
    _extend(used, outside.part(position, device.size), position)
    _extend(content, outside.part(position, device.size), position)
    simple = used.simplify()
    disk = DiskFacts(
        str(table.scheme), device.size, sectors, _ident(device, table), simple.total,
        tuple(_described(each, facts.get(each.number)) for each in table.partitions), clock.now_ns(), WRITER,
    )
    return DiskSurvey(
        device, disk, simple, content if simple is used else simple, b"".join(boots), table_bytes, tuple(warnings)
    )


def capture_disk(
    device: BlockDevice, sink: FrameSink, *, clock: Clock, level: int = 3, threads: int | None = None, chunk_size: int | None = None,
    long: bool = False, code_page: str = "cp850", sector_size: int | None = None, events: Sink = ignore,
    sign: Callable[[bytes], Signature] | None = None, origin: Provenance | None = None,
) -> Summary:
    """Write the archive of a disk; the options are those of `capture`. The same disk, clock and options give the same bytes.

    A disk without a partition table gives a full archive of all of it. Warnings (of the table, of damaged file systems) go to `events`.
    """
    found = survey_disk(device, clock=clock, code_page=code_page, sector_size=sector_size)
    if isinstance(found, Survey):
        return capture(
            found, sink, level=level, threads=threads, chunk_size=chunk_size, long=long, events=events, sign=sign, origin=origin
        )
    for text in found.warnings:
        events(Event(Kind.WARNING, {"text": text}))
    return write_disk(
        found, sink, level=level, threads=threads, chunk_size=chunk_size, long=long, events=events, sign=sign, origin=origin
    )


def write_disk(
    found: DiskSurvey, sink: FrameSink, *, level: int = 3, threads: int | None = None, chunk_size: int | None = None,
    long: bool = False, events: Sink = ignore, sign: Callable[[bytes], Signature] | None = None, origin: Provenance | None = None,
) -> Summary:
    """Write the archive of a disk that was surveyed."""
    chunk_size = chunk_size or (LONG_CHUNK_SIZE if long else CHUNK_SIZE)
    facts = found.facts if origin is None else found.facts._replace(**origin._asdict())
    sections = {BOOT: found.boots, USED: found.used.pack(), TABLE_BYTES: found.table_bytes.pack()}
    header = Header(ArchiveKind.DISK, chunk_size, facts.size, facts.to_meta(), sections)
    reader = CellReader(found.device, found.used, chunk_size)
    with (
        ArchiveWriter(sink, header, level=level, threads=threads, long=long) as writer,
        progress(events, "capture", found.content.total) as state,
    ):
        for start, end, _ in facts.regions():
            used, content = found.used.part(start, end), found.content.part(start, end)
            add_region(writer, used, content, start=start, size=end - start, chunk_size=chunk_size, later=reader.later, state=state)
        return writer.finish(sign)


def _check_places(table: Table) -> None:
    if len(table.partitions) > MAX_PARTITIONS:
        raise StorageError(f"the disk has {len(table.partitions)} partitions, a disk archive holds at most {MAX_PARTITIONS}")
    for each in table.partitions:
        if each.end > table.disk_size:
            raise StorageError(
                f"partition {each.number} reaches to byte {each.end}, but the disk ends at byte {table.disk_size}",
                hint="is the image cut short?",
            )
    position, before = 0, "the partition table"
    own = [(start, end, "the partition table") for start, end in merge(table_ranges(table))]
    for start, end, name in sorted([*own, *((each.start, each.end, f"partition {each.number}") for each in leaves(table))]):
        if start < position:
            raise StorageError(
                f"{before} and {name} overlap: the disk cannot be captured as a whole", hint="capture its partitions one by one"
            )
        position, before = end, name


def _tracks(device: BlockDevice, table: Table) -> Iterator[tuple[int, int]]:
    """What boot loaders may use outside of partitions."""
    first = min((each.start for each in table.partitions), default=min(_NO_PARTITIONS, device.size))
    if first <= _WHOLE_TRACK:
        yield 0, first
    else:
        yield from _not_zero(device, min(first, _FAR_TRACK))
    starts = [each.start for each in leaves(table)]
    for start in table.table_starts[1:]:
        following = min((each for each in (*starts, *table.table_starts) if each > start), default=device.size)
        end = max((each.end for each in table.partitions if each.is_extended and each.start == start), default=following)
        yield start, min(following, max(end, start + table.sector_size), start + _NESTED_TRACK)


def _not_zero(device: BlockDevice, end: int) -> Iterator[tuple[int, int]]:
    zeros = bytes(_STEP)
    for low, high in data_ranges_of(device, 0, end):
        for at in range(low // _STEP * _STEP, high, _STEP):
            piece = device.read(at, min(_STEP, end - at))
            if piece != zeros[: len(piece)]:
                yield at, at + len(piece)


def _survey_partition(part: SliceDevice, number: int, clock: Clock, code_page: str, warnings: list[str]) -> Survey:
    try:
        return survey(part, clock=clock, code_page=code_page)
    except BpscriptError as error:
        warnings.append(f"partition {number} is taken as it is, with its unused blocks: {error.message}")
        return Survey(part, Facts(size=part.size, volume_size=part.size, used=part.size), Ranges([(0, part.size)]))


def _extend(ranges: Ranges, more: Iterable[tuple[int, int]], distance: int) -> None:
    for start, end in more:
        ranges.append(distance + start, distance + end)


def _described(each: Partition, facts: Facts | None) -> DiskPartition:
    kind = f"0x{each.type:02x}" if isinstance(each.type, int) else str(each.type).upper()
    return DiskPartition(each.number, each.start, each.size, kind, each.name, each.boot, facts)


def _ident(device: BlockDevice, table: Table) -> str:
    if table.gpt is not None:
        return str(table.gpt.header.disk_guid).upper()
    return f"0x{int.from_bytes(device.read(440, 4), 'little'):08x}"
