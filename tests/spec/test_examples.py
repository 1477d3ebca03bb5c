"""Every example script of the reference runs, or stops, where its header says."""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bpscript import api
from bpscript.base.clock import Clock
from tests.grammar import tables
from tests.oracles import run_tool

EXAMPLES = Path(__file__).parent / "examples"
MB = 1 << 20
BOOTP = {
    "BOOTP-Host-Name": "pc7",
    "BOOTP-Domain-Name": "unige.ch",
    "BOOTP-Your-IP": "10.1.2.7",
    "BOOTP-Subnet-Mask": "255.255.255.0",
    "BOOTP-Server-IP": "10.1.2.1",
    "BOOTP-Routers": "10.1.2.254 10.1.2.253",
    "BOOTP-Domain-name-Servers": "10.1.2.2 10.1.2.3",
    "BOOTP-Client-ID": "00A0C9112233",
}


class Site:
    """A folder that plays the server, with all examples in it, and disks beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        shutil.copytree(EXAMPLES, self.root, ignore=shutil.ignore_patterns("README.md"))

    def disk(self, size: int, name: str = "disk.img") -> Path:
        """A zero-filled image of `size` MB; one that is there is kept."""
        path = self.folder / name
        if not path.exists():
            with path.open("wb") as file:
                file.truncate(size * MB)
        return path

    def add(self, name: str, content: str | bytes = "") -> Path:
        """A file below the root."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def run(
        self, script: str, disks: Sequence[Path] = (), keys: str | None = "", variables: Mapping[str, str] | None = None
    ) -> api.Result:
        """Run an example. The log comes with line feeds, and without `[note]` lines."""
        options = api.RunOptions(
            script=self.root / script, root=self.root, disks=disks, keys=keys, variables=BOOTP if variables is None else variables
        )
        result = api.execute(options)
        log = result.log.replace("\r\n", "\n").replace("\r", "")
        return result._replace(log=re.sub(r"^\[(?:note|progress)\].*\n?", "", log, flags=re.M))

    def do(self, lines: str, disks: Sequence[Path] = (), name: str = "do.mrz") -> api.Result:
        """Run a script of the test's own, which must succeed."""
        self.add(name, lines)
        before = Path.cwd()
        os.chdir(self.root)
        try:
            result = self.run(name, disks, variables={})
        finally:
            os.chdir(before)
        assert result.error is None, result.error.explain()
        return result

    def read(self, place: str, disks: Sequence[Path]) -> bytes:
        """A file on a disk."""
        target = self.root / "read.out"
        target.unlink(missing_ok=True)
        self.do(f'copy "{place}" "read.out"\n', disks)
        return target.read_bytes()


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archives that a site would supply, small, made by the product itself."""
    site = Site(tmp_path_factory.mktemp("images"))
    for name, text in {
        "kernel": "a kernel", "hosts": "127.0.0.1 localhost\n", "driver": "vxd", "autoexec": "@echo off\r\n",
        "generic/drv.txt": "generic", "3c905/drv.txt": "3c905", "vendor/vendor.txt": "vendor", "host/host.txt": "host",
    }.items():
        site.add(name, text)
    disk = site.disk(200)
    site.do(
        """
setpartitions "linux-ext2:40 bigdos:20 fat32:80"
clean "1 2 3"
mkdir "{:1}/boot"
mkdir "{:1}/etc/sysconfig/network-scripts"
copy "kernel" "{:1}/boot/vmlinuz"
copy "hosts" "{:1}/etc/hosts"
fullzip "{:1}/" "linux.imz"
mkdir "{:2}/lanman.dos"
copy "autoexec" "{:2}/autoexec.bat"
fullzip "{:2}/" "dos.imz"
mkdir "{:3}/windows/system"
copy "driver" "{:3}/windows/system/a.vxd"
fullzip "{:3}/" "win98.imz"
incrzip "generic" "generic.imi"
incrzip "3c905" "3c905.imi"
incrzip "vendor" "vendor.imi"
incrzip "host" "host.imi"
""",
        [disk],
    )
    return site.root


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def full_site(site: Site, image_folder: Path) -> Site:
    """A site with linux.imz, dos.imz and win98.imz."""
    for image in image_folder.glob("*.imz"):
        shutil.copy(image, site.root)
    return site


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes at once."""
    monkeypatch.setattr(Clock, "sleep", lambda self, seconds: None)


