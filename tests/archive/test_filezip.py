import io
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.archive.filezip import PackedFile, pack_file, unpack_file
from bpscript.base.errors import FormatError, StorageError
from tests.oracles import run_tool

TEXT = b"DEVICE=C:\\DOS\\HIMEM.SYS\r\n" * 5000


def packed(data: bytes, size: int | None = None) -> bytes:
    return b"".join(pack_file([data[i : i + 999] for i in range(0, len(data), 999)], size))


@given(data=st.binary(max_size=5000), known=st.booleans(), repeat=st.sampled_from([1, 700]))
@settings(deadline=None)
def test_a_file_comes_back(data: bytes, known: bool, repeat: int) -> None:
    data *= repeat
    result = packed(data, len(data) if known else None)
    opened = PackedFile(io.BytesIO(result))
    assert opened.size == (len(data) if known else None)
    assert b"".join(opened.chunks()) == data


def test_zstd_opens_it_and_other_frames_after_the_first_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.zst").write_bytes(packed(TEXT))
    run_tool(["zstd", "-q", "-d", tmp_path / "a.zst", "-o", tmp_path / "a"])
    assert (tmp_path / "a").read_bytes() == TEXT
    (tmp_path / "b").write_bytes(b"more")
    run_tool(["zstd", "-q", "--check", tmp_path / "b", "-o", tmp_path / "b.zst"])
    whole = packed(TEXT)
    tail = whole[-24:-12] + zlib.crc32(TEXT + b"more").to_bytes(4, "little") + (len(TEXT) + 4).to_bytes(8, "little")
    assert b"".join(unpack_file(io.BytesIO(whole[:-24] + (tmp_path / "b.zst").read_bytes() + tail))) == TEXT + b"more"


def test_the_same_file_makes_the_same_bytes() -> None:
    assert packed(TEXT) == b"".join(pack_file([TEXT]))


def test_a_file_that_changes_size_while_it_is_packed_is_an_error() -> None:
    with pytest.raises(StorageError, match="it has 3 bytes, it had 4"):
        list(pack_file([b"abc"], 4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "menu.z was not made by FileZip"),
        (lambda data: data[:10], "was not made by FileZip"),
        (lambda data: b"PK\3\4" + data[4:], "was not made by FileZip"),
        (lambda data: data[:12] + b"\2" + data[13:], "FileZip version 2, this program reads version 1"),
        (lambda data: data[:16] + b"\xfe" + b"\xff" * 7 + data[24:], "impossible size"),
        (lambda data: data[:16] + (5).to_bytes(8, "little") + data[24:], "more than the 5 bytes its header says"),
        (lambda data: data[:16] + (1 << 40).to_bytes(8, "little") + data[24:], "125000 bytes came out, expected 1099511627776"),
        (lambda data: data[:-1], "is cut short"),
        (lambda data: data[:-24], "is cut short"),
        (lambda data: data[:60], "is cut short"),
        (lambda data: data[:24], "is cut short"),
        (lambda data: data + b"\0" * 30, "damaged|is cut short, or something follows"),
        (lambda data: data[:-12] + bytes(4) + data[-8:], "CRC-32 is [0-9A-F]{8}, expected 00000000"),
        (lambda data: data[:-8] + bytes(8), "125000 bytes came out, expected"),
    ],
)
def test_damage_is_told_before_the_last_piece(change, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(FormatError, match=message):
        list(unpack_file(io.BytesIO(change(packed(TEXT))), "menu.z"))


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7), cut=st.booleans())
@settings(deadline=None)
def test_any_damage_is_noticed(position: int, bit: int, cut: bool) -> None:
    """Invariant: any bytes give the file as it was packed, or FormatError."""
    data = bytearray(packed(bytes(range(256)) * 50))
    position %= len(data)
    if cut:
        del data[position:]
    else:
        data[position] ^= 1 << bit
    try:
        found = b"".join(unpack_file(io.BytesIO(bytes(data))))
    except FormatError:
        return
    assert found == bytes(range(256)) * 50


def test_a_bomb_is_unpacked_in_small_pieces() -> None:
    """A GiB of zeros in some KiB: the memory that is used stays small, the header's size stops it."""

    def zeros() -> Iterator[bytes]:
        for _ in range(64):
            yield bytes(1 << 20)

    bomb = b"".join(pack_file(zeros()))
    assert len(bomb) < 10_000
    assert max(map(len, unpack_file(io.BytesIO(bomb)))) <= 1 << 20
    liar = bomb[:16] + (1000).to_bytes(8, "little") + bomb[24:]
    with pytest.raises(FormatError, match="more than the 1000 bytes"):
        list(unpack_file(io.BytesIO(liar)))
