"""Any bytes open, or raise FormatError; nothing else, and never a loop.

Volumes are damaged at random where structure is (boot sector, FATs, directories), then everything a reader does is done to them.
"""

import random
import time
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.base.errors import FormatError, NotFoundError, StorageError
from bpscript.blocks.memory import MemoryDevice
from bpscript.blocks.overlay import OverlayDevice
from bpscript.filesystems.fat import FatVolume, Geometry, format_fat
from bpscript.filesystems.fat.layout import Cluster
from bpscript.filesystems.filesystem import FileKind, make_dirs, walk

MIB = 1 << 20
SIZES = {12: MIB, 16: 6 * MIB, 32: 34 * MIB}


def populated(width: int) -> tuple[bytes, Geometry]:
    device = MemoryDevice(SIZES[width])
    geometry = format_fat(device, width, "LABEL")
    volume = FatVolume.on(device)
    volume.make_dir("directory")
    volume.make_dir("directory/below")
    for number in range(12):
        volume.write_file(f"directory/file with a long name {number}", [bytes([number]) * number * 700])
    volume.write_file("directory/below/SHORT.TXT", [b"x" * 5000])
    volume.remove("directory/file with a long name 5")
    volume.close()
    return device.read(0, device.size), geometry


POPULATED = {width: populated(width) for width in SIZES}


def places(geometry: Geometry) -> list[tuple[int, int]]:
    """Where a changed byte has a meaning: boot sectors, the beginning of the FATs, root directory, first clusters."""
    return [
        (0, 90), (512, 1024), (geometry.fat_offset, geometry.fat_offset + 200), (geometry.root_offset, geometry.root_offset + 640),
        (geometry.data_offset, geometry.data_offset + 3 * geometry.cluster_size),
    ]


def use(device: OverlayDevice) -> None:
    """All that reading and writing can do; only our own errors may come out."""
    try:
        volume = FatVolume.on(device)
    except FormatError:
        return
    try:
        seen = 0
        for path, facts in walk(volume):
            seen += 1
            assert seen < 20_000
            if facts.kind is FileKind.FILE:
                try:
                    reader = volume.open(path)
                    left = 200
                    while left and reader.read(50_000):
                        left -= 1
                    volume.stat(path)
                except FormatError:
                    continue
    except FormatError:
        pass
    list(volume.used_ranges())
    volume.usage()
    assert len(volume.check()) <= 1000
    with suppress(FormatError, StorageError):
        volume.write_file("new file", [b"x" * 3000])
    with suppress(FormatError, StorageError):
        volume.write_file("directory/file with a long name 3", [b"x" * 3000], 3000)
    with suppress(FormatError, StorageError):
        volume.make_dir("directory/new")
    with suppress(FormatError, StorageError):
        volume.rename("directory/below", "moved")
    with suppress(FormatError, StorageError):
        volume.remove("directory/file with a long name 7")
    volume.close()


@pytest.mark.parametrize("width", [12, 16, 32])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_volume_opens_or_is_refused(width: int, data: st.DataObject) -> None:
    content, geometry = POPULATED[width]
    device = OverlayDevice(MemoryDevice(content))
    for _ in range(data.draw(st.integers(1, 12))):
        start, end = data.draw(st.sampled_from(places(geometry)))
        device.write(data.draw(st.integers(start, end - 1)), bytes([data.draw(st.integers(0, 255))]))
    use(device)


@pytest.mark.parametrize("width", [12, 16, 32])
def test_a_heavily_damaged_volume_opens_or_is_refused(width: int) -> None:
    content, geometry = POPULATED[width]
    chooser = random.Random(width)
    for _ in range(60):
        device = OverlayDevice(MemoryDevice(content))
        for start, end in places(geometry)[2:]:
            for _ in range(chooser.randrange(60)):
                device.write(chooser.randrange(start, end), chooser.randbytes(chooser.choice((1, 2, 4))))
        use(device)


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=512, max_size=4096))
def test_random_bytes_open_or_are_refused(content: bytes) -> None:
    with_signature = bytearray(content)
    with_signature[0], with_signature[510:512] = 0xEB, b"\x55\xaa"
    use(OverlayDevice(MemoryDevice(with_signature)))


