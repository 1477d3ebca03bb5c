"""`bpscript image squash`: one archive holds what a base and its differences leave when they are applied one after the other."""

import shutil
import subprocess
from pathlib import Path

import pytest

import bpscript
from bpscript.cli.main import main
from bpscript.filesystems.filesystem import Filesystem
from tests.archive.test_difference import JUDGES, START, archive_at, blank, change, facts, fill, look, put, run, volume

_ZIPS = {"full": 'FullZip "{:1}/" "base.arc"\n', "incremental": 'IncrZip "{:1}/" "base.arc"\n'}
_UNZIPS = {"full": 'FullUnzip "%s" 1\n', "incremental": 'IncrUnzip "%s" 1\n'}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def change_again(target: Filesystem, *, unix: bool) -> None:
    put(target, "change/content", b"third")
    put(target, "keep/05", b"fifth")
    target.remove("change/type/inside")
    target.make_dir("late")
    put(target, "late/file", bytes(200_000) + b"!")
    if unix:
        target.make_hard_link("late/link", "late/file")     # type: ignore[attr-defined]
        target.remove("keep/two")                           # the name that has the contents in the base
        target.set_facts("late", facts(target.stat("late").kind, mode=0o700))


def scene(folder: Path, kind: str, base: str) -> None:
    """base.arc, and one.arc and two.arc made against it, of source.img."""
    source = blank(folder, "source.img", kind)
    opened = volume(source)
    fill(opened, unix=kind == "ext4")
    opened.close()
    run(folder, _ZIPS[base], "source.img")
    for name, work in (("one", change), ("two", change_again)):
        opened = volume(source)
        work(opened, unix=kind == "ext4")
        opened.close()
        run(folder, f'Set Base-Archive = "base.arc"\nIncrZip "{{:1}}/" "{name}.arc"\n', "source.img")


