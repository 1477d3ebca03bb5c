"""Out of the boot environment, on virtual machines: another kernel, the disk's own system, and what a second start fetches."""

import random
import re
import time
from pathlib import Path

import pytest

import bpscript
from bpscript.api import create_disk
from bpscript.archive.filezip import pack_file
from bpscript.machine.capturing import CaptureOptions
from bpscript.server.next_boot import ONCE_S
from bpscript.server.transfers import QUIET_S
from tests.boot import environment
from tests.boot.machines import lab, mac
from tests.network.namespaces import Process, program
from tests.oracles import run_tool

pytestmark = [pytest.mark.qemu, pytest.mark.slow]

TOKEN = "a-token-for-tests"
LOADER = Path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi")
SECTOR = Path(__file__).parents[1] / "e2e" / "fat_vbr.asm"


def dos_image(folder: Path) -> Path:
    """An archive of a FAT16 partition whose own boot sector says BOOTED on COM1."""
    run_tool(["nasm", "-f", "bin", "-o", folder / "vbr", SECTOR])
    create_disk(folder / "model.img", 64 << 20, partitions="BIGDOS:40", format_partitions=True)
    with open(folder / "model.img", "r+b") as file:
        file.seek((1 << 20) + 62)
        file.write((folder / "vbr").read_bytes()[62:])
    bpscript.capture(f"{folder / 'model.img'}:1", folder / "dos.imz")
    return folder / "dos.imz"


def test_linux_boot_starts_another_kernel(tmp_path: Path) -> None:
    """Kernel and ramdisk from the server; the second one is the boot environment again, with another script."""
    root = environment.served(tmp_path / "served")
    (root / "first.bpb").write_text(
        'Echo "FIRST-5d1c"\nSet ErrorMode = "CONTINUE"\nLinuxBoot "first.bpb"\nEcho "LAST $LastError"\n'
        'SetDate "2031/05/06"\nSetTime "07:08:09"\n'
        'LinuxBoot "vmlinuz" "console=ttyS0,115200 quiet nbp.commandline=second nbp.set=Colour=green" "initrd.img"\n'
    )
    (root / "second.bpb").write_text('GetDate date\nEcho "SECOND-5d1c $Colour $Hw-Firmware $Hw-Memory $Hw-UUID $date"\nPowerOff\n')
    with lab(tmp_path) as room:
        server = room.serve(root, '[defaults]\nscript = "first"\n')
        machine = room.machine("pc1")
        machine.wait_for("SECOND-5d1c", 150)
        machine.wait_until_off(30)
    assert 'LAST "first.bpb" is no Linux kernel' in machine.text
    assert machine.text.index("FIRST-5d1c") < machine.text.index("SECOND-5d1c green BIOS 768 33221100-5544-7766-8899-aabbccdd0001 31/05/06")     # the clock on the board, too
    assert machine.text.count("iPXE 1.") == 1           # the firmware was left out
    assert "Traceback" not in machine.text + server.text


