"""Contests of archives of files: making them, and differences between them. The first row of a table is the peer."""

import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import corpora
from tests.benchmarks.measure import Round, Sample, in_turn, process, script

MIB = 1 << 20
_FILES = 50_000


def pack(folder: Path, rounds: int) -> dict[str, Sample]:
    """10,200 files / 511 MiB into an archive, level 1: ours from a folder, ext4 and FAT32, and `tar | zstd -1 -T0` of the folder (wanted: at most 1)"""
    return _pack(folder, rounds, 1)


def pack_level_3(folder: Path, rounds: int) -> dict[str, Sample]:
    """The same at level 3 (wanted: at most 1)"""
    return _pack(folder, rounds, 3)


def difference(folder: Path, rounds: int) -> dict[str, Sample]:
    """IncrZip of ext4, 50,000 files / 1 GiB of which 1 % changed: against a full and an incremental archive, with what others do on the folder"""
    tree = folder / "tree"
    changed = _many_files(tree)
    image = _disk(folder / "disk.img", 1600)
    _ext(image, tree, 1600)
    _bpscript(folder, ["image", "capture", f"{image}:1", "full.imz", "--level", "1", "--no-verify"])
    _bpscript(folder, ["image", "capture", "--incremental", f"{image}:1", "files.imi", "--level", "1", "--no-verify"])
    subprocess.run(["tar", "-C", str(tree), "-g", str(folder / "state"), "-cf", "/dev/null", "."], check=True)
    shutil.copytree(tree, folder / "before")
    _change(tree, changed, image)

    def ours(base: str | None) -> tuple[float, float]:
        text = (f'Set Base-Archive = "{base}"\n' if base else "") + 'IncrZip "{:1}/" "made.imi"\n'
        found = script(text, folder, "--disk", str(image), name="pack.mrz")
        return found["IncrZip"], found["memory"]

    for base, name in (("full.imz", "full.difference"), ("files.imi", "files.difference")):
        ours(base)
        (folder / "made.imi").rename(folder / name)
    return in_turn(
        {
            "everything anew: tar | zstd -1 -T0": lambda: _tar(folder),
            "IncrZip of everything": lambda: ours(None),
            "IncrZip, base a full archive": lambda: ours("full.imz"),
            "IncrZip, base an incremental archive": lambda: ours("files.imi"),
            "tar --listed-incremental (times only)": lambda: _listed(folder),
            "rsync -nac (contents)": lambda: process(["rsync", "-nac", "--delete", "tree/", "before/"], folder),
            "squash (full archive)": lambda: _squash(folder, "full.imz"),
            "squash (incremental archive)": lambda: _squash(folder, "files.imi"),
        },
        rounds,
    )


CONTESTS: dict[str, Callable[[Path, int], dict[str, Sample]]] = {"pack": pack, "pack-level-3": pack_level_3, "difference": difference}


def _pack(folder: Path, rounds: int, level: int) -> dict[str, Sample]:
    corpora.mixed_tree(folder / "tree")
    ext, fat = _disk(folder / "ext.img", 800), _disk(folder / "fat.img", 800, "c")
    _ext(ext, folder / "tree", 800)
    subprocess.run(["mkfs.fat", "-F", "32", "-s", "8", "--offset", str(MIB // 512), str(fat), str(800 << 10)], check=True, capture_output=True)
    subprocess.run(["mcopy", "-s", "-i", f"{fat}@@{MIB}", *map(str, sorted((folder / "tree").iterdir())), "::"], check=True)

    def ours(source: str) -> Round:
        return lambda: _bpscript(folder, ["image", "capture", "--incremental", source, "made.imi", "--level", str(level), "--no-verify"])

    return in_turn(
        {
            f"tar | zstd -{level} -T0 (folder)": lambda: _tar(folder, level), "folder": ours("tree"), "ext4": ours(f"{ext}:1"), "FAT32": ours(f"{fat}:1"),
        },
        rounds,
    )


def _many_files(tree: Path) -> list[str]:
    """50,000 files of 1 to 40 KiB in 500 directories; gives the paths of 1 %, spread over all of them."""
    numbers = random.Random(7)
    text = corpora.material(numbers)
    names = []
    for index in range(_FILES):
        path = tree / f"d{index % 500:03}" / f"file number {index:05}.dat"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = numbers.randint(1 << 10, 40 << 10)
        start = numbers.randrange(len(text) - size)
        path.write_bytes(text[start : start + size])
        names.append(str(path.relative_to(tree)))
    return numbers.sample(names, _FILES // 100)


def _change(tree: Path, names: list[str], image: Path) -> None:
    """The same new contents in the folder and on the image."""
    numbers = random.Random(8)
    commands = []
    for name in names:
        (tree / name).write_bytes(numbers.randbytes((tree / name).stat().st_size))
        commands += [f'rm "{name}"', f'write "{tree / name}" "{name}"']
    subprocess.run(["debugfs", "-w", "-f", "-", f"{image}?offset={MIB}"], input="\n".join(commands) + "\n", text=True, check=True, capture_output=True)


def _disk(image: Path, megabytes: int, kind: str = "83") -> Path:
    """An image with one partition, which begins at 1 MiB."""
    with image.open("wb") as file:
        file.truncate((megabytes + 2) * MIB)
    subprocess.run(["sfdisk", "-q", str(image)], input=f"start={MIB // 512}, size={megabytes * MIB // 512}, type={kind}\n", text=True, check=True)
    return image


def _ext(image: Path, tree: Path, megabytes: int) -> None:
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-N", str(_FILES + 10_000), "-E", f"offset={MIB}", "-d", str(tree), str(image), f"{megabytes}m"]
    subprocess.run(command, check=True)


def _tar(folder: Path, level: int = 1) -> tuple[float, float]:
    return process(["sh", "-c", f"tar -C tree -cf - . | zstd -{level} -T0 -qfo made.tar.zst"], folder)


def _listed(folder: Path) -> tuple[float, float]:
    shutil.copy(folder / "state", folder / "state.now")
    return process(["tar", "-C", "tree", "-g", "../state.now", "-cf", "made.tar", "."], folder)


def _squash(folder: Path, base: str) -> tuple[float, float]:
    difference = f"{base.split('.', maxsplit=1)[0]}.difference"
    return _bpscript(folder, ["image", "squash", "--level", "1", base, difference, "squashed"])


def _bpscript(folder: Path, arguments: list[str]) -> tuple[float, float]:
    return process([sys.executable, "-m", "bpscript", *arguments], folder)
