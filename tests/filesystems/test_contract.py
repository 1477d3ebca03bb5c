"""What every Filesystem promises, tested over every implementation against a plain model and by foreign judges.

The model is a dictionary: path → contents, or None for a directory. A new file system adds a line to VOLUMES.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpscript.base.clock import Clock
from bpscript.base.errors import InTheWayError, NoSpaceError, NotFoundError, ReadOnlyError, StorageError
from bpscript.blocks.device import BlockDevice, Buffer
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.blocks.readonly import ReadOnlyDevice
from bpscript.filesystems.ext import ExtVolume, format_ext
from bpscript.filesystems.fat import FatVolume, format_fat
from bpscript.filesystems.filesystem import (
    DosFacts,
    Facts,
    FileKind,
    Filesystem,
    MakesManyFiles,
    NewFile,
    UnixFacts,
    make_dirs,
    remove_tree,
    walk,
)
from tests.oracles import e2fsck, fsck_fat

MIB = 1 << 20


@dataclass(frozen=True)
class Kind:
    """How to make and open a volume, and who judges it."""

    name: str
    size: int
    format: Callable[[BlockDevice], object]
    open: Callable[[BlockDevice], Filesystem]
    judge: Callable[[Path], None]


def open_fat(device: BlockDevice) -> Filesystem:
    return FatVolume.on(device, clock=Clock(fixed_ns=1_700_000_000_000_000_000))


def open_ext(device: BlockDevice) -> Filesystem:
    return ExtVolume.on(device, clock=Clock(fixed_ns=1_700_000_000_000_000_000))


VOLUMES = (
    Kind("FAT12", 2 * MIB, lambda device: format_fat(device, 12, volume_id=1), open_fat, fsck_fat),
    Kind("FAT16", 16 * MIB, lambda device: format_fat(device, 16, volume_id=1), open_fat, fsck_fat),
    Kind("FAT32", 34 * MIB, lambda device: format_fat(device, 32, volume_id=1), open_fat, fsck_fat),
    Kind("EXT2", 8 * MIB, lambda device: format_ext(device, "EXT2"), open_ext, e2fsck),
    Kind("EXT3", 16 * MIB, lambda device: format_ext(device, "EXT3"), open_ext, e2fsck),
    Kind("EXT4", 16 * MIB, lambda device: format_ext(device, "EXT4", block_size=4096), open_ext, e2fsck),
)
every_kind = pytest.mark.parametrize("kind", VOLUMES, ids=lambda kind: kind.name)


@contextmanager
def fresh(kind: Kind) -> Iterator[tuple[Filesystem, BlockDevice, Path]]:
    """An empty volume in an image file; judged when the test is done with it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "disk.img"
        with FileDevice.create(path, kind.size) as device:
            kind.format(device)
            volume = kind.open(device)
            yield volume, device, path
            volume.close()
        kind.judge(path)


def tree(volume: Filesystem) -> dict[str, bytes | None]:
    """Everything on a volume, as the model has it."""
    found: dict[str, bytes | None] = {}
    for path, facts in walk(volume):
        if path.split("/", maxsplit=1)[0] == "lost+found":
            continue
        if facts.kind is FileKind.DIRECTORY:
            found[path] = None
            continue
        reader = volume.open(path)
        contents = b""
        while piece := reader.read(1000):
            contents += piece
        reader.close()
        assert len(contents) == facts.size
        found[path] = contents
    return found


