"""Whatever goes wrong while a disk is restored: nothing was written yet, or the disk has no partition table until it is complete."""

import io
import random
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.archive.container import Archive, ArchiveWriter, Header
from bpscript.archive.disk_image import DiskImage
from bpscript.archive.disk_restore import compare_disk, restore_disk
from bpscript.archive.positional import JoinedReader
from bpscript.archive.records import BOOT, TABLE_BYTES, USED, ArchiveKind, Json
from bpscript.archive.restore import restore
from bpscript.base.entropy import Entropy
from bpscript.base.errors import BpscriptError, FormatError, StorageError
from bpscript.base.units import MIB
from bpscript.blocks.device import BlockDevice, Buffer
from bpscript.blocks.faulty import FaultyDevice
from bpscript.blocks.journal import JournalDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.detect import detect, open_volume
from bpscript.filesystems.fat import FatVolume, format_fat
from bpscript.filesystems.swap import format_swap
from bpscript.partitions.plan import plan_partitions
from bpscript.partitions.table import open_partition, read_table
from tests.archive.archives import MemorySink
from tests.archive.disks import CLOCK, archive_of, make_volume, opened
from tests.oracles import cut_out, e2fsck, fdisk_rows, fsck_fat, run_tool
from tests.partitions.disks import put, sparse
from tests.partitions.test_moving import random_list

LISTS = {"gpt": "GPT BIGDOS:3 LINUX-SWAP:2 BIGDOS:2", "mbr": "BIGDOS:3 EXT:6 EMPTY EMPTY BIGDOS:2 EXT:4 EMPTY EMPTY LINUX-SWAP:3"}


@cache
def disk_of(name: str, seed: str, size: int = 12 * MIB) -> bytes:
    """A small disk with FAT volumes and a swap space."""
    rng = random.Random(seed)
    device = MemoryDevice(size)
    plan_partitions(LISTS[name], device, entropy=Entropy(seed)).apply(device)
    table = read_table(device)
    for each in table.partitions:
        part = open_partition(device, table, each.number)
        if each.word() == "BIGDOS":
            format_fat(part, 12, "SAFE", volume_id=rng.getrandbits(32))
            volume = FatVolume.on(part, clock=CLOCK)
            for number in range(5):
                volume.write_file(f"file {number}", [rng.randbytes(100_000 + number)])
            volume.close()
        elif each.word() == "LINUX-SWAP":
            format_swap(part, seed)
    device.write(512 if name == "mbr" else 64 << 10, rng.randbytes(40_000))
    return device.read(0, size)


@cache
def archive(name: str) -> bytes:
    return archive_of(MemoryDevice(disk_of(name, "source")), chunk_size=256 << 10, threads=1)


def former(name: str) -> MemoryDevice:
    """What is on the target before: a whole disk of the same kind, larger than the source."""
    return MemoryDevice(disk_of(name, "former", 14 * MIB))


def state_of(device: BlockDevice, name: str) -> str:
    """"former", "empty" or "complete"; anything else fails the test."""
    content = device.read(0, device.size)
    old = disk_of(name, "former", 14 * MIB)
    table = read_table(device)
    before = read_table(MemoryDevice(old))
    if table.partitions == before.partitions and all(content[each.start : each.end] == old[each.start : each.end] for each in before.partitions):
        return "former"
    if not table.partitions:
        assert detect(device) is None
        return "empty"
    image = opened(archive(name))
    assert [(each.number, each.start, each.size) for each in table.partitions] == [
        (each.number, each.start, each.size) for each in image.facts.partitions
    ]
    source = disk_of(name, "source")
    for each in image.facts.leaves:
        for start, end in image.used.part(each.start, each.end):
            assert content[each.start + start : each.start + end] == source[each.start + start : each.start + end]
        if each.facts is not None and each.facts.filesystem == "FAT12":
            assert open_volume(open_partition(device, table, each.number), clock=CLOCK).check() == []
    return "complete"


@pytest.mark.parametrize("name", LISTS)
def test_after_a_cut_at_any_write_there_is_no_table_and_a_second_run_completes(name: str) -> None:
    journal = JournalDevice(former(name))
    restore_disk(opened(archive(name)), journal, threads=1)
    writes = sum(entry.change != "flush" for entry in journal.writes)
    assert writes >= 20
    for allowed in range(writes):
        device = former(name)
        with pytest.raises(StorageError, match="faulty device"):
            restore_disk(opened(archive(name)), FaultyDevice(device, writes_allowed=allowed), threads=1)
        # The first write takes sector 0 and the last one brings it: for us a GPT counts without it. Linux wants it too.
        found = state_of(device, name)
        assert found in ({"former"} if allowed == 0 else {"former", "empty"} if allowed == 1 else {"empty", "complete"} if allowed == writes - 1 else {"empty"})
        if allowed % 7 == 0:
            again = restore_disk(opened(archive(name)), device, rewrite="DIFF")
            assert state_of(device, name) == "complete"
            if allowed > writes // 2:
                assert again.equal > 0


