"""Small good volumes and disks to be damaged, and inputs that say how.

An input is patches, `>HB` offset and length and then that many bytes, one after the other. The offset counts only bytes of blocks that
hold something: a fuzzer is not to waste its time in empty space.
"""

import random
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from bpscript.base.clock import Clock
from bpscript.base.entropy import Entropy
from bpscript.blocks.memory import MemoryDevice
from bpscript.blocks.overlay import OverlayDevice
from bpscript.filesystems.cache import CacheVolume, format_cache
from bpscript.filesystems.detect import open_volume
from bpscript.filesystems.ext import format_ext
from bpscript.filesystems.fat import format_fat
from bpscript.filesystems.filesystem import HasUnixObjects
from bpscript.filesystems.swap import format_swap
from bpscript.partitions.plan import plan_partitions
from tests.oracles import run_tool

KIB, MIB = 1 << 10, 1 << 20
CLOCK = Clock(1_700_000_000_000_000_000)
_BLOCK = 128
_PATCH = struct.Struct(">HB")


class Golden:
    """A good image, as the places that hold something; `damaged` applies an input to a copy on write."""

    def __init__(self, image: bytes) -> None:
        self.device = MemoryDevice(image)
        empty = bytes(_BLOCK)
        self._blocks = [start for start in range(0, len(image), _BLOCK) if image[start : start + _BLOCK] != empty[: len(image) - start]]

    def damaged(self, patches: bytes) -> OverlayDevice:
        device = OverlayDevice(self.device)
        room = len(self._blocks) * _BLOCK
        position = 0
        while position + _PATCH.size < len(patches):
            offset, length = _PATCH.unpack_from(patches, position)
            piece = patches[position + _PATCH.size : position + _PATCH.size + length]
            position += _PATCH.size + length
            block, rest = divmod(offset % room, _BLOCK)
            start = self._blocks[block] + rest
            device.write(start, piece[: device.size - start])
        return device

    def seeds(self) -> list[bytes]:
        """Inputs to begin with: single fields, half of them of the first blocks, set to numbers that often do harm."""
        chance = random.Random(7)
        numbers = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x01\0\0\0", b"\xff\xff", b"\0\0", b"\x80", b"\x05\0\0\0\0\0\0\0", b"\xff\xff\xff\xff\xff\xff\xff\x7f")
        inputs = [b""]
        room = min(len(self._blocks) * _BLOCK, 65536)
        for index in range(48):
            end = room if index % 2 else min(room, 16 * _BLOCK)
            inputs.append(b"".join(_PATCH.pack(chance.randrange(0, end), len(number)) + number for number in chance.choices(numbers, k=chance.choice((1, 1, 2, 6)))))
        return inputs


def _fill(device: MemoryDevice) -> bytes:
    volume = open_volume(device, clock=CLOCK)
    volume.make_dir("directory")
    volume.make_dir("directory/below")
    for number in range(6):
        volume.write_file(f"directory/file with a long name {number}", [bytes([65 + number]) * number * 700])
    volume.write_file("directory/below/SHORT.TXT", [b"some text " * 500])
    if isinstance(volume, HasUnixObjects):
        volume.make_symlink("link", "directory/below/SHORT.TXT")
    volume.close()
    return device.read(0, device.size)


def _fat(width: int, size: int) -> bytes:
    device = MemoryDevice(size)
    format_fat(device, width, "LABEL", volume_id=0x12345678)
    return _fill(device)


def _ext(kind: str) -> bytes:
    device = MemoryDevice(512 * KIB)
    format_ext(device, kind, "LABEL", UUID(int=5), UUID(int=6), clock=CLOCK)
    return _fill(device)


def _ntfs() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ntfs"
        with path.open("wb") as image:
            image.truncate(1_099_776)
        run_tool(["mkntfs", "-F", "-Q", "-q", "-s", "512", "-c", "512", path])
        return path.read_bytes()


def _swap() -> bytes:
    device = MemoryDevice(64 * KIB)
    format_swap(device, "LABEL", UUID(int=7))
    return device.read(0, device.size)


def _disk(partitions: str) -> bytes:
    device = MemoryDevice(24 * MIB)
    plan_partitions(partitions, device, entropy=Entropy("fuzz")).apply(device)
    return device.read(0, device.size)


def _cache() -> bytes:
    device = MemoryDevice(2 * MIB)
    format_cache(device)
    volume = CacheVolume.on(device, clock=CLOCK)
    for number in range(3):
        volume.write_file(f"image{number}.imz", [random.Random(number).randbytes(40_000)])
    volume.close()
    return device.read(0, device.size)


_MAKERS: dict[str, Callable[[], bytes]] = {
    "fat12": lambda: _fat(12, 256 * KIB), "fat16": lambda: _fat(16, 4 * MIB + 128 * KIB), "fat32": lambda: _fat(32, 34 * MIB),
    "ext2": lambda: _ext("EXT2"), "ext4": lambda: _ext("EXT4"), "ntfs": _ntfs, "swap": _swap,
    "mbr": lambda: _disk("BIGDOS:4 EXT:12 EMPTY EMPTY BIGDOS:4 EXT:4 EMPTY EMPTY BIGDOS:4"), "gpt": lambda: _disk("GPT EFI:4 NTFS:4 LINUX-EXT2:4"),
    "cache": _cache,
}  # fmt: skip


@cache
def golden(name: str) -> Golden:
    """A good image by name."""
    return Golden(_MAKERS[name]())
