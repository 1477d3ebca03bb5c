"""Disks and scripts for the tests of power cuts, and the judges of what is left."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from bpscript import api
from bpscript.base.clock import Clock
from bpscript.base.units import MIB
from bpscript.blocks.device import BlockDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.blocks.overlay import OverlayDevice
from bpscript.filesystems.detect import open_volume
from bpscript.filesystems.ext.superblock import VALID_FS, Superblock
from bpscript.filesystems.fat.geometry import Geometry
from bpscript.filesystems.fat.state import VolumeState
from bpscript.filesystems.fat.table import FatTable
from bpscript.filesystems.filesystem import FileKind, walk
from bpscript.machine.disk import Disk
from bpscript.machine.settings import NoSettings
from tests.oracles import e2fsck, fsck_fat, run_tool

CLOCK = Clock(1_000_000_000_000_000_000)
Tree = dict[str, bytes]


def run(script: str, disk: BlockDevice, folder: Path, seed: str = "seed") -> None:
    """Run lines as MrZip in a folder; they must succeed."""
    path = folder / "work.mrz"
    path.write_text(script)
    here = Path.cwd()
    os.chdir(folder)
    try:
        result = api.execute(api.RunOptions(script=path, disks=[disk], seed=seed, log=lambda text: None, clock=CLOCK))
    finally:
        os.chdir(here)
    if result.error is not None:
        raise AssertionError(result.error.explain())


def made(script: str, folder: Path, size: int = 24 * MIB) -> MemoryDevice:
    """A new disk on which the lines have run."""
    disk = MemoryDevice(size)
    run(script, disk, folder)
    return disk


def is_valid(disk: BlockDevice, number: int) -> bool:
    """`If valid :number`."""
    return Disk(0, OverlayDevice(disk), "disk", NoSettings(), CLOCK).is_valid(number)


def partition(disk: BlockDevice, number: int) -> BlockDevice:
    """The bytes of a partition, changes in memory."""
    return Disk(0, OverlayDevice(disk), "disk", NoSettings(), CLOCK).partition(number)


def files(device: BlockDevice) -> Tree:
    """Every file of a volume, by our own reading."""
    found: Tree = {}
    with closing(open_volume(OverlayDevice(device), clock=CLOCK, writable=False)) as volume:
        for path, facts in walk(volume):
            if facts.kind is FileKind.DIRECTORY:
                found[path + "/"] = b""
            elif facts.kind is FileKind.FILE:
                with closing(volume.open(path)) as reader:
                    data = b""
                    while piece := reader.read(MIB):
                        data += piece
                    found[path] = data
    return found


def on_host(device: BlockDevice, work: Callable[[Path], None]) -> MemoryDevice:
    """Let foreign programs work on a file with the bytes of a device; what they leave. Most of it is zeros, which are not moved."""
    descriptor, name = tempfile.mkstemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    try:
        os.truncate(descriptor, device.size)
        for offset in range(0, device.size, _PIECE):
            data = device.read(offset, min(_PIECE, device.size - offset))
            if data != _ZEROS[: len(data)]:
                os.pwrite(descriptor, data, offset)
        work(Path(name))
        left = MemoryDevice(device.size)
        for start, end in _data_of(descriptor, device.size):
            left.write(start, os.pread(descriptor, end - start, start))
        return left
    finally:
        os.close(descriptor)
        Path(name).unlink()


_PIECE = 64 << 10
_ZEROS = bytes(_PIECE)


def _data_of(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Where a file holds something."""
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:
            return      # ENXIO: nothing more
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end


def _mend_ext(path: Path) -> None:
    run_tool(["e2fsck", "-f", "-y", path], ok=(0, 1, 2))
    run_tool(["e2fsck", "-f", "-n", path])


def _mend_fat(path: Path) -> None:
    run_tool(["fsck.fat", "-a", "-w", path], ok=(0, 1))
    run_tool(["fsck.fat", "-n", path])


def live(device: BlockDevice) -> tuple[str, Tree]:
    """How a volume presents itself ("clean" or "marked"), and its files after the check that a marked one gets from its system.

    One that says it is clean must be.
    """
    kind = open_kind(device)
    if kind.startswith("FAT"):
        marked = _fat_is_marked(device)
        mended = on_host(device, _mend_fat if marked else fsck_fat)
    else:
        marked = not Superblock.read(device).state & VALID_FS
        mended = on_host(device, _mend_ext if marked else e2fsck)
    return ("marked" if marked else "clean"), files(mended)


def open_kind(device: BlockDevice) -> str:
    """The kind of the file system. Fails when there is none."""
    with closing(open_volume(OverlayDevice(device), clock=CLOCK, writable=False)) as volume:
        return volume.kind


def _fat_is_marked(device: BlockDevice) -> bool:
    sector = device.read(0, 512)
    geometry = Geometry.from_sector(sector)
    return VolumeState(device, sector, geometry).is_marked(FatTable(device, geometry))


def expect_old_or_new(found: Mapping[str, bytes], old: Mapping[str, bytes], new: Mapping[str, bytes]) -> str:
    """Each file has its old or its new contents; nothing else is lost, and nothing is there that was in neither."""
    state = set()
    for path in sorted(old.keys() | new.keys()):
        now = found.get(path)
        if now == old.get(path):
            if old.get(path) != new.get(path):
                state.add("old")
        elif now == new.get(path):
            state.add("new")
        else:
            was = "no such file" if path not in old else f"{len(old[path])} bytes"
            wanted = "no such file" if path not in new else f"{len(new[path])} bytes"
            there = "no such file" if now is None else f"{len(now)} bytes, others"
            raise AssertionError(f'"{path}": found {there}; before {was}, afterwards {wanted}')
    strange = [path for path in found if path not in old and path not in new and not path.startswith(("lost+found", "FSCK", "fsck"))]
    assert not strange, f"found {strange}"
    return "old and new" if len(state) > 1 else state.pop() if state else "same"
