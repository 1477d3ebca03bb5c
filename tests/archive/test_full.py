"""Full archives of every file system, restored to the same size, larger and smaller; foreign tools judge each result."""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bpscript.archive.capture import capture, survey
from bpscript.archive.compare import compare
from bpscript.archive.container import Archive, ArchiveKind, ArchiveWriter, Header
from bpscript.archive.destinations import HostDestination
from bpscript.archive.foreign import open_image
from bpscript.archive.full import FullImage
from bpscript.archive.image_device import ArchiveDevice
from bpscript.archive.placement import Place
from bpscript.archive.positional import open_from_host
from bpscript.archive.report import Restored
from bpscript.archive.restore import restore
from bpscript.base.clock import Clock
from bpscript.base.errors import FormatError, NoSpaceError, ReadOnlyError, StorageError
from bpscript.blocks.device import BlockDevice
from bpscript.blocks.faulty import FaultyDevice
from bpscript.blocks.file import FileDevice
from bpscript.blocks.journal import JournalDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.detect import detect, open_volume
from bpscript.filesystems.filesystem import Filesystem, remove_tree
from bpscript.filesystems.ntfs import NtfsVolume
from bpscript.filesystems.swap import format_swap
from tests.archive.archives import MemorySink
from tests.oracles import debugfs_tree, e2fsck, fsck_fat, mke2fs, mkfs_fat, mtools, mtools_tree, run_tool

MIB = 1 << 20
PLACE = Place(2048, 16, 63)
CLOCK = Clock(1_700_000_000_000_000_000)


@dataclass(frozen=True)
class Case:
    """A file system, its size, and two other sizes in MiB."""

    name: str
    size: int
    larger: int
    smaller: int
    options: tuple[str, ...] = ()


CASES = [
    Case("FAT12", 6, 9, 4, ("-F", "12", "-s", "4")),
    Case("FAT16", 24, 70, 16, ("-F", "16")),
    Case("FAT32", 48, 90, 40, ("-F", "32", "-s", "1")),
    Case("EXT2", 20, 33, 12, ("-t", "ext2", "-b", "1024")),
    Case("EXT3", 30, 50, 16, ("-t", "ext3", "-b", "4096")),
    Case("EXT4", 40, 80, 16, ("-t", "ext4")),
    Case("EXT4", 24, 41, 16, ("-t", "ext4", "-O", "^metadata_csum,^64bit", "-b", "2048")),
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 2.5 MiB: many small files, a few large ones, long names, an empty file and directory."""
    folder = tmp_path_factory.mktemp("tree")
    rng = random.Random(3)
    for directory in ("etc", "Program Files/Some Application", "leer"):
        (folder / directory).mkdir(parents=True)
    for number in range(150):
        (folder / "etc" / f"setting number {number}.conf").write_bytes(rng.randbytes(rng.randrange(3000)))
    (folder / "Program Files/Some Application/program.exe").write_bytes(rng.randbytes(1_500_000))
    (folder / "Program Files/Some Application/zeros.bin").write_bytes(bytes(600_000))
    (folder / "empty").write_bytes(b"")
    (folder / "IO.SYS").write_bytes(rng.randbytes(30_000))
    return folder


def make(case: Case, path: Path, tree: Path) -> Path:
    """A partition made by the file system's own tools, with deleted files among the others."""
    if case.name.startswith("FAT"):
        mkfs_fat(path, case.size * MIB, "-n", "WORK", "-i", "1234ABCD", *case.options)
        mtools(path, "mcopy", "-s", "-Q", *tree.iterdir(), "::")
        mtools(path, "mdel", "::/etc/setting number 1*.conf")
        with path.open("r+b") as image:     # boot code, which must survive
            for sector in (0, 6) if case.name == "FAT32" else (0,):
                image.seek(sector * 512 + 0x60)
                image.write(b"boot code")
    else:
        uuid = "11111111-2222-3333-4444-555555555555"
        mke2fs(path, case.size * MIB, "-L", "WORK", "-U", uuid, "-d", tree, *case.options)
        run_tool(["debugfs", "-w", "-R", "rm /etc/setting\\ number\\ 7.conf", path])
    return path


def pack(path: Path, archive: Path, **options: int) -> None:
    with FileDevice(path, writable=False) as device, HostDestination(archive) as sink:
        capture(survey(device, clock=CLOCK), sink, level=1, **options)  # type: ignore[arg-type]
        sink.commit()


def unpack(archive: Path, path: Path, size: int, *, fill: bytes = b"\xa5", place: Place | None = PLACE) -> Restored:
    """Onto a partition that is full of something else."""
    path.write_bytes(fill * size)
    with FileDevice(path) as device, FullImage.open(open_from_host(archive)) as image:
        return restore(image, device, place=place, verify=True, clock=CLOCK)


def judge(case: Case, path: Path, expected: dict[str, bytes]) -> None:
    """Foreign tools find a healthy volume with the archive's files, label and id."""
    folder = path.with_suffix(".tree")
    if case.name.startswith("FAT"):
        fsck_fat(path)
        assert mtools_tree(path, folder) == expected
        head = path.read_bytes()[:0x200]
        at = 0x43 if case.name == "FAT32" else 0x27
        assert head[at : at + 4] == bytes.fromhex("CDAB3412")
        assert head[0x60:0x69] == b"boot code"
        assert [int.from_bytes(head[a:b], "little") for a, b in ((24, 26), (26, 28), (28, 32))] == [63, 16, 2048]
    else:
        e2fsck(path)
        assert debugfs_tree(path, folder) == expected
        assert "11111111-2222-3333-4444-555555555555" in run_tool(["dumpe2fs", "-h", path]).stdout
    with FileDevice(path) as device:
        volume = open_volume(device, clock=CLOCK, writable=False)
        assert (volume.kind, volume.label) == (case.name, "WORK")
        assert volume.check() == []


def tree_of(case: Case, path: Path, folder: Path) -> dict[str, bytes]:
    return mtools_tree(path, folder) if case.name.startswith("FAT") else debugfs_tree(path, folder)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.size}")
