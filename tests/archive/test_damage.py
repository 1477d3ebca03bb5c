"""Every corrupted byte is found: nothing wrong is ever used, whatever happens to the bytes of an archive.

For each damaged archive, read from anywhere and from a pipe:

    verify     refuses it, whatever byte it was; the one exception are bits of a Zstandard frame that say nothing about its contents
    restore    refuses it, and the partition is as it was or "not formatted"; or, where the damage does not matter to this way
               of reading, gives exactly what the good archive gives
    unpack     the same for archives of files: each file is as before or as in the good archive, never anything else
"""

import random
from collections.abc import Callable, Iterable
from functools import cache

import pytest
import zstandard

from bpscript.archive.container import Archive
from bpscript.archive.disk_image import DiskImage
from bpscript.archive.disk_restore import restore_disk
from bpscript.archive.foreign import open_image
from bpscript.archive.marking import HEAD
from bpscript.archive.positional import JoinedReader, Positional
from bpscript.archive.restore import restore
from bpscript.archive.unpack import unpack
from bpscript.base.errors import FormatError
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.detect import detect
from bpscript.filesystems.fat import format_fat
from tests.archive.damage import (
    KINDS,
    Sample,
    files_before,
    flipped,
    flips,
    larger_damage,
    regions,
    sample,
    stream,
    whole,
)
from tests.archive.memory_tree import MemoryTree

Tried = Callable[[str, object], None]
Contents = dict[str, tuple[str, str, bytes]]


# --- what is right ---------------------------------------------------------------------------------------------------


@cache
def former(size: int) -> bytes:
    """A healthy volume, full of noise: what is on the target before."""
    device = MemoryDevice(random.Random(9).randbytes(size))
    format_fat(device, 12, "FORMER")
    assert detect(device) == "FAT12"
    return device.read(0, size)


def write(kind: str, source: Positional | JoinedReader, target: MemoryDevice) -> None:
    """Onto a partition or a disk."""
    if kind == "disk":
        restore_disk(DiskImage.open(source), target, threads=1)
    else:
        restore(open_image(source), target, threads=1)


@cache
def right_partition(kind: str) -> bytes:
    good = sample(kind)
    target = MemoryDevice(former(good.size))
    write(kind, whole(good.data, good.cuts), target)
    assert target.read(0, good.size) != former(good.size)
    return target.read(0, good.size)


def contents(tree: MemoryTree) -> Contents:
    return {path: (facts.kind.name, facts.target, bytes(data)) for path, (facts, data) in tree.files.items()}


@cache
def right_files(kind: str) -> Contents:
    tree = files_before()
    unpack(MemoryDevice(sample(kind).data), "good", tree)
    assert contents(tree) != contents(files_before())
    return contents(tree)


# --- what is tried ---------------------------------------------------------------------------------------------------


def is_verified(good: Sample, damaged: bytes) -> bool:
    try:
        Archive.open(whole(damaged, good.cuts)).verify()
    except FormatError:
        return False
    return True


def all_contents(data: bytes) -> bytes:
    """As a program that knows nothing of us reads it."""
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        return reader.read()


def check_restore(kind: str, size: int, source: Callable[[], Positional | JoinedReader], words: str) -> bool:
    """True when it was refused."""
    target = MemoryDevice(former(size))
    try:
        write(kind, source(), target)
    except FormatError:
        now = target.read(0, size)
        assert now == former(size) or (now[:HEAD] == bytes(min(HEAD, size)) and detect(target) is None), words
        return True
    assert target.read(0, size) == right_partition(kind), words
    return False


def check_unpack(kind: str, source: Callable[[], Positional | JoinedReader], words: str) -> bool:
    """True when it was refused."""
    tree = files_before()
    try:
        unpack(source(), "damaged", tree)
    except FormatError:
        before, right = contents(files_before()), right_files(kind)
        for path, found in contents(tree).items():
            assert found in {before.get(path), right.get(path)}, f"{words}: {path}"
        return True
    assert contents(tree) == right_files(kind), words
    return False


