"""`bpscript plan`: nothing is written, and what it says is what a run then does."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bpscript import api
from bpscript.cli.main import main
from bpscript.trust.plan import Plan, make_plan
from bpscript.trust.plan_text import lines
from tests.spec.test_examples import BOOTP, PASSWD, Site, image_folder  # noqa: F401 - a fixture
from tests.trust.images import copy, different, digest

MIB = 1 << 20


@pytest.fixture(autouse=True)
def fixed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "915194096")


@pytest.fixture
def site(tmp_path: Path, image_folder: Path) -> Site:  # noqa: F811 - the fixture
    site = Site(tmp_path)
    for image in image_folder.glob("*.im?"):
        shutil.copy(image, site.root)
    return site


def options(site: Site, script: str, disks: Sequence[api.DiskLike], keys: str = "", variables: Mapping[str, str] = BOOTP) -> api.RunOptions:
    return api.RunOptions(script=site.root / script, root=site.root, disks=disks, keys=keys, variables=variables, seed="lab")


def planned_and_run(site: Site, script: str, disks: Sequence[Path], keys: str = "") -> Plan:
    """Plan, see that nothing changed, run, and see that exactly what was planned changed."""
    hashes = [digest(disk) for disk in disks]
    folder = {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in site.folder.rglob("*")}
    plan = make_plan(options(site, script, disks, keys))
    assert [digest(disk) for disk in disks] == hashes
    assert {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in site.folder.rglob("*")} == folder
    before = [copy(disk, disk.with_suffix(".before")) for disk in disks]
    result = api.execute(options(site, script, disks, keys)._replace(log=lambda text: None))
    assert plan.boot == result.booted
    assert (plan.error and str(plan.error)) == (result.error and str(result.error))
    for old, new, said in zip(before, disks, plan.disks, strict=True):
        count, sectors = different(old, new)
        assert said.differing.differing == count
        assert said.differing.unit == 512
        assert {sector for start, end in said.differing.ranges for sector in range(start // 512, -(-end // 512))} == sectors
        old.unlink()
    return plan


CASES = {
    "01": ("01-linux-lab.bpb", [1200], ""),
    "01, no image": ("01-linux-lab.bpb", [1200], ""),
    "02": ("02-dos-deploy.bpb", [1100], ""),
    "03": ("03-menu-login.bpb", [1100], "smith\rjustdoit\r2"),
    "04": ("04-overlay-by-hardware.bpb", [2150], ""),
    "08": ("08-clock-and-site.bpb", [60], "x2"),
    "09": ("09-extended.bpb", [1300], ""),
    "10": ("10-two-disks.bpb", [1000, 200], ""),
    "11": ("11-onexit-cleanup.bpb", [], ""),
    "13": ("13-counter-and-tables.bpb", [], ""),
    "14": ("14-cache-preload.bpb", [1100], ""),
    "15": ("15-first-boot.bpb", [2100], ""),
    "16": ("16-old-menu.bpb", [60], "2"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_run_changes_exactly_the_bytes_that_were_planned(site: Site, name: str, record_property: pytest.FixtureRequest) -> None:
    """On an empty disk, and then on the disk that the script left, with a file too many on it."""
    script, sizes, keys = CASES[name]
    site.add("passwd", PASSWD)
    site.add("hw/generic.imi", (site.root / "generic.imi").read_bytes())
    site.add("hosts.head", "127.0.0.1 localhost\n")
    site.add("hosts.tail", "10.1.2.7 pc7\n")
    if "no image" in name:
        (site.root / "linux.imz").unlink()
    disks = [site.disk(size, f"disk{number}.img") for number, size in enumerate(sizes)]
    first = planned_and_run(site, script, disks, keys)
    if disks and first.differing:
        site.add("mark", os.urandom(5000))
        site.do('set errormode = "CONTINUE"\ncopy "mark" "{:1}/mark"\ncopy "mark" "{1:1}/mark"\n', disks)
        second = planned_and_run(site, script, disks, keys)
        record_property("tried", f"plan {name}: {first.differing} and {second.differing} bytes predicted, and so many changed")  # type: ignore[operator]


def test_a_plan_of_archives_writes_none(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """MrZip: what would be written to the host is told, and nothing is."""
    monkeypatch.chdir(site.root)
    site.add("tree/a", "aaa")
    site.add("gone", "x")
    site.add("make.mrz", 'fullzip "tree" "new.imz"\nfulldump "new.imz"\nincrzip "tree" "new.imi"\nincrunzip "new.imi" "out"\ncopy "tree/a" "b"\ncopy "b" "c"\ndel "gone"\nmkdir "d/e"\ncopy "c" "d/e/f"\ndeltree "d"\n')
    before = {path: path.stat().st_mtime_ns for path in site.root.rglob("*")}
    log: list[str] = []
    plan = make_plan(options(site, "make.mrz", [])._replace(log=log.append))
    assert plan.error is None, plan.error
    assert {path: path.stat().st_mtime_ns for path in site.root.rglob("*")} == before
    root = str(site.root) + "/"
    found = [(each.path.removeprefix(root), each.what) for each in plan.host]
    assert found == [("b", "written"), ("c", "written"), ("gone", "removed"), ("new.imi", "written"), ("new.imz", "written"), ("out/a", "written")]
    assert "EXT4" in "".join(log), "the archive of the shadow can be read"
    api.execute(options(site, "make.mrz", []))
    assert [(name, (site.root / name).exists()) for name, _ in found] == [(name, what == "written") for name, what in found]


def test_what_a_plan_says_of_files(site: Site) -> None:
    disk = site.disk(120)
    site.add("a", "a" * 5000)
    site.add("b", "b" * 5000)
    site.do('setpartitions "linux-ext2:40 bigdos:40"\nclean "1 2"\nmkdir "{:1}/etc"\n' + "".join(f'copy "a" "{{:{n}}}/{name}"\n' for n in "12" for name in ("same", "other", "gone")), [disk])
    site.add("s.bpb", 'copy "b" "{:1}/other"\ndel "{:1}/gone"\ncopy "a" "{:1}/etc/new"\ncopy "b" "{:2}/other"\ndel "{:2}/gone"\ncopy "a" "{:2}/new"\n')
    (changes,) = (each.partitions for each in make_plan(options(site, "s.bpb", [disk])).disks)
    for partition, new in zip(changes, ("etc/new", "new"), strict=True):
        found = sorted((each.change, each.path, each.before, each.after) for each in partition.files)
        assert found == [("changed", "other", 5000, 5000), ("created", new, None, 5000), ("removed", "gone", 5000, None)]
        assert not partition.formatted


def test_a_file_of_the_same_size_and_time_is_told_by_its_contents(site: Site) -> None:
    disk = site.disk(60)
    site.do('setpartitions "bigdos:40"\nclean 1\n', [disk])
    site.add("a", "a" * 70_000)
    site.add("b", "b" * 70_000)
    site.do('copy "a" "{:1}/x"\ncopy "a" "{:1}/y"\n', [disk])       # the clock stands still
    site.add("s.bpb", 'copy "b" "{:1}/x"\ncopy "a" "{:1}/y"\n')
    (partition,) = make_plan(options(site, "s.bpb", [disk])).disks[0].partitions
    assert [(each.path, each.change) for each in partition.files] == [("x", "changed")]


def test_the_plan_for_people_is_short(site: Site) -> None:
    """20 partitions, and thousands of files on one of them."""
    disk = site.disk(200)
    rng = random.Random(1)
    for number in range(3000):
        site.add(f"tree/usr/{rng.choice('abcdefgh')}/{rng.choice(['share', 'lib'])}/file{number}", b"x" * 200)
    site.add("in.mrz", f'incrzip "{site.root}/tree" "{site.root}/tree.imi"\n')
    site.do((site.root / "in.mrz").read_text())
    entries = " ".join(["BIGDOS:6"] * 18)
    site.add("s.bpb", f'setpartitions "GPT LINUX-EXT2:60 {entries} LINUX-SWAP:4"\nclean "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20"\nincrunzip "tree.imi" "{{:1}}/"\ngetkey k\n')
    plan = make_plan(options(site, "s.bpb", [disk]))
    text = list(lines(plan))
    assert len(text) < 90
    assert max(map(len, text)) < 200
    words = "\n".join(text)
    assert "3,000 files created (586 KB)" in words
    assert "usr/a/" in words
    assert "the user is asked" in words
    assert "s.bpb:4 GetKey" in words
    assert plan.error is not None
    assert "end of keyboard input" in plan.error.message


def test_waiting_takes_no_time_and_a_day_at_most(site: Site) -> None:
    site.add("s.bpb", ':again\nwaitforkey 3600\ngoto again\n')
    plan = make_plan(options(site, "s.bpb", []))
    assert plan.error is not None
    assert "waited for a day" in plan.error.message
    assert plan.error.line == 2


def test_network_and_gateway_are_told(site: Site) -> None:
    site.add("s.bpb", 'if exist "nothing" echo "x"\ncopy "kernel" "copy"\ncheckuser "a" "b" "Unix"\n')
    site.add("kernel", "a kernel")
    plan = make_plan(options(site, "s.bpb", []))
    assert [(each.name, each.fingerprint.size, each.spot.line) for each in plan.files][:1] == [("kernel", 8, 2)]
    assert [spot.line for spot in plan.gateways] == [3]


def test_json_and_exit_status(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.add("s.bpb", 'setpartitions "linux-ext2:40"\nclean 1\nnonsense\n')
    disk = site.folder / "new.img"
    assert main(["plan", str(site.root / "s.bpb"), "--disk", f"{disk}:60M", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not disk.exists()
    assert found["error"]["line"] == 3
    assert found["disks"][0]["new"] is True
    assert found["disks"][0]["after"]["partitions"] == [{"number": 1, "type": "LINUX-EXT2", "start": MIB, "size": 40 * MIB, "boot": False}]
    assert found["disks"][0]["partitions"][0]["after"]["kind"] == "EXT2"
    assert found["disks"][0]["partitions"][0]["formatted"] is True
    assert sum(end - start for start, end in found["disks"][0]["ranges"]) >= found["differing"] > 0


LIMITED = """
import re, sys
from bpscript.cli.main import main
status = main(sys.argv[1:])
# Not ru_maxrss, which knows the process that started this one too.
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024, file=sys.stderr)
sys.exit(status)
"""


def test_memory_is_bounded_when_a_script_writes_a_great_deal(tmp_path: Path) -> None:
    """100 GB blanked, and 600 MB of noise written: neither stays in memory."""
    (tmp_path / "noise").write_bytes(os.urandom(50 * MIB))
    copies = "".join(f'copy "noise" "{{:1}}/n{number}"\n' for number in range(12))
    (tmp_path / "s.bpb").write_text(f'setpartitions "linux-ext2:1000 165:102400"\nclean 1\nblank 2\n{copies}')
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "plan", tmp_path / "s.bpb", "--disk", f"{tmp_path}/d.img:110G", "--seed", "x"],
        capture_output=True, text=True, check=False, env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert "101 GB are written" in done.stdout
    assert int(done.stderr.split()[-1]) < 250, "MB"
    assert {path.name for path in tmp_path.iterdir()} == {"noise", "s.bpb"}


def test_files_of_the_host_do_not_take_each_others_place(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are made, removed and made again keep their own contents in the shadow of the plan."""
    monkeypatch.chdir(site.root)
    for name in ("one", "two", "three"):
        site.add(name, name * 10)
    site.add("s.mrz", 'copy "one" "a"\ncopy "two" "b"\ndel "a"\ncopy "three" "c"\nif "twotwotwotwotwotwotwotwotwotwo" in-file "b" echo "right"\n')
    log: list[str] = []
    plan = make_plan(options(site, "s.mrz", [])._replace(log=log.append))
    assert plan.error is None, plan.error
    assert "right" in "".join(log)
    assert {Path(each.path).name: each.size for each in plan.host} == {"b": 30, "c": 50}


