"""Boot flags, boot code, and cleaning (language.md 8.7)."""

from pathlib import Path

import pytest

from bpscript.base.errors import NotFoundError, StorageError
from bpscript.base.units import MIB
from bpscript.blocks.memory import MemoryDevice
from bpscript.partitions.boot import boot_code, boot_partition, clean_extended, set_boot_partition, write_boot_code
from bpscript.partitions.table import end_of_last_partition, open_partition, read_table
from tests.oracles import sfdisk_table
from tests.partitions.disks import listed, put, sparse

NESTED = "BIGDOS:10 EXT:80 EMPTY EMPTY BIGDOS:40 EXT:40 EMPTY EMPTY LINUX-EXT2:40"


@pytest.mark.parametrize("number", [1, 2, 5, 6, 9])
def test_any_used_entry_can_be_the_boot_partition(tmp_path: Path, number: int) -> None:
    disk = sparse(tmp_path / "disk", 100)
    put(disk, NESTED)
    for first in (1, 9):
        set_boot_partition(disk, read_table(disk), first)
        set_boot_partition(disk, read_table(disk), number)
        assert [each.number for each in read_table(disk).partitions if each.boot] == [number]
        assert boot_partition(read_table(disk)) == number
    assert listed(disk) == NESTED
    bootable = [row["node"][-1] for row in sfdisk_table(tmp_path / "disk")["partitions"] if row.get("bootable")]
    assert bootable == {1: ["1"], 2: ["2"], 5: ["5"], 6: [], 9: ["6"]}[number]


def test_zero_clears_every_flag(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    put(disk, NESTED)
    set_boot_partition(disk, read_table(disk), 9)
    set_boot_partition(disk, read_table(disk), 0)
    assert boot_partition(read_table(disk)) == 0


def test_an_unused_entry_is_refused(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    put(disk, NESTED)
    for number in (3, 7, 100, -1):
        with pytest.raises(NotFoundError, match=f"no partition {number}: the entry is unused, so it cannot be the boot partition"):
            set_boot_partition(disk, read_table(disk), number)


def test_a_new_table_has_no_flags(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    for text in (NESTED, "GPT EFI:10"):
        put(disk, text)
        set_boot_partition(disk, read_table(disk), 1)
        assert put(disk, text).moves_nothing
        assert boot_partition(read_table(disk)) == 0


def test_fresh_boot_code_keeps_the_table(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    for text, code in ((NESTED, boot_code("MBR")), ("GPT EFI:10", boot_code("GPT"))):
        put(disk, text)
        behind = disk.read(440, MIB)
        disk.write(0, b"broken" * 70)
        write_boot_code(disk)
        assert disk.read(0, 440) == code
        assert disk.read(440, MIB) == behind
        assert listed(disk) == text


def test_fresh_boot_code_on_a_blank_disk_makes_an_empty_table(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 10)
    write_boot_code(disk)
    assert read_table(disk).scheme == "MBR"
    assert read_table(disk).partitions == ()
    with pytest.raises(StorageError, match="a disk of 100 bytes has no room for boot code"):
        write_boot_code(MemoryDevice(100))


def test_a_cleaned_extended_partition_is_empty(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    put(disk, NESTED)
    clean_extended(disk, read_table(disk), 6)
    assert listed(disk) == NESTED.removesuffix(" EMPTY EMPTY LINUX-EXT2:40")
    clean_extended(disk, read_table(disk), 2)
    assert listed(disk) == "BIGDOS:10 EXT:80"
    assert open_partition(disk, read_table(disk), 2).read(510, 2) == b"\x55\xaa"


def test_only_an_extended_partition_is_cleaned_so(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    put(disk, NESTED)
    for number in (1, 3):
        with pytest.raises(NotFoundError, match=f"partition {number} is not an extended partition"):
            clean_extended(disk, read_table(disk), number)


def test_an_extended_partition_is_opened_as_a_whole(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    put(disk, NESTED)
    table = read_table(disk)
    assert (open_partition(disk, table, 2).start, open_partition(disk, table, 2).size) == (11 * MIB, 80 * MIB)
    assert end_of_last_partition(table) == 91 * MIB


@pytest.mark.parametrize(
    ("text", "families", "widths", "formats"),
    [
        ("BIGDOS:40", {"FAT"}, {"FAT12", "FAT16"}, "FAT"),
        ("1:10", {"FAT"}, {"FAT12", "FAT16"}, "FAT"),
        ("FAT32-LBA:40", {"FAT"}, {"FAT32"}, "FAT32"),
        ("NTFS:40", {"NTFS"}, None, None),
        ("LINUX-EXT2:40", {"Linux"}, None, "LINUX"),
        ("LINUX-SWAP:40", {"swap"}, None, "SWAP"),
        ("EXT:40", {"other"}, None, "EXTENDED"),
        ("165:40", {"other"}, None, None),
        ("GPT EFI:40", {"FAT"}, None, "FAT32"),
        ("GPT BIGDOS:40", {"FAT", "NTFS"}, None, "FAT"),
        ("GPT FAT32:40", {"FAT", "NTFS"}, None, "FAT32"),
        ("GPT NTFS:40", {"FAT", "NTFS"}, None, None),
        ("GPT LINUX-ROOT:40", {"Linux"}, None, "LINUX"),
        ("GPT LINUX-SWAP:40", {"swap"}, None, "SWAP"),
        ("GPT MSR:40", {"other"}, None, None),
    ],
)
def test_what_belongs_on_a_type(tmp_path: Path, text: str, families: set[str], widths: set[str] | None, formats: str | None) -> None:
    disk = sparse(tmp_path / "disk", 100)
    put(disk, text)
    (partition,) = read_table(disk).partitions
    assert partition.families == families
    assert partition.fat_widths == widths
    assert partition.format() == formats
