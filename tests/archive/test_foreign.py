"""Images of other programs: raw, packed by zstd, gzip and xz, from files and from pipes."""

import io
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.archive.compare import compare
from bpscript.archive.container import ArchiveKind, ArchiveWriter, ChunkKind, Header
from bpscript.archive.foreign import open_image
from bpscript.archive.full import FullImage, PartitionImage
from bpscript.archive.image_device import ArchiveDevice
from bpscript.archive.positional import JoinedReader, open_from_host
from bpscript.archive.restore import restore
from bpscript.base.clock import Clock
from bpscript.base.errors import FormatError, NoSpaceError
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from tests.archive.archives import MemorySink, pack
from tests.oracles import fsck_fat, mkfs_fat, mtools, mtools_tree, run_tool

MIB = 1 << 20
CLOCK = Clock(0)
PACKERS = {
    "raw": [],
    "zst": [["zstd", "-q", "--rm", "-f"]],
    "pzst": [["pzstd", "-q", "--rm", "-f"]],
    "gz": [["gzip", "-f"]],
    "xz": [["xz", "-0", "-f"]],
    "bz2": [["bzip2", "-1", "-f"]],
    "lz4": [["lz4", "-q", "--rm", "-f", "-m"]],
}


@pytest.fixture(scope="module")
def partition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = mkfs_fat(tmp_path_factory.mktemp("raw") / "p.img", 20 * MIB, "-F", "16", "-n", "RAW")
    file = path.with_name("data")
    for number in range(5):
        file.write_bytes(random.Random(number).randbytes(400_000))
        mtools(path, "mcopy", file, f"::/file{number}.bin")
    return path


def packed(partition: Path, how: str, folder: Path) -> Path:
    path = folder / "image"
    path.write_bytes(partition.read_bytes())
    for command in PACKERS[how]:
        run_tool([*command, path])
        path = next(found for found in folder.iterdir() if found.name.startswith("image"))
    return path


@pytest.mark.parametrize("how", PACKERS)
def test_a_raw_image_is_restored_to_any_size(how: str, partition: Path, tmp_path: Path) -> None:
    path = packed(partition, how, tmp_path)
    expected = mtools_tree(partition, tmp_path / "expected")
    for size in (20, 31, 11):
        target = tmp_path / "target.img"
        target.write_bytes(b"\xa5" * (size * MIB))
        with FileDevice(target) as device, open_image(open_from_host(path), clock=CLOCK) as image:
            assert (image.facts.filesystem, image.facts.label) == ("FAT16", "RAW")
            done = restore(image, device, verify=True, clock=CLOCK)
            assert done.how == {20: "same size", 31: "larger", 11: "file by file"}[size]
            if size == 20:
                assert compare(image, device) == []
                assert restore(image, device, rewrite="DIFF").equal > 0
                device.write(MIB + 3, b"x")
                assert compare(image, device) == [(MIB, MIB)]
                restore(image, device, rewrite="DIFF")
                assert compare(image, device) == []
        fsck_fat(target)
        assert mtools_tree(target, tmp_path / f"tree{size}") == expected


@pytest.mark.parametrize("how", ["raw", "zst", "gz"])
def test_from_a_pipe_it_is_kept_in_a_temporary_file_that_goes_again(how: str, partition: Path, tmp_path: Path) -> None:
    data = packed(partition, how, tmp_path).read_bytes()
    folder = tmp_path / "temp"
    folder.mkdir()
    with open_image(JoinedReader(io.BytesIO(data)), clock=CLOCK, temp_folder=folder) as image:
        assert len(list(folder.iterdir())) == 1
        assert [found.stat().st_blocks * 512 < 8 * MIB for found in folder.rglob("image")] == [True]
        device = MemoryDevice(20 * MIB)
        restore(image, device, verify=True)
    assert list(folder.iterdir()) == []
    for start, end in image.used:
        assert device.read(start, end - start) == partition.read_bytes()[start:end]


def test_our_own_archive_is_recognised_from_a_file_and_from_a_pipe() -> None:
    data = pack([b"x" * 512], size=512, meta={"filesystem": "RAW", "family": "other", "volume_size": 512})
    assert isinstance(open_image(MemoryDevice(data)), FullImage)
    with open_image(JoinedReader(io.BytesIO(data))) as image:
        assert isinstance(image, FullImage)
        assert image.archive.is_stream


