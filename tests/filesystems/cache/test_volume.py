"""The cache: files in and out, eviction, damage, and what a power cut leaves."""

import random
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from bpscript.base.clock import Clock
from bpscript.base.errors import FormatError, InTheWayError, NoSpaceError, NotFoundError, StorageError
from bpscript.base.sources import SourceFacts
from bpscript.base.units import KIB, MIB
from bpscript.blocks.device import BlockDevice
from bpscript.blocks.faulty import FaultyDevice
from bpscript.blocks.file import FileDevice
from bpscript.blocks.journal import Change, JournalDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.blocks.overlay import OverlayDevice
from bpscript.blocks.readonly import ReadOnlyDevice
from bpscript.blocks.slice import SliceDevice
from bpscript.filesystems.cache import CacheVolume, cache_valid, format_cache
from bpscript.filesystems.cache.layout import BLOCK, CHECKSUMS, MOST_EXTENTS, SLOT, Entry, Geometry, blocks_for
from bpscript.filesystems.filesystem import Facts, FileKind, Filesystem, make_dirs, remove_tree, walk
from tests.power_cuts import PowerCuts

CLOCK = Clock(1_000_000_000)


def area(size: int = 2 * MIB, start: int = MIB) -> SliceDevice:
    return SliceDevice(MemoryDevice(start + size), start, size)


def volume_on(device: BlockDevice, *, reserve: bool = True) -> CacheVolume:
    return CacheVolume.on(device, clock=CLOCK, reserve=reserve)


def contents(volume: CacheVolume, name: str) -> bytes:
    with closing(volume.open(name)) as reader:
        return reader.read()


def listing(volume: CacheVolume) -> dict[str, bytes]:
    return {name: contents(volume, name) for name, _ in volume.entries("")}


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def test_it_is_a_filesystem() -> None:
    volume: Filesystem = volume_on(area())
    assert (volume.kind, volume.label, volume.ident, volume.ignores_case) == ("CACHE", "", "", False)


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 40 * BLOCK, 40 * BLOCK + 7])
@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("step", [1000, BLOCK, 2 * MIB])
def test_what_is_written_is_read_back_after_opening_again(size: int, announced: bool, step: int) -> None:
    device = area(4 * MIB)
    data = noise(size)
    volume = volume_on(device)
    volume.write_file("win.imz", (data[start : start + step] for start in range(0, size, step)), size if announced else None)
    volume.close()
    again = volume_on(device)
    assert contents(again, "win.imz") == data
    assert again.stat("win.imz") == Facts(FileKind.FILE, size, 1_000_000_000)
    assert again.check() == []


def test_a_file_with_several_blocks_of_checksums() -> None:
    size = (CHECKSUMS + 5) * BLOCK
    volume = volume_on(OverlayDevice(EndlessDevice(size + 64 * MIB)))
    block = noise(BLOCK)
    volume.write_file("big", (block for _ in range(CHECKSUMS + 5)), size)
    with closing(volume.open("big")) as reader:
        for _ in range(CHECKSUMS + 5):
            assert reader.read(BLOCK) == block
        assert reader.read(1) == b""


class EndlessDevice(MemoryDevice):
    """All zeros, without the memory."""

    def __init__(self, size: int) -> None:
        super().__init__(0)
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        view = memoryview(buffer).cast("B")
        view[:] = bytes(len(view))

    def read(self, offset: int, length: int) -> bytes:
        return bytes(length)


def test_buffers_may_be_reused_by_the_giver() -> None:
    def chunks() -> Iterator[bytearray]:
        buffer = bytearray(5000)
        for value in range(100):
            buffer[:] = bytes((value,)) * 5000
            yield buffer

    volume = volume_on(area())
    volume.write_file("x", chunks())
    assert contents(volume, "x") == b"".join(bytes((value,)) * 5000 for value in range(100))


# Place and size of the area


def test_nothing_is_written_before_the_first_file() -> None:
    device = area()
    volume = volume_on(device)
    assert volume.entries("") == []
    volume.flush()
    assert device.read(0, device.size) == bytes(device.size)
    assert list(volume.used_ranges()) == []


@pytest.mark.parametrize(("start", "size"), [(MIB + 512, 2 * MIB - 512), (MIB, 2 * MIB - 512), (2 * MIB, MIB), (0, 3 * MIB)])
def test_an_area_that_moved_is_a_new_cache(start: int, size: int) -> None:
    disk = MemoryDevice(3 * MIB)
    volume = volume_on(SliceDevice(disk, MIB, 2 * MIB))
    volume.write_file("x", [b"old"])
    volume.close()
    moved = volume_on(SliceDevice(disk, start, size))
    assert moved.entries("") == []
    moved.write_file("y", [b"new"])
    assert listing(volume_on(SliceDevice(disk, start, size))) == {"y": b"new"}


