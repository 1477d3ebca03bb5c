"""What concerns a partition or a disk as a whole, and is no file system being made: Blank, boot code and boot flags, swap, disk images."""

from pathlib import Path

import pytest

from bpscript.archive.disk_capture import capture_disk
from bpscript.archive.disk_image import DiskImage
from bpscript.archive.disk_restore import restore_disk
from bpscript.base.units import MIB
from bpscript.blocks.device import BlockDevice
from bpscript.blocks.overlay import OverlayDevice
from bpscript.partitions.boot import boot_partition
from bpscript.partitions.table import read_table
from tests.archive.archives import MemorySink, opened
from tests.power.scenes import CLOCK, files, is_valid, live, made, partition, run
from tests.power.test_power_cuts import KINDS, Property, budgets, disk_size, set_up
from tests.power_cuts import PowerCuts


@budgets(25)
@pytest.mark.parametrize("kind", ["FAT16", "EXT4", "SWAP"])
def test_blank(kind: str, most: int | None, tmp_path: Path, record_property: Property) -> None:
    """A partition that is half zeros looks like none."""
    lines = set_up(kind, tmp_path) if kind != "SWAP" else f'setpartitions "{KINDS[kind]}"\nclean 1\n'
    before = made(lines, tmp_path, disk_size(kind))

    def contents(disk: BlockDevice) -> object:
        if kind == "SWAP":
            return partition(disk, 1).read(0, 8192)
        how, found = live(partition(disk, 1))
        assert how == "clean"
        return found

    old = contents(before)

    def judge(disk: BlockDevice) -> str:
        if not is_valid(disk, 1):
            return "not formatted" if any(partition(disk, 1).read(0, MIB)) else "new"
        assert contents(disk) == old, "neither whole nor gone"
        return "old"

    cuts = PowerCuts(before, lambda disk: run("blank 1\n", disk, tmp_path))
    record_property("tried", str(cuts.check(f"Blank, {kind}", judge, again=lambda disk: run("blank 1\n", disk, tmp_path), most=most)))


TABLES = {
    "MBR": "BIGDOS:4 LINUX-EXT2:4 LINUX-SWAP:4",
    "logical": "BIGDOS:4 EXT:16 EMPTY EMPTY BIGDOS:4 EXT:11 EMPTY EMPTY LINUX-EXT2:10",
    "GPT": "GPT EFI:4 LINUX-EXT2:4",
}
ON_TABLES = {
    "SetBootPart": ("setbootpart 1\n", "setbootpart 2\n"), "SetBootPart, none": ("setbootpart 2\n", "setbootpart 0\n"), "Clean 0": ("", "clean 0\n"),
    "Clean of an extended one": ("", "clean 2\n"),
}  # fmt: skip


@budgets(25)
@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in ON_TABLES for kind in TABLES if ("extended" in name) is (kind == "logical") and not (kind == "GPT" and name == "Clean 0")])
def test_tables(name: str, kind: str, most: int | None, tmp_path: Path, record_property: Property) -> None:
    first, script = ON_TABLES[name]
    before = made(f'setpartitions "{TABLES[kind]}"\n{first}', tmp_path)

    def state(disk: BlockDevice) -> tuple[str, int, bytes]:
        table = read_table(disk)
        return table.to_list(), boot_partition(table), disk.read(0, 440)

    cuts = PowerCuts(before, lambda disk: run(script, disk, tmp_path))
    old, new = state(before), state(cuts.disk())

    def judge(disk: BlockDevice) -> str:
        found = state(disk)
        assert found[0] in {old[0], new[0]}, found
        assert found[1] in {old[1], new[1], 0}, found
        return "new" if found == new else "old" if found == old else "between"

    record_property("tried", str(cuts.check(f"{name}, {kind}", judge, again=lambda disk: run(script, disk, tmp_path), most=most)))


@budgets(25)
@pytest.mark.parametrize("how", ["same", "larger"])
def test_a_swap_partition_is_restored(how: str, most: int | None, tmp_path: Path, record_property: Property) -> None:
    run('fullzip "{:1}/" "swap.imz"\n', made('setpartitions "LINUX-SWAP:4"\nclean 1\n', tmp_path), tmp_path)
    before = made(f'setpartitions "LINUX-SWAP:{4 if how == "same" else 6}"\nclean 1\n', tmp_path)
    script = 'fullunzip "swap.imz" 1\n'
    cuts = PowerCuts(before, lambda disk: run(script, disk, tmp_path))
    old, new = (partition(disk, 1).read(0, 8192) for disk in (before, cuts.disk()))

    def judge(disk: BlockDevice) -> str:
        if not is_valid(disk, 1):
            return "not formatted"
        found = partition(disk, 1).read(0, 8192)
        assert found in {old, new}
        return "new" if found == new else "old"

    record_property("tried", str(cuts.check(f"FullUnzip, {how}, SWAP", judge, again=lambda disk: run(script, disk, tmp_path), most=most)))


@budgets(40)
@pytest.mark.parametrize("scheme", ["MBR", "GPT"])
@pytest.mark.parametrize("how", ["same", "larger"])
def test_a_whole_disk_is_restored(scheme: str, how: str, most: int | None, tmp_path: Path, record_property: Property) -> None:
    """Old as it was, new with everything in it, or without a table."""
    word = "GPT " if scheme == "GPT" else ""
    (tmp_path / "data").write_bytes(bytes(range(256)) * 1200)
    source = made(f'setpartitions "{word}BIGDOS:5 LINUX-EXT2:6"\nclean "1 2"\ncopy "data" "{{:1}}/a"\ncopy "data" "{{:2}}/b"\n', tmp_path, 14 * MIB)
    sink = MemorySink()
    capture_disk(source, sink, clock=CLOCK, level=1, threads=1)
    before = made('setpartitions "BIGDOS:9"\nclean 1\ncopy "data" "{:1}/old"\n', tmp_path, (14 if how == "same" else 18) * MIB)

    def work(disk: BlockDevice) -> None:
        with opened(sink.data) as archive:
            restore_disk(DiskImage.of(archive), disk, resize_last=how == "larger", clock=CLOCK, threads=1)

    def state(disk: BlockDevice) -> tuple[str, list[object]]:
        table = read_table(disk)
        return table.to_list(), [files(partition(disk, each.number)) for each in table.partitions]

    cuts = PowerCuts(before, work)
    old, new = state(before), state(cuts.disk())

    def judge(disk: BlockDevice) -> str:
        if not read_table(disk).partitions:
            return "no table"
        found = state(OverlayDevice(disk))
        assert found in (old, new), found[0]
        return "new" if found == new else "old"

    record_property("tried", str(cuts.check(f"a whole disk, {scheme}, {how}", judge, again=work, most=most, every=5)))
