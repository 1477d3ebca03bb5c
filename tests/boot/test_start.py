"""The boot environment starts on a machine, says what it found, runs the script that its server names, and tells what went wrong."""

import re
import time
from pathlib import Path

import pytest

from tests.boot import environment
from tests.boot.machines import lab, mac

pytestmark = pytest.mark.qemu

FIRST_LINE_S = 8.0
OLD_PROCESSOR = ("-cpu", "max,la57=off,rdrand=off,rdseed=off")      # before 2012: the kernel has no random numbers yet when Python starts
FACTS = """Echo "NONCE-7f3a $Program $Basename $BOOTP-Host-Name $BOOTP-Your-IP $BOOTP-Server-IP disks $Disks colour $Colour switches $BOOTP-Option-155"
Echo "$Nothing"
Include "no-such.bpb"
"""


def test_a_machine_starts_runs_its_script_and_tells_its_error(tmp_path: Path) -> None:
    """BIOS, PXE, two disks, one of them on another bus: variables, order of disks, an error with its place, the prompt, the end."""
    root = environment.served(tmp_path / "served")
    (root / "facts.bpb").write_text(FACTS)
    with lab(tmp_path) as room:
        server = room.serve(root, f'[defaults]\nscript = "-l facts"\n[hosts.pc7]\nmac = "{mac(1)}"\n[hosts.pc7.variables]\nColour = "blue green"\n')
        second = room.disk("second", 48 << 20)
        extra = ("-drive", f"file={second},format=raw,if=none,id=second", "-device", "ide-hd,drive=second,bus=ide.1,serial=BPS-2,bootindex=5")
        machine = room.machine("pc7", *OLD_PROCESSOR, *extra, disks=(room.disk("first", 64 << 20),))
        machine.wait_for("initrd.img...", 120)
        began_s, used_s = time.monotonic(), machine.processor_s
        machine.wait_for("boot environment, ", 120)
        share = (machine.processor_s - used_s) / (time.monotonic() - began_s)       # the rest went to others: the guest's clock runs on
        machine.wait_for("NONCE-7f3a", 180)
        first_line = re.search(r"boot environment, ([\d.]+) s after the kernel's start", machine.text)
        assert first_line is not None
        print(f"first line {first_line[1]} s after the kernel's start, with {share:.0%} of a processor")
        assert float(first_line[1]) * min(share, 1) < FIRST_LINE_S
        machine.wait_for("> ", 60)
        assert "NONCE-7f3a BpBatch facts pc7 10.9.0.100 10.9.0.1 disks 64 48 colour blue green switches -l facts\n" in machine.text
        assert 'facts.bpb:3:9: error: no file "no-such.bpb" at http://10.9.0.1/' in machine.text
        assert "^^^^^^^^^^^^^" in machine.text
        machine.type("Echo \"at $BOOTP-Host-Name\"\r")
        machine.wait_for("at pc7\n", 60)
        # The second disk says its serial number itself; a variable that says something else is not believed.
        machine.type('Set Disk-1-Serial = "BPS-3"\rSet Expect-Disk-1 = "serial=BPS-3"\rSetPartitions "BIGDOS:20" 1\r')
        machine.wait_for('serial=BPS-3 does not hold', 60)
        assert second.read_bytes().count(0) == 48 << 20
        machine.type('Set Expect-Disk-1 = "serial=BPS-2 model=QEMU*"\rSetPartitions "BIGDOS:20" 1\rEcho "written to $Disk-1-Model"\r')
        machine.wait_for("written to QEMU", 60)
        assert second.read_bytes().count(0) < 48 << 20
        (seen,) = room.machines()
        assert (seen["host"], seen["mac"], seen["script"], seen["state"]) == ("pc7", mac(1), "facts.bpb", "failed")
        assert "no-such.bpb" in seen["last_error"]
        machine.type("PowerOff\r")
        machine.wait_until_off(60)
    assert "Traceback" not in machine.text + server.text
