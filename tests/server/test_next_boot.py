"""A machine that is done boots its disk the next time: records, DHCP packets, and `bpscript serve` with real reports."""

import json
import sqlite3
import subprocess
import urllib.request
from pathlib import Path

import pytest

from bpscript.api import RunOptions, create_disk, execute
from bpscript.archive.filezip import pack_file
from bpscript.base.errors import BpscriptError, StorageError
from bpscript.machine.workstation.boot import WorkstationBoot, hears_what_boots
from bpscript.network.dhcp.firmware import FEATURE_HTTP, Client, Firmware
from bpscript.network.dhcp.message import Message
from bpscript.network.dhcp.plan import BootPolicy, NoDirectory, Plan
from bpscript.network.dhcp.pool import Pool
from bpscript.network.folder import FolderSource
from bpscript.server.floppy import unpacked_floppy
from bpscript.server.hosts import HostBook
from bpscript.server.hosts_format import read_hosts
from bpscript.server.next_boot import (
    DISK_ONCE_S,
    FLOPPY_SUFFIX,
    ONCE_S,
    NextBootDirectory,
    NextBoots,
    machine_of,
    packed_floppy_of,
    script_for,
)
from bpscript.server.next_efi import PROGRAMS
from tests.machine.workstation.recorded import RecordedCalls, bzimage
from tests.network.dhcp.simulation import OURS, Machine, server
from tests.network.dhcp.test_firmware import PXE_BIOS, requests
from tests.network.http.serving import serving as http_server
from tests.server.test_serve import TOKEN, Serve, serve

MAC = bytes.fromhex("525400770001")
DISK = {"kind": "boot", "text": "hdboot 0:0", "boots": "disk", "disk": 0, "partition": 0}
IPXE = {175: bytes((FEATURE_HTTP, 1, 1))}


class Time:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_record_survives_a_restart_beside_the_leases(tmp_path: Path) -> None:
    Pool(tmp_path / "state.db").close()
    records = NextBoots(tmp_path / "state.db")
    assert records.of(MAC) is None
    assert records.record(MAC, DISK, Plan()) is not None
    records.close()
    Pool(tmp_path / "state.db").close()
    found = NextBoots(tmp_path / "state.db").of(MAC)
    assert found is not None
    assert (found.boots, found.disk, found.once, found.words) == ("disk", 0, False, "disk 0")


def test_again_forgets_it_also_in_the_database(tmp_path: Path) -> None:
    records = NextBoots(tmp_path / "state.db")
    records.record(MAC, DISK, Plan())
    assert records.forget(MAC)
    assert not records.forget(MAC)
    assert NextBoots(tmp_path / "state.db").of(MAC) is None


def test_a_new_text_of_again_in_the_hosts_file_images_again(tmp_path: Path) -> None:
    records = NextBoots()
    records.record(MAC, DISK, Plan(again="1"))
    directory = {text: NextBootDirectory(NoDirectory(Plan(again=text)), records) for text in ("1", "2")}
    client = Client(MAC, b"\1" + MAC, Firmware.IPXE)
    assert directory["1"].plan_for(client).onward == "api/next/525400770001.ipxe"
    assert directory["2"].plan_for(client).onward == ""


def test_what_is_booted_once_is_gone_soon_after_it_was_fetched() -> None:
    clock = Time()
    records = NextBoots(clock=clock)
    for facts, plan in (({"boots": "file", "file": "dos.pxe"}, Plan()), ({"boots": "floppy", "file": "a b.img"}, Plan()), (DISK, Plan(done="once"))):
        found = records.record(MAC, facts, plan)
        assert found is not None
        assert found.once
        clock.now += 3600
        assert records.take(MAC) is not None
        window = DISK_ONCE_S if facts["boots"] == "disk" else ONCE_S
        clock.now += window - 1
        assert records.take(MAC) is not None        # the connection broke
        clock.now += 1
        assert records.of(MAC) is None


