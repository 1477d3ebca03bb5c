"""The contests: what the issue names, each against its peer. The first row of a table is the peer, ratios are to it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import corpora, incremental, screen, serving, tftp
from tests.benchmarks.installed import installed
from tests.benchmarks.measure import Round, Sample, in_turn, process, script

START = 1 << 20             # bytes; where the first partition lies
FIRST = f"@@{START}"


def incremental_fat(folder: Path, rounds: int) -> dict[str, Sample]:
    """10,200 files / 511 MiB into FAT32: IncrUnzip and `mcopy -s` of the same tree (wanted: at most 0.8)"""
    return _incremental(folder, rounds, "FAT32", _mcopy)


def incremental_ext(folder: Path, rounds: int) -> dict[str, Sample]:
    """10,200 files / 511 MiB into ext4: IncrUnzip and `debugfs -w` with a command file (wanted: at most 0.9)"""
    return _incremental(folder, rounds, "LINUX-EXT2", _debugfs)


def large_last(folder: Path, rounds: int) -> dict[str, Sample]:
    """The same into ext4 with all large files behind all small ones: unpacking and writing overlap less"""
    return _incremental(folder, rounds, "LINUX-EXT2", _debugfs, large_last=True)


def similar_names(folder: Path, rounds: int) -> dict[str, Sample]:
    """2,000 similar long names in one FAT32 directory: IncrUnzip and mcopy (wanted: 100 times faster, 0.01)"""
    tree = folder / "tree"
    corpora.similar_names(tree / "many", 2_000)
    script('IncrZip "tree" "tree.imi"\n', folder, name="pack.mrz")
    image = _disk(folder, "FAT32", 512)
    names = [str(path) for path in sorted((tree / "many").iterdir())]

    def peer() -> tuple[float, float]:
        _format(folder)
        return process(["mcopy", "-i", f"{image}{FIRST}", *names, "::"], folder)

    own = _unpacking(folder)
    # A minute and more for each round of the peer: one is enough.
    return in_turn({"mcopy": peer, **own}, 1, warm_up=False)


def clean_fat(folder: Path, rounds: int) -> dict[str, Sample]:
    """Clean of a 1 TiB FAT32 and mkfs.fat, on sparse images (wanted: 10 times faster, 0.1)"""
    return _clean(folder, rounds, "FAT32", ["mkfs.fat", "-F", "32", "--offset", str(START // 512), "peer.img"])


def clean_ext(folder: Path, rounds: int) -> dict[str, Sample]:
    """Clean of a 1 TiB ext4 and mke2fs, on sparse images (wanted: at most 1)"""
    return _clean(folder, rounds, "LINUX-EXT2", ["mke2fs", "-q", "-F", "-t", "ext4", "-E", f"offset={START}", "peer.img", f"{(1 << 20) - 2}m"])


def loops(folder: Path, rounds: int) -> dict[str, Sample]:
    """Lines per second of a set/if/goto loop (wanted: 50,000)"""
    turns = 100_000
    text = f"set i = 0\n:l\nset i = ($i+1)\nif $i >= {turns} goto out\ngoto l\n:out\n"
    empty = Sample()
    sample = Sample()
    for number in range(rounds + 1):
        for kept, source in ((empty, "set i = 0\n"), (sample, text)):
            seconds, memory = _bpscript(folder, source)
            if number:
                kept.seconds.append(seconds)
                kept.memory_mib.append(memory)
    rate = 3 * turns / (sample.median - empty.median)
    return {"a script of one line": empty, f"{3 * turns} lines: {rate:,.0f} lines/s": sample}


def start(folder: Path, rounds: int) -> dict[str, Sample]:
    """Start-up: --version (wanted: under 1.6) and a ten-line script (wanted: under 0.25 s)"""
    ten = "".join(f'set v{n} = "value {n}"\necho "$v{n}"\n' for n in range(5))
    program = installed(folder.parent)

    def version() -> tuple[float, float]:
        return process([str(program), "--version"], folder)

    def ten_lines() -> tuple[float, float]:
        (folder / "ten.bpb").write_text(ten)
        return process([str(program), "run", "ten.bpb"], folder)

    python = str(program.with_name("python"))
    contestants: dict[str, Round] = {
        "python3 -c 'import argparse'": lambda: process([python, "-c", "import argparse"], folder),
        "bpscript --version": version,
        "ten-line script": ten_lines,
    }
    return in_turn(contestants, rounds * 3)


def full_archive(folder: Path, rounds: int) -> dict[str, Sample]:
    """FullUnzip and FullZip of an ext4 partition with 511 MiB used, with reference rows on the same data"""
    tree = folder / "tree"
    corpora.mixed_tree(tree)
    script('IncrZip "tree" "tree.imi"\n', folder, name="pack.mrz")
    image = _disk(folder, "LINUX-EXT2", 1024)
    _format(folder)
    script('IncrUnzip "tree.imi" 1\n', folder, "--disk", str(image))
    raw = folder / "part.raw"
    subprocess.run(["dd", f"if={image}", f"of={raw}", "bs=1M", "skip=1", "count=1024", "conv=sparse", "status=none"], check=True)
    capture, restore = Sample(), Sample()
    samples = {
        "reference: raw copy (dd)": Sample(), "reference: zstd -d > /dev/null": Sample(), "FullZip (command)": capture,
        "FullUnzip (command)": restore, "FullZip (process)": Sample(), "FullUnzip (process)": Sample(),
    }
    for number in range(rounds + 1):
        script('FullZip "{:1}/" "full.imz"\n', folder, "--disk", str(image), name="full.mrz")
        timed = {
            "reference: raw copy (dd)": process(["dd", f"if={raw}", f"of={folder / 'copy.raw'}", "bs=1M", "conv=notrunc", "status=none"], folder),
            "reference: zstd -d > /dev/null": process(["zstd", "-dqf", "full.imz", "-o", "/dev/null"], folder),
        }
        for name, text, file in (("FullZip", 'FullZip "{:1}/" "full.imz"\n', "full.mrz"), ("FullUnzip", 'FullUnzip "full.imz" 1\n', "full.bpb")):
            extra = 'set Rewrite = "ALL"\n' if name == "FullUnzip" else ""
            found = script(extra + text, folder, "--disk", str(image), name=file)
            timed[f"{name} (command)"] = (found[name], found["memory"])
            timed[f"{name} (process)"] = (found["process"], found["memory"])
        if number:
            for row, (seconds, memory) in timed.items():
                samples[row].seconds.append(seconds)
                samples[row].memory_mib.append(memory)
    return samples


CONTESTS: dict[str, Callable[[Path, int], dict[str, Sample]]] = {
    "start": start,
    "loops": loops,
    "clean-fat": clean_fat,
    "clean-ext": clean_ext,
    "similar-names": similar_names,
    "incremental-fat": incremental_fat,
    "incremental-ext": incremental_ext,
    "large-last": large_last,
    "full-archive": full_archive,
    **incremental.CONTESTS,
    **screen.CONTESTS,
    **serving.CONTESTS,
    **tftp.CONTESTS,
}


def _incremental(
    folder: Path, rounds: int, kind: str, peer: Callable[[Path, Path, Path], tuple[str, Round]], *, large_last: bool = False
) -> dict[str, Sample]:
    tree = folder / "tree"
    files, size = corpora.mixed_tree(tree, large_last=large_last)
    print(f"corpus: {files} files, {size >> 20} MiB")
    script('IncrZip "tree" "tree.imi"\n', folder, name="pack.mrz")
    image = _disk(folder, kind, 1024)
    name, contestant = peer(folder, tree, image)
    return in_turn({name: contestant, **_unpacking(folder)}, rounds)


def _unpacking(folder: Path) -> dict[str, Round]:
    """IncrUnzip of tree.imi onto a freshly formatted partition 1: the command, and the whole process of the same run."""
    kept: dict[str, float] = {}

    def command() -> tuple[float, float]:
        _format(folder)
        kept.update(script('IncrUnzip "tree.imi" 1\n', folder, "--disk", "disk.img"))
        return kept["IncrUnzip"], kept["memory"]

    return {"IncrUnzip (command)": command, "IncrUnzip (process)": lambda: (kept["process"], kept["memory"])}


def _mcopy(folder: Path, tree: Path, image: Path) -> tuple[str, Round]:
    entries = [str(path) for path in sorted(tree.iterdir())]

    def contestant() -> tuple[float, float]:
        _format(folder)
        return process(["mcopy", "-s", "-i", f"{image}{FIRST}", *entries, "::"], folder)

    return "mcopy -s", contestant


def _debugfs(folder: Path, tree: Path, image: Path) -> tuple[str, Round]:
    lines = []
    for path in sorted(tree.rglob("*")):
        inner = path.relative_to(tree)
        lines.append(f'mkdir "/{inner}"' if path.is_dir() else f'write "{path}" "/{inner}"')
    (folder / "commands").write_text("\n".join(lines) + "\n")

    def contestant() -> tuple[float, float]:
        _format(folder)
        return process(["debugfs", "-w", "-f", "commands", f"{image}?offset={START}"], folder)

    return "debugfs -w -f", contestant


def _disk(folder: Path, kind: str, megabytes: int) -> Path:
    """An image whose pages all exist: the host's first touch of a page is not what is measured."""
    image = folder / "disk.img"
    with open(image, "wb") as file:
        for _ in range(megabytes + 8):
            file.write(b"\xa5" * (1 << 20))
    script(f'Set Linux-FS = "EXT4"\nSetPartitions "{kind}:{megabytes}"\nClean 1\n', folder, "--disk", str(image))
    return image


