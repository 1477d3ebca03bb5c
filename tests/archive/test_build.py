import os
from pathlib import Path

import pytest

from bpscript.archive import build
from bpscript.archive.build import build_volume, needed_size
from bpscript.archive.filters import Filters
from bpscript.archive.plan import Planned
from bpscript.base.clock import Clock
from bpscript.base.entropy import Entropy
from bpscript.base.errors import NoSpaceError, StorageError
from bpscript.base.units import MIB
from bpscript.filesystems.detect import detect, open_volume
from bpscript.filesystems.filesystem import walk
from bpscript.filesystems.folder import FolderVolume
from tests.oracles import debugfs, e2fsck, fsck_fat

KINDS = ["EXT2", "EXT3", "EXT4", "FAT16", "FAT32"]


@pytest.fixture
def folder(tmp_path: Path) -> FolderVolume:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "passwd").write_bytes(b"root:x:0:0")
    (root / "etc" / "passwd").chmod(0o640)
    (root / "boot").mkdir()
    (root / "boot" / "vmlinuz").write_bytes(b"k" * 3_000_000)
    os.link(root / "etc" / "passwd", root / "etc" / "passwd-")
    os.symlink("boot/vmlinuz", root / "vmlinuz")
    for number in range(300):
        (root / "etc" / f"small file number {number}").write_bytes(b"x")
    if os.geteuid() == 0:
        os.chown(root / "etc" / "passwd", 70_000, 5)
        os.mknod(root / "null", 0o20666, os.makedev(1, 3))
    return FolderVolume(root)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_becomes_a_volume_that_its_checker_accepts(kind: str, folder: FolderVolume, tmp_path: Path) -> None:
    with build_volume(folder, kind, temp_folder=tmp_path, clock=Clock(10**18)) as device:
        assert detect(device) == kind
        image = device.path
        assert device.size % MIB == 0
        (fsck_fat if kind.startswith("FAT") else e2fsck)(image)
        volume = open_volume(device)
        assert volume.open("boot/vmlinuz").read() == b"k" * 3_000_000
        assert len(volume.entries("etc")) == 302
        usage = volume.usage()
        assert usage.free > 0
        volume.close()
        if kind.startswith("EXT") and os.geteuid() == 0:
            told = debugfs(image, "stat /etc/passwd", "stat /null", "stat /vmlinuz")
            assert "User: 70000   Group:     5" in told
            assert "Mode:  0640" in told
            assert "Links: 2" in told
            assert "Device major/minor number: 01:03" in told
            assert 'Fast link dest: "boot/vmlinuz"' in told
    assert not image.exists()


@pytest.mark.parametrize("kind", ["EXT4", "FAT32"])
def test_with_a_seed_the_same_folder_makes_the_same_bytes(kind: str, folder: FolderVolume, tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        with build_volume(folder, kind, 300 * MIB, temp_folder=tmp_path, entropy=Entropy("1"), clock=Clock(10**18)) as device:
            made.append([device.read(start, end - start) for start, end in device.data_ranges(0, device.size)])
    assert b"".join(made[0]).strip(b"\0") == b"".join(made[1]).strip(b"\0")


def test_filters_are_obeyed_and_files_are_told(folder: FolderVolume, tmp_path: Path) -> None:
    told: list[str] = []
    filters = Filters().leave_out("etc/small*").leave_out("null")
    with build_volume(folder, "EXT2", filters=filters, temp_folder=tmp_path, on_file=lambda path, facts: told.append(path)) as device:
        volume = open_volume(device)
        assert {path for path, _ in walk(volume)} - {"lost+found"} == set(told)
        volume.close()
    assert told == ["boot", "boot/vmlinuz", "etc", "etc/passwd", "etc/passwd-", "vmlinuz"]


def test_a_volume_that_is_too_small_is_refused(folder: FolderVolume, tmp_path: Path) -> None:
    with pytest.raises(NoSpaceError, match=r"a volume of 2 MB is too small: the files need"):  # noqa: SIM117
        with build_volume(folder, "EXT2", 2 * MIB, temp_folder=tmp_path):
            raise AssertionError
    assert not list(tmp_path.glob("bpscript-*"))


def test_an_unknown_kind_is_refused(folder: FolderVolume, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match='"XFS" cannot be made from files; expected EXT2, EXT3, EXT4, FAT16, FAT32'):  # noqa: SIM117
        with build_volume(folder, "XFS", temp_folder=tmp_path):
            raise AssertionError


@pytest.mark.parametrize("kind", ["EXT2", "FAT16"])
def test_a_first_guess_that_was_too_small_grows(kind: str, folder: FolderVolume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "needed_size", lambda plan, kind: 3 * MIB if kind == "EXT2" else 17 * MIB)
    (folder.path / "large").write_bytes(bytes(range(256)) * (20 << 12))
    with build_volume(folder, kind, temp_folder=tmp_path) as device:
        volume = open_volume(device)
        assert volume.stat("large").size == 20 << 20
        volume.close()
    assert device.size < 40 * MIB


def test_the_size_is_what_files_need_and_a_fifth_more() -> None:
    plan = [Planned("d", "d"), Planned("d/a", "f", 100 * MIB)]
    assert 120 * MIB <= needed_size(plan, "EXT2") <= 126 * MIB
    assert 120 * MIB <= needed_size(plan, "FAT16") <= 122 * MIB
    assert needed_size([], "FAT32") >= 32 * MIB
