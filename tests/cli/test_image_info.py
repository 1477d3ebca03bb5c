"""`bpscript image info`, as a user types it."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bpscript.cli.main import main
from tests.cli.images import captured, ext_image, fat_image, make_tree, packed

MANUAL = (Path(__file__).parent.parent.parent / "docs" / "manual.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("info")
    tree = make_tree(folder / "tree")
    captured(ext_image(folder / "ext.img", tree), folder / "ext.imz")
    captured(fat_image(folder / "fat.img", tree), folder / "cut.imz", fragment_size=600_000)
    packed(tree, folder / "files.imi")
    return folder


def info(capsys: pytest.CaptureFixture[str], name: Path | str) -> dict[str, object]:
    assert main(["image", "info", str(name), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_a_full_archive_says_what_the_partition_was(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = info(capsys, place / "ext.imz")
    dump = subprocess.run(["dumpe2fs", "-h", place / "ext.img"], capture_output=True, text=True, check=True).stdout
    facts = dict(line.split(":", 1) for line in dump.splitlines() if ":" in line)
    assert (found["kind"], found["filesystem"], found["label"], found["size"]) == ("full", "EXT4", "model", 32 << 20)
    assert found["id"] == facts["Filesystem UUID"].strip()
    free = int(facts["Free blocks"]) * int(facts["Block size"])
    assert (32 << 20) - free == found["used"]
    assert found["stored"] == (place / "ext.imz").stat().st_size
    assert found["created_ns"] == 1_700_000_000_000_000_000


def test_fragments_are_counted(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = sorted(place.glob("cut.imz*"))
    found = info(capsys, place / "cut.imz")
    assert len(parts) > 1
    assert (found["fragments"], found["stored"]) == (len(parts), sum(part.stat().st_size for part in parts))
    assert (found["filesystem"], found["label"]) == ("FAT32", "MODEL")


def test_an_incremental_archive_counts_its_files(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = subprocess.run(["tar", "--zstd", "-tf", place / "files.imi"], capture_output=True, text=True, check=True).stdout.splitlines()
    found = info(capsys, place / "files.imi")
    assert (found["kind"], found["entries"]) == ("incremental", len(listed))
    assert found["used"] == 256 * 12_000 + 3 + 1_500_000 + 30 + 6


def test_a_raw_image_is_foreign(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = info(capsys, place / "ext.img")
    assert (found["kind"], found["filesystem"], found["root"], found["chunks"]) == ("foreign", "EXT4", None, None)
    assert found["format"] == "raw image"
    subprocess.run(["zstd", "-q", place / "ext.img", "-o", place / "ext.img.zst"], check=True)
    packed_image = info(capsys, place / "ext.img.zst")
    assert (packed_image["format"], packed_image["size"], packed_image["id"]) == ("image packed by zstd", found["size"], found["id"])


@pytest.mark.parametrize("name", ["ext.imz", "files.imi"])
def test_a_pipe_says_the_same(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    command = f"cat {place / name} | {sys.executable} -m bpscript image info - --json"
    piped = subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout
    assert json.loads(piped) == info(capsys, place / name)


def test_every_key_of_the_json_is_in_the_manual(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chapter = MANUAL.partition("### `image info --json`")[2].partition("\n## ")[0]
    assert [key for key in info(capsys, place / "ext.imz") if f"`{key}`" not in chapter] == []


def test_people_read_lines(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "info", str(place / "ext.imz")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f'{place / "ext.imz"}: full archive of EXT4 "model"'
    assert "  created   2023-11-14 22:13:20 UTC" in lines


@pytest.mark.parametrize(
    ("make", "status", "words"),
    [
        (lambda path: None, 2, "no such file"),
        (lambda path: path.mkdir(), 2, "is a directory"),
        (lambda path: path.write_bytes(b""), 1, "no image"),
        (lambda path: path.write_bytes(b"hello\n"), 1, "no image of a partition"),
        (lambda path: path.write_bytes(b"PK\3\4" + bytes(508)), 1, "a zip archive"),
        (lambda path: subprocess.run(["tar", "-cf", path, __file__], check=True, stderr=subprocess.DEVNULL), 1, "a tar archive of files"),
    ],
    ids=["missing", "directory", "empty", "text", "zip", "tar"],
)
def test_what_is_no_archive_gets_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], make: object, status: int, words: str) -> None:
    assert callable(make)
    make(tmp_path / "x.imz")
    assert main(["image", "info", str(tmp_path / "x.imz")]) == status
    said = capsys.readouterr().err
    assert words in said
    assert "x.imz" in said
    assert len([line for line in said.splitlines() if line.startswith("bpscript: error: ")]) == 1


@pytest.mark.parametrize("keep", [11, 40, 5000, -1, -9, -40])
def test_a_truncated_archive_is_refused(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], keep: int) -> None:
    (tmp_path / "x.imz").write_bytes((place / "ext.imz").read_bytes()[:keep])
    assert main(["image", "info", str(tmp_path / "x.imz")]) == 1
    assert capsys.readouterr().err.startswith(f"bpscript: error: {tmp_path / 'x.imz'}: ")


def test_a_truncated_pipe_is_refused(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Input:
        buffer = io.BufferedReader(io.BytesIO((place / "ext.imz").read_bytes()[:-1]))

    monkeypatch.setattr(Input.buffer, "seekable", lambda: False, raising=False)
    monkeypatch.setattr(sys, "stdin", Input)
    assert main(["image", "info", "-"]) == 1
    assert "standard input" in capsys.readouterr().err
