"""ELF files: what readelf says of them we say, too; a program without its symbols still runs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.errors import FormatError
from bpscript.initramfs.elf import dependencies, section, stripped

PROGRAMS = [path for path in (shutil.which(name) for name in ("bash", "tar", "mke2fs", "qemu-system-x86_64")) if path]


@pytest.mark.parametrize("path", [*PROGRAMS, sys.executable])
def test_the_loader_needs_the_same_libraries(path: str) -> None:
    """ldd lists them with those that these need again; ours are among them, and so is the interpreter."""
    found = dependencies(Path(path).read_bytes(), path)
    listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    assert found.needed
    for name in found.needed:
        assert re.search(rf"(^|/|\s){re.escape(name)}\b", listed), (name, listed)
    assert found.interpreter in listed


def test_a_stripped_program_runs_and_is_no_larger(tmp_path: Path) -> None:
    source = Path(shutil.which("bash") or "")
    target = tmp_path / "bash"
    target.write_bytes(stripped(source.read_bytes()))
    target.chmod(0o755)
    assert target.stat().st_size <= source.stat().st_size
    assert subprocess.run([target, "-c", "echo $((6 * 7))"], capture_output=True, text=True, check=True).stdout == "42\n"


def test_what_is_no_program_stays_as_it_is() -> None:
    assert stripped(b"#!/bin/sh\n") == b"#!/bin/sh\n"


def test_a_section_is_found_by_its_name() -> None:
    data = Path(shutil.which("bash") or "").read_bytes()
    assert section(data, ".interp", "bash").rstrip(b"\0").decode() == dependencies(data, "bash").interpreter
    assert section(data, ".nothing", "bash") == b""


@pytest.mark.parametrize("data", [b"", b"MZ", b"\x7fELF\x01\x01" + bytes(100)])
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="x: no ELF file of 64 bits"):
        dependencies(data, "x")


@given(st.data())
def test_damaged_files_are_read_or_refused(data: st.DataObject) -> None:
    """Invariant: any bytes give an answer, or FormatError."""
    whole = Path(shutil.which("bash") or "").read_bytes()[:4096]
    damaged = bytearray(whole[: data.draw(st.integers(6, len(whole)))])
    for _ in range(data.draw(st.integers(0, 8))):
        damaged[data.draw(st.integers(6, max(6, len(damaged) - 1))) % len(damaged)] = data.draw(st.integers(0, 255))
    for work in (lambda: dependencies(bytes(damaged), "x"), lambda: section(bytes(damaged), ".modinfo", "x"), lambda: stripped(bytes(damaged), "x")):
        try:
            work()
        except FormatError as error:
            assert "x: " in error.message  # noqa: PT017 - either is fine
