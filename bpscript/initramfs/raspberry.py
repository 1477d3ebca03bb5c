"""A Raspberry Pi boots without iPXE: its boot ROM fetches firmware, configuration, kernel and initramfs by TFTP.

    bootcode.bin start*.elf fixup*.dat *.dtb overlays/     the firmware, from a folder (Debian: package raspi-firmware, /usr/lib/raspi-firmware)
    config.txt                                             what to load
    cmdline.txt                                            what the kernel is told

All at the top of the served folder; `serve` gives a machine what lies below its serial number instead, where there is such a folder.
Debian's firmware has no device trees (*.dtb), its kernel has; they have the names of Linux, which the boot loader takes with `upstream_kernel`.
Source: the Raspberry Pi documentation, "config.txt" and "Network booting".
"""

from pathlib import Path

from ..base.errors import UsageError
from .boot_files import INITRAMFS, KERNEL

_FIRMWARE = ("bootcode.bin", "start*.elf", "fixup*.dat", "*.dtb", "overlays/*.dtbo", "overlays/README", "LICENCE.broadcom", "COPYING.linux")
_TREES = "usr/lib/linux-image-*/broadcom/bcm*-rpi*.dtb"        # in the package of a kernel
_START = "start*.elf"           # there must be one
_ARGUMENTS = "console=tty1 console=serial0,115200 quiet panic=60"
_CONFIG = f"""# Made by bpscript boot build.
arm_64bit=1
enable_uart=1
kernel={KERNEL}
initramfs {INITRAMFS} followkernel
"""


def raspberry_files(firmware: Path, append: str) -> dict[str, bytes]:
    """The files beside kernel and initramfs, by name. Raises UsageError."""
    if not firmware.is_dir():
        raise UsageError(f"{firmware}: no such folder with the firmware of Raspberry Pi")
    if not list(firmware.glob(_START)):
        raise UsageError(f"{firmware}: no start*.elf in it", hint="expected the firmware of Raspberry Pi, as in /usr/lib/raspi-firmware")
    found = {
        path.relative_to(firmware).as_posix(): path.read_bytes()
        for pattern in _FIRMWARE
        for path in sorted(firmware.glob(pattern))
        if path.is_file()
    }
    return {**found, "config.txt": _CONFIG.encode(), "cmdline.txt": f"{_ARGUMENTS} {append}".strip().encode() + b"\n"}


def add_device_trees(files: dict[str, bytes], package: Path) -> bool:
    """Those of the kernel's unpacked package, if the firmware has brought none; False when there are none at all."""
    if any(name.endswith(".dtb") for name in files):
        return True
    found = {path.name: path.read_bytes() for path in sorted(package.glob(_TREES))}
    if found:
        files |= {**found, "config.txt": files["config.txt"] + b"upstream_kernel=1\n"}
    return bool(found)