def untouched(disk: Path) -> bool:
    """Whether an image holds nothing but zeros; what is a hole need not be read."""
    with disk.open("rb") as file:
        try:
            start = os.lseek(file.fileno(), 0, os.SEEK_DATA)
        except OSError:
            return True     # no data at all
        file.seek(start)
        return not any(block.strip(b"\0") for block in iter(lambda: file.read(MB), b""))


# 01


def test_01_refuses_when_there_is_no_disk(site: Site) -> None:
    result = site.run("01-linux-lab.bpb")
    assert result.error is None
    assert result.log == "No hard disk found.\n[boot] poweroff\n"
    assert result.booted == "poweroff"


def test_01_refuses_a_small_disk_without_touching_it(site: Site) -> None:
    disk = site.disk(100)
    result = site.run("01-linux-lab.bpb", [disk])
    assert result.error is None
    assert result.log == "Disk 0 has 100 MB, at least 1200 MB are needed.\n[boot] poweroff\n"
    assert untouched(disk)


def test_01_installs_and_starts_linux(full_site: Site) -> None:
    disk = full_site.disk(1200)
    result = full_site.run("01-linux-lab.bpb", [disk])
    assert result.error is None, result.error.explain()
    assert result.booted == 'linuxboot "{:1}/boot/vmlinuz" "root=/dev/hda1 BOOT_IMAGE=linux" ""'
    assert tables.rows(disk) == ["1 131 1+992 boot", "2 130 993+32"]
    assert full_site.read("{:1}/etc/HOSTNAME", [disk]) == b"pc7\n"
    assert full_site.read("{:1}/etc/sysconfig/network-scripts/ifcfg-eth0", [disk]) == (
        b"DEVICE=eth0\nIPADDR=10.1.2.7\nNETMASK=255.255.255.0\nGATEWAY=10.1.2.254\nONBOOT=yes\n"
    )
    assert full_site.do("if valid :2 log \"swap\"\n", [disk]).log == "swap"
    found = run_tool(["debugfs", "-R", "cat /etc/HOSTNAME", f"{disk}?offset={MB}"])
    assert found.stdout == "pc7\n"


def test_01_stops_at_the_restore_when_the_image_is_missing(site: Site) -> None:
    result = site.run("01-linux-lab.bpb", [site.disk(1200)])
    assert result.error is not None
    assert (result.error.line, result.error.column) == (15, 11)
    assert "linux.imz" in result.error.message


# 02


def test_02_deploys_dos(full_site: Site) -> None:
    disk = full_site.disk(1100)
    result = full_site.run("02-dos-deploy.bpb", [disk])
    assert result.error is None, result.error.explain()
    assert result.booted == "hdboot 0:1"
    assert tables.rows(disk) == ["1 6 1+1024 boot"]
    protocol = (EXAMPLES / "protocol.ref").read_bytes().decode()
    for name, value in {
        "${BOOTP-Host-Name}": "pc7", "${MS-IPAddress}": "10 1 2 7", "${MS-IPSubnet}": "255 255 255 0", "${MS-IPRouter}": "10 1 2 254",
    }.items():
        protocol = protocol.replace(name, value)
    assert "${not a name}" in protocol
    assert full_site.read("{:1}/lanman.dos/protocol.ini", [disk]).decode() == protocol
    autoexec = (EXAMPLES / "autoexec.ref").read_bytes().decode().replace("@@BOOTP-Host-Name@@", "pc7").replace("@@bootp-host-name@@", "pc7")
    assert full_site.read("{:1}/autoexec.bat", [disk]).decode() == autoexec.replace("@@BOOTP-Domain-Name@@", "unige.ch")


def test_02_stops_when_the_disk_is_too_small(full_site: Site) -> None:
    disk = full_site.disk(1000)
    result = full_site.run("02-dos-deploy.bpb", [disk])
    assert result.error is not None
    assert (result.error.line, result.error.column) == (8, 15)
    assert untouched(disk)


# 03

PASSWD = "smith:BpR8oiIlRR9bo:John Smith\n"     # justdoit


def test_03_starts_the_local_disk(site: Site) -> None:
    site.add("passwd", PASSWD)
    result = site.run("03-menu-login.bpb", [site.disk(20)], keys="smith\rjustdoit\rx3")
    assert result.error is None, result.error.explain()
    assert result.log == "login smith on pc7\n[boot] hdboot 0:0\n"
    assert result.variables["pass"] == ""


