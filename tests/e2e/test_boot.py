"""From a script to a disk that starts: capture on a model machine, deploy on another disk, switch it on."""

import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.oracles import need, run_tool

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

DEPLOY = """SetPartitions "LINUX-SWAP:30 BIGDOS:80 EMPTY"
SetBootPart 2
FullUnzip "dos.imz" 2
Patch "config.ref" "{:2}/config.sys"
HdBoot
"""


@pytest.mark.qemu
def test_a_deployed_disk_starts_its_system(tmp_path: Path, cli: Cli) -> None:
    """A larger partition at another place: the boot sector says where it is now, and the MBR finds it."""
    run_tool(["nasm", "-f", "bin", "-o", tmp_path / "vbr", Path(__file__).with_name("fat_vbr.asm")])
    code = (tmp_path / "vbr").read_bytes()
    assert cli("disk", "create", "model.img", "64M", "--partitions", "BIGDOS:40", "--format").returncode == 0
    with open(tmp_path / "model.img", "r+b") as file:
        file.seek((1 << 20) + 62)
        file.write(code[62:])
    (tmp_path / "capture.mrz").write_text('FullZip "{:1}/" "dos.imz"\n')
    assert cli("run", "capture.mrz", "--disk", "model.img").returncode == 0
    (tmp_path / "config.ref").write_text("rem ${BOOTP-Host-Name}\r\n")
    (tmp_path / "deploy.bpb").write_text(DEPLOY)
    done = cli("run", "deploy.bpb", "--disk", "disk.img:600M", "--set", "BOOTP-Host-Name=pc7")
    assert (done.returncode, done.stdout) == (0, "[boot] hdboot 0:0\n"), done.stderr
    assert cli("disk", "cat", "disk.img:2/config.sys").stdout == "rem pc7\n"
    said = switch_on(tmp_path / "disk.img")
    # 31 MB in front of it, and the heads of a disk of 600 MB.
    assert f"HIDDEN={31 * 2048:08X} HEADS={32:04X}" in said


@pytest.mark.qemu
def test_the_archive_of_a_disk_starts_on_a_larger_one(tmp_path: Path, cli: Cli) -> None:
    """Boot code of table and partition come along; the firmware sees more heads there, and the boot sector knows them."""
    run_tool(["nasm", "-f", "bin", "-o", tmp_path / "vbr", Path(__file__).with_name("fat_vbr.asm")])
    assert cli("disk", "create", "model.img", "64M", "--partitions", "LINUX-SWAP:3 BIGDOS:40", "--format").returncode == 0
    with open(tmp_path / "model.img", "r+b") as file:
        file.seek((4 << 20) + 62)
        file.write((tmp_path / "vbr").read_bytes()[62:])
    (tmp_path / "active.bpb").write_text("SetBootPart 2\n")
    assert cli("run", "active.bpb", "--disk", "model.img").returncode == 0
    done = cli("image", "capture", "model.img", "model.imz")
    assert done.returncode == 0, done.stderr
    assert cli("disk", "create", "disk.img", "600M").returncode == 0
    done = cli("image", "restore", "model.imz", "disk.img", "--verify", "--resize-last")
    assert done.returncode == 0, done.stderr
    said = switch_on(tmp_path / "disk.img")
    assert f"HIDDEN={4 * 2048:08X} HEADS={32:04X}" in said


def switch_on(image: Path) -> str:
    """What the machine says on COM1 within a minute."""
    command = [need("qemu-system-x86_64"), "-accel", "tcg", "-m", "16", "-display", "none", "-serial", "stdio", "-drive", f"file={image},format=raw,if=ide"]
    machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    killer = threading.Timer(60, machine.kill)
    killer.start()
    assert machine.stdout is not None
    seen = []
    try:
        for line in machine.stdout:
            seen.append(line)
            if re.search("BOOTED", line):
                break
    finally:
        killer.cancel()
        machine.kill()
        machine.communicate()       # closes its pipe
    return "".join(seen)
