"""Whole disks to archives and back: same size, larger, smaller. Foreign tools made them and judge the result."""

import functools
import io
from pathlib import Path

import pytest

from bpscript.archive.capture import capture, survey
from bpscript.archive.container import Archive, ArchiveKind
from bpscript.archive.disk_capture import survey_disk
from bpscript.archive.disk_image import DiskImage, open_partition_image
from bpscript.archive.disk_restore import compare_disk, restore_disk
from bpscript.archive.full import FullImage
from bpscript.archive.image_device import ArchiveDevice
from bpscript.archive.positional import JoinedReader
from bpscript.archive.restore import restore
from bpscript.base.errors import FormatError, NotFoundError, StorageError
from bpscript.base.events import Event, Kind
from bpscript.base.units import MIB
from bpscript.blocks.device import BlockDevice
from bpscript.blocks.file import FileDevice
from bpscript.blocks.journal import JournalDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.blocks.overlay import OverlayDevice
from bpscript.blocks.readonly import ReadOnlyDevice
from bpscript.filesystems.detect import detect, open_volume
from bpscript.filesystems.filesystem import FileKind, walk
from bpscript.partitions.moving import leaves
from bpscript.partitions.table import Table, open_partition, read_table
from tests.archive.archives import MemorySink, pack
from tests.archive.archives import opened as open_archive
from tests.archive.disks import CLOCK, LAYOUTS, archive_of, make_disk, opened
from tests.oracles import (
    cut_out,
    debugfs_tree,
    e2fsck,
    fsck_fat,
    mkfs_fat,
    mtools_tree,
    run_tool,
    sfdisk,
    sfdisk_table,
    sfdisk_verify,
    sgdisk_verify,
)
from tests.partitions.disks import sparse


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disks")


@functools.cache
def source(folder: Path, name: str) -> tuple[Path, bytes]:
    """A disk of a layout and its archive, made once."""
    path = make_disk(folder / f"{name}.img", name)
    with FileDevice(path, writable=False) as device:
        return path, archive_of(device)


def used_ranges(image: DiskImage) -> list[tuple[int, int]]:
    return list(image.used)


def contents(device: BlockDevice, number: int) -> dict[str, bytes]:
    """Every file of a partition, read by us."""
    volume = open_volume(open_partition(device, read_table(device), number), clock=CLOCK, writable=False)
    return {path: volume.open(path).read(1 << 30) for path, facts in walk(volume) if facts.kind is FileKind.FILE}


def judge(path: Path, image: DiskImage, resized: int | None = None) -> Table:
    """Foreign tools look at the table and at every file system; files are the source's."""
    sfdisk_verify(path)
    if image.facts.scheme == "GPT":
        sgdisk_verify(path)
    with FileDevice(path, writable=False) as device:
        table = read_table(device)
        assert table.warnings == ()
        for each in leaves(table):
            was = image.facts.get(each.number)
            assert was is not None
            assert was.facts is not None
            assert (each.start, each.name, each.boot) == (was.start, was.name, was.boot)
            assert each.size == was.size or each.number == resized
            part = open_partition(device, table, each.number)
            assert (detect(part) or "RAW") == was.facts.filesystem
            judge_volume(path, each.start, each.size, was.facts.filesystem)
            if was.facts.filesystem.startswith(("FAT", "EXT")):
                assert contents(device, each.number) == contents_of_image(image, each.number)
    return table


def contents_of_image(image: DiskImage, number: int) -> dict[str, bytes]:
    volume = open_volume(ArchiveDevice(image.partition(number).chunks), clock=CLOCK, writable=False)
    return {path: volume.open(path).read(1 << 30) for path, facts in walk(volume) if facts.kind is FileKind.FILE}