def test_an_area_at_the_same_place_is_the_same_cache() -> None:
    device = area()
    volume_on(device).write_file("x", [b"data"])
    assert listing(volume_on(device)) == {"x": b"data"}


@pytest.mark.parametrize("size", [0, 512, 100 * KIB])
def test_an_area_too_small_for_a_cache(size: int) -> None:
    device = MemoryDevice(size)
    volume = volume_on(device)
    assert (volume.usage().total, volume.entries(""), cache_valid(device)) == (0, [], False)
    with pytest.raises(NoSpaceError, match="does not fit into the cache"):
        volume.write_file("x", [b""], 1)
    with pytest.raises(NoSpaceError, match=f"free space at the end of the disk \\({size} bytes\\) is too small"):
        volume.write_file("x", [b""])
    with pytest.raises(NoSpaceError, match="too small for a cache"):
        format_cache(device)


def test_clean_makes_it_empty() -> None:
    device = area()
    volume_on(device).write_file("x", [b"data"])
    format_cache(device)
    assert volume_on(device).entries("") == []
    assert cache_valid(device)


# Names


def test_directories_are_no_objects() -> None:
    volume = volume_on(area())
    make_dirs(volume, "images/win")
    assert not volume.exists("images")
    volume.write_file("images/win/98.imz", [b"1"])
    volume.write_file("10.0.0.2@69:images/win/98.imz", [b"2"])
    volume.write_file("IMAGES", [b"3"])
    assert volume.stat("images").kind is FileKind.DIRECTORY
    assert sorted(name for name, _ in volume.entries("")) == ["10.0.0.2@69:images/win/98.imz", "IMAGES", "images/win/98.imz"]
    assert [name for name, _ in volume.entries("images")] == ["win/98.imz"]
    assert [path for path, _ in walk(volume, "images")] == ["images/win/98.imz"]
    remove_tree(volume, "images")
    assert not volume.exists("images")
    with pytest.raises(NotFoundError):
        volume.remove("images")


def test_what_is_in_the_way_is_named() -> None:
    volume = volume_on(area())
    volume.write_file("a/b", [b"x"])
    attempts: list[Callable[[], object]] = [
        lambda: volume.write_file("a", [b""]), lambda: volume.open("a"), lambda: volume.rename("a/b", "a")
    ]
    for attempt in attempts:
        with pytest.raises(InTheWayError, match='"a" in the cache is a directory'):
            attempt()
    attempts = [lambda: volume.write_file("a/b/c", [b""]), lambda: volume.make_dir("a/b"), lambda: volume.entries("a/b")]
    for attempt in attempts:
        with pytest.raises(InTheWayError, match='"a/b" in the cache is a file'):
            attempt()
    with pytest.raises(InTheWayError, match='"a" in the cache is not empty'):
        volume.remove("a")


def test_missing_files_are_named() -> None:
    volume = volume_on(area())
    for attempt in (volume.open, volume.stat, volume.remove, lambda name: volume.rename(name, "y"), lambda name: volume.set_facts(name, Facts(FileKind.FILE))):
        with pytest.raises(NotFoundError, match='no file "x" in the cache'):
            attempt("x")
    with pytest.raises(NotFoundError, match='no directory "x" in the cache'):
        volume.entries("x")


def test_names_have_up_to_255_characters() -> None:
    device = area()
    volume = volume_on(device)
    longest = "\N{GRINNING FACE}" * 255
    volume.write_file(longest, [b"x"])
    assert listing(volume_on(device)) == {longest: b"x"}
    for name, reason in [("x" * 256, "256 characters"), ("", "cannot be a name"), ("a\0", "cannot be a name"), ("a//b", "cannot be a name"),
                         ("../x", "cannot be a name"), ("\ud800", "no Unicode text")]:
        with pytest.raises(StorageError, match=reason):
            volume.write_file(name, [b""])
    assert listing(volume) == {longest: b"x"}


def test_rename_and_times() -> None:
    device = area()
    volume = volume_on(device)
    volume.write_file("a", [b"data"])
    volume.write_file("b", [b"other"])
    with pytest.raises(InTheWayError, match='"b" is in the cache already'):
        volume.rename("a", "b")
    volume.rename("a", "c/d")
    volume.set_facts("c/d", Facts(FileKind.FILE, mtime_ns=-5))
    volume.set_facts("c", Facts(FileKind.DIRECTORY, mtime_ns=7))
    again = volume_on(device)
    assert listing(again) == {"b": b"other", "c/d": b"data"}
    assert again.stat("c/d").mtime_ns == -5
    assert again.usage() == volume.usage()


