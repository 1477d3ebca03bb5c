"""`bpscript image convert`: what comes out is read by zstd, tar, e2fsck, fsck.fat, debugfs and cmp."""

import io
import random
import signal
import subprocess
import sys
import tarfile
import time
from contextlib import closing
from pathlib import Path

import pytest

import bpscript
from bpscript.archive.container import Archive, ArchiveKind
from bpscript.archive.positional import DescriptorBytes
from bpscript.base.errors import UsageError
from bpscript.cli.main import main
from tests.cli.images import captured, ext_image, fat_image, make_tree, packed
from tests.oracles import debugfs_tree, e2fsck, fsck_fat, mtools, need, run_tool, sfdisk_table

MIB = 1 << 20


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("convert")
    tree = make_tree(folder / "tree")
    captured(ext_image(folder / "ext.img", tree, 16 * MIB), folder / "ext.imz")
    captured(fat_image(folder / "fat.img", tree), folder / "fat.imz")
    packed(tree, folder / "tree.imi")
    disk = folder / "disk.img"
    assert main(["disk", "create", str(disk), "40M", "--partitions", "LINUX-EXT2:16 FAT16:20", "--format", "--seed", "x"]) == 0
    assert main(["image", "restore", str(folder / "ext.imz"), f"{disk}:1"]) == 0
    assert main(["image", "capture", str(disk), str(folder / "disk.imz")]) == 0
    return folder


def convert(*words: object) -> int:
    return main(["image", "convert", *map(str, words)])


def unpacked(path: Path) -> bytes:
    return subprocess.run([need("zstd"), "-dcq", path], capture_output=True, check=True).stdout


def listed(tar: Path) -> list[str]:
    return sorted(run_tool(["tar", "-tf", tar, "--quoting-style=literal"]).stdout.splitlines())