def judge_volume(path: Path, start: int, size: int, kind: str) -> None:
    part = cut_out(path, start, size)
    if kind.startswith("FAT"):
        fsck_fat(part)
        assert mtools_tree(part, part.with_suffix(".tree"))["letter"] == b"dear reader\n" * 1000
    elif kind.startswith("EXT"):
        e2fsck(part)
        assert debugfs_tree(part, part.with_suffix(".tree"))["letter"] == b"dear reader\n" * 1000
    elif kind == "NTFS":
        run_tool(["ntfsresize", "--info", "--force", part])
    part.unlink()


@pytest.mark.parametrize("name", LAYOUTS)
def test_any_zstd_program_gives_the_disk_with_zeros_where_nobody_uses_it(name: str, workshop: Path, tmp_path: Path) -> None:
    path, data = source(workshop, name)
    (tmp_path / "disk.imz").write_bytes(data)
    run_tool(["zstd", "-q", "-d", tmp_path / "disk.imz", "-o", tmp_path / "raw"])
    expected = bytearray(path.stat().st_size)
    disk = path.read_bytes()
    image = opened(data)
    for start, end in used_ranges(image):
        expected[start:end] = disk[start:end]
    assert (tmp_path / "raw").read_bytes() == expected
    assert sfdisk_table(tmp_path / "raw")["partitions"] == [
        {**each, "node": str(tmp_path / "raw") + each["node"].removeprefix(str(path))} for each in sfdisk_table(path)["partitions"]
    ]
    assert image.facts.used < len(disk) // 3


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_disk_of_the_same_size_becomes_the_same_disk(name: str, workshop: Path, tmp_path: Path) -> None:
    path, data = source(workshop, name)
    image = opened(data)
    target = MemoryDevice(b"\xa5" * path.stat().st_size)
    done = restore_disk(image, target, verify=True, clock=CLOCK)
    assert done.how == "same size"
    disk = path.read_bytes()
    for start, end in used_ranges(image):
        assert target.read(start, end - start) == disk[start:end], (start, end)
    assert compare_disk(image, target) == []
    (tmp_path / "out.img").write_bytes(target.read(0, target.size))
    judge(tmp_path / "out.img", image)


