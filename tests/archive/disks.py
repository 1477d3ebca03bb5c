"""Whole disks as other programs make them, with file systems and files in their partitions, for tests of disk archives."""

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bpscript.archive.disk_capture import capture_disk
from bpscript.archive.disk_image import DiskImage
from bpscript.base.clock import Clock
from bpscript.base.units import MIB
from bpscript.blocks.device import BlockDevice
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.partitions.partition import Partition
from bpscript.partitions.table import read_table
from tests.archive.archives import MemorySink
from tests.oracles import mkfs_fat, mtools, parted, run_tool, sfdisk
from tests.partitions.disks import put, sparse

CLOCK = Clock(1_700_000_000_000_000_000)
SWAP_UUID = "0f0f0f0f-1111-2222-3333-444444444444"


@dataclass(frozen=True)
class Layout:
    """How a disk is made: its size in MB, what lays it out, and what goes on each partition by number."""

    size: int
    lay_out: Callable[[Path], object]
    contents: dict[int, str]


def _ours(path: Path, text: str) -> None:
    with FileDevice(path) as device:
        put(device, text)


LAYOUTS = {
    # A logical partition at the end, in the chain that sfdisk makes.
    "sfdisk-mbr": Layout(
        48,
        lambda path: sfdisk(path, "label: dos\n2048,14M,6,*\n,8M,83\n,,5\n,4M,82\n,12M,83\n,,6\n"),
        {1: "fat16", 2: "ext4", 5: "swap", 9: "ext4", 13: "fat12"},
    ),
    "sgdisk-gpt": Layout(
        64,
        lambda path: run_tool([
            "sgdisk", "-a", "2048", "-n", "1:2048:+1M", "-t", "1:ef02", "-n", "2:0:+20M", "-t", "2:ef00", "-n", "3:0:+8M", "-t", "3:0700",
            "-c", "3:Data of Zoë", "-n", "4:0:0", "-t", "4:8300", "-A", "3:set:60", path,
        ]),
        {1: "random", 2: "fat16", 3: "ntfs", 4: "ext4"},
    ),
    # Partitions right behind the table, on no MiB; the last one is FAT and does not reach the end.
    "parted-gpt": Layout(
        40,
        lambda path: parted(path, "mklabel", "gpt", "mkpart", "one", "ext2", "34s", "8000s", "mkpart", "two", "fat32", "8001s", "50000s"),
        {1: "ext2", 2: "fat16"},
    ),
    "parted-mbr": Layout(
        40,
        lambda path: parted(path, "mklabel", "msdos", "mkpart", "primary", "ext2", "63s", "20000s", "mkpart", "primary", "ntfs", "20001s", "50000s"),
        {1: "ext2", 2: "ntfs"},
    ),
    "ours-nested": Layout(
        60,
        lambda path: _ours(path, "BIGDOS:10 EXT:46 EMPTY EMPTY LINUX-SWAP:3 EXT:40 LINUX-EXT2:2 EMPTY LINUX-EXT2:16 BIGDOS:20"),
        {1: "fat12", 5: "swap", 7: "random", 9: "ext4", 10: "fat16"},
    ),
    "ours-gpt": Layout(48, lambda path: _ours(path, "GPT EFI:20 LINUX-SWAP:4 LINUX-EXT2:*"), {1: "fat16", 2: "swap", 3: "ext4"}),
}


def make_disk(path: Path, name: str) -> Path:
    """A disk of one of the `LAYOUTS`, with a boot track and files; what nobody uses holds junk."""
    layout = LAYOUTS[name]
    rng = random.Random(name)
    sparse(path, layout.size).close()
    layout.lay_out(path)
    with FileDevice(path) as device:
        table = read_table(device)
        track = min(each.start for each in table.partitions)
        if table.scheme == "MBR":
            device.write(512, rng.randbytes(track - 512))           # as GRUB's core.img
        device.write(0, b"\xeb\x63\x90" + rng.randbytes(437))
        for number, kind in layout.contents.items():
            each = table.get(number)
            assert each is not None, (number, table)
            fill(device, each, kind, path.with_suffix(f".{number}"), rng)
    return path


def fill(device: BlockDevice, partition: Partition, kind: str, scratch: Path, rng: random.Random) -> None:
    """A file system with files on a partition."""
    if kind == "random":
        device.write(partition.start, rng.randbytes(min(partition.size, MIB)))
        return
    volume = make_volume(scratch, partition.size, kind, rng)
    data = volume.read_bytes()
    device.write(partition.start, data)
    volume.unlink()


def make_volume(path: Path, size: int, kind: str, rng: random.Random) -> Path:
    """A volume of `size` bytes in a file: fat12, fat16, fat32, ext2, ext4, ntfs, swap; its free room holds junk where it is easy."""
    folder = path.with_suffix(".files")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "sub folder").mkdir(parents=True)
    for number in range(6):
        (folder / "sub folder" / f"file number {number}").write_bytes(rng.randbytes(20_000 * number))
    (folder / "letter").write_bytes(b"dear reader\n" * 1000)
    for each in sorted(folder.rglob("*")):
        os.utime(each, (1_600_000_000, 1_600_000_000))
    if kind.startswith("fat"):
        options = ["-F", kind[3:], "-n", "DISKTEST", *(["-s", "1"] if kind != "fat12" and size < 34 * MIB else [])]
        mkfs_fat(path, size // 512 * 512, *options)
        mtools(path, "mcopy", "-s", "-m", *sorted(folder.iterdir()), "::")
    elif kind.startswith("ext"):
        with path.open("wb") as image:
            image.truncate(size)
        run_tool(["mke2fs", "-q", "-F", "-t", kind, "-L", "disktest", "-d", folder, path])
    elif kind == "ntfs":
        with path.open("wb") as image:
            image.truncate(size)
        run_tool(["mkntfs", "-q", "-F", "-Q", "-L", "disktest", "-s", "512", path])
    else:
        with path.open("wb") as image:
            image.truncate(size)
        run_tool(["mkswap", "-q", "-L", "disktest", "-U", SWAP_UUID, path])
    shutil.rmtree(folder)
    return path


def archive_of(device: BlockDevice, **options: object) -> bytes:
    """The archive of a disk."""
    sink = MemorySink()
    capture_disk(device, sink, clock=CLOCK, level=1, **options)  # type: ignore[arg-type]
    return sink.data


def opened(data: bytes) -> DiskImage:
    """A disk archive from memory."""
    return DiskImage.open(MemoryDevice(data))
