"""Partitions to measure imaging with: ext4, FAT32 and NTFS, filled with parts of /usr by programs that are not ours.

They are kept in the working folder and used again when they are there.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bpscript.base.clock import Clock
from bpscript.blocks.file import FileDevice
from bpscript.filesystems.detect import open_volume

ROOT = Path(__file__).parent.parent.parent
ROOTS = ("/usr/share", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/bin", "/usr/include", "/usr/lib")
KINDS = ("ext4", "fat32", "ntfs")
_AGED = 8                   # every eighth file is removed again
_FAT_FILES = 4000           # files of a directory; FAT ends at 65,536 slots, and long names take several
_NOT_ON_FAT = frozenset('"*:<>?\\|')


@dataclass(frozen=True)
class Volume:
    """A raw partition image, and what is in it (bytes in files)."""

    kind: str
    image: Path
    files: int
    content: int

    @property
    def size(self) -> int:
        """Bytes of the partition."""
        return self.image.stat().st_size


def volume(kind: str, work: Path, mebibytes: int) -> Volume:
    """A partition with about `mebibytes` of files, twice as large; made if it is not in `work` yet. Raises SystemExit without its tools."""
    image = work / f"{kind}-{mebibytes}.raw"
    facts = image.with_suffix(".json")
    if not facts.exists():
        tree = system_tree(work, mebibytes * _AGED // (_AGED - 1), for_fat=kind == "fat32")
        image.unlink(missing_ok=True)
        with image.open("wb") as file:
            os.truncate(file.fileno(), 2 * mebibytes << 20)
        {"ext4": _fill_ext4, "fat32": _fill_fat32, "ntfs": _fill_ntfs}[kind](image, tree)
        kept = kept_files(tree)
        facts.write_text(json.dumps({"files": len(kept), "content": sum(path.stat().st_size for path in kept)}))
    return Volume(kind, image, **json.loads(facts.read_text()))


def kept_files(tree: Path) -> list[Path]:
    """The files of a tree that are on its volume."""
    return sorted(set(_files(tree)) - set(_gone(tree)))


def system_tree(work: Path, mebibytes: int, *, for_fat: bool) -> Path:
    """A copy of parts of /usr: files, directories and symbolic links, the same ones on every run on this machine."""
    tree = work / f"tree-{'fat' if for_fat else 'unix'}-{mebibytes}"
    if tree.exists():
        return tree
    names = work / "names"
    with names.open("wb") as file:
        file.writelines(os.fsencode(name) + b"\0" for name in _choose(mebibytes << 20, for_fat=for_fat))
    partial = tree.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    subprocess.run(
        f"tar -C / --null --no-recursion --hard-dereference -T {names} -cf - | tar -C {partial} -xf - --no-same-owner", shell=True, check=True,
    )
    partial.rename(tree)
    return tree


def _choose(limit: int, *, for_fat: bool) -> Iterator[str]:
    """Names below / until their sizes reach `limit`."""
    total = 0
    walked: set[str] = set()
    spellings: dict[str, str] = {}
    for root in ROOTS:
        for folder, directories, files in os.walk(root):
            directories.sort()
            if folder in walked or (folder != root and folder in ROOTS):
                directories.clear()
                continue
            walked.add(folder)
            for name in sorted(files)[: _FAT_FILES if for_fat else None]:
                path = f"{folder}/{name}"
                if not (os.path.islink(path) or os.path.isfile(path)) or (for_fat and not _fits_fat(path, spellings)):
                    continue
                yield path[1:]
                total += os.lstat(path).st_size
                if total >= limit:
                    return


def _fits_fat(path: str, spellings: dict[str, str]) -> bool:
    """Whether FAT can hold a file of this name beside the others; `spellings` remembers names by their lower case."""
    parts = path.split("/")
    if os.path.islink(path) or _NOT_ON_FAT & set(path) or not path.isascii() or any(part.endswith((".", " ")) for part in parts):
        return False
    prefixes = ["/".join(parts[:count]) for count in range(2, len(parts) + 1)]
    return all(spellings.setdefault(prefix.lower(), prefix) == prefix for prefix in prefixes)


def _fill_ext4(image: Path, tree: Path) -> None:
    _run("mke2fs", "-q", "-F", "-t", "ext4", "-d", str(tree), str(image))
    commands = image.with_suffix(".rm")
    commands.write_text("".join(f'rm "/{path.relative_to(tree)}"\n' for path in _gone(tree)))
    _run("debugfs", "-w", "-f", str(commands), str(image))
    commands.unlink()


def _fill_fat32(image: Path, tree: Path) -> None:
    # mcopy needs minutes where many names begin alike, and most kernels of test machines have no vfat: this volume is ours.
    archive = image.with_suffix(".imz")
    own = [sys.executable, "-m", "bpscript", "image"]
    _run(*own, "capture", str(tree), str(archive), "--type", "FAT32", "--size", f"{image.stat().st_size >> 20}M", "--no-verify", "--temp", str(image.parent))
    _run(*own, "restore", str(archive), str(image))
    archive.unlink()
    device = FileDevice(image)
    with closing(device), closing(open_volume(device, clock=Clock())) as files:
        for path in _gone(tree):
            files.remove(str(path.relative_to(tree)))


def _fill_ntfs(image: Path, tree: Path) -> None:
    _run("mkntfs", "-q", "-F", "-f", "-s", "512", "-p", "2048", "-H", "255", "-S", "63", str(image))
    point = image.with_suffix(".mount")
    point.mkdir(exist_ok=True)
    _run("ntfs-3g", "-o", "big_writes", str(image), str(point))
    try:
        _run("sh", "-c", f"tar -C {tree} -cf - . | tar -C {point} -xf - --no-same-owner --no-same-permissions")
        for path in _gone(tree):
            (point / path.relative_to(tree)).unlink()
    finally:
        _run("umount", str(point))
        point.rmdir()


def _gone(tree: Path) -> list[Path]:
    """Files that are removed again, so that the used blocks lie in thousands of ranges as on a disk in use."""
    return _files(tree)[::_AGED]


def _files(tree: Path) -> list[Path]:
    return sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())


def _run(*arguments: str) -> None:
    if shutil.which(arguments[0]) is None:
        raise SystemExit(f"{arguments[0]} is missing; tests/install_system_packages.sh names its package")
    done = subprocess.run(arguments, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)[:200]} failed: {done.stderr[-2000:]}")