class Model:
    """What a volume should hold; every operation answers with the error it expects, or None."""

    def __init__(self, *, ignores_case: bool) -> None:
        self.ignores_case = ignores_case
        self.files: dict[str, bytes | None] = {}

    def stored(self, path: str) -> str | None:
        """The path as it is stored."""
        if not self.ignores_case:
            return path if path in self.files or not path else None
        return "" if not path else next((known for known in self.files if known.upper() == path.upper()), None)

    def place(self, path: str) -> str | type[StorageError]:
        """The path with its parent as it is stored."""
        parent, _, name = path.rpartition("/")
        known = self.stored(parent)
        if known is None:
            return NotFoundError
        if known and self.files[known] is not None:
            return InTheWayError
        return f"{known}/{name}" if known else name

    def write(self, path: str, data: bytes) -> type[StorageError] | None:
        place = self.place(path)
        if not isinstance(place, str):
            return place
        known = self.stored(place)
        if known is not None and self.files[known] is None:
            return InTheWayError
        self.files[known or place] = data
        return None

    def make_dir(self, path: str) -> type[StorageError] | None:
        place = self.place(path)
        if not isinstance(place, str):
            return place
        known = self.stored(place)
        if known is not None:
            return None if self.files[known] is None else InTheWayError
        self.files[place] = None
        return None

    def remove(self, path: str) -> type[StorageError] | None:
        known = self.stored(path)
        if known is None:
            return NotFoundError
        if any(other.startswith(f"{known}/") for other in self.files):
            return InTheWayError
        del self.files[known]
        return None

    def rename(self, old: str, new: str) -> type[StorageError] | None:
        known, place = self.stored(old), self.place(new)
        if known is None:
            return NotFoundError
        if not isinstance(place, str):
            return place
        there = self.stored(place)
        if there is not None and there != known:
            return InTheWayError
        if f"{place}/".startswith(f"{known}/") and place != known:
            return StorageError
        moved = {path: self.files.pop(path) for path in list(self.files) if path == known or path.startswith(f"{known}/")}
        self.files |= {place + path[len(known) :]: data for path, data in moved.items()}
        return None


NAMES = ("a", "B", "readme.txt", "Read Me First.txt", "long file name with many characters.data", "LONG FILE NAME.X", "größe Ω.txt", "x" * 100)
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
DATA = st.builds(lambda fill, size: bytes([fill]) * size, st.integers(1, 255), st.one_of(st.integers(0, 3000), st.integers(0, 70_000)))
STEPS = st.one_of(
    st.tuples(st.just("write"), PATHS, DATA, st.booleans()),
    st.tuples(st.just("make_dir"), PATHS),
    st.tuples(st.just("remove"), PATHS),
    st.tuples(st.just("rename"), PATHS, PATHS),
    st.tuples(st.sampled_from(["flush", "reopen"])),
)


def act(volume: Filesystem, step: tuple[object, ...]) -> None:
    match step:
        case ("write", str(path), bytes(data), bool(announced)):
            volume.write_file(path, [data[:1000], data[1000:]], len(data) if announced else None)
        case ("make_dir", str(path)):
            volume.make_dir(path)
        case ("remove", str(path)):
            volume.remove(path)
        case ("rename", str(old), str(new)):
            volume.rename(old, new)
        case _:
            raise AssertionError(step)


def expected(model: Model, step: tuple[object, ...]) -> type[StorageError] | None:
    match step:
        case ("write", str(path), bytes(data), _):
            return model.write(path, data)
        case ("make_dir", str(path)):
            return model.make_dir(path)
        case ("remove", str(path)):
            return model.remove(path)
        case ("rename", str(old), str(new)):
            return model.rename(old, new)
        case _:
            raise AssertionError(step)


@every_kind
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEPS, max_size=30))
def test_any_sequence_of_operations_does_what_the_model_does(kind: Kind, steps: list[tuple[object, ...]]) -> None:
    with fresh(kind) as (first, device, path):
        volume = first
        model = Model(ignores_case=volume.ignores_case)
        for step in steps:
            if step[0] == "flush":
                volume.flush()
                kind.judge(path)
            elif step[0] == "reopen":
                volume.close()
                volume = kind.open(device)
            else:
                refused = expected(model, step)
                if refused is None:
                    act(volume, step)
                else:
                    with pytest.raises(StorageError):
                        act(volume, step)
        assert tree(volume) == model.files
        volume.close()
        assert tree(kind.open(device)) == model.files
        assert volume.check() == []