@pytest.mark.parametrize("base", ["full", "incremental"])
@pytest.mark.parametrize("kind", ["ext4", "fat"])
def test_the_outcome_is_what_applying_leaves(kind: str, base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene(tmp_path, kind, base)
    blank(tmp_path, "applied.img", kind)
    run(tmp_path, _UNZIPS[base] % "base.arc" + 'IncrUnzip "one.arc" 1\nIncrUnzip "two.arc" 1\n', "applied.img")
    assert main(["image", "squash", "base.arc", "one.arc", "two.arc", "squashed.arc"]) == 0
    root = archive_at(tmp_path / "squashed.arc").table.root.hex()     # type: ignore[union-attr]
    assert f"root hash {root}" in capsys.readouterr().out
    blank(tmp_path, "target.img", kind)
    run(tmp_path, _UNZIPS[base] % "squashed.arc", "target.img")
    assert look(tmp_path / "target.img") == look(tmp_path / "applied.img")
    JUDGES[kind](tmp_path / "target.img", START)
    assert main(["image", "verify", "squashed.arc"]) == 0
    assert main(["image", "squash", "--threads", "1", "base.arc", "one.arc", "two.arc", "again.arc"]) == 0
    assert (tmp_path / "again.arc").read_bytes() == (tmp_path / "squashed.arc").read_bytes()


@pytest.mark.parametrize("kind", ["ext4", "fat"])
def test_squashing_the_latest_difference_is_what_incrzip_makes(kind: str, tmp_path: Path) -> None:
    """Byte for byte, but for the header: every file once, in the order of a walk."""
    scene(tmp_path, kind, "incremental")
    run(tmp_path, 'IncrZip "{:1}/" "whole.arc"\n', "source.img")
    assert main(["image", "squash", "base.arc", "two.arc", "squashed.arc"]) == 0
    contents = [subprocess.run(["zstd", "-dc", name], capture_output=True, check=True).stdout for name in ("whole.arc", "squashed.arc")]
    assert contents[0] == contents[1]


def test_chunks_that_no_difference_touched_are_taken_over(tmp_path: Path) -> None:
    scene(tmp_path, "ext4", "full")
    assert main(["image", "squash", "--level", "19", "base.arc", "two.arc", "squashed.arc"]) == 0
    base, squashed = (archive_at(tmp_path / name).table for name in ("base.arc", "squashed.arc"))
    assert base is not None
    assert squashed is not None
    old = {bytes(base.entries[at : at + 52]) for at in range(0, len(base.entries), 52)}
    new = [bytes(squashed.entries[at : at + 52]) for at in range(0, len(squashed.entries), 52)]
    assert len([entry for entry in new if entry in old]) > len(new) // 4


def test_where_it_comes_from_is_noted(tmp_path: Path) -> None:
    scene(tmp_path, "fat", "incremental")
    bpscript.squash("base.arc", ["one.arc", "two.arc"], "squashed.arc")
    archives = [archive_at(tmp_path / name) for name in ("base.arc", "one.arc", "two.arc", "squashed.arc")]
    roots = [archive.table.root.hex() for archive in archives if archive.table is not None]
    assert archives[3].header.meta["squashed"] == {"base": roots[0], "differences": roots[1:3]}


def test_a_difference_of_another_base_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_text("a")
    run(tmp_path, 'IncrZip "tree" "base.imi"\nSet Base-Archive = "base.imi"\nIncrZip "tree" "one.imi"\n')
    (tmp_path / "tree" / "a").write_text("b")
    run(tmp_path, 'IncrZip "tree" "other.imi"\n')
    (tmp_path / "out.imi").write_text("what was there")
    assert main(["image", "squash", "other.imi", "one.imi", "out.imi"]) == 1
    words = capsys.readouterr().err
    assert "one.imi was made against another archive than other.imi: it names the root hash " in words
    assert (tmp_path / "out.imi").read_text() == "what was there"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("one.imi", "one.imi"), "one.imi is a difference archive itself"),
        (("base.imi", "base.imi"), "base.imi is no difference archive: it was made without $Base-Archive"),
        (("base.imi", "text"), "text: not an archive"),
        (("base.imi", "missing.imi"), "missing.imi: no such file"),
    ],
    ids=["difference-as-base", "no-difference", "no-archive", "missing"],
)
def test_what_cannot_be_squashed_is_refused(names: tuple[str, str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "text").write_text("no archive, but longer than the header of one would be")
    run(tmp_path, 'IncrZip "tree" "base.imi"\nSet Base-Archive = "base.imi"\nIncrZip "tree" "one.imi"\n')
    assert main(["image", "squash", *names, "out.imi"]) in {1, 2}
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*out*"))


def test_a_directory_in_which_something_is_left_stays(tmp_path: Path) -> None:
    """The second difference knows nothing of what the first one added: IncrUnzip leaves that, and so does squashing."""
    tree, other = tmp_path / "tree", tmp_path / "other"
    (tree / "d").mkdir(parents=True)
    (tree / "d" / "a").write_text("a")
    (tree / "e").write_text("e")
    (tree / "d").chmod(0o750)
    run(tmp_path, 'IncrZip "tree" "base.imi"\n')
    (tree / "d" / "b").write_text("b")
    run(tmp_path, 'Set Base-Archive = "base.imi"\nIncrZip "tree" "one.imi"\n')
    shutil.rmtree(tree / "d")
    run(tmp_path, 'Set Base-Archive = "base.imi"\nIncrZip "tree" "two.imi"\n')
    assert main(["image", "squash", "base.imi", "one.imi", "two.imi", "out.imi"]) == 0
    found = []
    for archives in (("base.imi", "one.imi", "two.imi"), ("out.imi",)):
        other.mkdir()
        run(tmp_path, "".join(f'IncrUnzip "{name}" "other"\n' for name in archives))
        found.append(sorted((str(path.relative_to(other)), oct(path.stat().st_mode)) for path in other.rglob("*")))
        shutil.rmtree(other)
    assert found[0] == found[1]
    assert found[0][:2] == [("d", "0o40750"), ("d/b", "0o100644")]
