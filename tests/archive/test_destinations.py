"""Fragments, and the promise that an older archive is replaced only when the new one is complete."""

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpscript.archive.container import Archive, ArchiveWriter, Header
from bpscript.archive.destinations import HostDestination, StagedDestination, parse_fragment_size, to_source, to_volume
from bpscript.archive.positional import (
    JoinedReader,
    close,
    fragment_name,
    open_from_host,
    open_from_source,
    open_from_volume,
)
from bpscript.archive.records import ArchiveKind
from bpscript.archive.recut import copy_frames
from bpscript.base.errors import FormatError, InTheWayError, NoSpaceError, StorageError
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.fat import FatVolume, format_fat
from bpscript.network.folder import FolderSource
from tests.archive.archives import MemorySink

KIB = 1024


def fill(sink: object, count: int = 40, seed: int = 1) -> bytes:
    """Write an archive of incompressible chunks of 10 KiB; gives the contents."""
    rng = random.Random(seed)
    chunks = [rng.randbytes(10 * KIB) for _ in range(count)]
    with ArchiveWriter(sink, Header(ArchiveKind.FULL, 10 * KIB), threads=1) as writer:  # type: ignore[arg-type]
        for chunk in chunks:
            writer.add(chunk)
        writer.finish()
    return b"".join(chunks)


def contents(archive: Archive) -> bytes:
    return b"".join(bytes(view) for _, view in archive.chunks(threads=1))


def opened(path: Path) -> Archive:
    source = open_from_host(path)
    assert not isinstance(source, JoinedReader)
    try:
        return Archive.open(source)
    except FormatError:
        close(source)
        raise


def test_fragments_are_cut_at_frame_borders_and_zstd_reads_them_together(tmp_path: Path) -> None:
    path = tmp_path / "win.imz"
    with HostDestination(path, 64 * KIB) as sink:
        expected = fill(sink)
        sink.commit()
    names = sorted(found.name for found in tmp_path.iterdir())
    assert names == ["win.imz", *(f"win.imz.{number:03d}" for number in range(1, len(names)))]
    assert len(names) > 6
    for name in names:
        data = (tmp_path / name).read_bytes()
        assert len(data) <= 64 * KIB
        assert data[:4] in {b"\x5b\x2a\x4d\x18", b"\x28\xb5\x2f\xfd", b"\x5e\x2a\x4d\x18"}     # each begins with a frame
    with opened(path) as archive:
        assert contents(archive) == expected
    joined = b"".join((tmp_path / name).read_bytes() for name in names)
    assert subprocess.run(["zstd", "-dc"], input=joined, capture_output=True, check=True).stdout == expected


def test_a_frame_longer_than_a_fragment_is_cut_inside(tmp_path: Path) -> None:
    with HostDestination(tmp_path / "a.imz", 64 * KIB) as sink:
        sink.write(bytes(10))
        sink.write(bytes(200 * KIB))
        sink.commit()
    sizes = [(tmp_path / fragment_name("a.imz", number)).stat().st_size for number in range(5)]
    assert sizes == [10, 64 * KIB, 64 * KIB, 64 * KIB, 8 * KIB]


def test_without_commit_the_old_archive_stays_and_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.imz"
    path.write_bytes(b"old")
    with HostDestination(path, 64 * KIB) as sink:
        fill(sink)
        assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["a.imz"]
    assert path.read_bytes() == b"old"


def test_fragments_left_over_from_a_longer_archive_are_removed_or_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.imz"
    with HostDestination(path, 64 * KIB) as sink:
        fill(sink)
        sink.commit()
    stale = (tmp_path / "a.imz.002").read_bytes()
    with HostDestination(path, 64 * KIB) as sink:
        expected = fill(sink, count=8, seed=2)
        sink.commit()
    assert sorted(found.name for found in tmp_path.iterdir()) == ["a.imz", "a.imz.001"]
    (tmp_path / "a.imz.002").write_bytes(stale)         # as a server that cannot delete would leave it
    with opened(path) as archive:
        assert contents(archive) == expected


