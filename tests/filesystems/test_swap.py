"""Swap spaces: we read what mkswap made; swaplabel and blkid read what we made."""

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.errors import FormatError, StorageError
from bpscript.blocks.faulty import FaultyDevice
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.blocks.slice import SliceDevice
from bpscript.filesystems.detect import detect, size_of
from bpscript.filesystems.swap import SwapSpace, detect_swap, format_swap
from tests.oracles import run_tool

MIB = 1 << 20
IDENT = UUID("12345678-1234-4234-8234-123456789abc")


def test_swaplabel_and_blkid_read_what_we_made(tmp_path: Path) -> None:
    path = tmp_path / "image"
    with FileDevice.create(path, 8 * MIB) as device:
        space = format_swap(device, "swap größe", IDENT)
        assert space == SwapSpace.parse(device) == SwapSpace(4096, 2048, "swap größe", IDENT)
    words = run_tool(["swaplabel", path]).stdout
    assert f"UUID:  {IDENT}" in words
    assert "LABEL: swap größe" in words
    probe = run_tool(["blkid", "-p", "-o", "export", path]).stdout
    assert "TYPE=swap" in probe
    assert "VERSION=1" in probe


def test_the_same_bytes_as_mkswap(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.write_bytes(bytes(MIB))
    run_tool(["mkswap", "-L", "label", "-U", str(IDENT), theirs])
    with FileDevice.create(ours, MIB) as device:
        format_swap(device, "label", IDENT)
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("page_size", [4096, 8192, 65536])
def test_we_read_what_mkswap_made(page_size: int, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(4 * MIB))
    run_tool(["mkswap", "-p", str(page_size), "-L", "theirs", "-U", str(IDENT), path])
    with FileDevice(path, writable=False) as device:
        assert SwapSpace.parse(device) == SwapSpace(page_size, 4 * MIB // page_size, "theirs", IDENT)
        assert detect(device) == "SWAP"
        assert size_of(device, "SWAP") == 4 * MIB


def test_only_whole_pages_count_and_old_signatures_go() -> None:
    disk = MemoryDevice(2 * MIB)
    disk.write(MIB // 2 + 3, b"NTFS    ")
    disk.write(MIB // 2 + 1024 + 56, b"\x53\xef")
    partition = SliceDevice(disk, MIB // 2, MIB + 512)
    assert format_swap(partition).page_count == MIB // 4096
    assert disk.read(MIB // 2 + 3, 8) == bytes(8)
    assert disk.read(MIB // 2 + 1024 + 56, 2) != b"\x53\xef"
    found = SwapSpace.parse(partition)
    assert found is not None
    assert (found.uuid, found.label) == (None, "")


def test_what_is_refused() -> None:
    device = MemoryDevice(MIB)
    with pytest.raises(StorageError, match=r'label "seventeen letters" has 17 bytes; at most 16 fit'):
        format_swap(device, "seventeen letters")
    with pytest.raises(StorageError, match="40448 bytes are too small; at least 40960"):
        format_swap(MemoryDevice(40_448))
    with pytest.raises(StorageError, match="a page has 1000 bytes"):
        format_swap(device, page_size=1000)
    assert detect_swap(device) is None


@pytest.mark.parametrize(("offset", "value", "words"), [(1024, b"\x02", "version is 2"), (1028, bytes(4), "make no sense"), (1032, b"\xff\xff\xff\xff", "make no sense")])
def test_a_damaged_header(offset: int, value: bytes, words: str) -> None:
    device = MemoryDevice(MIB)
    format_swap(device)
    device.write(offset, value)
    with pytest.raises(FormatError, match=words):
        SwapSpace.parse(device)
    assert detect_swap(device) is None


def test_the_signature_comes_last() -> None:
    for writes in range(3):
        device = FaultyDevice(MemoryDevice(MIB), writes_allowed=writes)
        try:
            format_swap(device)
        except StorageError:
            assert detect_swap(device) is None
        else:
            assert detect_swap(device) == "SWAP"


@given(st.binary(min_size=40, max_size=64))
def test_any_header_is_read_or_refused(header: bytes) -> None:
    device = MemoryDevice(MIB)
    format_swap(device)
    device.write(1024, header)
    try:
        space = SwapSpace.parse(device)
    except FormatError:
        return
    assert space is not None
    assert space.page_count > 1
