"""A workstation whose system calls are written down instead of made."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from bpscript.machine.workstation.system_calls import Restart


def bzimage(body: bytes = b"", *, version: int = 0x20F, loadflags: int = 1, xloadflags: int = 3, command_line: int = 2047) -> bytes:
    """The head of a kernel for x86 (boot.rst), and something behind it."""
    head = bytearray(4096)
    head[0x1FE:0x200] = b"\x55\xaa"
    head[0x202:0x206] = b"HdrS"
    head[0x206:0x208] = version.to_bytes(2, "little")
    head[0x211] = loadflags
    head[0x236:0x238] = xloadflags.to_bytes(2, "little")
    head[0x238:0x23C] = command_line.to_bytes(4, "little")
    return bytes(head) + body


@dataclass
class RecordedCalls:
    """`loaded` is what was given to kexec: kernel, ramdisk, command line."""

    processor: str = "x86_64"
    loaded: list[tuple[bytes, bytes | None, str]] = field(default_factory=list)
    restarts: list[Restart] = field(default_factory=list)
    clock: list[int] = field(default_factory=list)
    floppies: list[tuple[bytes, bytes]] = field(default_factory=list)

    def load_kernel(self, name: str, kernel: Iterable[bytes], ramdisk: Iterable[bytes] | None, command_line: str) -> None:
        self.loaded.append((b"".join(kernel), None if ramdisk is None else b"".join(ramdisk), command_line))

    def load_floppy(self, memdisk: bytes, image: bytes) -> None:
        self.floppies.append((memdisk, image))

    def restart(self, how: Restart) -> None:
        self.restarts.append(how)

    def set_clock(self, seconds: int) -> None:
        self.clock.append(seconds)
