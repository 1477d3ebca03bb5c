"""The boot environment for arm64, which this host has built of Debian's packages and Python's wheels, on an emulated processor."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

import bpscript
from bpscript.filesystems.filesystem import Filesystem
from tests.boot import environment
from tests.boot.machines import lab, mac

pytestmark = [pytest.mark.qemu, pytest.mark.slow]

CONSOLE = "console=ttyAMA0,115200 panic=5 quiet"


def contents(volume: Filesystem, path: str) -> bytes:
    with closing(volume.open(path)) as reader:
        return reader.read(1000)


def test_a_machine_images_its_disk(tmp_path: Path) -> None:
    """DHCP, a script by HTTP, partitions, FAT and ext4 on a virtio disk. Debian's kernel for arm64 has no kexec_file_load(2): LinuxBoot says so."""
    folder = environment.built_for_arm()
    root = tmp_path / "served"
    shutil.copytree(folder, root, copy_function=shutil.copyfile)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "name").write_text("model-4f0c")
    bpscript.capture(tree, root / "model.imz")
    (root / "host.ref").write_text("${BOOTP-Host-Name} ${Hw-Firmware}\n")
    (root / "arm.bpb").write_text(
        'Echo "ARM-7d20 $Disks"\nSet Linux-FS = "EXT4"\nSetPartitions "LINUX-EXT2:64 BIGDOS:40"\nClean 1\nClean 2\nFullUnzip "model.imz" 1\nPatch "host.ref" "{:2}/host"\n'
        'Crypt "justdoit" "Bp" p\nEcho "CRYPT $p"\nSet ErrorMode = "CONTINUE"\nFloppyBoot\nEcho "LAST $LastError"\n'
        'LinuxBoot "vmlinuz" "console=ttyAMA0" "initrd.img"\nEcho "LAST $LastError"\nEcho "ARM-END $Hw-Cpus"\nPowerOff\n'
    )
    with lab(tmp_path) as room:
        server = room.serve(root, f'[hosts.pi]\nmac = "{mac(1)}"\nscript = "arm"\n')
        disk = room.disk("disk.img", 200 << 20)
        machine = room.arm_machine("pi", root, CONSOLE, disks=(disk,))
        machine.wait_for("ARM-7d20 200", 240)
        machine.wait_for("CRYPT BpR8oiIlRR9bo", 240)
        machine.wait_for("ARM-END 1", 240)
        machine.wait_until_off(60)
    assert "LAST FloppyBoot cannot be booted on this board: it has no BIOS" in machine.text
    assert 'LAST "vmlinuz" cannot be started: the kernel of the boot environment was built without kexec_file_load' in machine.text
    assert "Traceback" not in machine.text + server.text
    with bpscript.open_disk(disk) as opened:
        assert contents(opened.volume(1), "name") == b"model-4f0c"
        assert contents(opened.volume(2), "host").startswith(b"pi ")
        assert opened.volume(1).check() == opened.volume(2).check() == []


def test_a_raspberry_pi_images_its_card(tmp_path: Path) -> None:
    """QEMU's Raspberry Pi 3 with the device tree of Debian's kernel: its SD card, and a network card that appears on the USB when the drivers are long loaded."""
    root = tmp_path / "served"
    shutil.copytree(environment.built_for_arm(), root, copy_function=shutil.copyfile)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "name").write_text("model-5e1d")
    bpscript.capture(tree, root / "model.imz")
    (root / "pi.bpb").write_text('Echo "PI-5e1d $Disks $Hw-Product"\nSet Linux-FS = "EXT4"\nSetPartitions "FAT32:64 LINUX-EXT2:100"\nClean 1\nFullUnzip "model.imz" 2\nEcho "PI-END $BOOTP-Host-Name"\nPowerOff\n')
    with lab(tmp_path) as room:
        server = room.serve(root, f'[hosts.pi3]\nmac = "{mac(1)}"\nscript = "pi"\n')
        disk = room.disk("card.img", 256 << 20)
        machine = room.raspberry_pi("pi3", root, CONSOLE, disk)
        machine.wait_for("PI-5e1d 256 Raspberry Pi 3 Model B\n", 240)
        machine.wait_for("PI-END pi3\n", 180)
        machine.wait_for("reboot: System halted", 60)           # a Pi has no switch that its kernel could turn
    assert "Traceback" not in machine.text + server.text
    with bpscript.open_disk(disk) as opened:
        assert contents(opened.volume(2), "name") == b"model-5e1d"
        assert opened.volume(1).check() == opened.volume(2).check() == []


def test_the_folder_is_one_for_raspberry_pis() -> None:
    folder = environment.built_for_arm()
    names = sorted(path.name for path in folder.iterdir())
    trees = [name for name in names if name.endswith(".dtb")]
    assert {"bcm2837-rpi-3-b.dtb", "bcm2711-rpi-4-b.dtb"} <= set(trees)         # of the kernel, as Debian's firmware has none
    assert "upstream_kernel=1" in (folder / "config.txt").read_text()
    assert [name for name in names if name not in trees] == ["boot.ipxe", "bootcode.bin", "cmdline.txt", "config.txt", "fixup4.dat", "initrd.img", "start4.elf", "vmlinuz"]
    assert (folder / "vmlinuz").read_bytes()[56:60] == b"ARM\x64"           # an Image, as the Pi's boot loader and kexec take it
    assert "initramfs initrd.img followkernel" in (folder / "config.txt").read_text()