# Is it still the one on the server?


def test_a_file_is_current_by_size_and_time_or_by_size_and_first_block() -> None:
    device = area()
    volume = volume_on(device)
    data = noise(100_000)
    volume.write_file("x", [data], None, Facts(FileKind.FILE, mtime_ns=123))
    volume.write_file("untimed", [data])
    again = volume_on(device)
    assert again.is_current("x", SourceFacts(100_000, 123))
    assert not again.is_current("x", SourceFacts(100_000, 124))
    assert not again.is_current("x", SourceFacts(100_001, 123))
    assert not again.is_current("untimed", SourceFacts(100_000, 1_000_000_000)), "the time of our writing is not the server's"
    assert again.is_current("x", SourceFacts(100_000, None), data[:BLOCK])
    assert again.is_current("x", SourceFacts(None, None), data)
    assert not again.is_current("x", SourceFacts(100_000, None), b"other")
    assert not again.is_current("x", SourceFacts(100_000, None))
    assert not again.is_current("nothing", SourceFacts(0, 0))


# Room


def test_the_least_recently_used_files_go() -> None:
    device = area(2 * MIB)
    volume = volume_on(device, reserve=False)
    total = volume.usage().total // BLOCK
    size = total // 4 * BLOCK - 2 * BLOCK
    for name in "abcd":
        volume.write_file(name, [noise(size)], size)
    contents(volume, "a")
    volume.close()
    volume = volume_on(device, reserve=False)       # the order lasts
    volume.write_file("e", [noise(size)], size)
    assert sorted(name for name, _ in volume.entries("")) == ["a", "c", "d", "e"]
    volume.write_file("f", [noise(2 * size)])       # a size that nobody told
    assert sorted(name for name, _ in volume.entries("")) == ["a", "e", "f"]
    assert volume.check() == []


def test_a_file_that_can_never_fit_is_refused_before_anything_is_touched() -> None:
    device = area()
    volume = volume_on(device)
    volume.write_file("a", [b"a"])
    before = device.read(0, device.size)
    total = volume.usage().total
    with pytest.raises(NoSpaceError, match=f'"b" with {total} bytes does not fit into the cache of {total} bytes'):
        volume.write_file("b", [b""], total)
    assert device.read(0, device.size) == before


def test_a_file_of_unknown_size_that_does_not_fit_leaves_an_empty_cache_and_no_part_of_it() -> None:
    device = area()
    volume = volume_on(device)
    with pytest.raises(NoSpaceError, match='"b" does not fit'):
        volume.write_file("b", (noise(MIB) for _ in range(10)))
    assert volume.entries("") == []
    assert volume.usage().free == volume.usage().total
    assert volume_on(device).entries("") == []