def test_03_takes_the_local_disk_after_20_seconds(site: Site, no_waiting: None) -> None:
    site.add("passwd", PASSWD)
    result = site.run("03-menu-login.bpb", [site.disk(20)], keys="smith\rjustdoit\r")
    assert result.booted == "hdboot 0:0"
    assert result.variables["left"] == "0"


def test_03_locks_after_three_wrong_passwords(site: Site) -> None:
    site.add("passwd", PASSWD)
    result = site.run("03-menu-login.bpb", keys="smith\rwrong\rsmith\r\r\rjustdoit\r")
    assert result.error is None, result.error.explain()
    assert result.log == "Three wrong passwords.\n[boot] poweroff\n"
    assert result.variables["tries"] == "3"


def test_03_takes_the_second_password(site: Site) -> None:
    site.add("passwd", PASSWD)
    result = site.run("03-menu-login.bpb", [site.disk(20)], keys="smith\rwrong\rsmith\rjustdoit\r3")
    assert result.log == "login smith on pc7\n[boot] hdboot 0:0\n"
    assert result.variables["tries"] == "2"


def test_03_refuses_characters_beyond_eight(site: Site) -> None:
    site.add("passwd", "longuser:BpR8oiIlRR9bo\n")
    result = site.run("03-menu-login.bpb", [site.disk(20)], keys="longusername\rjustdoitnow\r3")
    assert result.variables["user"] == "longuser"
    assert result.booted == "hdboot 0:0"


def test_03_starts_linux(site: Site) -> None:
    site.add("passwd", PASSWD)
    result = site.run("03-menu-login.bpb", keys="smith\rjustdoit\r1")
    assert result.log == "login smith on pc7\nNo hard disk found.\n[boot] poweroff\n"


def test_03_starts_windows(full_site: Site) -> None:
    full_site.add("passwd", PASSWD)
    result = full_site.run("03-menu-login.bpb", [full_site.disk(1100)], keys="smith\rjustdoit\r2")
    assert result.error is None, result.error.explain()
    assert result.booted == "hdboot 0:1"


# 04


@pytest.mark.parametrize(
    ("sent", "overlays", "logged"),
    [
        (None, ["hw/generic.imi"], "overlay class generic\n"),
        ("nonsense", ["hw/generic.imi"], "overlay class generic\n"),
        ("3C905", ["hw/3C905.imi"], "overlay class 3C905\n"),
        (
            "3c905",
            ["hw/3c905.imi", "hw/mac-00A0C9.imi", "hosts/pc7.imi"],
            "overlay class 3c905\noverlay vendor 00A0C9\noverlay host pc7\n",
        ),
    ],
)
def test_04_unpacks_the_overlays(full_site: Site, image_folder: Path, sent: str | None, overlays: list[str], logged: str) -> None:
    contents = {"hw/mac-00A0C9.imi": "vendor.imi", "hosts/pc7.imi": "host.imi"}
    for overlay in overlays:
        target = full_site.add(overlay)
        shutil.copy(image_folder / contents.get(overlay, Path(overlay).name.lower()), target)
    disk = full_site.disk(2150)
    result = full_site.run("04-overlay-by-hardware.bpb", [disk], variables=BOOTP | ({"BOOTP-Option-130": sent} if sent else {}))
    assert result.error is None, result.error.explain()
    assert result.log == f"{logged}[boot] hdboot 0:1\n"
    assert tables.rows(disk) == ["1 11 1+2000 boot", "2 6 2001+100"]
    assert full_site.read("{:1}/windows/system/a.vxd", [disk]) == b"vxd"
    assert full_site.read("{:1}/drv.txt", [disk]) == (b"3c905" if sent and "3" in sent else b"generic")
    if "hosts/pc7.imi" in overlays:
        assert full_site.read("{:1}/host.txt", [disk]) == b"host"
        assert full_site.read("{:1}/vendor.txt", [disk]) == b"vendor"


# 05 to 07


