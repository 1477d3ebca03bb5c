"""Boot ROMs in virtual machines: QEMU's iPXE and OVMF's own PXE get their address, their boot program and their script from us."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.dhcp.test_clients import POOL, serve
from tests.network.namespaces import Process, Room, needs_root, program, room

pytestmark = [needs_root, pytest.mark.net, pytest.mark.qemu]

FIRMWARE = Path("/usr/share/OVMF/OVMF_CODE.fd")
IPXE = Path("/usr/lib/ipxe")
SCRIPT = """#!ipxe
echo NONCE=${155:string} ${ip} ${next-server} ${filename} THE-END
poweroff
"""


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Room]:
    with room(tmp_path) as made:
        yield made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "boot.ipxe").write_text(SCRIPT, encoding="ascii")
    for name in ("undionly.kpxe", "ipxe.efi"):
        if not (IPXE / name).exists():
            pytest.skip(f"{IPXE / name} is not installed")
        shutil.copy(IPXE / name, folder)
    return folder


def boot(cable: Room, *options: str, model: str = "virtio-net-pci") -> Process:
    """A virtual machine without a disk on the cable; its serial console is its text."""
    cable.server.ip("tuntap", "add", "tap0", "mode", "tap")
    cable.server.ip("link", "set", "tap0", "master", "lan", "up")
    return cable.server.start(
        program("qemu-system-x86_64"), "-accel", "tcg", "-m", "256", "-machine", "graphics=off", "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot",
        "-netdev", "tap,id=net0,ifname=tap0,script=no,downscript=no", "-device", f"{model},netdev=net0,mac=52:54:00:77:00:01", "-boot", "n",
        "-uuid", "33221100-5544-7766-8899-aabbccddeeff", *options,
    )


def lines(server: Process, kind: str) -> list[tuple[object, object]]:
    return [(each["firmware"], each["file"]) for each in server.events if each["kind"] == kind]


@pytest.mark.parametrize("model", ["virtio-net-pci", "e1000"])
def test_the_bios_rom_gets_script_and_address_and_does_not_wait(cable: Room, root: Path, model: str) -> None:
    """notes: without our router advertisement and option 175 it waits 15 s."""
    server = serve(cable, POOL, "", "", str(root))
    began = time.monotonic()
    machine = boot(cable, model=model)
    machine.wait_for("THE-END", 60)
    took = time.monotonic() - began
    print(f"{model}: {took:.1f} s")
    assert "NONCE=-i deploy 10.9.0.100 10.9.0.1" in machine.text
    assert lines(server, "boot-program") == [("ipxe", "boot.ipxe")]
    bound = next(each for each in server.events if each.get("action") == "bound")
    assert (bound["mac"], bound["uuid"]) == ("52:54:00:77:00:01", "33221100-5544-7766-8899-aabbccddeeff")


def test_a_bios_rom_beside_dnsmasq_boots_from_our_proxy(cable: Room, root: Path, tmp_path: Path) -> None:
    other = cable.machine()
    other.ip("addr", "add", "10.9.0.2/24", "dev", "eth0")
    other.start(
        program("dnsmasq"), "--keep-in-foreground", "--log-facility=-", "--port=0", "--conf-file=/dev/null", "--user=root", "--pid-file", "--interface=eth0",
        "--dhcp-range=10.9.0.50,10.9.0.60,1h", f"--dhcp-leasefile={tmp_path / 'leases'}", ready="DHCP, IP range",
    )
    server = serve(cable, "proxy", "", "", str(root))
    machine = boot(cable)
    machine.wait_for("THE-END", 60)
    assert "10.9.0.1" in machine.text
    assert ("ipxe", "boot.ipxe") in lines(server, "boot-program")


@pytest.mark.parametrize("is_proxy", [False, True], ids=["dhcp", "proxy"])
def test_ovmf_loads_ipxe_which_then_loads_its_script(cable: Room, root: Path, tmp_path: Path, is_proxy: bool) -> None:
    """OVMF's own PXE client (no option ROM), then ipxe.efi over it: the second time it is iPXE that asks."""
    if not FIRMWARE.exists():
        pytest.skip(f"{FIRMWARE} is not installed")
    if is_proxy:
        other = cable.machine()
        other.ip("addr", "add", "10.9.0.2/24", "dev", "eth0")
        other.start(
            program("dnsmasq"), "--keep-in-foreground", "--log-facility=-", "--port=0", "--conf-file=/dev/null", "--user=root", "--pid-file", "--interface=eth0",
            "--dhcp-range=10.9.0.50,10.9.0.60,1h", f"--dhcp-leasefile={tmp_path / 'leases'}", ready="DHCP, IP range",
        )
    server = serve(cable, "proxy" if is_proxy else POOL, "", "", str(root))
    machine = boot(cable, "-machine", "q35", "-bios", str(FIRMWARE), "-device", "virtio-rng-pci", model="virtio-net-pci,romfile=")
    machine.wait_for("THE-END", 120)
    found = lines(server, "boot-program")
    assert found[0] == ("uefi-x64", "ipxe.efi")
    assert found[-1] == ("ipxe", "boot.ipxe")
    assert ("10.9.0.5" if is_proxy else "NONCE=-i deploy 10.9.0.100 10.9.0.1") in machine.text
