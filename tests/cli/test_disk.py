"""`bpscript disk`, as a user types it; what it makes is looked at with foreign tools."""

import json
import subprocess
from pathlib import Path

import pytest

from bpscript.cli.main import main
from tests.oracles import run_tool


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "disk.img"
    assert main(["disk", "create", str(path), "200M", "--partitions", "FAT32:64 LINUX-EXT2:64 LINUX-SWAP:*", "--format", "--seed", "t"]) == 0
    return str(path)


def test_create_makes_what_foreign_tools_accept(image: str) -> None:
    done = subprocess.run(["sfdisk", "--verify", image], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run(["e2fsck", "-fn", f"{image}?offset={65 << 20}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    listing = subprocess.run(["mdir", "-i", f"{image}@@1M", "::"], capture_output=True, text=True, check=False)
    assert listing.returncode == 0, listing.stderr


def test_create_refuses_an_existing_file(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(image).read_bytes()[:512]
    assert main(["disk", "create", image, "1M"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert Path(image).read_bytes()[:512] == before
    assert main(["disk", "create", image, "1M", "--force"]) == 0
    assert Path(image).stat().st_size == 1 << 20


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["12X"], 2, "is not a size"),
        (["10M", "--partitions", "FAT32:9000"], 1, "does not fit"),
        (["10M", "--partitions", "NONSENSE:1"], 1, "NONSENSE"),
        (["10M", "--format"], 2, "--format needs --partitions"),
        (["100"], 2, "too small"),
    ],
)
def test_a_refused_create_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, words: str) -> None:
    assert main(["disk", "create", str(tmp_path / "new.img"), *arguments]) == status
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_show_tells_table_systems_and_use(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["disk", "show", image, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [row["filesystem"] for row in facts["partitions"]] == ["FAT32", "EXT4", "SWAP"]
    assert [row["size"] >> 20 for row in facts["partitions"]] == [64, 64, 71]
    assert facts["scheme"] == "MBR"
    assert main(["disk", "show", image]) == 0
    assert "LINUX-SWAP" in capsys.readouterr().out


@pytest.mark.parametrize("number", [1, 2])
def test_files_go_in_and_come_out(image: str, tmp_path: Path, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "some file.txt"
    source.write_bytes(b"contents \xff\n" * 1000)
    place = f"{image}:{number}"
    assert main(["disk", "mkdir", f"{place}/a/b"]) == 0
    assert main(["disk", "put", str(source), f"{place}/a/b/"]) == 0
    assert main(["disk", "put", str(source), f"{place}/other"]) == 0
    capsys.readouterr()
    assert main(["disk", "tree", place]) == 0
    tree = capsys.readouterr().out
    assert "a/\n  b/\n    some file.txt\n" in tree
    assert main(["disk", "ls", f"{place}/a/b", "--json"]) == 0
    assert [(e["name"], e["size"]) for e in json.loads(capsys.readouterr().out)] == [("some file.txt", 11000)]
    assert main(["disk", "get", f"{place}/a/b/some file.txt", str(tmp_path / "back")]) == 0
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert main(["disk", "rm", f"{place}/a"]) == 1
    assert "-r removes" in capsys.readouterr().err
    assert main(["disk", "rm", "-r", f"{place}/a"]) == 0
    assert main(["disk", "rm", f"{place}/a"]) == 1
    assert "no such file" in capsys.readouterr().err
    assert main(["disk", "check", place]) == 0


def test_directories_go_in_and_come_out(image: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "x").write_text("x")
    (tree / "y").write_text("y")
    assert main(["disk", "put", str(tree), f"{image}:2/"]) == 0
    assert main(["disk", "get", f"{image}:2/tree", str(tmp_path / "out")]) == 0
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*")) == ["sub", "sub/x", "y"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["ls", "IMG"], 2, "no partition given"),
        (["ls", "IMG:9"], 1, "no partition 9"),
        (["ls", "IMG:3"], 1, "SWAP"),
        (["cat", "IMG:1/nothing"], 1, "nothing"),
        (["put", "/no/such/file", "IMG:1/"], 2, "no such file"),
        (["rm", "IMG:1"], 2, "root directory"),
        (["show", "/no/such.img"], 2, "no such image"),
    ],
)
def test_refusals_are_one_sentence(image: str, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, words: str) -> None:
    assert main(["disk", *(word.replace("IMG", image) for word in arguments)]) == status
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert error.startswith("bpscript: error: ")


def test_a_damaged_volume_is_reported(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    with open(image, "r+b") as file:
        file.seek((1 << 20) + 32 * 512 + 400)      # the entry of cluster 100 in the first FAT: no longer what the second says
        file.write(b"\xff\xff\xff\x0f")
    assert main(["disk", "check", f"{image}:1"]) == 1
    assert capsys.readouterr().out != ""


def test_an_ntfs_volume_is_shown_with_label_serial_number_and_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, part = tmp_path / "d.img", tmp_path / "part"
    assert main(["disk", "create", str(image), "40M", "--partitions", "NTFS:30"]) == 0
    with part.open("wb") as file:
        file.truncate(30 << 20)
    run_tool(["mkntfs", "-F", "-Q", "-q", "-p", "2048", "-H", "255", "-S", "63", "-L", "Windows", part])
    with image.open("r+b") as file:
        file.seek(1 << 20)
        file.write(part.read_bytes())
    assert main(["disk", "show", str(image), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["partitions"]
    assert (row["filesystem"], row["label"]) == ("NTFS", "Windows")
    assert row["id"] == part.read_bytes()[0x48:0x50][::-1].hex().upper()
    assert 0 < row["used"] < 30 << 20
