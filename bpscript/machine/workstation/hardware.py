"""Facts of the machine as variables (language.md 6): `$Hw-Vendor`, `$Disk-0-Serial` ..., from sysfs and the tables of SMBIOS.

The order of disks, which numbers them for a script: internal ones before those on USB, then by the place in sysfs, which is the place
on the bus (PCI address, port, target, namespace), numbers by their value. So a disk keeps its number while it stays in its socket,
whatever name the kernel gives it. No disks are: what has no medium or can be read only, optical and floppy drives, loop, RAM, md and
device-mapper devices, boot areas of eMMC.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...base.units import KIB, MIB
from .systems.loader import natural

_SECTOR = 512                   # the unit of `size` in sysfs, whatever the disk's own sectors are
# What boards say when nobody has filled in a field.
_EMPTY_WORDS = {
    "to be filled by o.e.m.", "default string", "system serial number", "system product name", "system manufacturer", "not specified",
    "not applicable", "none", "0", "0123456789", "123456789", "unknown", "o.e.m.",
}  # fmt: skip
_EMPTY_UUIDS = {"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "03000200-0400-0500-0006-000700080009"}
_NO_DISKS = re.compile(r"(?:loop|ram|zram|sr|fd|md|dm-|nbd|mtdblock)\d|mmcblk\d+(?:boot|rpmb)")
_PCI_ADDRESS = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")
_MEMORY_DEVICE, _END_OF_TABLE = 17, 127     # types of SMBIOS structures (DSP0134 7.18, 7.46)
_MOST_STRUCTURES = 4096


@dataclass(frozen=True, slots=True)
class FoundDisk:
    """A disk of the machine: its device, size in bytes, and what it says of itself."""

    device: Path
    size: int
    model: str
    serial: str


def hardware_variables(root: Path = Path("/"), *, interface: str = "") -> dict[str, str]:
    """All facts that are known; `interface` is the one that the machine booted from (else the first), `root` is where /sys and /proc are."""
    dmi = root / "sys/class/dmi/id"
    tree = root / "proc/device-tree"        # boards without SMBIOS
    uuid = _text(dmi / "product_uuid").lower()
    found = {
        "Hw-Vendor": _filled(_text(dmi / "sys_vendor")),
        "Hw-Product": _filled(_text(dmi / "product_name")) or _text(tree / "model"),
        "Hw-Serial": _filled(_text(dmi / "product_serial")) or _text(tree / "serial-number"),
        "Hw-UUID": "" if uuid in _EMPTY_UUIDS else uuid,
        "Hw-Memory": str(_memory(root) // MIB),
        "Hw-Cpus": str(_processors(root)),
        "Hw-Firmware": firmware(root),
        "Hw-MAC": _hardware_address(root, interface),
    }
    for number, disk in enumerate(find_disks(root)):
        found |= {f"Disk-{number}-Model": disk.model, f"Disk-{number}-Serial": disk.serial, f"Disk-{number}-Size": str(disk.size // MIB)}
    # A value is read as if it stood in the script: firmware must not be able to write lines of it.
    shown = {name: "".join(each for each in value if each.isprintable()).strip() for name, value in found.items()}
    return {name: value for name, value in shown.items() if value not in {"", "0"}}


def firmware(root: Path = Path("/")) -> str:
    """UEFI or BIOS; "" for a board that has neither (one with a device tree)."""
    if (root / "sys/firmware/efi").is_dir():
        return "UEFI"
    return "" if (root / "proc/device-tree/compatible").exists() else "BIOS"


def can_power_off(root: Path = Path("/")) -> bool:
    """`$APM`: whether the kernel knows how to turn this machine off."""
    return (root / "sys/firmware/acpi").is_dir() or (root / "proc/device-tree/compatible").exists()


def find_disks(root: Path = Path("/")) -> list[FoundDisk]:
    """The disks in the order of their numbers."""
    found = []
    for link in _entries(root / "sys/block"):
        place = link.resolve()
        size = _number(link / "size") * _SECTOR
        if _NO_DISKS.match(link.name) or size == 0 or _text(link / "ro") == "1" or _is_virtual(place):
            continue
        key = ("/usb" in str(place), by_place(place))
        found.append((key, FoundDisk(root / "dev" / link.name, size, _model(link), _serial(link))))
    return [disk for _, disk in sorted(found, key=lambda each: each[0])]


def disk_of(device: Path, root: Path = Path("/")) -> tuple[str, str]:
    """What a disk of this host says of itself: model and serial number, "" for what it does not say, and for an image file. Of a partition, its disk's."""
    try:
        if not device.is_block_device():
            return "", ""
        block = (root / "sys/class/block" / device.resolve().name).resolve()
    except (OSError, ValueError):
        return "", ""
    if (block / "partition").exists():
        block = block.parent
    return _model(block), _serial(block)