def test_a_machine_that_is_done_boots_its_disk_though_it_boots_from_the_network_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FAT16 partition with a boot sector of its own; the next start without the script; again; and a server that was started anew."""
    monkeypatch.setenv("BPSCRIPT_TOKEN", TOKEN)
    root = environment.served(tmp_path / "served")
    dos_image(tmp_path).rename(root / "dos.imz")
    (root / "deploy.bpb").write_text(
        'Echo "DEPLOY-91aa"\nSetPartitions "LINUX-SWAP:30 BIGDOS:80"\nSetBootPart 2\nFullUnzip "dos.imz" 2\nHdBoot\n'
    )
    hosts = '[defaults]\nscript = "deploy"\n'
    booted = f"BOOTED HIDDEN={31 * 2048:08X} HEADS=0020"
    with lab(tmp_path) as room:
        server = room.serve(root, hosts)
        machine = room.machine("pc1", disks=(room.disk("disk.img", 600 << 20),), bus="ahci", card="e1000", net_first=True)
        machine.wait_for("[boot] hdboot 0:0", 120)
        machine.wait_for(booted, 60)
        assert f"{mac(1)} at 10.9.0.100 boots disk 0 the next time" in server.text
        machine.kill()
        server.stop()
        server = room.serve(root, hosts)
        machine.switch_on()
        machine.wait_for(booted, 60, times=2)
        assert machine.text.count("DEPLOY-91aa") == 1
        machine.kill()
        room.cable.server.run(program("curl"), "-fsS", "-X", "POST", "-H", f"Authorization: Bearer {TOKEN}", f"http://10.9.0.1/api/machines/{mac(1)}/again")
        machine.switch_on()
        machine.wait_for("DEPLOY-91aa", 120, times=2)
        machine.wait_for(booted, 90, times=3)
    assert "Traceback" not in machine.text + server.text


def test_a_floppy_image_and_a_boot_file_are_started_by_ipxe_once(tmp_path: Path) -> None:
    """memdisk with a floppy whose boot sector says BOOTED, and a boot program of 512 bytes that does so, too: real mode, after a restart."""
    root = environment.served(tmp_path / "served")
    run_tool(["nasm", "-f", "bin", "-o", root / "sector.0", SECTOR])
    (root / "floppy.img").write_bytes((root / "sector.0").read_bytes().ljust(1_474_560, b"\0"))
    (root / "floppy.bpb").write_text('Echo "FLOPPY-77"\nLoadRamDisk "floppy.img"\nFloppyBoot\n')
    (root / "file.bpb").write_text('Echo "FILE-77"\nTFTPBoot "sector.0"\n')
    (root / "floppy.z").write_bytes(b"".join(pack_file([(root / "floppy.img").read_bytes()])))
    (root / "packed.bpb").write_text('Echo "PACKED-77"\nLoadZRamDisk "floppy.z"\nFloppyBoot\n')
    scripts = ("floppy", "file", "packed")
    with lab(tmp_path) as room:
        server = room.serve(root, "".join(f'[hosts.{name}]\nmac = "{mac(number)}"\nscript = "{name}"\n' for number, name in enumerate(scripts, 1)))
        machines = [room.machine(name) for name in scripts]
        for machine, word in zip(machines, ("FLOPPY-77", "FILE-77", "PACKED-77"), strict=True):
            machine.wait_for(word, 180)
            machine.wait_for("BOOTED HIDDEN=", 120)
            machine.kill()
        time.sleep(ONCE_S)
        machines[1].switch_on()
        machines[1].wait_for("FILE-77", 120, times=2)
        assert f"/api/next/{mac(3).replace(':', '')}.img... " in machines[2].text       # unpacked by the server, whose log has no line for what is its API's
    assert "Traceback" not in machines[0].text + machines[1].text + machines[2].text + server.text


def test_a_floppy_image_of_a_disk_is_started_by_kexec(tmp_path: Path) -> None:
    """Back in real mode the BIOS does its part: diskettes (of memdisk), clock, screen; the firmware is not started again."""
    root = environment.served(tmp_path / "served")
    run_tool(["nasm", "-f", "bin", "-o", tmp_path / "sectors", Path(__file__).with_name("floppy.asm")])
    (root / "floppy.img").write_bytes((tmp_path / "sectors").read_bytes().ljust(1_474_560, b"\0"))
    (root / "floppy.bpb").write_text('SetPartitions "BIGDOS:40"\nClean 1\nCopy "floppy.img" "{:1}/f.img"\nLoadRamDisk "{:1}/f.img"\nFloppyBoot\n')
    with lab(tmp_path) as room:
        server = room.serve(root, '[defaults]\nscript = "floppy"\n')
        machine = room.machine("pc1", "-device", "VGA", disks=(room.disk("disk", 64 << 20),), net_first=True)
        machine.wait_for("FLOPPY ", 300)
        machine.wait_for("FLOPPY second sector", 10)
    assert machine.text.count("iPXE 1.") == 1
    assert "Traceback" not in machine.text + server.text


def test_a_second_start_takes_its_image_from_the_cache(tmp_path: Path) -> None:
    """No byte of the image is on the wire the second time, though the partition was emptied meanwhile."""
    root = environment.served(tmp_path / "served")
    tree = tmp_path / "tree"
    tree.mkdir()
    data = random.Random(4).randbytes(6 << 20)
    (tree / "large").write_bytes(data)
    (tree / "name").write_text("model")
    bpscript.capture(tree, root / "lab.imz", CaptureOptions(kind="EXT4", size=60 << 20))
    (root / "lab.bpb").write_text(
        'SetPartitions "LINUX-EXT2:80"\nClean 1\nFullUnzip "lab.imz" 1\nLogFile "{:1}/name"\nEcho " NONCE-c3 $Disk-0-Serial"\nPowerOff\n'
    )
    with lab(tmp_path) as room:
        server = room.serve(root, '[defaults]\nscript = "lab"\n')
        disk = room.disk("disk.img", 200 << 20)
        machine = room.machine("pc1", disks=(disk,), bus="nvme", net_first=True)
        machine.wait_for("model NONCE-c3 bpscript-0", 150)
        machine.wait_until_off(30)
        server.wait_for("GET /lab.imz", 20)         # parts of a file are one line of the log, some seconds later
        assert image_bytes(server) > 6e6
        start, (before,) = len(server.text), room.machines()
        machine.switch_on()
        machine.wait_for("model NONCE-c3", 150, times=2)
        machine.wait_until_off(30)
        time.sleep(2 * QUIET_S)
        second, (after,) = server.text[start:], room.machines()
        beside = sum((root / name).stat().st_size for name in ("vmlinuz", "initrd.img", "boot.ipxe", "lab.bpb"))
        print(f"second start: {after['fetched'] - before['fetched']} bytes fetched, {beside} of them boot files")
        assert after["fetched"] - before["fetched"] == beside
        assert "GET /lab.imz" not in second
        assert "GET /initrd.img 200" in second
    assert "Traceback" not in machine.text + server.text
    with bpscript.open_disk(disk) as opened:
        assert opened.volume(1).stat("large").size == len(data)
        assert opened.volume(-1).check() == []


def image_bytes(server: Process) -> int:
    """Bytes of the image that the server's log counts."""
    sizes = re.findall(r"GET /lab\.imz 206 ([\d.]+) MB", server.text)
    assert sizes, server.text
    return round(sum(map(float, sizes)) * 1e6)


