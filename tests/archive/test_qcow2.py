"""qcow2 images, made by qemu-img."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.archive.container import ChunkKind
from bpscript.archive.foreign import open_image
from bpscript.archive.positional import open_from_host
from bpscript.archive.qcow2 import Qcow2Bytes
from bpscript.archive.restore import restore
from bpscript.base.clock import Clock
from bpscript.base.errors import FormatError, StorageError
from bpscript.blocks.memory import MemoryDevice
from tests.archive.partclone_images import sources
from tests.oracles import run_tool

MIB = 1 << 20
CLOCK = Clock(0)
KINDS: dict[str, tuple[str, ...]] = {
    "plain": (), "zlib": ("-c",), "zstd": ("-c", "-o", "compression_type=zstd"), "large clusters": ("-c", "-o", "cluster_size=2M"), "version 2": ("-o", "compat=0.10"), "clusters of 4 KiB": ("-o", "cluster_size=4096"),
}


@pytest.fixture(scope="module")
def partition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sources(tmp_path_factory.mktemp("partitions"))["ext4"]


def converted(partition: Path, target: Path, *options: str) -> Path:
    run_tool(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, partition, target])
    return target


@pytest.mark.parametrize("how", ["as it is", "zst"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_qcow2_image_is_restored(kind: str, how: str, partition: Path, tmp_path: Path) -> None:
    path = converted(partition, tmp_path / "image", *KINDS[kind])
    if how == "zst":
        run_tool(["zstd", "-q", "--rm", path])
        path = tmp_path / "image.zst"
    expected = partition.read_bytes()
    device = MemoryDevice(len(expected))
    with open_image(open_from_host(path), clock=CLOCK, in_order=True) as image:
        assert (image.facts.filesystem, image.facts.label, image.size) == ("EXT4", "ptcl", len(expected))
        restore(image, device, verify=True)
        assert all(device.read(start, end - start) == expected[start:end] for start, end in image.used)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(("-o", "extended_l2=on"), "it has subclusters", id="subclusters"),
        pytest.param(("-o", "data_file={}/other"), "its data are in another file", id="data file"),
    ],
)
def test_what_cannot_be_read_is_refused(options: tuple[str, ...], words: str, partition: Path, tmp_path: Path) -> None:
    path = converted(partition, tmp_path / "image", *(option.format(tmp_path) for option in options))
    with pytest.raises(FormatError, match=words) as caught:
        open_image(open_from_host(path))
    assert "qemu-img convert" in str(caught.value.hint)


def test_an_overlay_is_refused(partition: Path, tmp_path: Path) -> None:
    converted(partition, tmp_path / "base")
    run_tool(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "base", "-F", "qcow2", tmp_path / "image"])
    with pytest.raises(FormatError, match="differs from its backing file"):
        open_image(open_from_host(tmp_path / "image"))


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        pytest.param(4, struct.pack(">I", 9), "version 9", id="version"),
        pytest.param(20, struct.pack(">I", 40), "clusters of 2\\^40", id="clusters"),
        pytest.param(24, struct.pack(">Q", 1 << 62), "a disk of", id="size"),
        pytest.param(72, struct.pack(">Q", 1 << 40), "unknown feature 40", id="feature"),
        pytest.param(36, struct.pack(">I", 0x7FFFFFFF), "makes no sense", id="too many tables"),
        pytest.param(36, struct.pack(">I", 0), "makes no sense", id="too few tables"),
        pytest.param(40, struct.pack(">Q", 1 << 60), "L1 table lies at", id="table"),
        pytest.param(32, struct.pack(">I", 2), "is encrypted", id="encrypted"),
        pytest.param(104, b"\x09", "unknown way 9", id="packing"),
    ],
)
def test_a_hostile_header_is_refused(at: int, value: bytes, words: str, partition: Path, tmp_path: Path) -> None:
    data = bytearray(converted(partition, tmp_path / "image").read_bytes())
    data[at : at + len(value)] = value
    with pytest.raises(FormatError, match=words), open_image(MemoryDevice(data)) as image:
        restore(image, MemoryDevice(image.size))
    with pytest.raises(FormatError):
        open_image(MemoryDevice(data[:50].ljust(64, b"\0")))


@pytest.mark.parametrize("kind", KINDS)
def test_holes_are_known(kind: str, tmp_path: Path) -> None:
    """An unknown file system: what no cluster stands for is zeros, and not read."""
    data = bytearray(40 * MIB)
    for start in (3 * MIB + 100, 17 * MIB, 40 * MIB - 512):
        data[start : start + 512] = b"data" * 128
    (tmp_path / "raw").write_bytes(data)
    path = converted(tmp_path / "raw", tmp_path / "image", *KINDS[kind])
    with open_image(open_from_host(path), clock=CLOCK) as image:
        assert image.facts.filesystem == "RAW"
        device = MemoryDevice(b"\xa5" * len(data))
        restore(image, device)
        assert device.read(0, len(data)) == data
        records = [image.chunks.record(index) for index in range(len(image.chunks))]
        assert sum(record.length for record in records if record.kind is ChunkKind.DATA) <= 8 * MIB
    source = Qcow2Bytes(MemoryDevice(path.read_bytes()))
    ranges = list(source.data_ranges(0, len(data)))
    assert ranges == sorted(ranges)
    assert all(any(a <= start and start + 512 <= b for a, b in ranges) for start in (3 * MIB + 100, 17 * MIB, 40 * MIB - 512))
    assert list(source.data_ranges(17 * MIB + 10, 100)) == [(17 * MIB + 10, 17 * MIB + 110)]
    assert list(source.data_ranges(30 * MIB, 100)) == []


@pytest.fixture(scope="module", params=["plain", "zlib", "zstd"])
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("small")
    (folder / "raw").write_bytes(bytes(range(256)) * 512)
    return converted(folder / "raw", folder / "image", *KINDS[request.param], "-o", "cluster_size=4096").read_bytes()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_damage_is_read_or_refused(small: bytes, data: st.DataObject) -> None:
    """Nothing else is raised, and never a loop. The format has no checksums."""
    broken = bytearray(small)
    for _ in range(data.draw(st.integers(1, 5))):
        # The header and the tables, which come first; the rest is contents.
        broken[data.draw(st.integers(4, 5 * 4096))] = data.draw(st.integers(0, 255))
    broken = broken[: data.draw(st.sampled_from([len(broken), len(broken) // 2, 100]))]
    try:
        with open_image(MemoryDevice(broken), clock=CLOCK) as image:
            if image.size < 1 << 24:
                restore(image, MemoryDevice(image.size))
    except (FormatError, StorageError):
        pass