@pytest.mark.parametrize("name", LISTS)
def test_what_a_power_cut_leaves_never_looks_whole(name: str) -> None:
    """Writes since the last flush may arrive in any order, torn, or not at all."""
    journal = JournalDevice(former(name))
    restore_disk(opened(archive(name)), journal, threads=1)
    rng = random.Random(5)
    seen = set()
    for prefix in [*range(1, len(journal.writes) + 1), *[len(journal.writes)] * 5]:
        unflushed = list(journal.unflushed(prefix))
        cut = former(name)
        lost = rng.sample(unflushed, rng.randrange(len(unflushed) + 1))
        journal.replay(prefix, cut, lost=lost, torn=rng.choice([None, 512, 1024, 3584]))
        seen.add(state_of(cut, name))
    assert seen == {"former", "empty", "complete"}


@pytest.mark.parametrize("name", LISTS)
def test_a_damaged_chunk_leaves_a_disk_without_a_table(name: str) -> None:
    data = archive(name)
    whole = Archive.open(MemoryDevice(data))
    for index in range(0, len(whole), 3):
        if whole.record(index).kind == 0 and index < len(whole) - 1:
            damaged = bytearray(data)
            damaged[whole._positions[index] + 64 + 5] ^= 0x10
            for image in (opened(bytes(damaged)), DiskImage.open(JoinedReader(io.BytesIO(damaged)))):
                device = former(name)
                with pytest.raises(FormatError, match="archive"):
                    restore_disk(image, device)
                assert state_of(device, name) == "empty"