def by_place(place: Path) -> list[tuple[int, str]]:
    """A key that orders places on the bus: addresses of PCI are hexadecimal, everything else counts in decimal."""
    return natural(_PCI_ADDRESS.sub(lambda found: ".".join(str(int(each, 16)) for each in found.groups()), str(place)))


def _is_virtual(place: Path) -> bool:
    """Whether a device has no hardware; namespaces of NVMe with several paths lie below devices/virtual too."""
    parts = place.parts
    return "virtual" in parts and "nvme-subsystem" not in parts


def _model(block: Path) -> str:
    device = block / "device"
    model = _text(device / "model") or _text(device / "name")
    vendor = _text(device / "vendor")
    # ATA disks have no vendor of their own, virtio's is a number.
    return model if not vendor or vendor == "ATA" or vendor.startswith("0x") else f"{vendor} {model}".strip()


def _serial(block: Path) -> str:
    for path in (block / "serial", block / "device/serial"):        # virtio; NVMe, eMMC
        if text := _text(path):
            return text
    page = _bytes(block / "device/vpd_pg80")                        # SCSI, also of ATA disks: SPC-4 7.8.16
    length = int.from_bytes(page[2:4], "big")
    return "".join(each for each in page[4 : 4 + length].decode("ascii", "replace") if each.isprintable()).strip()


def _memory(root: Path) -> int:
    """Bytes that are built in, as SMBIOS says; else what the kernel has."""
    built_in = sum(map(_module_size, _structures(_bytes(root / "sys/firmware/dmi/tables/DMI"))))
    if built_in:
        return built_in
    for line in _text(root / "proc/meminfo").splitlines():
        if match := re.fullmatch(r"MemTotal:\s+(\d+) kB", line.strip()):
            return int(match[1]) * KIB
    return 0


def _structures(table: bytes) -> Iterator[bytes]:
    """The formatted areas of an SMBIOS table (DSP0134 6.1): type, length, handle, fields; strings end with two NULs."""
    position = 0
    for _ in range(_MOST_STRUCTURES):
        if position + 4 > len(table):
            return
        kind, length = table[position], table[position + 1]
        if kind == _END_OF_TABLE or length < 4:
            return
        yield table[position : position + length]
        end = table.find(b"\0\0", position + length)
        if end < 0:
            return
        position = end + 2


def _module_size(structure: bytes) -> int:
    """Bytes of a memory device: field Size at 12 (MB, or KB with bit 15), extended size at 28 (MB)."""
    if structure[0] != _MEMORY_DEVICE or len(structure) < 14:
        return 0
    size = int.from_bytes(structure[12:14], "little")
    if size == 0xFFFF:              # unknown
        return 0
    if size == 0x7FFF and len(structure) >= 32:
        return (int.from_bytes(structure[28:32], "little") & 0x7FFF_FFFF) * MIB
    return (size & 0x7FFF) * (KIB if size & 0x8000 else MIB)


def _processors(root: Path) -> int:
    """Logical processors: ranges such as `0-3,8`."""
    count = 0
    for part in filter(None, _text(root / "sys/devices/system/cpu/present").split(",")):
        first, _, last = part.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            count += int(last or first) - int(first) + 1
    return count


def _hardware_address(root: Path, interface: str) -> str:
    folder = root / "sys/class/net"
    if interface:
        return _text(folder / interface / "address").lower()
    cards = [card for card in _entries(folder) if (card / "device").exists()]
    first = min(cards, key=lambda card: by_place(card.resolve()), default=None)
    return "" if first is None else _text(first / "address").lower()


def _filled(text: str) -> str:
    return "" if text.lower() in _EMPTY_WORDS else text


def _number(path: Path) -> int:
    text = _text(path)
    return int(text) if text.isdecimal() else 0


def _text(path: Path) -> str:
    return _bytes(path).rstrip(b"\0").decode("utf-8", "replace").strip()


def _bytes(path: Path) -> bytes:
    """The contents; what is not there, or only root may see, is not known."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
