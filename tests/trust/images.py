"""Comparing disk images without our own code."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

_STEP = 1 << 20


def data_ranges(path: Path) -> Iterator[tuple[int, int]]:
    """What is no hole of a sparse file, in whole MiB."""
    with path.open("rb") as file:
        size, end = path.stat().st_size, 0
        while end < size:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:
                return
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            yield start // _STEP * _STEP, min(-(-end // _STEP) * _STEP, size)


def digest(path: Path) -> str:
    """A hash of all bytes, by the places of those that are not zero."""
    hashed = hashlib.sha256(str(path.stat().st_size).encode())
    with path.open("rb") as file:
        for position in sorted({step for start, end in data_ranges(path) for step in range(start, end, _STEP)}):
            file.seek(position)
            data = file.read(_STEP)
            if data.strip(b"\0"):
                hashed.update(position.to_bytes(8, "big") + data)
    return hashed.hexdigest()


def different(before: Path, after: Path) -> tuple[int, set[int]]:
    """How many bytes of two images of one size differ, and the numbers of the sectors they are in."""
    assert before.stat().st_size == after.stat().st_size
    count, sectors = 0, set()
    steps = {step for path in (before, after) for start, end in data_ranges(path) for step in range(start, end, _STEP)}
    with before.open("rb") as one, after.open("rb") as other:
        for position in sorted(steps):
            one.seek(position)
            other.seek(position)
            old, new = one.read(_STEP), other.read(_STEP)
            for start in range(0, len(old), 512) if old != new else ():
                left, right = old[start : start + 512], new[start : start + 512]
                if left != right:
                    count += sum(a != b for a, b in zip(left, right, strict=True))
                    sectors.add((position + start) // 512)
    return count, sectors


def copy(source: Path, target: Path) -> Path:
    """A sparse copy."""
    subprocess.run(["cp", "--sparse=always", source, target], check=True)
    shutil.copystat(source, target)
    return target
