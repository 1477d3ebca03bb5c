"""Bad input gets one clear sentence and the right exit status; what was there before is intact or plainly unusable."""

import hashlib
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def disk(tmp_path: Path, cli: Cli) -> Path:
    """disk.img: FAT16 with one file, ext4 with one file."""
    done = cli("disk", "create", "disk.img", "100M", "--partitions", "BIGDOS:40 LINUX-EXT2:40", "--format")
    assert done.returncode == 0, done.stderr
    (tmp_path / "kept").write_text("kept")
    for number in ("1", "2"):
        assert cli("disk", "put", "kept", f"disk.img:{number}/").returncode == 0
    return tmp_path / "disk.img"


def sentence(done: "subprocess.CompletedProcess[str]", status: int, *words: str) -> None:
    """One clear sentence on standard error, no traceback."""
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        ('FullUnzp "x" 1', 1, ["unknown command", "did you mean FullUnzip"]),
        ('Copy "no-such-file" "{:1}/x"', 6, ["no-such-file"]),
        ('Copy "kept" 5', 13, []),
        ("Clean 9", 7, ["no partition 9"]),
        ('Copy "kept" "{:1}/no/such/dir"', 13, ["no directory"]),
        ('Copy "kept" "{3:1}/x"', 13, ["no disk 3"]),
        ('FullUnzip "kept" 1', 11, ["kept"]),
    ],
)
def test_a_wrong_line_is_named_with_its_column(tmp_path: Path, disk: Path, cli: Cli, line: str, column: int, words: list[str]) -> None:
    before = digest(disk)
    (tmp_path / "s.bpb").write_text(f'echo "before"\n{line}\necho "after"\n')
    done = cli("run", "s.bpb", "--disk", "disk.img")
    sentence(done, 1, f"s.bpb:2:{column}: error: ", *words)
    assert done.stdout == "before\n"
    assert digest(disk) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nothing.bpb"], "no such script"), (["run", "http://10.0.0.1/x.bpb"], "a script is a file of this host"),
        (["run", "s.bpb", "--disk", "nothing.img"], "no such image"),
        (["run", "s.bpb", "--root", "nowhere"], "no such directory"),
        (["run", "s.bpb", "--set", "x"], "NAME=VALUE"),
        (["run", "s.bpb", "--bootp", "s.bpb"], "s.bpb"),
        (["run", "s.bpb", "--log-file", "no/where"], "cannot be written"),
        (["run", "s.bpb", "-q"], "-q"),
        (["run"], "SCRIPT"),
        (["help", "FullUnzp"], "did you mean FullUnzip"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_usage_is_status_2(tmp_path: Path, cli: Cli, arguments: list[str], words: str) -> None:
    (tmp_path / "s.bpb").write_text('echo "x"\n')
    done = cli(*arguments)
    sentence(done, 2, words)
    assert done.stdout == ""


def test_a_full_volume_refuses_and_stays_whole(tmp_path: Path, disk: Path, cli: Cli) -> None:
    (tmp_path / "big").write_bytes(bytes(60 << 20))
    for number in ("1", "2"):
        (tmp_path / "s.bpb").write_text(f'Copy "big" "{{:{number}}}/kept"\n')
        sentence(cli("run", "s.bpb", "--disk", "disk.img"), 1, "s.bpb:1:", "free")
        assert cli("disk", "cat", f"disk.img:{number}/kept").stdout == "kept"
        assert cli("disk", "check", f"disk.img:{number}").returncode == 0


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self/ns/user").exists(), reason="root may write anything")
def test_a_read_only_image_can_be_read_and_not_written(tmp_path: Path, disk: Path, cli: Cli) -> None:
    """Root ignores permissions, so the image is put behind a read-only bind mount of a mount namespace."""
    (tmp_path / "s.bpb").write_text('LogFile "{:1}/kept"\nCopy "s.bpb" "{:1}/new"\n')
    before = digest(disk)
    command = f"mount --bind disk.img disk.img && mount -o remount,ro,bind disk.img && {sys.executable} -m bpscript run s.bpb --disk disk.img"
    done = subprocess.run(["unshare", "-m", "sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        disk.chmod(0o444)
        done = cli("run", "s.bpb", "--disk", "disk.img")
    sentence(done, 1, "s.bpb:2:", "for reading only")
    assert done.stdout == "kept"
    assert digest(disk) == before


def test_an_image_shorter_than_its_table(tmp_path: Path, disk: Path, cli: Cli) -> None:
    os.truncate(disk, 60 << 20)
    (tmp_path / "s.bpb").write_text('LogFile "{:1}/kept"\nif not valid :2 echo "\\r\\nno"\nCopy "{:2}/kept" "x"\n')
    done = cli("run", "s.bpb", "--disk", "disk.img")
    sentence(done, 1, "s.bpb:3:", "the disk ends at byte")
    assert done.stdout == "kept\nno\n"


def test_a_looping_chain_of_extended_partitions(tmp_path: Path, cli: Cli) -> None:
    assert cli("disk", "create", "disk.img", "100M", "--partitions", "EXT:90 EMPTY EMPTY EMPTY BIGDOS:40 EXT:40 EMPTY EMPTY BIGDOS:*").returncode == 0
    with open(tmp_path / "disk.img", "r+b") as file:
        file.seek((1 << 20) + 446 + 16)         # the nested entry of the first EBR now leads to that EBR itself
        entry = bytearray(file.read(16))
        entry[8:12] = struct.pack("<I", 0)
        file.seek((1 << 20) + 446 + 16)
        file.write(entry)
    (tmp_path / "s.bpb").write_text('GetPartitions p\necho "$p"\n')
    done = cli("run", "s.bpb", "--disk", "disk.img")
    assert done.returncode == 0, done.stderr
    assert "[warning]" in done.stdout
    assert "loops" in done.stdout


def test_a_looping_fat_chain(tmp_path: Path, disk: Path, cli: Cli) -> None:
    (tmp_path / "two").write_bytes(b"x" * 20000)
    assert cli("disk", "put", "two", "disk.img:1/").returncode == 0
    with open(disk, "r+b") as file:
        boot = file.seek(1 << 20) or file.read(512)
        file.seek(1 << 20)
        boot = file.read(512)
        reserved, = struct.unpack_from("<H", boot, 14)
        sectors, = struct.unpack_from("<H", boot, 22)
        for copy in range(2):
            start = (1 << 20) + (reserved + copy * sectors) * 512
            file.seek(start)
            table = bytearray(file.read(sectors * 512))
            for cluster in range(3, 12):        # every cluster of the file leads back to the one before it
                struct.pack_into("<H", table, cluster * 2, max(3, cluster - 1))
            file.seek(start)
            file.write(table)
    (tmp_path / "s.bpb").write_text('Copy "{:1}/two" "out"\n')
    done = cli("run", "s.bpb", "--disk", "disk.img", timeout=20)
    sentence(done, 1, "s.bpb:1:")
    assert not (tmp_path / "out").exists()


def test_a_corrupt_superblock(tmp_path: Path, disk: Path, cli: Cli) -> None:
    with open(disk, "r+b") as file:
        file.seek((41 << 20) + 1024 + 24)
        file.write(b"\xff\xff\xff\xff")         # s_log_block_size
    (tmp_path / "s.bpb").write_text('LogFile "{:2}/kept"\n')
    sentence(cli("run", "s.bpb", "--disk", "disk.img"), 1, "s.bpb:1:9: error: ")


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.6, 0.9, 0.9999])
def test_a_truncated_archive(tmp_path: Path, disk: Path, cli: Cli, share: float) -> None:
    (tmp_path / "zip.mrz").write_text('FullZip "{:1}/" "full.imz"\n')
    assert cli("run", "zip.mrz", "--disk", "disk.img").returncode == 0
    whole = (tmp_path / "full.imz").read_bytes()
    (tmp_path / "full.imz").write_bytes(whole[: int(len(whole) * share)])
    before = digest(disk)
    (tmp_path / "s.bpb").write_text('FullUnzip "full.imz" 1\n')
    sentence(cli("run", "s.bpb", "--disk", "disk.img"), 1, "s.bpb:1:11: error: ")
    assert digest(disk) == before


def test_random_bytes_as_a_script(tmp_path: Path, cli: Cli) -> None:
    numbers = random.Random(7)
    for _ in range(5):
        (tmp_path / "s.bpb").write_bytes(numbers.randbytes(2000))
        done = cli("run", "s.bpb", timeout=30)
        assert done.returncode in {0, 1}
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_of_a_restore(tmp_path: Path, cli: Cli, number: int, status: int) -> None:
    """The partition is plainly unusable, and running the script again ends right."""
    assert cli("disk", "create", "disk.img", "700M", "--partitions", "LINUX-EXT2:600", "--format").returncode == 0
    (tmp_path / "noise").write_bytes(b"".join(random.Random(seed).randbytes(10 << 20) for seed in range(30)))
    assert cli("disk", "put", "noise", "disk.img:1/").returncode == 0
    (tmp_path / "zip.mrz").write_text('FullZip "{:1}/" "full.imz"\n')
    assert cli("run", "zip.mrz", "--disk", "disk.img").returncode == 0
    (tmp_path / "s.bpb").write_text('FullUnzip "full.imz" 1\necho "done"\n')
    (tmp_path / "valid.bpb").write_text('if valid :1 echo "valid"\n')
    events = tmp_path / "events"
    for delay in (0.1, 0.05, 0.02, 0.2, 0.0):
        assert cli("disk", "create", "new.img", "700M", "--partitions", "LINUX-EXT2:600", "--force").returncode == 0
        events.unlink(missing_ok=True)
        command = [sys.executable, "-m", "bpscript", "run", "s.bpb", "--disk", "new.img", "--events", "events"]
        child = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not (events.exists() and '"progress"' in events.read_text()):
            time.sleep(0.002)
        time.sleep(delay)
        child.send_signal(number)
        out, error = child.communicate(timeout=30)
        if "done" in out:
            continue        # it was faster than the signal
        assert child.returncode == status, error
        assert "Traceback" not in error
        assert cli("run", "valid.bpb", "--disk", "new.img").stdout == ""
        break
    else:
        pytest.fail("the restore was always faster than the signal")
    assert cli("run", "s.bpb", "--disk", "new.img").stdout == "done\n"
    assert cli("disk", "check", "new.img:1").returncode == 0
    fsck = subprocess.run(["e2fsck", "-fn", f"{tmp_path / 'new.img'}?offset={1 << 20}"], capture_output=True, text=True, check=False)
    assert fsck.returncode == 0, fsck.stdout


def test_two_runs_on_one_disk_are_an_error(tmp_path: Path, disk: Path, cli: Cli) -> None:
    (tmp_path / "slow.bpb").write_text("echo \"holding\"\nDelay 5\n")
    (tmp_path / "s.bpb").write_text('echo "x"\n')
    command = [sys.executable, "-m", "bpscript", "run", "slow.bpb", "--disk", "disk.img"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        done = cli("run", "s.bpb", "--disk", "disk.img")
        child.terminate()
    sentence(done, 1, "in use")


@pytest.mark.parametrize("size", ["0", "511"])
def test_an_image_without_a_sector_is_not_made(tmp_path: Path, cli: Cli, size: str) -> None:
    (tmp_path / "s.bpb").write_text('Log "x"\n')
    sentence(cli("run", "s.bpb", "--disk", f"disk.img:{size}"), 2, f"an image of {size} bytes is too small: it needs at least 512")
    assert not (tmp_path / "disk.img").exists()
