"""What options of `boot build` add, seen on machines: files by https://, and firmware of vendors that a driver asks for."""

import re
from pathlib import Path

import pytest

from tests.boot import environment
from tests.boot.linux import NONCE, make_archives
from tests.boot.machines import ADDRESS, Lab, lab, mac
from tests.boot.test_machines import BIOS, hosts
from tests.initramfs.test_tls import authority
from tests.network.namespaces import Process, program

pytestmark = [pytest.mark.qemu, pytest.mark.slow]

UCODE = "e100/d102e_ucode.bin"


def start_nginx(room: Lab, folder: Path, certificate: Path) -> Process:
    """A web server for https:// on the server's machine; its log has a line for each request."""
    work = room.folder / certificate.stem
    work.mkdir()
    temporary = " ".join(f"{kind}_temp_path {work}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (work / "conf").write_text(
        f"user root; daemon off; worker_processes 1; pid {work}/pid; events {{ worker_connections 64; }}\n"
        f"http {{ access_log /dev/stdout combined; {temporary}\n"
        f"server {{ listen {ADDRESS}:443 ssl; ssl_certificate {certificate}; ssl_certificate_key {certificate}; root {folder}; }} }}\n"
    )
    room.cable.server.run(program("nginx"), "-t", "-q", "-p", str(work), "-c", str(work / "conf"), "-e", str(work / "log"))
    return room.cable.server.start(program("nginx"), "-p", str(work), "-c", str(work / "conf"), "-e", "/dev/stdout")


def test_script_and_images_come_by_https_from_the_server_that_has_the_right_certificate(tmp_path: Path) -> None:
    """iPXE's part comes by http; a server with the certificate of a stranger gives nothing, and when it is gone the machine goes on."""
    ca, _ = authority(tmp_path, "school", ADDRESS), authority(tmp_path, "stranger", ADDRESS)
    root = environment.built_with(tmp_path / "boot", "--ca", str(ca), "--append", f"nbp.root=https://{ADDRESS}/ nbp.delay=2")
    secret = tmp_path / "secret"
    make_archives(secret)
    (secret / "deploy.bpb").write_text(BIOS)
    with lab(tmp_path) as room:
        server = room.serve(root, hosts("pc1"))
        web = start_nginx(room, secret, tmp_path / "stranger-server.pem")
        machine = room.machine("pc1", disks=(room.disk("disk", 256 << 20),))
        machine.wait_for("the certificate of the server does not fit: unable to get local issuer certificate", 120)
        machine.wait_for("trying again in 2 s", 10, times=2)
        web.stop()
        assert "GET" not in web.text
        web = start_nginx(room, secret, tmp_path / "school-server.pem")
        machine.wait_for(f"{NONCE}\n", 240)
        machine.wait_until_off(30)
        assert all(f"GET /{name} HTTP/1.1" in web.text for name in ("deploy.bpb", "boot.imz", "root.imz", "hostname.ref"))
    assert f"IMAGED host=pc1 hardware=none {NONCE}\n" in machine.text
    assert "imz" not in server.text
    assert "Traceback" not in machine.text + server.text


def test_a_card_works_with_the_firmware_of_its_vendor_and_not_without(tmp_path: Path) -> None:
    """Linux opens an 82551 only with its microcode. iPXE's driver for this card is too slow here: a boot loader has brought kernel and initramfs."""
    (tmp_path / "vendor" / UCODE).parent.mkdir(parents=True)
    (tmp_path / "vendor" / UCODE).write_bytes(bytes(134 * 4) + bytes((10, 20, 30)))      # its form (e100.c): 134 words, and where three numbers go; QEMU does not run it
    folders = {"without": environment.built(), "with": environment.built_with(tmp_path / "with", "--firmware", str(tmp_path / "vendor"))}
    root = tmp_path / "served"
    root.mkdir()
    (root / "card.bpb").write_text('Echo "CARD-3c $BOOTP-Host-Name"\nPowerOff\n')
    with lab(tmp_path) as room:
        server = room.serve(root, "".join(f'[hosts.{name}]\nmac = "{mac(number)}"\nscript = "card"\n' for number, name in enumerate(folders, 1)))
        machines = [
            room.machine(name, "-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd.img"), "-append", "console=ttyS0,115200 quiet nbp.delay=300", card="i82551")
            for name, folder in folders.items()
        ]
        machines[0].wait_for("error: the interface eth0 cannot be brought up: its driver does not find the card's firmware", 120)
        machines[0].wait_for("bpscript boot build --firmware takes it along", 10)
        machines[1].wait_for("CARD-3c with\n", 120)
        machines[1].wait_until_off(30)
    assert f"failed to load {UCODE}" in machines[0].text
    assert "CARD-3c" not in machines[0].text
    assert "Traceback" not in machines[0].text + machines[1].text + server.text


def test_of_two_cards_the_one_without_its_firmware_does_not_keep_the_other_from_the_network(tmp_path: Path) -> None:
    folder, root = environment.built(), tmp_path / "served"
    root.mkdir()
    (root / "card.bpb").write_text('Echo "CARD-4d $BOOTP-Host-Name"\nPowerOff\n')
    with lab(tmp_path) as room:
        server = room.serve(root, f'[hosts.pc1]\nmac = "{mac(1)}"\nscript = "card"\n')
        machine = room.machine(
            "pc1", "-netdev", "user,id=other", "-device", "i82551,netdev=other,romfile=", "-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd.img"),
            "-append", "console=ttyS0,115200 quiet", card="e1000",
        )
        machine.wait_for("CARD-4d pc1\n", 120)
        machine.wait_until_off(30)
    assert re.search(r"\[warning\] the interface eth\d cannot be brought up: its driver does not find the card's firmware", machine.text)
    assert "Traceback" not in machine.text + server.text