def test_machines_whose_disk_shall_not_be_booted_are_not_kept() -> None:
    records = NextBoots()
    assert records.record(MAC, DISK, Plan(done="script")) is None
    assert records.record(MAC, {"boots": "file", "file": "x"}, Plan(done="script")) is not None


@pytest.mark.parametrize("facts", [
    {}, {"boots": "cloud"}, {"boots": "disk", "disk": "0"}, {"boots": "disk", "disk": -1}, {"boots": "disk", "disk": 128}, {"boots": "file", "file": 7},
    {"boots": "disk", "disk": True}, {"boots": "file", "file": "x" * 2000}, {"boots": "file", "file": "x\nchain http://evil/"}, {"boots": ["disk"]},
])  # fmt: skip
def test_reports_that_make_no_sense_change_nothing(facts: dict[str, object]) -> None:
    assert NextBoots().record(MAC, facts, Plan()) is None


def test_a_database_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StorageError, match=r"state\.db: the database cannot be used"):
        NextBoots(tmp_path / "state.db")


def test_the_scripts_of_ipxe() -> None:
    records = NextBoots()
    disk = script_for(records.record(MAC, DISK | {"disk": 1}, Plan()))
    assert disk.startswith("#!ipxe\n")
    assert "sanboot --no-describe --drive 0x81 || exit 1\n" in disk
    floppy = script_for(records.record(MAC, {"boots": "floppy", "file": "dir/a b${x}.img"}, Plan()))
    assert "kernel /memdisk raw || exit 1\ninitrd /dir/a%20b%24%7Bx%7D.img || exit 1\nboot || exit 1\n" in floppy
    assert "--drive 0x00" in script_for(records.record(MAC, {"boots": "floppy", "file": ""}, Plan()))
    assert "chain --autofree /dos.pxe || exit 1\n" in script_for(records.record(MAC, {"boots": "file", "file": "dos.pxe"}, Plan()))
    assert "chain --autofree /boot.ipxe || exit 1\n" in script_for(None)
    assert "${x}" not in floppy
    evil = script_for(records.record(MAC, {"boots": "file", "file": "a && chain http://evil/ || x ;'\""}, Plan()))
    assert evil.splitlines()[2:] == ["chain --autofree /a%20%26%26%20chain%20http%3A//evil/%20%7C%7C%20x%20%3B%27%22 || exit 1"]
    assert "evil" not in evil.splitlines()[1]


@pytest.mark.parametrize(("path", "mac"), [
    ("/api/next/525400770001.ipxe", MAC), ("/api/next/.ipxe", None), ("/api/next/52540077000.ipxe", None), ("/api/next/52:54.ipxe", None),
    ("/api/next/../525400770001.ipxe", None), ("/api/next/525400770001", None), ("/api/status", None), ("/api/next/" + "00" * 30 + ".ipxe", None),
])  # fmt: skip
def test_the_machine_in_a_path(path: str, mac: bytes | None) -> None:
    assert machine_of(path) == mac


