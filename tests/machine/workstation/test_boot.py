"""Boot commands of the boot environment, with the system calls written down."""

from datetime import datetime
from pathlib import Path

import pytest

import bpscript
from bpscript.api import Result, RunOptions, create_disk, execute
from bpscript.base.events import Event, Kind
from bpscript.machine.workstation.boot import WorkstationBoot
from bpscript.machine.workstation.clock import WorkstationClock
from bpscript.machine.workstation.system_calls import Restart
from tests.machine.workstation.recorded import RecordedCalls, bzimage

KERNEL = bzimage(b"kernel" * 1000)
SERVER = {
    "linux.krn": KERNEL, "rd.gz": b"ramdisk", "old.krn": bzimage(loadflags=0), "32bit.krn": bzimage(xloadflags=0), "text.txt": b"no kernel" * 200,
    "floppy.img": bytes(1_474_560), "memdisk": bzimage(), "dos.pxe": b"NBP", "short.krn": bzimage(command_line=20),
}  # fmt: skip


class Workstation:
    """Runs scripts and keeps what came of them."""

    def __init__(self, folder: Path, firmware: str, *, server_knows: bool, can_power_off: bool) -> None:
        self.folder = folder
        self.calls = RecordedCalls()
        self.boot = WorkstationBoot(self.calls, firmware=firmware, server_knows=server_knows, can_power_off=can_power_off)
        self.events: list[Event] = []

    def run(self, script: str) -> Result:
        root = self.folder / "server"
        root.mkdir(exist_ok=True)
        for name, data in SERVER.items():
            (root / name).write_bytes(data)
        (root / "go.bpb").write_text(script)
        disks = [self.folder / "disk.img"] if (self.folder / "disk.img").exists() else []
        disks += [self.folder / "second.img"] if (self.folder / "second.img").exists() else []
        result = execute(RunOptions(
            script=root / "go.bpb", root=root, disks=disks, boot=self.boot, clock=WorkstationClock(self.calls), program="BpBatch", events=self.events.append,
        ))  # fmt: skip
        if result.error is None:
            self.boot.leave()
        return result

    def refused(self, script: str) -> str:
        result = self.run(script)
        assert result.error is not None, result.log
        assert not self.calls.restarts
        assert not self.boot.is_prepared
        return result.error.message

    @property
    def booted(self) -> Event:
        return next(event for event in self.events if event.kind is Kind.BOOT)


def workstation(tmp_path: Path, firmware: str = "BIOS", *, server_knows: bool = True, can_power_off: bool = True) -> Workstation:
    return Workstation(tmp_path, firmware, server_knows=server_knows, can_power_off=can_power_off)


def disk_with(tmp_path: Path, partitions: str, files: dict[str, bytes], name: str = "disk.img", partition: int = 1) -> None:
    create_disk(tmp_path / name, 64 << 20, partitions=partitions, format_partitions=True)
    with bpscript.open_disk(tmp_path / name, writable=True) as disk:
        volume = disk.volume(partition)
        for path, data in files.items():
            parents = path.split("/")[:-1]
            for depth in range(1, len(parents) + 1):
                volume.make_dir("/".join(parents[:depth]))
            volume.write_file(path, [data])


def test_linux_boot_loads_kernel_ramdisk_and_command_line(tmp_path: Path) -> None:
    machine = workstation(tmp_path)
    result = machine.run('LinuxBoot "linux.krn" "root=/dev/nfs ip=dhcp" "rd.gz"')
    assert result.booted == 'linuxboot "linux.krn" "root=/dev/nfs ip=dhcp" "rd.gz"'
    assert machine.calls.loaded == [(KERNEL, b"ramdisk", "root=/dev/nfs ip=dhcp")]
    assert machine.calls.restarts == [Restart.KEXEC]


def test_linux_boot_of_a_partition(tmp_path: Path) -> None:
    disk_with(tmp_path, "LINUX-EXT2:32", {"boot/vmlinuz": KERNEL})
    machine = workstation(tmp_path)
    assert machine.run('LinuxBoot "{:1}/boot/vmlinuz" "quiet"').error is None
    assert machine.calls.loaded == [(KERNEL, None, "quiet")]


