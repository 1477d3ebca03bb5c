"""Any bytes open as a table, or raise FormatError; nothing else, and never a loop. What opened can be replaced."""

import random
import zlib
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.base.errors import FormatError, NotFoundError
from bpscript.base.units import MIB
from bpscript.blocks.memory import MemoryDevice
from bpscript.partitions.boot import boot_partition, set_boot_partition, write_boot_code
from bpscript.partitions.mbr import ENTRY
from bpscript.partitions.spec import PartitionListError
from bpscript.partitions.table import cache_range, open_partition, read_table
from tests.partitions.disks import put

SIZE = 8 * MIB
SECTORS = SIZE // 512
ROWS = st.lists(
    st.builds(
        ENTRY.pack,
        st.sampled_from([0, 0x80]),
        st.just(bytes(3)),
        st.sampled_from([0, 5, 6, 15, 0x83, 0xEE]),
        st.just(bytes(3)),
        st.one_of(st.integers(0, SECTORS // 512), st.sampled_from([0, 1, 2, 3, SECTORS - 1, SECTORS, 0xFFFF_FFFF])),
        st.one_of(st.integers(0, SECTORS), st.just(0xFFFF_FFFF)),
    ),
    min_size=4, max_size=4,
).map(b"".join)


def use(disk: MemoryDevice) -> None:
    """Everything a script can do with a table."""
    try:
        table = read_table(disk)
    except FormatError:
        table = None
    if table is not None:
        text = table.to_list(lambda each: None)
        start, end = cache_range(disk, table)
        assert 0 <= start <= end <= disk.size
        assert all(start >= each.end for each in table.partitions) or start == end
        for each in table.partitions:
            try:
                open_partition(disk, table, each.number).read(0, 512)
            except (FormatError, NotFoundError):
                assert each.end > disk.size
        try:
            plan = put(disk, text)
        except PartitionListError:
            pass
        else:
            again = read_table(disk)
            assert (again.scheme, again.partitions, again.table_starts) == (plan.after.scheme, plan.after.partitions, plan.after.table_starts)
        table = read_table(disk)
        for number in [each.number for each in table.partitions[:3]]:
            set_boot_partition(disk, read_table(disk), number)
            assert boot_partition(read_table(disk)) in {number, 0}
    write_boot_code(disk)
    for text in ("BIGDOS:2 EXT:4 EMPTY EMPTY BIGDOS:2", "GPT EFI:2 NTFS:3"):
        put(disk, text)
        assert read_table(disk).to_list() == text
        assert read_table(disk).warnings == ()


@settings(max_examples=120, deadline=None)
@given(st.dictionaries(st.integers(0, 20), ROWS, min_size=1, max_size=12))
def test_any_chain_of_tables(tables: dict[int, bytes]) -> None:
    disk = MemoryDevice(SIZE)
    for sector, rows in {0: bytes(64), **tables}.items():
        disk.write(sector * 512 + 446, rows + b"\x55\xaa")
    use(disk)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=2048), st.booleans())
def test_any_first_sectors(content: bytes, signed: bool) -> None:
    disk = MemoryDevice(SIZE)
    disk.write(0, content)
    if signed:
        disk.write(510, b"\x55\xaa")
    use(disk)


@cache
def a_gpt() -> bytes:
    disk = MemoryDevice(SIZE)
    put(disk, "GPT EFI:2 NTFS:3 LINUX-EXT2:1")
    return disk.read(0, SIZE)


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.booleans())
def test_any_damage_to_a_gpt(seed: int, changes: int, checksums: bool) -> None:
    """Also damage that puts the checksums right again."""
    dice = random.Random(seed)
    disk = MemoryDevice(a_gpt())
    places = [446, 512 + 8, 1024, SIZE - 512, SIZE - 33 * 512]
    for _ in range(changes):
        place = dice.choice(places) + dice.randrange(128)
        disk.write(min(place, SIZE - 1), bytes([dice.choice([0, 1, 0xFF, dice.randrange(256)])]))
    if checksums:
        for header, array in ((512, 1024), (SIZE - 512, SIZE - 33 * 512)):
            disk.write(header + 88, zlib.crc32(disk.read(array, 128 * 128)).to_bytes(4, "little"))
            disk.write(header + 16, bytes(4))
            disk.write(header + 16, zlib.crc32(disk.read(header, 92)).to_bytes(4, "little"))
    use(disk)


def test_a_disk_of_any_size() -> None:
    for size in (0, 1, 511, 512, 513, 1024, 4096, MIB - 1, MIB):
        disk = MemoryDevice(b"\x55\xaa" * (size // 2) + b"\x55" * (size % 2))
        table = read_table(disk)
        start, end = cache_range(disk, table)
        assert 0 <= start <= end <= size
