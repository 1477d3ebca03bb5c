"""Kernels that can be started from Linux: what their first bytes say, and of which release they are.

Sources: Linux Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header" (version 2.15); Documentation/arch/arm64/booting.rst.
"""

import re
import struct

from ...base.errors import FormatError
from ...base.units import KIB

HEAD = 4 * KIB      # bytes that tell

# boot flag +0x1FE, jump +0x200, magic +0x202, version +0x206
_X86_MAGIC = struct.Struct("<HHIH")
_X86_RELEASE = 0x20E            # version 2.00; where its text is, from byte 0x200 on
_X86_LOADFLAGS = 0x211          # bit 0: loaded at 1 MB and above, so a bzImage and no zImage
_X86_XLOADFLAGS = 0x236         # version 2.12; bits 0 and 1: a 64-bit entry point, and no bound at 4 GiB
_X86_CMDLINE_SIZE = 0x238       # version 2.06: bytes without the final NUL
_X86_HDRS = 0x53726448          # "HdrS"
_NEEDED = 0b11
_OLD_CMDLINE_SIZE = 255         # before version 2.06
_ARM64_MAGIC = (56, b"ARM\x64")
_ARM64_CMDLINE_SIZE = 2047      # COMMAND_LINE_SIZE of its uapi/asm/setup.h, with the NUL
_RELEASE = re.compile(rb"[!-~]{1,64}")
_BANNER = re.compile(rb"Linux version ([!-~]{1,64}) \(")     # init/version-timestamp.c; an Image is not packed


def check_kernel(name: str, head: bytes, processor: str) -> int:
    """The longest command line in bytes that a kernel takes; `head` are its first bytes, `processor` is `uname -m`.

    Raises FormatError for what is no kernel, or none that can be started on this processor.
    """
    if processor == "x86_64":
        return _check_x86(name, head)
    if processor == "aarch64":
        place, magic = _ARM64_MAGIC
        if head[place : place + len(magic)] != magic:
            raise FormatError(f'"{name}" is no Linux kernel for this machine: it does not begin as an arm64 Image', hint="a packed Image.gz must be unpacked")
        return _ARM64_CMDLINE_SIZE
    raise FormatError(f'"{name}" cannot be started: Linux on {processor} is not known here')


def release(kernel: bytes, processor: str) -> str | None:
    """What `uname -r` says when it runs, which is also the name of the folder of its modules; None when the kernel, a checked one, does not say."""
    if processor == "x86_64":
        found = _RELEASE.match(kernel, 0x200 + int.from_bytes(kernel[_X86_RELEASE : _X86_RELEASE + 2], "little"))
        return None if found is None else found[0].decode()
    found = _BANNER.search(kernel)
    return None if found is None else found[1].decode()


def _check_x86(name: str, head: bytes) -> int:
    if len(head) < 0x240:
        raise FormatError(f'"{name}" is no Linux kernel: it has only {len(head)} bytes')
    flag, _, magic, version = _X86_MAGIC.unpack_from(head, 0x1FE)
    if flag != 0xAA55 or magic != _X86_HDRS or version < 0x200:
        raise FormatError(f'"{name}" is no Linux kernel: it has no boot header (a bzImage has "HdrS" at byte 514)')
    if not head[_X86_LOADFLAGS] & 1:
        raise FormatError(f'"{name}" is a zImage, which cannot be started from here', hint="a bzImage can")
    flags = int.from_bytes(head[_X86_XLOADFLAGS : _X86_XLOADFLAGS + 2], "little") if version >= 0x20C else 0
    if flags & _NEEDED != _NEEDED:
        raise FormatError(
            f'"{name}" has no 64-bit entry point, so it cannot be started from here', hint="kernels for x86-64 since Linux 3.9 have one"
        )
    return int.from_bytes(head[_X86_CMDLINE_SIZE : _X86_CMDLINE_SIZE + 4], "little") or _OLD_CMDLINE_SIZE
