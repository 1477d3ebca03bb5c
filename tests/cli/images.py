"""Archives for the tests of `bpscript image`, made of what foreign tools formatted and filled."""

import os
from pathlib import Path

from bpscript.archive.capture import capture, survey
from bpscript.archive.destinations import HostDestination
from bpscript.archive.incremental import write_incremental
from bpscript.base.clock import Clock
from bpscript.blocks.file import FileDevice
from bpscript.filesystems.folder import FolderVolume
from tests.oracles import mke2fs, mkfs_fat, mtools

CLOCK = Clock(1_700_000_000_000_000_000)


def make_tree(folder: Path) -> Path:
    """Files of several sizes, directories, links, odd names."""
    (folder / "etc" / "deep").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "etc" / "fstab").write_text("/dev/sda1 / ext4 defaults 0 1\n")
    (folder / "etc" / "deep" / "räume").write_text("names\n")
    (folder / "big").write_bytes(bytes(range(256)) * 12_000 + b"end")
    (folder / "noise").write_bytes(os.urandom(1_500_000))
    (folder / "nothing").touch()
    (folder / "etc" / "hostname").symlink_to("deep/räume")
    os.link(folder / "etc" / "fstab", folder / "etc" / "zweiter")
    os.chmod(folder / "etc" / "fstab", 0o640)
    for number, path in enumerate(sorted(folder.rglob("*"))):
        os.utime(path, ns=(10**18 + number, 10**18 + 123_456_789 * number), follow_symlinks=False)
    return folder


def ext_image(path: Path, tree: Path, size: int = 32 << 20) -> Path:
    """A partition of ext4 with a tree in it."""
    return mke2fs(path, size, "-t", "ext4", "-L", "model", "-d", tree)


def fat_image(path: Path, tree: Path, size: int = 40 << 20) -> Path:
    """A partition of FAT32 with what FAT can hold of a tree."""
    mkfs_fat(path, size, "-F", "32", "-n", "MODEL")
    for name in ("etc", "big", "noise", "empty"):
        mtools(path, "mcopy", "-s", "-m", "-Q", tree / name, "::/")
    return path


def captured(image: Path, archive: Path, fragment_size: int | None = None) -> Path:
    """The full archive of a partition image."""
    with FileDevice(image, writable=False) as device, HostDestination(archive, fragment_size) as sink:
        capture(survey(device, clock=CLOCK), sink)
        sink.commit()
    return archive


def packed(tree: Path, archive: Path) -> Path:
    """The incremental archive of a folder."""
    folder = FolderVolume(tree)
    with HostDestination(archive) as sink:
        write_incremental(sink, folder, clock=CLOCK)
        sink.commit()
    folder.close()
    return archive


def flip(path: Path, *places: int) -> None:
    """Change single bytes of a file."""
    data = bytearray(path.read_bytes())
    for place in places:
        data[place] ^= 0x40
    path.write_bytes(data)
