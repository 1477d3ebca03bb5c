"""`image diff`, and `image verify --against` file by file: what `diff -r` and our own hands changed is found, and nothing else."""

import json
import os
import shutil
from pathlib import Path

import pytest

import bpscript
from bpscript.archive.bases import VolumeBase
from bpscript.archive.destinations import HostDestination
from bpscript.archive.incremental import write_incremental
from bpscript.cli.main import main
from bpscript.filesystems.ext.contents import FileReader
from bpscript.filesystems.folder import FolderVolume
from tests.cli.images import captured, ext_image, fat_image, flip, make_tree, packed
from tests.oracles import run_tool, sfdisk

CHANGES = {
    ("added", "etc/new", ()), ("added", "newdir", ()), ("added", "newdir/inner", ()), ("removed", "empty", ()), ("removed", "nothing", ()),
    ("changed", "big", ("content",)), ("changed", "noise", ("content", "size")), ("changed", "etc/hostname", ("link",)),
    ("changed", "etc/deep/räume", ("time",)), ("changed", "etc/fstab", ("mode",)), ("changed", "etc/zweiter", ("mode",)), ("changed", "etc/deep", ("owner", "xattrs")),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("diff")
    tree = make_tree(folder / "a")
    for path in tree.rglob("*"):        # mke2fs keeps whole seconds
        os.utime(path, ns=(10**18, path.lstat().st_mtime_ns // 10**9 * 10**9), follow_symlinks=False)
    shutil.copytree(tree, folder / "b", symlinks=True)
    other = folder / "b"
    (other / "etc" / "zweiter").unlink()
    os.link(other / "etc" / "fstab", other / "etc" / "zweiter")
    times = {path: path.lstat().st_mtime_ns for path in sorted(tree.rglob("*"))}
    (other / "etc" / "new").write_text("new")
    (other / "newdir").mkdir()
    (other / "newdir" / "inner").write_text("inner")
    (other / "empty").rmdir()
    (other / "nothing").unlink()
    data = bytearray((other / "big").read_bytes())
    data[2_000_000] ^= 1
    (other / "big").write_bytes(data)
    with (other / "noise").open("ab") as file:
        file.write(b"more")
    (other / "etc" / "hostname").unlink()
    (other / "etc" / "hostname").symlink_to("deep/anders")
    (other / "etc" / "fstab").chmod(0o600)
    os.chown(other / "etc" / "deep", 7, 8)
    os.setxattr(other / "etc" / "deep", "user.note", b"x")
    for path, time in times.items():
        copy = other / path.relative_to(tree)
        if os.path.lexists(copy):
            os.utime(copy, ns=(time, time), follow_symlinks=False)
    os.utime(other / "etc" / "deep" / "räume", ns=(0, 1_500_000_000 * 10**9))
    for name in ("a", "b"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("E2FSPROGS_FAKE_TIME", "1600000000")       # of lost+found
            ext_image(folder / f"{name}.img", folder / name)
        captured(folder / f"{name}.img", folder / f"{name}.imz")
        packed(folder / name, folder / f"{name}.imi")
    fat_image(folder / "fat.img", tree)
    captured(folder / "fat.img", folder / "fat.imz")
    with (folder / "disk.img").open("wb") as disk:
        disk.truncate(40 << 20)
        disk.seek(1 << 20)
        disk.write((folder / "b.img").read_bytes())
    sfdisk(folder / "disk.img", "label: dos\n2048,65536,83\n")
    return folder


def diff(capsys: pytest.CaptureFixture[str], *words: str | Path) -> set[tuple[str, str, tuple[str, ...]]]:
    capsys.readouterr()
    status = main(["image", "diff", *map(str, words), "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert status == bool(rows)
    assert [row["path"].split("/") for row in rows] == sorted(row["path"].split("/") for row in rows)
    return {(row["change"], row["path"], tuple(row["what"])) for row in rows}


def without_lost_and_found(found: set[tuple[str, str, tuple[str, ...]]]) -> set[tuple[str, str, tuple[str, ...]]]:
    return {each for each in found if each[1] != "lost+found"}


@pytest.mark.parametrize("pair", [("a.imi", "b.imi"), ("a.imi", "b"), ("a", "b.imi"), ("a", "b"), ("a.imz", "b.imz"), ("a.imz", "b.img"), ("a.img", "b.imz"), ("a.imz", "disk.img:1")])
def test_every_change_is_found_and_nothing_else(place: Path, capsys: pytest.CaptureFixture[str], pair: tuple[str, str]) -> None:
    assert diff(capsys, place / pair[0], place / pair[1]) == CHANGES


def test_backwards_added_is_removed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    swap = {"added": "removed", "removed": "added", "changed": "changed"}
    assert diff(capsys, place / "b.imz", place / "a.imz") == {(swap[change], path, what) for change, path, what in CHANGES}


@pytest.mark.parametrize("pair", [("a.imi", "a"), ("a.imz", "a.imz"), ("a.imz", "a.img"), ("a.imi", "a.imi"), ("b.img", "disk.img:1"), ("a", "a")])
def test_what_is_equal_differs_in_nothing(place: Path, capsys: pytest.CaptureFixture[str], pair: tuple[str, str]) -> None:
    assert diff(capsys, place / pair[0], place / pair[1]) == set()


def test_only_contents(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = {each for each in CHANGES if each[0] != "changed" or set(each[2]) & {"content", "link"}}
    assert diff(capsys, place / "a.imi", place / "b.imi", "--content") == wanted
    assert without_lost_and_found(diff(capsys, place / "a.imi", place / "a.imz", "--content")) == set()
    gone = {("removed", name, ()) for name in ("etc/hostname", "etc/zweiter", "nothing")}
    found = {(change, path, what) for change, path, what in diff(capsys, place / "a.imi", place / "fat.imz", "--content") if change == "removed"}
    assert found <= gone | {("removed", "etc/zweiter", ())}


def test_a_part_of_each(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = {(change, path.removeprefix("etc/"), what) for change, path, what in CHANGES if path.startswith("etc/")}
    assert diff(capsys, f"{place / 'a.imz'}:etc", f"{place / 'disk.img'}:1/etc") == wanted
    assert diff(capsys, f"{place / 'a.imz'}:etc", place / "b" / "etc") == wanted
    assert diff(capsys, f"{place / 'a.imz'}:big", f"{place / 'b.imz'}:big") == {("changed", "big", ("content",))}


def test_people_read_signs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "diff", str(place / "a.imz"), str(place / "b.imz")]) == 1
    assert {"+ newdir/inner", "- nothing", "~ noise  (content, size)"} <= set(capsys.readouterr().out.splitlines())


def test_files_in_equal_chunks_are_not_read(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Two archives of one disk before and after a small change: what lies where it lay, in chunks of the same hash, is equal."""
    image = tmp_path / "c.img"
    image.write_bytes((place / "a.img").read_bytes())
    run_tool(["debugfs", "-w", "-R", "set_inode_field /etc/fstab mtime @1600000000", image])
    captured(image, tmp_path / "c.imz")
    read: list[int] = []
    real = FileReader.read

    def counted(self: FileReader, length: int = -1, /) -> bytes:
        data = real(self, length)
        read.append(len(data))
        return data

    monkeypatch.setattr(FileReader, "read", counted)
    assert diff(capsys, place / "a.imz", tmp_path / "c.imz") == {("changed", "etc/fstab", ("time",)), ("changed", "etc/zweiter", ("time",))}
    assert sum(read) < 100_000


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["a.imz", "missing.imz"], 2, "missing.imz: no such file"),
        (["missing", "a.imz"], 2, "missing: no such file"),
        (["a.imz:nope", "b.imz"], 1, "nope: no such file or directory"),
        (["a.imz", "b.imz:nope"], 1, "nope: no such file or directory"),
        (["text", "a.imz"], 1, "text: this is no image"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_wrong_sides_get_one_sentence(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], status: int, said: str
) -> None:
    monkeypatch.chdir(place)
    Path("text").write_text("no image")
    assert main(["image", "diff", *words]) == status
    assert said in capsys.readouterr().err


def test_from_python(place: Path) -> None:
    with bpscript.open_archive(place / "a.imz") as one, bpscript.open_archive(place / "b.imz") as other:
        found = {(each.change, each.path, each.what) for each in one.diff(other)}
        assert found == CHANGES
        assert [each.path for each in one.diff(other, "etc/deep", "etc/deep")] == ["räume"]


# --- verify --against ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["a", "a.imz", "a.img"])
def test_an_incremental_archive_is_compared_with_files(place: Path, capsys: pytest.CaptureFixture[str], target: str) -> None:
    assert main(["image", "verify", str(place / "a.imi"), "--against", str(place / target)]) == 0
    assert f"{place / target} has what {place / 'a.imi'} holds" in capsys.readouterr().out


def test_what_only_the_place_has_is_no_difference(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "verify", str(place / "a.imi"), "--against", f"{place / 'disk.img'}:1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len([each for each in CHANGES if each[0] != "added"])
    assert "- nothing" in lines


def test_what_a_difference_archive_removes_must_be_gone(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = VolumeBase(FolderVolume(place / "a"), "", None)
    volume = FolderVolume(place / "b")
    with HostDestination(tmp_path / "d.imi") as sink:
        write_incremental(sink, volume, base=base)
        sink.commit()
    volume.close()
    assert main(["image", "verify", str(tmp_path / "d.imi"), "--against", str(place / "b")]) == 0
    capsys.readouterr()
    assert main(["image", "verify", str(tmp_path / "d.imi"), "--against", str(place / "a")]) == 1
    assert {"+ nothing", "+ empty", "- newdir"} <= set(capsys.readouterr().out.splitlines())
    assert main(["image", "info", str(tmp_path / "d.imi"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removes"] == 2


def test_a_full_archive_is_compared_with_a_folder_file_by_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "verify", str(place / "a.imz"), "--against", str(place / "a")]) == 1
    assert capsys.readouterr().out == "- lost+found\n"


@pytest.mark.parametrize("name", ["a.imz", "a.imi"])
def test_damage_is_told_with_the_files_it_concerns(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    archive = tmp_path / name
    archive.write_bytes((place / name).read_bytes())
    noise = (place / "a" / "noise").read_bytes()
    flip(archive, archive.read_bytes().index(noise[500_000:500_032]))       # zstd stores as it is what does not shrink
    assert main(["image", "verify", str(archive)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert "noise" in lines[0].partition("): ")[2].split(", ")


def test_damage_is_told_of_the_archive_that_has_it(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "short.imz").write_bytes(b"a")
    good = next(place.glob("*.imz"))
    assert main(["image", "diff", str(good), str(tmp_path / "short.imz")]) == 1
    assert capsys.readouterr().err.startswith(f"bpscript: error: {tmp_path / 'short.imz'}: this is no image of a partition")
