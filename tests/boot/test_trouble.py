"""What goes wrong in a lab: power cuts, a server that is started again, passwords that are wrong, no server at all."""

import random
import subprocess
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bpscript.api import capture, open_disk
from bpscript.filesystems.filesystem import Filesystem
from bpscript.machine.capturing import CaptureOptions
from tests.boot import environment
from tests.boot.linux import NONCE, make_archives
from tests.boot.lost_writes import VolatileDisk
from tests.boot.machines import ADDRESS, Lab, lab, mac
from tests.boot.test_deploy import start_gateway
from tests.boot.test_screen import Monitor
from tests.network.namespaces import program
from tests.oracles import debugfs_tree, e2fsck

pytestmark = [pytest.mark.qemu, pytest.mark.slow]

HOSTS = f'[defaults]\nscript = "deploy"\n[hosts.pc1]\nmac = "{mac(1)}"\n'
DEPLOY = """Set Rewrite = "$Rewriting"
If valid :2 Goto there
SetPartitions "BIGDOS:48 LINUX-EXT2:160"
SetBootPart 1
:there
Echo "UNZIP-BEGINS"
FullUnzip "root.imz" 2
Echo "UNZIP-DONE"
FullUnzip "boot.imz" 1
Patch "hostname.ref" "{:2}/etc/hostname"
HdBoot
"""
KEEP = """Set Rewrite = "ALL"
If valid :2 Goto there
SetPartitions "BIGDOS:48 LINUX-EXT2:160"
SetBootPart 1
:there
Echo "KEEPING"
FullUnzip "root.imz" 2
Echo "KEPT"
FullUnzip "boot.imz" 1
Patch "hostname.ref" "{:2}/etc/hostname"
HdBoot
"""
ADD = """If valid :2 Goto there
SetPartitions "BIGDOS:48 LINUX-EXT2:160"
SetBootPart 1
:there
FullUnzip "root.imz" 2
FullUnzip "boot.imz" 1
Echo "ADDING"
IncrUnzip "added.imi" "{:2}/"
Echo "PATCHING"
Patch "hostname.ref" "{:2}/etc/hostname"
Delay $Seconds
HdBoot
"""
LOGIN = """Set tries = 0
:again
Set tries = ($tries + 1)
If $tries > 3 PowerOff
Print "\\r\\nUser: "
Input user
Print "Password: "
GetPasswd password
CheckUser "$user" "$password" "Unix"
Echo "TRY $tries $Security-Check"
If "$Security-Check" <> "PASSED" Goto again
Echo "LOGGED-IN"
"""
_CUTS = 10
_LOSSES = 4
_ADDED = 60
_MOMENTS = (0.4, 0.85, 1.0, 2.0)        # of the bytes that a restore writes, to partition and cache together; the last is in the next one
_CACHE = (1 + 48 + 160) << 20      # where it begins
_LONG_MB = 96       # of random bytes in the archive


