"""`bpscript image capture` and `restore`, as a user types them; what they make is judged by foreign tools."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import bpscript
from bpscript.base.errors import StorageError
from bpscript.base.events import Event
from bpscript.cli.main import main
from bpscript.machine.capturing import CaptureOptions
from tests.cli.images import ext_image, fat_image, flip, make_tree
from tests.oracles import e2fsck, fsck_fat, mtools, run_tool, sfdisk_table, sfdisk_verify

MIB = 1 << 20
FAT_AT, EXT_AT = 1 * MIB, 41 * MIB
TEXT = "/dev/sda1 / ext4 defaults 0 1\n"


def put_into(disk: Path, at: int, image: Path) -> None:
    with disk.open("r+b") as file, image.open("rb") as source:
        file.seek(at)
        while data := source.read(MIB):
            if data.count(0) == len(data):
                file.seek(len(data), os.SEEK_CUR)
            else:
                file.write(data)


def new_disk(path: Path, partitions: str = "FAT32:40 LINUX-EXT2:32", size: str = "80M") -> Path:
    assert main(["disk", "create", str(path), size, "--partitions", partitions]) == 0
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with FAT32 on partition 1 and ext4 on partition 2, both with a tree in them."""
    folder = tmp_path_factory.mktemp("made")
    tree = make_tree(folder / "tree")
    disk = new_disk(folder / "disk.img")
    put_into(disk, FAT_AT, fat_image(folder / "fat.img", tree))
    put_into(disk, EXT_AT, ext_image(folder / "ext.img", tree))
    for place, name in ((f"{disk}:1", "fat.imz"), (f"{disk}:2", "ext.imz")):
        assert main(["image", "capture", place, str(folder / name)]) == 0
    assert main(["image", "capture", str(tree), str(folder / "tree.imi"), "--incremental"]) == 0
    return folder


def image(*words: object) -> int:
    return main(["image", *map(str, words)])


def start(*words: object, **options: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "bpscript", "image", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload,no-any-return]


def ext_file(disk: Path, path: str, offset: int = EXT_AT) -> bytes:
    return subprocess.run(["debugfs", "-R", f"cat {path}", f"{disk}?offset={offset}"], capture_output=True, check=True).stdout


def filesystem(disk: Path, number: int, capsys: pytest.CaptureFixture[str]) -> object:
    capsys.readouterr()
    assert main(["disk", "show", str(disk), "--json"]) == 0
    return json.loads(capsys.readouterr().out)["partitions"][number - 1]["filesystem"]


# --- partitions ------------------------------------------------------------------------------------------------------


def test_any_zstd_unpacks_a_captured_partition(made: Path) -> None:
    done = subprocess.run(["zstd", "-dcq", made / "fat.imz"], capture_output=True, check=True)
    raw = (made / "disk.img").read_bytes()[FAT_AT : FAT_AT + 40 * MIB]
    assert len(done.stdout) == len(raw)
    assert done.stdout[:8192] == raw[:8192]


@pytest.mark.parametrize("rewrite", ["auto", "all", "diff"])
def test_partitions_go_to_another_disk(made: Path, tmp_path: Path, rewrite: str) -> None:
    disk = new_disk(tmp_path / "new.img")
    for name, number in (("fat.imz", 1), ("ext.imz", 2)):
        assert image("restore", made / name, f"{disk}:{number}", "--rewrite", rewrite, "--verify") == 0
    fsck_fat(disk, FAT_AT)
    e2fsck(disk, EXT_AT)
    assert ext_file(disk, "/etc/deep/räume") == b"names\n"
    assert mtools(disk, "mtype", "::/etc/fstab", offset=FAT_AT) == TEXT