@every_kind
def test_facts_survive_and_are_of_the_right_kind(kind: Kind) -> None:
    with fresh(kind) as (volume, device, _):
        mtime = 1_234_567_890_000_000_000
        make_dirs(volume, "one/two")
        volume.write_file("one/two/file", [b"abc"], 3, Facts(FileKind.FILE, mtime_ns=mtime))
        volume.set_facts("one/two", Facts(FileKind.DIRECTORY, mtime_ns=mtime))
        volume.close()
        again = kind.open(device)
        facts = again.stat("one/two/file")
        assert (facts.kind, facts.size, facts.mtime_ns) == (FileKind.FILE, 3, mtime)
        assert again.stat("one/two").kind is FileKind.DIRECTORY
        assert again.stat("one/two").mtime_ns == mtime
        assert again.stat("").kind is FileKind.DIRECTORY
        assert again.exists("one")
        assert not again.exists("one/three")
        assert not again.exists("one/two/file/below")


@every_kind
def test_errors_say_what_is_wrong(kind: Kind) -> None:
    with fresh(kind) as (volume, _, _):
        volume.make_dir("dir")
        volume.write_file("file", [b"x"])
        volume.write_file("dir/inner", [b"x"])
        with pytest.raises(NotFoundError, match="missing"):
            volume.stat("missing")
        with pytest.raises(NotFoundError, match="missing"):
            volume.open("dir/missing")
        with pytest.raises(NotFoundError, match="missing"):
            volume.write_file("missing/file", [b"x"])
        with pytest.raises(InTheWayError, match="dir"):
            volume.write_file("dir", [b"x"])
        with pytest.raises(InTheWayError, match="file"):
            volume.make_dir("file")
        with pytest.raises(InTheWayError, match="file"):
            volume.write_file("file/inner", [b"x"])
        with pytest.raises(InTheWayError, match="not empty"):
            volume.remove("dir")
        with pytest.raises(InTheWayError, match="file"):
            volume.rename("dir/inner", "file")
        with pytest.raises(StorageError, match="itself"):
            volume.rename("dir", "dir/inside")
        with pytest.raises(StorageError):
            volume.remove("")
        assert tree(volume) == {"dir": None, "dir/inner": b"x", "file": b"x"}


@every_kind
def test_a_file_that_does_not_fit_leaves_everything_as_it_was(kind: Kind) -> None:
    with fresh(kind) as (volume, _, _):
        volume.write_file("old", [b"old contents"])
        volume.flush()
        free = volume.usage().free
        with pytest.raises(NoSpaceError, match=r"old.* does not fit"):
            volume.write_file("old", iter([]), volume.usage().total + 1)
        with pytest.raises(NoSpaceError, match=r"new.* does not fit"):
            volume.write_file("new", (b"d" * 100_000 for _ in range(1000)))
        assert tree(volume) == {"old": b"old contents"}
        assert volume.usage().free == free


@every_kind
def test_a_giver_who_fails_leaves_no_partial_file(kind: Kind) -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(50_000)
        raise ValueError("the source failed")

    with fresh(kind) as (volume, _, _):
        volume.write_file("old", [b"old contents"])
        volume.flush()
        free = volume.usage().free
        for name in ("old", "new"):
            for size in (None, 60_000):
                with pytest.raises(ValueError, match="the source failed"):
                    volume.write_file(name, broken(), size)
        for size in (3, 5):
            with pytest.raises(StorageError, match=f"announced {size} bytes"):
                volume.write_file("new", [b"four"], size)
        assert tree(volume) == {"old": b"old contents"}
        volume.flush()
        assert volume.usage().free == free


