"""After capture: damage of the medium and a source that changed meanwhile are found before the archive gets its name."""

import os
import random
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bpscript.archive.capture import capture, survey
from bpscript.archive.container import Archive
from bpscript.archive.destinations import HostDestination
from bpscript.archive.incremental import write_incremental
from bpscript.archive.provenance import Provenance
from bpscript.archive.readback import check_full
from bpscript.archive.readback_files import check_incremental
from bpscript.archive.records import MIB
from bpscript.archive.writer import LEVELS
from bpscript.base.clock import Clock
from bpscript.base.errors import StorageError, UsageError
from bpscript.base.sources import Reader
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.fat import FatVolume, format_fat
from bpscript.filesystems.folder import FolderVolume
from tests.archive.archives import MemorySink
from tests.oracles import need

CLOCK = Clock(1_700_000_000_000_000_000)


def fat(size: int = 6 * MIB, files: int = 6) -> MemoryDevice:
    """A volume with files that pack to about half of their size."""
    device = MemoryDevice(size)
    format_fat(device, 12, "BACK", volume_id=7)
    volume = FatVolume.on(device, clock=CLOCK)
    rng = random.Random(5)
    words = [rng.randbytes(6) for _ in range(800)]
    for number in range(files):
        volume.write_file(f"file{number}", [b"".join(rng.choices(words, k=40_000))])
    volume.close()
    return device


def captured(device: MemoryDevice, **options: object) -> bytes:
    sink = MemorySink()
    capture(survey(device, clock=CLOCK), sink, **options)  # type: ignore[arg-type]
    return sink.data


def test_an_archive_that_is_right_is_accepted() -> None:
    device = fat()
    check_full(MemoryDevice(captured(device)), survey(device, clock=CLOCK))


def test_a_source_that_changed_is_named() -> None:
    device = fat()
    data = captured(device)
    found = survey(device, clock=CLOCK)
    start, _ = list(found.used)[-1]
    device.write(start, bytes([device.read(start, 1)[0] ^ 1]))
    with pytest.raises(StorageError, match=rf"differs from its source at bytes {start // MIB * MIB} to ") as caught:
        check_full(MemoryDevice(data), found)
    assert "not kept" in str(caught.value.hint)


def test_zeros_that_are_none_any_more_are_found() -> None:
    device = MemoryDevice(4 * MIB)          # no file system: all of it is contents
    data = captured(device)
    device.write(3 * MIB + 5, b"x")
    with pytest.raises(StorageError, match="differs from its source"):
        check_full(MemoryDevice(data), survey(device, clock=CLOCK))


def test_what_came_into_use_is_found() -> None:
    device = fat()
    data = captured(device)
    volume = FatVolume.on(device, clock=CLOCK)
    volume.write_file("more", [b"x" * 100_000])
    volume.close()
    with pytest.raises(StorageError, match="does not describe the partition"):
        check_full(MemoryDevice(data), survey(device, clock=CLOCK))


def test_every_flipped_byte_of_the_archive_is_found() -> None:
    device = fat(2 * MIB, 1)
    data = captured(device, chunk_size=64 << 10)
    found = survey(device, clock=CLOCK)
    rng = random.Random(1)
    for position in rng.sample(range(len(data)), 150):
        damaged = bytearray(data)
        damaged[position] ^= 1 << rng.randrange(8)
        with pytest.raises(StorageError, match="cannot be read back"):
            check_full(MemoryDevice(damaged), found)


Change = Callable[[Path], object]
CHANGES: dict[str, tuple[Change, str]] = {
    "contents": (lambda folder: _same_time(folder / "b/two", b"TWO"), "contents of \"b/two\""),
    "longer": (lambda folder: _same_time(folder / "b/two", b"two more"), "at \"b/two\""),
    "mode": (lambda folder: (folder / "a").chmod(0o600), "at \"a\""),
    "new file": (lambda folder: _same_folder_time(folder, (folder / "z").touch), "\"z\" came"),
    "gone": (lambda folder: _same_folder_time(folder, (folder / "b/two").unlink), "at \"b/two\""),
    "link": (lambda folder: _same_folder_time(folder, lambda: _relink(folder / "l")), "at \"l\""),
}


def _same_time(path: Path, content: bytes) -> None:
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _same_folder_time(folder: Path, change: Callable[[], object]) -> None:
    times = {path: path.stat() for path in (folder, folder / "b")}
    change()
    for path, before in times.items():
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _relink(path: Path) -> None:
    path.unlink()
    path.symlink_to("b")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tree"
    (made / "b").mkdir(parents=True)
    (made / "a").write_bytes(os.urandom(3 * MIB))
    (made / "b" / "two").write_bytes(b"two")
    os.link(made / "a", made / "b" / "hard")
    (made / "l").symlink_to("a")
    return made


def packed(folder: Path) -> bytes:
    sink = MemorySink()
    write_incremental(sink, FolderVolume(folder), clock=CLOCK)
    return sink.data


def test_an_incremental_archive_that_is_right_is_accepted(folder: Path) -> None:
    check_incremental(MemoryDevice(packed(folder)), FolderVolume(folder), "")


