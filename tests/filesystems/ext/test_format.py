"""Making, growing and shrinking volumes; which ranges they use."""

from itertools import pairwise
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.clock import Clock
from bpscript.base.errors import FormatError, NoSpaceError, ReadOnlyError, StorageError
from bpscript.blocks.faulty import FaultyDevice
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.blocks.overlay import OverlayDevice
from bpscript.blocks.slice import SliceDevice
from bpscript.filesystems.detect import detect, size_of
from bpscript.filesystems.ext import ExtVolume, check_ext, detect_ext, format_ext, resize_ext, resize_to
from bpscript.filesystems.ext.format import FEATURES
from bpscript.filesystems.ext.usage import subtract, used_ranges
from tests.oracles import e2fsck, mke2fs, run_tool

MIB = 1 << 20
KINDS = ("EXT2", "EXT3", "EXT4")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [2 * MIB, 40 * MIB + 512, 600 * MIB])
def test_what_is_made_is_clean_and_has_the_features_of_its_kind(kind: str, size: int, tmp_path: Path) -> None:
    path = tmp_path / "image"
    with FileDevice.create(path, size + MIB) as disk:
        disk.write(MIB, b"\xeb\x58\x90mkfs.fat".ljust(510, b"x") + b"\x55\xaa")
        device = SliceDevice(disk, MIB, size)
        format_ext(device, kind, "Größe", UUID("12345678-1234-1234-1234-123456789abc"))
        assert detect(device) == kind
        assert size - 4096 < size_of(device, kind) <= size
        volume = ExtVolume.on(device)
        assert (volume.label, volume.ident) == ("Größe", "12345678-1234-1234-1234-123456789abc")
        assert [name for name, _ in volume.entries("")] == ["lost+found"]
        volume.close()
    e2fsck(path, MIB)
    listing = run_tool(["dumpe2fs", "-h", f"{path}?offset={MIB}"]).stdout
    found = set(next(line for line in listing.splitlines() if line.startswith("Filesystem features")).split()[2:])
    assert found == set(FEATURES[kind])


def test_the_features_are_those_of_mke2fs(tmp_path: Path) -> None:
    """The host's own defaults for each kind, when its mke2fs is of the 1.47 series as Debian configures it."""
    for kind in KINDS:
        path = mke2fs(tmp_path / kind, 40 * MIB, "-t", kind.lower())
        listing = run_tool(["dumpe2fs", "-h", path]).stdout
        found = set(next(line for line in listing.splitlines() if line.startswith("Filesystem features")).split()[2:])
        assert set(FEATURES[kind]) <= found
        assert found - set(FEATURES[kind]) <= {"metadata_csum_seed", "orphan_file"}, "what newer versions added"


def test_old_contents_are_gone(tmp_path: Path) -> None:
    with FileDevice.create(tmp_path / "image", 32 * MIB) as device:
        for offset in range(0, 32 * MIB, MIB):
            device.write(offset, b"\xa5" * MIB)
        format_ext(device, "EXT2")
        assert check_ext(device) == []
        assert device.read(20 * MIB, 4096) == bytes(4096)


def test_the_first_bytes_are_written_last() -> None:
    memory = MemoryDevice(16 * MIB)
    format_ext(memory, "EXT2")
    for writes in range(200):
        device = FaultyDevice(OverlayDevice(memory), writes_allowed=writes)
        try:
            format_ext(device, "EXT4")
        except StorageError:
            assert detect(device) in ({"EXT2", None} if writes == 0 else {None})
        else:
            assert detect(device) == "EXT4"
            assert check_ext(device) == []
            return
    pytest.fail("formatting took more than 200 writes")


