"""memdisk by kexec: what lies where in memory when the kernel jumps to images/boot/realmode.asm.

        8000  realmode.bin: back to real mode
       10000  the real-mode part of memdisk, its header filled in; 1F000 the command line
      100000  the rest of memdisk
    below 896 MB, at the end of some memory: the floppy image

Source: Linux Documentation/arch/x86/boot.rst (version 2.15), which memdisk follows.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ...base.errors import FormatError, StorageError
from ...base.resources import image_bytes
from ...base.units import KIB

PAGE = 4 * KIB
START = 0x8000                      # of realmode.bin
_SETUP, _SETUP_SIZE = 0x10000, 0x10000
_COMMAND_LINE = 0xF000              # in it, above the stack
_HIGH = 0x100000
_HIGHEST = 0x37FF_FFFF              # of a ramdisk, where the header has no initrd_addr_max (before version 2.03)
_MEMORY = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) : System RAM$", re.MULTILINE)
_SECTOR = 512
_LINE = b"floppy raw\0"             # raw: disks are read in real mode, which works on every BIOS
# Of the header: offset, bytes.
_SETUP_SECTS, _MAGIC, _LOADER, _FLAGS, _RAMDISK, _RAMDISK_SIZE, _HEAP_END, _LINE_POINTER = (
    (0x1F1, 1), (0x202, 4), (0x210, 1), (0x211, 1), (0x218, 4), (0x21C, 4), (0x224, 2), (0x228, 4),
)
_HEAP_FROM = 0x200                  # heap_end_ptr counts from here
_HDRS = 0x53726448                  # "HdrS"
_CAN_USE_HEAP = 0x80
_UNKNOWN_LOADER = 0xFF


class Segment(NamedTuple):
    """Bytes that are at an address, a multiple of PAGE, when the kernel has left; `size` is what is theirs there."""

    address: int
    data: bytes
    size: int


@dataclass(frozen=True, slots=True)
class _Memory:
    """Memory from `start` to `end`."""

    start: int
    end: int


def floppy_segments(memdisk: bytes, image: bytes, io_memory: str) -> list[Segment]:
    """All of them; `io_memory` is what /proc/iomem says. Raises FormatError, StorageError."""
    head = bytearray(memdisk[: _SECTOR * 2])
    if len(head) < _SECTOR * 2 or _get(head, _MAGIC) != _HDRS:
        raise FormatError('"memdisk" is not that of Syslinux: it has no boot header (a bzImage has "HdrS" at byte 514)')
    length = (_get(head, _SETUP_SECTS) + 1) * _SECTOR
    if length > _COMMAND_LINE - 2 * PAGE or len(memdisk) <= length:
        raise FormatError(f'"memdisk" is not that of Syslinux: {len(memdisk)} bytes, of which {length} are for real mode')
    setup, rest = bytearray(memdisk[:length].ljust(_COMMAND_LINE, b"\0") + _LINE), memdisk[length:]
    place = _place_for(len(image), _HIGH + len(rest), io_memory)
    for name, value in (
        (_LOADER, _UNKNOWN_LOADER), (_FLAGS, _get(setup, _FLAGS) | _CAN_USE_HEAP), (_HEAP_END, _COMMAND_LINE - PAGE - _HEAP_FROM),
        (_RAMDISK, place), (_RAMDISK_SIZE, len(image)), (_LINE_POINTER, _SETUP + _COMMAND_LINE),
    ):
        offset, size = name
        setup[offset : offset + size] = value.to_bytes(size, "little")
    return [
        Segment(START, image_bytes("boot/realmode.bin"), PAGE),
        Segment(_SETUP, bytes(setup), _SETUP_SIZE),
        Segment(_HIGH, rest, _pages(len(rest))),
        Segment(place, image, _pages(len(image))),
    ]


def io_memory() -> str:
    """What the kernel says lies where; with addresses for root only."""
    return Path("/proc/iomem").read_text(encoding="ascii", errors="replace")


def _place_for(size: int, above: int, text: str) -> int:
    """The highest place for an image. Raises StorageError."""
    for memory in sorted(_memories(text), key=lambda each: each.end, reverse=True):
        start = (min(memory.end, _HIGHEST + 1) - _pages(size)) // PAGE * PAGE
        if start >= max(memory.start, above):
            return start
    raise StorageError(f"there is no memory for {size} bytes of a floppy image")


def _memories(text: str) -> Iterator[_Memory]:
    for match in _MEMORY.finditer(text):
        yield _Memory(int(match[1], 16), int(match[2], 16) + 1)     # the last byte is said


def _pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


def _get(head: bytes | bytearray, name: tuple[int, int]) -> int:
    offset, size = name
    return int.from_bytes(head[offset : offset + size], "little")