def esp_image(folder: Path, root: Path) -> None:
    """esp.imz: an EFI system partition with systemd-boot, whose one entry is the boot environment with the script `second`."""
    if not LOADER.exists():
        pytest.skip(f"{LOADER} is not installed")
    create_disk(folder / "esp.img", 100 << 20, partitions="GPT EFI:64", format_partitions=True)
    entry = "title Second\nlinux /vmlinuz\ninitrd /initrd.img\noptions console=ttyS0,115200 quiet nbp.commandline=second nbp.set=From=disk\n"
    with bpscript.open_disk(folder / "esp.img", writable=True) as disk:
        volume = disk.volume(1)
        for name in ("EFI", "EFI/BOOT", "loader", "loader/entries"):
            volume.make_dir(name)
        volume.write_file("EFI/BOOT/BOOTX64.EFI", [LOADER.read_bytes()])
        volume.write_file("loader/loader.conf", [b"timeout 0\n"])
        volume.write_file("loader/entries/second.conf", [entry.encode()])
        for name in ("vmlinuz", "initrd.img"):
            volume.write_file(name, [(root / name).read_bytes()])
    bpscript.capture(f"{folder / 'esp.img'}:1", root / "esp.imz")
    (root / "second.bpb").write_text('Echo "SECOND-e8 $From $Hw-Firmware"\nPowerOff\n')


def test_hd_boot_of_a_partition_starts_the_linux_that_its_boot_loader_would(tmp_path: Path) -> None:
    """BIOS and a disk that only UEFI could start: the entry is read, and its kernel started by kexec."""
    root = environment.served(tmp_path / "served")
    esp_image(tmp_path, root)
    (root / "first.bpb").write_text('SetPartitions "GPT EFI:64"\nFullUnzip "esp.imz" 1\nSet ErrorMode = "CONTINUE"\nHdBoot 0:2\nEcho "$LastError"\nHdBoot :1\n')
    with lab(tmp_path) as room:
        server = room.serve(root, '[defaults]\nscript = "first"\n')
        machine = room.machine("pc1", disks=(room.disk("disk", 200 << 20),))
        machine.wait_for("SECOND-e8 disk BIOS", 200)
        machine.wait_until_off(30)
    assert "disk 0 has no partition 2" in machine.text
    assert '[note] "Second" starts, as loader/entries/second.conf says' in machine.text
    assert machine.text.count("iPXE 1.") == 1
    assert "Traceback" not in machine.text + server.text


def test_a_machine_with_uefi_that_is_done_boots_its_disk(tmp_path: Path) -> None:
    """OVMF boots from the network first, and is sent on to the disk and its boot loader."""
    root = environment.served(tmp_path / "served")
    esp_image(tmp_path, root)
    (root / "first.bpb").write_text('Echo "FIRST-e8"\nSetPartitions "GPT EFI:64"\nFullUnzip "esp.imz" 1\nHdBoot\n')
    with lab(tmp_path) as room:
        server = room.serve(root, '[defaults]\nscript = "first"\n')
        machine = room.machine("pc1", disks=(room.disk("disk", 200 << 20),), uefi=True, net_first=True)
        machine.wait_for("SECOND-e8 disk UEFI", 400)
        machine.wait_until_off(30)
    assert machine.text.count("FIRST-e8") == 1
    assert "read api/next/x64.efi done" in server.text
    assert "Traceback" not in machine.text + server.text


def test_hd_boot_of_the_second_disk_is_done_by_ipxe(tmp_path: Path) -> None:
    root = environment.served(tmp_path / "served")
    dos_image(tmp_path).rename(root / "dos.imz")
    (root / "two.bpb").write_text('Echo "DISKS $Disks"\nSetPartitions "BIGDOS:80" 1\nSetBootPart 1 1\nFullUnzip "dos.imz" 1 1\nHdBoot 1\n')
    with lab(tmp_path) as room:
        server = room.serve(root, '[defaults]\nscript = "two"\n')
        machine = room.machine("pc1", disks=(room.disk("first", 64 << 20), room.disk("second", 600 << 20)), net_first=True)
        machine.wait_for("[boot] hdboot 1:0", 150)
        machine.wait_for("BOOTED HIDDEN=00000800", 90)
    assert "DISKS 64 600" in machine.text
    assert "boots disk 1 the next time" in server.text
    assert "Traceback" not in machine.text + server.text
