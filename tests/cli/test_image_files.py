"""`image ls`, `tree`, `cat`, `get`: what comes out is what went in, as foreign tools see it."""

import json
import os
import stat
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import bpscript
from bpscript.archive.container import Archive
from bpscript.archive.image_device import ArchiveDevice
from bpscript.archive.tar_heads import HEAD
from bpscript.base.errors import FormatError, InTheWayError, NotFoundError
from bpscript.cli.main import main
from bpscript.filesystems.filesystem import FileKind
from tests.cli.images import captured, ext_image, fat_image, flip, make_tree, packed
from tests.oracles import debugfs, debugfs_tree, mtools_tree, run_tool, sfdisk


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    tree = make_tree(folder / "tree")
    captured(ext_image(folder / "ext.img", tree), folder / "ext.imz")
    captured(fat_image(folder / "fat.img", tree), folder / "fat.imz")
    packed(tree, folder / "files.imi")
    run_tool(["zstd", "-q", folder / "ext.img", "-o", folder / "ext.img.zst"])
    with (folder / "disk.img").open("wb") as disk:
        disk.truncate(90 << 20)
        disk.seek(1 << 20)
        disk.write((folder / "ext.img").read_bytes())
        disk.seek(40 << 20)
        disk.write((folder / "fat.img").read_bytes())
    sfdisk(folder / "disk.img", "label: dos\n2048,65536,83\n81920,81920,c\n163840,,82\n")
    return folder


def run(*words: str | Path) -> bytes:
    """What the command prints, as a process of its own."""
    return subprocess.run([sys.executable, "-m", "bpscript", "image", *map(str, words)], capture_output=True, check=True).stdout


EXT = ["ext.imz", "files.imi", "ext.img", "ext.img.zst"]


@pytest.mark.parametrize("name", [*EXT, "fat.imz"])
def test_cat_gives_the_bytes(place: Path, name: str) -> None:
    for path in ("big", "noise", "etc/fstab", "etc/deep/räume"):
        assert run("cat", f"{place / name}:{path}") == (place / "tree" / path).read_bytes()


@pytest.mark.parametrize("name", ["ext.imz", "files.imi"])
def test_links_are_followed(place: Path, name: str) -> None:
    assert run("cat", f"{place / name}:/etc/hostname") == b"names\n"
    assert run("cat", f"{place / name}:etc/zweiter") == (place / "tree" / "etc" / "fstab").read_bytes()


@pytest.mark.parametrize("name", EXT)
def test_ls_says_what_the_folder_says(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["image", "ls", f"{place / name}:etc", "--json"]) == 0
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(found) == {path.name for path in (place / "tree" / "etc").iterdir()}
    for row in found.values():
        facts = (place / "tree" / "etc" / row["name"]).lstat()
        assert row["mode"] == f"{stat.S_IMODE(facts.st_mode):04o}"
        assert (row["uid"], row["gid"]) == (facts.st_uid, facts.st_gid)
        if not stat.S_ISDIR(facts.st_mode):
            # mke2fs 1.47 keeps whole seconds of the time of a file
            assert row["mtime_ns"] // 10**9 == facts.st_mtime_ns // 10**9
    assert found["fstab"]["size"] == 30
    assert found["hostname"]["target"] == "deep/räume"


def test_ls_of_ext_agrees_with_debugfs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "ls", str(place / "ext.imz"), "--json"]) == 0
    names = {row["name"] for row in json.loads(capsys.readouterr().out)}
    listed = {line.split("/")[5] for line in debugfs(place / "ext.img", "ls -p /").splitlines() if line.startswith("/")}
    assert names == listed - {".", ".."}


def test_ls_of_an_incremental_archive_agrees_with_tar(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "tree", str(place / "files.imi")]) == 0
    listed = subprocess.run(["tar", "--zstd", "-tf", place / "files.imi"], capture_output=True, check=True).stdout.decode().splitlines()
    assert len(capsys.readouterr().out.splitlines()) == len(listed)