@pytest.mark.parametrize("cut", [9, 5000])
@pytest.mark.parametrize("how", ["zst", "gz", "xz"])
def test_a_packed_image_that_is_cut_short_is_refused(how: str, cut: int, partition: Path, tmp_path: Path) -> None:
    data = packed(partition, how, tmp_path).read_bytes()
    with pytest.raises(FormatError, match=r"image is (cut short|damaged)"):
        open_image(MemoryDevice(data[:-cut]), clock=CLOCK)
    flipped = bytearray(data)
    flipped[500_000] ^= 0x40
    with pytest.raises(FormatError, match=r"image is damaged"):
        open_image(MemoryDevice(flipped), clock=CLOCK)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"PK\3\4", "zip archive"), (b"QFI\xfb", "qcow2"), (b"KDMV", "VMDK"),
        (b"conectix", "VHD"), (b"vhdxfile", "VHDX"),
        (b"LZIP", "lzip"), (b"LRZI", "lrzip"), (b"\x89LZO\0", "lzop"),
    ],
)
def test_other_formats_are_named(start: bytes, words: str) -> None:
    for make in (MemoryDevice, lambda data: JoinedReader(io.BytesIO(data))):
        with pytest.raises(FormatError, match=words):
            open_image(make(start.ljust(4096, b"\0")))


def test_what_is_no_partition_is_refused() -> None:
    for data in (b"", b"hello", bytes(513)):
        with pytest.raises(FormatError, match="not whole sectors"):
            open_image(MemoryDevice(data))
    sink = MemorySink()
    with ArchiveWriter(sink, Header(ArchiveKind.INCREMENTAL)) as writer:
        writer.add(b"tar")
        writer.finish()
    with pytest.raises(FormatError, match="this is an incremental archive"):
        open_image(MemoryDevice(sink.data))


def test_an_unknown_file_system_is_raw_with_holes(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    with path.open("wb") as file:
        file.truncate(40 * MIB)
        file.seek(17 * MIB)
        file.write(b"x" * 1000)
    with FileDevice(path, writable=False) as device:
        for source in (device, open_from_host(path)):
            with open_image(source) as image:
                assert image.facts.filesystem == "RAW"
                assert [image.chunks.record(index).kind for index in range(len(image.chunks))] == [ChunkKind.ZERO, ChunkKind.DATA, ChunkKind.ZERO]
                target = MemoryDevice(b"\xa5" * (40 * MIB))
                restore(image, target)
                assert target.read(0, 40 * MIB) == path.read_bytes()


def test_no_room_to_unpack_is_said(partition: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(partition, "gz", tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(NoSpaceError, match="no room to unpack the image"):
        open_image(open_from_host(path), temp_folder=tmp_path)
    assert not [found for found in tmp_path.iterdir() if found.is_dir()]


def test_a_disk_that_takes_a_write_in_parts_gets_all_of_it(partition: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(partition, "gz", tmp_path)
    write = os.pwrite
    monkeypatch.setattr("os.pwrite", lambda descriptor, data, offset: write(descriptor, data[:1000], offset))
    with open_image(open_from_host(path), clock=CLOCK, temp_folder=tmp_path) as image:
        data = partition.read_bytes()
        for start, end in image.used:
            device = ArchiveDevice(image.chunks)
            assert device.read(start, end - start) == data[start:end]


def opened(data: bytes) -> PartitionImage:
    return open_image(MemoryDevice(data), clock=CLOCK, temp_folder=tempfile.gettempdir())


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([b"", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18\4\0\0\0", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\xeb\x3c\x90", b"\x5b\x2a\x4d\x18"]),
    st.binary(max_size=2000), st.booleans(),
)
def test_any_bytes_open_or_raise_an_error_of_ours(start: bytes, rest: bytes, padded: bool) -> None:
    """Nothing else, and never a loop."""
    data = start + rest
    if padded:
        data = data.ljust(8192, b"\0")
    uses: tuple[Callable[[], PartitionImage], ...] = (
        lambda: opened(data), lambda: open_image(JoinedReader(io.BytesIO(data)), clock=CLOCK)
    )
    for use in uses:
        try:
            image = use()
        except FormatError:
            continue
        image.close()