@pytest.mark.parametrize("rewriting", ["ALL", "AUTO"])
def test_power_cuts_never_leave_half_a_system(tmp_path: Path, rewriting: str) -> None:
    """Ten times the power goes at a random moment of FullUnzip, and what the disk has not flushed; each time the partition is either none, or whole, and in the end the system starts."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    root = environment.served(tmp_path / "served")
    make_archives(root, ballast=_LONG_MB)
    (root / "deploy.bpb").write_text(DEPLOY)
    with lab(tmp_path) as room:
        server = room.serve(root, f'{HOSTS}[hosts.pc1.variables]\nRewriting = "{rewriting}"\n')
        disk = VolatileDisk(room.disk("disk", 512 << 20))
        machine = room.machine("pc1", *disk.options(), net_first=True, on=False)       # as labs do; the disk alone would stand still
        duration_s = 4.0
        seen = []
        for number in range(1, _CUTS // 2 + 1):      # ten in both variants
            done = machine.text.count("UNZIP-DONE")
            machine.switch_on()
            machine.wait_for("UNZIP-BEGINS", 180, times=number)
            began = time.monotonic()
            moment_s = chance.uniform(0, duration_s)
            while time.monotonic() - began < moment_s and machine.text.count("UNZIP-DONE") == done:
                time.sleep(0.02)
            machine.kill()
            finished = machine.text.count("UNZIP-DONE") > done
            duration_s = max(2.0, time.monotonic() - began) if finished else duration_s * 1.2
            disk.power_cut(chance)
            seen.append((round(moment_s, 1), finished, look_at(disk.image), disk.flushed, disk.lost))
        print(seen)
        machine.switch_on()
        machine.wait_for(f"{NONCE}\n", 300)
        machine.wait_until_off(60)
    assert f"IMAGED host=pc1 hardware=none {NONCE}\n" in machine.text
    states = [state for _, _, state, _, _ in seen]
    assert "none" in states
    assert "no table" not in states
    assert "Traceback" not in machine.text + server.text


def test_power_cuts_that_lose_the_disks_cache(tmp_path: Path) -> None:
    """The power goes at a random moment of the whole script (table, images, added files, patches, and the cache that keeps the images), and
    with it what the disk had not yet flushed, down to single sectors; each time the partition is either none or sound, and in the end the system starts."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    root = environment.served(tmp_path / "served")
    make_archives(root, ballast=_LONG_MB)
    (root / "deploy.bpb").write_text(DEPLOY.replace('FullUnzip "boot.imz" 1\n', 'FullUnzip "boot.imz" 1\nIncrUnzip "hardware.imi" "{:2}/"\nEcho "ADDED"\n'))
    with lab(tmp_path) as room:
        server = room.serve(root, f'{HOSTS}[hosts.pc1.variables]\nRewriting = "AUTO"\n')
        disk = VolatileDisk(room.disk("disk", 512 << 20))
        machine = room.machine("pc1", *disk.options(), net_first=True, on=False)
        seen = []
        for number in range(1, _LOSSES + 1):
            machine.switch_on()
            machine.wait_for("UNZIP-BEGINS", 180, times=number)
            time.sleep(chance.uniform(0, 9))
            machine.kill()
            disk.power_cut(chance)
            seen.append((disk.flushed, disk.lost, look_at(disk.image)))
        print(seen)
        machine.switch_on()
        machine.wait_for(f"{NONCE}\n", 300)
        machine.wait_until_off(60)
    assert "IMAGED host=pc1 hardware=" in machine.text
    assert NONCE in machine.text
    assert sum(lost for _, lost, _ in seen), "nothing was ever lost"
    assert "Traceback" not in machine.text + server.text


