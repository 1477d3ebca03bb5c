"""A table on a disk of another size: every partition where it was, and a table that other programs find right."""

import functools
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.base.errors import StorageError
from bpscript.base.units import MIB
from bpscript.blocks.device import BlockDevice
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.blocks.overlay import OverlayDevice
from bpscript.blocks.readonly import ReadOnlyDevice
from bpscript.blocks.slice import SliceDevice
from bpscript.partitions.geometry import Geometry, firmware_geometry
from bpscript.partitions.mbr import parse_entries
from bpscript.partitions.moving import MovedTable, leaves, move_table, table_ranges
from bpscript.partitions.table import read_table
from tests.oracles import fdisk_rows, parted, run_tool, sfdisk, sfdisk_table, sfdisk_verify, sgdisk_verify
from tests.partitions.disks import put, sparse


def moved_to(path: Path, source: Path, size: int, *, source_sectors: int = 512, **options: object) -> MovedTable:
    """The table of one image on a new one of `size` bytes."""
    with FileDevice(source, writable=False) as old, FileDevice.create(path, size) as new:
        moved = move_table(read_table(old, source_sectors), ReadOnlyDevice(old), size, **options)  # type: ignore[arg-type]
        write(new, moved)
    return moved


def write(device: BlockDevice, moved: MovedTable) -> None:
    for offset, data in moved.writes:
        device.write(offset, data)


@pytest.fixture
def gpt(tmp_path: Path) -> Path:
    path = tmp_path / "gpt.img"
    sparse(path, 100).close()
    run_tool([
        "sgdisk", "-a", "1", "-n", "1:34:2047", "-t", "1:ef02", "-n", "2:2048:+20M", "-t", "2:0700", "-c", "2:Ürümqi", "-A", "2:set:0", "-A", "2:set:63",
        "-n", "9:0:+30M", "-t", "9:8300", path,
    ])
    return path