def _format(folder: Path) -> None:
    """The same empty volume for everybody, without giving back the host's pages."""
    image = folder / "disk.img"
    kind = subprocess.run(["sfdisk", "--part-type", str(image), "1"], capture_output=True, text=True, check=True).stdout.strip()
    size_kib = (image.stat().st_size - (8 << 20)) >> 10
    if kind == "83":
        command = ["mke2fs", "-q", "-F", "-t", "ext4", "-E", f"offset={START},nodiscard", str(image), f"{size_kib}k"]
    else:
        command = ["mkfs.fat", "-F", "32", "-s", "8", "--offset", str(START // 512), str(image), str(size_kib)]
    subprocess.run(command, check=True, capture_output=True)


def _clean(folder: Path, rounds: int, kind: str, command: list[str]) -> dict[str, Sample]:
    size = 1 << 40
    kept: dict[str, float] = {}

    def fresh(name: str) -> None:
        (folder / name).unlink(missing_ok=True)
        with open(folder / name, "wb") as file:
            os.truncate(file.fileno(), size)

    def peer() -> tuple[float, float]:
        fresh("peer.img")
        return process(command, folder)

    def own() -> tuple[float, float]:
        fresh("own.img")
        text = f'set Linux-FS = "EXT4"\nSetPartitions "{kind}:*"\nClean 1\n'
        kept.update(script(text, folder, "--disk", "own.img"))
        return kept["Clean"], kept["memory"]

    samples = in_turn({command[0]: peer, "Clean (command)": own, "Clean (process)": lambda: (kept["process"], kept["memory"])}, rounds)
    for name in ("peer.img", "own.img"):
        (folder / name).unlink()
    return samples


def _bpscript(folder: Path, text: str) -> tuple[float, float]:
    (folder / "loop.bpb").write_text(text)
    return process([sys.executable, "-m", "bpscript", "run", "loop.bpb"], folder)
