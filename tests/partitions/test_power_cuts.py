"""Whatever write a power cut ends: the old table, the new one, or none; never half of one."""

from collections.abc import Callable
from contextlib import suppress
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.base.entropy import Entropy
from bpscript.base.errors import StorageError
from bpscript.base.units import MIB
from bpscript.blocks.device import BlockDevice
from bpscript.blocks.faulty import FaultyDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.blocks.overlay import OverlayDevice
from bpscript.partitions.boot import boot_partition, set_boot_partition
from bpscript.partitions.plan import plan_partitions
from bpscript.partitions.table import read_table
from tests.partitions.disks import put
from tests.power_cuts import PowerCuts

SIZE = 40 * MIB
LISTS = (
    "",
    "BIGDOS:10 LINUX-EXT2:20",
    "BIGDOS:20 LINUX-SWAP:10",
    "EXT:30 EMPTY EMPTY EMPTY BIGDOS:10 EXT:20 EMPTY EMPTY LINUX-EXT2:20",
    "BIGDOS:4 EXT:35 EMPTY EMPTY BIGDOS:9 EXT:26 EMPTY EMPTY LINUX-EXT2:20",
    "EXT:30 EMPTY EMPTY EMPTY FAT32:30",
    "GPT",
    "GPT EFI:10 LINUX-EXT2:20",
    "GPT EFI:10 NTFS:8 LINUX-ROOT:*",
)


@cache
def base(text: str | None) -> MemoryDevice:
    disk = MemoryDevice(SIZE)
    if text is not None:
        put(disk, text, seed="old")
    return disk


def blank_or(text: str | None) -> OverlayDevice:
    """A disk with a table or without, to be written to."""
    return OverlayDevice(base(text))


@pytest.mark.parametrize("most", [12, pytest.param(None, marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.parametrize("old", [None, *LISTS])
@pytest.mark.parametrize("new", LISTS)
def test_set_partitions_leaves_the_old_table_the_new_one_or_none(
    old: str | None, new: str, most: int | None, record_property: Callable[[str, object], None]
) -> None:
    before = read_table(blank_or(old)).to_list()
    plan = plan_partitions(new, blank_or(old), entropy=Entropy("new"))
    after = plan.after.to_list()

    def judge(disk: BlockDevice) -> str:
        found = read_table(disk).to_list()
        assert found in {before, after, ""}, found
        return "new" if found == after else "old" if found == before else "none"

    def again(disk: BlockDevice) -> None:
        put(disk, new, seed="again")                                # running the script again mends it
        assert read_table(disk).warnings == ()

    tried = PowerCuts(base(old), plan.apply).check(f"SetPartitions, {old} to {new}", judge, again=again, most=most)
    record_property("tried", str(tried))


@pytest.mark.parametrize("text", LISTS[1:])
def test_a_set_boot_partition_leaves_one_flag_or_none(text: str) -> None:
    numbers = [each.number for each in read_table(blank_or(text)).partitions]
    for old in numbers[:1]:
        for new in (0, *numbers):
            for allowed in range(6):
                disk = blank_or(text)
                set_boot_partition(disk, read_table(disk), old)
                try:
                    set_boot_partition(FaultyDevice(disk, writes_allowed=allowed), read_table(disk), new)
                except StorageError:
                    assert read_table(disk).to_list() == text.replace("*", "20")
                    assert boot_partition(read_table(disk)) in {0, old, new}
                    assert sum(each.boot for each in read_table(disk).partitions) <= 1
                else:
                    assert boot_partition(read_table(disk)) == new


def test_a_damaged_copy_of_a_gpt_is_written_first() -> None:
    """While the whole copy is being overwritten, the mended one must count already."""
    for place in (512 + 60, SIZE - 512 + 60):
        for allowed in range(8):
            disk = blank_or(LISTS[7])
            disk.write(place, b"damage")
            plan = plan_partitions(LISTS[8], disk, entropy=Entropy("new"))
            with suppress(StorageError):
                plan.apply(FaultyDevice(disk, writes_allowed=allowed))
            assert read_table(disk).to_list() in {LISTS[7], plan.after.to_list()}


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(LISTS), st.sampled_from(LISTS))
def test_a_plan_says_exactly_what_will_be_read(old: str, new: str) -> None:
    disk = blank_or(old)
    assert put(disk, new).after == read_table(disk)
