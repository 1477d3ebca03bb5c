"""Archives made to harm: one sentence, little memory, little time, and nothing outside the target.

All hashes are right; only what the numbers and names mean is wrong. Each is tried from a file and from a pipe.
"""

import io
import json
import re
from collections.abc import Callable
from struct import pack

import pytest
import zstandard

from bpscript.archive.container import Archive
from bpscript.archive.foreign import open_image
from bpscript.archive.image_device import ArchiveDevice
from bpscript.archive.information import info_of_archive
from bpscript.archive.positional import JoinedReader
from bpscript.archive.records import ChunkKind, ChunkRecord
from bpscript.archive.restore import restore
from bpscript.base.clock import Clock
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.detect import open_volume
from bpscript.filesystems.filesystem import walk
from bpscript.filesystems.swap import format_swap
from tests.archive.forge import OPTIONAL, PACKED, Section, bomb, chunks_of, data_chunk, forge, packed, zero_chunk
from tests.bounded import bounded

KIB, MIB = 1 << 10, 1 << 20
EXPECTED = {"FormatError", "StorageError", "NoSpaceError", "InTheWayError", "ReadOnlyError"}
CLOCK = Clock(0)


def meta(**values: object) -> Section:
    return Section(b"META", json.dumps({"filesystem": "RAW", "family": "other", **values}).encode())


def full(*sections: Section, size: int = 64 * KIB, **options: object) -> bytes:
    """An archive of a raw partition with further sections."""
    named = {section.tag for section in sections}
    chunks = [data_chunk(0, b"x" * size)]
    return forge([*sections, *([] if b"META" in named else [meta()])], chunks, **options)  # type: ignore[arg-type]


def used(unit: int, gaps: list[int], lengths: list[int], count: int | None = None) -> Section:
    numbers = pack(f"<{len(gaps) + len(lengths)}I", *gaps, *lengths)
    return Section(b"USED", pack("<II", unit, len(gaps) if count is None else count) + numbers)


def many_empty_ranges() -> Section:
    """As many ranges as there may be, all of nothing, in a few KiB."""
    content = pack("<II", 512, 4 << 20) + bytes(8 * (4 << 20))
    return Section(b"USED", packed_of(content), PACKED, len(content))


