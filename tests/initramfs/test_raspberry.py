"""The folder of a Raspberry Pi."""

from pathlib import Path

import pytest

from bpscript.base.errors import UsageError
from bpscript.initramfs.raspberry import add_device_trees, raspberry_files


def test_firmware_configuration_and_command_line(tmp_path: Path) -> None:
    for name in ("bootcode.bin", "start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb", "overlays/vc4.dtbo", "kernel8.img", "secret.key"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    files = raspberry_files(tmp_path, "nbp.onerror=reboot")
    assert sorted(files) == ["bcm2711-rpi-4-b.dtb", "bootcode.bin", "cmdline.txt", "config.txt", "fixup4.dat", "overlays/vc4.dtbo", "start4.elf"]
    assert files["start4.elf"] == b"start4.elf"
    assert b"\nkernel=vmlinuz\ninitramfs initrd.img followkernel\n" in files["config.txt"]
    assert files["cmdline.txt"] == b"console=tty1 console=serial0,115200 quiet panic=60 nbp.onerror=reboot\n"       # one line


def test_a_folder_without_firmware_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no start\*\.elf in it"):
        raspberry_files(tmp_path, "")
    with pytest.raises(UsageError, match="no such folder"):
        raspberry_files(tmp_path / "none", "")


def test_device_trees_are_the_kernels_where_the_firmware_has_none(tmp_path: Path) -> None:
    trees = tmp_path / "usr/lib/linux-image-6.1/broadcom"
    trees.mkdir(parents=True)
    (trees / "bcm2837-rpi-3-b.dtb").write_bytes(b"of Linux")
    (trees / "bcm4708-router.dtb").write_bytes(b"of no Pi")
    files = {"config.txt": b"arm_64bit=1\n", "start4.elf": b""}
    assert not add_device_trees(dict(files), tmp_path / "none")
    assert add_device_trees(files, tmp_path)
    assert files == {"config.txt": b"arm_64bit=1\nupstream_kernel=1\n", "start4.elf": b"", "bcm2837-rpi-3-b.dtb": b"of Linux"}
    own = {"config.txt": b"", "bcm2710-rpi-3-b.dtb": b"of the vendor"}
    assert add_device_trees(own, tmp_path)
    assert own == {"config.txt": b"", "bcm2710-rpi-3-b.dtb": b"of the vendor"}