def test_what_is_there_already_is_not_written(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = new_disk(tmp_path / "new.img")
    assert image("restore", made / "ext.imz", f"{disk}:2") == 0
    flip(disk, EXT_AT + 20 * MIB)
    capsys.readouterr()
    assert image("restore", made / "ext.imz", f"{disk}:2", "--rewrite", "diff") == 0
    assert "were there already" in capsys.readouterr().out
    e2fsck(disk, EXT_AT)


def test_a_larger_and_a_smaller_partition(made: Path, tmp_path: Path) -> None:
    disk = new_disk(tmp_path / "new.img", "FAT32:64 LINUX-EXT2:28", "120M")
    assert image("restore", made / "fat.imz", f"{disk}:1", "--verify") == 0
    assert image("restore", made / "ext.imz", f"{disk}:2", "--verify") == 0
    fsck_fat(disk, FAT_AT)
    e2fsck(disk, 65 * MIB)
    assert ext_file(disk, "/etc/fstab", 65 * MIB).decode() == TEXT


def test_the_type_of_the_partition_must_fit(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = new_disk(tmp_path / "new.img")
    before = disk.read_bytes()
    assert image("restore", made / "ext.imz", f"{disk}:1") == 1
    assert "does not belong on partition 1" in capsys.readouterr().err
    assert disk.read_bytes() == before


def test_a_partition_goes_to_a_file_without_a_table(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "part.img"
    with target.open("wb") as file:
        file.truncate(34 * MIB)
    assert image("restore", made / "ext.imz", target) == 0
    e2fsck(target)
    assert image("capture", target, tmp_path / "again.imz") == 0
    assert "EXT4" in capsys.readouterr().out
    assert image("restore", made / "ext.imz", made / "disk.img") == 1
    assert f"for example {made / 'disk.img'}:1" in capsys.readouterr().err
    assert image("capture", made / "disk.img", tmp_path / "again.imz", "--incremental") == 2


def test_a_raw_image_is_restored_like_an_archive(made: Path, tmp_path: Path) -> None:
    disk = new_disk(tmp_path / "new.img")
    subprocess.run(["gzip", "-1k", made / "fat.img"], check=True)
    assert image("restore", made / "fat.img.gz", f"{disk}:1", "--temp", tmp_path) == 0
    fsck_fat(disk, FAT_AT)
    (made / "fat.img.gz").unlink()


def test_unused_blocks_are_given_back(made: Path, tmp_path: Path) -> None:
    disk = new_disk(tmp_path / "new.img")
    with disk.open("r+b") as file:
        file.seek(FAT_AT)
        file.write(random.Random(1).randbytes(72 * MIB))
    assert image("restore", made / "fat.imz", f"{disk}:1", "--discard") == 0
    assert image("restore", made / "ext.imz", f"{disk}:2", "--discard") == 0
    assert disk.stat().st_blocks * 512 < 24 * MIB
    fsck_fat(disk, FAT_AT)
    e2fsck(disk, EXT_AT)


def test_filters_leave_files_out_of_the_volume(made: Path, tmp_path: Path) -> None:
    archive, target = tmp_path / "a.imz", tmp_path / "t.img"
    assert image("capture", f"{made / 'disk.img'}:2", archive, "--exclude", "etc/*", "--include", "etc/deep/*", "--exclude", "noise") == 0
    assert archive.stat().st_size < (made / "ext.imz").stat().st_size - MIB
    target.touch()
    os.truncate(target, 32 * MIB)
    assert image("restore", archive, target) == 0
    e2fsck(target)
    names = subprocess.run(["debugfs", "-R", "ls -p /etc", target], capture_output=True, text=True, check=True).stdout
    assert "deep" in names
    assert "fstab" not in names


# --- whole disks -----------------------------------------------------------------------------------------------------


def test_a_whole_disk_goes_to_a_larger_one(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert image("capture", made / "disk.img", tmp_path / "d.imz") == 0
    assert "of a disk in" in capsys.readouterr().out
    target = new_disk(tmp_path / "new.img", "LINUX-EXT2:20", "120M")
    assert image("restore", tmp_path / "d.imz", target, "--resize-last", "--verify", "--discard") == 0
    sfdisk_verify(target)
    assert [row["size"] // 2048 for row in sfdisk_table(target)["partitions"]] == [40, 79]     # MB
    fsck_fat(target, FAT_AT)
    e2fsck(target, EXT_AT)
    assert ext_file(target, "/etc/fstab").decode() == TEXT
    assert filesystem(target, 2, capsys) == "EXT4"


def test_one_partition_out_of_the_archive_of_a_disk(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert image("capture", made / "disk.img", tmp_path / "d.imz", "--no-verify") == 0
    target = new_disk(tmp_path / "new.img")
    assert image("restore", f"{tmp_path / 'd.imz'}:2", f"{target}:2") == 0
    e2fsck(target, EXT_AT)
    assert image("restore", tmp_path / "d.imz", f"{target}:2") == 2
    assert "name one of its partitions" in capsys.readouterr().err
    assert image("restore", f"{tmp_path / 'd.imz'}:3", f"{target}:2") == 1
    assert "no partition 3" in capsys.readouterr().err
    assert image("capture", target, tmp_path / "e.imz", "--exclude", "x") == 2
    assert "files are chosen on a partition" in capsys.readouterr().err


# --- files -----------------------------------------------------------------------------------------------------------


def test_files_of_a_folder_go_into_a_directory_and_back(made: Path, tmp_path: Path) -> None:
    listed = run_tool(["tar", "--zstd", "-tf", made / "tree.imi"]).stdout
    assert "etc/deep/räume" in listed.splitlines()
    disk = new_disk(tmp_path / "new.img")
    assert image("restore", made / "ext.imz", f"{disk}:2") == 0
    assert image("restore", made / "tree.imi", f"{disk}:2/copy", "--verify") == 0
    e2fsck(disk, EXT_AT)
    assert ext_file(disk, "/copy/etc/fstab").decode() == TEXT
    assert image("capture", f"{disk}:2/copy", tmp_path / "copy.imi", "--incremental") == 0
    (tmp_path / "out").mkdir()
    assert image("restore", tmp_path / "copy.imi", tmp_path / "out") == 0
    assert run_tool(["diff", "-r", "--no-dereference", made / "tree", tmp_path / "out"]).stdout == ""
    assert (tmp_path / "out" / "etc" / "fstab").stat().st_mtime_ns == (made / "tree" / "etc" / "fstab").stat().st_mtime_ns


def test_an_incremental_archive_goes_to_the_root_of_a_partition(made: Path, tmp_path: Path) -> None:
    disk = new_disk(tmp_path / "new.img")
    assert image("restore", made / "fat.imz", f"{disk}:1") == 0
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "added.txt").write_text("more")
    assert image("capture", tmp_path / "more", tmp_path / "more.imi", "--incremental") == 0
    assert image("restore", tmp_path / "more.imi", f"{disk}:1") == 0
    assert mtools(disk, "mtype", "::/added.txt", offset=FAT_AT) == "more"


def test_a_tar_goes_into_a_directory(made: Path, tmp_path: Path) -> None:
    run_tool(["tar", "-C", made / "tree", "-czf", tmp_path / "t.tar.gz", "."])
    (tmp_path / "out").mkdir()
    assert image("restore", tmp_path / "t.tar.gz", tmp_path / "out") == 0
    assert (tmp_path / "out" / "etc" / "fstab").read_text() == TEXT


@pytest.mark.parametrize("kind", ["EXT4", "ext2", "FAT32"])
def test_a_folder_becomes_a_volume(made: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    words = ["--exclude", "etc/hostname"] if kind == "FAT32" else []
    assert image("capture", made / "tree", tmp_path / "a.imz", "--type", kind, "--seed", "x", "--temp", tmp_path, *words) == 0
    assert f"of {kind.upper()} in" in capsys.readouterr().out
    raw = tmp_path / "raw.img"
    subprocess.run(["zstd", "-dq", tmp_path / "a.imz", "-o", raw], check=True)
    if kind == "FAT32":
        fsck_fat(raw)
        assert mtools(raw, "mtype", "::/etc/fstab") == TEXT
    else:
        e2fsck(raw)
        assert ext_file(raw, "/etc/hostname", 0) == b"names\n" or "räume" in run_tool(["debugfs", "-R", "stat /etc/hostname", raw]).stdout


def test_the_size_of_the_volume_can_be_given(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert image("capture", made / "tree", tmp_path / "a.imz", "--size", "50M") == 0
    assert bpscript.open_archive(tmp_path / "a.imz").info.size == 50 * MIB
    assert image("capture", made / "tree", tmp_path / "b.imz", "--size", "2M") == 1
    assert "too small" in capsys.readouterr().err
    assert not (tmp_path / "b.imz").exists()


# --- pipes, fragments, signatures ------------------------------------------------------------------------------------


def test_through_a_pipe(made: Path, tmp_path: Path) -> None:
    disk = new_disk(tmp_path / "new.img")
    python = f"{sys.executable} -m bpscript image"
    command = f"{python} capture {made}/disk.img:2 - --level 1 | {python} restore - {disk}:2"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    e2fsck(disk, EXT_AT)


def test_a_pipe_that_is_cut_leaves_the_partition_unformatted(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = new_disk(tmp_path / "new.img")
    assert image("restore", made / "ext.imz", f"{disk}:2") == 0
    size = (made / "ext.imz").stat().st_size
    command = f"head -c {size - 100} {made}/ext.imz | {sys.executable} -m bpscript image restore - {disk}:2"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "standard input: archive ends" in done.stderr
    assert filesystem(disk, 2, capsys) is None


def test_fragments(made: Path, tmp_path: Path) -> None:
    assert image("capture", f"{made / 'disk.img'}:2", tmp_path / "f.imz", "--fragment-size", "512K", "--level", "-1") == 0
    parts = sorted(path.name for path in tmp_path.iterdir())
    assert parts[:2] == ["f.imz", "f.imz.001"]
    assert len(parts) >= 4
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 512 << 10
    disk = new_disk(tmp_path / "new.img")
    assert image("restore", tmp_path / "f.imz", f"{disk}:2") == 0
    e2fsck(disk, EXT_AT)
    (tmp_path / "f.imz.001").unlink()
    assert image("restore", tmp_path / "f.imz", f"{disk}:2") == 1


def test_signatures(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("lab", "other"):
        assert image("keygen", tmp_path / name) == 0
    target = tmp_path / "t.img"
    target.touch()
    os.truncate(target, 32 * MIB)
    key = tmp_path / "lab.pub"
    assert image("capture", f"{made / 'disk.img'}:2", tmp_path / "s.imz", "--sign", tmp_path / "lab.key") == 0
    for archive, with_key, status, words in (
        (made / "ext.imz", key, 1, "not signed"), (tmp_path / "s.imz", tmp_path / "other.pub", 1, "no valid signature"),
        (tmp_path / "s.imz", tmp_path / "lab.key", 1, "error: " + str(tmp_path / "lab.key")), (tmp_path / "s.imz", tmp_path / "none", 2, "no such file"),
    ):
        assert image("restore", archive, target, "--key", with_key) == status
        assert words in capsys.readouterr().err
        assert target.stat().st_blocks == 0
    assert image("restore", tmp_path / "s.imz", target, "--key", key) == 0
    assert image("capture", made / "tree", tmp_path / "s.imi", "--incremental", "--sign", tmp_path / "lab.key") == 0
    (tmp_path / "out").mkdir()
    assert image("restore", tmp_path / "s.imi", tmp_path / "out", "--key", key) == 0
    assert image("restore", made / "tree.imi", tmp_path / "out", "--key", key) == 1


# --- the same bytes, provenance --------------------------------------------------------------------------------------


def test_the_same_source_and_clock_give_the_same_bytes(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    cases: tuple[tuple[object, list[str]], ...] = ((f"{made / 'disk.img'}:2", []), (made / "tree", ["--incremental"]), (made / "tree", ["--seed", "s"]))
    for number, (source, words) in enumerate(cases):
        for threads in (1, 3):
            assert image("capture", source, tmp_path / f"{number}.{threads}", "--threads", threads, *words) == 0
        assert (tmp_path / f"{number}.1").read_bytes() == (tmp_path / f"{number}.3").read_bytes()


def test_the_archive_says_how_it_was_made(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--level", "7", "--long", "--exclude", "big file", "--include", "b*", "--sign", tmp_path / "k.key")
    assert image("keygen", tmp_path / "k") == 0
    assert image("capture", f"{made / 'disk.img'}:2", tmp_path / "a.imz", *words) == 0
    capsys.readouterr()
    assert image("info", tmp_path / "a.imz", "--json") == 0
    text = capsys.readouterr().out
    assert "--level=7 --long '--exclude=big file' '--include=b*'" in text
    assert "disk.img:2" in text
    assert str(tmp_path) not in text
    assert "k.key" not in text


def test_programs_read_json(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manual = (Path(__file__).parent.parent.parent / "docs" / "manual.md").read_text(encoding="utf-8")
    chapter = manual.partition("### `image capture --json`")[2].partition("\n### ")[0]
    capsys.readouterr()
    assert image("capture", f"{made / 'disk.img'}:2", tmp_path / "a.imz", "--json") == 0
    captured = json.loads(capsys.readouterr().out)
    assert (captured["filesystem"], captured["verified"], captured["stored"]) == ("EXT4", True, (tmp_path / "a.imz").stat().st_size)
    assert captured["root"] == bpscript.open_archive(tmp_path / "a.imz").info.root
    assert image("restore", tmp_path / "a.imz", f"{new_disk(tmp_path / 'new.img')}:2", "--json", "--rewrite", "all") == 0
    restored = json.loads(capsys.readouterr().out)
    assert (restored["written"], restored["equal"], restored["how"]) == (captured["used"], 0, "same size")
    assert [key for key in (*captured, *restored) if f"`{key}`" not in chapter] == []


# --- refused -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["capture", "{made}/none.img:1", "{tmp}/a"], 2, "no such image"),
        (["capture", "{made}/disk.img:9", "{tmp}/a"], 1, "no partition 9"),
        (["capture", "{made}/disk.img:2/etc", "{tmp}/a"], 2, "--incremental packs directories"),
        (["capture", "{made}/disk.img:2/none", "{tmp}/a", "--incremental"], 1, "none"),
        (["capture", "{made}/disk.img:2", "{tmp}/none/a"], 2, "no such directory"),
        (["capture", "{made}/disk.img:2", "{tmp}"], 1, "is a directory"),
        (["capture", "{made}/disk.img:2", "{made}/fat.img"], 1, "is no archive"),
        (["capture", "{made}/fat.imz", "{tmp}/a"], 2, "is an archive already"),
        (["capture", "{made}/disk.img", "{made}/disk.img"], 2, "archive of itself"),
        (["capture", "{made}/disk.img:2", "{tmp}/a", "--level", "20"], 2, "expected -5"),
        (["capture", "{made}/disk.img:2", "{tmp}/a", "--threads", "0"], 2, "0 threads"),
        (["capture", "{made}/disk.img:2", "{tmp}/a", "--type", "EXT4"], 2, "no folder of this host"),
        (["capture", "{made}/disk.img:2", "{tmp}/a", "--include", "x"], 2, "no --exclude before it"),
        (["capture", "{made}/disk.img:2", "{tmp}/a", "--fragment-size", "1K"], 2, "less than 64 KB"),
        (["capture", "{made}/disk.img:2", "-", "--fragment-size", "1M"], 2, "cut into fragments"),
        (["capture", "{made}/disk.img:2", "{tmp}/a", "--sign", "{tmp}/none"], 2, "none"),
        (["capture", "{made}/tree", "{made}/tree/etc/a.imi", "--incremental"], 1, "the folder that it would be made of"),
        (["restore", "{made}/none.imz", "{made}/disk.img:1"], 2, "no such file"),
        (["restore", "{made}/fat.imz", "{tmp}/none.img:1"], 2, "no such image"),
        (["restore", "{made}/fat.imz", "{made}/disk.img:9"], 1, "no partition 9"),
        (["restore", "{made}/fat.imz", "{tmp}"], 2, "image get"),
        (["restore", "{made}/disk.img", "{made}/disk.img:1"], 2, "where the archive itself lies"),
        (["restore", "{made}/fat.imz", "{made}/disk.img:1", "--resize-last"], 2, "no archive of a whole disk"),
        (["restore", "{made}/tree.imi", "{made}/disk.img:1", "--discard"], 2, "--discard is for partitions"),
    ],
    ids=lambda value: "_".join(str(word).rpartition("/")[2] for word in value) if isinstance(value, list) else None,
)
def test_what_is_refused_changes_nothing(
    made: Path, tmp_path: Path, words: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    assert image(*(word.format(made=made, tmp=tmp_path) for word in words)) == status
    assert message in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before
    assert list(tmp_path.iterdir()) == []


def test_an_archive_inside_its_folder_may_be_left_out(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    (folder / "out").mkdir(parents=True)
    (folder / "file").touch()
    assert image("capture", folder, folder / "out" / "a.imi", "--incremental", "--exclude", "out/*") == 0
    assert run_tool(["tar", "--zstd", "-tf", folder / "out" / "a.imi"]).stdout.splitlines() == ["file", "out/"]


# --- what happens meanwhile ------------------------------------------------------------------------------------------


def test_a_source_that_changes_meanwhile_leaves_no_archive(made: Path, tmp_path: Path) -> None:
    source = tmp_path / "ext.img"
    source.write_bytes((made / "ext.img").read_bytes())
    old = tmp_path / "a.imz"
    old.write_bytes((made / "ext.imz").read_bytes())

    def change() -> None:
        flip(source, 3 * MIB + 7)

    with pytest.raises(StorageError, match="differs from its source at bytes"):
        bpscript.capture(source, old, events=_once(change))
    assert old.read_bytes() == (made / "ext.imz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.imz", "ext.img"]
    bpscript.capture(source, old, CaptureOptions(verify=False), events=_once(change))


def _once(function: Callable[[], None]) -> Callable[[Event], None]:
    """Called when the reading back begins."""
    called: list[bool] = []

    def take(event: Event) -> None:
        if not called and event.data.get("task") == "verify":
            called.append(True)
            function()

    return take


def noise(path: Path, size: int) -> Path:
    path.write_bytes(random.Random(4).randbytes(size))
    return path


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["int", "term"])
def test_a_capture_that_is_stopped_leaves_nothing(tmp_path: Path, number: int, status: int) -> None:
    source = noise(tmp_path / "source.img", 20 * MIB)
    (tmp_path / "out").mkdir()
    process = start("capture", source, tmp_path / "out" / "a.imz", "--level", "19")
    wait_for(lambda: any(path.stat().st_size > MIB for path in (tmp_path / "out").iterdir()))
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == status, errors
    assert list((tmp_path / "out").iterdir()) == []


def test_a_restore_that_is_stopped_leaves_the_partition_unformatted_and_the_next_one_completes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    noise(tree / "noise", 20 * MIB)
    source = ext_image(tmp_path / "ext.img", tree, 30 * MIB)
    disk = new_disk(tmp_path / "new.img", "LINUX-EXT2:30", "40M")
    assert image("capture", source, tmp_path / "a.imz", "--level", "1") == 0
    assert image("restore", tmp_path / "a.imz", f"{disk}:1") == 0
    with disk.open("r+b") as file:
        file.seek(10 * MIB)
        file.write(bytes(15 * MIB))
    # A pipe that stops in the middle: the restore has begun, and waits.
    process = start("restore", "-", f"{disk}:1", stdin=subprocess.PIPE)
    assert process.stdin is not None
    data = (tmp_path / "a.imz").read_bytes()
    process.stdin.write(data[: len(data) // 2])
    process.stdin.flush()
    with disk.open("rb") as file:
        wait_for(lambda: os.pread(file.fileno(), 1, 12 * MIB) != b"\0")
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.stdin.close()
    process.stdin = None
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert filesystem(disk, 1, capsys) is None
    assert image("restore", tmp_path / "a.imz", f"{disk}:1") == 0
    e2fsck(disk, MIB)


@pytest.mark.parametrize("words", [["capture", "{made}/disk.img:2", "{tmp}/a.imz"], ["capture", "{made}/tree", "{tmp}/a.imz", "--incremental"]], ids=["full", "incremental"])
def test_a_disk_that_is_full_keeps_the_old_archive(made: Path, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "a.imz").write_bytes((made / "fat.imz").read_bytes())
    chosen = " ".join(word.format(made=made, tmp=tmp_path) for word in words)
    command = f"ulimit -f 1000; exec {sys.executable} -m bpscript image {chosen}"      # 1000 KiB
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot write the archive: File too large" in done.stderr
    assert (tmp_path / "a.imz").read_bytes() == (made / "fat.imz").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["a.imz"]