def packed_of(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(data)


def family(filesystem: str, kind: str, boot: bytes = b"", **values: object) -> bytes:
    return full(meta(filesystem=filesystem, family=kind, **values), Section(b"BOOT", boot), size=256 * KIB)


def with_chunk(**changes: int) -> bytes:
    record, frame = data_chunk(0, b"x" * 4096)
    values = {"offset": record.offset, "length": record.length, "stored": record.stored, "kind": int(record.kind)} | changes
    changed = ChunkRecord(values["offset"], values["length"], values["stored"], values["kind"], record.digest)  # type: ignore[arg-type]
    return forge([meta()], [(changed, frame)], size=4096, table_size=4096)


def frame_bomb() -> bytes:
    """A data frame of 1 KiB that unpacks to a GiB, and a record that says 4096 bytes."""
    frame = packed(b"\0", 1 << 30)[:4100]
    return forge([meta()], [(ChunkRecord(0, 4096, len(frame), ChunkKind.DATA, bytes(32)), frame)])


FULL: dict[str, tuple[Callable[[], bytes], str]] = {
    "sections of a quarter GiB each": (lambda: full(*(bomb(f"X{n:03d}".encode(), 200 * MIB, flags=OPTIONAL) for n in range(3))), ""),
    "one optional section of 255 MiB": (lambda: full(bomb(b"XTRA", 255 * MIB, flags=OPTIONAL)), ""),
    "sections behind the chunks": (lambda: full(behind=[bomb(f"X{n:03d}".encode(), 200 * MIB, flags=OPTIONAL) for n in range(20)]), "|impossible lengths"),
    "META of 200 MiB": (lambda: full(bomb(b"META", 200 * MIB, fill=b" ")), "at most 1048576"),
    "BOOT of 200 MiB": (lambda: full(meta(), bomb(b"BOOT", 200 * MIB)), "at most 65536"),
    "META deep inside itself": (lambda: full(Section(b"META", packed_of(b'{"a":' * 150_000), PACKED, 750_000)), "no JSON"),
    "META of numbers": (lambda: full(Section(b"META", b'{"family":"other","created_ns":1e999,"used":' + b"9" * 4000 + b"}")), "not a number"),
    "META with lists where words are expected": (lambda: full(meta(x=[[1], {"a": [2]}], base=[1], host={"a": 1})), "|not a text"),
    "the same section twice": (lambda: full(meta(), used(512, [0], [1]), used(512, [0], [2])), "stands twice"),
    "the same section before and behind the chunks": (lambda: full(meta(), behind=[meta()]), "stands twice"),
    "the same section twice behind the chunks": (lambda: full(behind=[Section(b"XTRA", b"1", OPTIONAL)] * 2), "stands twice"),
    "a needed section behind the chunks": (lambda: full(behind=[Section(b"XTRA", b"1")]), "needs section"),
    "used ranges beyond 2^64": (lambda: full(used(MIB, [0xFFFFFFFF] * 3, [0xFFFFFFFF] * 3)), "reaches to byte"),
    "a used range that ends before it begins": (lambda: full(used(512, [0, 0xFFFFFFFF], [10, 1])), "reaches to byte"),
    "four million empty used ranges": (lambda: full(many_empty_ranges()), ""),
    "more used ranges than there are": (lambda: full(used(512, [0], [1], 1000)), "is damaged"),
    "more used ranges than allowed": (lambda: full(used(512, [0], [1], 0xFFFFFFFF)), "is damaged"),
    "a unit of 0": (lambda: full(used(0, [0], [1])), "is damaged"),
    "a unit of 3": (lambda: full(used(3, [0], [1])), "is damaged"),
    "a chunk at 2^64 - 1": (lambda: with_chunk(offset=(1 << 64) - 1), "chunk 0 begins at|begins at 18446744073709551615"),
    "a chunk of 4 GiB": (lambda: with_chunk(length=0xFFFFFFFF), "impossible length"),
    "a chunk of nothing": (lambda: with_chunk(length=0), "impossible length"),
    "a run of 4 GiB of zeros": (lambda: with_chunk(kind=2, length=0xFFFFFFFF), "impossible run"),
    "a frame longer than it may be": (lambda: with_chunk(stored=0xFFFFFFF0), "impossible length"),
    "a frame that unpacks to more": (frame_bomb, "is damaged|its frame"),
    "an exabyte that is not there": (lambda: forge([meta()], [zero_chunk(0, 256 * MIB)], size=1 << 60), "header says|needs the same size"),
    "more than an exabyte": (lambda: forge([meta()], [zero_chunk(0, 256 * MIB)], size=(1 << 60) + 1), "impossible size"),
    "more bytes than the chunks have": (lambda: forge([meta()], [zero_chunk(0, MIB)], size=2 * MIB, table_size=2 * MIB), "chunks end at|needs the same size"),
    "a partition of 100 GiB in 3 MiB": (lambda: forge([meta()], [zero_chunk(n << 28, 1 << 28, ChunkKind.ZERO) for n in range(400)]), "needs the same size or more"),
    "a volume larger than its partition": (lambda: family("EXT4", "Linux", volume_size=1 << 62), "makes no sense"),
    "an unknown family": (lambda: family("EXT4", "Martian"), "makes no sense"),
    "FAT without a boot sector": (lambda: family("FAT16", "FAT"), "boot sector|sector"),
    "FAT with a boot sector of noise": (lambda: family("FAT32", "FAT", bytes(range(256)) * 2), ""),
    "FAT of an unknown width": (lambda: family("FAT99", "FAT", bytes(512)), ""),
    "ext that is none": (lambda: family("EXT4", "Linux"), ""),
    "ext of an unknown kind": (lambda: family("EXT9", "Linux"), ""),
    "NTFS that is none": (lambda: family("NTFS", "NTFS", bytes(512)), ""),
    "swap with pages of 2^62 bytes": (lambda: family("SWAP", "swap", block_size=1 << 62), "|page"),
    "swap with a long label": (lambda: family("SWAP", "swap", block_size=4096, label="x" * 250), "|label"),
    "swap with a wrong UUID": (lambda: family("SWAP", "swap", block_size=4096, ident="../../etc"), "|no UUID"),
}


ONCE = ("four million empty used ranges",)      # a second of work


def sentence(error: str, message: str, expected: str) -> None:
    assert not error or error in EXPECTED, f"{error}: {message}"
    assert "\n" not in message, message
    assert len(message) < 600, message
    if expected and not expected.startswith("|"):
        assert error, "it was accepted"
    assert not error or not expected or re.search(expected.strip("|"), message), f"{error}: {message}"


@pytest.mark.parametrize(("case", "way"), [(case, way) for case in FULL for way in ("file", "pipe") if case not in ONCE or way == "pipe"])
def test_a_hostile_full_archive(case: str, way: str) -> None:
    """Asked for everything, and restored to a partition of the same size, a larger, and a smaller one."""
    make, expected = FULL[case]
    data = make()

    def use() -> None:
        if way == "pipe":
            restore(open_image(JoinedReader(io.BytesIO(data)), clock=CLOCK), MemoryDevice(256 * KIB), clock=CLOCK)
            return
        archive = Archive.open(MemoryDevice(data))
        archive.verify()
        info_of_archive(archive, len(data), 1).as_dict()
        for size in (256 * KIB, 512 * KIB, 128 * KIB):
            with open_image(MemoryDevice(data), clock=CLOCK) as image:
                restore(image, MemoryDevice(size), clock=CLOCK)

    outcome = bounded(use, memory=150)
    sentence(outcome.error, outcome.message, expected)


def test_swap_of_the_same_bytes_elsewhere_is_harmless() -> None:
    """What a header claims of a swap space is checked by who formats one."""
    device = MemoryDevice(MIB)
    format_swap(device)
    data = forge([meta(filesystem="SWAP", family="swap", block_size=4096)], chunks_of(device.read(0, MIB), 64 * KIB), chunk_size=64 * KIB)
    target = MemoryDevice(2 * MIB)
    restore(open_image(MemoryDevice(data)), target)


def test_a_hostile_archive_is_listed_and_read_within_bounds() -> None:
    """The file system in it is what it is; its reader is asked for a walk."""
    for kind in ("FAT16", "EXT4"):
        data = family(kind, "FAT" if kind == "FAT16" else "Linux", bytes(512))
        outcome = bounded(lambda data=data: list(walk(open_volume(ArchiveDevice(Archive.open(MemoryDevice(data))), clock=CLOCK, writable=False))))  # type: ignore[misc]
        assert outcome.error in EXPECTED