@pytest.mark.parametrize("share", range(0, 100, 9))
def test_a_stream_that_is_cut_short_leaves_a_disk_without_a_table(share: int) -> None:
    data = archive("gpt")
    device = former("gpt")
    with pytest.raises(FormatError):
        restore_disk(DiskImage.open(JoinedReader(io.BytesIO(data[: len(data) * share // 100]))), device)
    assert state_of(device, "gpt") in {"former", "empty"}


class Rotten(MemoryDevice):
    """One byte does not keep what was written."""

    def __init__(self, size: int, place: int) -> None:
        super().__init__(size)
        self.place = place

    def write(self, offset: int, data: Buffer) -> None:
        super().write(offset, data)
        if offset <= self.place < offset + memoryview(data).nbytes:
            super().write(self.place, bytes([self.read(self.place, 1)[0] ^ 1]))


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (150_000, "outside of partitions, read back differ"), (MIB + 300_000, "verify: 1 chunks read back differ"),
        (12 * MIB - 500, "the partition table read back at byte"), (40, "the first 131072 bytes read back differ"),
    ],
    ids=["track", "partition", "backup-gpt", "sector-0"],
)
def test_verify_finds_what_the_disk_did_not_keep(place: int, words: str) -> None:
    source = MemoryDevice(disk_of("gpt", "source"))
    source.write(140_000, random.Random(3).randbytes(20_000))
    image = opened(archive_of(source))
    restore_disk(image, Rotten(source.size, place))
    device = Rotten(source.size, place)
    with pytest.raises(StorageError, match=words):
        restore_disk(image, device, verify=True)
    assert place == 40 or read_table(device).scheme is None


def test_the_former_disk_shows_through_nowhere() -> None:
    """A GPT of which the backup stands elsewhere, on a disk that gets an MBR."""
    for size in (14, 20):
        device = MemoryDevice(size * MIB)
        device.write(0, disk_of("gpt", "former", 14 * MIB))     # on 20 MiB its backup is not at the end
        assert read_table(device).gpt is not None
        restore_disk(opened(archive("mbr")), device)
        assert read_table(device).warnings == ()
        assert read_table(device).scheme == "MBR"
        assert device.read(14 * MIB - 512, 8) == bytes(8)


# --- other sectors ---------------------------------------------------------------------------------------------------


def test_a_disk_goes_to_one_with_sectors_of_4096_bytes(tmp_path: Path) -> None:
    rng = random.Random(6)
    with sparse(tmp_path / "old.img", 80) as device:
        put(device, "GPT FAT16:40 LINUX-SWAP:4 LINUX-EXT2:20")
        table = read_table(device)
        for number, kind in ((1, "fat16"), (2, "swap")):
            volume = make_volume(tmp_path / kind, table.partitions[number - 1].size, kind, rng)
            device.write(table.partitions[number - 1].start, volume.read_bytes())
        ext = tmp_path / "ext"
        with ext.open("wb") as file:
            file.truncate(20 * MIB)
        run_tool(["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", ext])
        device.write(table.partitions[2].start, ext.read_bytes())
        image = opened(archive_of(device))
        rows = [(each.start, each.size) for each in table.partitions]
    with sparse(tmp_path / "new.img", 90) as target:
        restore_disk(image, target, sector_size=4096, verify=True, clock=CLOCK)
        new = read_table(target, 4096)
        assert new.warnings == ()
        assert FatVolume.on(open_partition(target, new, 1)).open("letter").read(1 << 20) == b"dear reader\n" * 1000
        assert open_partition(target, new, 1).read(11, 2) == (4096).to_bytes(2, "little")
        assert detect(open_partition(target, new, 2)) == "SWAP"
    assert sorted(fdisk_rows(tmp_path / "new.img", 4096)) == rows
    fsck_fat(cut_out(tmp_path / "new.img", *rows[0]))
    e2fsck(cut_out(tmp_path / "new.img", *rows[2]))


@pytest.mark.parametrize(("kind", "block"), [("ntfs", 512), ("ext2", 1024)])
def test_a_file_system_with_blocks_smaller_than_the_sectors_is_refused(kind: str, block: int, tmp_path: Path) -> None:
    with sparse(tmp_path / "old.img", 20) as device:
        put(device, "GPT LINUX-EXT2:8")
        volume = make_volume(tmp_path / kind, 8 * MIB, kind, random.Random(1))
        device.write(MIB, volume.read_bytes())
        image = opened(archive_of(device))
    target = JournalDevice(MemoryDevice(20 * MIB))
    with pytest.raises(StorageError, match=rf"partition 1: its {kind.upper()} is made of blocks of {block} bytes, which a disk with sectors of 4096"):
        restore_disk(image, target, sector_size=4096)
    assert target.writes == []


# --- hostile archives ------------------------------------------------------------------------------------------------


def rebuilt(meta: dict[str, Json], sections: dict[bytes, bytes]) -> DiskImage:
    """The archive of the small GPT disk with another header; its hashes are right."""
    whole = Archive.open(MemoryDevice(archive("gpt")))
    header = Header(
        ArchiveKind.DISK, whole.header.chunk_size, whole.header.size, {**whole.header.meta, **meta}, {**whole.header.sections, **sections}
    )
    sink = MemorySink()
    with ArchiveWriter(sink, header, level=1) as writer:
        for index in range(len(whole)):
            record = whole.record(index)
            if record.kind == 0:
                writer.add(whole.data(index))
            else:
                writer.add_zeros(record.length, used=record.kind == 1)
        writer.finish()
    return opened(sink.data)


PARTITION: dict[str, Json] = {"number": 1, "start": MIB, "size": 3 * MIB, "type": "x", "name": "", "boot": False, "family": "other"}


@pytest.mark.parametrize(
    ("meta", "sections", "words"),
    [
        ({"table": "apm"}, {}, "table 'APM'"),
        ({"sector_size": 513}, {}, "sectors of 513"),
        ({"partitions": 7}, {}, "makes no sense"),
        ({"partitions": "many"}, {}, "makes no sense"),
        ({"partitions": [PARTITION] * 1025}, {}, "1025 partitions"),
        ({"partitions": [7]}, {}, "a partition is no object"),
        ({"partitions": [{**PARTITION, "start": -1}]}, {}, "start is not a number"),
        ({"partitions": [{**PARTITION, "start": 1 << 62}]}, {}, "of a disk of 12582912"),
        ({"partitions": [{**PARTITION, "size": 0}]}, {}, "partition 1 lies at"),
        ({"partitions": [{**PARTITION, "number": 0}]}, {}, "partition 0 lies at"),
        ({"partitions": [PARTITION, {**PARTITION, "number": 2, "start": 2 * MIB}]}, {}, "partition 2 overlaps the one before"),
        ({"partitions": [PARTITION, {**PARTITION, "start": 5 * MIB}]}, {}, "two partitions have the same number"),
        ({"partitions": [{**PARTITION, "volume_size": 1 << 40}]}, {}, "volume size"),
        ({}, {BOOT: b"short"}, "section BOOT has 5 bytes"),
        ({"partitions": [PARTITION]}, {BOOT: bytes(8192)}, "list of partitions and the bytes of the partition table do not agree"),
        ({"table": "mbr"}, {}, "do not agree"),
        ({}, {TABLE_BYTES: b""}, "section TABL of 0 bytes"),
        ({}, {TABLE_BYTES: b"\xff\xff\xff\xff"}, "section TABL of 4 bytes"),
        ({}, {TABLE_BYTES: b"\x01\0\0\0" + bytes(8) + b"\x10\0\0\0"}, "TABL has 16 bytes, its pieces 32"),
        ({}, {TABLE_BYTES: b"\x01\0\0\0" + b"\xff" * 8 + b"\x01\0\0\0" + b"x"}, "a piece of 1 bytes at byte"),
        ({}, {TABLE_BYTES: b"\0\0\0\0"}, "do not agree"),
        ({}, {USED: b"\0"}, "list of used ranges"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_header_that_lies_is_refused(meta: dict[str, Json], sections: dict[bytes, bytes], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        rebuilt(meta, sections)


def test_chunks_that_cross_the_border_of_a_partition_are_refused() -> None:
    whole = Archive.open(MemoryDevice(archive("gpt")))
    raw = disk_of("gpt", "source")
    sink = MemorySink()
    with ArchiveWriter(sink, whole.header, level=1) as writer:
        writer.add(raw[: 100 << 10])
        for start in range(100 << 10, len(raw), 256 << 10):
            writer.add(raw[start : start + (256 << 10)])
        writer.finish()
    journal = JournalDevice(MemoryDevice(len(raw)))
    with pytest.raises(FormatError, match="no chunk ends where the part from byte"):
        restore_disk(opened(sink.data), journal)
    assert journal.writes == []
    with pytest.raises(FormatError, match="no chunk ends where the part from byte"):
        restore(opened(sink.data).partition(1), journal)
    assert journal.writes == []
    stream = MemoryDevice(len(raw))
    with pytest.raises(FormatError, match="no chunk ends where the part from byte"):
        restore_disk(DiskImage.open(JoinedReader(io.BytesIO(sink.data))), stream)
    assert read_table(stream).scheme is None


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_anywhere_gives_another_disk(data: st.DataObject) -> None:
    """From damaged bytes: one of our errors and a marked or spared disk, or exactly the right disk."""
    damaged = bytearray(archive("gpt"))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    stream = data.draw(st.booleans())
    device = former("gpt")
    try:
        restore_disk(DiskImage.open(JoinedReader(io.BytesIO(damaged))) if stream else opened(bytes(damaged)), device)
    except BpscriptError:
        assert state_of(device, "gpt") in {"former", "empty"}
    else:
        assert state_of(device, "gpt") == "complete"


# --- any disk --------------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False), st.booleans(), st.booleans())
def test_any_layout_comes_back(rng: random.Random, resize_last: bool, streamed: bool) -> None:
    """Partitions of unknown contents: every byte of them, and the table; on a disk of the same size the comparison finds nothing."""
    with_junk = MemoryDevice(40 * MIB)
    put(with_junk, random_list(rng), seed=str(rng.random()))
    table = read_table(with_junk)
    for each in table.partitions:
        if not each.is_extended:
            for _ in range(rng.randint(0, 3)):
                at = rng.randrange(each.size)
                with_junk.write(each.start + at, rng.randbytes(min(each.size - at, rng.randint(1, 70_000))))
    data = archive_of(with_junk)
    image = opened(data)
    assert compare_disk(image, with_junk) == []
    target = MemoryDevice(40 * MIB + rng.choice([0, 0, 512, 5 * MIB, 9 * MIB + 1000]))
    resize_last = resize_last and bool(table.partitions)
    restore_disk(DiskImage.open(JoinedReader(io.BytesIO(data))) if streamed else image, target, resize_last=resize_last, verify=True)
    now = read_table(target)
    assert now.warnings == ()
    assert [(each.number, each.start, each.type) for each in now.partitions] == [(each.number, each.start, each.type) for each in table.partitions]
    for each in table.partitions:
        if not each.is_extended:
            there = now.get(each.number)
            assert there is not None
            assert there.size >= each.size
            assert target.read(each.start, each.size) == with_junk.read(each.start, each.size)
    if target.size == with_junk.size and now.partitions == table.partitions:
        assert compare_disk(image, target) == []


