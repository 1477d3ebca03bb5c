"""The container: what was written is read back, other zstd programs read it too, and no damage passes."""

import contextlib
import io
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.archive.container import Archive, ArchiveKind, ArchiveWriter, ChunkKind, Header
from bpscript.archive.records import CHUNK_ENTRY, SKIPPABLE, parse_chunk, skippable, zero_frame
from bpscript.archive.table import SIGNED_TEXT, Signature
from bpscript.base.errors import FormatError
from tests.archive.archives import MemorySink, opened, pack
from tests.oracles import run_tool

CHUNKS = st.lists(
    st.one_of(st.binary(min_size=1, max_size=4096), st.integers(1, 300_000), st.integers(1, 4096).map(bytes)), max_size=12
)


def contents(chunks: list[bytes | int]) -> bytes:
    return b"".join(bytes(chunk) if isinstance(chunk, int) else chunk for chunk in chunks)


@settings(max_examples=40, deadline=None)
@given(CHUNKS)
def test_what_was_written_is_read_back_in_order_at_random_and_from_a_stream(chunks: list[bytes | int]) -> None:
    data = pack(chunks)
    expected = contents(chunks)
    archive = opened(data)
    assert archive.size == len(expected)
    assert b"".join(bytes(view) for _, view in archive.chunks()) == expected
    assert b"".join(archive.data(index) for index in range(len(archive))) == expected
    stream = Archive.open_stream(io.BytesIO(data))
    assert b"".join(bytes(view) for _, view in stream.chunks(threads=1)) == expected
    assert stream.size == len(expected)


def test_the_number_of_threads_does_not_change_a_byte() -> None:
    chunks: list[bytes | int] = [random.Random(n).randbytes(3000) + bytes(1000) for n in range(40)]
    assert pack(chunks, threads=1) == pack(chunks, threads=4)


def test_zstd_reads_it(tmp_path: Path) -> None:
    chunks: list[bytes | int] = [b"abc" * 1000, 3 << 20, os.urandom(4096), bytes(4096), 100]
    path = tmp_path / "a.imz"
    path.write_bytes(pack(chunks))
    run_tool(["zstd", "-q", "-d", path, "-o", tmp_path / "a.raw"])
    assert (tmp_path / "a.raw").read_bytes() == contents(chunks)
    assert "XXH64" in run_tool(["zstd", "-l", path]).stdout


def test_runs_of_zeros_are_told_apart_from_data() -> None:
    archive = opened(pack([bytes(100), 500 << 20, b"x"]))
    kinds = [(archive.record(i).kind, archive.record(i).length) for i in range(len(archive))]
    assert kinds == [
        (ChunkKind.ZERO, 100), (ChunkKind.UNUSED, 256 << 20), (ChunkKind.UNUSED, 244 << 20), (ChunkKind.DATA, 1),
    ]


@pytest.mark.parametrize("length", [1, 131_071, 131_072, 131_073, 5_000_000])
def test_a_frame_of_zeros_is_a_valid_frame(length: int, tmp_path: Path) -> None:
    (tmp_path / "z.zst").write_bytes(zero_frame(length))
    run_tool(["zstd", "-q", "-d", tmp_path / "z.zst", "-o", tmp_path / "z"])
    assert (tmp_path / "z").read_bytes() == bytes(length)


def test_sections_before_and_after_the_chunks_are_found() -> None:
    sink = MemorySink()
    header = Header(ArchiveKind.INCREMENTAL, meta={"a": [1, "ü"]}, sections={b"BASE": b"b" * 999})
    with ArchiveWriter(sink, header) as writer:
        writer.add(b"contents")
        writer.add_section(b"NAME", b"names" * 100)
        writer.finish()
    archive = opened(sink.data)
    assert archive.header.meta == {"a": [1, "ü"]}
    assert archive.section(b"BASE") == b"b" * 999
    assert archive.section(b"NAME") == b"names" * 100
    assert archive.section(b"none") is None
    stream = Archive.open_stream(io.BytesIO(sink.data))
    assert list(stream.chunks())
    assert stream.section(b"NAME") == b"names" * 100