def test_05_captures_a_system_without_temporary_files(site: Site) -> None:
    # The script archives "/": here a small tree stands for it, and the folder of the test for /tmp and /var/tmp.
    for name in ["etc/fstab", "tmp/junk", "var/tmp/junk", "var/log/wtmp", "var/log/messages", "var/spool/mail/root", "proc/1", "bin/sh"]:
        site.add(f"tree/{name}", name)
    text = (EXAMPLES / "05-capture-linux.mrz").read_text()
    text = text.replace('fullzip "/"', 'fullzip "tree"').replace("/tmp/linux.imz", "linux.imz").replace('"/var/tmp"', '"."')
    result = site.do(text, name="capture.mrz")
    for kept in ["fstab", "wtmp", "sh", "tmp"]:
        assert kept in result.log
    for left_out in ["junk", "messages", "root"]:
        assert not re.search(rf"\b{left_out}$", result.log, re.M), result.log
    disk = site.disk(100)
    site.do('setpartitions "linux-ext2:80"\nfullunzip "linux.imz" 1\n', [disk])
    assert site.read("{:1}/var/log/wtmp", [disk]) == b"var/log/wtmp"
    listed = site.do('logtree "{:1}/"\n', [disk]).log
    assert "junk" not in listed
    assert "messages" not in listed


def test_06_captures_windows_and_its_drivers(site: Site) -> None:
    disk = site.disk(60)
    names = [
        "win386.swp", "temp/junk", "windows/temp/junk", "lanman.dos/lmuser.ini", "lanman.dos/protocol.ini",
        "windows/system/a.vxd", "windows/system/b.dll", "windows/inf/c.inf", "windows/win.ini",
    ]
    lines = ['setpartitions "bigdos:20 bigdos:20"', 'clean "1 2"']
    for name in names:
        site.add(f"tree/{name}", name)
        lines += [f'mkdir "{{:1}}/{Path(name).parent}"', f'copy "tree/{name}" "{{:1}}/{name}"']
    site.do("\n".join(lines), [disk])
    result = site.do((EXAMPLES / "06-capture-windows.mrz").read_text(), [disk], name="06.mrz")
    assert "a.vxd" in result.log
    site.do('fullunzip "win98.imz" 2\n', [disk])
    full = site.do('logtree "{:2}/"\n', [disk]).log
    assert [word for word in ("win386", "junk", "lmuser") if word in full] == []
    assert [word for word in ("protocol.ini", "a.vxd", "b.dll", "c.inf", "win.ini") if word not in full] == []
    site.do('clean 2\nincrunzip "hw-thismachine.imi" "{:2}/"\n', [disk])
    drivers = site.do('logtree "{:2}/"\n', [disk]).log
    assert drivers.split() == ["windows/", "inf/", "c.inf", "system/", "a.vxd"]


def test_07_changes_the_piece_size(site: Site) -> None:
    disk = site.disk(100)
    site.add("noise", os.urandom(36 * MB))
    site.add("rescue.img", b"rescue" * 1000)
    site.do(
        'setpartitions "linux-ext2:45 linux-ext2:45"\nclean 1\ncopy "noise" "{:1}/noise"\n'
        'set FragmentSize = "20 MB"\nfullzip "{:1}/" "original.imz"\n',
        [disk],
    )
    assert (site.root / "original.imz.001").exists()
    site.do((EXAMPLES / "07-refragment.mrz").read_text(), name="07.mrz")
    pieces = sorted(site.root.glob("refragmented.imz*"))
    assert len(pieces) >= 3
    assert all(piece.stat().st_size <= 15 * MB for piece in pieces)
    site.do('fullunzip "refragmented.imz" 2\nfileunzip "rescue.imz" "rescue.out"\n', [disk])
    assert site.read("{:2}/noise", [disk]) == (site.root / "noise").read_bytes()
    assert (site.root / "rescue.out").read_bytes() == b"rescue" * 1000


# 08


def test_08_shows_the_menu_by_day(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "915194096")     # 1 January 1999, 12:34:56 UTC
    result = site.run("08-clock-and-site.bpb", keys="x2")
    assert result.error is None, result.error.explain()
    assert result.log == "site settings done\n99/01/01 12:34:56 Lab 204 pc7 (10.1.2.7)\nchoice 2\n"


def test_08_chooses_3_when_nobody_answers(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "915194096")     # by day: from 02:00 to 04:00 it runs the night job
    result = site.run("08-clock-and-site.bpb", keys="")
    assert result.log.endswith("choice 3\n")


