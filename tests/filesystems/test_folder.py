import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bpscript.base.errors import InTheWayError, NoSpaceError, NotFoundError, StorageError
from bpscript.filesystems.filesystem import (
    DosFacts,
    Facts,
    FileKind,
    HasUnixObjects,
    UnixFacts,
    make_dirs,
    remove_tree,
    walk,
)
from bpscript.filesystems.folder import FolderVolume


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[FolderVolume]:
    (tmp_path / "in").mkdir()
    opened = FolderVolume(tmp_path / "in")
    yield opened
    opened.close()


def content(volume: FolderVolume, path: str) -> bytes:
    with closing(volume.open(path)) as reader:
        return reader.read()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners and devices need root")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file or directory"):
        FolderVolume(tmp_path / "no")


def test_a_file_comes_back_with_its_facts(volume: FolderVolume) -> None:
    facts = Facts(FileKind.FILE, 5, 1_500_000_000_123_456_789, unix=UnixFacts(mode=0o4750, uid=os.getuid(), gid=os.getgid()))
    volume.write_file("a", [b"he", memoryview(b"llo")], size=5, facts=facts)
    found = volume.stat("a")
    assert content(volume, "a") == b"hello"
    assert (found.size, found.mtime_ns) == (5, facts.mtime_ns)
    assert found.unix is not None
    assert found.unix.mode == 0o4750
    assert isinstance(volume, HasUnixObjects)


@needs_root
def test_owners_devices_and_attributes_are_kept(volume: FolderVolume) -> None:
    unix = UnixFacts(mode=0o640, uid=70_000, gid=12, xattrs={"user.comment": b"\0bin", "trusted.x": b"1"})
    volume.write_file("a", [b""], facts=Facts(FileKind.FILE, unix=unix))
    volume.make_node("null", Facts(FileKind.CHARACTER_DEVICE, unix=UnixFacts(mode=0o666, device=(1, 3))))
    found, null = volume.stat("a").unix, volume.stat("null")
    assert found is not None
    assert null.unix is not None
    assert (found.uid, found.gid, found.mode, dict(found.xattrs)) == (70_000, 12, 0o640, dict(unix.xattrs))
    assert (null.kind, null.unix.device, null.unix.mode) == (FileKind.CHARACTER_DEVICE, (1, 3), 0o666)
    assert volume.skipped == {}


def test_what_the_host_does_not_know_is_skipped_and_counted(volume: FolderVolume) -> None:
    volume.write_file("a", [b""], facts=Facts(FileKind.FILE, unix=UnixFacts(xattrs={"nonsense.x": b"1"})))
    assert volume.skipped["extended attribute"] == 1


def test_a_replaced_file_without_facts_keeps_its_own(volume: FolderVolume) -> None:
    volume.write_file("a", [b"1"], facts=Facts(FileKind.FILE, unix=UnixFacts(mode=0o700, uid=os.getuid(), gid=os.getgid())))
    volume.write_file("a", [b"22"])
    found = volume.stat("a")
    assert found.unix is not None
    assert (found.size, found.unix.mode) == (2, 0o700)
    assert found.mtime_ns > 1_600_000_000 * 10**9


def test_read_only_of_dos_is_a_mode_without_write_bits(volume: FolderVolume) -> None:
    volume.write_file("a", [b""], facts=Facts(FileKind.FILE, dos=DosFacts(attributes=0x21)))
    assert stat.S_IMODE((volume.path / "a").stat().st_mode) == 0o444


def test_a_failed_write_leaves_what_was_there(volume: FolderVolume) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise StorageError("the giver failed")

    volume.write_file("a", [b"old"])
    for size in (None, 4, 100):
        with pytest.raises(StorageError, match="the giver failed"):
            volume.write_file("a", broken(), size=size)
    with pytest.raises(StorageError, match="3 bytes came, 4 were announced"):
        volume.write_file("a", [b"abc"], size=4)
    assert [name for name, _ in volume.entries("")] == ["a"]
    assert content(volume, "a") == b"old"


def test_more_than_the_host_has_is_refused_before_the_first_byte(volume: FolderVolume) -> None:
    untouched = iter([b"x"])
    with pytest.raises(NoSpaceError, match="needs 1152921504606846976 bytes"):
        volume.write_file("a", untouched, size=1 << 60)
    assert next(untouched) == b"x"


