"""What no program can beat: `python -m tests.benchmarks.reference WORK ...` does one bare piece of the work and prints its seconds.

    read FILE RANGES          read the used bytes
    write FILE RANGES         write as many bytes at the same places
    decode ARCHIVE            decode and hash every chunk with all cores, nothing else
    get ARCHIVE PATH          one file out of an archive, inside Python: opening included, imports not
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

_STEP = 1 << 20


def read(path: str, ranges: str) -> None:
    """Read the used bytes, in order, in pieces of at most 1 MiB."""
    buffer = bytearray(_STEP)
    descriptor = os.open(path, os.O_RDONLY)
    for start, end in _pieces(ranges):
        os.preadv(descriptor, [memoryview(buffer)[: end - start]], start)


def write(path: str, ranges: str) -> None:
    """Write the same bytes again and again where the used bytes are."""
    data = os.urandom(_STEP)
    descriptor = os.open(path, os.O_WRONLY)
    for start, end in _pieces(ranges):
        os.pwrite(descriptor, memoryview(data)[: end - start], start)


def decode(path: str) -> None:
    """Decode and hash every chunk."""
    from bpscript.archive.container import Archive, Chunk  # noqa: PLC0415 - only here
    from bpscript.archive.positional import open_from_host  # noqa: PLC0415
    from bpscript.archive.records import ChunkKind  # noqa: PLC0415

    def work(chunk: Chunk) -> None:
        if chunk.record.kind is ChunkKind.DATA:
            chunk.data()

    with Archive.open(open_from_host(Path(path))) as archive:      # type: ignore[arg-type]
        archive.each(work)


def get(path: str, name: str) -> None:
    """Read one file whole."""
    from bpscript.api import open_archive  # noqa: PLC0415 - only here

    with open_archive(path) as archive:
        archive.read(name)


def _pieces(ranges: str) -> list[tuple[int, int]]:
    found: list[list[int]] = json.loads(Path(ranges).read_text(encoding="utf-8"))
    return [(at, min(at + _STEP, end)) for start, end in found for at in range(start, end, _STEP)]


def main() -> None:
    """Warm once where that changes nothing, then measure."""
    works: dict[str, Callable[..., None]] = {"read": read, "write": write, "decode": decode, "get": get}
    work = works[sys.argv[1]]
    if work is get:
        get(*sys.argv[2:4])     # imports are not measured
    started = time.perf_counter()
    work(*sys.argv[2:])
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
