"""Disks with sectors of 4096 bytes: what an archive made with 512-byte sectors becomes there, and what is refused.

FAT is made again with larger sectors and copied file by file, ext with smaller blocks too; ext with 4096-byte blocks and swap fit as they
are; NTFS is refused, for no system reads it there.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpscript.api import NewDisk, RunOptions, execute
from bpscript.archive.capture import capture, survey
from bpscript.archive.destinations import HostDestination
from bpscript.archive.full import FullImage
from bpscript.archive.placement import Place
from bpscript.archive.positional import JoinedReader, open_from_host
from bpscript.archive.report import Restored
from bpscript.archive.restore import restore
from bpscript.base.clock import Clock
from bpscript.base.errors import StorageError
from bpscript.blocks.file import FileDevice
from tests.oracles import debugfs_tree, e2fsck, fdisk_rows, fsck_fat, mke2fs, mkfs_fat, mtools, mtools_tree, run_tool

MIB = 1 << 20
CLOCK = Clock(1_700_000_000_000_000_000)
LARGE = Place(256, 16, 63, 4096)        # the sectors before the partition are 4096-byte ones too


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "sub/a long directory name").mkdir(parents=True)
    for number in range(60):
        (folder / f"sub/a long directory name/file {number}.txt").write_bytes(os.urandom(number * 97))
    (folder / "IO.SYS").write_bytes(os.urandom(30_000))
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def packed(path: Path) -> Path:
    archive = path.with_suffix(".imz")
    with FileDevice(path, writable=False) as device, HostDestination(archive) as sink:
        capture(survey(device, clock=CLOCK), sink, level=1)
        sink.commit()
    return archive


def onto(archive: Path, path: Path, size: int, place: Place = LARGE) -> Restored:
    path.write_bytes(b"\xa5" * size)
    with FileDevice(path) as device, FullImage.open(open_from_host(archive)) as image:
        return restore(image, device, place=place, verify=True, clock=CLOCK)


@pytest.mark.parametrize(("width", "size", "clusters"), [("12", 8, 4), ("16", 48, 4), ("32", 300, 1)], ids=["FAT12", "FAT16", "FAT32"])
@pytest.mark.parametrize("more", [0, 20], ids=["same", "larger"])
def test_fat_gets_larger_sectors(tmp_path: Path, tree: Path, width: str, size: int, clusters: int, more: int) -> None:
    source = mkfs_fat(tmp_path / "source", size * MIB, "-F", width, "-s", str(clusters), "-n", "WORK", "-i", "1234ABCD")
    mtools(source, "mcopy", "-s", "-Q", *tree.iterdir(), "::")
    target = tmp_path / "target"
    assert onto(packed(source), target, (size + more) * MIB).how == "file by file"
    with target.open("rb") as image:
        boot = image.read(512)
    assert int.from_bytes(boot[11:13], "little") == 4096
    assert int.from_bytes(boot[28:32], "little") == 256
    fsck_fat(target)
    assert mtools_tree(target, tmp_path / "found") == files(tree)


@pytest.mark.parametrize("block", [1024, 2048, 4096])
def test_ext_with_smaller_blocks_is_copied_file_by_file(tmp_path: Path, tree: Path, block: int) -> None:
    source = mke2fs(tmp_path / "source", 24 * MIB, "-t", "ext4", "-b", str(block), "-L", "WORK", "-d", tree)
    target = tmp_path / "target"
    assert onto(packed(source), target, 24 * MIB).how == ("same size" if block == 4096 else "file by file")
    e2fsck(target)
    assert "Block size:               4096" in run_tool(["dumpe2fs", "-h", target]).stdout
    assert debugfs_tree(target, tmp_path / "found") == files(tree)
    # Smaller too, where the formatter alone would take blocks of 1 KiB.
    assert onto(packed(source), target, 16 * MIB).how == "file by file"
    assert "Block size:               4096" in run_tool(["dumpe2fs", "-h", target]).stdout


def test_a_stream_cannot_be_copied_file_by_file(tmp_path: Path, tree: Path) -> None:
    archive = packed(mke2fs(tmp_path / "source", 24 * MIB, "-t", "ext2", "-b", "1024", "-d", tree))
    (tmp_path / "target").write_bytes(b"\xa5" * 24 * MIB)
    words = r"EXT2 has sectors or blocks below the disk's sectors of 4096 bytes.*in order only"
    with (
        FileDevice(tmp_path / "target") as device, FullImage.open(JoinedReader(archive.open("rb"))) as image,
        pytest.raises(StorageError, match=words),
    ):
        restore(image, device, place=LARGE)
    assert (tmp_path / "target").read_bytes() == b"\xa5" * 24 * MIB


def test_ntfs_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as image:
        image.truncate(8 * MIB)
    run_tool(["mkntfs", "-F", "-Q", "-q", "-s", "512", source])
    with pytest.raises(StorageError, match="NTFS with sectors of 512 bytes, the disk has sectors of 4096"):
        onto(packed(source), tmp_path / "target", 8 * MIB)
    assert (tmp_path / "target").read_bytes() == b"\xa5" * 8 * MIB
    assert onto(packed(source), tmp_path / "target", 8 * MIB, Place(256, 16, 63, 512)).how == "same size"


def test_swap_stays_swap(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as image:
        image.truncate(4 * MIB)
    run_tool(["mkswap", "-L", "SWAP", source])
    for size in (4, 6, 3):
        onto(packed(source), tmp_path / "target", size * MIB)
        assert 'LABEL="SWAP"' in run_tool(["blkid", "-p", tmp_path / "target"]).stdout


SCRIPT = """SetPartitions "{table}"
Clean "2 3"
FullUnzip "fat.imz" 1
FullUnzip "ext.imz" 2
FullUnzip "swap.imz" 3
"""


@pytest.mark.parametrize("table", ["BIGDOS:40 LINUX-EXT2:24 LINUX-SWAP:8", "GPT EFI:40 LINUX-EXT2:24 LINUX-SWAP:8"], ids=["MBR", "GPT"])
def test_a_script_fills_a_disk_with_large_sectors(tmp_path: Path, tree: Path, table: str) -> None:
    """The same script as for 512-byte sectors; archives from there; what it made is judged by others."""
    fill(tmp_path, tree)
    (tmp_path / "s.bpb").write_text('set Sector-Size = "4096"\n' + SCRIPT.format(table=table))
    image = tmp_path / "disk.img"
    result = execute(RunOptions(script=tmp_path / "s.bpb", disks=[NewDisk(image, 96 * MIB)], seed="sectors"))
    assert result.error is None, result.error
    judge(tmp_path, image, tree, table)


@pytest.fixture
def large_disk(tmp_path: Path) -> Iterator[Path]:
    """A block device of the kernel with sectors of 4096 bytes."""
    if os.geteuid():
        pytest.skip("root attaches loop devices")
    image = tmp_path / "loop.img"
    with image.open("wb") as file:
        file.truncate(96 * MIB)
    made = run_tool(["losetup", "-b", "4096", "-f", "--show", image], ok=None)
    if made.returncode:
        pytest.skip("root: this kernel gives no loop devices")
    yield Path(made.stdout.strip())
    run_tool(["losetup", "-d", made.stdout.strip()])


def test_a_real_disk_tells_the_size_of_its_sectors(tmp_path: Path, tree: Path, large_disk: Path) -> None:
    fill(tmp_path, tree)
    table = "GPT EFI:40 LINUX-EXT2:24 LINUX-SWAP:8"
    (tmp_path / "s.bpb").write_text(SCRIPT.format(table=table))
    result = execute(RunOptions(script=tmp_path / "s.bpb", disks=[str(large_disk)], write_real_disks=True, seed="sectors"))
    assert result.error is None, result.error
    judge(tmp_path, tmp_path / "loop.img", tree, table)


def fill(folder: Path, tree: Path) -> None:
    """Archives of FAT16, ext2 with 1 KiB blocks and swap, all of 512-byte sectors."""
    fat = mkfs_fat(folder / "fat", 40 * MIB, "-F", "16", "-s", "4", "-n", "WORK")
    mtools(fat, "mcopy", "-s", "-Q", *tree.iterdir(), "::")
    packed(fat)
    packed(mke2fs(folder / "ext", 20 * MIB, "-t", "ext2", "-b", "1024", "-d", tree))
    with (folder / "swap").open("wb") as image:
        image.truncate(4 * MIB)
    run_tool(["mkswap", folder / "swap"])
    packed(folder / "swap")


def judge(folder: Path, image: Path, tree: Path, table: str) -> None:
    rows = fdisk_rows(image, 4096)
    assert len(rows) == 3, rows
    start = [row[0] for row in rows]
    assert all(begin % MIB == 0 for begin in start)
    fsck_fat(image, start[0])
    assert mtools_tree(image, folder / "found-fat", start[0]) == files(tree)
    e2fsck(image, start[1])
    assert debugfs_tree(image, folder / "found-ext", start[1]) == files(tree)
    words = run_tool(["blkid", "-p", "-O", str(start[2]), image]).stdout
    assert 'TYPE="swap"' in words