@pytest.mark.parametrize("name", ["ext", "fat"])
def test_an_archive_becomes_the_raw_image(made: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "out.img"
    assert convert(made / f"{name}.imz", target) == 0
    assert target.read_bytes() == unpacked(made / f"{name}.imz")
    assert target.stat().st_blocks * 512 < 10 * MIB
    e2fsck(target) if name == "ext" else fsck_fat(target)


@pytest.mark.parametrize("packing", ["", "gzip", "xz", "zstd"])
def test_a_raw_image_becomes_an_archive(made: Path, tmp_path: Path, packing: str) -> None:
    source = tmp_path / "source"
    source.write_bytes((made / "ext.img").read_bytes())
    if packing:
        data = subprocess.run([packing, "-1c", source], capture_output=True, check=True).stdout
        source.write_bytes(data)
    assert convert(source, tmp_path / "out.imz", "--temp", tmp_path) == 0
    assert unpacked(tmp_path / "out.imz") == unpacked(made / "ext.imz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.imz", "source"]


def test_a_partclone_image_becomes_ours_and_raw(made: Path, tmp_path: Path) -> None:
    run_tool(["partclone.extfs", "-c", "-q", "-F", "-s", made / "ext.img", "-o", tmp_path / "p.img", "-L", tmp_path / "log"])
    assert convert(tmp_path / "p.img", tmp_path / "out.imz") == 0
    assert unpacked(tmp_path / "out.imz") == unpacked(made / "ext.imz")
    assert convert(tmp_path / "p.img", tmp_path / "out.raw") == 0
    e2fsck(tmp_path / "out.raw")


def test_files_in_an_image_become_a_tar_with_everything(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    volume = ext_image(tmp_path / "e.img", tree)
    run_tool(["debugfs", "-w", "-R", "mknod console c 5 1", volume])
    run_tool(["debugfs", "-w", "-R", "sif etc/fstab uid 1234", volume])
    run_tool(["debugfs", "-w", "-R", "ea_set etc/fstab user.comment hello", volume])
    assert convert(volume, tmp_path / "out.tar") == 0
    with tarfile.open(tmp_path / "out.tar") as tar:
        assert tar.getmember("console").ischr()
        assert (tar.getmember("console").devmajor, tar.getmember("console").devminor) == (5, 1)
        fstab = tar.getmember("etc/fstab")
        assert (fstab.uid, fstab.mode) == (1234, 0o640)
        assert fstab.pax_headers["SCHILY.xattr.user.comment"] == "hello"
        assert tar.getmember("etc/hostname").linkname == "deep/räume"
        assert tar.getmember("etc/zweiter").islnk()
    (tmp_path / "out").mkdir()
    run_tool(["tar", "-xf", tmp_path / "out.tar", "-C", tmp_path / "out", "--no-same-owner", "--exclude=console", "--exclude=lost+found"])
    assert run_tool(["diff", "-r", "--no-dereference", tree, tmp_path / "out"]).stdout == ""


def test_files_go_from_tar_to_ours_and_back_without_a_difference(made: Path, tmp_path: Path) -> None:
    assert convert(made / "tree.imi", tmp_path / "a.tar") == 0
    assert (tmp_path / "a.tar").read_bytes() == unpacked(made / "tree.imi")
    assert listed(tmp_path / "a.tar") == sorted(run_tool(["tar", "--zstd", "-tf", made / "tree.imi", "--quoting-style=literal"]).stdout.splitlines())
    subprocess.run(["gzip", "-1", tmp_path / "a.tar"], check=True)
    assert convert(tmp_path / "a.tar.gz", tmp_path / "b.imi") == 0
    assert unpacked(tmp_path / "b.imi") == unpacked(made / "tree.imi")
    assert convert(made / "ext.imz", tmp_path / "c.tar.zst") == 0
    assert "etc/deep/räume" in run_tool(["tar", "--zstd", "-tf", tmp_path / "c.tar.zst", "--quoting-style=literal"]).stdout


@pytest.mark.parametrize("kind", ["EXT3", "FAT32"])
def test_files_become_a_volume(made: Path, tmp_path: Path, kind: str) -> None:
    run_tool(["tar", "-C", made / "tree", "--exclude=hostname", "-cf", tmp_path / "t.tar", "."])
    target = tmp_path / "out.img"
    assert convert(tmp_path / "t.tar", target, "--type", kind, "--temp", tmp_path) == 0
    if kind == "FAT32":
        fsck_fat(target)
        assert mtools(target, "mtype", "::/etc/deep/räume") == "names\n"
    else:
        e2fsck(target)
        assert debugfs_tree(target, tmp_path / "dump")["etc/deep/räume"] == b"names\n"
    assert convert(made / "tree.imi", tmp_path / "again.imz", "--seed", "s", "--temp", tmp_path) == 0
    assert bpscript.open_archive(tmp_path / "again.imz").info.filesystem == "EXT4"


def test_a_disk(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(made / "disk.imz", tmp_path / "d.img") == 0
    assert [row["start"] for row in sfdisk_table(tmp_path / "d.img")["partitions"]] == [2048, 34816]
    assert convert(tmp_path / "d.img", tmp_path / "d.imz") == 0
    with closing(DescriptorBytes.open(tmp_path / "d.imz")) as data:
        assert Archive.open(data).header.kind is ArchiveKind.DISK
    assert convert(f"{made / 'disk.imz'}:1", tmp_path / "one.img") == 0
    e2fsck(tmp_path / "one.img")
    capsys.readouterr()
    assert convert(made / "disk.imz", tmp_path / "d.tar") == 2
    assert "files are on its partitions" in capsys.readouterr().err


def test_pipes(made: Path, tmp_path: Path) -> None:
    python = f"{sys.executable} -m bpscript image convert"
    command = f"zstd -dcq {made}/ext.imz | {python} - - --to full --temp {tmp_path} | {python} - - --to raw | cmp - <(zstd -dcq {made}/ext.imz)"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(["bash", "-o", "pipefail", "-c", f"{python} {made}/tree.imi - --to tar | tar -t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "etc/fstab" in done.stdout


def test_from_python(made: Path) -> None:
    out = io.BytesIO()
    bpscript.convert(made / "tree.imi", out, to="tar")
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        assert "etc/fstab" in tar.getnames()
    with pytest.raises(UsageError, match="nothing to convert to"):
        bpscript.convert(made / "tree.imi", out, to="cpio")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["{made}/ext.imz", "{made}/fat.img"], 2, "exists already"),
        (["{made}/ext.imz", "{made}/ext.imz", "--force"], 2, "made of itself"),
        (["{made}/ext.imz", "{tmp}/name"], 2, "does not say what it is to be"),
        (["{made}/ext.imz", "-"], 2, "standard output has no name"),
        (["{made}/ext.imz", "{tmp}/none/a.img"], 2, "no such directory"),
        (["{made}/none", "{tmp}/a.img"], 2, "no such file"),
        (["{made}/ext.imz", "{tmp}/a.imz", "--level", "77"], 2, "expected -5"),
        (["{made}/tree.imi:1", "{tmp}/a.imz"], 2, "has no partition 1"),
        (["{made}/disk.imz:7", "{tmp}/a.imz"], 1, "no partition 7"),
        (["{made}/cut.tar.gz", "{tmp}/a.img"], 1, "cut short"),
        (["{made}/damaged.imz", "{tmp}/a.img"], 1, "damaged.imz: archive"),
        (["{made}/damaged.imz", "{tmp}/a.imi"], 1, "damaged.imz: archive"),
        (["{made}/tree.imi", "{tmp}/a.img", "--size", "1M"], 1, "too small"),
    ],
    ids=lambda value: "_".join(word.rpartition("/")[2] for word in value) if isinstance(value, list) else None,
)
def test_what_is_refused_leaves_nothing(
    made: Path, tmp_path: Path, words: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = subprocess.run(["tar", "-C", made / "tree", "-czf", "-", "."], capture_output=True, check=True).stdout
    (made / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    damaged = bytearray((made / "ext.imz").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (made / "damaged.imz").write_bytes(damaged)
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    assert convert(*(word.format(made=made, tmp=tmp_path) for word in words)) == status
    assert message in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_replaced_when_that_is_wanted(made: Path, tmp_path: Path) -> None:
    (tmp_path / "out.img").write_text("old")
    assert convert(made / "ext.imz", tmp_path / "out.img", "--force") == 0
    e2fsck(tmp_path / "out.img")


@pytest.mark.parametrize("ending", ["img", "imz"])
def test_a_conversion_that_is_stopped_leaves_nothing(tmp_path: Path, ending: str) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "noise").write_bytes(random.Random(2).randbytes(24 * MIB))
    source = tmp_path / "source.imi"
    packed(tree, source)
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, "-m", "bpscript", "image", "convert", "-", str(out / f"a.{ending}"), "--temp", str(out), "--level", "19"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(source.read_bytes())
    process.stdin.close()
    process.stdin = None
    end = time.monotonic() + 30
    while not any(path.is_dir() or path.stat().st_size > MIB // 2 for path in out.iterdir()):
        assert time.monotonic() < end, "it never began"
        assert process.poll() is None, "it ended too early"
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("ending", ["img", "tar", "imz"])
def test_a_disk_that_is_full_leaves_nothing(made: Path, tmp_path: Path, ending: str) -> None:
    command = f"ulimit -f 1000; exec {sys.executable} -m bpscript image convert {made}/ext.imz {tmp_path}/a.{ending}"      # 1000 KiB
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "too large" in done.stderr or "no room" in done.stderr or "cannot make an image" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_holes_of_an_image_are_not_read(tmp_path: Path) -> None:
    """40 GB took more than a minute."""
    with (tmp_path / "sparse.raw").open("wb") as file:
        file.truncate(1 << 40)
        file.seek(500_000_000_000)
        file.write(b"data")
    command = [sys.executable, "-m", "bpscript", "image", "convert", "sparse.raw", "sparse.imz"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    with Archive.open(DescriptorBytes.open(tmp_path / "sparse.imz")) as archive:
        assert archive.data(archive.find(500_000_000_000)).count(b"data") == 1
