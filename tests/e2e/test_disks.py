"""Archives of whole disks from the command line, on disks with sectors of 4096 bytes too."""

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bpscript.archive.disk_image import DiskImage
from bpscript.archive.positional import open_from_host
from bpscript.base.units import MIB
from bpscript.partitions.table import read_table
from tests.archive.disks import make_volume
from tests.oracles import cut_out, e2fsck, fdisk_rows, fsck_fat, run_tool
from tests.partitions.disks import put, sparse

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def disk_with_files(path: Path, sector_size: int) -> list[tuple[int, int]]:
    """A GPT disk of 80 MB with FAT16, swap and ext4; start and size of each."""
    with sparse(path, 80) as device:
        put(device, "GPT FAT16:40 LINUX-SWAP:4 LINUX-EXT2:30", sector_size=sector_size)
        rows = [(each.start, each.size) for each in read_table(device, sector_size).partitions]
        for number, (start, size) in enumerate(rows):
            volume = path.with_suffix(f".{number}")
            if number == 2:
                volume.touch()
                run_tool(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", volume, str(size // 4096)])
            else:
                make_volume(volume, size, ("fat16", "swap")[number], random.Random(7))
            device.write(start, volume.read_bytes())
            volume.unlink()
    return rows


def test_an_image_with_sectors_of_4096_bytes_keeps_them(tmp_path: Path, cli: Cli) -> None:
    rows = disk_with_files(tmp_path / "old.img", 4096)
    done = cli("image", "capture", "old.img", "disk.imz")
    assert done.returncode == 0, done.stderr
    assert cli("disk", "create", "new.img", "120M").returncode == 0
    done = cli("image", "restore", "disk.imz", "new.img", "--resize-last", "--verify", "--discard")
    assert done.returncode == 0, done.stderr
    assert fdisk_rows(tmp_path / "new.img", 4096) == [*rows[:2], (rows[2][0], 119 * MIB - rows[2][0])]
    e2fsck(cut_out(tmp_path / "new.img", rows[2][0], 119 * MIB - rows[2][0]))


@pytest.fixture
def disk_of_4096(tmp_path: Path) -> Iterator[Path]:
    """A real block device with such sectors, where the machine lends us one."""
    image = tmp_path / "loop.img"
    sparse(image, 100).close()
    try:
        found = subprocess.run(["losetup", "-b", "4096", "--find", "--show", str(image)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("losetup is not installed")
    if found.returncode:
        pytest.skip(f"no loop device: {found.stderr.strip()}")
    disk = Path(found.stdout.strip())
    try:
        yield disk
    finally:
        subprocess.run(["losetup", "--detach", str(disk)], check=True)


def test_a_real_disk_says_what_its_sectors_are(disk_of_4096: Path, tmp_path: Path, cli: Cli) -> None:
    """The table is translated, FAT is made anew with sectors that the disk can read."""
    rows = disk_with_files(tmp_path / "old.img", 512)
    assert cli("image", "capture", "old.img", "disk.imz").returncode == 0
    refused = cli("image", "restore", "disk.imz", str(disk_of_4096))
    assert refused.returncode != 0
    assert "add -w to allow writing" in refused.stderr
    done = cli("image", "restore", "disk.imz", str(disk_of_4096), "-w", "--verify")
    assert done.returncode == 0, done.stderr
    words = run_tool(["sfdisk", "-J", disk_of_4096]).stdout
    table = json.loads(words[words.index("{") :])["partitiontable"]
    assert table["sectorsize"] == 4096
    assert [(each["start"] * 4096, each["size"] * 4096) for each in table["partitions"]] == rows
    run_tool(["sfdisk", "--verify", disk_of_4096])
    fsck_fat(cut_out(tmp_path / "loop.img", *rows[0]))
    e2fsck(cut_out(tmp_path / "loop.img", *rows[2]))
    done = cli("image", "capture", str(disk_of_4096), "again.imz")
    assert done.returncode == 0, done.stderr
    with DiskImage.open(open_from_host(tmp_path / "again.imz")) as image:
        assert (image.facts.sector_size, [(each.start, each.size) for each in image.facts.partitions]) == (4096, rows)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('FullUnzip "disk.imz" 1', "the archive of a whole disk, not of a partition"),
        ('IncrUnzip "disk.imz" "{:1}"', "the archive of a whole disk, not an incremental one"),
        ('FullDump "disk.imz"', "is the archive of a whole disk, not a full archive"),
        ('IncrDump "disk.imz"', "is the archive of a whole disk, not an incremental archive"),
    ],
    ids=lambda text: text.split()[0],
)
def test_the_commands_of_the_language_say_what_a_disk_archive_is(line: str, words: str, tmp_path: Path, cli: Cli) -> None:
    assert cli("disk", "create", "disk.img", "20M", "--partitions", "BIGDOS:10", "--format").returncode == 0
    assert cli("image", "capture", "disk.img", "disk.imz").returncode == 0
    (tmp_path / "s.mrz").write_text(line + "\n")
    done = cli("run", "s.mrz", "--disk", "disk.img")
    assert done.returncode == 1
    assert words in done.stderr
