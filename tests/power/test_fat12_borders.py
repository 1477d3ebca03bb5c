"""FAT12: 12 bits of an entry that lie in two sectors, of which only one arrives."""

from contextlib import closing, suppress

import pytest

from bpscript.base.errors import NoSpaceError
from bpscript.base.units import MIB
from bpscript.blocks.device import BlockDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.fat import FatVolume, format_fat
from bpscript.filesystems.fat.geometry import Geometry
from bpscript.filesystems.fat.layout import Cluster
from bpscript.filesystems.fat.table import FatTable
from tests.power.scenes import CLOCK, expect_old_or_new, files, live
from tests.power.test_power_cuts import Property, budgets
from tests.power_cuts import PowerCuts

BORDERS = (341, 682)        # entry n begins at byte n * 3 // 2 of the table: these at bytes 511 and 1023, and end one further


def nearly_full() -> tuple[MemoryDevice, Geometry]:
    """A volume with two directories on which all clusters are in use, but for a dozen around each border, and some at the end for a second run: a cut may lose clusters."""
    device = MemoryDevice(4 * MIB)
    format_fat(device, 12, volume_id=1)
    geometry = Geometry.from_sector(device.read(0, 512))
    with closing(FatVolume.on(device, clock=CLOCK)) as volume:
        for name in ("first", "second", "full"):
            volume.make_dir(name)
        made = []
        with suppress(NoSpaceError):
            for number in range(geometry.cluster_count):
                volume.write_file(f"full/{number}", [bytes((number % 251,)) * geometry.cluster_size])
                made.append(f"full/{number}")
        for path in made:
            cluster = cluster_of(volume, geometry, path)
            if any(border - 6 <= cluster < border + 6 for border in BORDERS) or cluster >= geometry.cluster_count - 60:
                volume.remove(path)
    return device, geometry


def cluster_of(volume: FatVolume, geometry: Geometry, path: str) -> int:
    return (volume.extents(path)[0].offset - geometry.cluster_offset(Cluster(2))) // geometry.cluster_size + 2


def entry_of(device: BlockDevice, geometry: Geometry, cluster: int) -> int:
    return FatTable(device, geometry).get(cluster)


@budgets(60)
@pytest.mark.parametrize("name", ["new files", "replaced", "directories", "removed"])
def test_entries_in_two_sectors(name: str, most: int | None, record_property: Property) -> None:
    before, geometry = nearly_full()
    size = geometry.cluster_size
    if name in {"replaced", "removed"}:
        with closing(FatVolume.on(before, clock=CLOCK)) as volume:
            for path in ("first/a", "second/b"):
                volume.write_file(path, [path.encode() * (9 * size // len(path))])

    def work(disk: BlockDevice) -> None:
        with closing(FatVolume.on(disk, clock=CLOCK)) as volume:
            for path in ("first/a", "second/b"):
                if name == "removed":
                    if volume.exists(path):
                        volume.remove(path)
                elif name == "directories":
                    for number in range(12):
                        if not volume.exists(f"{path}{number}"):
                            volume.make_dir(f"{path}{number}")
                else:
                    volume.write_file(path, [path.encode()[::-1] * (7 * size // len(path))])

    cuts = PowerCuts(before, work)
    after = cuts.disk()
    changed = [border for border in BORDERS if entry_of(before, geometry, border) != entry_of(after, geometry, border)]
    assert changed == list(BORDERS), "the clusters at the borders were not used"
    old, new = files(before), files(after)

    def judge(disk: BlockDevice) -> str:
        how, found = live(disk)
        return f"{expect_old_or_new(found, old, new)}, {how}"

    tried = cuts.check(f"FAT12 entries in two sectors, {name}", judge, again=work, most=most, every=4, final=lambda state: state.startswith("new"))
    record_property("tried", str(tried))
