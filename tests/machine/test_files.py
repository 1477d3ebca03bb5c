"""Files by name, on volumes with symbolic links and at a server."""

from pathlib import Path

import pytest

from bpscript.base.clock import Clock
from bpscript.base.entropy import Entropy
from bpscript.base.errors import InTheWayError, NotFoundError, StorageError
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.filesystem import HasUnixObjects
from bpscript.filesystems.links import follow_links
from bpscript.machine.disk import Disk
from bpscript.machine.disks import Disks
from bpscript.machine.files import Files
from bpscript.machine.formatting import format_partition, geometry_of
from bpscript.machine.settings import NoSettings
from bpscript.network.memory import MemorySource
from bpscript.partitions.plan import plan_partitions


@pytest.fixture
def files() -> Files:
    """Disk 0 with FAT16 on 1 and ext2 on 2, and a server with one file."""
    disk = Disk(0, MemoryDevice(64 << 20), "memory", NoSettings(), Clock(0))
    plan_partitions("BIGDOS:20 LINUX-EXT2:20", disk.device, entropy=Entropy("t")).apply(disk.device)
    disk.forget()
    for number in (1, 2):
        format_partition(disk, number, label="", linux_kind="EXT2", geometry=geometry_of(disk, ""), entropy=Entropy("t"), clock=Clock(0))
    source = MemorySource({"hosts": b"127.0.0.1\n"})
    return Files(Disks([disk]), source, MemorySource(), "MrBatch", NoSettings())


@pytest.mark.parametrize("folder", ["{:1}/", "{:2}/"])
def test_files_are_written_read_and_removed(files: Files, folder: str) -> None:
    files.at(f"{folder}a/b").make_dir()
    files.write(f"{folder}a/b/c", files.chunks("hosts"))
    assert files.read(f"{folder}a/b/c") == b"127.0.0.1\n"
    assert files.exists(f"{folder}a/b/c")
    assert files.exists(f"{folder}a/b")
    with pytest.raises(InTheWayError, match="is a directory"):
        files.at(f"{folder}a").remove()
    with pytest.raises(NotFoundError, match="no directory"):
        files.write(f"{folder}no/file", [b"x"])
    with pytest.raises(InTheWayError, match="is a directory"):
        files.write(f"{folder}a", [b"x"])
    files.at(f"{folder}a").remove_tree()
    assert not files.exists(f"{folder}a/b/c")


def test_links_are_followed_inside_the_volume(files: Files) -> None:
    volume = files.disks[0].volume(2)
    assert isinstance(volume, HasUnixObjects)
    volume.make_dir("real")
    volume.make_symlink("absolute", "/real/../real")
    volume.make_symlink("real/up", "../../../x")
    volume.make_symlink("loop", "loop")
    files.write("{:2}/absolute/f", [b"1"])
    assert files.read("{:2}/real/f") == b"1"
    assert follow_links(volume, "absolute/up") == "x"
    with pytest.raises(StorageError, match="circle"):
        files.read("{:2}/loop")
    assert not files.exists("{:2}/loop/x")


def test_the_network_is_gone_after_hide_boot_prom(files: Files) -> None:
    assert files.exists("hosts")
    files.network_gone = True
    assert not files.exists("hosts")
    with pytest.raises(NotFoundError, match="network is gone"):
        files.read("hosts")
    assert not files.exists("{:1}/hosts")


def test_what_is_not_there_is_named(files: Files) -> None:
    with pytest.raises(NotFoundError, match="there is only disk 0"):
        files.read("{4:1}/x")
    with pytest.raises(NotFoundError, match="disk 0 has no partition 3"):
        files.read("{:3}/x")
    assert not files.exists("{4:1}/x")
    assert not files.exists("{:3}/x")


def test_server_files_are_stored(files: Files, tmp_path: Path) -> None:
    files.write("copy", files.chunks("hosts"))
    assert files.read("copy") == files.read("hosts")