def test_08_takes_the_time_of_the_gateway(full_site: Site) -> None:
    full_site.add("10.1.2.1@89/gettime", 'settime "02:30:00"\nsetdate "00/03/01"\n')
    disk = full_site.disk(60)
    result = full_site.run("08-clock-and-site.bpb", [disk])
    assert result.error is None, result.error.explain()
    assert "00/03/01 02:30:00 Lab 204 pc7 (10.1.2.7)\nnight job\n[boot] poweroff\n" in result.log
    listed = full_site.do('logdir "{:-1}"\n', [disk]).log
    assert "linux.imz" in listed
    assert "dos.imz" in listed


def test_08_keyboard_of_the_site(site: Site) -> None:
    site.add("passwd", PASSWD)
    site.add("case.bpb", 'include "include/site.bpb"\ninput x\nlog "$x"\n')
    result = site.run("case.bpb", keys="yz-;'\r")
    assert result.log.endswith("zyßöä")


# 09, 10


def test_09_lays_out_and_formats(site: Site) -> None:
    disk = site.disk(1300)
    result = site.run("09-extended.bpb", [disk])
    assert result.error is None, result.error.explain()
    table = "BIGDOS:100 EXT:800 LINUX-EXT2:300 LINUX-SWAP:32 BIGDOS:400 EXT:400 EMPTY EMPTY BIGDOS:400"
    assert result.log == f"disk 0: {table}\nboot partition 1\n[boot] hdboot 0:1\n"
    assert tables.rows(disk) == [
        "1 6 1+100 boot", "2 5 101+800", "3 131 901+300", "4 130 1201+32", "5 6 102+399", "6 5 501+400", "9 6 502+399",
    ]
    site.add("mark", "x")
    site.do('copy "mark" "{:5}/mark"\n', [disk])
    site.run("09-extended.bpb", [disk])
    assert site.read("{:5}/mark", [disk]) == b"x", "a valid partition is not formatted again"


def test_09_stops_when_the_disk_is_too_small(site: Site) -> None:
    disk = site.disk(1000)
    result = site.run("09-extended.bpb", [disk])
    assert result.error is not None
    assert (result.error.line, result.error.column) == (7, 15)
    assert untouched(disk)


def test_10_needs_two_disks(site: Site) -> None:
    result = site.run("10-two-disks.bpb", [site.disk(20)])
    assert result.error is None
    assert result.log == "This machine has 1 disk(s); two are needed.\n"


def test_10_keeps_the_data_disk(full_site: Site) -> None:
    disks = [full_site.disk(1000), full_site.disk(200, "data.img")]
    full_site.add("hosts.head", "127.0.0.1 localhost\n")
    full_site.add("hosts.tail", "10.1.2.7 pc7\n")
    result = full_site.run("10-two-disks.bpb", disks)
    assert result.error is None, result.error.explain()
    boot = '[boot] linuxboot "{0:1}/boot/vmlinuz" "root=/dev/hda1 data=/dev/hdb1" ""\n'
    assert result.log == f"new data disk, 150 MB\n{boot}"
    assert tables.rows(disks[1]) == ["1 131 1+150"]
    assert full_site.read("{:1}/etc/hosts", disks) == b"127.0.0.1 localhost\n10.1.2.7 pc7\n"
    full_site.add("mark", "x")
    full_site.do('copy "mark" "{1:1}/mark"\ncopy "mark" "{0:1}/mark"\n', disks)
    assert full_site.run("10-two-disks.bpb", disks).log == boot
    assert full_site.read("{1:1}/mark", disks) == b"x"
    assert full_site.do('if exist "{0:1}/mark" log "still"\n', disks).log == "", "the system disk is restored at every boot"


# 11 to 14


def test_11_logs_the_end_of_a_success(site: Site) -> None:
    result = site.run("11-onexit-cleanup.bpb")
    assert result.error is None
    assert result.log == "site settings done\nall steps done\nscript finished after step 3\n"


def test_11_logs_the_end_of_a_failure(site: Site) -> None:
    result = site.run("11-onexit-cleanup.bpb", variables={"Fail": "yes"})
    assert result.error is not None
    assert (result.error.line, result.error.column) == (11, 26)
    assert result.log == "site settings done\nscript finished after step 2\n"
    assert not (site.root / "copy.txt").exists()


