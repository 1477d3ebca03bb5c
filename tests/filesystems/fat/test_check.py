"""Our own fsck: every kind of damage is found, and nothing else; where fsck.fat looks too, it agrees."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.fat import FatVolume, Geometry, format_fat
from bpscript.filesystems.fat.check import ClusterSet
from bpscript.filesystems.fat.layout import SLOT_SIZE, Cluster
from tests.oracles import run_tool

MIB = 1 << 20
A, B, DIR, INNER = 2, 4, 5, 6       # first clusters of what `volume` makes


def volume() -> tuple[MemoryDevice, Geometry]:
    """FAT16: /a.txt (clusters 2 and 3), /b.txt (4), /long directory (5), /long directory/inner (6)."""
    device = MemoryDevice(15 * MIB)
    geometry = format_fat(device, 16, "LABEL")
    made = FatVolume.on(device)
    made.write_file("a.txt", [b"a" * 1500])
    made.write_file("b.txt", [b"b" * 1000])
    made.make_dir("long directory")
    made.write_file("long directory/inner", [b"c" * 10])
    made.close()
    return device, geometry


def set_entry(device: MemoryDevice, geometry: Geometry, cluster: int, value: int) -> None:
    for copy in range(2):
        device.write(geometry.fat_offset + copy * geometry.fat_size + 2 * cluster, value.to_bytes(2, "little"))


def in_root(geometry: Geometry, slot: int, byte: int) -> int:
    """Place of a byte of a slot: 0 label, 1 a.txt, 2 b.txt, 3 and 4 long name, 5 long directory."""
    return geometry.root_offset + slot * SLOT_SIZE + byte


def in_dir(geometry: Geometry, slot: int, byte: int) -> int:
    """Place of a byte of a slot in /long directory: 0 and 1 the dots, 2 inner."""
    return geometry.cluster_offset(Cluster(DIR)) + slot * SLOT_SIZE + byte


def test_a_healthy_volume_has_no_problem() -> None:
    device, _ = volume()
    assert FatVolume.on(device).check() == []


Damage = Callable[[MemoryDevice, Geometry], None]
DAMAGES: list[tuple[str, Damage, list[str]]] = [
    ("cross-link", lambda d, g: set_entry(d, g, B, 3), ["/b.txt: shares 1 cluster(s) from 3 on with another file or directory"]),
    ("loop", lambda d, g: set_entry(d, g, 3, 2), ["/a.txt: the chain: its chain of clusters loops at cluster 2"]),
    ("link to a free cluster", lambda d, g: set_entry(d, g, 3, 100), ["/a.txt: the chain: cluster 100 belongs to it but is marked free"]),
    ("link out of the volume", lambda d, g: set_entry(d, g, 3, 0xFFF0), ["/a.txt: the chain: a link leads to cluster 65520"]),
    ("lost clusters", lambda d, g: set_entry(d, g, 500, 0xFFFF), ["FAT: 1 cluster(s) are in use but belong to no file, the first at or after cluster 500"]),
    (
        "chain too short", lambda d, g: set_entry(d, g, 2, 0xFFFF),
        ["/a.txt: has 1500 bytes but a chain of 1 clusters of 1024 bytes", "FAT: 1 cluster(s) are in use but belong to no file"],
    ),
    ("size too small", lambda d, g: d.write(in_root(g, 1, 28), b"\1\0"), ["/a.txt: has 1 bytes but a chain of 2 clusters of 1024 bytes"]),
    (
        "size without clusters", lambda d, g: d.write(in_root(g, 2, 26), b"\0\0"),
        ["/b.txt: has 1000 bytes but no clusters", "FAT: 1 cluster(s) are in use"],
    ),
    ("copies differ", lambda d, g: d.write(g.fat_offset + g.fat_size + 200, b"\1"), ["FAT: the copies of the FAT differ"]),
    ("media byte", lambda d, g: set_entry(d, g, 0, 0xFFF0), ["FAT: entry 0 holds media byte F0, the boot sector F8"]),
    ("dirty in the FAT", lambda d, g: set_entry(d, g, 1, 0x7FFF), ["FAT: the volume is marked as not properly unmounted"]),
    ("dirty in the boot sector", lambda d, _: d.write(37, b"\1"), ["boot sector: the volume is marked as not properly unmounted"]),
    (
        "bad character", lambda d, g: d.write(in_root(g, 1, 1), b"*"),
        ["/a_.txt: its short name b'A*      TXT' has characters that are not allowed"],
    ),
    ("attribute that does not exist", lambda d, g: d.write(in_root(g, 1, 11), b"\x60"), ["/a.txt: its attributes 60 have bits that do not exist"]),
    ("directory with a size", lambda d, g: d.write(in_root(g, 5, 28), b"\1"), ["/long directory: the directory has a size of 1; expected 0"]),
    ("name twice", lambda d, g: d.write(in_root(g, 2, 0), b"A"), ["/: 1 name(s) exist twice", "/: the short name b'A       TXT' exists twice", "FAT: 1 cluster"]),
    ("orphaned long name", lambda d, g: d.write(in_root(g, 5, 0), b"X"), ["/: 2 long-name slot(s) belong to no file"]),
    ("second label", lambda d, g: d.write(in_dir(g, 2, 11), b"\x08"), ["/long directory: 1 volume labels; expected none", "FAT: 1 cluster"]),
    ("no dot", lambda d, g: d.write(in_dir(g, 0, 0), b"X"), ['/long directory: slot 0 is not "."', "/long directory/X: shares 1 cluster"]),
    ("dot elsewhere", lambda d, g: d.write(in_dir(g, 0, 26), b"\2"), ['/long directory: "." leads to cluster 2; expected 5']),
    ("dot-dot elsewhere", lambda d, g: d.write(in_dir(g, 1, 26), b"\2"), ['/long directory: ".." leads to cluster 2; expected 0']),
    (
        "directory in itself", lambda d, g: d.write(in_dir(g, 2, 11), b"\x10" + bytes(14) + b"\5\0\0\0\0\0"),
        ["/long directory/INNER: shares 1 cluster(s) from 5 on", "FAT: 1 cluster"],
    ),
]


@pytest.mark.parametrize(("damage", "found"), [case[1:] for case in DAMAGES], ids=[case[0] for case in DAMAGES])
def test_damage_is_found(damage: Damage, found: list[str], tmp_path: Path) -> None:
    device, geometry = volume()
    damage(device, geometry)
    problems = [str(problem) for problem in FatVolume.on(device).check()]
    assert len(problems) == len(found), problems
    for problem, beginning in zip(problems, found, strict=True):
        assert problem.startswith(beginning)
    path = tmp_path / "disk.img"
    path.write_bytes(device.read(0, device.size))
    silent = {"media byte", "dirty in the FAT", "attribute that does not exist", "second label", "directory with a size", "orphaned long name"}
    name = next(case[0] for case in DAMAGES if case[1] is damage)
    result = run_tool(["fsck.fat", "-n", path], ok=None)
    if name not in silent:
        assert result.returncode != 0, f"fsck.fat is content with {name}: {result.stdout}"


def test_damage_of_fat32s_own_records_is_found() -> None:
    device = MemoryDevice(34 * MIB)
    geometry = format_fat(device, 32)
    device.write(512 + 488, b"\5\0\0\0")
    device.write(6 * 512 + 3, b"another")
    problems = [str(problem) for problem in FatVolume.on(device).check()]
    assert problems == [
        "boot sector: its backup in sector 6 differs",
        f"FSInfo: says 5 clusters are free; {geometry.cluster_count - 1} are",
    ]
    device.write(512, b"XXXX")
    assert any(str(problem).startswith("FSInfo: FSInfo:") for problem in FatVolume.on(device).check())


def test_checking_writes_nothing() -> None:
    device, geometry = volume()
    set_entry(device, geometry, B, 3)
    before = device.read(0, device.size)
    FatVolume.on(device).check()
    assert device.read(0, device.size) == before


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 200_000)), max_size=8))
def test_sets_of_clusters_agree_with_sets(runs: list[tuple[int, int]]) -> None:
    ours, model = ClusterSet(210_000), set[int]()
    for start, count in runs:
        new = set(range(start, start + count))
        assert ours.missing(start, count) == len(new - model)
        assert ours.add_run(start, count) == len(new & model)
        model |= new
