"""Memory of whole runs, as real processes: under 150 MB, and not more when the image is larger."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bounded import MIB
from tests.oracles import e2fsck, run_tool

LIMIT = 150         # MiB; what the product promises
SLACK = 24          # MiB that a larger image may cost: buffers that were not full, tables of chunks

# The peak of this process alone: ru_maxrss would begin with that of pytest, from which it was forked.
PEAK = """
import sys
from pathlib import Path
from bpscript.cli.main import main
try:
    status = main(sys.argv[2:])
finally:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    Path(sys.argv[1]).write_text(line.split()[1])
sys.exit(status)
"""


def peak(folder: Path, *arguments: str) -> int:
    """Run `bpscript ARGUMENTS`; MiB that it had at its peak."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, "peak", *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return int((folder / "peak").read_text()) // 1024


def disk(folder: Path, name: str, kind: str, used: int, *, room: int) -> None:
    """An image with one partition of `room` MiB, and files of `used` MiB in it; nothing that compresses to nothing."""
    tree = folder / "tree"
    tree.mkdir(exist_ok=True)
    block = os.urandom(MIB)
    for number in range(8):
        with (tree / f"file {number}").open("wb") as file:
            for step in range(used // 8):
                file.write(step.to_bytes(4, "little") + block[4:])
    for number in range(300):
        (tree / f"small {number}").write_bytes(block[:number])
    peak(folder, "disk", "create", name, f"{room + 20}M", "--partitions", f"{kind}:{room}", "--format", "--force")
    peak(folder, "disk", "put", "tree", f"{name}:1/")


OPERATIONS: dict[str, tuple[str, str]] = {      # the script's line, and the disk it works on
    "FullZip": ('FullZip "{:1}/" "full.imz"', "source.img"),
    "FullUnzip": ('FullUnzip "full.imz" 1', "target.img"),
    "FullUnzip again": ('set Rewrite = "DIFF"\nset Verify = "ON"\nFullUnzip "full.imz" 1', "target.img"),
    "FullUnzip smaller": ('FullUnzip "full.imz" 1', "smaller.img"),
    "IncrZip": ('IncrZip "{:1}/" "incr.imi"', "source.img"),
    "IncrUnzip": ('IncrUnzip "incr.imi" "{:1}/again"', "roomy.img"),
}


def peaks(folder: Path, kind: str, used: int, *, together: bool) -> dict[str, int]:
    """The peak of each operation, on an image with `used` MiB of files; `together`: a few of them in one process."""
    room = used + used // 2 + 40
    folder.mkdir()
    disk(folder, "source.img", kind, used, room=room)
    for name, size in (("target.img", room), ("smaller.img", used + used // 8 + 24), ("roomy.img", 2 * room)):
        peak(folder, "disk", "create", name, f"{size + 20}M", "--partitions", f"{kind}:{size}", "--format")
    found = {}
    groups = [[name] for name in OPERATIONS] if not together else [["FullZip", "IncrZip"], ["FullUnzip", "FullUnzip again"], ["FullUnzip smaller"], ["IncrUnzip"]]
    for group in groups:
        lines = [OPERATIONS[name][0] for name in group]
        (folder / "s.mrz").write_text("\n".join(lines) + "\n")
        found[" + ".join(group)] = peak(folder, "run", "s.mrz", "--disk", OPERATIONS[group[0]][1])
    for verb in ("info", "verify"):
        found[f"image {verb}"] = peak(folder, "image", verb, "full.imz")
    if kind == "LINUX-EXT2":
        e2fsck(folder / "smaller.img", 1 << 20)
    return found


@pytest.mark.parametrize("kind", ["LINUX-EXT2", pytest.param("BIGDOS", marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_the_image(kind: str, tmp_path: Path) -> None:
    small = peaks(tmp_path / "small", kind, 8, together=True)
    large = peaks(tmp_path / "large", kind, 64, together=True)
    print(f"MiB at the peak, {kind}, 8 and 64 MiB of files:", {name: (small[name], large[name]) for name in small})
    for name, value in large.items():
        assert value <= LIMIT, f"{name}: {value} MiB"
        assert value <= small[name] + SLACK, f"{name}: {small[name]} MiB with the small image, {value} with the large one"


def test_memory_of_long_matching(tmp_path: Path) -> None:
    """Its chunks have 16 MiB: of none of them are there more copies than threads need."""
    disk(tmp_path, "source.img", "LINUX-EXT2", 96, room=160)
    found = {
        "capture": peak(tmp_path, "image", "capture", "source.img:1", "long.imz", "--long", "--level", "1", "--threads", "2"),
        "convert": peak(tmp_path, "image", "convert", "long.imz", "long.tar"),
        "diff": peak(tmp_path, "image", "diff", "long.imz", "source.img:1"),
        "verify": peak(tmp_path, "image", "verify", "long.imz"),
    }
    print("MiB at the peak, --long, 96 MiB of files:", found)
    assert max(found.values()) <= LIMIT - 40, found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["LINUX-EXT2", "FAT32"])
def test_memory_of_each_operation_with_a_gigabyte(kind: str, tmp_path: Path) -> None:
    found = peaks(tmp_path / "large", kind, 1024, together=False)
    print(f"MiB at the peak, {kind}, 1 GiB of files:", found)
    assert max(found.values()) <= LIMIT, found


@pytest.mark.slow
@pytest.mark.parametrize("size", ["1T", "8T"])
def test_memory_of_a_huge_sparse_partition(size: str, tmp_path: Path) -> None:
    """Used bytes count, not the size: an ext4 with a few files, nearly all of it holes."""
    script = "label: gpt\n"
    for name in ("source.img", "target.img"):
        run_tool(["truncate", "-s", size, tmp_path / name])
        run_tool(["sfdisk", "-q", "--no-reread", tmp_path / name], input_text=script + "2048,,L\n")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "noise").write_bytes(os.urandom(64 * MIB))
    blocks = ((tmp_path / "source.img").stat().st_size - 4 * MIB) // 4096
    run_tool(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-E", f"offset={MIB}", "-d", tree, tmp_path / "source.img", str(blocks)])
    for line, image in (('FullZip "{:1}/" "full.imz"', "source.img"), ('FullUnzip "full.imz" 1', "target.img"), ('FullUnzip "full.imz" 1', "target.img")):
        (tmp_path / "s.mrz").write_text(line + "\n")
        found = peak(tmp_path, "run", "s.mrz", "--disk", image)
        print(f"{size}: {line}: {found} MiB")
        assert found <= LIMIT
    e2fsck(tmp_path / "target.img", MIB)