def test_power_cuts_while_files_are_added_and_patched(tmp_path: Path) -> None:
    """IncrUnzip and Patch, on a disk that loses what was not flushed: each file is its old self or the new one, the volume is put in order without
    a question, archives in the cache are whole or not there; and in the end the system starts."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    root = environment.served(tmp_path / "served")
    make_archives(root)
    added = {f"added{number}": random.Random(number).randbytes(300_000) for number in range(_ADDED)}
    tree = tmp_path / "tree"
    tree.mkdir()
    for name, data in added.items():
        (tree / name).write_bytes(data)
    capture(tree, root / "added.imi", CaptureOptions(incremental=True))
    (root / "deploy.bpb").write_text(f"Set Seconds = 60\n{ADD}")       # for the power cut
    with lab(tmp_path) as room:
        server = room.serve(root, HOSTS)
        disk = VolatileDisk(room.disk("disk", 512 << 20))
        machine = room.machine("pc1", *disk.options(), net_first=True, on=False)
        seen = []
        for number in range(_LOSSES):
            word, longest_s = (("ADDING", 2.0), ("PATCHING", 0.4))[number % 2]
            before = machine.text.count(word)
            machine.switch_on()
            machine.wait_for(word, 240, times=before + 1)
            time.sleep(chance.uniform(0, longest_s))
            machine.kill()
            disk.power_cut(chance)
            files = files_after(disk.image, tmp_path / "part")
            assert files.pop("etc/hostname") in {b"not-patched\n", b"pc1\n"}
            assert {name: data for name, data in files.items() if data != added.get(name)} == {}
            seen.append((word, disk.flushed, disk.lost, len(files), sorted(cached(disk.image, root))))
        print(seen)
        (root / "deploy.bpb").write_text(f"Set Seconds = 0\n{ADD}")
        machine.switch_on()
        machine.wait_for(f"{NONCE}\n", 300)
        machine.wait_until_off(60)
    assert f"IMAGED host=pc1 hardware=none {NONCE}\n" in machine.text
    assert files_after(disk.image, tmp_path / "part") == {**added, "etc/hostname": b"pc1\n"}
    assert "Traceback" not in machine.text + server.text


def test_power_cuts_while_the_cache_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At moments of a restore that keeps its archive, also when all is there but not yet flushed, and when the next one is on its way; a disk that loses what
    was not. What the cache has then is whole, what was said to be kept is there; the next start ends in a good system, and the one after that fetches no byte of the archives."""
    monkeypatch.setenv("BPSCRIPT_TOKEN", "a-token-for-tests")
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    root = environment.served(tmp_path / "served")
    make_archives(root, ballast=48)
    (root / "deploy.bpb").write_text(KEEP)
    expected = 2 * (root / "root.imz").stat().st_size
    with lab(tmp_path) as room:
        server = room.serve(root, HOSTS)
        disk = VolatileDisk(room.disk("disk", 400 << 20))
        machine = room.machine("pc1", *disk.options(), net_first=True, on=False)
        seen = []
        for number, moment in enumerate(_MOMENTS, 1):
            kept = machine.text.count("KEPT")
            machine.switch_on()
            machine.wait_for("KEEPING", 180, times=number)
            before, end = disk.written, time.monotonic() + 120
            while disk.written < before + moment * expected and machine.text.count("KEPT") == kept:
                assert time.monotonic() < end
                time.sleep(0.005)
            if moment > 1:
                machine.wait_for("KEPT", 30, times=kept + 1)
                time.sleep(chance.uniform(0, 2))
            machine.kill()
            disk.power_cut(chance)
            seen.append((moment, disk.flushed, sum(place >= _CACHE for place in disk.lost_places), sorted(cached(disk.image, root))))
        print(seen)
        machine.switch_on()
        machine.wait_for(f"{NONCE}\n", 300)
        machine.wait_until_off(60)
        (done,) = room.machines()
        start = len(server.text)
        room.cable.server.run(program("curl"), "-fsS", "-X", "POST", "-H", "Authorization: Bearer a-token-for-tests", f"http://{ADDRESS}/api/machines/{mac(1)}/again")
        machine.switch_on()
        machine.wait_for(f"{NONCE}\n", 300, times=2)
        machine.wait_until_off(60)
        (again,) = room.machines()
        print(f"the last start: {again['fetched'] - done['fetched']} bytes fetched")
    assert machine.text.count("KEPT") >= 2
    assert machine.text.count(f"IMAGED host=pc1 hardware=none {NONCE}\n") == 2
    assert any(lost for _, _, lost, _ in seen), "no cut has met the cache"
    assert "root.imz" in seen[-1][3]
    assert ".imz" not in server.text[start:]
    assert cached(disk.image, root) >= {"root.imz", "boot.imz"}
    assert "Traceback" not in machine.text + server.text


