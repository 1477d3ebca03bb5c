"""Facts of the machine, from trees that look like /sys and /proc."""

from pathlib import Path

import pytest

from bpscript.machine.workstation.hardware import can_power_off, disk_of, find_disks, firmware, hardware_variables


def write(root: Path, files: dict[str, str | bytes]) -> None:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)


def block(root: Path, name: str, place: str, sectors: int, files: dict[str, str | bytes] | None = None) -> None:
    """A disk as sysfs has it: the device far below, a link to it in /sys/block."""
    folder = root / "sys/devices" / place / "block" / name
    write(folder, {"size": f"{sectors}\n", "ro": "0\n", **{key: value for key, value in (files or {}).items() if not key.startswith("device/")}})
    device = folder.parent.parent
    write(device, {key.removeprefix("device/"): value for key, value in (files or {}).items() if key.startswith("device/")})
    (folder / "device").symlink_to(device)
    (root / "sys/block").mkdir(parents=True, exist_ok=True)
    (root / "sys/block" / name).symlink_to(folder)


def memory_module(size: int, extended: int = 0) -> bytes:
    area = bytearray(34)
    area[0], area[1] = 17, len(area)
    area[12:14] = size.to_bytes(2, "little")
    area[28:32] = extended.to_bytes(4, "little")
    return bytes(area) + b"DIMM 0\0\0"


def test_a_machine_with_smbios(tmp_path: Path) -> None:
    table = bytes((0, 8, 0, 0, 1, 2, 3, 4)) + b"SeaBIOS\0\0" + memory_module(0x7FFF, 32768) + memory_module(4096) + memory_module(0) + bytes((127, 4, 0, 0, 0, 0))
    write(tmp_path, {
        "sys/class/dmi/id/sys_vendor": "ACME Computers\n", "sys/class/dmi/id/product_name": "Station 7\n", "sys/class/dmi/id/product_serial": "X1-42\n",
        "sys/class/dmi/id/product_uuid": "4C4C4544-0043-3510-8052-B4C04F564231\n", "sys/firmware/dmi/tables/DMI": table,
        "sys/devices/system/cpu/present": "0-3,6-7\n", "sys/firmware/efi/fw_platform_size": "64\n", "sys/firmware/acpi/pm_profile": "1\n",
        "sys/class/net/eth0/address": "52:54:00:AA:BB:01\n", "sys/class/net/eth1/address": "52:54:00:aa:bb:02\n",
    })  # fmt: skip
    assert hardware_variables(tmp_path, interface="eth1") == {
        "Hw-Vendor": "ACME Computers", "Hw-Product": "Station 7", "Hw-Serial": "X1-42", "Hw-UUID": "4c4c4544-0043-3510-8052-b4c04f564231",
        "Hw-Memory": "36864", "Hw-Cpus": "6", "Hw-Firmware": "UEFI", "Hw-MAC": "52:54:00:aa:bb:02",
    }
    assert can_power_off(tmp_path)


def test_fields_that_nobody_filled_in_are_not_set(tmp_path: Path) -> None:
    write(tmp_path, {
        "sys/class/dmi/id/sys_vendor": "To Be Filled By O.E.M.\n", "sys/class/dmi/id/product_serial": "Default string\n",
        "sys/class/dmi/id/product_uuid": "03000200-0400-0500-0006-000700080009\n", "proc/meminfo": "MemTotal:       2031616 kB\nMemFree: 1 kB\n",
    })  # fmt: skip
    assert hardware_variables(tmp_path) == {"Hw-Memory": "1984", "Hw-Firmware": "BIOS"}


def test_a_board_with_a_device_tree(tmp_path: Path) -> None:
    write(tmp_path, {
        "proc/device-tree/model": b"Raspberry Pi 4 Model B Rev 1.4\0", "proc/device-tree/serial-number": b"100000004372ee6a\0",
        "proc/device-tree/compatible": b"raspberrypi,4-model-b\0",
    })  # fmt: skip
    assert hardware_variables(tmp_path) == {"Hw-Product": "Raspberry Pi 4 Model B Rev 1.4", "Hw-Serial": "100000004372ee6a"}
    assert firmware(tmp_path) == ""
    assert can_power_off(tmp_path)


