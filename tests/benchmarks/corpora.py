"""What is measured with: trees of files with contents that compress like real ones."""

import random
from pathlib import Path

MANY_FILES, LARGE_FILES = 10_000, 200


def mixed_tree(folder: Path, *, large_last: bool = False) -> tuple[int, int]:
    """10,200 files, about 511 MiB: 10,000 of 1-16 KiB and 200 of 0.25-4 MiB in 100 directories. Returns files and bytes.

    `large_last` has all large files in a directory of their own that comes after the others: an archive is then unpacked with one
    core idle for the first half.
    """
    numbers = random.Random(1996)
    text = material(numbers)
    total = 0
    for directory in range(100):
        (folder / f"dir{directory:03}").mkdir(parents=True)
    for index in range(MANY_FILES):
        total += _write(folder / f"dir{index % 100:03}" / f"a file with a long name {index:05}.dat", numbers, text, 1 << 10, 16 << 10)
    for index in range(LARGE_FILES):
        parent = folder / "large" if large_last else folder / f"dir{index % 100:03}"
        parent.mkdir(exist_ok=True)
        total += _write(parent / f"library-{index:03}.so", numbers, text, 256 << 10, 4 << 20)
    return MANY_FILES + LARGE_FILES, total


def similar_names(folder: Path, count: int) -> None:
    """`count` small files whose names begin alike, so that their short names collide."""
    folder.mkdir(parents=True)
    for index in range(count):
        (folder / f"similar long name {index:06}.txt").write_bytes(b"x" * 100)


def material(numbers: random.Random) -> bytes:
    """Eight MiB of which about half compresses away: words of this interpreter's own library, and noise."""
    words = b"".join(path.read_bytes() for path in sorted(Path(random.__file__).parent.glob("*.py")))
    words = (words * (1 + (4 << 20) // len(words)))[: 4 << 20]
    noise = numbers.randbytes(4 << 20)
    step = 4096
    return b"".join(words[at : at + step] + noise[at : at + step] for at in range(0, 4 << 20, step))


def _write(path: Path, numbers: random.Random, text: bytes, least: int, most: int) -> int:
    size = numbers.randint(least, most)
    start = numbers.randrange(len(text) - size) if size < len(text) else 0
    path.write_bytes(text[start : start + size])
    return size