def files_after(image: Path, part: Path) -> dict[str, bytes]:
    """What was added to the second partition, and etc/hostname, as debugfs reads a copy that e2fsck has put in order, as an installed system lets it."""
    with open_disk(image) as disk, part.open("wb") as file:
        partition = disk.partition(2)
        file.write(partition.read(0, partition.size))
    done = subprocess.run(["e2fsck", "-p", part], capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr         # nothing, or nothing that a person must decide
    e2fsck(part)
    with TemporaryDirectory() as folder:
        files = debugfs_tree(part, Path(folder, "tree"))
    return {name: data for name, data in files.items() if name == "etc/hostname" or name.startswith("added")}


def cached(image: Path, root: Path) -> set[str]:
    """Names of the files in the cache, each of them the server's."""
    with open_disk(image) as disk:
        volume = disk.volume(-1)
        assert volume.check() == []
        names = {name for name, _ in volume.entries("")}
        for name in names:
            assert contents(volume, name) == (root / name).read_bytes()
        return names


def contents(volume: Filesystem, name: str) -> bytes:
    with closing(volume.open(name)) as reader:
        return reader.read()


def look_at(image: Path) -> str:
    """The second partition of a disk whose machine has no power: "no table", "none", or "whole"."""
    with open_disk(image) as disk:
        entry = disk.table().get(2)
        if entry is None:
            return "no table"
        kind = disk.kind_of(2)
        if kind is None:
            return "none"
        assert kind == "EXT4"
        start = entry.start
        volume = disk.volume(2)
        assert volume.stat("ballast").size == _LONG_MB << 20
    e2fsck(image, start)
    return "whole"


def test_a_server_that_is_started_again_in_the_middle(tmp_path: Path) -> None:
    root = environment.served(tmp_path / "served")
    make_archives(root, ballast=_LONG_MB)
    (root / "deploy.bpb").write_text(DEPLOY)
    hosts = f'{HOSTS}[hosts.pc1.variables]\nRewriting = "ALL"\n'
    with lab(tmp_path) as room:
        server = room.serve(root, hosts)
        disk = room.disk("disk", 512 << 20)
        machine = room.machine("pc1", disks=(disk,))
        machine.wait_for("UNZIP-BEGINS", 180)
        end = time.monotonic() + 60
        while disk.stat().st_blocks * 512 < 24 << 20:       # the image is on its way
            assert time.monotonic() < end
            time.sleep(0.1)
        assert server.stop() in {0, 143}
        assert "UNZIP-DONE" not in machine.text
        time.sleep(4)
        again = room.serve(root, hosts)
        machine.wait_for(f"{NONCE}\n", 300)
        machine.wait_until_off(60)
    assert f"IMAGED host=pc1 hardware=none {NONCE}\n" in machine.text
    assert "root.imz" in again.text
    assert "Traceback" not in machine.text + server.text + again.text


def test_a_wrong_password_three_times_turns_the_machine_off(tmp_path: Path) -> None:
    root = environment.served(tmp_path / "served")
    (root / "deploy.bpb").write_text(LOGIN)
    with lab(tmp_path) as room:
        start_gateway(room)
        room.serve(root, HOSTS)
        machine = room.machine("pc1")
        for number in (1, 2, 3):
            machine.wait_for("User: ", 120, times=number)
            machine.type(f"smith\rwrong{number}\r")
            machine.wait_for(f"TRY {number} FAILED", 60)
        machine.wait_until_off(60)
    assert "LOGGED-IN" not in machine.text


def served_with(tmp_path: Path, append: str) -> Path:
    """The boot environment with parameters of the kernel."""
    root = environment.served(tmp_path / "served")
    script = (root / "boot.ipxe").read_text()
    (root / "boot.ipxe").unlink()           # it is a link to that of all tests
    (root / "boot.ipxe").write_text(script.replace("console=tty0", f"{append} console=tty0"))
    return root


def last_error(room: Lab) -> str:
    """What the server knows of the only machine."""
    (machine,) = room.machines()
    assert machine["state"] == "failed"
    return str(machine["last_error"])


NO_SCRIPT = f"bpscript: error: no script deploy.bpb at http://{ADDRESS}/"


def test_a_missing_script_is_said_and_the_machine_turns_off(tmp_path: Path) -> None:
    root = served_with(tmp_path, "nbp.onerror=poweroff nbp.delay=2")
    with lab(tmp_path) as room:
        server = room.serve(root, HOSTS)
        machine = room.machine("pc1")
        machine.wait_for(NO_SCRIPT, 120)
        machine.wait_until_off(60)
        assert "no script deploy.bpb" in last_error(room)
    assert "switching off in 2 s" in machine.text
    assert "Traceback" not in machine.text + server.text


def test_a_machine_starts_again_after_each_error_until_its_script_is_right(tmp_path: Path) -> None:
    """nbp.onerror=reboot: without a script, with one that fails, with one that works; the server hears each error."""
    root = served_with(tmp_path, "nbp.onerror=reboot nbp.delay=1")
    with lab(tmp_path) as room:
        server = room.serve(root, HOSTS)
        machine = room.machine("pc1")
        machine.wait_for(NO_SCRIPT, 120)
        machine.wait_for("starting again in 1 s", 20)
        assert "no script deploy.bpb" in last_error(room)
        (root / "deploy.bpb").write_text('Echo "FAILS-6d"\nInclude "no-such-6d.bpb"\n')
        machine.wait_for("FAILS-6d", 120)
        machine.wait_for("starting again in 1 s", 30, times=2)
        assert "no-such-6d.bpb" in last_error(room)
        (root / "deploy.bpb").write_text('Echo "RIGHT-6d $BOOTP-Host-Name"\nPowerOff\n')
        machine.wait_for("RIGHT-6d pc1\n", 120)
        machine.wait_until_off(60)
        (seen,) = room.machines()
        assert seen["state"] != "failed"
    assert machine.text.count("iPXE 1.") >= 3           # by way of the firmware each time
    assert "Traceback" not in machine.text + server.text


def test_a_machine_waits_at_a_prompt_after_an_error(tmp_path: Path) -> None:
    """nbp.onerror=prompt: the error stays readable, a shell is there, and Return tries again."""
    root = served_with(tmp_path, "nbp.onerror=prompt nbp.delay=500")
    with lab(tmp_path) as room:
        server = room.serve(root, HOSTS)
        machine = room.machine("pc1")
        machine.wait_for(NO_SCRIPT, 120)
        machine.wait_for("trying again in 500 s: Return at once", 20)
        assert "no script deploy.bpb" in last_error(room)
        machine.type("s")
        machine.wait_for("A shell", 30)
        machine.type("echo SHELL-$((6*7))\r")
        machine.wait_for("SHELL-42", 30)
        machine.type("sleep 1000\r")
        machine.type("\x03")                    # the shell has the terminal
        machine.type("echo STOPPED-$((6*7))\r")
        machine.wait_for("STOPPED-42", 30)
        machine.type("bpscript serve /tmp\r")
        machine.wait_for("do this on a server", 60)
        machine.type("exit\r")
        machine.wait_for("trying again in 500 s", 30, times=2)
        (root / "deploy.bpb").write_text('Echo "RIGHT-7e $BOOTP-Host-Name"\nPowerOff\n')
        machine.type("\r")
        machine.wait_for("RIGHT-7e pc1\n", 60)
        machine.wait_until_off(60)
    assert machine.text.count("iPXE 1.") == 1
    assert "Traceback" not in machine.text + server.text


def test_a_cable_that_is_plugged_in_late(tmp_path: Path) -> None:
    """No link and no answer are said in words; Return tries again, now with a cable."""
    folder, root = environment.built(), tmp_path / "served"
    root.mkdir()
    (root / "deploy.bpb").write_text('Echo "LATE-8f $BOOTP-Host-Name"\nPowerOff\n')
    with lab(tmp_path) as room:
        server = room.serve(root, HOSTS)
        machine = room.machine(
            "pc1", "-qmp", f"unix:{tmp_path / 'qmp'},server=on,wait=off", "-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd.img"),
            "-append", "console=ttyS0,115200 quiet nbp.timeout=5 nbp.delay=500",
        )
        monitor = Monitor(tmp_path / "qmp")
        monitor.do("set_link", name="net0", up=False)
        machine.wait_for("[warning] no link at eth0: is the cable plugged in?", 120)
        machine.wait_for("error: no DHCP server answered on eth0 within 5 s", 60)
        machine.wait_for("trying again in 500 s: Return at once", 10)
        monitor.do("set_link", name="net0", up=True)
        machine.type("\r")
        machine.wait_for("LATE-8f pc1\n", 60)
        machine.wait_until_off(30)
    assert "Traceback" not in machine.text + server.text


