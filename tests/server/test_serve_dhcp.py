"""`bpscript serve` with DHCP on a cable: the log of a machine that boots, and firmware that boots by HTTP."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.dhcp.test_boot_roms import FIRMWARE, IPXE, boot, root
from tests.network.dhcp.test_clients import mac_of, udhcpc
from tests.network.namespaces import Process, Room, needs_root, room

__all__ = ["root"]      # a fixture
pytestmark = needs_root


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Room]:
    with room(tmp_path) as made:
        yield made


def serve(cable: Room, folder: Path, *options: str) -> Process:
    return cable.server.start(sys.executable, "-m", "bpscript", "serve", str(folder), "--interface", "lan", *options, ready="serving")


def test_a_machine_of_the_hosts_file_is_served_and_seen_in_the_log(cable: Room, tmp_path: Path) -> None:
    machine = cable.machine()
    (tmp_path / "served").mkdir()
    hosts = tmp_path / "hosts.toml"
    hosts.write_text(
        f'[hosts.pc7]\nmac = "{mac_of(machine)}"\naddress = "10.9.0.7"\nscript = "deploy"\n[networks."10.9.0.0/24"]\nrouters = "10.9.0.254"\n', encoding="utf-8"
    )
    server = serve(cable, tmp_path / "served", "--dhcp", "10.9.0.100-199", "--hosts", str(hosts), "--state", str(tmp_path / "state.db"))
    found = udhcpc(machine, tmp_path, "-O", "155")
    assert (found["ip"], found["router"], found["opt155"]) == ("10.9.0.7", "10.9.0.254", b"deploy".hex())
    stranger = cable.machine()
    assert udhcpc(stranger, tmp_path)["ip"] == "10.9.0.100"
    assert server.stop() in {0, 143}
    assert re.search(rf"10\.9\.0\.7 given to pc7 \[{mac_of(machine)}\] for 43200 s", server.text)
    assert f"10.9.0.100 given to {mac_of(stranger)}" in server.text
    again = serve(cable, tmp_path / "served", "--dhcp", "10.9.0.100-199", "--state", str(tmp_path / "state.db"))
    assert udhcpc(cable.machine(), tmp_path)["ip"] == "10.9.0.101"
    again.stop()
    assert "Traceback" not in server.text + again.text


@pytest.mark.net
@pytest.mark.qemu
def test_ipxe_loads_its_script_by_http(cable: Room, root: Path) -> None:
    server = serve(cable, root, "--dhcp", "10.9.0.100-199")
    boot(cable).wait_for("THE-END", 60)
    assert '(ipxe) boots "http://10.9.0.1/boot.ipxe"' in server.text


@pytest.mark.net
@pytest.mark.qemu
def test_uefi_firmware_boots_by_http(cable: Room, root: Path, tmp_path: Path) -> None:
    """OVMF with its HTTP boot option alone: a URL for the program, then iPXE and its script by HTTP, too."""
    if not FIRMWARE.exists() or not (IPXE / "ipxe.efi").exists():
        pytest.skip("ovmf or ipxe is not installed")
    hosts = tmp_path / "hosts.toml"
    # The firmware tries PXE first, and HTTP when that has no program.
    hosts.write_text('[defaults]\nboot = { uefi-x64 = "none.efi", http-x64 = "ipxe.efi" }\n', encoding="ascii")
    server = serve(cable, root, "--dhcp", "10.9.0.100-199", "--hosts", str(hosts))
    machine = boot(cable, "-machine", "q35", "-bios", str(FIRMWARE), "-device", "virtio-rng-pci", model="virtio-net-pci,romfile=")
    machine.wait_for("THE-END", 240)
    assert '(http-x64) boots "http://10.9.0.1/ipxe.efi"' in server.text
    assert "Traceback" not in server.text


def test_a_range_of_the_server_alone_is_refused_and_in_a_larger_one_it_keeps_its_address(cable: Room, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "bpscript", "serve", str(tmp_path), "--interface", "lan", "--dhcp"]
    refused = cable.server.start(*words, "10.9.0.0-10.9.0.1", ready="error:")
    assert "no address is left for machines" in refused.text
    assert refused.popen.wait(10) == 2
    serve(cable, tmp_path, "--dhcp", "10.9.0.1-10.9.0.2")
    assert udhcpc(cable.machine(), tmp_path)["ip"] == "10.9.0.2"


def test_a_machine_is_told_what_its_vendor_class_is_told(cable: Room, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.toml"
    hosts.write_text('[defaults]\nscript = "usual"\n[groups.pilot]\nclass = "pilot*"\nscript = "new"\n', encoding="utf-8")
    serve(cable, tmp_path, "--dhcp", "10.9.0.100-199", "--hosts", str(hosts))
    assert udhcpc(cable.machine(), tmp_path, "-O", "155", "-V", "Pilot-7")["opt155"] == b"new".hex()
    assert udhcpc(cable.machine(), tmp_path, "-O", "155")["opt155"] == b"usual".hex()