CHOICES = [
    (Firmware.IPXE, frozenset((FEATURE_HTTP,)), {}, "http://10.0.0.1:8080/api/next/x.ipxe"), (Firmware.IPXE, frozenset(), {}, ""),
    (Firmware.BIOS, frozenset(), {}, "undionly.kpxe"), (Firmware.BIOS, frozenset(), {Firmware.BIOS: "pxelinux.0"}, ""),
    (Firmware.UEFI_X64, frozenset(), {}, "ipxe.efi"), (Firmware.UEFI_X64, frozenset(), {Firmware.UEFI_X64: "grubx64.efi"}, ""),
    (Firmware.UEFI_X64, frozenset(), {Firmware.UEFI_X64: "ipxe/shimx64.efi"}, ""), (Firmware.HTTP_X64, frozenset(), {}, "http://10.0.0.1:8080/ipxe.efi"),
    (Firmware.RASPBERRY_PI, frozenset(), {}, "bootcode.bin"), (None, frozenset(), {}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("firmware", "features", "programs", "wanted"), CHOICES)
def test_what_each_firmware_gets_when_its_machine_is_done(firmware: Firmware | None, features: frozenset[int], programs: dict[Firmware, str], wanted: str) -> None:
    """iPXE its script, firmware iPXE if it is there, others no boot file: they go on to their next boot device."""
    client = Client(MAC, b"\1" + MAC, firmware, ipxe_features=features)
    plan = Plan(onward="api/next/x.ipxe", programs=programs)
    assert BootPolicy(http_port=8080).choose(client, plan, OURS) == wanted


@pytest.mark.parametrize(("firmware", "wanted"), [
    (Firmware.UEFI_X64, "api/next/x64.efi"), (Firmware.UEFI_ARM64, "api/next/arm64.efi"), (Firmware.HTTP_X64, "http://10.0.0.1:8080/api/next/x64.efi"),
    (Firmware.UEFI_IA32, ""), (Firmware.BIOS, "undionly.kpxe"),
])  # fmt: skip
def test_uefi_that_boots_its_disk_is_sent_on(firmware: Firmware, wanted: str) -> None:
    client = Client(MAC, b"\1" + MAC, firmware)
    policy = BootPolicy(http_port=8080, has_file=lambda name: name in {"undionly.kpxe", "ipxe.efi"})
    assert policy.choose(client, Plan(onward="api/next/x.ipxe", leaves=True), OURS) == wanted


def test_the_programs_for_uefi_are_there_by_tftp_and_http(tmp_path: Path) -> None:
    with serve(tmp_path) as it:
        for name, program in PROGRAMS.items():
            with urllib.request.urlopen(it.url(name), timeout=20) as answer:
                assert answer.read() == program
            assert subprocess.run(["curl", "-sS", f"tftp://127.0.0.1:{it.tftp}/{name}"], capture_output=True, timeout=20, check=True).stdout == program


def test_our_boot_environment_is_not_led_away() -> None:
    client = Client(MAC, b"\1" + MAC, vendor_class="bpscript", ipxe_features=frozenset((FEATURE_HTTP,)))
    policy = BootPolicy(http_port=80)
    assert policy.choose(client, Plan(onward="api/next/x.ipxe"), OURS) == policy.choose(client, Plan(), OURS)


def test_the_packets_of_a_captured_rom_lead_to_the_script() -> None:
    """The requests that QEMU's iPXE sent, before its run was done, after it, and after somebody said `again`."""
    records = NextBoots()
    machine = Machine(server(directory=NextBootDirectory(NoDirectory(), records), policy=BootPolicy(http_port=80)))
    captured = next(each for each in requests("bios-ipxe-virtio") if each.message_type == 3)

    def booted() -> str:
        machine.mac, machine.options = captured.hardware_address, {code: data for code, data in captured.options if code not in {50, 53, 54}}
        machine.now += 60
        reply: Message = machine.boot()
        return reply.boot_file.decode()

    assert booted() == "http://10.0.0.1/boot.ipxe"
    records.record(captured.hardware_address, DISK, Plan())
    assert booted() == f"http://10.0.0.1/api/next/{captured.hardware_address.hex()}.ipxe"
    machine.options = PXE_BIOS
    machine.now += 60
    assert machine.boot().boot_file == b"undionly.kpxe"
    records.forget(captured.hardware_address)
    assert booted() == "http://10.0.0.1/boot.ipxe"


def test_done_and_again_come_from_host_groups_and_defaults() -> None:
    book = HostBook(read_hosts(b"""
[defaults]
again = "2026-11"
[groups.kiosk]
done = "once"
[hosts.a]
mac = "00:00:00:00:00:01"
groups = ["kiosk"]
again = 7
[hosts.b]
mac = "00:00:00:00:00:02"
done = "script"
""", "hosts.toml"))
    plans = [book.find(mac=bytes.fromhex(f"00000000000{number}")) for number in (1, 2, 3)]
    assert [(plan.done, plan.again) for plan in plans] == [("once", "7"), ("script", "2026-11"), ("disk", "2026-11")]


# The program, with runs that really report.


def run_done(it: Serve, folder: Path, script: str, mac: str = "52:54:00:77:00:01") -> None:
    """What the boot environment does, but for the restart itself."""
    disk = folder / "disk.img"
    if not disk.exists():
        create_disk(disk, 64 << 20, partitions="BIGDOS:20", format_partitions=True)
    path = folder / "go.bpb"
    path.write_text(script)
    calls = RecordedCalls()
    boot = WorkstationBoot(calls, firmware="BIOS", server_knows=True)
    result = execute(RunOptions(
        script=path, root=it.url(), disks=[disk], boot=boot, report=it.url(), program="BpBatch", variables={"Hw-MAC": mac, "BOOTP-Host-Name": "pc7"},
    ))  # fmt: skip
    assert result.error is None
    assert "[warning]" not in result.log
    boot.leave()
    assert len(calls.restarts) == 1


def ipxe_script(it: Serve) -> str:
    with urllib.request.urlopen(it.url("api/next/525400770001.ipxe"), timeout=20) as answer:
        return str(answer.read().decode())


def next_of(it: Serve) -> object:
    (machine,) = it.get("api/machines")
    return machine["next"]


def test_a_machine_that_is_done_boots_its_disk_until_somebody_says_again(tmp_path: Path) -> None:
    served, state = tmp_path / "served", str(tmp_path / "state.db")
    served.mkdir()
    with serve(served, "--state", state, token=TOKEN) as it:
        assert "chain --autofree /boot.ipxe" in ipxe_script(it)
        run_done(it, tmp_path, "HdBoot")
        assert next_of(it) == "disk 0"
        assert "sanboot --no-describe --drive 0x80" in ipxe_script(it)
        with urllib.request.urlopen(it.url(), timeout=20) as page:
            assert "disk 0" in page.read().decode()
        _, out, _ = it.stop()
        assert "note 52:54:00:77:00:01 at 127.0.0.1 boots disk 0 the next time" in out
    with serve(served, "--state", state, token=TOKEN) as it:
        assert "sanboot" in ipxe_script(it)
        assert it.post("api/machines/52:54:00:77:00:01/again") == 401
        assert it.post("api/machines/52:54:00:77:00:01/again", token=TOKEN) == 204
        assert it.post("api/machines/52:54:00:77:00:01/again", token=TOKEN) == 404
        assert it.post("api/machines/nobody/again", token=TOKEN) == 404
        assert "chain --autofree /boot.ipxe" in ipxe_script(it)
        run_done(it, tmp_path, "HdBoot")
        assert it.post("api/machines/127.0.0.1/again", token=TOKEN) == 204      # by its address, too
        assert next_of(it) is None


def test_only_a_server_of_ours_hears_what_boots(tmp_path: Path) -> None:
    assert not hears_what_boots(None)
    assert not hears_what_boots("http://127.0.0.1:9/")
    with http_server(tmp_path) as other:
        assert not hears_what_boots(other.url())
    with serve(tmp_path) as it:
        assert hears_what_boots(it.url())


def test_a_boot_file_and_a_floppy_are_booted_once(tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    (served / "dos.pxe").write_bytes(b"NBP")
    (served / "memdisk").write_bytes(bzimage())
    image = b"DOS".ljust(1_474_560, b"\0")
    (served / "floppy.img").write_bytes(image)
    (served / "floppy.z").write_bytes(b"".join(pack_file([image])))
    with serve(served) as it:
        run_done(it, tmp_path, 'TFTPBoot "dos.pxe"')
        assert next_of(it) == "file dos.pxe, once"
        assert "chain --autofree /dos.pxe" in ipxe_script(it)
        run_done(it, tmp_path, 'LoadRamDisk "floppy.img"\nFloppyBoot')
        assert "initrd /floppy.img" in ipxe_script(it)
        run_done(it, tmp_path, 'LoadZRamDisk "floppy.z"\nFloppyBoot')
        assert next_of(it) == "packed floppy floppy.z, once"
        assert f"initrd /api/next/{MAC.hex()}.img" in ipxe_script(it)
        with urllib.request.urlopen(it.url(f"api/next/{MAC.hex()}.img")) as reply:
            assert reply.read() == image
        run_done(it, tmp_path, "PowerOff")
        assert it.post("api/machines/127.0.0.1/again") == 403       # no token, no changes


def test_a_packed_floppy_is_unpacked_and_nothing_else(tmp_path: Path) -> None:
    """The name in a report may be anything; the packed file may be larger than any floppy."""
    root = tmp_path / "served"
    root.mkdir()
    (tmp_path / "secret").write_bytes(b"".join(pack_file([b"secret"])))
    (root / "bomb.z").write_bytes(b"".join(pack_file([bytes(1 << 20)] * 64)))
    (root / "cut.z").write_bytes((root / "bomb.z").read_bytes()[:-3])
    (root / "plain.img").write_bytes(bytes(1_474_560))
    source = FolderSource(root, writable=False, server_parts=False)
    for name, words in (("../secret", "leaves"), ("bomb.z", "larger than a floppy disk"), ("cut.z", "larger|cut short"), ("plain.img", "was not made by FileZip"), ("none", "none")):
        with pytest.raises(BpscriptError, match=words):
            unpacked_floppy(source, name)
    records = NextBoots()
    assert packed_floppy_of(records.record(MAC, {"boots": "floppy", "file": "a.z", "packed": True}, Plan())) == "a.z"
    for facts in ({"boots": "floppy", "file": "a.z"}, {"boots": "floppy", "file": "a.z", "packed": "yes"}, {"boots": "file", "file": "a.z", "packed": True}, {"boots": "floppy", "packed": True}):
        assert packed_floppy_of(records.record(MAC, facts, Plan())) is None
    assert machine_of(f"/api/next/{MAC.hex()}.img", FLOPPY_SUFFIX) == MAC
    assert machine_of("/api/next/../x.img", FLOPPY_SUFFIX) is None


def test_reports_of_an_ordinary_run_say_nothing_about_booting(tmp_path: Path) -> None:
    """`bpscript run --report` with a script for workstations, on an administrator's host."""
    (tmp_path / "go.bpb").write_text("HdBoot")
    with serve(tmp_path) as it:
        create_disk(tmp_path / "disk.img", 64 << 20, partitions="BIGDOS:20")
        result = execute(RunOptions(script=tmp_path / "go.bpb", disks=[tmp_path / "disk.img"], report=it.url(), variables={"Hw-MAC": "52:54:00:77:00:01"}))
        assert result.booted == "hdboot 0:0"
        assert next_of(it) is None


def test_anything_may_be_in_a_report(tmp_path: Path) -> None:
    with serve(tmp_path) as it:
        for events in (None, 7, [7], [{"kind": "boot"}], [DISK], [DISK | {"disk": 1e99}], [DISK | {"disk": True}]):
            assert it.post("api/report", {"events": events, "mac": ["x"]}) == 204
            assert it.post("api/report", {"events": events, "mac": "no"}) == 204
        assert it.post("api/report", {"events": [DISK], "mac": "52:54:00:77:00:01"}) == 204
        assert "sanboot" in ipxe_script(it)
        assert json.loads(json.dumps(it.get("api/machines/127.0.0.1")))["next"] == "disk 0"


def test_a_database_of_an_older_server_gets_the_new_table(tmp_path: Path) -> None:
    pool = Pool(tmp_path / "state.db")
    pool.close()
    NextBoots(tmp_path / "state.db").close()
    names = {row[0] for row in sqlite3.connect(tmp_path / "state.db").execute("select name from sqlite_master where type = 'table'")}
    assert {"leases", "next_boots"} <= names