@pytest.mark.parametrize(("more", "resize_last"), [(25, False), (25, True), (-2, True)], ids=["larger", "grown", "shrunk"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_on_a_disk_of_another_size_everything_is_where_it_belongs(
    name: str, more: int, resize_last: bool, workshop: Path, tmp_path: Path
) -> None:
    _, data = source(workshop, name)
    image = opened(data)
    last = max(image.facts.leaves, key=lambda each: each.end)
    with sparse(tmp_path / "out.img", LAYOUTS[name].size + more) as target:
        done = restore_disk(image, target, resize_last=resize_last, verify=True, clock=CLOCK)
    assert done.how == ("larger" if more > 0 else "smaller")
    table = judge(tmp_path / "out.img", image, last.number if resize_last else None)
    now = table.get(last.number)
    assert now is not None
    if not resize_last:
        assert now.size == last.size
    else:
        room = table.disk_size - (0 if table.scheme == "MBR" else 33 * 512)
        assert room - MIB < now.end <= room
        assert all(each.end == now.end for each in table.partitions if each.is_extended and each.end > now.start and each.start < now.start)
    if table.gpt is not None:
        assert table.gpt.backup is not None
        assert table.gpt.backup.own_lba == table.disk_size // 512 - 1


def test_a_boot_track_is_kept(workshop: Path) -> None:
    path, data = source(workshop, "sfdisk-mbr")
    target = MemoryDevice(60 * MIB)
    restore_disk(opened(data), target)
    disk = path.read_bytes()
    assert target.read(512, MIB - 512) == disk[512:MIB]
    assert target.read(0, 446) == disk[:446]
    assert any(disk[512:MIB])


def test_a_boot_loader_far_in_front_of_the_first_partition_is_kept(tmp_path: Path) -> None:
    """As small boards have it; what is zero there is not stored, and nothing beyond 64 MiB."""
    with sparse(tmp_path / "board.img", 120) as device:
        run_tool(["sgdisk", "-n", f"1:{90 * 2048}:+20M", tmp_path / "board.img"])
        for place in (32 << 10, 12 * MIB + 700, 70 * MIB):
            device.write(place, bytes(range(1, 250)) * 40)
        image = opened(archive_of(device))
        outside = [(start, end) for start, end in image.used if end <= 90 * MIB]
        assert [start for start, _ in outside if start > 32 << 9] == [32 << 10, 12 * MIB]
        assert sum(end - start for start, end in outside) < 64 << 10
        target = MemoryDevice(120 * MIB)
        restore_disk(image, target)
        for start, end in outside:
            assert target.read(start, end - start) == device.read(start, end - start)
        assert target.read(70 * MIB, 10_000) == bytes(10_000)


def test_a_volume_that_grows_fills_its_partition(workshop: Path) -> None:
    for name, number in (("parted-gpt", 2), ("ours-gpt", 3), ("sfdisk-mbr", 13)):
        path, data = source(workshop, name)
        target = MemoryDevice(path.stat().st_size + 20 * MIB)
        restore_disk(opened(data), target, resize_last=True, clock=CLOCK)
        part = open_partition(target, read_table(target), number)
        usage = open_volume(part, clock=CLOCK).usage()
        was = opened(data).facts.get(number)
        assert was is not None
        assert usage.total > was.size * 1.2     # FAT12 and FAT16 end where their width has no more clusters


def test_the_disk_archive_of_a_partition_holds_the_chunks_of_its_full_archive(workshop: Path) -> None:
    """So an archive of one is told equal to the other chunk by chunk."""

    path, data = source(workshop, "parted-gpt")
    with FileDevice(path, writable=False) as device:
        part = open_partition(device, read_table(device), 2)
        sink = MemorySink()
        capture(survey(part, clock=CLOCK), sink, level=1)
    alone = FullImage(open_archive(sink.data))
    inside = opened(data).partition(2)
    assert [alone.chunks.record(index) for index in range(len(alone.chunks))] == [
        inside.chunks.record(index) for index in range(len(inside.chunks))
    ]
    assert inside.facts == alone.facts
    assert (inside.boot, inside.used) == (alone.boot, alone.used)


@pytest.mark.parametrize("name", ["sfdisk-mbr", "sgdisk-gpt"])
def test_every_partition_of_a_disk_archive_is_an_image_of_its_own(name: str, workshop: Path) -> None:
    path, data = source(workshop, name)
    image = opened(data)
    with FileDevice(path, writable=False) as device:
        for each in image.facts.leaves:
            part = image.partition(each.number)
            target = MemoryDevice(each.size)
            restore(part, target, verify=True)
            for start, end in part.used:
                assert target.read(start, end - start) == device.read(each.start + start, end - start)


def test_a_stream_restores_a_disk(workshop: Path, tmp_path: Path) -> None:
    _, data = source(workshop, "sgdisk-gpt")
    image = DiskImage.open(JoinedReader(io.BytesIO(data)))
    with sparse(tmp_path / "out.img", 90) as target:
        restore_disk(image, target, resize_last=True, verify=True, clock=CLOCK)
    judge(tmp_path / "out.img", opened(data), 4)
    shrinking = DiskImage.open(JoinedReader(io.BytesIO(data)))
    journal = JournalDevice(MemoryDevice(61 * MIB))
    with pytest.raises(StorageError, match=r"partition 4: .* this one comes in order only"):
        restore_disk(shrinking, journal, resize_last=True, clock=CLOCK)
    assert journal.writes == []


def test_what_is_there_already_is_not_written_again(workshop: Path) -> None:
    path, data = source(workshop, "sgdisk-gpt")
    target = MemoryDevice(path.stat().st_size)
    restore_disk(opened(data), target)
    partition = opened(data).facts.get(4)
    assert partition is not None
    place = partition.start + 2 * MIB
    target.write(place, bytes(reversed(target.read(place, 100_000))))
    journal = JournalDevice(target, keep_data=False)
    done = restore_disk(opened(data), journal, rewrite="DIFF")
    assert done.equal > done.used * 0.3
    # The head of the disk, the first chunk of every partition, and what differs.
    assert done.written < 5 * MIB
    assert compare_disk(opened(data), target) == []
    everything = restore_disk(opened(data), target, rewrite="ALL")
    assert everything.written + 512 * 34 + 33 * 512 >= everything.used
    assert everything.equal == 0
    with pytest.raises(StorageError, match='Rewrite is "SOME"; expected AUTO, ALL or DIFF'):
        restore_disk(opened(data), target, rewrite="SOME")


def test_comparing_names_the_chunks_that_differ(workshop: Path) -> None:
    path, data = source(workshop, "sfdisk-mbr")
    disk = OverlayDevice(MemoryDevice(path.read_bytes()))
    image = opened(data)
    assert compare_disk(image, disk) == []
    partition = image.facts.get(9)
    assert partition is not None
    disk.write(1000, b"changed")
    disk.write(partition.start + 1024, b"changed")
    assert compare_disk(image, disk) == [(0, MIB), (partition.start, MIB)]
    with pytest.raises(FormatError, match="the archive is of a disk of 50331648 bytes, this one has 1048576"):
        compare_disk(image, MemoryDevice(MIB))
    with pytest.raises(FormatError, match="in order only"):
        compare_disk(DiskImage.open(JoinedReader(io.BytesIO(data))), disk)


def test_progress_runs_over_the_whole_disk(workshop: Path) -> None:
    path, data = source(workshop, "sfdisk-mbr")
    seen: list[Event] = []
    image = opened(data)
    restore_disk(image, MemoryDevice(path.stat().st_size), verify=True, events=seen.append)
    for task in ("restore", "verify"):
        done = [int(str(event.data["done"])) for event in seen if event.kind is Kind.PROGRESS and event.data["task"] == task]
        assert done == sorted(done)
        assert done[-1] == image.used.total
        assert {event.data["total"] for event in seen if event.data.get("task") == task} == {image.used.total}


def test_the_same_disk_gives_the_same_bytes(workshop: Path) -> None:
    path, data = source(workshop, "sfdisk-mbr")
    with FileDevice(path, writable=False) as device:
        assert archive_of(device, threads=1) == data


# --- refusals --------------------------------------------------------------------------------------------------------


def test_readers_of_partitions_refuse_a_disk_archive_with_a_hint(workshop: Path) -> None:

    _, data = source(workshop, "ours-gpt")
    with pytest.raises(FormatError, match="the archive of a whole disk, not of a partition") as error:
        FullImage(Archive.open(MemoryDevice(data)))
    assert "image restore" in str(error.value.hint)
    with pytest.raises(FormatError, match="the archive of a whole disk"):
        open_partition_image(Archive.open(MemoryDevice(data)))
    assert open_partition_image(Archive.open(MemoryDevice(data)), 3).facts.filesystem == "EXT4"
    with pytest.raises(NotFoundError, match="has no partition 4") as missing:
        opened(data).partition(4)
    assert missing.value.hint == "its partitions: 1, 2, 3"
    _, nested = source(workshop, "ours-nested")
    with pytest.raises(FormatError, match="partition 2 of the archive's disk is an extended partition"):
        opened(nested).partition(2)


def test_a_full_archive_is_no_disk_archive() -> None:

    data = pack([b"x" * 4096], size=4096, meta={"family": "other"})
    with pytest.raises(FormatError, match="this is the archive of a partition, not of a whole disk"):
        opened(data)
    with pytest.raises(NotFoundError, match="the archive of one partition, it has no partition 2"):
        open_partition_image(Archive.open(MemoryDevice(data)), 2)


@pytest.mark.parametrize("name", ["sfdisk-mbr", "sgdisk-gpt"])
def test_a_disk_that_is_too_small_is_refused_before_the_first_write(name: str, workshop: Path) -> None:
    _, data = source(workshop, name)
    image = opened(data)
    last = max(image.facts.leaves, key=lambda each: each.end)
    target = JournalDevice(MemoryDevice(last.end - MIB))
    # Of an MBR the extended partition around it is the first that does not fit.
    number = 3 if name == "sfdisk-mbr" else last.number
    with pytest.raises(StorageError, match=f"partition {number} ends at byte {last.end}, beyond the") as error:
        restore_disk(image, target)
    assert error.value.hint == "--resize-last shrinks the last partition to the end of the disk"
    for size, words in ((last.start - MIB, "nothing is left for it"), (last.start + 200 * 1024, "do not fit|cannot|too small|needs")):
        target = JournalDevice(MemoryDevice(size))
        with pytest.raises(StorageError, match=f"partition {last.number}.*({words})"):
            restore_disk(image, target, resize_last=True, clock=CLOCK)
        assert target.writes == []


def test_ntfs_does_not_shrink_and_says_so(workshop: Path) -> None:
    _, data = source(workshop, "parted-mbr")
    target = JournalDevice(MemoryDevice(20 * MIB))
    with pytest.raises(StorageError, match=r"partition 2: the archive is of a partition of .* NTFS needs the same size or more"):
        restore_disk(opened(data), target, resize_last=True)
    assert target.writes == []


def test_partitions_that_overlap_or_leave_the_disk_are_refused(tmp_path: Path) -> None:

    sparse(tmp_path / "a.img", 16).close()
    sfdisk(tmp_path / "a.img", "label: dos\n2048,8M\n20480,4M\n")
    with FileDevice(tmp_path / "a.img") as device:
        device.write(446 + 16 + 8, (4096).to_bytes(4, "little"))        # no program of today makes such a table
        with pytest.raises(StorageError, match="partition 1 and partition 2 overlap: the disk cannot be captured as a whole"):
            survey_disk(device, clock=CLOCK)
        with pytest.raises(StorageError, match=r"partition 1 reaches to byte 9437184, but the disk ends at byte 5242880"):
            survey_disk(MemoryDevice(device.read(0, 5 * MIB)), clock=CLOCK)


def test_a_disk_without_a_table_gives_a_full_archive(tmp_path: Path) -> None:
    path = mkfs_fat(tmp_path / "floppy.img", 1440 * 1024, "-F", "12")
    with FileDevice(path, writable=False) as device:
        image = FullImage(Archive.open(MemoryDevice(archive_of(device))))
    assert image.archive.header.kind is ArchiveKind.FULL
    assert image.facts.whole_disk
    assert image.facts.filesystem == "FAT12"


def test_a_damaged_file_system_is_taken_as_it_is_with_a_warning(workshop: Path) -> None:
    path, _ = source(workshop, "parted-mbr")
    disk = OverlayDevice(MemoryDevice(path.read_bytes()))
    second = read_table(disk).get(2)
    assert second is not None
    disk.write(second.start + 40, (1 << 30).to_bytes(8, "little"))      # NTFS: more sectors than there are
    seen: list[Event] = []
    image = opened(archive_of(disk, events=seen.append))
    texts = [event.data["text"] for event in seen if event.kind is Kind.WARNING]
    assert len(texts) == 1
    assert str(texts[0]).startswith("partition 2 is taken as it is, with its unused blocks: ")
    part = image.partition(2)
    assert (part.facts.filesystem, part.facts.used) == ("RAW", second.size)
    assert ArchiveDevice(part.chunks).read(0, second.size) == disk.read(second.start, second.size)


def test_nothing_is_written_to_a_disk_that_is_captured(workshop: Path) -> None:
    path, data = source(workshop, "sfdisk-mbr")
    with FileDevice(path, writable=False) as device:
        assert archive_of(ReadOnlyDevice(device)) == data


