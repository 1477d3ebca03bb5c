"""File systems made to harm inside archives whose hashes are right: copied file by file onto a smaller partition, and walked.

Each damaged volume ends in one of our errors or in a copy; never in a crash (ext is read by a C library), a loop, or much memory.
"""

import json
import random
import struct
from collections.abc import Callable
from functools import cache

import pytest

from bpscript.archive.container import Archive
from bpscript.archive.foreign import open_image
from bpscript.archive.image_device import ArchiveDevice
from bpscript.archive.restore import restore
from bpscript.base.clock import Clock
from bpscript.base.errors import BpscriptError
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.detect import detect, open_volume
from bpscript.filesystems.ext import format_ext
from bpscript.filesystems.fat import format_fat
from bpscript.filesystems.filesystem import FileKind, Filesystem, walk
from tests.archive.forge import Section, chunks_of, forge
from tests.bounded import bounded

KIB, MIB = 1 << 10, 1 << 20
CLOCK = Clock(1_700_000_000_000_000_000)


@cache
def volume(kind: str) -> bytes:
    """A small volume with directories, files of several blocks, and links."""
    device = MemoryDevice((1 if kind == "FAT12" else 2) * MIB)
    if kind == "FAT12":
        format_fat(device, 12, "HOSTILE")
    else:
        format_ext(device, kind, "HOSTILE", clock=CLOCK)
    made = open_volume(device, clock=CLOCK)
    rng = random.Random(1)
    for folder in ("a", "a/b", "a/b/c"):
        made.make_dir(folder)
        for number in range(6):
            made.write_file(f"{folder}/file {number}", [rng.randbytes(rng.randrange(9000))])
    if kind != "FAT12":
        made.make_symlink("a/link", "x" * 200)  # type: ignore[attr-defined]
    made.close()
    return device.read(0, device.size)


def archive_of(kind: str, data: bytes) -> bytes:
    boot = data[:8192]
    size = 1024 if kind != "FAT12" else data[13] * 512
    facts = {"filesystem": kind, "family": "FAT" if kind == "FAT12" else "Linux", "volume_size": len(data), "block_size": size, "ident": ""}
    return forge([Section(b"META", json.dumps(facts).encode()), Section(b"BOOT", boot)], chunks_of(data, 64 * KIB), chunk_size=64 * KIB)


def use(kind: str, data: bytes) -> str:
    """Walk it, read every file, and restore it to a smaller partition; what was refused."""
    archive = archive_of(kind, data)
    said = ""
    try:
        found: Filesystem = open_volume(ArchiveDevice(Archive.open(MemoryDevice(archive))), clock=CLOCK, writable=False)
        for path, facts in walk(found):
            if facts.kind is FileKind.FILE and facts.size < 4 * MIB:
                found.open(path).read()
    except BpscriptError as error:
        said = error.message
    target = MemoryDevice(len(data) - 128 * KIB)
    try:
        restore(open_image(MemoryDevice(archive), clock=CLOCK), target, clock=CLOCK)
    except BpscriptError as error:
        said = error.message
        assert detect(target) is None
    return said


def damaged(kind: str, rng: random.Random) -> bytes:
    """A few numbers of the metadata changed: to noise, to the ends of their range, or to what stands elsewhere."""
    data = bytearray(volume(kind))
    meta = 40 * KIB if kind == "FAT12" else 300 * KIB
    for _ in range(rng.choice([1, 1, 2, 8, 40])):
        length = rng.choice([1, 2, 4])
        at = rng.randrange(meta) // length * length if rng.random() < 0.7 else rng.choice([0, 1024]) + rng.randrange(256)
        while not any(data[at & ~0x3FF : (at & ~0x3FF) + 1024]):       # where there is something to harm
            at = rng.randrange(meta) // length * length
        way = rng.randrange(4)
        if way == 0:
            value = rng.randbytes(length)
        elif way == 1:
            value = b"\xff" * length
        elif way == 2:
            value = rng.choice([0, 1, 2, 3, 11, 12]).to_bytes(length, "little")
        else:
            other = rng.randrange(meta)
            value = bytes(data[other : other + length])
        data[at : at + len(value)] = value
    return bytes(data)


@pytest.mark.parametrize("kind", ["FAT12", "EXT2", "EXT4"])
@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 40))])
def test_a_damaged_volume_in_an_archive(kind: str, seed: int, record_property: Callable[[str, object], None]) -> None:
    volume(kind)        # made once, not in every child
    rng = random.Random(f"{kind} {seed}")
    images = [damaged(kind, rng) for _ in range(25)]

    def work() -> None:
        for image in images:
            use(kind, image)

    outcome = bounded(work, seconds=40)
    assert not outcome.error, f"{outcome.error}: {outcome.message}"
    record_property("tried", f"{kind} damaged inside an archive: {len(images)} volumes walked and restored smaller, seed {seed}")


def looped_chain() -> bytes:
    """Every cluster of every file leads back to the one before it."""
    data = bytearray(volume("FAT12"))
    start, size = 512, struct.unpack_from("<H", data, 22)[0] * 512
    for cluster in range(3, 60):
        at = start + cluster * 3 // 2
        value = struct.unpack_from("<H", data, at)[0]
        new = cluster - 1
        struct.pack_into("<H", data, at, (value & 0x000F) | new << 4 if cluster & 1 else (value & 0xF000) | new)
    data[start + size : start + 2 * size] = data[start : start + size]
    return bytes(data)


def looped_directory() -> bytes:
    """The directory `a/b/c` is `a` again: a tree without end."""
    data = bytearray(volume("FAT12"))
    positions = [at for at in range(0, len(data), 32) if bytes(data[at : at + 11]) in {b"A          ", b"C          "} and data[at + 11] == 0x10]
    first = next(at for at in positions if data[at] == 0x41)
    for at in positions:
        data[at + 26 : at + 28] = data[first + 26 : first + 28]
    return bytes(data)


def looped_ext_directory() -> bytes:
    """The same on ext, where nothing but `..` tells that a directory has a second name."""
    data = bytearray(volume("EXT2"))
    entries = {name: data.index(bytes((1, 2)) + name + b"\0\0\0") - 6 for name in (b"a", b"c")}      # name_len, file_type, name
    data[entries[b"c"] : entries[b"c"] + 4] = data[entries[b"a"] : entries[b"a"] + 4]
    return bytes(data)


@pytest.mark.parametrize(("kind", "make"), [("FAT12", looped_chain), ("FAT12", looped_directory), ("EXT2", looped_ext_directory)])
def test_a_loop_in_an_archive_is_refused(kind: str, make: Callable[[], bytes]) -> None:
    data = make()
    assert data != volume(kind)

    def work() -> None:
        said = use(kind, data)
        raise BpscriptError(said or "accepted")

    outcome = bounded(work, seconds=10)
    assert outcome.error == "BpscriptError"
    assert outcome.message != "accepted"