def test_a_machine_without_a_disk_says_so_and_what_to_type(tmp_path: Path) -> None:
    root = environment.served(tmp_path / "served")
    (root / "deploy.bpb").write_text(DEPLOY)
    with lab(tmp_path) as room:
        server = room.serve(root, HOSTS)
        machine = room.machine("pc1")
        machine.wait_for("error: no disk 0: there is no disk\n", 120)
        machine.wait_for('[note] type commands of the language, such as "HdBoot" or "PowerOff"', 30)
        machine.wait_for("\n> ", 10)
        assert "no disk 0" in last_error(room)
        machine.type("PowerOff\r")
        machine.wait_until_off(30)
    assert "on a workstation the controller may need a driver" in machine.text
    assert "Traceback" not in machine.text + server.text


def test_without_a_dhcp_server_the_passed_address_is_used(tmp_path: Path) -> None:
    """nbp.dhcp=off: what iPXE knew is enough for a script, without a second exchange."""
    root = served_with(tmp_path, "nbp.dhcp=off")
    (root / "deploy.bpb").write_text('Echo "PASSED $BOOTP-Your-IP $BOOTP-Server-IP $BOOTP-Host-Name $BOOTP-Subnet-Mask"\nPowerOff\n')
    with lab(tmp_path) as room:
        server = room.serve(root, HOSTS)
        machine = room.machine("pc1")
        machine.wait_for("PASSED ", 120)
        machine.wait_until_off(30)
    assert f"PASSED 10.9.0.100 {ADDRESS} pc1 255.255.255.0\n" in machine.text
    assert "is our boot environment" not in server.text
