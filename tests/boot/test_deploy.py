"""The whole point: a machine with an empty disk is switched on, somebody logs in, and minutes later it runs its own system."""

import sys
import time
from pathlib import Path

import pytest

from tests.boot import environment
from tests.boot.linux import NONCE, make_archives
from tests.boot.machines import ADDRESS, Lab, lab, mac

pytestmark = pytest.mark.qemu

DEPLOY = """:login
Print "\\r\\nUser: "
Input user
Print "Password: "
GetPasswd password
CheckUser "$user" "$password" "Unix"
Echo "login of $user $Security-Check"
If "$Security-Check" <> "PASSED" Goto login
SetPartitions "LINUX-SWAP:16 BIGDOS:48 LINUX-EXT2:96"
SetBootPart 2
Clean 1
FullUnzip "boot.imz" 2
FullUnzip "root.imz" 3
IncrUnzip "hardware.imi" "{:3}/"
Patch "hostname.ref" "{:3}/etc/hostname"
HdBoot
"""
# "justdoit", as in language.md 8.2
USERS = "smith:BpR8oiIlRR9bo:1000:1000::/users/smith:/bin/sh\n"


def start_gateway(room: Lab) -> None:
    """The login gateway of the lab, on the server's machine."""
    folder = room.folder / "gateway"
    folder.mkdir()
    (folder / "passwd").write_text(USERS)
    (folder / "stftpd.conf").write_text(f"unix file {folder / 'passwd'}\n")
    room.cable.server.start(sys.executable, "-m", "bpscript", "gateway", "--config", str(folder / "stftpd.conf"), "--listen", ADDRESS, ready="key")


def test_an_empty_machine_becomes_a_workstation(tmp_path: Path) -> None:
    """BIOS, PXE, virtio: script from option 155, login by the gateway, partitions, two archives, a difference, a patch; restart; the imaged Linux says its name."""
    root = environment.served(tmp_path / "served")
    make_archives(root)
    (root / "deploy.bpb").write_text(DEPLOY)
    with lab(tmp_path) as room:
        start_gateway(room)
        server = room.serve(root, f'[defaults]\nscript = "deploy"\n[hosts.pc-lab-7]\nmac = "{mac(1)}"\n')
        began = time.monotonic()
        machine = room.machine("pc", disks=(room.disk("disk.img", 256 << 20),))
        machine.wait_for("User: ", 180)
        machine.type("smith\rwrong\r")
        machine.wait_for("login of smith FAILED", 60)
        machine.wait_for("User: ", 60, times=2)
        machine.type("smith\rjustdoit\r")
        machine.wait_for("login of smith PASSED", 60)
        machine.wait_for(f"{NONCE}\n", 240)
        print(f"from the switch to the imaged system: {time.monotonic() - began:.0f} s")
        assert f"IMAGED host=pc-lab-7 hardware=net-card-7 {NONCE}\n" in machine.text
        machine.wait_until_off(60)
    assert "justdoit" not in machine.text       # stars
    assert "Traceback" not in machine.text + server.text
