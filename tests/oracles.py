"""Foreign judges: programs of other people that read what we wrote, or write what we read.

A missing program skips the test with its name; in continuous integration (CI set) it fails, because there a skipped judge
would look like a pass.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest


def need(program: str) -> str:
    """The path of a program; skips the test when it is missing, fails it in continuous integration."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin" + os.pathsep + "/sbin")
    if found is None:
        words = f"{program} is not installed"
        if os.environ.get("CI"):
            pytest.fail(words)
        pytest.skip(words)
    return found


def run_tool(
    args: Sequence[str | Path], *, input_text: str | None = None, ok: Sequence[int] | None = (0,), timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a program; an exit status outside `ok` (None: any is fine) fails the test with the program's own words."""
    command = [need(str(args[0])), *map(str, args[1:])]
    result = subprocess.run(
        command, input=input_text, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8", "MTOOLS_SKIP_CHECK": "1"},
    )
    if ok is not None and result.returncode not in ok:
        words = "\n".join(filter(None, (result.stdout.strip(), result.stderr.strip())))
        pytest.fail(f"{' '.join(map(str, args))}: exit status {result.returncode}\n{words}")
    return result


# FAT


def cut_out(image: Path, offset: int, size: int | None = None) -> Path:
    """A partition as a file of its own beside the image, for programs that know no offset (holes stay holes)."""
    part = image.with_name(f"{image.name}.at{offset}")
    with image.open("rb") as source, part.open("wb") as target:
        source.seek(offset)
        left = image.stat().st_size - offset if size is None else size
        while left:
            block = source.read(min(1 << 20, left))
            if not block:
                break
            if block.count(0) == len(block):
                target.seek(len(block), os.SEEK_CUR)
            else:
                target.write(block)
            left -= len(block)
        target.truncate()
    return part


def fsck_fat(path: Path, offset: int = 0) -> None:
    """`fsck.fat -n` finds nothing to say against the volume."""
    if offset:
        path = cut_out(path, offset)
    result = run_tool(["fsck.fat", "-n", path], ok=None)
    assert result.returncode == 0, f"fsck.fat -n {path}:\n{result.stdout}{result.stderr}"


def mkfs_fat(path: Path, size: int, *options: str) -> Path:
    """An image of `size` bytes with a volume made by mkfs.fat; `options` as on its command line."""
    with path.open("wb") as image:
        image.truncate(size)
    run_tool(["mkfs.fat", *options, path])
    return path


def mtools(path: Path, program: str, *args: str | Path, offset: int = 0) -> str:
    """What an mtools program (mdir, mcopy, mtype, ...) prints; paths on the volume are written `::/path`."""
    return run_tool([program, "-i", f"{path}@@{offset}" if offset else path, *args]).stdout


def mtools_tree(path: Path, folder: Path, offset: int = 0) -> dict[str, bytes]:
    """Every file of a volume as mtools reads it (copied into `folder`), by path."""
    folder.mkdir(parents=True, exist_ok=True)
    mtools(path, "mcopy", "-s", "-n", "-p", "-Q", "::", folder, offset=offset)
    return {str(found.relative_to(folder)): found.read_bytes() for found in sorted(folder.rglob("*")) if found.is_file()}


# Partition tables


def sfdisk(path: Path, script: str, *options: str) -> None:
    """Let sfdisk write a table from its script language."""
    run_tool(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", *options, path], input_text=script)


def sfdisk_table(path: Path, *options: str) -> dict[str, Any]:
    """What sfdisk reads: `label`, `id`, and `partitions` with `node`, `start` and `size` in sectors, `type`."""
    words = run_tool(["sfdisk", *options, "-J", path]).stdout
    table = {"partitions": [], **json.loads(words[words.index("{") :])["partitiontable"]}   # remarks may come first
    assert isinstance(table, dict)
    return table


def sfdisk_verify(path: Path, *options: str) -> None:
    """`sfdisk --verify` finds no error in the table."""
    result = run_tool(["sfdisk", *options, "--verify", path], ok=None)
    words = result.stdout + result.stderr
    assert result.returncode == 0, words
    assert "No errors detected" in words, words


def sgdisk_verify(path: Path) -> None:
    """`sgdisk -v` finds no problem in either copy of the GPT."""
    result = run_tool(["sgdisk", "-v", path], ok=None)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "No problems found" in result.stdout, result.stdout


def parted(path: Path, *commands: str) -> str:
    """What parted prints after its commands (sectors as unit, machine-readable)."""
    return run_tool(["parted", "--script", "--machine", path, "unit", "s", *commands]).stdout


def fdisk(path: Path, sector_size: int, *keys: str) -> str:
    """What fdisk says when these keys are typed; it can be told the sector size, which sfdisk cannot."""
    return run_tool(["fdisk", "-b", str(sector_size), path], input_text="\n".join([*keys, "q", ""])).stdout


def fdisk_rows(path: Path, sector_size: int) -> list[tuple[int, int]]:
    """Start and size in bytes of what fdisk lists; fails when its own verification finds an error."""
    verdict = fdisk(path, sector_size, "v")
    assert "No errors detected" in verdict or "Header version: 1.0" in verdict, verdict
    words = run_tool(["fdisk", "-b", str(sector_size), "-l", "-o", "Start,Sectors", path]).stdout
    rows = [line.split() for line in words[words.index("Start") :].splitlines()[1:] if line.strip()]
    return [(int(start) * sector_size, int(count) * sector_size) for start, count in rows]


# ext2, ext3, ext4


def e2fsck(path: Path, offset: int = 0) -> None:
    """`e2fsck -fn` finds nothing to say against the volume."""
    result = run_tool(["e2fsck", "-f", "-n", f"{path}?offset={offset}"], ok=None)
    assert result.returncode == 0, f"e2fsck -fn {path}:\n{result.stdout}{result.stderr}"


def mke2fs(path: Path, size: int, *options: str | Path) -> Path:
    """An image of `size` bytes with a volume made by mke2fs; `options` as on its command line."""
    with path.open("wb") as image:
        image.truncate(size)
    run_tool(["mke2fs", "-q", "-F", *options, path])
    return path


def debugfs(path: Path, *requests: str, offset: int = 0) -> str:
    """What debugfs prints for its requests, one after the other; it only reads."""
    return run_tool(["debugfs", "-f", "-", f"{path}?offset={offset}"], input_text="\n".join(requests)).stdout


def debugfs_tree(path: Path, folder: Path, offset: int = 0) -> dict[str, bytes]:
    """Every file of a volume as debugfs reads it (copied into `folder`), by path."""
    folder.mkdir(parents=True, exist_ok=True)
    run_tool(["debugfs", "-R", f"rdump / {folder}", f"{path}?offset={offset}"])
    return {str(found.relative_to(folder)): found.read_bytes() for found in sorted(folder.rglob("*")) if found.is_file() and not found.is_symlink()}