FILLED = 'setpartitions "{0}:{1}" 1\nclean 1 1\nmkdir "{{1:1}}/usr"\ncopy "noise" "{{1:1}}/usr/noise"\ncopy "text" "{{1:1}}/text"\n'
PLACES = (("fat", "BIGDOS", 60), ("fat32", "FAT32", 80), ("ext", "LINUX-EXT2", 60))
KINDS = {
    "MBR": 'setpartitions "bigdos:20 linux-ext2:20 linux-swap:10"',
    "GPT": 'setpartitions "GPT bigdos:20 linux-ext2:20"',
    "extended": 'setpartitions "bigdos:20 empty empty ext:60 linux-ext2:20 linux-swap:20"',
    "boot partition": 'setpartitions "bigdos:20 linux-ext2:20"\nsetbootpart 2',
    "Clean FAT12": 'setpartitions "1:10"\nclean 1 "LABEL"',
    "Clean FAT16": 'setpartitions "bigdos:60"\nclean 1 "LABEL"',
    "Clean FAT32": 'setpartitions "fat32:80"\nclean 1 "LABEL"',
    "Clean ext": 'setpartitions "linux-ext2:60"\nclean 1 "LABEL"',
    "Clean swap": 'setpartitions "linux-swap:30"\nclean 1',
    "Clean cache": 'set cachesize = "30"\nsetpartitions "bigdos:20"\nclean -1',
    "FullUnzip with cache": 'set cachesize = "40"\nsetpartitions "bigdos:60"\nclean -1\nfullunzip "fat.imz" 1',
    **{f"FullUnzip {name}, same": f'setpartitions "{kind}:{size}"\nfullunzip "{name}.imz" 1' for name, kind, size in PLACES},
    **{f"FullUnzip {name}, larger": f'setpartitions "{kind}:{size + 40}"\nfullunzip "{name}.imz" 1' for name, kind, size in PLACES},
    **{f"FullUnzip {name}, smaller": f'setpartitions "{kind}:{size - 24}"\nfullunzip "{name}.imz" 1' for name, kind, size in PLACES if name != "fat32"},
    "IncrUnzip FAT": 'setpartitions "bigdos:40"\nclean 1\nincrunzip "tree.imi" "{:1}/"',
    "IncrUnzip ext": 'setpartitions "linux-ext2:40"\nclean 1\nincrunzip "tree.imi" "{:1}/"',
    "Patch": 'setpartitions "linux-ext2:40"\nclean 1\nset host = "pc7"\npatch "template" "{:1}/hosts"',
    "Del and DelTree": 'setpartitions "bigdos:60"\nfullunzip "fat.imz" 1\ndel "{:1}/text"\ndeltree "{:1}/usr"',
    "log to a file": 'setpartitions "linux-ext2:40"\nclean 1\ncapturelog\nlog "x=1\\n"\nendcapture "{:1}/conf"',
}


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_change_is_planned_to_the_sector(site: Site, name: str) -> None:
    """On an empty disk; then again, on the disk as it is then (the difference is what remains); then on one with a file changed."""
    site.add("noise", random.Random(1).randbytes(3 * MIB))
    site.add("text", "a text\n" * 400)
    site.add("template", "127.0.0.1 ${host}\n")
    site.add("tree/etc/hosts", "x")
    site.add("tree/etc/deep/er/file", random.Random(2).randbytes(70_000))
    site.do(f'incrzip "{site.root}/tree" "{site.root}/tree.imi"\n')
    for image, kind, size in PLACES:
        if f"{image}.imz" in KINDS[name]:
            spare = [site.disk(8, "spare0.img"), site.disk(size + 4, "spare1.img")]
            site.do(FILLED.format(kind, size) + f'fullzip "{{1:1}}/" "{image}.imz"\n', spare)
    site.add("s.bpb", KINDS[name] + "\n")
    disk = site.disk(160)
    first = planned_and_run(site, "s.bpb", [disk])
    assert first.error is None, first.error
    assert first.differing > 0
    again = planned_and_run(site, "s.bpb", [disk])
    assert again.differing <= first.differing
    if "FullUnzip" in name and "cache" not in name:
        assert again.differing < 64 * 1024, "the same image once more is hardly a change"
    if ("clean" in KINDS[name] or "FullUnzip" in name) and "swap" not in name and "-1" not in KINDS[name]:
        site.do('copy "noise" "{:1}/noise2"\n' if "FAT12" not in name else 'copy "text" "{:1}/text2"\n', [disk])
        assert planned_and_run(site, "s.bpb", [disk]).differing > 0
