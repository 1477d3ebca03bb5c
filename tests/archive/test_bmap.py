"""Block maps beside raw images: those of bmaptool, and older and broken ones made here."""

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.archive.bmap import BlockMap, MappedBytes, find_bmap
from bpscript.archive.foreign import open_image
from bpscript.archive.positional import open_from_host
from bpscript.archive.restore import restore
from bpscript.base.clock import Clock
from bpscript.base.errors import FormatError
from bpscript.blocks.memory import MemoryDevice
from tests.oracles import mkfs_fat, mtools, run_tool

MIB = 1 << 20
CLOCK = Clock(0)


def bmap_of(data: bytes, ranges: Sequence[tuple[int, int]], *, version: str = "2.0", size: int | None = None, mapped: int | None = None) -> bytes:
    """A block map of blocks of 4 KiB; `ranges` have inclusive ends."""
    old = version == "1.3"
    algorithm = "sha1" if old else "sha256"
    lines = [
        '<?xml version="1.0" ?>', "<!-- a comment -->", f'<bmap version="{version}">', f"<ImageSize> {len(data) if size is None else size} </ImageSize>",
        "<BlockSize> 4096 </BlockSize>", f"<BlocksCount> {-(-len(data) // 4096)} </BlocksCount>",
        f"<MappedBlocksCount> {sum(b - a + 1 for a, b in ranges) if mapped is None else mapped} </MappedBlocksCount>",
    ]
    blank = "0" * hashlib.new(algorithm).digest_size * 2
    field = "BmapFileSHA1" if old else "BmapFileChecksum"
    lines += [] if old else [f"<ChecksumType> {algorithm} </ChecksumType>"]
    lines += [f"<{field}> {blank} </{field}>", "<BlockMap>"]
    for first, last in ranges:
        found = hashlib.new(algorithm, data[first * 4096 : (last + 1) * 4096]).hexdigest()
        lines.append(f'<Range {"sha1" if old else "chksum"}="{found}"> {first if first == last else f"{first}-{last}"} </Range>')
    text = "\n".join([*lines, "</BlockMap>", "</bmap>"]).encode()
    return text.replace(blank.encode(), hashlib.new(algorithm, text).hexdigest().encode())


@pytest.fixture(scope="module")
def partition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = mkfs_fat(tmp_path_factory.mktemp("bmap") / "disk.wic", 20 * MIB, "-F", "16", "-n", "MAPPED")
    file = path.with_name("data")
    for number in range(3):
        file.write_bytes(random.Random(number).randbytes(500_000))
        mtools(path, "mcopy", file, f"::/file{number}.bin")
    run_tool(["fallocate", "-d", path])
    return path


@pytest.fixture(scope="module")
def official(partition: Path) -> bytes:
    """The block map that bmaptool makes."""
    run_tool(["bmaptool", "create", "-o", partition.with_name("made.bmap"), partition])
    return partition.with_name("made.bmap").read_bytes()