@pytest.mark.parametrize("size", [60 * MIB, 99 * MIB + 1234, 3000 * MIB])
def test_a_gpt_keeps_everything_but_what_the_size_of_the_disk_says(gpt: Path, size: int, tmp_path: Path) -> None:
    moved_to(tmp_path / "new", gpt, size)
    sgdisk_verify(tmp_path / "new")
    sfdisk_verify(tmp_path / "new")
    old, new = sfdisk_table(gpt), sfdisk_table(tmp_path / "new")
    assert [{**each, "node": ""} for each in new["partitions"]] == [{**each, "node": ""} for each in old["partitions"]]
    assert new["id"] == old["id"]
    assert (new["firstlba"], new["lastlba"]) == (34, size // 512 - 34)
    with FileDevice(tmp_path / "new", writable=False) as device:
        entry = parse_entries(device.read(0, 512))[0]
        assert (entry.type, entry.start, entry.sector_count) == (0xEE, 1, size // 512 - 1)
        table = read_table(device)
        assert table.warnings == ()
        assert table.gpt is not None
        assert table.gpt.backup is not None
        assert (table.gpt.backup.own_lba, table.gpt.backup.array_lba) == (size // 512 - 1, size // 512 - 33)


def test_nothing_changes_where_nothing_has_to(gpt: Path, tmp_path: Path) -> None:
    mbr = tmp_path / "mbr.img"
    sparse(mbr, 50).close()
    sfdisk(mbr, "label: dos\n2048,8M,c,*\n,,5\n,4M,82\n,12M,83\n,6M,6\n")
    for path in (gpt, mbr):
        moved_to(tmp_path / "new", path, path.stat().st_size)
        with FileDevice(path, writable=False) as device:
            ranges = table_ranges(read_table(device))
        for start, end in ranges:
            assert (tmp_path / "new").read_bytes()[start:end] == path.read_bytes()[start:end]
        (tmp_path / "new").unlink()


@pytest.mark.parametrize(("size", "end"), [(180 * MIB, 179 * MIB), (60 * MIB, 59 * MIB), (100 * MIB, 99 * MIB)], ids=["grown", "shrunk", "same"])
def test_the_last_partition_of_a_gpt_ends_where_the_disk_does(gpt: Path, size: int, end: int, tmp_path: Path) -> None:
    moved = moved_to(tmp_path / "new", gpt, size, resize_last=True)
    sgdisk_verify(tmp_path / "new")
    assert moved.resized == 9
    assert moved.get(9).end == end
    assert sfdisk_table(tmp_path / "new")["partitions"][-1]["size"] * 512 == moved.get(9).size


def test_a_partition_that_fills_the_disk_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "full.img"
    sparse(path, 20).close()
    run_tool(["sgdisk", "-n", "1:2048:0", path])
    moved = moved_to(tmp_path / "new", path, 20 * MIB, resize_last=True)
    assert moved.resized is None
    with FileDevice(path, writable=False) as device:
        assert moved.partitions == read_table(device).partitions


def test_one_good_copy_is_enough_and_both_are_good_afterwards(gpt: Path, tmp_path: Path) -> None:
    for place in (512, 100 * MIB - 512):
        disk = bytearray(gpt.read_bytes())
        disk[place + 20] ^= 0x55
        device = MemoryDevice(bytes(disk))
        table = read_table(device)
        assert table.warnings != ()
        with FileDevice.create(tmp_path / f"new{place}", 100 * MIB) as new:
            write(new, move_table(table, device, 100 * MIB))
        sgdisk_verify(tmp_path / f"new{place}")


def test_an_entry_array_elsewhere_stays_there(tmp_path: Path) -> None:
    """Boards whose boot loader begins at sector 16 keep the array behind it."""
    path = tmp_path / "board.img"
    sparse(path, 40).close()
    run_tool(["sgdisk", "-j", "4096", "-n", "1:8192:+10M", path])
    moved_to(tmp_path / "new", path, 70 * MIB, resize_last=True)
    sgdisk_verify(tmp_path / "new")
    with FileDevice(tmp_path / "new", writable=False) as device:
        table = read_table(device)
    assert table.gpt is not None
    assert table.gpt.header.array_lba == 4096


def test_the_other_entries_of_a_hybrid_mbr_follow(tmp_path: Path) -> None:
    path = tmp_path / "hybrid.img"
    sparse(path, 64).close()
    run_tool(["sgdisk", "-n", "1:2048:+10M", "-n", "2:0:+20M", "-h", "2", path])
    for size, resize_last in ((200, False), (200, True), (40, True)):
        new = tmp_path / f"new{size}{resize_last}"
        moved = moved_to(new, path, size * MIB, resize_last=resize_last)
        sfdisk_verify(new)
        with FileDevice(new, writable=False) as device:
            entries = parse_entries(device.read(0, 512))
        second = moved.get(2)
        assert [(each.start * 512, each.sector_count * 512) for each in entries if each.type not in {0, 0xEE}] == [(second.start, second.size)]
        assert all((each.start + each.sector_count) * 512 <= size * MIB for each in entries)
    with FileDevice(path, writable=False) as device, pytest.raises(StorageError, match="its hybrid MBR is made for sectors of 512 bytes, the target has 4096"):
        move_table(read_table(device), device, 64 * MIB, sector_size=4096)


# --- MBR -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mbr(tmp_path: Path) -> Path:
    path = tmp_path / "mbr.img"
    sparse(path, 64).close()
    sfdisk(path, "label: dos\nlabel-id: 0x12345678\n2048,8M,c,*\n,30M,5\n,,83\n,4M,82\n,12M,83\n,6M,6\n")
    return path


def test_logical_partitions_take_their_extended_one_along(mbr: Path, tmp_path: Path) -> None:
    with FileDevice(mbr) as device:
        # The primary one behind goes, so that the last logical one is the last on the disk.
        device.write(446 + 32, bytes(16))
    for size in (48, 100, 700):
        new = tmp_path / f"{size}.img"
        moved = moved_to(new, mbr, size * MIB, resize_last=True)
        sfdisk_verify(new)
        old_rows, rows = sfdisk_table(mbr)["partitions"], sfdisk_table(new)["partitions"]
        assert [each["start"] for each in rows] == [each["start"] for each in old_rows]
        ends = {each["node"].removeprefix(str(new)): each["start"] + each["size"] for each in rows}
        assert ends["2"] == ends["7"] == size * MIB // 512
        assert [each["size"] for each in rows if not each["node"].endswith(("2", "7"))] == [
            each["size"] for each in old_rows if not each["node"].endswith(("2", "7"))
        ]
        assert moved.resized == 13
        assert sfdisk_table(new)["id"] == "0x12345678"


def test_chs_fields_follow_the_geometry_of_the_target(mbr: Path, tmp_path: Path) -> None:
    moved = moved_to(tmp_path / "new", mbr, 3000 * MIB)
    assert moved.geometry == Geometry(128) == firmware_geometry(3000 * MIB)
    sfdisk_verify(tmp_path / "new")
    with FileDevice(tmp_path / "new", writable=False) as device:
        for table_start in read_table(device).table_starts[1:]:
            row = device.read(table_start + 446, 16)
            first = table_start // 512 + int.from_bytes(row[8:12], "little")
            assert Geometry(128).decode(row[1:4]) == first
    with FileDevice(mbr, writable=False) as device:
        assert move_table(read_table(device), device, 100 * MIB).geometry is None
        assert move_table(read_table(device), device, 64 * MIB, geometry=Geometry(255)).geometry == Geometry(255)


def test_an_empty_extended_partition_behind_the_last_one_is_what_grows(tmp_path: Path) -> None:
    device = MemoryDevice(40 * MIB)
    put(device, "BIGDOS:10 EXT:20")
    moved = move_table(read_table(device), device, 60 * MIB, resize_last=True)
    assert (moved.get(1).size, moved.get(2).end) == (10 * MIB, 60 * MIB)


def test_an_mbr_ends_at_its_last_sector(tmp_path: Path) -> None:
    device = MemoryDevice(40 * MIB)
    put(device, "BIGDOS:10 LINUX-EXT2:20")
    moved = move_table(read_table(device), device, 5 << 40, resize_last=True)
    assert moved.get(2).end == 2 << 40


def test_a_disk_that_is_too_small_is_told_by_the_partition_that_does_not_fit(mbr: Path, gpt: Path) -> None:
    for path, size, words in (
        (mbr, 40 * MIB, "partition 3 ends at byte 67108864, beyond the 41943040 bytes that a disk of 41943040 bytes has for partitions"),
        (gpt, 51 * MIB, "partition 9 ends at byte 53477376, beyond the 53460480 bytes that a disk of 53477376 bytes has for partitions"),
    ):
        with FileDevice(path, writable=False) as device:
            with pytest.raises(StorageError, match=words) as error:
                move_table(read_table(device), device, size)
            assert error.value.hint == "--resize-last shrinks the last partition to the end of the disk"
            with pytest.raises(StorageError, match=r"partition (1|3|9) (begins|ends) at byte .*") as error:
                move_table(read_table(device), device, 9 * MIB, resize_last=True)
            assert error.value.hint is None or "at least" in error.value.hint
    for path, size in ((mbr, 0), (mbr, 512), (gpt, 512), (gpt, 67 * 512)):
        with FileDevice(path, writable=False) as device, pytest.raises(StorageError, match=f"a disk of {size} bytes has no room for a partition table"):
            move_table(read_table(device), device, size)
    empty = MemoryDevice(10 * MIB)
    put(empty, "GPT EMPTY")
    with pytest.raises(StorageError, match="no partition that could be resized"):
        move_table(read_table(empty), empty, 10 * MIB, resize_last=True)


# --- other sectors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["GPT EFI:20 LINUX-SWAP:4 LINUX-EXT2:*", "BIGDOS:10 EXT:30 EMPTY EMPTY LINUX-EXT2:5 EXT:20 EMPTY EMPTY LINUX-EXT2:12"])
@pytest.mark.parametrize(("old", "new"), [(512, 4096), (4096, 512)], ids=["to-4096", "to-512"])
def test_positions_in_bytes_stay_on_a_disk_with_other_sectors(text: str, old: int, new: int, tmp_path: Path) -> None:
    with sparse(tmp_path / "old", 64) as device:
        put(device, text, sector_size=old)
        rows = [(each.start, each.size) for each in read_table(device, old).partitions]
    moved_to(tmp_path / "new", tmp_path / "old", 80 * MIB, source_sectors=old, sector_size=new)
    with FileDevice(tmp_path / "new", writable=False) as device:
        table = read_table(device, new)
        assert table.warnings == ()
        assert [(each.start, each.size) for each in table.partitions] == rows
    # fdisk lists no extended partitions inside another.
    assert sorted(fdisk_rows(tmp_path / "new", new)) == [(each.start, each.size) for each in sorted(
        table.partitions, key=lambda each: each.start) if not (each.is_extended and each.is_logical)]


def test_what_lies_on_no_whole_sector_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.img"
    sparse(path, 40).close()
    parted(path, "mklabel", "gpt", "mkpart", "one", "ext2", "2049s", "8000s")
    with FileDevice(path, writable=False) as device, pytest.raises(StorageError, match="partition 1 lies at bytes 1049088 to 4096512, which are no whole sectors of the target's 4096 bytes"):
        move_table(read_table(device), device, 40 * MIB, sector_size=4096)
    path.unlink()
    sparse(path, 40).close()
    run_tool(["sgdisk", "-a", "8", "-n", "1:40:2047", path])
    with FileDevice(path, writable=False) as device, pytest.raises(StorageError, match="partition 1 begins at byte 20480, where the target needs the first 24576 bytes for its table"):
        move_table(read_table(device), device, 40 * MIB, sector_size=4096)


# --- any ------------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(3, 90), st.booleans(), st.sampled_from([512, 4096]))
def test_any_table_moves_or_is_refused_and_nothing_is_lost(rng: random.Random, size_mb: int, resize_last: bool, sectors: int) -> None:
    """The moved table reads back as planned, without a warning; all but the last partition are as they were."""
    source = blank(40 * MIB)
    put(source, random_list(rng), sector_size=sectors)
    table = read_table(source, sectors)
    size = size_mb * MIB + rng.choice([0, 512, 4096, 1000])
    try:
        moved = move_table(table, ReadOnlyDevice(source), size, resize_last=resize_last)
    except StorageError:
        return
    target = blank(size)
    write(target, moved)
    now = read_table(target, sectors)
    assert now.warnings == ()
    assert now.partitions == moved.partitions
    assert now.table_starts == table.table_starts
    before = {each.number: each for each in table.partitions}
    for each in now.partitions:
        was = before[each.number]
        assert (each.start, each.type, each.boot, each.name, each.guid) == (was.start, was.type, was.boot, was.name, was.guid)
        if not each.is_extended and each.number != moved.resized:
            assert each.size == was.size
    assert [each.number for each in leaves(now)] == [each.number for each in leaves(table)]


def blank(size: int) -> OverlayDevice:
    """A disk of zeros that takes no memory."""
    return OverlayDevice(SliceDevice(_zeros(), 0, size))


@functools.cache
def _zeros() -> MemoryDevice:
    return MemoryDevice(92 * MIB)


def random_list(rng: random.Random) -> str:
    """A SetPartitions list for a disk of 40 MB."""
    def word(size: int) -> str:
        return f"{rng.choice(['BIGDOS', 'LINUX-EXT2', 'LINUX-SWAP'])}:{size}"

    if rng.random() < 0.5:
        return " ".join(["GPT", *(rng.choice([word(rng.randint(1, 6)), "EMPTY"]) for _ in range(rng.randint(1, 6)))])
    words = [word(rng.randint(1, 5)) for _ in range(rng.randint(0, 2))]
    room = 39 - sum(int(each.partition(":")[2]) for each in words)
    while room > 6 and rng.random() < 0.8:
        room -= rng.randint(1, 3)
        words.append(f"EXT:{room}")
        words += ["EMPTY"] * (-len(words) % 4)
        words.append(word(rng.randint(2, 3)))
        room -= 4
    return " ".join(words) or "BIGDOS:5"