@every_kind
def test_buffers_may_be_reused_by_the_giver(kind: Kind) -> None:
    def chunks() -> Iterator[memoryview]:
        buffer = bytearray(1000)
        for number in range(20):
            buffer[:] = bytes([number]) * 1000
            yield memoryview(buffer)
        buffer[:] = b"!" * 1000

    with fresh(kind) as (volume, _, _):
        wanted = b"".join(bytes([number]) * 1000 for number in range(20))
        for size in (None, len(wanted)):
            volume.write_file("file", chunks(), size)
            assert volume.open("file").read() == wanted


def fill(volume: Filesystem, piece: int) -> None:
    for number in range(20):
        volume.write_file(f"dir/file {number}", [bytes([number + 1]) * piece], piece)


@every_kind
def test_a_full_volume_can_be_emptied_and_filled_again(kind: Kind) -> None:
    with fresh(kind) as (volume, _, _):
        for _ in range(2):
            volume.make_dir("dir")
            free = volume.usage().free
            piece = max(free // 10, 1)
            with pytest.raises(NoSpaceError):
                fill(volume, piece)
            volume.flush()
            assert volume.check() == []
            remove_tree(volume, "dir")
        assert tree(volume) == {}


@every_kind
def test_unused_ranges_can_be_thrown_away(kind: Kind) -> None:
    """What `used_ranges` names is enough to rebuild the volume: this is what archives rest on."""
    with fresh(kind) as (volume, device, path):
        make_dirs(volume, "a/b/c")
        for number in range(50):
            volume.write_file(f"a/b/file {number}", [bytes([number + 1]) * 7777])
        for number in range(0, 50, 2):
            volume.remove(f"a/b/file {number}")
        volume.flush()
        wanted = tree(volume)
        copy = MemoryDevice(device.size)
        end = 0
        for start, stop in volume.used_ranges():
            assert end <= start < stop <= device.size, "in order, merged, inside the device"
            assert start > end or start == 0, "neighbours are merged"
            copy.write(start, device.read(start, stop - start))
            end = stop
        restored = path.with_name("restored.img")
        restored.write_bytes(copy.read(0, copy.size))
        kind.judge(restored)
        with FileDevice(restored) as again:
            assert tree(kind.open(again)) == wanted


@every_kind
def test_many_similar_names_in_one_directory(kind: Kind) -> None:
    with fresh(kind) as (volume, device, _):
        volume.make_dir("dir")
        wanted = {f"dir/a long name that differs at its end {number:04}.txt": b"%d" % number for number in range(700)}
        for path, data in wanted.items():
            volume.write_file(path, [data])
        volume.close()
        again = kind.open(device)
        assert tree(again) == {"dir": None, **wanted}


@every_kind
def test_a_read_only_device_is_read_and_refuses_writing(kind: Kind) -> None:
    with fresh(kind) as (volume, device, _):
        volume.write_file("file", [b"contents"])
        volume.flush()
        locked = kind.open(ReadOnlyDevice(device))
        assert locked.open("file").read() == b"contents"
        with pytest.raises(ReadOnlyError):
            locked.write_file("file", [b"x"])
        with pytest.raises(ReadOnlyError):
            locked.make_dir("dir")
        with pytest.raises(ReadOnlyError):
            locked.remove("file")
        with pytest.raises(ReadOnlyError):
            locked.rename("file", "other")
        assert tree(locked) == {"file": b"contents"}


MANY = [kind for kind in VOLUMES if kind.name.startswith("FAT") or kind.name == "EXT4"]
SOME_NAMES = st.sampled_from(["a", "A", "B.TXT", "b.txt", "a long name.dat", "another long name.dat", "é", "con", "x" * 255, "x" * 256, "a.", "a/b", "..", "", "~1", "nul\0"])
LENGTHS = st.sampled_from([0, 1, 511, 512, 4096, 4097, 20_000, 65_535, 65_536, 100_000])


@pytest.mark.parametrize("kind", MANY, ids=lambda kind: kind.name)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(SOME_NAMES, LENGTHS), max_size=20), st.booleans())
def test_files_made_in_one_go_are_as_if_made_one_by_one(kind: Kind, wanted: list[tuple[str, int]], in_root: bool) -> None:
    contents = [bytes([number + 1]) * length for number, (_, length) in enumerate(wanted)]
    facts = [Facts(FileKind.FILE, length, 1_000_000_000 * (10**9 + 2 * number), unix=UnixFacts(0o640, number, 7), dos=DosFacts(0x21, 10**18)) for number, (_, length) in enumerate(wanted)]
    seen = []
    for at_once in (True, False):
        with fresh(kind) as (volume, _, _):
            assert isinstance(volume, MakesManyFiles)
            place = "" if in_root else "dir"
            make_dirs(volume, place)
            if at_once:
                files = [NewFile(name, memoryview(data), each) for (name, _), data, each in zip(wanted, contents, facts, strict=True)]
                made = 0
                while (count := volume.make_files(place, files[made:])) > 0:
                    made += count
            else:
                for (name, _), data, each in zip(wanted[:made], contents, facts, strict=False):
                    volume.write_file(f"{place}/{name}" if place else name, (data,), len(data), each)
            found = {}
            for path, each in walk(volume, place):
                if path == "lost+found":
                    continue
                with closing(volume.open(path)) if each.kind is FileKind.FILE else nullcontext() as reader:
                    data = reader.read() if reader is not None else b""
                unix = each.unix and each.unix._replace(inode=0)
                found[path] = (each._replace(unix=unix), data)
            seen.append(found)
    assert seen[0] == seen[1]
    assert len([path for path, (each, _) in seen[0].items() if each.kind is FileKind.FILE]) == made