@pytest.mark.parametrize(("command", "words"), [
    ('LinuxBoot "text.txt"', '"text.txt" is no Linux kernel: it has no boot header'),
    ('LinuxBoot "rd.gz"', '"rd.gz" is no Linux kernel: it has only 7 bytes'),
    ('LinuxBoot "old.krn"', "is a zImage"),
    ('LinuxBoot "32bit.krn"', "has no 64-bit entry point"),
    ('LinuxBoot "short.krn" "a command line of 36 characters ...."', "the command line has 36 bytes"),
    ('LinuxBoot "linux.krn" "" "missing"', 'no file "missing"'),
    ('TFTPBoot "missing"', 'no file "missing"'),
    ('TFTPBoot "10.0.0.9:dos.pxe"', "must be a file of the server that this machine started from"),
    ('LoadZRamDisk "floppy.img"', "floppy.img"),
])  # fmt: skip
def test_what_cannot_boot_is_an_error_of_its_line(tmp_path: Path, command: str, words: str) -> None:
    assert words in workstation(tmp_path).refused(command)


def test_an_error_may_be_passed_over_and_something_else_booted(tmp_path: Path) -> None:
    machine = workstation(tmp_path)
    result = machine.run('Set ErrorMode = "CONTINUE"\nLinuxBoot "text.txt"\nPowerOff')
    assert result.booted == "poweroff"
    assert machine.calls.restarts == [Restart.POWER_OFF]


def test_hd_boot_restarts_and_says_which_disk(tmp_path: Path) -> None:
    disk_with(tmp_path, "LINUX-EXT2:32", {})
    machine = workstation(tmp_path)
    assert machine.run("HdBoot").booted == "hdboot 0:0"
    assert machine.calls.restarts == [Restart.FIRMWARE]
    assert machine.booted.data == {"text": "hdboot 0:0", "boots": "disk", "disk": 0, "partition": 0}


def test_a_disk_that_no_firmware_boots_is_refused(tmp_path: Path) -> None:
    create_disk(tmp_path / "disk.img", 64 << 20)
    assert "no signature 55 AA" in workstation(tmp_path).refused("HdBoot")


def test_uefi_wants_programs_on_a_fat_partition(tmp_path: Path) -> None:
    disk_with(tmp_path, "GPT EFI:40", {})
    assert "a FAT partition with a directory EFI" in workstation(tmp_path, "UEFI").refused("HdBoot")
    disk_with_efi = tmp_path / "disk.img"
    disk_with_efi.unlink()
    disk_with(tmp_path, "GPT EFI:40", {"EFI/BOOT/BOOTX64.EFI": b"MZ"})
    for command in ("HdBoot", "HdBoot :1"):
        machine = workstation(tmp_path, "UEFI")
        assert machine.run(command).error is None
        assert machine.calls.restarts == [Restart.FIRMWARE]


def test_the_second_disk_is_booted_by_ipxe(tmp_path: Path) -> None:
    disk_with(tmp_path, "LINUX-EXT2:32", {})
    disk_with(tmp_path, "BIGDOS:32", {}, "second.img")
    machine = workstation(tmp_path)
    assert machine.run("HdBoot 1").booted == "hdboot 1:0"
    assert machine.booted.data["disk"] == 1
    assert "not started by a server of ours" in workstation(tmp_path, server_knows=False).refused("HdBoot 1")


def test_hd_boot_of_a_partition_starts_the_linux_on_it(tmp_path: Path) -> None:
    configuration = b"DEFAULT lab\nLABEL lab\n LINUX ../vmlinuz\n INITRD ../micro,../rd\n APPEND root=/dev/sda1 ro\n"
    disk_with(tmp_path, "LINUX-EXT2:32", {
        "boot/extlinux/extlinux.conf": configuration, "boot/vmlinuz": KERNEL, "boot/micro": b"micro", "boot/rd": b"ramdisk!",
    })  # fmt: skip
    machine = workstation(tmp_path)
    result = machine.run("HdBoot :1")
    assert machine.calls.loaded == [(KERNEL, b"micro\0\0\0ramdisk!", "root=/dev/sda1 ro")]
    assert machine.calls.restarts == [Restart.KEXEC]
    assert result.log == '[note] "lab" starts, as boot/extlinux/extlinux.conf says\r\n[boot] hdboot 0:1\r\n'
    assert machine.booted.data["partition"] == 1


def test_a_partition_without_linux_needs_the_boot_flag(tmp_path: Path) -> None:
    disk_with(tmp_path, "BIGDOS:20 BIGDOS:20", {"COMMAND.COM": b"dos"})
    assert "partition 2 of disk 0 cannot be booted" in workstation(tmp_path).refused("SetBootPart 1\nHdBoot :2")
    machine = workstation(tmp_path)
    assert machine.run("SetBootPart 2\nHdBoot :2").error is None
    assert machine.calls.restarts == [Restart.FIRMWARE]
    assert "the firmware would not start it" in workstation(tmp_path, "UEFI").refused("HdBoot :2")


