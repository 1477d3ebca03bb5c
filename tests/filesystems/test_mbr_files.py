"""`{:0}`: sector 0 as three files (language.md 4.1)."""

from collections.abc import Callable

import pytest

from bpscript.base.errors import InTheWayError, NoSpaceError, NotFoundError, ReadOnlyError, StorageError
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.filesystem import FileKind, Filesystem, walk
from bpscript.filesystems.mbr import MbrFiles

SECTOR = bytes(index % 251 for index in range(510)) + b"\x55\xaa"
RANGES = {"bootcode": (0, 440), "table": (446, 510), "mbr": (0, 512)}


@pytest.fixture
def disk() -> MemoryDevice:
    return MemoryDevice(SECTOR + b"next sector".ljust(512, b"\0"))


def test_it_holds_three_files(disk: MemoryDevice) -> None:
    volume: Filesystem = MbrFiles(disk)
    assert {path: facts.size for path, facts in walk(volume)} == {"bootcode": 440, "mbr": 512, "table": 64}
    assert volume.stat("").kind is FileKind.DIRECTORY
    assert volume.exists("TABLE")
    assert not volume.exists("other")
    assert list(volume.used_ranges()) == [(0, 512)]
    assert volume.usage().free == 0
    assert volume.check() == []


@pytest.mark.parametrize(("name", "span"), RANGES.items())
def test_a_file_is_its_range_of_the_sector(disk: MemoryDevice, name: str, span: tuple[int, int]) -> None:
    reader = MbrFiles(disk).open(name.upper())
    assert reader.read() == SECTOR[slice(*span)]
    reader.close()


@pytest.mark.parametrize(("name", "span"), RANGES.items())
@pytest.mark.parametrize("length", [0, 1, 64])
def test_what_is_written_replaces_the_beginning_and_keeps_the_rest(
    disk: MemoryDevice, name: str, span: tuple[int, int], length: int
) -> None:
    new = b"x" * length
    MbrFiles(disk).write_file(name, [new[:10], new[10:]], length)
    start = span[0]
    assert disk.read(0, 512) == SECTOR[:start] + new + SECTOR[start + length :]
    assert disk.read(512, 11) == b"next sector"


@pytest.mark.parametrize(("name", "span"), RANGES.items())
@pytest.mark.parametrize("known", [True, False])
def test_too_much_is_refused_before_anything_is_written(disk: MemoryDevice, name: str, span: tuple[int, int], known: bool) -> None:
    size = span[1] - span[0] + 1
    with pytest.raises(NoSpaceError, match=f"/{name} in the master boot record has {size - 1} bytes, not more"):
        MbrFiles(disk).write_file(name, [bytes(size)], size if known else None)
    assert disk.read(0, 512) == SECTOR


@pytest.mark.parametrize(
    ("action", "kind", "message"),
    [
        (lambda volume: volume.remove("table"), ReadOnlyError, "/table in the master boot record cannot be deleted"),
        (lambda volume: volume.rename("mbr", "x"), ReadOnlyError, "/mbr in the master boot record cannot be renamed"),
        (lambda volume: volume.remove("x"), NotFoundError, "no file /x in the master boot record"),
        (lambda volume: volume.open("x"), NotFoundError, "no file /x in the master boot record"),
        (lambda volume: volume.entries("x"), NotFoundError, "no file /x in the master boot record"),
        (lambda volume: volume.entries("mbr"), InTheWayError, "/mbr in the master boot record is a file, not a directory"),
        (lambda volume: volume.write_file("x", []), ReadOnlyError, "no other file or directory can be made in the master boot record"),
        (lambda volume: volume.write_file("", []), InTheWayError, "the root of the master boot record is a directory"),
        (lambda volume: volume.make_dir("x"), ReadOnlyError, "no other file or directory can be made in the master boot record"),
        (lambda volume: volume.make_dir("mbr"), InTheWayError, "/mbr in the master boot record is a file"),
    ],
)
def test_nothing_else_can_be_done(
    disk: MemoryDevice, action: Callable[[Filesystem], object], kind: type[StorageError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        action(MbrFiles(disk))
    assert caught.value.message == message
    assert disk.read(0, 512) == SECTOR


def test_a_missing_signature_is_a_finding() -> None:
    assert [str(problem) for problem in MbrFiles(MemoryDevice(512)).check()] == ["byte 510: the signature is 00 00, expected 55 AA"]


def test_a_disk_without_a_sector_has_none() -> None:
    with pytest.raises(StorageError, match="a disk of 100 bytes has no master boot record"):
        MbrFiles(MemoryDevice(100))
