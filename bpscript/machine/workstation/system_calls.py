"""What only the kernel can do to the machine: load another kernel, restart, turn off, set the clocks.

Sources: kexec_file_load(2), kexec_load(2), reboot(2), rtc(4), memfd_create(2).
"""

import ctypes
import fcntl
import os
import struct
import time
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import Protocol

from ...base.errors import StorageError
from .real_mode import START, floppy_segments, io_memory

_KEXEC_FILE_LOAD = {"x86_64": 320, "aarch64": 294, "riscv64": 294}      # numbers of the system call
_KEXEC_LOAD = 246               # of x86-64
_NO_INITRAMFS = 4               # KEXEC_FILE_NO_INITRAMFS
_RTC_SET_TIME = 0x4024700A      # _IOW('p', 0x0a, struct rtc_time)
_RTC_TIME = struct.Struct("9i")     # seconds, minutes, hours, day, month from 0, year from 1900, and three that are not looked at
_WORDS = {1: "it is forbidden (Secure Boot, or kernel.kexec_load_disabled)", 8: "it is no kernel that can be started here", 12: "there is not enough memory", 22: "it is no kernel that can be started here", 38: "the kernel of the boot environment was built without kexec_file_load (CONFIG_KEXEC_FILE), as Debian's for arm64 is", 129: "it is not signed by a key that this kernel trusts"}


class Restart(IntEnum):
    """Commands of reboot(2)."""

    FIRMWARE = 0x01234567
    POWER_OFF = 0x4321FEDC
    KEXEC = 0x45584543


class Calls(Protocol):
    """The calls, so that tests can be somebody else."""

    processor: str      # as `uname -m`

    def load_kernel(self, name: str, kernel: Iterable[bytes], ramdisk: Iterable[bytes] | None, command_line: str) -> None:
        """Keep a kernel for `Restart.KEXEC`. Raises StorageError."""
        ...

    def load_floppy(self, memdisk: bytes, image: bytes) -> None:
        """Keep memdisk with an image for `Restart.KEXEC`; for BIOS machines only. Raises StorageError, FormatError."""
        ...

    def restart(self, how: Restart) -> None:
        """Does not come back. Raises StorageError."""
        ...

    def set_clock(self, seconds: int) -> None:
        """Set the system's clock and the one on the board, in seconds since 1970. Raises StorageError."""
        ...


class LinuxCalls:
    """The real ones; they need root."""

    def __init__(self, clock_device: Path = Path("/dev/rtc0")) -> None:
        self.processor = os.uname().machine
        self._clock_device = clock_device
        self._libc = ctypes.CDLL(None, use_errno=True)

    def load_kernel(self, name: str, kernel: Iterable[bytes], ramdisk: Iterable[bytes] | None, command_line: str) -> None:
        """Keep a kernel; both files are taken into memory first."""
        number = _KEXEC_FILE_LOAD.get(self.processor)
        if number is None:
            raise StorageError(f'"{name}" cannot be started: no kexec on {self.processor}')
        text = command_line.encode() + b"\0"
        kernel_file = _in_memory("kernel", kernel)
        try:
            ramdisk_file = -1 if ramdisk is None else _in_memory("ramdisk", ramdisk)
            try:
                flags = _NO_INITRAMFS if ramdisk is None else 0
                done = self._libc.syscall(
                    ctypes.c_long(number), ctypes.c_int(kernel_file), ctypes.c_int(ramdisk_file), ctypes.c_ulong(len(text)), ctypes.c_char_p(text),
                    ctypes.c_ulong(flags),
                )
                error = ctypes.get_errno()
            finally:
                if ramdisk is not None:
                    os.close(ramdisk_file)
        finally:
            os.close(kernel_file)
        if done != 0:
            raise StorageError(f'"{name}" cannot be started: {_WORDS.get(error, os.strerror(error))}')

    def load_floppy(self, memdisk: bytes, image: bytes) -> None:
        """Keep them in memory, and where they shall be."""
        segments = floppy_segments(memdisk, image, io_memory())
        keep = [ctypes.create_string_buffer(each.data, len(each.data)) for each in segments]
        # struct kexec_segment: buffer, its bytes, address, bytes there
        table = (ctypes.c_ulong * (4 * len(segments)))(
            *(number for buffer, each in zip(keep, segments, strict=True) for number in (ctypes.addressof(buffer), len(each.data), each.address, each.size))
        )
        if self._libc.syscall(ctypes.c_long(_KEXEC_LOAD), ctypes.c_ulong(START), ctypes.c_ulong(len(segments)), table, ctypes.c_ulong(0)) != 0:
            error = ctypes.get_errno()
            raise StorageError(f"the floppy image cannot be started: {_WORDS.get(error, os.strerror(error))}")

    def restart(self, how: Restart) -> None:
        """Write what is still in memory, then go."""
        os.sync()
        if self._libc.reboot(ctypes.c_int(how)) != 0:
            raise StorageError(f"the machine does not go: {os.strerror(ctypes.get_errno())}")

    def set_clock(self, seconds: int) -> None:
        """Both clocks; a board without one is passed over."""
        try:
            time.clock_settime(time.CLOCK_REALTIME, seconds)
            if self._clock_device.exists():
                now = time.gmtime(seconds)
                fields = _RTC_TIME.pack(now.tm_sec, now.tm_min, now.tm_hour, now.tm_mday, now.tm_mon - 1, now.tm_year - 1900, 0, 0, 0)
                with self._clock_device.open("rb", buffering=0) as device:
                    fcntl.ioctl(device, _RTC_SET_TIME, fields)
        except OSError as error:
            raise StorageError(f"the clock cannot be set: {error.strerror}") from error


def _in_memory(name: str, chunks: Iterable[bytes]) -> int:
    """A file in memory, open for reading only: the kernel refuses one that somebody may still write to."""
    writing = os.memfd_create(name, os.MFD_CLOEXEC)
    try:
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(writing, view) :]
        return os.open(f"/proc/self/fd/{writing}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(f"the {name} cannot be kept in memory: {error.strerror}") from error
    finally:
        os.close(writing)
