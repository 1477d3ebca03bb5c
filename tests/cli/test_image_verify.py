"""`bpscript image verify`, as a user types it."""

import subprocess
import sys
from pathlib import Path

import pytest

from bpscript.cli.main import main
from tests.cli.images import captured, ext_image, flip, make_tree, packed


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    tree = make_tree(folder / "tree")
    captured(ext_image(folder / "ext.img", tree), folder / "ext.imz")
    packed(tree, folder / "files.imi")
    return folder


@pytest.mark.parametrize("name", ["ext.imz", "files.imi", "ext.img"])
def test_what_is_whole_is_said_to_be(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["image", "verify", str(place / name)]) == 0
    assert capsys.readouterr().out.startswith(f"{place / name}: everything ")


@pytest.mark.parametrize("name", ["ext.imz", "files.imi"])
def test_a_pipe_is_checked(place: Path, name: str) -> None:
    command = f"cat {place / name} | {sys.executable} -m bpscript image verify -"
    assert "everything was decoded" in subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", ["ext.imz", "files.imi"])
def test_every_damaged_chunk_is_named(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    archive = tmp_path / name
    archive.write_bytes((place / name).read_bytes())
    size = archive.stat().st_size
    flip(archive, size // 4, size * 3 // 4)     # both in the noise, which does not shrink
    assert main(["image", "verify", str(archive)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("archive chunk at " in line and "(bytes " in line for line in lines)


def test_a_damaged_pipe_is_found(place: Path, tmp_path: Path) -> None:
    archive = tmp_path / "x.imz"
    archive.write_bytes((place / "ext.imz").read_bytes())
    flip(archive, archive.stat().st_size // 2)
    command = f"cat {archive} | {sys.executable} -m bpscript image verify -"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "archive chunk at " in done.stdout


def test_a_partition_that_is_the_same(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "verify", str(place / "ext.imz"), "--against", str(place / "ext.img")]) == 0
    assert f"{place / 'ext.img'} is what {place / 'ext.imz'} holds" in capsys.readouterr().out


def test_sectors_that_differ_are_named(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "changed.img"
    image.write_bytes((place / "ext.img").read_bytes())
    data = image.read_bytes()
    at = data.index(bytes(range(256)) * 8) // 4096 * 4096 + 8192
    flip(image, at + 700, at + 1030, at + 100_000)
    assert main(["image", "verify", str(place / "ext.imz"), "--against", str(image)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"bytes {at + 512} to {at + 1536} differ (1 KB)",
        f"bytes {(at + 100_000) // 512 * 512} to {(at + 100_000) // 512 * 512 + 512} differ (512 B)",
    ]


def test_another_size_is_refused(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "small.img").write_bytes(bytes(1 << 20))
    assert main(["image", "verify", str(place / "ext.imz"), "--against", str(tmp_path / "small.img")]) == 1
    assert "is of a partition of 33554432 bytes, this one has 1048576" in capsys.readouterr().err