def test_an_archive_may_lie_in_the_tree_that_it_is_made_of(folder: Path) -> None:
    with HostDestination(folder / "b" / "a.imi") as sink:
        write_incremental(sink, FolderVolume(folder), clock=CLOCK)
        check_incremental(sink.reopen(), FolderVolume(folder), "")


@pytest.mark.parametrize("name", CHANGES)
def test_a_tree_that_changed_is_named(folder: Path, name: str) -> None:
    data = packed(folder)
    change, words = CHANGES[name]
    change(folder)
    with pytest.raises(StorageError) as caught:
        check_incremental(MemoryDevice(data), FolderVolume(folder), "")
    assert words in caught.value.message


def test_the_medium_is_asked_before_the_archive_gets_its_name(tmp_path: Path) -> None:
    device = fat()
    found = survey(device, clock=CLOCK)
    with HostDestination(tmp_path / "a.imz", 256 << 10) as sink:
        capture(found, sink)
        written = sink.reopen()
        assert len(written.borders) >= 2
        check_full(written, found)
        written.close()
        piece = sorted(tmp_path.iterdir())[1]
        content = bytearray(piece.read_bytes())
        content[5000] ^= 4
        piece.write_bytes(content)
        with pytest.raises(StorageError, match="cannot be read back"):
            check_full(sink.reopen(), found)
    assert list(tmp_path.iterdir()) == []


# --- levels and long matching ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_makes_an_archive_of_the_format(tmp_path: Path, level: int) -> None:
    device = fat(3 * MIB, 3)
    data = captured(device, level=level)
    archive = Archive.open(MemoryDevice(data))
    archive.verify()
    (tmp_path / "a.zst").write_bytes(data)
    done = subprocess.run([need("zstd"), "-dcq", tmp_path / "a.zst"], capture_output=True, check=True)
    assert len(done.stdout) == device.size
    check_full(MemoryDevice(data), survey(device, clock=CLOCK))


def test_higher_levels_make_smaller_archives() -> None:
    device = MemoryDevice(2 * MIB)
    text = b"".join(sorted(path.read_bytes() for path in Path(os.__file__).parent.glob("*.py")))
    device.write(0, text[: device.size])
    sizes = [len(captured(device, level=level)) for level in (-5, -1, 1, 3, 19)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)


@pytest.mark.parametrize("level", [-6, 20, 99])
def test_other_levels_are_refused(level: int) -> None:
    with pytest.raises(UsageError, match="expected -5"):
        captured(fat(2 * MIB, 1), level=level)


def test_long_matching_finds_what_lies_far_apart(tmp_path: Path) -> None:
    device = MemoryDevice(20 * MIB)
    block = random.Random(3).randbytes(2 * MIB)
    for start in (0, 6 * MIB, 12 * MIB):        # all three in the first chunk of 16 MiB
        device.write(start, block)
    plain, long = captured(device), captured(device, long=True)
    assert len(plain) > 6 * MIB
    assert len(long) < 2 * MIB + 65536
    archive = Archive.open(MemoryDevice(long))
    assert archive.chunk_size == 16 * MIB
    (tmp_path / "a.zst").write_bytes(long)
    assert subprocess.run([need("zstd"), "-dcq", tmp_path / "a.zst"], capture_output=True, check=True).stdout == device.read(0, device.size)


@pytest.mark.parametrize("long", [False, True], ids=["plain", "long"])
def test_any_number_of_threads_gives_the_same_bytes(long: bool) -> None:
    device = fat()
    assert len({captured(device, long=long, threads=threads) for threads in (1, 2, 5)}) == 1


# --- provenance ------------------------------------------------------------------------------------------------------


def test_the_header_says_where_the_archive_comes_from() -> None:
    sink = MemorySink()
    origin = Provenance.of("folders/of/somebody/disk.img:1", "--level 3", Clock())
    capture(survey(fat(2 * MIB, 1), clock=CLOCK), sink, origin=origin)
    meta = Archive.open(MemoryDevice(sink.data)).header.meta
    assert meta["source"] == "disk.img:1"
    assert meta["options"] == "--level 3"
    assert meta["host"] == os.uname().nodename
    assert str(meta["writer"]).startswith("bpscript ")


def test_a_given_clock_makes_the_same_bytes_on_every_host() -> None:
    assert Provenance.of("a/b/", "", CLOCK) == Provenance("b")


def test_a_name_that_is_no_text_is_made_one() -> None:
    name = os.fsdecode(b"d\xffsk" + b"x" * 5000)
    assert len(Provenance.of(name, "", CLOCK).source.encode()) == 1024


@pytest.mark.parametrize("size", [1, 5000, (1 << 20) - 1, 1 << 20, 3 << 20])
def test_a_file_that_grows_after_it_was_listed_is_told(size: int, tmp_path: Path) -> None:
    """A log: what the archive has of it is right, and is not all of it."""

    class Growing(FolderVolume):
        def open(self, path: str) -> Reader:
            with (tmp_path / path).open("ab") as file:
                file.write(b"x")
            return super().open(path)

    (tmp_path / "log").write_bytes(b"x" * size)
    sink = MemorySink()
    with closing(FolderVolume(tmp_path)) as volume:
        write_incremental(sink, volume, "", level=1)
    with closing(Growing(tmp_path)) as volume, pytest.raises(StorageError, match='"log" grew while it was captured'):
        check_incremental(MemoryDevice(sink.data), volume, "")