def test_a_host_without_room_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "mke2fs"
    program.write_text("#!/bin/sh\necho 'mke2fs: No space left on device while writing out and closing file system' >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with FileDevice.create(tmp_path / "disk.img", 40 * MIB) as device, pytest.raises(NoSpaceError, match="the host has no room left for this image"):
        format_ext(device, "EXT4")
    with FileDevice(tmp_path / "disk.img") as device:
        assert detect(device) is None


def test_the_same_call_makes_the_same_bytes() -> None:
    def make(kind: str) -> bytes:
        device = MemoryDevice(24 * MIB)
        format_ext(device, kind, "label", UUID(int=5), UUID(int=6), clock=Clock(1_600_000_000_000_000_000))
        return device.read(0, device.size)

    for kind in KINDS:
        assert make(kind) == make(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_file_gets_the_bytes_that_any_device_gets(kind: str, tmp_path: Path) -> None:
    memory = MemoryDevice(24 * MIB)
    with FileDevice.create(tmp_path / "-a file?.img", 26 * MIB) as file:
        file.write(0, b"\x5a" * (26 * MIB))
        for device in (memory, SliceDevice(file, MIB, 24 * MIB)):
            format_ext(device, kind, "label", UUID(int=5), UUID(int=6), clock=Clock(1_600_000_000_000_000_000))
        assert file.read(MIB, 24 * MIB) == memory.read(0, 24 * MIB)
        assert file.read(0, MIB) == file.read(25 * MIB, MIB) == b"\x5a" * MIB


def test_an_image_file_that_is_open_for_reading_is_left_alone(tmp_path: Path) -> None:
    with FileDevice.create(tmp_path / "disk.img", 24 * MIB):
        pass
    with FileDevice(tmp_path / "disk.img", writable=False) as device, pytest.raises(ReadOnlyError):
        format_ext(device, "EXT4")
    assert not any((tmp_path / "disk.img").read_bytes())


@pytest.mark.parametrize(
    ("size", "kind", "label", "error", "words"),
    [
        (32 * MIB, "EXT5", "", StorageError, "expected EXT2, EXT3 or EXT4"),
        (32 * MIB, "EXT4", "x" * 17, StorageError, "has 17 bytes; ext holds at most 16"),
        (8192, "EXT4", "", StorageError, "8192 bytes"),
    ],
)
def test_what_cannot_be_made(size: int, kind: str, label: str, error: type[StorageError], words: str) -> None:
    device = MemoryDevice(size)
    with pytest.raises(error, match=words):
        format_ext(device, kind, label)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("on_host", [True, False])
def test_growing_and_shrinking(kind: str, on_host: bool, tmp_path: Path) -> None:
    path = tmp_path / "image"
    with FileDevice.create(path, 100 * MIB) as disk:
        disk.write(0, b"before" * 1000)
        disk.write(31 * MIB, b"\xa5" * 69 * MIB)
        lower = disk if on_host else OverlayDevice(disk)
        small, large = SliceDevice(lower, MIB, 30 * MIB), SliceDevice(lower, MIB, 90 * MIB)
        format_ext(small, kind)
        volume = ExtVolume.on(small)
        data = bytes(range(1, 256)) * 20_000
        volume.write_file("file", [data], len(data))
        volume.close()
        resize_ext(large)
        resize_ext(large)
        assert size_of(large, kind) == 90 * MIB
        assert check_ext(large) == []
        volume = ExtVolume.on(large)
        assert volume.open("file").read() == data
        assert volume.usage().free > 60 * MIB
        volume.write_file("large", [data] * 12)
        assert volume.check() == []
        volume.remove("large")
        volume.close()
        with pytest.raises(FormatError, match="shrink it before the device is cut"):
            resize_ext(small)
        resize_to(large, 25 * 1024)
        assert size_of(small, kind) == 25 * MIB
        assert check_ext(small) == []
        assert ExtVolume.on(small).open("file").read() == data
        with pytest.raises(NoSpaceError, match="cannot become 2000 blocks"):
            resize_to(large, 2000)
        with pytest.raises(StorageError, match="do not fit on a device of"):
            resize_to(small, 40 * 1024)
        assert lower.size == 100 * MIB
        assert lower.read(0, 6000) == b"before" * 1000
        assert lower.read(91 * MIB, 9 * MIB) == b"\xa5" * 9 * MIB, "what lies behind the partition stays"


@pytest.mark.parametrize("options", [("-t", "ext2", "-O", "^resize_inode"), ("-t", "ext4", "-O", "^resize_inode,meta_bg"), ("-t", "ext4", "-E", "resize=40M"), ("-t", "ext4", "-O", "sparse_super2")])
def test_growing_where_blocks_may_have_to_move(options: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for number in range(60):
        (tmp_path / "tree" / str(number)).write_bytes(b"%02d" % number * 100_000)
    path = mke2fs(tmp_path / "image", 30 * MIB, "-b", "1024", "-g", "1024", *options, "-d", tmp_path / "tree")
    with path.open("r+b") as image:
        image.truncate(200 * MIB)
    with FileDevice(path) as device:
        resize_ext(device)
        volume = ExtVolume.on(device)
        assert volume.usage().total == 200 * MIB
        for number in range(60):
            assert volume.open(str(number)).read() == b"%02d" % number * 100_000
        volume.close()
    e2fsck(path)


def model_runs(bits: bytes) -> list[tuple[int, int]]:
    flags = [byte >> bit & 1 for byte in bits for bit in range(8)]
    runs: list[tuple[int, int]] = []
    for index, flag in enumerate(flags):
        if flag and runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        elif flag:
            runs.append((index, index + 1))
    return runs


BITS = st.binary(max_size=20)


@given(BITS, BITS)
def test_subtracting_ranges(one: bytes, other: bytes) -> None:
    length = max(len(one), len(other))
    left = int.from_bytes(one.ljust(length, b"\0"), "little") & ~int.from_bytes(other.ljust(length, b"\0"), "little")
    assert list(subtract(model_runs(one), model_runs(other))) == model_runs(left.to_bytes(length, "little"))


@pytest.mark.parametrize(
    "options",
    [("-t", "ext2"), ("-t", "ext3", "-b", "4096"), ("-t", "ext4"), ("-t", "ext4", "-O", "^flex_bg"), ("-t", "ext4", "-O", "^resize_inode,meta_bg"),
     ("-t", "ext4", "-O", "sparse_super2"), ("-t", "ext4", "-O", "bigalloc", "-b", "1024"), ("-t", "ext2", "-O", "^sparse_super,^resize_inode"), ("-t", "ext4", "-O", "^metadata_csum,uninit_bg")],
)  # fmt: skip
def test_used_ranges_are_what_dumpe2fs_says(options: tuple[str, ...], tmp_path: Path) -> None:
    """And a little more at most: what is metadata by its descriptors always counts."""
    (tmp_path / "tree").mkdir()
    for number in range(50):
        (tmp_path / "tree" / str(number)).write_bytes(b"x" * 5000 * number)
    path = mke2fs(tmp_path / "image", 90 * MIB + 1024, "-b", "1024", *options, "-d", tmp_path / "tree")
    listing = run_tool(["dumpe2fs", path]).stdout
    header = listing.partition("\nGroup 0")[0]
    block_size = int(header.split("Block size:")[1].split()[0])
    block_count = int(header.split("Block count:")[1].split()[0])
    free: set[int] = set()
    for line in listing.splitlines():
        if line.startswith("  Free blocks:"):
            for piece in filter(None, line.removeprefix("  Free blocks:").replace(" ", "").split(",")):
                low, _, high = piece.partition("-")
                free.update(range(int(low), int(high or low) + 1))
    with FileDevice(path, writable=False) as device:
        ranges = list(used_ranges(device))
    assert all(a < b for a, b in ranges)
    assert all(before[1] < after[0] for before, after in pairwise(ranges)), "in order and merged"
    used = {block for start, end in ranges for block in range(start // block_size, end // block_size)}
    assert used & free == set()
    # dumpe2fs leaves out what does not fill a cluster at the end.
    assert all(block >= block_count - 16 for block in set(range(block_count)) - used - free)


def test_a_terabyte_is_quick_and_small(tmp_path: Path) -> None:
    path = tmp_path / "image"
    with FileDevice.create(path, 1 << 40) as device:
        format_ext(device, "EXT4")
        assert detect_ext(device) == "EXT4"
        assert path.stat().st_blocks * 512 < 64 * MIB
        assert len(list(used_ranges(device))) < 2000
