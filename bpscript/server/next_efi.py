"""A program for UEFI that does nothing but say it was not found: the firmware then goes on to its next boot device.

`exit` of iPXE cannot do that: older builds of ipxe.efi return success whatever a script says, and after a success firmware shows its menu
(UEFI 2.10, 3.1.1). Unsigned, so Secure Boot refuses it, with the same effect. Source of the layout: Microsoft "PE Format".
"""

import struct
from collections.abc import Mapping

_HEADERS, _CODE = 0x200, 0x1000             # bytes of the headers in the file; where the code is in memory
_NOT_FOUND = 0x8000_0000_0000_000E          # EFI_NOT_FOUND on 64 bits (UEFI 2.10, appendix D)
_EXECUTABLE = 0x0022                        # executable, may lie above 2 GiB; not "relocations stripped": there is nothing to relocate
_APPLICATION = 10                           # subsystem
_TEXT = 0x6000_0020                         # section flags: code, may be executed and read

# Machine, sections, time, symbols, how many, size of the optional header, characteristics.
_COFF = struct.Struct("<4sHHIIIHH")
# Magic PE32+, linker, size of code, of data, of zeros, entry point, base of code, image base, alignments, versions (3 pairs), reserved,
# size of the image, of the headers, checksum, subsystem, flags, stack and heap, loader flags, how many directories (which are all zeros).
_OPTIONAL = struct.Struct("<HHIIIIIQII6HIIIIHH4QII")
_SECTION = struct.Struct("<8sIIIIIIHHI")
_DIRECTORIES = 16
_X64 = b"\x48\xb8" + _NOT_FOUND.to_bytes(8, "little") + b"\xc3"                                     # mov rax, NOT_FOUND; ret
_ARM64 = struct.pack("<3I", 0xD28001C0, 0xF2F00000, 0xD65F03C0)                                    # mov x0, #14; movk x0, #0x8000, lsl #48; ret


def _program(machine: int, code: bytes) -> bytes:
    size = _OPTIONAL.size + 8 * _DIRECTORIES
    head = b"MZ".ljust(60, b"\0") + (64).to_bytes(4, "little")
    head += _COFF.pack(b"PE\0\0", machine, 1, 0, 0, 0, size, _EXECUTABLE)
    head += _OPTIONAL.pack(
        0x20B, 0, _HEADERS, 0, 0, _CODE, _CODE, 0, _CODE, _HEADERS, 0, 0, 0, 0, 0, 0, 0, 2 * _CODE, _HEADERS, 0, _APPLICATION, 0, 0, 0, 0, 0, 0, _DIRECTORIES
    )
    head += bytes(8 * _DIRECTORIES) + _SECTION.pack(b".text", len(code), _CODE, _HEADERS, _HEADERS, 0, 0, 0, 0, _TEXT)
    return head.ljust(_HEADERS, b"\0") + code.ljust(_HEADERS, b"\0")


# By the names that DHCP gives away (network/dhcp/plan.py).
PROGRAMS: Mapping[str, bytes] = {"api/next/x64.efi": _program(0x8664, _X64), "api/next/arm64.efi": _program(0xAA64, _ARM64)}