def test_the_map_of_bmaptool_is_understood(partition: Path, official: bytes) -> None:
    found = BlockMap.parse(official)
    data = partition.read_bytes()
    assert found.size == len(data)
    assert 0 < found.mapped.total < 3 * MIB
    rest = bytearray(data)
    for start, end in found.mapped:
        rest[start:end] = bytes(end - start)
    assert not any(rest)
    ranges = [(start // 4096, end // 4096 - 1) for start, end in found.mapped]
    mine = BlockMap.parse(bmap_of(data, ranges))
    assert (mine.mapped, mine.sums, mine.algorithm) == (found.mapped, found.sums, found.algorithm)


@pytest.mark.parametrize("version", ["1.3", "2.0"])
def test_bmaptool_understands_the_maps_of_these_tests(version: str, partition: Path, official: bytes, tmp_path: Path) -> None:
    data = partition.read_bytes()
    ranges = [(start // 4096, end // 4096 - 1) for start, end in BlockMap.parse(official).mapped]
    (tmp_path / "my.bmap").write_bytes(bmap_of(data, ranges, version=version))
    run_tool(["bmaptool", "copy", "--bmap", tmp_path / "my.bmap", partition, tmp_path / "copy"])
    assert (tmp_path / "copy").read_bytes() == data
    (tmp_path / "broken").write_bytes(data.replace(random.Random(1).randbytes(500_000)[-500:], bytes(500)))
    assert "mismatch" in run_tool(["bmaptool", "copy", "--bmap", tmp_path / "my.bmap", tmp_path / "broken", tmp_path / "copy"], ok=(1,)).stderr


@pytest.mark.parametrize("name", ["disk.wic", "disk.wic.gz"])
@pytest.mark.parametrize("version", ["official", "1.3", "2.0"])
def test_an_image_is_checked_by_the_map_beside_it(name: str, version: str, partition: Path, official: bytes, tmp_path: Path) -> None:
    data = partition.read_bytes()
    ranges = [(start // 4096, end // 4096 - 1) for start, end in BlockMap.parse(official).mapped]
    (tmp_path / "disk.bmap").write_bytes(official if version == "official" else bmap_of(data, ranges, version=version))

    def put(content: bytes) -> Path:
        (tmp_path / "disk.wic").write_bytes(content)
        if name.endswith(".gz"):
            run_tool(["gzip", "-1", "-f", tmp_path / "disk.wic"])
        return tmp_path / name

    device = MemoryDevice(b"\xa5" * len(data))
    with open_image(open_from_host(put(data)), clock=CLOCK) as image:
        assert (image.facts.filesystem, image.facts.label) == ("FAT16", "MAPPED")
        restore(image, device, verify=True)
        for start, end in image.used:
            assert device.read(start, end - start) == data[start:end]

    broken = bytearray(data)
    at = data.rindex(random.Random(1).randbytes(500_000)[-500:])
    broken[at] ^= 1
    with pytest.raises(FormatError, match="do not have the sha"), open_image(open_from_host(put(bytes(broken))), clock=CLOCK) as image:
        restore(image, MemoryDevice(len(data)))
    with pytest.raises(FormatError, match="its block map is of one with"):
        open_image(open_from_host(put(data[:-4096])), clock=CLOCK)


def test_what_is_not_mapped_reads_as_zeros() -> None:
    data = random.Random(5).randbytes(10 * 4096 + 100)
    mapped = MappedBytes(MemoryDevice(data), BlockMap.parse(bmap_of(data, [(1, 2), (5, 5), (9, 10)])))
    expected = bytearray(len(data))
    for start, end in ((4096, 3 * 4096), (5 * 4096, 6 * 4096), (9 * 4096, len(data))):
        expected[start:end] = data[start:end]
    assert mapped.read(0, len(data)) == expected
    assert list(mapped.data_ranges(0, len(data))) == [(4096, 3 * 4096), (5 * 4096, 6 * 4096), (9 * 4096, len(data))]
    for start, end in ((0, 1), (4000, 4100), (5 * 4096 - 1, 6 * 4096 + 1), (len(data) - 1, len(data)), (7 * 4096, 7 * 4096)):
        assert mapped.read(start, end - start) == expected[start:end]


def test_the_map_is_looked_for_as_bmaptool_does() -> None:
    asked = []

    def read(name: str) -> bytes | None:
        asked.append(name)
        return None

    assert find_bmap("a/b.x/disk.wic.gz", read) is None
    assert asked == ["a/b.x/disk.wic.gz.bmap", "a/b.x/disk.wic.bmap", "a/b.x/disk.bmap"]
    assert find_bmap("disk.img", {"disk.bmap": b"2", "disk.img.bmap": b"1"}.get) == b"1"


SMALL = random.Random(6).randbytes(6 * 4096)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "no XML", id="empty"),
        pytest.param(b"<a/>", "no block map of version", id="other"),
        pytest.param(b'<!DOCTYPE a [<!ENTITY b "c">]><bmap version="2.0"/>', "defines entities", id="entities"),
        pytest.param(bmap_of(SMALL, [(0, 1)], version="3.0"), "version '3.0'", id="version"),
        pytest.param(bmap_of(SMALL, [(0, 1)]).replace(b"4096", b"4097"), "its own checksum", id="flipped"),
        pytest.param(bmap_of(SMALL, [(0, 1)], mapped=3), "lists 2 blocks, not the 3", id="count"),
        pytest.param(bmap_of(SMALL, [(0, 60)]), "range ' 0-60 ' after block 0", id="beyond"),
        pytest.param(bmap_of(SMALL, [(2, 3), (1, 1)]), "range ' 1 ' after block 4", id="order"),
        pytest.param(bmap_of(SMALL, [(2, 3), (4, 4)]), "continues", id="touching"),
        pytest.param(bmap_of(SMALL, [(0, 1)], size=0), "makes no sense: 0 bytes", id="size"),
        pytest.param(b'<bmap version="2.0"><ImageSize>x</ImageSize></bmap>', "says 'x' for ImageSize", id="number"),
        pytest.param(b'<bmap version="2.0"><ChecksumType>rot13</ChecksumType></bmap>', "unknown kind 'rot13'", id="kind"),
    ],
)
def test_a_broken_map_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        BlockMap.parse(data)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_map_is_parsed_or_refused(data: st.DataObject) -> None:
    """Nothing else is raised, and a map that is taken lies inside its image."""
    text = bytearray(bmap_of(SMALL, [(0, 1), (3, 3)]).replace(b"<BmapFileChecksum>", b"<X>").replace(b"</BmapFileChecksum>", b"</X>"))
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = BlockMap.parse(bytes(text))
    except FormatError:
        return
    assert all(0 <= start < end <= found.size for start, end in found.mapped)
    assert len(found.sums) == len(found.mapped)