@pytest.mark.parametrize("path", ["out/secret", "out/new", "link/../x", "..", "../x", "a\0b"])
def test_no_path_leaves_the_folder(volume: FolderVolume, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("x")
    os.symlink("..", volume.path / "out")
    for action in (volume.stat, volume.open, volume.remove, volume.make_dir, lambda path: volume.write_file(path, [b"x"])):
        with pytest.raises(StorageError):
            action(path)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["in", "secret"]
    assert (tmp_path / "secret").read_text() == "x"


def test_links_are_entries_and_never_followed(volume: FolderVolume, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    volume.make_symlink("link", "../secret", Facts(FileKind.SYMLINK, mtime_ns=10**18, unix=UnixFacts(uid=os.getuid(), gid=os.getgid())))
    found = volume.stat("link")
    assert (found.kind, found.target, found.mtime_ns) == (FileKind.SYMLINK, "../secret", 10**18)
    with pytest.raises(InTheWayError):
        volume.open("link")
    volume.set_facts("link", Facts(FileKind.FILE, unix=UnixFacts(mode=0o600, uid=os.getuid(), gid=os.getgid())))
    volume.write_file("link", [b"mine"])
    assert (tmp_path / "secret").read_text() == "x"
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) != 0o600
    assert volume.stat("link").kind is FileKind.FILE


def test_hard_links_share_an_inode_number(volume: FolderVolume) -> None:
    volume.write_file("a", [b"x"])
    volume.make_dir("d")
    volume.make_hard_link("d/b", "a")
    first, second = volume.stat("a").unix, volume.stat("d/b").unix
    assert first is not None
    assert second is not None
    assert first.inode == second.inode
    assert second.links == 2


def test_sockets_are_left_out_and_fifos_do_not_wait(volume: FolderVolume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(volume.path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        os.mkfifo("f")
        assert [name for name, _ in volume.entries("")] == ["f"]
        with pytest.raises(InTheWayError, match='"f" is not a file'):
            volume.open("f")


@needs_root
def test_other_file_systems_are_left_out_and_their_mount_points_stay() -> None:
    root = FolderVolume("/")
    kinds = dict(root.entries(""))
    assert kinds["proc"].kind is FileKind.DIRECTORY
    assert root.entries("proc") == []
    everything = FolderVolume("/", one_filesystem=False)
    assert everything.entries("proc")
    root.close()
    everything.close()


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (lambda v: v.stat("no"), NotFoundError, '"no": no such file or directory'),
        (lambda v: v.entries("file"), InTheWayError, '"file" is not a directory'),
        (lambda v: v.write_file("dir", [b""]), InTheWayError, '"dir" is a directory'),
        (lambda v: v.write_file("file/x", [b""]), InTheWayError, '"file" is not a directory'),
        (lambda v: v.make_dir("file"), InTheWayError, '"file" is not a directory'),
        (lambda v: v.remove("dir"), InTheWayError, '"dir": Directory not empty'),
        (lambda v: v.rename("file", "dir"), InTheWayError, '"dir" exists'),
        (lambda v: v.rename("no", "new"), NotFoundError, '"no": no such file or directory'),
        (lambda v: v.make_symlink("file", "x"), InTheWayError, '"file": File exists'),
        (lambda v: v.make_hard_link("new", "no"), NotFoundError, '"new": no such file or directory'),
        (lambda v: v.make_node("file", Facts(FileKind.FIFO)), InTheWayError, '"file": File exists'),
        (lambda v: v.write_file("x" * 300, [b""]), StorageError, "File name too long"),
    ],
)
def test_refusals_say_what_is_wrong(volume: FolderVolume, action, error: type, message: str) -> None:  # type: ignore[no-untyped-def]
    volume.write_file("file", [b"x"])
    volume.make_dir("dir")
    volume.write_file("dir/inner", [b"x"])
    with pytest.raises(error, match=message):
        action(volume)


def test_many_open_directories_are_closed_again(volume: FolderVolume) -> None:
    before = len(os.listdir("/proc/self/fd"))
    make_dirs(volume, "/".join("d" * 300))
    for number in range(200):
        volume.make_dir(f"e{number}")
        volume.write_file(f"e{number}/x", [b""])
    assert len(os.listdir("/proc/self/fd")) - before <= 70
    volume.rename("e0/x", "/".join("d" * 300) + "/x")
    remove_tree(volume, "d")
    volume.remove("e1/x")
    volume.remove("e1")
    assert sorted(path for path, _ in walk(volume))[:2] == ["e0", "e10"]
    volume.close()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_renamed_directory_is_not_found_under_its_old_name(volume: FolderVolume) -> None:
    make_dirs(volume, "a/b")
    volume.write_file("a/b/x", [b"1"])
    volume.rename("a", "c")
    assert not volume.exists("a/b/x")
    assert content(volume, "c/b/x") == b"1"


def test_reading_does_not_change_when_files_were_last_read(volume: FolderVolume) -> None:
    make_dirs(volume, "d/e")
    volume.write_file("d/e/a", [b"1"])
    volume.make_symlink("d/l", "e")
    for path in ("d", "d/e", "d/e/a"):
        os.utime(volume.path / path, ns=(10**18, 10**18 + 1))
    other = FolderVolume(volume.path)
    for _ in range(2):
        facts = {path: facts.unix.atime_ns for path, facts in walk(other) if facts.unix is not None}
        assert content(other, "d/e/a") == b"1"
    assert facts == {"d": 10**18, "d/e": 10**18, "d/e/a": 10**18, "d/l": other.stat("d/l").mtime_ns}
    other.close()


def test_recorded_facts_and_mapped_owners_are_what_is_told(volume: FolderVolume) -> None:
    volume.write_file("a", [b""])
    volume.write_file("b", [b""])
    recorded = {"b": Facts(FileKind.BLOCK_DEVICE, unix=UnixFacts(device=(8, 0)))}
    other = FolderVolume(volume.path, owner_map=lambda uid, gid: (0, 7), recorded=recorded)
    found = dict(other.entries(""))
    assert found["b"].kind is FileKind.BLOCK_DEVICE
    assert found["a"].unix is not None
    assert (found["a"].unix.uid, found["a"].unix.gid) == (0, 7)
    other.close()