def test_a_floppy_image_is_booted_by_memdisk(tmp_path: Path) -> None:
    machine = workstation(tmp_path)
    assert machine.run('LoadRamDisk "floppy.img"\nFloppyBoot').booted == "floppyboot"
    assert machine.booted.data == {"text": "floppyboot", "boots": "floppy", "file": "floppy.img"}
    assert machine.calls.restarts == [Restart.FIRMWARE]
    assert "UEFI has no floppy drive" in workstation(tmp_path, "UEFI").refused('LoadRamDisk "floppy.img"')
    assert "a floppy image cannot be booted on this board: it has no BIOS" in workstation(tmp_path, "").refused('LoadRamDisk "floppy.img"')


def test_without_our_server_memdisk_is_started_from_here(tmp_path: Path) -> None:
    """So it is when the image does not lie on the server."""
    create_disk(tmp_path / "disk.img", 64 << 20, partitions="BIGDOS:40", format_partitions=True)
    for server_knows, script in ((False, 'LoadRamDisk "floppy.img"\nFloppyBoot'), (True, 'Copy "floppy.img" "{:1}/f.img"\nLoadRamDisk "{:1}/f.img"\nFloppyBoot')):
        machine = workstation(tmp_path, server_knows=server_knows)
        assert machine.run(script).booted == "floppyboot"
        assert machine.calls.floppies == [(SERVER["memdisk"], SERVER["floppy.img"])]
        assert machine.calls.restarts == [Restart.KEXEC]
        assert machine.booted.data == {"text": "floppyboot"}
    assert "not started by a server of ours" in workstation(tmp_path, server_knows=False).refused("FloppyBoot")


def test_memdisk_must_be_on_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(SERVER, "memdisk")
    assert 'there is no "memdisk" on the server' in workstation(tmp_path).refused('LoadRamDisk "floppy.img"')


def test_a_packed_floppy_image_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "server/pack.mrz").write_text('FileZip "floppy.img" "floppy.z"')
    (tmp_path / "server/floppy.img").write_bytes(SERVER["floppy.img"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "server")
        bpscript.run("pack.mrz")
    monkeypatch.setitem(SERVER, "floppy.z", (tmp_path / "server/floppy.z").read_bytes())
    machine = workstation(tmp_path)
    assert machine.run('LoadZRamDisk "floppy.z"\nFloppyBoot').booted == "floppyboot"
    assert machine.booted.data == {"text": "floppyboot", "boots": "floppy", "file": "floppy.z", "packed": True}
    assert "UEFI has no floppy drive" in workstation(tmp_path, "UEFI").refused('LoadZRamDisk "floppy.z"')
    assert "was not made by FileZip" in workstation(tmp_path).refused('LoadZRamDisk "floppy.img"')


def test_a_boot_file_is_loaded_after_the_restart(tmp_path: Path) -> None:
    for firmware in ("BIOS", "UEFI"):
        machine = workstation(tmp_path, firmware)
        assert machine.run('TFTPBoot "dos.pxe"').booted == 'tftpboot "dos.pxe"'
        assert machine.booted.data["file"] == "dos.pxe"
        assert machine.calls.restarts == [Restart.FIRMWARE]
    assert "not started by a server of ours" in workstation(tmp_path, server_knows=False).refused('TFTPBoot "dos.pxe"')


def test_power_off_needs_a_machine_that_can(tmp_path: Path) -> None:
    assert "$APM is not ON" in workstation(tmp_path, can_power_off=False).refused("PowerOff")


def test_the_clocks_of_the_machine_are_set(tmp_path: Path) -> None:
    machine = workstation(tmp_path)
    assert machine.run('SetDate "2026/11/27"\nSetTime "23:40:05"').error is None
    assert len(machine.calls.clock) == 2
    assert datetime.fromtimestamp(machine.calls.clock[0]).date() == datetime(2026, 11, 27).date()
    assert datetime.fromtimestamp(machine.calls.clock[1]).strftime("%H:%M:%S") == "23:40:05"


def test_a_boot_in_the_exit_handler_of_a_failed_script_is_prepared(tmp_path: Path) -> None:
    disk_with(tmp_path, "LINUX-EXT2:32", {})
    machine = workstation(tmp_path)
    result = machine.run("OnExit HdBoot\nno-such-command")
    assert result.error is not None
    assert machine.boot.is_prepared
    assert machine.booted.data["boots"] == "disk"
