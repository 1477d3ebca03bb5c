"""Reading and writing MBR tables, also those of other programs and broken ones."""

import struct
from pathlib import Path

import pytest

from bpscript.base.entropy import Entropy
from bpscript.base.errors import FormatError, NotFoundError
from bpscript.base.units import MIB
from bpscript.blocks.device import BlockDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.partitions.boot import boot_code
from bpscript.partitions.geometry import Geometry, firmware_geometry
from bpscript.partitions.mbr import ENTRY
from bpscript.partitions.plan import plan_partitions
from bpscript.partitions.table import cache_range, open_partition, read_table
from bpscript.partitions.types import MAX_TABLES
from tests.oracles import fdisk, fdisk_rows, parted
from tests.partitions.disks import listed, places, put, sparse


def write_table(device: BlockDevice, place: int, *rows: tuple[int, int, int, int]) -> None:
    """A signed table sector; rows are flag, type, start and count in sectors."""
    entries = b"".join(ENTRY.pack(flag, bytes(3), kind, bytes(3), start, count) for flag, kind, start, count in rows)
    device.write(place, bytes(446) + entries.ljust(64, b"\0") + b"\x55\xaa")


# What other programs make


def test_a_table_made_by_parted_is_read(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 800)
    parted(
        tmp_path / "disk", "mklabel", "msdos", "mkpart", "primary", "fat16", "2048", "204800", "mkpart", "extended", "206848", "100%",
        "mkpart", "logical", "ext2", "208896", "409599", "mkpart", "logical", "linux-swap", "411648", "100%", "set", "5", "boot", "on",
    )
    table = read_table(disk)
    assert [(each.number, each.type, each.start // 512, each.end // 512, each.boot) for each in table.partitions] == [
        (1, 0x0E, 2048, 204801, False),
        (2, 0x0F, 206848, 1638400, False),
        (5, 0x83, 208896, 409600, True),
        (6, 0x05, 411520, 1638400, False),
        (9, 0x82, 411648, 1638400, False),
    ]
    text = table.to_list()
    assert text == "BIGDOS-LBA:99 EXT-LBA:699 EMPTY EMPTY LINUX-EXT2:99 EXT:599 EMPTY EMPTY LINUX-SWAP:599"
    assert put(disk, text).moves_nothing


def test_a_table_for_sectors_of_4096_bytes_is_read_and_written(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    disk = sparse(image, 800)
    fdisk(image, 4096, "o", "n", "p", "1", "256", "25855", "n", "e", "2", "25856", "", "n", "l", "26368", "+49999", "w")
    assert places(read_table(disk, 4096)) == {1: (1, 100), 2: (101, 699), 5: (103, 195.3125)}
    assert listed(disk, 4096) == "LINUX-EXT2:100 EXT:699 EMPTY EMPTY LINUX-EXT2:197"
    assert put(disk, listed(disk, 4096), sector_size=4096).moves_nothing
    put(disk, "BIGDOS:60 EXT:* EMPTY EMPTY LINUX-EXT2:*", sector_size=4096)
    assert listed(disk, 4096) == "BIGDOS:60 EXT:739 EMPTY EMPTY LINUX-EXT2:739"
    assert fdisk_rows(image, 4096) == [(each.start, each.size) for each in read_table(disk, 4096).partitions]


# Chains that cannot be followed


def test_a_chain_that_loops_ends_with_a_warning(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 200)
    write_table(disk, 0, (0, 5, 2048, 300_000))
    write_table(disk, MIB, (0, 6, 2048, 4096), (0, 5, 8192, 100))
    write_table(disk, MIB + 8192 * 512, (0, 6, 2048, 4096), (0, 5, 0, 100))
    table = read_table(disk)
    assert [each.number for each in table.partitions] == [1, 5, 6, 9]
    assert table.warnings == ("extended partition 10 leads back to byte 1048576: the chain loops and ends there",)
    put(disk, table.to_list())                  # setting what was read mends it
    assert read_table(disk).warnings == ()
    assert places(read_table(disk)) == places(table)


def test_an_extended_partition_that_is_the_mbr_itself_is_none(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 10)
    write_table(disk, 0, (0, 5, 0, 10_000), (0, 6, 2048, 100))
    table = read_table(disk)
    assert [each.number for each in table.partitions] == [2]
    assert table.warnings == ("extended partition 1 leads back to byte 0: the chain loops and ends there",)


def test_a_chain_that_leaves_the_disk_ends_with_a_warning(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 200)
    write_table(disk, 0, (0, 5, 2048, 300_000))
    write_table(disk, MIB, (0, 6, 2048, 4096), (0, 5, 900_000, 100))
    table = read_table(disk)
    assert [each.number for each in table.partitions] == [1, 5]
    assert len(table.warnings) == 1
    assert "the table of extended partition 6, at byte 461848576, is outside the disk" in table.warnings[0]
    assert listed(disk) == "EXT:146 EMPTY EMPTY EMPTY BIGDOS:3"


def test_an_extended_partition_without_a_table_is_empty_and_gets_one(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 200)
    write_table(disk, 0, (0, 6, 2048, 4096), (0, 15, 20480, 204_800))
    table = read_table(disk)
    assert table.warnings == ("the table of extended partition 2, at byte 10485760, has no signature: it holds no partitions",)
    put(disk, table.to_list())
    assert read_table(disk).warnings == ()
    assert disk.read(10485760 + 510, 2) == b"\x55\xaa"


def test_a_long_chain_is_read_up_to_the_limit(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 200)
    write_table(disk, 0, (0, 5, 2048, 300_000))
    for index in range(400):
        write_table(disk, MIB + index * 1024, (0, 6, 1, 1), (0, 5, 2 * (index + 1), 2))
    table = read_table(disk)
    assert len(table.table_starts) == MAX_TABLES
    assert table.warnings[0] == "more than 256 nested tables: the chain of extended partitions is not read further"


def test_of_two_extended_partitions_in_one_table_the_first_is_read(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 200)
    write_table(disk, 0, (0, 5, 2048, 4096), (0, 5, 8192, 4096))
    write_table(disk, MIB, (0, 6, 1, 1))
    write_table(disk, 4 * MIB, (0, 7, 1, 1))
    table = read_table(disk)
    assert [(each.number, each.type) for each in table.partitions] == [(1, 5), (2, 5), (5, 6)]
    assert "partition 2 is a second extended partition in one table: its table is not read" in table.warnings


# Entries that cannot be


def test_a_partition_beyond_the_disk_is_listed_with_a_warning_and_refused_when_used(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    write_table(disk, 0, (0, 6, 2048, 4096), (0, 0x83, 8192, 400_000))
    table = read_table(disk)
    words = "partition 2 reaches to byte 208994304, but the disk ends at byte 104857600"
    assert table.warnings == (words,)
    assert table.to_list() == "BIGDOS:2 LINUX-EXT2:195"
    assert open_partition(disk, table, 1).size == 2 * MIB
    with pytest.raises(FormatError, match=words):
        open_partition(disk, table, 2)
    assert cache_range(disk, table) == (disk.size, disk.size)
    with pytest.raises(Exception, match=r"partition 2 \(LINUX-EXT2:195\) does not fit: it reaches to byte 208994304 of a disk of"):
        put(disk, table.to_list())


def test_overlapping_partitions_get_a_warning(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    write_table(disk, 0, (0, 6, 2048, 40960), (0, 6, 50000, 10), (0, 0x83, 4096, 100), (0, 0x83, 43007, 10))
    assert read_table(disk).warnings == ("partitions 1 and 3 overlap", "partitions 1 and 4 overlap")


def test_an_entry_without_length_is_unused(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    write_table(disk, 0, (0, 6, 2048, 0), (0, 6, 4096, 2048))
    table = read_table(disk)
    assert table.to_list() == "EMPTY BIGDOS:1"
    assert table.warnings == ("partition 1 has type 6 but no length: taken as unused",)


def test_an_unused_entry_cannot_be_opened(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    put(disk, "BIGDOS:10")
    with pytest.raises(NotFoundError, match="no partition 3: the entry is unused"):
        open_partition(disk, read_table(disk), 3)


def test_a_disk_without_a_signature_has_an_empty_list(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    table = read_table(disk)
    assert (table.scheme, table.to_list(), table.warnings) == (None, "", ())
    assert cache_range(disk, table) == (MIB, 100 * MIB)
    assert read_table(MemoryDevice(100)).scheme is None
    assert cache_range(MemoryDevice(100), read_table(MemoryDevice(100))) == (100, 100)


def test_a_file_system_on_the_whole_disk_is_no_table_and_no_room_for_a_cache(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    disk.write(0, b"\xeb\x3c\x90MSDOS5.0" + bytes(range(256)) * 2)
    disk.write(510, b"\x55\xaa")
    table = read_table(disk)
    assert (table.scheme, table.warnings) == (None, ("sector 0 has a signature but holds no partition table",))
    assert cache_range(disk, table) == (disk.size, disk.size)


def test_unused_entries_at_the_end_are_left_out_and_unknown_types_are_numbers(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    write_table(disk, 0, (0, 165, 2048, 3000), (0, 0, 0, 0), (0, 1, 8192, 500))
    assert listed(disk) == "165:1 EMPTY 1:1"


# Writing


def test_chs_fields_are_the_firmwares(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 2000)
    put(disk, "BIGDOS:500 EXT:1400 EMPTY EMPTY BIGDOS:1400")
    geometry = firmware_geometry(disk.size)
    assert geometry == Geometry(64)
    for place, start in ((0, MIB), (501 * MIB, 502 * MIB)):
        _, first, _, last, lba, count = ENTRY.unpack(disk.read(place + 446, 16))
        assert geometry.decode(first) * 512 == start
        assert geometry.decode(last) == geometry.decode(first) + count - 1
        assert lba * 512 == start - place


def test_another_geometry_can_be_given(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    plan_partitions("BIGDOS:50", disk, geometry=Geometry(5, 17), entropy=Entropy()).apply(disk)
    assert Geometry(5, 17).decode(disk.read(447, 3)) == 2048


def test_partitions_beyond_cylinder_1023_say_so(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 20_000)
    put(disk, "LINUX-EXT2:9000 LINUX-EXT2:9000")
    assert disk.read(446 + 16 + 1, 3) == disk.read(446 + 16 + 5, 3) == b"\xfe\xff\xff"


def test_the_start_of_a_nested_entry_counts_from_the_first_extended_one(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 1000)
    put(disk, "EXT:900 EMPTY EMPTY EMPTY BIGDOS:100 EXT:700 EMPTY EMPTY BIGDOS:100 EXT:500")
    assert struct.unpack("<I", disk.read(MIB + 446 + 16 + 8, 4)) == (100 * 2048,)
    assert struct.unpack("<I", disk.read(101 * MIB + 446 + 16 + 8, 4)) == (200 * 2048,)
    assert read_table(disk).table_starts == (0, MIB, 101 * MIB, 201 * MIB)


@pytest.mark.parametrize("start", [b"\xeb\x3c\x90MSDOS5.0\x00\x02\x08", b"\xeb\x52\x90NTFS    \x00\x02\x08", b"\xeb\x76\x90EXFAT   "], ids=["fat", "ntfs", "exfat"])
def test_a_volume_without_boot_code_is_no_empty_table(start: bytes) -> None:
    disk = MemoryDevice(bytes(4 * MIB))
    write_table(disk, 0)
    disk.write(0, start)
    assert read_table(disk).scheme is None
    write_table(disk, 0, (0x80, 0x0C, 2048, 2048))
    disk.write(0, start)
    assert [each.type for each in read_table(disk).partitions] == [0x0C]        # a volume's jump before a real table changes nothing


def test_a_blank_disk_gets_boot_code_and_a_disk_signature(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    put(disk, "BIGDOS:50", seed="one")
    assert disk.read(0, 440) == boot_code("MBR")
    one = disk.read(440, 4)
    assert one != bytes(4)
    put(disk, "BIGDOS:60", seed="two")
    assert disk.read(440, 4) == one


def test_the_boot_code_of_a_signed_sector_is_kept(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    disk.write(0, b"someone's own boot code".ljust(446, b"."))
    disk.write(510, b"\x55\xaa")
    put(disk, "BIGDOS:50")
    assert disk.read(0, 446) == b"someone's own boot code".ljust(446, b".")


def test_contents_of_partitions_are_not_touched(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    for megabyte in range(1, 100):
        disk.write(megabyte * MIB, b"%d" % megabyte * 200)
    put(disk, "BIGDOS:50 LINUX-EXT2:*")
    assert all(disk.read(megabyte * MIB, 3).startswith(b"%d" % megabyte) for megabyte in range(1, 100))


def test_the_same_seed_makes_the_same_disk(tmp_path: Path) -> None:
    first, second = sparse(tmp_path / "first", 100), sparse(tmp_path / "second", 100)
    for text in ("EXT:50 EMPTY EMPTY EMPTY BIGDOS:40", "GPT EFI:20 NTFS:30"):
        put(first, text, seed="x")
        put(second, text, seed="x")
        assert first.read(0, 3 * MIB) == second.read(0, 3 * MIB)