def test_disks_are_numbered_by_their_place_on_the_bus(tmp_path: Path) -> None:
    pci = "pci0000:00/0000:00:"
    page = b"\0\x80\0\x14     WD-WCC4E1234567 "
    block(tmp_path, "sda", f"{pci}14.0/usb1/1-1/host9/target9:0:0/9:0:0:0", 2_000_000, {"device/vendor": "SanDisk ", "device/model": "Ultra"})
    block(tmp_path, "sdc", f"{pci}1f.2/ata2/host1/target1:0:0/1:0:0:0", 1_000_000, {"device/vendor": "ATA     ", "device/model": "WDC WD10 ", "device/vpd_pg80": page})
    block(tmp_path, "sdb", f"{pci}1f.2/ata10/host8/target8:0:0/8:0:0:0", 1_000_000, {"device/vendor": "ATA", "device/model": "Last"})
    block(tmp_path, "nvme0n1", f"{pci}1d.0/0000:03:00.0/nvme/nvme0", 4_000_000, {"device/model": "Fast 1TB  ", "device/serial": "S4EV\n"})
    block(tmp_path, "vda", f"{pci}05.0/virtio2", 64 << 11, {"serial": "first", "device/vendor": "0x1af4"})
    block(tmp_path, "sr0", f"{pci}1f.2/ata5/host4/target4:0:0/4:0:0:0", 10)
    block(tmp_path, "loop0", "virtual", 1000)
    block(tmp_path, "mmcblk0boot0", f"{pci}1a.0/mmc_host/mmc0/mmc0:0001", 8192)
    block(tmp_path, "nvme1n1", "virtual/nvme-subsystem/nvme-subsys1", 1000)
    block(tmp_path, "sdd", f"{pci}1f.2/ata6/host5/target5:0:0/5:0:0:0", 0)
    disks = find_disks(tmp_path)
    assert [disk.device.name for disk in disks] == ["vda", "nvme0n1", "sdc", "sdb", "nvme1n1", "sda"]
    facts = hardware_variables(tmp_path)
    assert facts["Disk-0-Serial"] == "first"
    assert facts["Disk-0-Size"] == "64"
    assert (facts["Disk-1-Model"], facts["Disk-1-Serial"]) == ("Fast 1TB", "S4EV")
    assert (facts["Disk-2-Model"], facts["Disk-2-Serial"]) == ("WDC WD10", "WD-WCC4E1234567")
    assert facts["Disk-5-Model"] == "SanDisk Ultra"


def test_tables_of_garbage_end(tmp_path: Path) -> None:
    for table in (b"\x11", b"\x11\x02", b"\x11\x22" + bytes(100), b"\xff" * 5000, memory_module(0xFFFF)):
        write(tmp_path, {"sys/firmware/dmi/tables/DMI": table})
        assert "Hw-Memory" not in hardware_variables(tmp_path)


def test_one_disk_by_its_name(tmp_path: Path) -> None:
    """As in the list of all disks; a link to it and its partitions are the disk too, other files are none."""
    for found in find_disks():
        assert disk_of(found.device) == (found.model, found.serial)
    devices = [each for each in sorted(Path("/dev").glob("loop[0-9]*")) if each.is_block_device()]
    if not devices:
        pytest.skip("the kernel has no loop devices")
    device = devices[0]
    block(tmp_path, "sda", "pci0000:00/0000:00:1f.2/ata1/host0/target0/0:0:0:0", 64 << 11, {"device/model": "WDC WD10 ", "device/vendor": "ATA", "device/serial": "WD-7"})
    (tmp_path / "sys/class/block").mkdir(parents=True)
    (tmp_path / "sys/class/block" / device.name).symlink_to(tmp_path / "sys/block/sda")
    (tmp_path / "by-id").symlink_to(device)
    assert disk_of(device, tmp_path) == disk_of(tmp_path / "by-id", tmp_path) == ("WDC WD10", "WD-7")
    inside = (tmp_path / "sys/block/sda").resolve() / "sda1"
    write(inside, {"partition": "1\n"})
    (tmp_path / "sys/class/block" / device.name).unlink()
    (tmp_path / "sys/class/block" / device.name).symlink_to(inside)
    assert disk_of(device, tmp_path) == ("WDC WD10", "WD-7")
    (tmp_path / "image").touch()
    for name in ("image", "nothing", "nul\0"):
        assert disk_of(tmp_path / name) == ("", "")
