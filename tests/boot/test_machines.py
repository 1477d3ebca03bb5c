"""Machines of several kinds, from an empty disk to their own system: other controllers and cards, UEFI, two at once."""

import time
from pathlib import Path

import pytest

from tests.boot import environment
from tests.boot.linux import LOADER, NONCE, make_archives
from tests.boot.machines import FIRMWARE, lab, mac

pytestmark = [pytest.mark.qemu, pytest.mark.slow]

BIOS = """Echo "DISKS $Disks $Hw-Firmware"
SetPartitions "BIGDOS:48 LINUX-EXT2:96"
SetBootPart 1
FullUnzip "boot.imz" 1
FullUnzip "root.imz" 2
Patch "hostname.ref" "{:2}/etc/hostname"
HdBoot
"""
UEFI = """Echo "DISKS $Disks $Hw-Firmware"
SetPartitions "GPT EFI:64 LINUX-ROOT:96"
FullUnzip "esp.imz" 1
FullUnzip "root.imz" 2
Patch "hostname.ref" "{:2}/etc/hostname"
HdBoot
"""


def hosts(*names: str) -> str:
    return '[defaults]\nscript = "deploy"\n' + "".join(f'[hosts.{name}]\nmac = "{mac(number)}"\n' for number, name in enumerate(names, 1))


@pytest.mark.parametrize(
    ("bus", "card", "drivers"), [("ahci", "e1000", ("ahci", "e1000")), ("nvme", "e1000e", ("nvme", "e1000e")), ("virtio", "rtl8139", ("virtio_blk", "8139cp"))]
)
def test_controllers_and_cards(tmp_path: Path, bus: str, card: str, drivers: tuple[str, ...]) -> None:
    root = environment.served(tmp_path / "served")
    make_archives(root)
    (root / "deploy.bpb").write_text(BIOS)
    with lab(tmp_path) as room:
        server = room.serve(root, hosts("pc1"))
        machine = room.machine("pc1", disks=(room.disk("disk", 256 << 20),), bus=bus, card=card)
        machine.wait_for(f"{NONCE}\n", 240)
        machine.wait_until_off(30)
    assert f"IMAGED host=pc1 hardware=none {NONCE}\n" in machine.text
    assert "DISKS 256 BIOS\n" in machine.text
    line = next(line for line in machine.text.splitlines() if line.startswith("[note] drivers:"))
    assert all(f" {driver}," in f"{line}," for driver in drivers), line
    assert "Traceback" not in machine.text + server.text


def test_uefi_with_gpt_and_an_efi_system_partition(tmp_path: Path) -> None:
    """OVMF's own PXE, ipxe.efi, our environment; then the firmware finds the boot loader on the imaged disk."""
    if not LOADER.exists() or not FIRMWARE.exists():
        pytest.skip(f"{LOADER} or {FIRMWARE} is not installed")
    root = environment.served(tmp_path / "served")
    make_archives(root)
    (root / "deploy.bpb").write_text(UEFI)
    with lab(tmp_path) as room:
        server = room.serve(root, hosts("pc-uefi"))
        machine = room.machine("pc1", disks=(room.disk("disk", 256 << 20),), uefi=True)
        machine.wait_for(f"{NONCE}\n", 420)
        machine.wait_until_off(60)
    assert f"IMAGED host=pc-uefi hardware=none {NONCE}\n" in machine.text
    assert "DISKS 256 UEFI\n" in machine.text
    assert "Traceback" not in machine.text + server.text


def test_two_machines_at_once(tmp_path: Path) -> None:
    root = environment.served(tmp_path / "served")
    make_archives(root)
    (root / "deploy.bpb").write_text(BIOS)
    with lab(tmp_path) as room:
        server = room.serve(root, hosts("pc1", "pc2"))
        began = time.monotonic()
        machines = [room.machine(name, disks=(room.disk(name, 256 << 20),)) for name in ("pc1", "pc2")]
        for machine in machines:
            machine.wait_for(f"{NONCE}\n", 300)
            machine.wait_until_off(60)
        print(f"two machines: {time.monotonic() - began:.0f} s")
    for machine in machines:
        assert f"IMAGED host={machine.name} hardware=none {NONCE}\n" in machine.text
    assert "Traceback" not in "".join(each.text for each in machines) + server.text