def test_tree_shows_everything(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "tree", f"{place / 'files.imi'}"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "big", "empty/", "etc/", "  deep/", "    räume", "  fstab", "  hostname -> deep/räume", "  zweiter", "noise", "nothing",
    ]


def test_the_archive_of_a_disk(place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lab = tmp_path / "lab.imz"
    assert main(["image", "capture", str(place / "disk.img"), str(lab)]) == 0
    capsys.readouterr()
    assert main(["image", "info", str(lab), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["scheme"], found["size"], found["sector_size"]) == ("disk", "MBR", 90 << 20, 512)
    rows = json.loads(run_tool(["sfdisk", "-J", place / "disk.img"]).stdout)["partitiontable"]["partitions"]
    assert [(row["start"], row["size"]) for row in found["partitions"]] == [(row["start"] * 512, row["size"] * 512) for row in rows]
    assert [(row["filesystem"], row["label"]) for row in found["partitions"][:2]] == [("EXT4", "model"), ("FAT32", "MODEL")]
    assert run("cat", f"{lab}:1/etc/hostname") == b"names\n"
    assert run("cat", f"{lab}:2/noise") == (place / "tree" / "noise").read_bytes()
    assert main(["image", "verify", str(lab)]) == 0
    assert main(["image", "verify", str(lab), "--against", str(place / "disk.img")]) == 0
    assert main(["image", "diff", str(lab), str(place / "disk.img")]) == 0
    assert main(["image", "diff", f"{lab}:1", str(place / "ext.imz")]) == 0
    changed = tmp_path / "changed.img"
    changed.write_bytes((place / "disk.img").read_bytes())
    at = changed.read_bytes().index((place / "tree" / "noise").read_bytes()[:64])
    flip(changed, at + 100)
    assert main(["image", "verify", str(lab), "--against", str(changed)]) == 1
    capsys.readouterr()
    assert main(["image", "diff", str(lab), str(changed)]) == 1
    assert capsys.readouterr().out == "~ 1/noise  (content)\n"


@pytest.mark.parametrize("name", EXT)
def test_get_copies_a_tree_with_everything(place: Path, tmp_path: Path, name: str) -> None:
    assert main(["image", "get", f"{place / name}:etc", str(tmp_path / "out")]) == 0
    source, copy = place / "tree" / "etc", tmp_path / "out"
    for path in [source, *source.rglob("*")]:
        there, here = path.lstat(), (copy / path.relative_to(source)).lstat()
        assert (there.st_mode, there.st_uid, there.st_gid) == (here.st_mode, here.st_uid, here.st_gid), path
        if path.is_file():
            assert there.st_mtime_ns // 10**9 == here.st_mtime_ns // 10**9
    assert (copy / "zweiter").stat().st_ino == (copy / "fstab").stat().st_ino
    assert os.readlink(copy / "hostname") == "deep/räume"
    assert (copy / "deep" / "räume").read_bytes() == b"names\n"


def test_get_of_the_root_agrees_with_debugfs_and_mtools(place: Path, tmp_path: Path) -> None:
    assert main(["image", "get", str(place / "ext.imz"), str(tmp_path / "ext")]) == 0
    assert main(["image", "get", str(place / "fat.imz"), str(tmp_path / "fat")]) == 0
    for name, expected in (("ext", debugfs_tree(place / "ext.img", tmp_path / "rdump")), ("fat", mtools_tree(place / "fat.img", tmp_path / "mcopy"))):
        root = tmp_path / name
        found = {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file() and not p.is_symlink()}
        # mtools shows a name that fits 8.3 but for its letters in another case.
        assert {path.casefold(): data for path, data in found.items()} == {path.casefold(): data for path, data in expected.items()}


def test_get_of_a_file_keeps_time_and_mode(place: Path, tmp_path: Path) -> None:
    assert main(["image", "get", f"{place / 'files.imi'}:etc/fstab", str(tmp_path)]) == 0
    there, here = (place / "tree" / "etc" / "fstab").stat(), (tmp_path / "fstab").stat()
    assert (there.st_mode, there.st_mtime_ns) == (here.st_mode, here.st_mtime_ns)
    assert run("get", f"{place / 'files.imi'}:etc/fstab", "-") == (tmp_path / "fstab").read_bytes()


def test_the_partitions_of_a_disk_are_directories(place: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    disk = place / "disk.img"
    assert main(["image", "ls", str(disk), "--json"]) == 0
    assert [(row["name"], row["kind"]) for row in json.loads(capsys.readouterr().out)] == [("1", "directory"), ("2", "directory"), ("3", "file")]
    assert run("cat", f"{disk}:1/etc/hostname") == b"names\n"
    assert run("cat", f"{disk}:2/etc/fstab") == (place / "tree" / "etc" / "fstab").read_bytes()
    assert run("cat", f"{disk}:3") == bytes(10 << 20)
    assert main(["image", "ls", f"{disk}:7"]) == 1
    assert "no partition 7" in capsys.readouterr().err


# --- only what is needed is read -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ext.imz", "files.imi"])
def test_one_file_decodes_only_its_chunks(place: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    decoded: list[int] = []
    real = Archive.data

    def data(self: Archive, index: int) -> bytes:
        decoded.append(index)
        return real(self, index)

    monkeypatch.setattr(Archive, "data", data)
    with bpscript.open_archive(place / name) as archive:
        assert archive.read("etc/deep/räume") == b"names\n"
        assert len(set(decoded)) == len(decoded) <= 3
        count = archive.info.chunks
        assert count is not None
        assert count > 4


def test_an_archive_without_the_section_of_heads_is_read_too(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bpscript.open_archive(place / "files.imi") as archive:
        wanted = [(path, facts) for path, facts in archive.entries()]
    real = Archive.section
    seen = []

    def section(self: Archive, tag: bytes) -> bytes | None:
        seen.append((tag, real(self, tag)))
        return None if tag == HEAD else real(self, tag)

    monkeypatch.setattr(Archive, "section", section)
    with bpscript.open_archive(place / "files.imi") as archive:
        assert [(path, facts) for path, facts in archive.entries()] == wanted
    heads = dict(seen)[HEAD]
    assert heads is not None
    assert len(heads) == 2 * len(wanted)


def test_a_section_of_heads_that_lies_is_found_out(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Archive.section

    def section(self: Archive, tag: bytes) -> bytes | None:
        found = real(self, tag)
        return struct.pack(f"<{len(found) // 2}H", *[1] * (len(found) // 2)) if tag == HEAD and found else found

    monkeypatch.setattr(Archive, "section", section)
    with bpscript.open_archive(place / "files.imi") as archive, pytest.raises(FormatError, match="is not where it should be"):
        archive.stat("noise")


@pytest.mark.parametrize("name", ["ext.imz", "files.imi"])
def test_few_chunks_are_kept_when_they_are_large(place: Path, name: str) -> None:
    with bpscript.open_archive(place / name) as archive:
        assert archive._archive is not None
        assert len({archive.read(path) for path, facts in archive.entries() if facts.kind is FileKind.FILE}) > 3
        device = archive.device()
        assert isinstance(device, ArchiveDevice)
        assert 0 < len(device._chunks) <= 24
    with bpscript.open_archive(place / name) as archive:
        assert archive._archive is not None
        archive._archive.header = archive._archive.header._replace(chunk_size=16 << 20)
        device = archive.device()
        for _ in archive.entries():
            pass
        archive.read("big")
        archive.read("noise")
        assert isinstance(device, ArchiveDevice)
        assert 0 < len(device._chunks) <= 4


# --- from Python -----------------------------------------------------------------------------------------------------


def test_the_same_from_python(place: Path) -> None:
    with bpscript.open_archive(place / "ext.imz") as archive:
        assert archive.kind == "full"
        assert archive.read("etc/hostname") == b"names\n"
        assert archive.stat("big").size == 256 * 12_000 + 3
        with closing(archive.open("big")) as reader:
            assert reader.read(4) == b"\0\1\2\3"
        assert "etc/deep/räume" in [path for path, _ in archive.entries()]
        assert [path for path, _ in archive.entries("etc/deep")] == ["etc/deep/räume"]
        with pytest.raises(NotFoundError):
            archive.read("no such")
        with pytest.raises(InTheWayError):
            archive.read("etc")


# --- what cannot be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["ls", "ext.imz:nope"], 1, "ext.imz:nope: no such file or directory"),
        (["ls", "files.imi:etc/nope"], 1, "files.imi:etc/nope: no such file or directory"),
        (["ls", "missing.imz:etc"], 2, "missing.imz:etc: no such file"),
        (["ls", "tree"], 2, "is a directory"),
        (["cat", "ext.imz:etc"], 1, "ext.imz:etc is a directory, not a file"),
        (["cat", "files.imi:etc"], 1, "files.imi:etc is a directory, not a file"),
        (["cat", "files.imi"], 1, "files.imi is a directory, not a file"),
        (["get", "ext.imz:nope", "x"], 1, "ext.imz:nope: no such file or directory"),
        (["get", "ext.imz:etc/fstab", "no/where"], 1, "no: no such directory"),
        (["get", "ext.imz:etc", "there"], 1, "there is a file, and ext.imz:etc a directory"),
        (["get", "ext.imz:etc", "-"], 1, "is a directory, not a file"),
        (["ls", "swap.img"], 1, "so it has no files"),
    ],
    ids=lambda value: "-".join(value).replace("/", "_") if isinstance(value, list) else None,
)
def test_wrong_paths_get_one_sentence(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], status: int, said: str
) -> None:
    monkeypatch.chdir(place)
    (place / "there").write_text("mine")
    (place / "swap.img").write_bytes(bytes(1 << 20))
    assert main(["image", *words]) == status
    captured_text = capsys.readouterr()
    assert said in captured_text.err
    assert captured_text.out == ""
    assert (place / "there").read_text() == "mine"


def test_files_of_a_pipe_cannot_be_reached(place: Path) -> None:
    done = subprocess.run(f"cat {place / 'ext.imz'} | {sys.executable} -m bpscript image ls -", shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "save it to a file first" in done.stderr
    assert b"etc" in subprocess.run(f"{sys.executable} -m bpscript image ls - < {place / 'ext.imz'}", shell=True, capture_output=True, check=True).stdout


def test_nothing_is_written_outside_the_destination(place: Path, tmp_path: Path) -> None:
    """debugfs makes names that no kernel would: they must not lead out of DEST, and DEST's own links must not be followed."""
    image = tmp_path / "evil.img"
    image.write_bytes((place / "ext.img").read_bytes())
    run_tool(["debugfs", "-w", "-f", "-", image], input_text="mkdir aXXaXXb\nwrite /dev/null f\nsymlink out /tmp\n")
    data = image.read_bytes()
    image.write_bytes(data.replace(b"aXXaXXb", b"../../b"))
    assert main(["image", "get", str(image), str(tmp_path / "deep" / "dest")]) == 1
    assert not (tmp_path / "b").exists()
    assert not (tmp_path.parent / "b").exists()


def test_names_that_are_no_text_come_out_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    name = os.fsencode(tmp_path / "tree") + b"/caf\xe9\x1b[31m"
    Path(os.fsdecode(name)).write_bytes(b"x")
    packed(tmp_path / "tree", tmp_path / "a.imi")
    assert b"caf\xe9\x1b[31m\n" in run("ls", tmp_path / "a.imi")
    screen = subprocess.run(
        ["script", "-qec", f"{sys.executable} -m bpscript image ls {tmp_path / 'a.imi'}", "/dev/null"], capture_output=True, check=True
    ).stdout
    assert b"\x1b[31m" not in screen
    assert b"caf" in screen


def test_a_device_of_the_host_is_not_replaced(place: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        assert main(["image", "get", f"{place / 'ext.imz'}:etc/fstab", str(tmp_path / "pipe")]) == 0
        assert reader.communicate()[0] == (place / "tree" / "etc" / "fstab").read_bytes()
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


