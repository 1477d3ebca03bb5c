"""`bpscript boot build`: what is wrong is one sentence, and nothing is written."""

import os
import struct
from pathlib import Path

import pytest

from bpscript.cli.main import main
from tests.initramfs.test_modules import module
from tests.machine.workstation.recorded import bzimage

RELEASE = "6.1.0-a"


def kernel_of(release: str) -> bytes:
    """A kernel that says which it is (boot.rst: the text is that far behind byte 0x200)."""
    image = bytearray(bzimage(f"{release} (a@b) #1".encode()))
    struct.pack_into("<H", image, 0x20E, 4096 - 0x200)
    return bytes(image)


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    path = tmp_path / "vmlinuz"
    path.write_bytes(kernel_of(RELEASE))
    (tmp_path / "modules").mkdir()
    (tmp_path / "others" / "kernel").mkdir(parents=True)
    (tmp_path / "others" / "kernel" / "net.ko").write_bytes(module(vermagic="6.1.0-b SMP preempt mod_unload "))
    return path


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        (["--kernel", "{tmp}/vmlinuz"], 2, "--kernel and --modules go together"),
        (["--kernel", "{tmp}/none", "--modules", "{tmp}/modules"], 2, "no such kernel"),
        (["--kernel", "{tmp}/vmlinuz", "--modules", "{tmp}/none"], 2, "no such folder of modules"),
        (["--kernel", "{tmp}/vmlinuz", "--modules", "{tmp}/modules"], 1, "no kernel modules"),
        (["--kernel", "{tmp}/others/kernel/net.ko", "--modules", "{tmp}/others"], 1, "is no Linux kernel"),
        (["--kernel", "{tmp}/vmlinuz", "--modules", "{tmp}/others", "--architecture", "amd64"], 2, "others: made for kernel 6.1.0-b, but --kernel {tmp}/vmlinuz is 6.1.0-a"),
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
    assert sentence.replace("{tmp}", str(tmp_path)) in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder(tmp_path: Path, kernel: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", "build", str(kernel)]) == 2
    assert "is not a folder" in capsys.readouterr().err
    assert kernel.read_bytes() == kernel_of(RELEASE)


@pytest.mark.parametrize("level", ["0", "23", "fast"])
def test_a_level_is_checked(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["boot", "build", "out", "--level", level])
    assert "expected 1 to 22" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", "build", "/proc/boot"]) == 2
    assert "/proc/boot: cannot be written: /proc: " in capsys.readouterr().err
