"""FORMAT.md, read as a second implementation would: with nothing of ours but the description. And headers made to harm."""

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from blake3 import blake3

from bpscript.archive.capture import capture, survey
from bpscript.archive.container import Archive, ArchiveKind, ArchiveWriter, Header
from bpscript.archive.full import FullImage
from bpscript.archive.opened import OpenArchive
from bpscript.archive.records import BOOT, OUR_MAGIC, USED, skippable
from bpscript.archive.restore import restore
from bpscript.archive.table import Table
from bpscript.base.clock import Clock
from bpscript.base.errors import FormatError
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.fat import FatVolume, format_fat
from tests.archive.archives import MemorySink, opened, pack

MIB = 1 << 20
Section = tuple[bytes, int, bytes]


def h(data: bytes) -> bytes:
    """BLAKE3."""
    return blake3(data).digest()


def frames_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Every frame: tag (b"" for a data frame, b"seek" for the seek table) and payload behind the tag, or the whole data frame."""
    frames = []
    position = 0
    stored = 0
    while position < len(data):
        magic, length = struct.unpack_from("<II", data, position)
        if magic == 0x184D2A5B:
            payload = data[position + 8 : position + 8 + length]
            frames.append((payload[:4], payload[4:]))
            stored = struct.unpack_from("<I", payload, 20)[0] if payload[:4] == b"bpsC" else 0
            position += 8 + length
        elif magic == 0x184D2A5E:
            frames.append((b"seek", data[position + 8 : position + 8 + length]))
            position += 8 + length
        else:
            assert data[position : position + 4] == b"\x28\xb5\x2f\xfd"
            frames.append((b"", data[position : position + stored]))
            position += stored
    assert position == len(data)
    return frames


def sections_of(data: bytes, count: int) -> dict[bytes, bytes]:
    found = {}
    for _ in range(count):
        tag, flags, length, stored = struct.unpack_from("<4sIII", data)
        content = data[16 : 16 + stored]
        found[tag] = zstandard.ZstdDecompressor().decompress(content) if flags & 2 else content
        assert len(found[tag]) == length
        data = data[16 + stored :]
    assert not data
    return found


def test_a_second_implementation_reads_an_archive_by_the_description_alone() -> None:
    device = MemoryDevice(9 * MIB)
    format_fat(device, 12, "FORMAT", volume_id=0xCAFE)
    volume = FatVolume.on(device, clock=Clock(0))
    volume.write_file("a", [b"a" * 3_000_000])
    volume.write_file("zeros", [bytes(2_000_000)])
    volume.close()
    found = survey(device, clock=Clock(5))
    sink = MemorySink()
    summary = capture(found, sink)
    frames = frames_of(sink.data)

    tag, header = frames[0]
    version, kind, chunk_size, count, size = struct.unpack_from("<HHIIQ", header)
    assert (tag, version, kind, size) == (b"bpsH", 1, 1, 9 * MIB)
    assert h(tag + header[:-32]) == header[-32:]
    sections = sections_of(header[20:-32], count)
    meta = json.loads(sections[b"META"])
    assert (meta["filesystem"], meta["family"], meta["label"], meta["ident"], meta["created_ns"]) == ("FAT12", "FAT", "FORMAT", "0000-CAFE", 5)
    assert sections[b"BOOT"] == device.read(0, 8192)
    unit, number = struct.unpack_from("<II", sections[b"USED"])
    numbers = struct.unpack_from(f"<{2 * number}I", sections[b"USED"], 8)
    used, position = [], 0
    for gap, length in zip(numbers[:number], numbers[number:], strict=True):
        used.append((position + gap * unit, position + (gap + length) * unit))
        position = used[-1][1]
    assert used == list(volume.used_ranges())
    assert sum(b - a for a, b in used) == meta["used"]

    contents = b""
    entries = b""
    index = 1
    kinds = set()
    while frames[index][0] == b"bpsC":
        entry, frame = frames[index][1], frames[index + 1][1]
        kind, offset, length, stored, digest = struct.unpack("<IQII32s", entry)
        assert (offset, stored) == (len(contents), len(frame))
        kinds.add(kind)
        if kind == 0:
            assert length <= chunk_size
            data = zstandard.ZstdDecompressor().decompress(frame)
            assert (len(data), h(data)) == (length, digest)
        else:
            sizes = [131072] * (length // 131072) + ([length % 131072] if length % 131072 else [])
            blocks = [(1 << 1 | size << 3 | (number == len(sizes) - 1)).to_bytes(3, "little") + b"\0" for number, size in enumerate(sizes)]
            assert frame == b"\x28\xb5\x2f\xfd\xc0\x38" + struct.pack("<Q", length) + b"".join(blocks)
            assert digest == bytes(32)
            data = bytes(length)
        contents += data
        entries += entry
        index += 2
    assert kinds == {0, 1, 2}
    assert len(contents) == size
    assert all(contents[a:b] == device.read(a, b - a) for a, b in used)

    tag, table = frames[index]
    count, chunks, total, header_digest, entries_digest = struct.unpack_from("<IQQ32s32s", table)
    assert (tag, count, chunks, total) == (b"bpsT", 0, len(entries) // 52, size)
    assert header_digest == h(struct.pack("<II", 0x184D2A5B, len(header) + 4) + b"bpsH" + header)
    assert entries_digest == h(entries)
    assert table[84:-32] == entries
    assert table[-32:] == h(tag + table[:84]) == summary.root

    assert frames[index + 1][0] == b"seek"
    assert index + 2 == len(frames)
    seek = frames[index + 1][1]
    assert struct.unpack("<IBI", seek[-9:]) == (len(frames) - 1, 0, 0x8F92EAB1)
    listed = list(struct.iter_unpack("<II", seek[:-9]))
    assert sum(compressed for compressed, _ in listed) + len(seek) + 8 == len(sink.data)
    assert sum(decompressed for _, decompressed in listed) == size


def header_frame(sections: list[Section], *, kind: int = 1, chunk_size: int = 4096, size: int = 4096, count: int | None = None) -> bytes:
    """A header whose hash is right, whatever it says."""
    body = b"".join(struct.pack("<4sIII", tag, flags, len(content), len(content)) + content for tag, flags, content in sections)
    payload = struct.pack("<4sHHIIQ", b"bpsH", 1, kind, chunk_size, len(sections) if count is None else count, size) + body
    return skippable(payload + h(payload))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: header_frame([], kind=4), "kind 4"),
        (lambda: header_frame([], chunk_size=0), "chunk size 0"),
        (lambda: header_frame([], chunk_size=1 << 30), "chunk size 1073741824"),
        (lambda: header_frame([], count=65), "65 sections"),
        (lambda: header_frame([], size=1 << 61), "impossible size"),
        (lambda: header_frame([], count=1), "cut short"),
        (lambda: header_frame([(b"META", 0, b"[")]), "no JSON"),
        (lambda: header_frame([(b"META", 0, b"[" * 100_000)]), "no JSON"),
        (lambda: header_frame([(b"META", 0, b'{"a":' + b"9" * 10_000 + b"}")]), "no JSON"),
        (lambda: header_frame([(b"META", 0, b"\xff")]), "no JSON"),
        (lambda: header_frame([(b"META", 0, b"[]")]), "not an object"),
        (lambda: header_frame([(b"META", 0, b" " * (MIB + 1))]), "at most 1048576"),
        (lambda: header_frame([(b"AAAA", 1, b""), (b"AAAA", 1, b"")]), "stands twice"),
        (lambda: header_frame([(b"AAAA", 1, b""), (b"BBBB", 1, b"")], count=1), "after the last section"),
        (lambda: header_frame([(b"AAAA", 3, b"\x28\xb5\x2f\xfd\0\0\0\0")]), "section b?'AAAA'"),
    ],
)
def test_a_header_that_lies_is_refused(make: Callable[[], bytes], words: str) -> None:
    ways: tuple[Callable[[], object], ...] = (lambda: opened(make()), lambda: Archive.open_stream(io.BytesIO(make())))
    for open_it in ways:
        with pytest.raises(FormatError, match=words):
            open_it()


def test_a_small_section_that_unpacks_to_gigabytes_is_refused() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(400 * MIB))
    for length in (400 * MIB, 100, 0xFFFFFFFF):
        body = struct.pack("<4sIII", b"USED", 2, length, len(bomb)) + bomb
        payload = struct.pack("<4sHHIIQ", b"bpsH", 1, 1, 4096, 1, 4096) + body
        with pytest.raises(FormatError, match=r"impossible lengths|its frame holds"):
            opened(skippable(payload + h(payload)))


def test_a_header_longer_than_the_file_is_refused_before_it_is_read() -> None:
    with pytest.raises(FormatError, match="more than there are"):
        opened(struct.pack("<II", OUR_MAGIC, 0xFFFFFFF0) + b"bpsH" + bytes(100))
    with pytest.raises(FormatError, match="more than allowed"):
        Archive.open_stream(io.BytesIO(struct.pack("<II", OUR_MAGIC, 0xFFFFFFF0) + b"bpsH" + bytes(100)))


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({"family": "Windows"}, "family 'Windows'"),
        ({"family": "other", "volume_size": 1025}, "volume size 1025 of 1024"),
        ({"family": "other", "label": 5}, "label is not a text"),
        ({"family": "other", "label": "x" * 2000}, "label is not a text"),
        ({"family": "other", "used": -1}, "used is not a number"),
        ({"family": "other", "heads": True}, "heads is not a number"),
        ({"family": "other", "created_ns": 1.5}, "created_ns is not a number"),
    ],
)
def test_facts_that_make_no_sense_are_refused(meta: dict[str, object], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        FullImage(opened(pack([b"x" * 1024], size=1024, meta=meta)))


def test_used_ranges_beyond_the_partition_are_refused() -> None:
    used = struct.pack("<IIII", 512, 1, 0, 3)
    data = pack([b"x" * 1024], size=1024, meta={"family": "other"}, sections={USED: used, BOOT: b""})
    with pytest.raises(FormatError, match="reaches to byte 1536 of 1024"):
        _ = FullImage(opened(data)).used
    with pytest.raises(FormatError, match="reaches to byte 1536 of 1024"):
        OpenArchive(MemoryDevice(data)).check()
    target = MemoryDevice(b"\xa5" * 1024)
    with pytest.raises(FormatError, match="reaches to byte 1536 of 1024"):
        restore(FullImage(opened(data)), target)
    assert target.read(0, 1024) == b"\xa5" * 1024


def test_a_full_archive_without_a_size_is_refused() -> None:
    with pytest.raises(FormatError, match="must say how many bytes"):
        FullImage(opened(pack([b"x"], meta={"family": "other"})))


def altered_table(data: bytes, change: Callable[[Table], Table]) -> bytes:
    """The archive with another table whose hashes are right."""
    start = data.index(b"bpsT") - 8
    archive = opened(data)
    assert archive.table is not None
    length = struct.unpack_from("<I", data, start + 4)[0]
    new = change(archive.table).frame()
    seek = bytearray(data[start + 8 + length :])
    seek[-17:-13] = struct.pack("<I", len(new))
    return data[:start] + new + bytes(seek)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: Table(table.size + 1, table.header_digest, table.entries), "header says 2000 bytes, table 2001"),
        (lambda table: Table(table.size, bytes(32), table.entries), "do not belong together"),
        (lambda table: Table(table.size, table.header_digest, table.entries[:52]), "chunks end at 1000, the size is 2000"),
        (lambda table: Table(table.size, table.header_digest, table.entries[52:] * 2), "chunk 0 begins at 1000, expected 0"),
        (lambda table: Table(table.size, table.header_digest, table.entries, ((b"NAME", 77, bytes(32)),)), "chunks and sections end at"),
    ],
)
def test_a_table_that_lies_is_refused(change: Callable[[Table], Table], words: str) -> None:
    data = pack([b"x" * 1000, b"y" * 1000], size=2000)
    with pytest.raises(FormatError, match=words):
        opened(altered_table(data, change))
    with pytest.raises(FormatError, match=r"does not agree with what came before|header says"):
        for _ in Archive.open_stream(io.BytesIO(altered_table(data, change))).chunks():
            pass


def test_the_writer_refuses_what_the_format_cannot_hold(tmp_path: Path) -> None:
    with ArchiveWriter(MemorySink(), Header(ArchiveKind.FULL, 100, 50)) as writer:
        for data in (b"", bytes(101)):
            with pytest.raises(ValueError, match="a chunk has 1 to 100 bytes"):
                writer.add(data)
        writer.add(b"x" * 49)
        with pytest.raises(ValueError, match="the header says 50 bytes, 49 were added"):
            writer.finish()
