"""Directories of FAT: an entry that lies in several sectors is there with its whole name, or not at all."""

import random
from contextlib import closing

import pytest

from bpscript.base.units import MIB
from bpscript.blocks.device import BlockDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.fat import FatVolume, format_fat
from tests.power.scenes import CLOCK, files
from tests.power_cuts import PowerCuts


@pytest.mark.parametrize("length", [9, 40, 230])
def test_a_long_name_is_whole_or_not_there(length: int) -> None:
    before = MemoryDevice(6 * MIB)
    format_fat(before, 12, volume_id=1)
    with closing(FatVolume.on(before, clock=CLOCK)) as volume:      # behind the end mark of a directory nothing shows: it is the places of deleted entries that matter
        volume.make_dir("d")
        gone = [f"a file that will be gone {number}" for number in range(120)]
        for name in gone:
            volume.write_file(f"d/{name}", [b"y"])
        for name in gone:
            volume.remove(f"d/{name}")
    names = [f"{number} {'long name ' * 30}"[:length].strip() for number in range(25)]

    def work(disk: BlockDevice) -> None:
        with closing(FatVolume.on(disk, clock=CLOCK)) as volume:
            for name in names:
                volume.write_file(f"d/{name}", [b"x" * 100])

    cuts = PowerCuts(before, work)
    seen = set()
    for words, disk in cuts.cuts(random.Random(length), chances=25):
        found = {path.removeprefix("d/") for path in files(disk)} - {""}
        assert found <= set(names), words
        seen.add(len(found))
    assert {0, 25} <= seen