def test_a_signature_stands_between_table_and_seek_table() -> None:
    sink = MemorySink()
    seen = []

    def sign(text: bytes) -> Signature:
        seen.append(text)
        return Signature(b"k" * 32, b"s" * 64)

    with ArchiveWriter(sink, Header(ArchiveKind.FULL)) as writer:
        writer.add(b"contents")
        summary = writer.finish(sign)
    assert seen == [SIGNED_TEXT + summary.root]
    archive = opened(sink.data)
    assert archive.signature == Signature(b"k" * 32, b"s" * 64)
    assert archive.table is not None
    assert archive.table.root == summary.root
    stream = Archive.open_stream(io.BytesIO(sink.data))
    assert list(stream.chunks())
    assert stream.signature == archive.signature


SMALL = pack([b"first" * 200, 10_000, b"second" * 300, bytes(50)], size=None, sections={b"USED": b"u" * 40}, meta={"m": 1})


@pytest.mark.parametrize("length", range(0, len(SMALL), 7))
def test_a_truncated_archive_is_refused_when_opened_or_at_the_end_of_the_stream(length: int) -> None:
    with pytest.raises(FormatError):
        opened(SMALL[:length])
    with pytest.raises(FormatError):
        for _ in Archive.open_stream(io.BytesIO(SMALL[:length])).chunks(threads=1):
            pass


def test_no_flipped_bit_passes() -> None:
    """In the file: refused when opened or when everything is verified. In a stream: refused at the end at the latest."""
    for position in range(len(SMALL)):
        damaged = bytearray(SMALL)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(FormatError):
            opened(bytes(damaged)).verify()
        with pytest.raises(FormatError):
            stream_all(bytes(damaged))


def stream_all(data: bytes) -> None:
    for chunk, view in Archive.open_stream(io.BytesIO(data)).chunks(threads=1):
        assert chunk.kind is not ChunkKind.DATA or bytes(view) in {b"first" * 200, b"second" * 300}     # nothing wrong is given out


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_bytes_open_or_raise_format_error(data: st.DataObject) -> None:
    """Nothing else, and never a loop."""
    damaged = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        patch = data.draw(st.binary(max_size=12))
        damaged[at : at + data.draw(st.integers(0, 12))] = patch
    uses: tuple[Callable[[], None], ...] = (lambda: opened(bytes(damaged)).verify(), lambda: stream_all(bytes(damaged)))
    for use in uses:
        with contextlib.suppress(FormatError):
            use()


def test_a_record_with_impossible_numbers_is_refused() -> None:
    for kind, length, stored, words in [
        (7, 10, 10, "unknown kind 7"), (0, 5000, 10, "impossible length 5000"), (0, 10, 5000, "stored as 5000"),
        (1, 1 << 31, 10, "impossible run"), (2, 100, 3, "impossible run"),
    ]:
        with pytest.raises(FormatError, match=words):
            parse_chunk(CHUNK_ENTRY.pack(kind, 0, length, stored, bytes(32)), 4096)


def test_something_else_is_not_an_archive() -> None:
    for data in (b"", b"PK\3\4" + bytes(100), skippable(b"bpsX" + bytes(100)), bytes(1000)):
        with pytest.raises(FormatError, match="not an archive"):
            opened(data)


def test_a_newer_version_is_refused_with_its_number() -> None:
    data = bytearray(SMALL)
    data[SKIPPABLE.size + 4] = 9
    with pytest.raises(FormatError, match="format version 9, this program reads version 1"):
        opened(bytes(data))


def test_a_needed_section_that_is_unknown_is_refused_and_an_optional_one_passed_over() -> None:
    with pytest.raises(FormatError, match="needs section 'XTRA'"):
        opened(pack([b"x"], sections={b"XTRA": b"1"}))
    assert opened(pack([b"x"], sections={b"XTRA": b"1"}, optional=frozenset([b"XTRA"]))).section(b"XTRA") == b"1"


def test_a_worker_error_reaches_the_caller_and_ends_the_work() -> None:
    archive = opened(pack([os.urandom(4096) for _ in range(50)]))

    def work(chunk: object) -> None:
        raise FormatError("stop here")

    with pytest.raises(FormatError, match="stop here"):
        archive.each(work)