def check(kind: str, damages: Iterable[tuple[str, bytes]], tried: Tried, what: str) -> None:
    good = sample(kind)
    assert is_verified(good, good.data)
    count = refused = refused_streams = harmless = 0
    for words, damaged in damages:
        if is_verified(good, damaged):
            harmless += 1
            assert "(frame" in words, f"{kind}: {words} passes verify"
            assert all_contents(damaged) == all_contents(good.data), words
        ways: list[Callable[[], Positional | JoinedReader]] = [lambda data=damaged: whole(data, good.cuts), lambda data=damaged: stream(data)]  # type: ignore[misc]
        results = [
            check_restore(kind, good.size, way, f"{kind}: {words}") if good.size else check_unpack(kind, way, f"{kind}: {words}")
            for way in ways
        ]
        count += 1
        refused += results[0]
        refused_streams += results[1]
    assert harmless * 200 <= count
    tried("tried", f"{kind}, {what}: {count}; verify refused {count - harmless}, restore from a file {refused}, from a pipe {refused_streams}; else right")


@pytest.mark.parametrize("kind", KINDS)
def test_one_byte_changed(kind: str, record_property: Tried) -> None:
    check(kind, flips(sample(kind).data, 180, random.Random(kind)), record_property, "one byte changed")


@pytest.mark.parametrize("kind", KINDS)
def test_more_than_a_byte_changed(kind: str, record_property: Tried) -> None:
    check(kind, larger_damage(sample(kind).data, 40, random.Random(kind)), record_property, "swaps, zeroed sectors, lost bytes")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_byte_changed(kind: str, record_property: Tried) -> None:
    """Each byte of the archive once (of the frames every seventh), and thousands of larger damages."""
    data, rng = sample(kind).data, random.Random(f"{kind} soak")

    def every() -> Iterable[tuple[str, bytes]]:
        for region in regions(data):
            for at in range(region.start, region.end, 7 if region.name.startswith("frame") and "," not in region.name else 1):
                yield flipped(data, at, 1 << rng.randrange(8), region.name)

    check(kind, every(), record_property, "every byte changed")
    check(kind, larger_damage(data, 1500, rng), record_property, "swaps, zeroed sectors, lost bytes")


@pytest.mark.parametrize("kind", KINDS)
def test_cut_off_anywhere(kind: str, record_property: Tried) -> None:
    good, rng = sample(kind), random.Random(kind)
    ends = {region.end for region in regions(good.data)} - {len(good.data)}
    ends = set(rng.sample(sorted(ends), min(40, len(ends)))) | {rng.randrange(len(good.data)) for _ in range(40)} | {0, 1, len(good.data) - 1}
    for end in ends:
        words, cut = f"{kind}: cut off at {end}", good.data[:end]
        assert not is_verified(good, cut), words
        for way in (lambda cut=cut: whole(cut, good.cuts), lambda cut=cut: stream(cut)):
            assert end < 12 or (check_restore(kind, good.size, way, words) if good.size else check_unpack(kind, way, words)), words
    record_property("tried", f"{kind}, cut off: {len(ends)} places, all refused, from a file and from a pipe")


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_behind_the_end(kind: str) -> None:
    """From anywhere the end must be the end; a pipe is not read beyond it (FORMAT.md, "Reading")."""
    good = sample(kind)
    for more in (b"\0", b"x" * 9, bytes(1000), good.data):
        if more != good.data:
            assert not is_verified(good, good.data + more)
        words = f"{kind}: {len(more)} bytes more"
        longer = good.data + more
        if good.size:
            check_restore(kind, good.size, lambda data=longer: whole(data, good.cuts), words)     # type: ignore[misc]
            assert not check_restore(kind, good.size, lambda data=longer: stream(data), words)    # type: ignore[misc]
        else:
            check_unpack(kind, lambda data=longer: whole(data, good.cuts), words)                 # type: ignore[misc]
            assert not check_unpack(kind, lambda data=longer: stream(data), words)                # type: ignore[misc]