def test_the_same_size_larger_and_smaller(case: Case, tree: Path, tmp_path: Path) -> None:
    source = make(case, tmp_path / "source.img", tree)
    expected = tree_of(case, source, tmp_path / "expected")
    assert len(expected) > 90
    archive = tmp_path / "a.imz"
    pack(source, archive)

    # zstd gives the partition with unused blocks zeroed.
    run_tool(["zstd", "-q", "-d", archive, "-o", tmp_path / "raw"])
    raw = (tmp_path / "raw").read_bytes()
    blanked = bytearray(case.size * MIB)
    data = source.read_bytes()
    with FileDevice(source, writable=False) as device:
        for start, end in open_volume(device, clock=CLOCK, writable=False).used_ranges():
            blanked[start:end] = data[start:end]
    assert raw == bytes(blanked)

    target = tmp_path / "same.img"
    assert unpack(archive, target, case.size * MIB).how == "same size"
    judge(case, target, expected)
    assert unpack(archive, target, case.size * MIB, fill=b"\0", place=None).how == "same size"
    assert target.read_bytes() == bytes(blanked)

    larger = tmp_path / "larger.img"
    assert unpack(archive, larger, case.larger * MIB).how == "larger"
    judge(case, larger, expected)
    with FileDevice(larger) as device:
        room = open_volume(device, clock=CLOCK, writable=False).usage().total
    assert room > case.size * MIB * (1 if case.name != "FAT12" else 0.9)

    smaller = tmp_path / "smaller.img"
    assert unpack(archive, smaller, case.smaller * MIB).how == "file by file"
    judge(case, smaller, expected)


