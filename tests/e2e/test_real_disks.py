"""Guards of real disks, on loop devices: what a run refuses, by name, before the first write."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.oracles import need, run_tool
from tests.trust.images import copy, different, digest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
SCRIPT = 'setpartitions "linux-ext2:20 bigdos:20"\nclean "1 2"\ncopy "s.bpb" "{:1}/s"\ncopy "s.bpb" "{:2}/s"\n'

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/loop-control").exists(), reason="needs root and loop devices")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "s.bpb").write_text(SCRIPT)
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    return path


@pytest.fixture
def loop(image: Path) -> Iterator[str]:
    """A block device with the bytes of the image."""
    done = subprocess.run([need("losetup"), "--find", "--show", image], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs root and loop devices: {done.stderr}")
    device = done.stdout.strip()
    yield device
    run_tool(["losetup", "--detach", device])


def test_a_real_disk_is_written_with_w_only(loop: str, image: Path, cli: Cli) -> None:
    before = digest(image)
    done = cli("run", "s.bpb", "--disk", loop)
    assert done.returncode == 1
    assert f"{loop} is open for reading only" in done.stderr
    assert "add -w to allow writing to it" in done.stderr
    assert digest(image) == before
    done = cli("run", "s.bpb", "-w", "--disk", loop)
    assert done.returncode == 0, done.stderr
    assert f"[note] disk 0: {loop}, 64 MB" in done.stdout
    assert cli("disk", "cat", f"{loop}:1/s").stdout == SCRIPT
    assert cli("disk", "check", f"{loop}:2").returncode == 0


def test_a_plan_needs_no_w_and_is_what_happens(loop: str, image: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel initialises ext on a real disk in another way than on an image file: the plan knows."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "915194096")
    run_tool(["dd", "if=/dev/urandom", f"of={loop}", "bs=1M", "count=64", "oflag=direct"])
    before = digest(image)
    done = cli("plan", "s.bpb", "--disk", loop, "--seed", "x", "--json")
    assert done.returncode == 0, done.stderr
    assert digest(image) == before
    plan = json.loads(done.stdout)
    assert plan["disks"][0]["problems"] == ["it is a real disk: a run needs -w to write to it"]
    old = copy(image, image.with_suffix(".old"))
    assert cli("run", "s.bpb", "-w", "--disk", loop, "--seed", "x").returncode == 0
    os.sync()
    count, sectors = different(old, image)
    assert plan["differing"] == count
    assert {sector for start, end in plan["disks"][0]["ranges"] for sector in range(start // 512, end // 512)} == sectors


def refused(cli: Cli, image: Path, loop: str, *words: str, digest: Callable[[Path], object] = digest) -> None:
    """A run on the device, and one on the image below it, say who uses it, and write nothing; a plan says that they would."""
    os.sync()
    before = digest(image)
    for disk in (loop, str(image)):
        done = cli("run", "s.bpb", "-w", "--disk", disk)
        assert done.returncode == 1
        for word in words:
            assert word in done.stderr
        assert f"{disk} is in use" in done.stderr
    planned = cli("plan", "s.bpb", "--disk", loop)
    assert planned.returncode == 0, planned.stderr
    for word in words:
        assert word in planned.stdout
    assert "a run would refuse: it is in use" in planned.stdout
    os.sync()
    assert digest(image) == before


def test_a_mounted_disk_is_refused_by_name(loop: str, image: Path, cli: Cli, tmp_path: Path) -> None:
    point = tmp_path / "point"
    point.mkdir()
    run_tool(["mke2fs", "-q", "-F", loop])
    run_tool(["mount", "-o", "ro", loop, point])
    try:
        refused(cli, image, loop, f"{loop} mounted on {point}")
    finally:
        run_tool(["umount", point])


def test_a_mounted_partition_refuses_its_disk(loop: str, image: Path, cli: Cli, tmp_path: Path) -> None:
    assert cli("run", "s.bpb", "-w", "--disk", loop).returncode == 0
    run_tool(["partx", "--update", loop])
    point = tmp_path / "point"
    point.mkdir()
    try:
        if not Path(f"{loop}p1").exists():
            pytest.skip("the kernel has no partitions on loop devices")
        run_tool(["mount", "-o", "ro", f"{loop}p1", point])
        try:
            refused(cli, image, loop, f"{loop}p1 mounted on {point}")
        finally:
            run_tool(["umount", point])
    finally:
        run_tool(["partx", "--delete", loop])


def test_a_disk_that_no_table_of_mounts_names_is_refused(loop: str, image: Path, cli: Cli, tmp_path: Path) -> None:
    """It holds the journal of a file system on another disk. Only the kernel itself knows (O_EXCL)."""
    run_tool(["mke2fs", "-q", "-b", "1024", "-O", "journal_dev", loop])
    other = tmp_path / "other.img"
    with other.open("wb") as file:
        file.truncate(32 << 20)
    run_tool(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-J", f"device={loop}", other])
    point = tmp_path / "point"
    point.mkdir()
    run_tool(["mount", "-o", "loop", other, point])
    try:
        before = digest(image)
        done = cli("run", "s.bpb", "-w", "--disk", loop)
        assert done.returncode == 1
        assert f"{loop} is in use" in done.stderr
        assert digest(image) == before
    finally:
        run_tool(["umount", point])


def test_a_disk_in_use_for_swapping_is_refused_by_name(loop: str, image: Path, cli: Cli) -> None:
    run_tool(["mkswap", loop])
    if subprocess.run(["swapon", loop], capture_output=True, check=False).returncode:
        pytest.skip("needs root and swap space of the kernel")
    try:
        # The kernel may swap to it in the meantime: everything but its first page, which the script would overwrite.
        refused(cli, image, loop, f"{loop} in use for swapping", digest=lambda path: path.read_bytes()[:4096])
    finally:
        run_tool(["swapoff", loop])


def test_a_disk_below_the_device_mapper_is_refused_by_name(loop: str, image: Path, cli: Cli) -> None:
    """LVM, LUKS and multipath are all of this kind; md shows itself in the same place."""
    name = f"bpscript-test-{os.getpid()}"
    made = subprocess.run([need("dmsetup"), "create", name, "--table", f"0 1024 linear {loop} 0"], capture_output=True, text=True, check=False)
    if made.returncode and "control: open failed" in made.stderr:
        pytest.skip(f"the kernel has no device mapper: {made.stderr}")
    assert made.returncode == 0, made.stderr
    try:
        refused(cli, image, loop, f"held by {name}")
    finally:
        with suppress(subprocess.CalledProcessError):
            subprocess.run(["dmsetup", "remove", name], check=True, capture_output=True)


def test_a_disk_that_another_run_uses_is_refused(loop: str, image: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "long.bpb").write_text('setpartitions "bigdos:20"\ndelay 20\n')
    with subprocess.Popen(["python3", "-c", "import fcntl, os, sys, time\nf = os.open(sys.argv[1], os.O_RDWR)\nfcntl.flock(f, fcntl.LOCK_EX)\nprint('locked', flush=True)\ntime.sleep(60)", loop], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        done = cli("run", "s.bpb", "-w", "--disk", loop)
        assert done.returncode == 1
        assert f"{loop} is in use by another run" in done.stderr
        other.kill()


@pytest.mark.parametrize(
    ("condition", "facts", "words"),
    [
        ("size>=65", [], "size>=65 does not hold"),
        ("size<=63", [], "size<=63 does not hold"),
        ("serial=WD-1", ["Disk-0-Serial=WD-2"], "serial=WD-1 does not hold"),
        ("serial=WD-1", [], "serial=WD-1 does not hold"),
        ("model=WDC*", ["Disk-0-Model=SAMSUNG"], "model=WDC* does not hold"),
        ("size>=64 size<=64 serial=wd-1 model=wdc*", ["Disk-0-Serial=WD-1", "Disk-0-Model=WDC 80"], None),
    ],
)
def test_an_unexpected_disk_is_refused(condition: str, facts: list[str], words: str | None, loop: str, image: Path, cli: Cli) -> None:
    before = digest(image)
    options = [each for fact in [f"Expect-Disk-0={condition}", *facts] for each in ("--set", fact)]
    done = cli("run", "s.bpb", "-w", "--disk", loop, *options)
    if words is None:
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 1
    assert words in done.stderr
    assert "nothing was written to it" in done.stderr
    os.sync()
    assert digest(image) == before