def test_a_missing_fragment_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.imz"
    with HostDestination(path, 64 * KIB) as sink:
        fill(sink)
        sink.commit()
    (tmp_path / "a.imz.003").unlink()
    with pytest.raises(FormatError, match=r'a\.imz\.003" is missing'):
        opened(path)


def test_a_fragment_of_another_archive_is_refused_when_opened(tmp_path: Path) -> None:
    for name, seed in (("a.imz", 1), ("b.imz", 2)):
        with HostDestination(tmp_path / name, 64 * KIB) as sink:
            fill(sink, seed=seed)
            sink.commit()
    (tmp_path / "a.imz.002").write_bytes((tmp_path / "b.imz.002").read_bytes())
    with pytest.raises(FormatError, match="is not the table's"):
        opened(tmp_path / "a.imz")


def test_the_same_archive_in_other_fragments_has_the_same_bytes(tmp_path: Path) -> None:
    whole = MemorySink()
    fill(whole)
    with HostDestination(tmp_path / "a.imz", 64 * KIB) as sink:
        for frame in whole.frames:
            sink.write(frame)
        sink.commit()
    again = MemorySink()
    with opened(tmp_path / "a.imz") as archive:
        copy_frames(archive, again)
    assert again.frames == whole.frames


def test_copying_does_not_hand_damage_on(tmp_path: Path) -> None:
    whole = MemorySink()
    fill(whole)
    damaged = bytearray(whole.data)
    damaged[5000] ^= 1
    with pytest.raises(FormatError):
        copy_frames(Archive.open(MemoryDevice(damaged)), MemorySink())


def test_a_server_gets_the_archive_when_it_is_complete(tmp_path: Path) -> None:
    source = FolderSource(tmp_path)
    staging = tmp_path / "staging"
    staging.mkdir()
    with StagedDestination(to_source(source, "x.imz"), 64 * KIB, staging) as sink:
        expected = fill(sink)
        assert not (tmp_path / "x.imz").exists()
        sink.commit()
    found = open_from_source(source, "x.imz")
    assert not isinstance(found, JoinedReader)
    with Archive.open(found) as archive:
        assert contents(archive) == expected
    assert not list(staging.iterdir())


@pytest.fixture
def volume() -> Iterator[FatVolume]:
    device = MemoryDevice(4 << 20)
    format_fat(device, 12, "ARCHIVES")
    volume = FatVolume.on(device)
    yield volume
    volume.close()


def test_a_disk_gets_the_archive_in_fragments(volume: FatVolume, tmp_path: Path) -> None:
    for count in (40, 10):
        with StagedDestination(to_volume(volume, "x.imz"), 64 * KIB, tmp_path) as sink:
            expected = fill(sink, count=count)
            sink.commit()
        found = open_from_volume(volume, "x.imz")
        assert not isinstance(found, JoinedReader)
        assert contents(Archive.open(found)) == expected
    assert sorted(name for name, _ in volume.entries("")) == ["x.imz", "x.imz.001"]


def test_a_full_disk_keeps_the_old_archive(volume: FatVolume, tmp_path: Path) -> None:
    volume.write_file("x.imz", [b"old"])
    with StagedDestination(to_volume(volume, "x.imz"), None, tmp_path) as sink:
        fill(sink, count=500)
        with pytest.raises(NoSpaceError, match=r"x\.imz: the archive has \d+ bytes, only \d+ are free"):
            sink.commit()
    assert volume.open("x.imz").read() == b"old"


def test_the_fragment_size_is_a_size_of_64_kb_at_least() -> None:
    assert parse_fragment_size("87 MB") == 87 << 20
    assert parse_fragment_size("65536") == 64 * KIB
    with pytest.raises(StorageError, match='"large" is not a size'):
        parse_fragment_size("large")
    with pytest.raises(StorageError, match='"63KB" is less than 64 KB'):
        parse_fragment_size("63KB")


def test_a_directory_is_no_place_for_an_archive(tmp_path: Path) -> None:
    with pytest.raises(InTheWayError, match="is a directory"):
        HostDestination(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with HostDestination(tmp_path / "no" / "a.imz") as sink, pytest.raises(StorageError, match="no: cannot write the archive"):
        sink.write(b"x")