def fill_directory(volume: Filesystem, names: Iterator[str], facts: Facts) -> None:
    for name in names:
        volume.write_file(f"dir/{name}", (bytes(3000),), 3000, facts)


@pytest.mark.parametrize("kind", MANY, ids=lambda kind: kind.name)
def test_many_files_in_one_go_until_the_volume_is_full(kind: Kind) -> None:
    with fresh(kind) as (volume, _, _):
        assert isinstance(volume, MakesManyFiles)
        volume.make_dir("dir")
        facts = Facts(FileKind.FILE, 3000, 0, unix=UnixFacts())
        names = (f"a file with a long name {number}" for number in count())
        while volume.make_files("dir", [NewFile(name, memoryview(bytes(3000)), facts) for name in islice(names, 300)]):
            pass
        with pytest.raises(NoSpaceError):
            fill_directory(volume, names, facts)
        assert len(volume.entries("dir")) > 100


@pytest.mark.parametrize("kind", MANY, ids=lambda kind: kind.name)
def test_a_device_that_is_full_is_told_and_no_accepted_file_is_lost_in_silence(kind: Kind) -> None:
    """A sparse image on a full disk of the host: what waits to be written belongs to files that were made before."""
    class Full(MemoryDevice):
        full = False

        def write(self, offset: int, data: Buffer) -> None:
            if self.full:
                raise NoSpaceError("the disk of the host is full")
            super().write(offset, data)

    device = Full(kind.size)
    kind.format(device)
    volume = kind.open(device)
    assert isinstance(volume, MakesManyFiles)
    facts = Facts(FileKind.FILE, 30_000, 0, unix=UnixFacts())
    files = [NewFile(f"file {number}", memoryview(b"x" * 30_000), facts) for number in range(40)]
    assert volume.make_files("", files[:5]) == 5
    device.full = True
    with pytest.raises(NoSpaceError, match="of the host"):
        volume.make_files("", files[5:])
    device.full = False
    volume.close()
    if kind.name == "EXT4":
        assert not device.read(1024 + 0x3A, 1)[0] & 1, "s_state says it was unmounted cleanly"
    elif kind.name == "FAT32":
        assert device.read(65, 1)[0] & 1, "the state byte says it was not unmounted"
