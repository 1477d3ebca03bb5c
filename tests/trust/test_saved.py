"""`run --plan`: refused, with the reason, when anything the plan was made of is different."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bpscript.cli.main import main
from tests.trust.images import digest

Change = Callable[[Path], None]
MIB = 1 << 20
ARGUMENTS = ["s.bpb", "--disk", "disk.img", "--set", "BOOTP-Host-Name=pc7", "--set", "password=geheim", "--keys", "justdoit\r", "--seed", "x"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "first.bpb").write_text('setpartitions "bigdos:20 linux-ext2:30"\nclean "1 2"\ncopy "in.txt" "{:1}/here"\ncopy "in.txt" "{:2}/here"\ncopy "large" "{:2}/large"\n')
    (tmp_path / "large").write_bytes(b"large" * (MIB // 2))
    (tmp_path / "in.txt").write_text("in" * 900)
    (tmp_path / "more.bpb").write_text('set more = "yes"\n')
    (tmp_path / "s.bpb").write_text(
        'getpasswd p\ninclude "more.bpb"\nif exist "other" echo "other"\nif exist "{:2}/here" copy "in.txt" "{:2}/there"\ncopy "in.txt" "{:1}/there"\n'
    )
    assert main(["run", "first.bpb", "--disk", "disk.img:60M"]) == 0
    assert main(["plan", *ARGUMENTS, "--save", "the.plan"]) == 0
    return tmp_path


def test_a_plan_that_fits_is_carried_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--plan", "the.plan", *ARGUMENTS]) == 0
    capsys.readouterr()
    assert main(["disk", "ls", "disk.img:2"]) == 0
    assert "there" in capsys.readouterr().out


def test_a_plan_holds_no_password(folder: Path) -> None:
    kept = (folder / "the.plan").read_text()
    assert "justdoit" not in kept
    assert "geheim" not in kept
    assert (folder / "the.plan").stat().st_mode & 0o777 == 0o600


def on_disk(script: str) -> Change:
    def change(folder: Path) -> None:
        (folder / "change.bpb").write_text(script)
        assert main(["run", "change.bpb", "--disk", "disk.img"]) == 0

    return change


def write(name: str, text: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).write_text(text)

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (write("s.bpb", 'echo "x"\n'), "the script s.bpb changed"),
        (write("more.bpb", 'set more = "no"\n'), 'the file "more.bpb" changed'),
        (write("in.txt", "in" * 899 + "xx"), 'the file "in.txt" changed'),
        (lambda folder: (folder / "in.txt").unlink(), 'the file "in.txt" is gone'),
        (write("other", ""), 'the file "other" was not there'),
        (on_disk('setpartitions "bigdos:20 linux-ext2:31"\n'), "disk 0 (disk.img) changed: the partition table"),
        (on_disk("setbootpart 1\n"), "disk 0 (disk.img) changed: the partition table"),
        (on_disk('clean 2\n'), "disk 0 (disk.img) changed: partition 2"),
        (on_disk('copy "in.txt" "{:1}/new"\n'), "disk 0 (disk.img) changed: partition 1"),
        (on_disk('copy "in.txt" "{:2}/here"\n'), "disk 0 (disk.img) changed: partition 2"),
        (on_disk('delete "{:2}/here"\n'), "disk 0 (disk.img) changed: partition 2"),
        (lambda folder: (folder / "disk.img").open("ab").truncate(61 * MIB), "has 63963136 bytes, not 62914560"),
    ],
    ids=["script", "include", "input", "no input", "appears", "table", "flag", "format", "fat file", "ext file", "removed", "size"],
)
def test_what_changed_is_named(folder: Path, change: Change, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    change(folder)
    before = digest(folder / "disk.img")
    capsys.readouterr()
    assert main(["run", "--plan", "the.plan", *ARGUMENTS]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert "nothing was written; make the plan again" in error
    assert digest(folder / "disk.img") == before


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("BOOTP-Host-Name=pc7", "BOOTP-Host-Name=pc8", "the variable bootp-host-name differs"),
        ("password=geheim", "password=anders", "the variable password differs"),
        ("password=geheim", "y=1", "the variable password is not set now; the variable y is set now"),
        ("justdoit\r", "justdoit", "--keys differs"),
        ("x", "y", "--seed differs"),
        ("disk.img", "other.img:60M", "disk 0 (other.img) changed"),
    ],
)
def test_other_options_are_refused(folder: Path, old: str, new: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [new if each == old else each for each in ARGUMENTS]
    assert arguments != ARGUMENTS
    assert main(["run", "--plan", "the.plan", *arguments]) == 1
    assert words in capsys.readouterr().err
    assert not (folder / "other.img").exists(), "an image that was made for a run that is refused goes again"


def test_contents_that_nobody_looks_at_do_not_count(folder: Path) -> None:
    """The data of a file that is neither read nor replaced may differ: nothing the plan says depends on it."""
    with (folder / "disk.img").open("r+b") as image:
        data = image.read()
        at = data.index(b"large" * 1000, 21 * MIB) + MIB
        image.seek(at)
        image.write(b"LARGE" * 900)
    assert main(["run", "--plan", "the.plan", *ARGUMENTS]) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "it is not JSON"), ("[]", "is no plan"), ('{"format": "bpscript plan", "version": 9}', "version 9 of its format"), (None, "is damaged")],
)
def test_what_is_no_plan_is_refused(folder: Path, text: str | None, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    if text is None:
        kept = json.loads((folder / "the.plan").read_text())
        kept["disks"] = [{"size": 60 * MIB}]
        text = json.dumps(kept)
    (folder / "the.plan").write_text(text)
    assert main(["run", "--plan", "the.plan", *ARGUMENTS]) == 1
    assert words in capsys.readouterr().err


def test_no_plan_is_a_wrong_argument(folder: Path) -> None:
    assert main(["run", "--plan", "nowhere.plan", *ARGUMENTS]) == 2
    assert main(["plan", *ARGUMENTS, "--save", "no/such/folder"]) == 2


def test_a_plan_of_another_format_is_told_from_one_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.bpb").write_text('echo "x"\n')
    assert main(["plan", "s.bpb", "--save", "good"]) == 0
    kept = json.loads(Path("good").read_text())
    for key, value, words in (("version", 9, "version 9 of its format; this program knows version 1"), ("bpscript", "0.0.1", "was made by bpscript 0.0.1")):
        Path("other").write_text(json.dumps({**kept, key: value}))
        capsys.readouterr()
        assert main(["run", "s.bpb", "--plan", "other"]) == 1
        assert words in capsys.readouterr().err