def test_the_reserve_is_a_quarter_and_holds_a_bigger_successor_in_place() -> None:
    device = area(4 * MIB)
    volume = volume_on(device)
    size = 70 * BLOCK
    volume.write_file("win.imz", [noise(size)], size)
    [range_before] = volume.used_ranges()
    assert volume.usage().total - volume.usage().free == (71 + 71 // 4) * BLOCK
    bigger = noise(80 * BLOCK, 1)
    volume.write_file("win.imz", [bigger], len(bigger))
    assert contents(volume, "win.imz") == bigger
    assert next(iter(volume.used_ranges()))[0] == range_before[0]
    assert len(volume.entries("")) == 1


def test_no_file_goes_for_the_sake_of_a_reserve() -> None:
    volume = volume_on(area())
    total = volume.usage().total // BLOCK
    half = (total // 2 - 1) * BLOCK
    volume.write_file("a", [noise(half)], half)
    volume.write_file("b", [noise(half - BLOCK * (total // 8))], None)
    assert sorted(name for name, _ in volume.entries("")) == ["a", "b"]


def test_without_reserve_a_file_takes_what_it_needs() -> None:
    for size in (10 * BLOCK, None):
        volume = volume_on(area(), reserve=False)
        volume.write_file("a", [noise(10 * BLOCK)], size)
        assert volume.usage().total - volume.usage().free == 11 * BLOCK


def test_scattered_room_is_used() -> None:
    volume = volume_on(area(4 * MIB), reserve=False)
    total = volume.usage().total // BLOCK
    names = [f"{number:03}" for number in range(total // 2)]
    for name in names:
        volume.write_file(name, [b"x"], 1)
    for name in names[::2]:
        volume.remove(name)
    free = volume.usage().free // BLOCK
    size = (free - 1) * BLOCK
    assert free > 20
    volume.write_file("big", [noise(size)], size)
    assert contents(volume, "big") == noise(size)
    assert len(volume.entries("")) == len(names[1::2]) + 1


def test_the_directory_is_bounded() -> None:
    device = area(4 * MIB)
    volume = volume_on(device, reserve=False)
    slots = Geometry(MIB, 4 * MIB).slots
    for number in range(slots + 10):
        volume.write_file(str(number), [b""])
    assert sorted(map(int, (name for name, _ in volume.entries("")))) == list(range(10, slots + 10))
    volume.write_file("15", [b"replaced"])
    assert contents(volume_on(device), "15") == b"replaced"


def test_a_file_being_read_keeps_its_blocks() -> None:
    device = area(2 * MIB)
    volume = volume_on(device, reserve=False)
    data = noise(30 * BLOCK)
    volume.write_file("a", [data], len(data))
    reader = volume.open("a")
    first = reader.read(1000)
    volume.write_file("a", [b"new"])
    with pytest.raises(NoSpaceError):
        volume.write_file("b", [noise(40 * BLOCK)], 40 * BLOCK)
    assert first + reader.read() == data
    reader.close()
    reader.close()
    volume.write_file("b", [noise(40 * BLOCK)], 40 * BLOCK)
    assert contents(volume, "b") == noise(40 * BLOCK)


def test_a_file_is_not_dropped_while_it_is_copied_inside_the_cache() -> None:
    volume = volume_on(area(2 * MIB), reserve=False)
    data = noise(20 * BLOCK)
    volume.write_file("a", [data], len(data))
    with closing(volume.open("a")) as reader:
        volume.write_file("b", iter(lambda: reader.read(10_000), b""), len(data))
    assert listing(volume) == {"a": data, "b": data}


# Failures of the giver


@pytest.mark.parametrize("failure", [KeyboardInterrupt("x"), StorageError("the server is gone")])
@pytest.mark.parametrize("size", [50 * BLOCK, None])
def test_what_is_not_completely_given_is_not_there(failure: BaseException, size: int | None) -> None:
    device = area(4 * MIB)
    volume = volume_on(device)
    volume.write_file("a", [b"old"])

    def chunks() -> Iterator[bytes]:
        yield noise(40 * BLOCK)
        raise failure

    with pytest.raises(type(failure)):
        volume.write_file("a", chunks(), size)
    assert listing(volume) == listing(volume_on(device)) == {"a": b"old"}
    assert volume.usage() == volume_on(device).usage()


@pytest.mark.parametrize("announced", [99, 101])
def test_a_size_that_was_wrong_is_refused(announced: int) -> None:
    volume = volume_on(area())
    with pytest.raises(StorageError, match=f'"a" has 100 bytes, {announced} were announced'):
        volume.write_file("a", [bytes(100)], announced)
    assert volume.entries("") == []


# Damage


def corrupt(device: BlockDevice, offset: int) -> None:
    device.write(offset, bytes((device.read(offset, 1)[0] ^ 0x40,)))


def test_a_damaged_small_file_is_not_found() -> None:
    device = area()
    volume = volume_on(device)
    volume.write_file("a", [noise(100)])
    corrupt(device, Geometry(MIB, 2 * MIB).data_offset + 99)
    assert [str(problem) for problem in volume.check()] == ['a: the cache no longer holds "a": block 0 does not check']
    with pytest.raises(NotFoundError, match='the cache no longer holds "a": block 0 does not check') as caught:
        volume.open("a")
    assert caught.value.hint == "it will be fetched again"
    assert not volume.exists("a")
    assert volume_on(device).entries("") == []
    assert volume.usage().free == volume.usage().total


@pytest.mark.parametrize("block", [0, 39, 50, 51])
def test_a_damaged_big_file_ends_at_the_block(block: int) -> None:
    device = area(4 * MIB)
    volume = volume_on(device)
    volume.write_file("a", [noise(51 * BLOCK)], 51 * BLOCK)
    geometry = Geometry(MIB, 4 * MIB)
    corrupt(device, geometry.block_offset(block) + 5)
    reader = volume.open("a")
    with pytest.raises(FormatError, match=f"block {block} does not check"):
        list(iter(lambda: reader.read(1000), b""))
    reader.close()
    assert volume_on(device).entries("") == []
    assert volume.usage().free == volume.usage().total


def test_bytes_behind_the_end_of_a_file_mean_nothing() -> None:
    device = area()
    volume = volume_on(device)
    volume.write_file("a", [noise(100)])
    corrupt(device, Geometry(MIB, 2 * MIB).data_offset + 100)
    assert contents(volume, "a") == noise(100)


def test_a_damaged_entry_disappears_alone() -> None:
    device = area()
    volume = volume_on(device)
    for name in "abc":
        volume.write_file(name, [name.encode()])
    corrupt(device, Geometry(MIB, 2 * MIB).slot_offset(1) + 70)
    assert listing(volume_on(device)) == {"a": b"a", "c": b"c"}


def test_a_damaged_header_is_an_empty_cache() -> None:
    device = area()
    volume_on(device).write_file("a", [b"x"])
    corrupt(device, 100)
    assert volume_on(device).entries("") == []


def test_a_whole_block_of_another_file_does_not_check() -> None:
    device = area()
    volume = volume_on(device, reserve=False)
    volume.write_file("a", [noise(BLOCK)], BLOCK)
    volume.write_file("b", [noise(BLOCK, 1)], BLOCK)
    geometry = Geometry(MIB, 2 * MIB)
    device.write(geometry.block_offset(2), device.read(geometry.block_offset(0), 2 * BLOCK))
    with pytest.raises(NotFoundError):
        volume.open("b")


def test_reading_from_a_read_only_disk() -> None:
    device = area()
    volume_on(device).write_file("a", [noise(100)])
    volume = volume_on(SliceDevice(ReadOnlyDevice(MemoryDevice(bytes(MIB) + device.read(0, device.size))), MIB, 2 * MIB))
    assert contents(volume, "a") == noise(100)
    volume.close()
    with pytest.raises(StorageError, match="read"):
        volume.write_file("b", [b""])
    bad = MemoryDevice(bytes(MIB) + device.read(0, device.size))
    corrupt(bad, MIB + Geometry(MIB, 2 * MIB).data_offset)
    damaged = volume_on(SliceDevice(ReadOnlyDevice(bad), MIB, 2 * MIB))
    with pytest.raises(NotFoundError):
        damaged.open("a")


# Hostile bytes


GEOMETRY = Geometry(MIB, 2 * MIB)
any_number = st.integers(0, 2**32 - 1)
extents = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), min_size=1, max_size=3) | st.lists(st.tuples(any_number, any_number), max_size=6)
entries = st.builds(
    Entry,
    name=st.text("abcdef", min_size=1, max_size=3) | st.text("ab/.", max_size=6),
    generation=st.integers(0, 20) | st.integers(0, 2**64 - 1),
    seed=st.integers(0, 2**64 - 1),
    size=st.integers(0, BLOCK) | st.integers(0, 40 * BLOCK) | st.integers(0, 2**64 - 1),
    mtime_ns=st.integers(-(2**63), 2**63 - 1),
    server_time=st.booleans(),
    first_block=st.binary(min_size=16, max_size=16),
    extents=extents.map(tuple),
)


@given(st.lists(entries, max_size=12), st.lists(st.integers(0, 2**64 - 1), max_size=12))
@settings(max_examples=150, deadline=None)
def test_hostile_entries_are_left_out_or_sound(found: list[Entry], uses: list[int]) -> None:
    """Whatever entries check by their CRC, the volume opens, its files share no block, and writing goes on."""
    device = area()
    format_cache(device)
    for slot, entry in enumerate(found):
        device.write(GEOMETRY.slot_offset(slot), entry.to_bytes())
    device.write(4096, struct.pack(f"<{len(uses)}Q", *uses))
    volume = volume_on(device)
    spans = list(volume.used_ranges())
    assert all(a < b for a, b in spans)
    assert sum(b - a for a, b in spans) - GEOMETRY.data_offset == volume.usage().total - volume.usage().free
    for name, facts in volume.entries(""):
        assert facts.size <= device.size
        with suppress(FormatError, NotFoundError), closing(volume.open(name)) as reader:
            reader.read()
    try:
        volume.write_file("a", [noise(1000)])
    except InTheWayError:
        return
    volume.close()
    assert contents(volume_on(device), "a") == noise(1000)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_random_damage_gives_old_contents_or_nothing(data: st.DataObject) -> None:
    device = area()
    volume = volume_on(device)
    files = {str(number): noise(number * 9000, number) for number in range(8)}
    for name, content in files.items():
        volume.write_file(name, [content])
    used = GEOMETRY.data_offset + 40 * BLOCK
    for _ in range(data.draw(st.integers(1, 30))):
        offset = data.draw(st.integers(0, used - 9) | st.integers(GEOMETRY.directory_offset, GEOMETRY.slot_offset(8)))
        device.write(offset, data.draw(st.binary(min_size=1, max_size=8)))
    again = volume_on(device)
    for name, _ in again.entries(""):
        with suppress(NotFoundError):
            assert contents(again, name) == files[name]


def test_an_entry_survives_its_bytes() -> None:
    entry = Entry("n\u00e4me/x", 7, 5, 3 * BLOCK, -1, True, b"0123456789abcdef", ((3, 2), (9, 2)))
    slot = entry.to_bytes()
    assert len(slot) == SLOT
    assert Entry.from_bytes(slot, 100) == entry
    assert Entry.from_bytes(slot, 10) is None
    for wrong in (replace(entry, size=5 * BLOCK), replace(entry, extents=((3, 4), (5, 0))), replace(entry, name="a/../b"), replace(entry, generation=1 << 62)):
        assert Entry.from_bytes(wrong.to_bytes(), 100) is None
    many = bytearray(slot)
    many[36:38] = (MOST_EXTENTS + 1).to_bytes(2, "little")
    many[4:8] = crc32(many[8:]).to_bytes(4, "little")
    assert Entry.from_bytes(bytes(many), 100) is None
    bad_name = bytearray(slot)
    bad_name[64] = 0xFF
    bad_name[4:8] = crc32(bad_name[8:]).to_bytes(4, "little")
    assert Entry.from_bytes(bytes(bad_name), 100) is None


def test_a_second_reading_of_the_format() -> None:
    """FORMAT.md followed by hand, without the module's own layout."""
    device = area()
    data = noise(40_000)
    volume_on(device).write_file("dir/x", [data], None, Facts(FileKind.FILE, mtime_ns=99))
    raw = device.read(0, device.size)
    assert raw[:8] == b"BPCACHE\0"
    version, block, start, size, slots, _, base = struct.unpack_from("<IIQQIIQ", raw, 8)
    assert (version, block, start, size, slots) == (1, 32768, MIB, 2 * MIB, 64)
    assert crc32(raw[:508]) == int.from_bytes(raw[508:512], "little")
    directory = 4096 + 4096
    assert base == -(-(directory + slots * 2048) // 32768) * 32768
    slot = raw[directory : directory + 2048]
    magic, crc, generation, length, mtime, flags, count, name_length = struct.unpack_from("<4sIQQqIHH", slot)
    assert (magic, crc, generation, length, mtime, flags, count) == (b"BPCE", crc32(slot[8:]), 1, 40_000, 99, 1, 1)
    assert slot[64 : 64 + name_length] == b"dir/x"
    first, _ = struct.unpack_from("<II", slot, 1088)
    seed = slot[56:64]
    where = base + first * 32768
    assert raw[where : where + 40_000] == data
    table = raw[where + 2 * 32768 : where + 3 * 32768]
    checksums = struct.unpack_from("<2I", table)
    assert checksums[0] == crc32(seed + (0).to_bytes(8, "little") + data[:32768])
    assert checksums[1] == crc32(seed + (1).to_bytes(8, "little") + data[32768:])
    assert int.from_bytes(table[-4:], "little") == crc32(seed + (2).to_bytes(8, "little") + table[:-4])


# Files that come in pieces


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5 * BLOCK + 100), st.lists(st.tuples(st.integers(0, 5 * BLOCK), st.integers(1, 3 * BLOCK)), max_size=12), st.randoms())
def test_pieces_in_any_order_make_the_file(size: int, pieces: list[tuple[int, int]], order: random.Random) -> None:
    volume, wanted = volume_on(area()), noise(size)
    filling = volume.fill("x", size, Facts(FileKind.FILE, mtime_ns=5))
    for start, length in pieces:
        filling.put(min(start, size), wanted[start : start + length])
    assert not volume.exists("x")
    missing = filling.missing()
    assert filling.filled + sum(end - start for start, end in missing) == size
    order.shuffle(missing)
    for start, end in missing:
        filling.put(start, wanted[start:end])
    filling.commit()
    filling.abandon()           # too late: nothing happens
    assert volume.check() == []
    assert contents(volume, "x") == wanted
    assert volume.is_current("x", SourceFacts(size, 5))
    assert volume.is_current("x", SourceFacts(size, None), wanted[:BLOCK])


def test_a_file_that_is_abandoned_leaves_its_room() -> None:
    volume = volume_on(area())
    free = volume.usage().free
    filling = volume.fill("x", 10 * BLOCK)
    filling.put(0, noise(3 * BLOCK))
    assert volume.usage().free < free
    filling.abandon()
    assert volume.usage().free == free
    assert not volume.exists("x")


def test_parts_of_blocks_that_wait_are_bounded() -> None:
    volume = volume_on(area(64 * MIB))
    size = 600 * BLOCK
    wanted = noise(size)
    filling = volume.fill("x", size)
    for index in range(600):
        filling.put(index * BLOCK, wanted[index * BLOCK : index * BLOCK + 100])
    for index in range(600):
        filling.put(index * BLOCK + 100, wanted[index * BLOCK + 100 : (index + 1) * BLOCK])
    missing = filling.missing()
    assert 0 < len(missing) < 600
    for start, end in missing:
        filling.put(start, wanted[start:end])
    filling.commit()
    assert contents(volume, "x") == wanted


def test_threads_fill_a_file_together() -> None:
    volume = volume_on(area(16 * MIB))
    wanted = noise(8 * MIB + 5)
    filling = volume.fill("x", len(wanted))
    step = 100_003
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda start: filling.put(start, wanted[start : start + step]), range(0, len(wanted), step)))
    assert filling.missing() == []
    filling.commit()
    assert contents(volume, "x") == wanted


# Power cuts


def script(volume: CacheVolume) -> list[dict[str, bytes]]:
    """Some commands; after each the states that the cache may be in from then on, until the next is finished."""
    big = noise(20 * BLOCK, 2)
    states: list[dict[str, bytes]] = [{}]
    volume.write_file("a", [noise(50_000, 1)], 50_000)
    states.append({"a": noise(50_000, 1)})
    volume.write_file("b", [big], len(big))
    states.append(states[-1] | {"b": big})
    volume.write_file("a", [noise(60_000, 3)])
    states.append(states[-1] | {"a": noise(60_000, 3)})
    volume.rename("a", "c")
    states.append({"b": big, "c": noise(60_000, 3)})
    volume.write_file("d", [noise(25 * BLOCK, 4)], 25 * BLOCK)      # there is no room: b goes
    states.append({"c": noise(60_000, 3), "d": noise(25 * BLOCK, 4)})
    volume.remove("c")
    states.append({"d": noise(25 * BLOCK, 4)})
    volume.write_file("d", [noise(30 * BLOCK, 5)], 30 * BLOCK)      # there is no room for both versions
    states.append({"d": noise(30 * BLOCK, 5)})
    filling = volume.fill("e", 20 * BLOCK + 17)                     # d goes
    wanted = noise(20 * BLOCK + 17, 6)
    for start in (5 * BLOCK - 3, 0, 15 * BLOCK, 9 * BLOCK):
        filling.put(start, wanted[start : start + 7 * BLOCK])
    volume.write_file("f", [noise(1000, 7)])
    filling.commit()
    states.append({"e": wanted, "f": noise(1000, 7)})
    volume.close()
    return states


def readable(device: BlockDevice) -> dict[str, bytes]:
    volume = volume_on(device)
    found = {}
    for name, _ in volume.entries(""):
        with suppress(NotFoundError):
            found[name] = contents(volume, name)
    return found


@pytest.mark.parametrize("most", [120, pytest.param(None, marks=pytest.mark.slow)], ids=["some", "all"])
def test_a_power_cut_leaves_whole_files_only(most: int | None, record_property: Callable[[str, object], None]) -> None:
    """What is there was written so, and the cache goes on working."""
    cuts = PowerCuts(MemoryDevice(2 * MIB), lambda disk: script(volume_on(disk, reserve=False)))
    versions = {(name, data) for state in script(volume_on(MemoryDevice(2 * MIB), reserve=False)) for name, data in state.items()}

    def judge(disk: BlockDevice) -> str:
        found = readable(OverlayDevice(disk))
        found.pop("after", None)
        assert set(found.items()) <= versions
        return f"{len(found)} files"

    def again(disk: BlockDevice) -> None:
        volume_on(disk, reserve=False).write_file("after", [noise(100_000, 9)])
        assert contents(volume_on(disk, reserve=False), "after") == noise(100_000, 9)

    record_property("tried", str(cuts.check("cache", judge, again=again, most=most, final=lambda state: True)))


@pytest.mark.parametrize("most", [60, pytest.param(None, marks=pytest.mark.slow)], ids=["some", "all"])
def test_what_was_there_survives_a_power_cut_unless_its_room_was_needed(most: int | None, record_property: Callable[[str, object], None]) -> None:
    before = MemoryDevice(2 * MIB)
    volume = volume_on(before, reserve=False)
    volume.write_file("old", [noise(50_000, 1)])
    volume.write_file("x", [noise(70_000, 2)])
    volume.close()

    def work(disk: BlockDevice) -> None:
        volume_on(disk, reserve=False).write_file("x", [noise(80_000, 3)])

    def judge(disk: BlockDevice) -> str:
        found = readable(OverlayDevice(disk))
        assert found["old"] == noise(50_000, 1)
        return {noise(70_000, 2): "old", noise(80_000, 3): "new"}[found["x"]]

    record_property("tried", str(PowerCuts(before, work).check("cache, replaced", judge, again=work, most=most)))


def test_room_is_free_for_certain_before_it_is_written_to() -> None:
    journal = JournalDevice(MemoryDevice(2 * MIB))
    volume = volume_on(journal, reserve=False)
    geometry = Geometry(0, 2 * MIB)
    volume.write_file("a", [noise(40 * BLOCK)], 40 * BLOCK)
    volume.remove("a")
    begin = len(journal.writes)
    volume.write_file("b", [noise(40 * BLOCK)], 40 * BLOCK)
    first_data = next(index for index, entry in enumerate(journal.writes) if index >= begin and entry.offset >= geometry.data_offset)
    assert journal.writes[begin - 1].data == bytes(SLOT)
    assert Change.FLUSH in {entry.change for entry in journal.writes[begin:first_data]}


def test_a_disk_that_fails_in_the_middle() -> None:
    total = MemoryDevice(2 * MIB)
    counting = FaultyDevice(total, writes_allowed=10_000)
    states = script(volume_on(counting, reserve=False))
    versions = {(name, data) for state in states for name, data in state.items()}
    assert counting.writes_left is not None
    for allowed in range(10_000 - counting.writes_left):
        disk = MemoryDevice(2 * MIB)
        with pytest.raises(StorageError, match="faulty device"):
            script(volume_on(FaultyDevice(disk, writes_allowed=allowed), reserve=False))
        assert set(readable(disk).items()) <= versions


# Against a model


class CacheMachine(RuleBasedStateMachine):
    """Random commands against a dict. What is in the cache has the model's contents; what left it left for lack of room."""

    def __init__(self) -> None:
        super().__init__()
        self.device = area(2 * MIB)
        self.volume = volume_on(self.device)
        self.model: dict[str, bytes] = {}
        self.count = 0

    names = st.sampled_from(["a", "b", "c/d", "c/e", "10.0.0.2:f"])

    @rule(name=names, blocks=st.integers(0, 30), rest=st.integers(0, BLOCK - 1), announced=st.booleans())
    def write(self, name: str, blocks: int, rest: int, announced: bool) -> None:
        self.count += 1
        data = noise(blocks * BLOCK + rest, self.count)
        self.volume.write_file(name, [data[:10_000], data[10_000:]], len(data) if announced else None)
        self.model[name] = data
        assert contents(self.volume, name) == data
        self.forget_evicted()

    @rule(old=names, new=names)
    def rename(self, old: str, new: str) -> None:
        if old in self.model and new not in self.model:
            self.volume.rename(old, new)
            self.model[new] = self.model.pop(old)

    @rule(name=names)
    def remove(self, name: str) -> None:
        if name in self.model:
            self.volume.remove(name)
            del self.model[name]

    @rule(reserve=st.booleans())
    def open_again(self, reserve: bool) -> None:
        self.volume.close()
        self.volume = volume_on(self.device, reserve=reserve)

    @invariant()
    def the_same_files(self) -> None:
        assert {name: facts.size for name, facts in self.volume.entries("")} == {name: len(data) for name, data in self.model.items()}
        needed = sum(blocks_for(len(data)) for data in self.model.values()) * BLOCK
        usage = self.volume.usage()
        assert needed <= usage.total - usage.free <= needed * 5 // 4 + BLOCK * len(self.model)

    def forget_evicted(self) -> None:
        present = {name for name, _ in self.volume.entries("")}
        if present != set(self.model):
            missing = sum(blocks_for(len(data)) for name, data in self.model.items() if name not in present) * BLOCK
            assert missing > 0
            self.model = {name: data for name, data in self.model.items() if name in present}

    def teardown(self) -> None:
        assert listing(volume_on(self.device)) == self.model
        assert self.volume.check() == []


@pytest.mark.hypothesis
def test_random_commands_agree_with_a_model() -> None:
    run_state_machine_as_test(CacheMachine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None))


def test_it_works_in_an_image_file(tmp_path: Path) -> None:
    with FileDevice.create(tmp_path / "disk.img", 4 * MIB) as disk:
        volume = volume_on(SliceDevice(disk, MIB, 3 * MIB))
        volume.write_file("a", [noise(100_000)])
        volume.close()
        assert listing(volume_on(SliceDevice(disk, MIB, 3 * MIB))) == {"a": noise(100_000)}