def test_a_directory_full_of_itself_is_not_walked_for_ever() -> None:
    content, geometry = POPULATED[16]
    device = MemoryDevice(content)
    inner = geometry.cluster_offset(Cluster(2))
    slot = bytearray(device.read(inner, 32))
    for number in range(2, 16):
        slot[:8], slot[11] = b"LOOP%-4d" % number, 0x10
        device.write(inner + 32 * number, slot)
    with pytest.raises(FormatError, match="leads to a directory that belongs elsewhere"):
        list(walk(FatVolume.on(device)))


def test_a_looping_directory_is_refused_at_once() -> None:
    content, geometry = POPULATED[16]
    device = MemoryDevice(content)
    device.write(geometry.fat_offset + 4, b"\2\0")
    with pytest.raises(FormatError, match='directory "/directory": its chain of clusters loops at cluster 2'):
        FatVolume.on(device).entries("directory")


def test_a_looping_file_is_refused_and_what_is_true_was_read() -> None:
    content, geometry = POPULATED[16]
    device = MemoryDevice(content)
    volume = FatVolume.on(device)
    first = (volume.data_ranges("directory/below/SHORT.TXT")[0][0] - geometry.data_offset) // geometry.cluster_size + 2
    device.write(geometry.fat_offset + 2 * (first + 1), first.to_bytes(2, "little"))
    again = FatVolume.on(device)
    reader = again.open("directory/below/SHORT.TXT")
    with pytest.raises(FormatError, match="SHORT\\.TXT\": its chain of clusters loops"):
        reader.read()
    with pytest.raises(FormatError, match="loops"):
        again.data_ranges("directory/below/SHORT.TXT")
    with pytest.raises(FormatError, match="loops"):
        again.remove("directory/below/SHORT.TXT")


def test_a_chain_that_is_shorter_than_its_file_is_an_error_not_an_end() -> None:
    content, geometry = POPULATED[16]
    device = MemoryDevice(content)
    first = (FatVolume.on(device).data_ranges("directory/below/SHORT.TXT")[0][0] - geometry.data_offset) // geometry.cluster_size + 2
    device.write(geometry.fat_offset + 2 * first, b"\xff\xff")
    with pytest.raises(FormatError, match="its chain ends after 1024 of 5000 bytes"):
        FatVolume.on(device).open("directory/below/SHORT.TXT").read()


def test_huge_claims_cost_neither_time_nor_memory() -> None:
    """A volume of 8 TB by its own words, of which one sector exists."""
    device = MemoryDevice(34 * MIB)
    format_fat(device, 32)
    sector = bytearray(device.read(0, 512))
    sector[13], sector[32:36], sector[36:40] = 128, b"\xff\xff\xff\xff", b"\0\0\4\0"

    class Huge(MemoryDevice):
        @property
        def size(self) -> int:
            return 1 << 43

        def read(self, offset: int, length: int) -> bytes:
            return bytes(self._data[offset : offset + length]).ljust(length, b"\xff")

    huge = Huge(bytes(sector) + b"\xff" * MIB)
    tracemalloc.start()
    started = time.monotonic()
    volume = FatVolume.on(huge)
    assert volume.entries("") == []
    assert volume.usage().free == 0
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * MIB
    assert time.monotonic() - started < 5


def test_directories_nested_without_end_are_refused() -> None:
    device = MemoryDevice(34 * MIB)
    format_fat(device, 32)
    volume = FatVolume.on(device)
    with pytest.raises(FormatError, match="directories are nested more than 250 deep"):
        make_dirs(volume, "d" + "/d" * 300)
    assert volume.check() == []
    with pytest.raises(NotFoundError, match="no directory"):
        volume.stat("x" + "/x" * 5000)