@pytest.mark.parametrize(("host", "kernel"), [("pc7", "bzImage"), ("old-3", "zImage"), ("OLDIE", "zImage"), ("cold", "bzImage")])
def test_12_builds_a_command_line(site: Site, host: str, kernel: str) -> None:
    site.add(f"lts/{kernel}", "kernel")
    site.add("lts/initrd.gz", "ramdisk")
    result = site.run("12-diskless.bpb", variables=BOOTP | {"BOOTP-Host-Name": host})
    assert result.error is None, result.error.explain()
    command = "root=/dev/ram0 ip=10.1.2.7:10.1.2.1:10.1.2.254:255.255.255.0 dns=10.1.2.2,10.1.2.3"
    assert result.booted == f'linuxboot "lts/{kernel}" "{command}" "lts/initrd.gz"'


def test_12_stops_without_a_ramdisk(site: Site) -> None:
    site.add("lts/bzImage", "kernel")
    result = site.run("12-diskless.bpb")
    assert result.error is not None
    assert (result.error.line, result.error.column) == (12, 32)


def test_13_logs_exactly_what_it_says(site: Site) -> None:
    text = (EXAMPLES / "13-counter-and-tables.bpb").read_text()
    said = re.findall(r"^#   (.*)\n", text, re.M)
    assert len(said) == 7
    assert site.run("13-counter-and-tables.bpb").log == "".join(f"{line}\n" for line in said)


def test_14_fills_the_cache(full_site: Site) -> None:
    disk = full_site.disk(1100)
    result = full_site.run("14-cache-preload.bpb", [disk])
    assert result.error is None, result.error.explain()
    assert result.log.endswith("[boot] poweroff\n")
    assert "linux.imz" in result.log
    assert "win98.imz" in result.log
    assert result.variables["LastError"] == ""


def test_14_goes_on_with_the_next_image(full_site: Site) -> None:
    (full_site.root / "linux.imz").unlink()
    result = full_site.run("14-cache-preload.bpb", [full_site.disk(1100)])
    assert result.error is None
    assert re.search(r"^linux: .*linux\.imz", result.log, re.M)
    assert re.search(r"^\d{4}-.* win98\.imz$", result.log, re.M)
    assert result.booted == "poweroff"


# 15, 16


def test_15_installs_once(full_site: Site, no_waiting: None) -> None:
    disk = full_site.disk(2100)
    result = full_site.run("15-first-boot.bpb", [disk])
    assert result.error is None, result.error.explain()
    assert result.log == "installing release 2000-03\nrelease 2000-03\n[boot] hdboot 0:1\n"
    assert full_site.read("{:1}/release.txt", [disk]) == b"release 2000-03\r\n"
    again = full_site.run("15-first-boot.bpb", [disk])
    assert again.log == "[boot] hdboot 0:1\n"


@pytest.mark.parametrize("key", ["r", "R"])
def test_15_installs_again_when_asked(full_site: Site, no_waiting: None, key: str) -> None:
    disk = full_site.disk(2100)
    full_site.run("15-first-boot.bpb", [disk])
    result = full_site.run("15-first-boot.bpb", [disk], keys=key)
    assert result.error is None, result.error.explain()
    assert result.log == "installing release 2000-03\nrelease 2000-03\n[boot] hdboot 0:1\n"


def test_15_installs_a_new_release(full_site: Site, no_waiting: None) -> None:
    disk = full_site.disk(2100)
    full_site.run("15-first-boot.bpb", [disk])
    full_site.do('del "{:1}/release.txt"\n', [disk])
    assert full_site.run("15-first-boot.bpb", [disk]).log.startswith("installing release 2000-03\n")


def test_16_chains_to_dos(site: Site) -> None:
    site.add("dos.pxe", "x")
    result = site.run("16-old-menu.bpb", keys="x1")
    assert result.error is None, result.error.explain()
    assert result.log == '[boot] tftpboot "dos.pxe"\n'


def test_16_takes_the_default_when_the_keys_run_out(site: Site) -> None:
    site.add("dos.pxe", "x")
    assert site.run("16-old-menu.bpb", keys="").booted == 'tftpboot "dos.pxe"'


def test_16_includes_linux(site: Site) -> None:
    assert site.run("16-old-menu.bpb", keys="2").log == "No hard disk found.\n[boot] poweroff\n"


def test_every_example_is_tried() -> None:
    tried = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES.glob("[0-9]*") if path.name not in tried] == []