@pytest.mark.parametrize("case", [CASES[1], CASES[5]], ids=lambda case: case.name)
def test_what_does_not_fit_is_refused_before_the_first_write(case: Case, tree: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.imz"
    pack(make(case, tmp_path / "source.img", tree), archive)
    with FullImage.open(open_from_host(archive)) as image:
        for size, words in ((2120 << 10, "do not fit on this partition of 2.1 MB"), (200 << 10, "does not go with FAT16|do not fit|too small")):
            small = JournalDevice(MemoryDevice(size))
            with pytest.raises(StorageError, match=words):
                restore(image, small, clock=CLOCK)
            assert small.writes == []


def test_a_raw_archive_goes_to_the_same_size_or_larger_only(tmp_path: Path) -> None:
    data = bytearray(5 * MIB + 512)
    data[MIB : 2 * MIB] = random.Random(1).randbytes(MIB)
    data[-512:] = b"\x01" * 512
    image = packed(MemoryDevice(data))
    for size in (len(data), 7 * MIB):
        target = MemoryDevice(b"\xa5" * size)
        restore(image, target, verify=True)
        assert target.read(0, len(data)) == data
        assert target.read(len(data), size - len(data)) == b"\xa5" * (size - len(data))
    with pytest.raises(StorageError, match="RAW needs the same size or more"):
        restore(image, MemoryDevice(5 * MIB))


def packed(device: BlockDevice, **options: int) -> FullImage:
    """The archive of a device, opened."""
    sink = MemorySink()
    capture(survey(device, clock=CLOCK), sink, level=1, **options)  # type: ignore[arg-type]
    return FullImage(Archive.open(MemoryDevice(sink.data)))


def test_swap_goes_to_any_size_with_its_label_and_uuid(tmp_path: Path) -> None:
    uuid = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
    path = tmp_path / "swap.img"
    path.write_bytes(bytes(8 * MIB))
    run_tool(["mkswap", "-L", "swappy", "-U", uuid, path])
    with FileDevice(path, writable=False) as device:
        image = packed(device)
    for size in (8, 20, 3):
        path.write_bytes(b"\xa5" * (size * MIB))
        with FileDevice(path) as device:
            restore(image, device)
        words = run_tool(["blkid", "-p", path]).stdout
        assert 'LABEL="swappy"' in words
        assert uuid in words
        assert f'FSSIZE="{size * MIB - 4096}"' in words or "FSSIZE" not in words


@pytest.fixture(scope="module")
def ntfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ntfs")
    path = folder / "ntfs.img"
    with path.open("wb") as file:
        file.truncate(24 * MIB)
    run_tool(["mkntfs", "-F", "-q", "-Q", "-L", "Wörk", "-p", "63", "-H", "16", "-S", "63", path])
    for number in range(6):
        (folder / "data").write_bytes(random.Random(number).randbytes(700_000 + number))
        run_tool(["ntfscp", "-f", path, folder / "data", f"file{number}"])
    return path


def test_ntfs_goes_to_the_same_size_and_larger(ntfs: Path, tmp_path: Path) -> None:
    with FileDevice(ntfs, writable=False) as device:
        image = packed(device)
        assert (image.facts.filesystem, image.facts.label, image.facts.hidden_sectors) == ("NTFS", "Wörk", 63)
        assert image.facts.used < 12 * MIB
        assert compare(image, device) == []
    for size in (24, 30):
        target = tmp_path / "target.img"
        target.write_bytes(b"\xa5" * (size * MIB))
        with FileDevice(target) as device:
            restore(image, device, place=PLACE, verify=True)
            volume = NtfsVolume.read(device)
            assert (volume.hidden_sectors, volume.heads, volume.sectors_per_track) == (2048, 16, 63)
            if size == 24:
                assert compare(image, device) == []     # the fields that depend on the place are left out
        run_tool(["ntfscmp", ntfs, target])
        if size == 24:
            run_tool(["ntfsfix", "-n", target])         # the copy of the boot sector agrees with the boot sector
    with pytest.raises(StorageError, match="NTFS needs the same size or more"):
        restore(image, MemoryDevice(20 * MIB))


def test_the_same_partition_gives_the_same_bytes_whatever_the_threads(tree: Path, tmp_path: Path) -> None:
    source = make(CASES[1], tmp_path / "source.img", tree)
    for threads in (1, 3):
        pack(source, tmp_path / f"{threads}.imz", threads=threads)
    assert (tmp_path / "1.imz").read_bytes() == (tmp_path / "3.imz").read_bytes()


def test_a_second_restore_writes_only_what_differs(tree: Path, tmp_path: Path) -> None:
    source = make(CASES[5], tmp_path / "source.img", tree)
    pack(source, tmp_path / "a.imz")
    with FileDevice(source) as device, FullImage.open(open_from_host(tmp_path / "a.imz")) as image:
        expected = source.read_bytes()
        device.write(9 * MIB + 5, b"damage")
        assert compare(image, device) == [(9 * MIB, MIB)] or not image.used.within(9 * MIB, 9 * MIB + 11)
        for mode in ("AUTO", "DIFF"):
            done = restore(image, device, rewrite=mode)
            assert done.equal > done.written
            assert compare(image, device) == []
        done = restore(image, device, rewrite="ALL")
        assert done.equal == 0
        for start, end in image.used:
            assert device.read(start, end - start) == expected[start:end]
        with pytest.raises(StorageError, match='Rewrite is "MAYBE"'):
            restore(image, device, rewrite="MAYBE")


@pytest.mark.parametrize("case", CASES[1:6:2], ids=lambda case: case.name)
@pytest.mark.parametrize("mode", ["AUTO", "DIFF"])
def test_a_second_restore_counts_no_chunk_that_is_there(case: "Case", mode: str, tree: Path, tmp_path: Path) -> None:
    source = make(case, tmp_path / "source.img", tree)
    pack(source, tmp_path / "a.imz")
    with FileDevice(source) as device, FullImage.open(open_from_host(tmp_path / "a.imz")) as image:
        assert restore(image, device, rewrite=mode).written == 0
        start, end = max(image.used, key=lambda part: part[1] - part[0])
        chunk = (start + end) // 2 // MIB * MIB
        device.write(max(start, chunk), b"damage")
        assert restore(image, device, rewrite=mode).written == sum(last - first for first, last in image.used.within(chunk, chunk + MIB))


def test_what_looks_like_another_file_system_in_the_first_bytes_is_gone_after_a_restore_by_difference(tmp_path: Path) -> None:
    with FileDevice.create(tmp_path / "swap.img", 4 * MIB) as device:
        format_swap(device, "swap", None)
    pack(tmp_path / "swap.img", tmp_path / "a.imz")
    with FileDevice(tmp_path / "swap.img") as device:
        before = device.read(0, 4096)
        device.write(4096, b"\x5a" * (124 << 10))
        with FullImage.open(open_from_host(tmp_path / "a.imz")) as image:
            assert list(image.used) == [(0, 4096)]
            assert restore(image, device, rewrite="DIFF").written == 0
        assert device.read(0, 128 << 10) == before + bytes(124 << 10)


def test_a_filter_leaves_files_and_their_blocks_out(tree: Path, tmp_path: Path) -> None:
    def remove(volume: Filesystem) -> None:
        remove_tree(volume, "Program Files")

    for case in (CASES[1], CASES[5]):
        source = make(case, tmp_path / "source.img", tree)
        before = source.read_bytes()
        with FileDevice(source, writable=False) as device:
            whole = survey(device, clock=CLOCK).facts.used
            found = survey(device, clock=CLOCK, remove=remove)
            assert found.facts.used < whole - 1_400_000
            sink = MemorySink()
            capture(found, sink)
        assert source.read_bytes() == before
        target = tmp_path / "target.img"
        target.write_bytes(bytes(case.size * MIB))
        with FileDevice(target) as device:
            restore(FullImage(Archive.open(MemoryDevice(sink.data))), device)
        expected = {name: data for name, data in tree_of(case, source, tmp_path / f"e{case.name}").items() if "Program" not in name}
        assert tree_of(case, target, tmp_path / f"t{case.name}") == expected
        if case.name.startswith("FAT"):
            fsck_fat(target)
        else:
            e2fsck(target)


def test_filters_need_files() -> None:
    with pytest.raises(StorageError, match="filters need files"):
        survey(MemoryDevice(MIB), clock=CLOCK, remove=lambda _: None)


def test_files_are_read_from_an_archive_without_unpacking_it(tree: Path, tmp_path: Path) -> None:
    source = make(CASES[5], tmp_path / "source.img", tree)
    with FileDevice(source, writable=False) as device:
        image = packed(device)
        on_archive = ArchiveDevice(image.archive, kept=2)
        volume = open_volume(on_archive, clock=CLOCK, writable=False)
        wanted = (tree / "Program Files/Some Application/program.exe").read_bytes()
        assert volume.open("Program Files/Some Application/program.exe").read() == wanted
        for start, length in ((0, 100), (5 * MIB - 7, 3 * MIB), (on_archive.size - 9, 9)):
            assert on_archive.read(start, length) == ArchiveDevice(image.archive).read(start, length)
        covered = list(on_archive.data_ranges(0, on_archive.size))
        assert covered == sorted(covered)
        assert all(not any(on_archive.read(a, b - a)) for a, b in gaps(covered, on_archive.size))
    with pytest.raises(ReadOnlyError, match="cannot be written"):
        on_archive.write(0, b"x")


def gaps(ranges: list[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    position = 0
    for start, end in [*ranges, (size, size)]:
        yield position, start
        position = end


def test_an_incremental_archive_is_refused() -> None:
    sink = MemorySink()
    with ArchiveWriter(sink, Header(ArchiveKind.INCREMENTAL)) as writer:
        writer.add(b"x")
        writer.finish()
    with pytest.raises(FormatError, match="this is an incremental archive"):
        FullImage(Archive.open(MemoryDevice(sink.data)))


def test_a_file_system_larger_than_its_partition_is_not_captured(tree: Path, tmp_path: Path) -> None:
    source = make(CASES[1], tmp_path / "source.img", tree)
    os.truncate(source, 20 * MIB)
    with FileDevice(source, writable=False) as device, pytest.raises(StorageError, match="has 25165824 bytes, its partition only 20971520"):
        survey(device, clock=CLOCK)


def test_a_disk_that_cannot_be_read_leaves_the_old_archive(tree: Path, tmp_path: Path) -> None:
    source = make(CASES[1], tmp_path / "source.img", tree)
    archive = tmp_path / "a.imz"
    archive.write_bytes(b"old")
    with FileDevice(source, writable=False) as device:
        broken = FaultyDevice(device, bad_ranges=[(2 * MIB, 2 * MIB + 512)])
        with HostDestination(archive) as sink, pytest.raises(StorageError, match="cannot read byte 2097152"):
            capture(survey(broken, clock=CLOCK), sink)
    assert archive.read_bytes() == b"old"
    assert not list(tmp_path.glob(".*"))


def test_old_signatures_do_not_survive_a_restore(tmp_path: Path, tree: Path) -> None:
    source = make(CASES[1], tmp_path / "source.img", tree)
    target = tmp_path / "target.img"
    mke2fs(target, 30 * MIB, "-t", "ext4")
    with FileDevice(source, writable=False) as device, FileDevice(target) as other:
        other.write(other.size - 512 + 3, b"NTFS    ")
        restore(packed(device), other)
        assert detect(other) == "FAT16"
    found = {line.split()[2] for line in run_tool(["wipefs", target]).stdout.splitlines()[1:]}
    assert found == {"vfat"}


def test_open_image_takes_a_full_archive(tmp_path: Path, tree: Path) -> None:
    pack(make(CASES[0], tmp_path / "s.img", tree), tmp_path / "a.imz")
    with open_image(open_from_host(tmp_path / "a.imz")) as image:
        assert isinstance(image, FullImage)
    with FullImage.open(open_from_host(tmp_path / "a.imz")) as same, pytest.raises(NoSpaceError):
        restore(same, MemoryDevice(2 * MIB), clock=CLOCK)
