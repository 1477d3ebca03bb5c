"""`bpscript boot build`: what is wrong is one sentence, and nothing is written."""

import os
from pathlib import Path

import pytest

from bpscript.cli.main import main


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    path = tmp_path / "vmlinuz"
    path.write_bytes(b"kernel")
    (tmp_path / "modules").mkdir()
    return path


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        (["--kernel", "{tmp}/vmlinuz"], 2, "--kernel and --modules go together"),
        (["--kernel", "{tmp}/none", "--modules", "{tmp}/modules"], 2, "no such kernel"),
        (["--kernel", "{tmp}/vmlinuz", "--modules", "{tmp}/none"], 2, "no such folder of modules"),
        (["--kernel", "{tmp}/vmlinuz", "--modules", "{tmp}/modules"], 1, "no kernel modules"),
        (["--ipxe", "{tmp}"], 2, "no undionly.kpxe in it"),
        (["--raspberry-pi", "{tmp}"], 2, "does not run what is made for this kind of machine" if os.uname().machine != "aarch64" else "no start*.elf in it"),
        (["--raspberry-pi", "{tmp}", "--architecture", "arm64"], 2, "no start*.elf in it"),
        (["--firmware", "{tmp}/none"], 2, "no such folder"),
        (["--ca", "{tmp}/vmlinuz"], 2, "no certificates in it"),
        (["--append", "a${b}"], 2, "one line without ${ is expected"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    tmp_path: Path, kernel: Path, capsys: pytest.CaptureFixture[str], options: list[str], status: int, sentence: str
) -> None:
    assert main(["boot", "build", str(tmp_path / "out"), *(each.format(tmp=tmp_path) if "{tmp}" in each else each for each in options)]) == status
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder(tmp_path: Path, kernel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", "build", str(kernel)]) == 2
    assert "is not a folder" in capsys.readouterr().err
    assert kernel.read_bytes() == b"kernel"


@pytest.mark.parametrize("level", ["0", "23", "fast"])
def test_a_level_is_checked(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["boot", "build", "out", "--level", level])
    assert "expected 1 to 22" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", "build", "/proc/boot"]) == 2
    assert "/proc/boot: cannot be written: /proc: " in capsys.readouterr().err
