"""A volume on a larger partition, or one with larger sectors: the same clusters at new places."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.base.errors import NoSpaceError, StorageError
from bpscript.blocks.device import BlockDevice, data_ranges_of
from bpscript.blocks.file import FileDevice
from bpscript.filesystems.fat import FatVolume, format_fat, plan_moves, regrow
from bpscript.filesystems.fat.format import plan_geometry
from bpscript.filesystems.fat.geometry import Geometry
from bpscript.filesystems.fat.growth import boot_area
from tests.oracles import fsck_fat, mtools_tree

MIB = 1 << 20
FILES = {f"dir {number % 3}/a long name {number}.txt": bytes([number + 1]) * (number * 997) for number in range(30)}


def transplant(source: BlockDevice, old: Geometry, target: BlockDevice, new: Geometry) -> None:
    """What a restore does."""
    moves, zeros = plan_moves(old, new)
    for move in moves[:-1]:
        target.write(move.target, source.read(move.source, move.length))
    clusters = moves[-1]
    for start, end in data_ranges_of(source, clusters.source, clusters.length):
        target.write(clusters.target + start - clusters.source, source.read(start, end - start))
    for start, end in zeros:
        target.zero(start, end - start)
    info = source.read(old.info_sector * old.sector_size, 512) if old.info_sector else None
    for offset, data in boot_area(old, new, source.read(0, 512), info):
        target.write(offset, data)


@pytest.mark.parametrize(
    ("width", "size", "cluster", "new_size", "sector_size"),
    [
        (12, MIB, None, 3 * MIB, 512), (12, MIB, None, 100 * MIB, 512), (16, 20 * MIB, None, 100 * MIB, 512), (16, 20 * MIB, None, 500 * MIB, 512),
        (16, 20 * MIB, 4096, 100 * MIB, 4096), (32, 40 * MIB, None, 41 * MIB, 512), (32, 40 * MIB, None, 900 * MIB, 512),
        (32, 400 * MIB, 4096, 900 * MIB, 4096), (32, 400 * MIB, 4096, 401 * MIB, 4096),
    ],
)
def test_a_moved_volume_holds_the_same_files_and_more_room(
    tmp_path: Path, width: int, size: int, cluster: int | None, new_size: int, sector_size: int
) -> None:
    path = tmp_path / "new.img"
    with FileDevice.create(tmp_path / "old.img", size) as source, FileDevice.create(path, new_size) as target:
        old = format_fat(source, width, "MOVED", cluster_size=cluster, volume_id=5)
        volume = FatVolume.on(source)
        for number in range(3):
            volume.make_dir(f"dir {number}")
        for name, data in FILES.items():
            volume.write_file(name, [data], len(data))
        volume.close()
        target.write(0, b"\xa5" * 8 * MIB if new_size > 8 * MIB else b"\xa5" * new_size)      # rubbish that must not show through
        new = regrow(old, new_size // sector_size, sector_size=sector_size)
        transplant(source, old, target, new)
        moved = FatVolume.on(target)
        assert moved.geometry == new
        assert (new.width, new.cluster_size) == (old.width, old.cluster_size)
        assert {name: moved.open(name).read() for name in FILES} == FILES
        assert moved.usage().free - volume.usage().free == (new.cluster_count - old.cluster_count) * new.cluster_size
        assert moved.check() == []
        moved.write_file("new", [b"x" * 100_000])
        moved.close()
    fsck_fat(path)
    assert mtools_tree(path, tmp_path / "out") == {**FILES, "new": b"x" * 100_000}


def test_the_same_size_is_the_same_geometry() -> None:
    old = plan_geometry(100 * MIB, 16)
    assert regrow(old, old.total_sectors) == old


@settings(max_examples=200)
@given(st.sampled_from([12, 16, 32]), st.integers(0, 1 << 33), st.sampled_from([512, 4096]))
def test_growing_never_changes_the_width_or_loses_a_cluster(width: int, more: int, sector_size: int) -> None:
    old = plan_geometry({12: 4 * MIB, 16: 200 * MIB, 32: 400 * MIB}[width], width, cluster_size={12: 4096, 16: 4096, 32: 4096}[width])
    sectors = (old.size + more) // sector_size
    try:
        new = regrow(old, sectors, sector_size=sector_size)
    except NoSpaceError:
        assert sector_size != old.sector_size
        return
    assert new.cluster_count >= old.cluster_count
    assert new.total_sectors <= sectors
    assert new.width == width
    template = b"\xeb\0\x90".ljust(510, b"\0") + b"\x55\xaa"
    assert Geometry.from_sector(replace(new, has_ident=False, label=b"NO NAME    ").to_sector(template)).width == width
    moves, zeros = plan_moves(old, new)
    places = sorted([(move.target, move.target + move.length) for move in moves] + [place for place in zeros if place[0] < place[1]])
    assert all(end <= start for (_, end), (start, _) in pairwise(places)), "nothing is written twice"
    assert places[-1][1] <= new.size


def test_too_small_a_place_is_refused() -> None:
    old = plan_geometry(100 * MIB, 16)
    with pytest.raises(NoSpaceError, match=f"the volume has {old.cluster_count} clusters of 2048 bytes; only"):
        regrow(old, old.total_sectors - 100)
    with pytest.raises(NoSpaceError, match="only 0 fit"):
        regrow(old, 10)


def test_clusters_smaller_than_the_new_sectors_are_refused() -> None:
    with pytest.raises(StorageError, match="clusters of 2048 bytes cannot be on a disk with sectors of 4096"):
        regrow(plan_geometry(100 * MIB, 16), 100_000, sector_size=4096)


def test_reserved_sectors_that_cannot_be_translated_are_refused() -> None:
    old = replace(plan_geometry(200 * MIB, 16, cluster_size=4096), reserved_sectors=4)
    with pytest.raises(StorageError, match="4 reserved sectors cannot be translated"):
        regrow(old, 100_000, sector_size=4096)
