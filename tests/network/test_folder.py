"""A folder that plays the server, and its stand-in in memory."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bpscript.base.errors import InTheWayError, NoSpaceError, NotFoundError, ReadOnlyError, StorageError
from bpscript.base.sources import FileSource
from bpscript.network.folder import FolderSource
from bpscript.network.memory import MemorySource

FILES = {
    "help.bpb": b"echo help",
    "gifs/logo.gif": b"GIF89a",
    "10.0.0.1@89/passwd": b"root:x",
    "198.70.0.1_198.76.54.31/help.bpb": b"behind a gateway",
}
Make = Callable[..., FileSource]


def folder_with(root: Path, files: dict[str, bytes], **options: bool) -> FolderSource:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return FolderSource(root, **options)


@pytest.fixture(params=["folder", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "memory":
        return lambda **options: MemorySource(FILES, **options)
    return lambda **options: folder_with(tmp_path / "root", FILES, **options)


def contents(source: FileSource, name: str) -> bytes:
    reader = source.open(name)
    try:
        return reader.read()
    finally:
        reader.close()


def test_files_are_found_by_name_and_server_part(make: Make) -> None:
    source = make()
    assert contents(source, "help.bpb") == b"echo help"
    assert contents(source, "/gifs\\logo.gif") == b"GIF89a"
    assert contents(source, "10.0.0.1@89:passwd") == b"root:x"
    assert contents(source, "198.70.0.1/198.76.54.31:help.bpb") == b"behind a gateway"


def test_a_server_without_a_folder_of_its_own_is_the_root(make: Make) -> None:
    assert contents(make(), "10.9.9.9:help.bpb") == b"echo help"


def test_a_server_with_a_folder_does_not_fall_back_to_the_root(make: Make) -> None:
    source = make()
    assert source.stat("10.0.0.1@89:help.bpb") is None
    with pytest.raises(NotFoundError):
        source.open("10.0.0.1@89:help.bpb")


def test_stat_tells_size_and_kind(make: Make) -> None:
    source = make()
    facts = source.stat("gifs/logo.gif")
    assert facts is not None
    assert (facts.size, facts.is_directory) == (6, False)
    folder = source.stat("gifs")
    assert folder is not None
    assert folder.is_directory
    assert source.stat("nothing") is None
    assert source.stat("help.bpb/nothing") is None
    assert source.stat("../help.bpb") is None


def test_entries_are_sorted(make: Make) -> None:
    names = [name for name, _ in make().entries("")]
    assert names == ["10.0.0.1@89", "198.70.0.1_198.76.54.31", "gifs", "help.bpb"]
    assert [(name, facts.size) for name, facts in make().entries("gifs")] == [("logo.gif", 6)]
    with pytest.raises(NotFoundError, match='no directory "nothing"'):
        make().entries("nothing")


def test_missing_files_and_directories_are_named(make: Make) -> None:
    with pytest.raises(NotFoundError, match='no file "nothing"'):
        make().open("nothing")
    with pytest.raises(InTheWayError, match='"gifs" is a directory'):
        make().open("gifs")


def test_what_is_stored_is_read_back(make: Make) -> None:
    source = make()
    source.store("gifs/new", [b"one ", b"", b"two"])
    assert contents(source, "gifs/new") == b"one two"
    source.store("help.bpb", [])
    assert contents(source, "help.bpb") == b""


def test_storing_where_it_is_not_allowed_is_refused(make: Make) -> None:
    with pytest.raises(ReadOnlyError, match='"x" cannot be written'):
        make(writable=False).store("x", [b""])
    with pytest.raises(InTheWayError, match='"gifs" is a directory'):
        make().store("gifs", [b""])
    with pytest.raises(StorageError, match="leaves the directory"):
        make().store("../x", [b""])


def test_the_parent_directory_must_exist(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match='no directory for "a/b"'):
        FolderSource(tmp_path).store("a/b", [b""])


@pytest.mark.parametrize("failure", [KeyboardInterrupt("Ctrl-C"), StorageError("the disk is gone")])
def test_nothing_is_left_behind_when_storing_fails(tmp_path: Path, failure: BaseException) -> None:
    source = folder_with(tmp_path, {"old": b"old"})

    def chunks() -> Iterator[bytes]:
        yield b"new" * 1000
        raise failure

    with pytest.raises(type(failure), match=str(failure)):
        source.store("old", chunks())
    assert os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


def test_a_replaced_file_keeps_its_permissions_and_a_new_one_gets_the_usual(tmp_path: Path) -> None:
    source = folder_with(tmp_path, {"secret": b"", "plain": b""})
    (tmp_path / "secret").chmod(0o600)
    source.store("secret", [b"x"])
    source.store("new", [b"x"])
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_full_host_is_no_space(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(NoSpaceError, match='"x" does not fit: No space left'):
        FolderSource(tmp_path).store("x", chunks())
    assert os.listdir(tmp_path) == []


def test_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    source = folder_with(tmp_path, {"real/file": b"data"})
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "absolute").symlink_to(tmp_path / "real" / "file")
    assert contents(source, "link/file") == b"data"
    assert contents(source, "absolute") == b"data"
    source.store("absolute", [b"changed"])
    assert (tmp_path / "absolute").is_symlink()
    assert (tmp_path / "real" / "file").read_bytes() == b"changed"


@pytest.mark.parametrize("name", ["out", "folder/secret", "passwd:secret"])
def test_links_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    root = tmp_path / "root"
    source = folder_with(root, {"ok": b""})
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to(tmp_path)
    (root / "passwd").symlink_to("..")
    assert source.stat(name) is None
    for attempt in (lambda: source.open(name), lambda: source.store(name, [b"x"])):
        with pytest.raises(StorageError, match="through a symbolic link"):
            attempt()
    assert (tmp_path / "secret").read_bytes() == b"secret"
    assert [each for each, _ in source.entries("")] == ["ok"]


def test_a_loop_of_links_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    source = FolderSource(tmp_path)
    assert source.stat("a") is None
    with pytest.raises(StorageError):
        source.open("a")
    assert source.entries("") == []


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    source = FolderSource(tmp_path)
    assert source.stat("fifo") is None
    with pytest.raises(StorageError, match='"fifo" is neither a file nor a directory'):
        source.open("fifo")
    with pytest.raises(InTheWayError, match='"fifo" is neither'):
        source.store("fifo", [b"x"])


def test_names_the_host_cannot_hold_are_refused(tmp_path: Path) -> None:
    source = FolderSource(tmp_path)
    for name in ("x" * 300, "a\0b", "\ud800"):
        assert source.stat(name) is None
        with pytest.raises(StorageError):
            source.open(name)
        with pytest.raises(StorageError):
            source.store(name, [b""])
    assert os.listdir(tmp_path) == []


def test_an_unconfined_folder_takes_names_as_they_are(tmp_path: Path) -> None:
    source = folder_with(tmp_path / "root", {"c:file": b"colon"}, confined=False)
    (tmp_path / "outside").write_bytes(b"outside")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "outside")
    assert contents(source, "c:file") == b"colon"
    assert contents(source, "link") == b"outside"


def test_what_the_host_cannot_read_is_a_storage_error(tmp_path: Path) -> None:
    source = folder_with(tmp_path, {"x": b"data"})
    reader = source.open("x")
    buffer = bytearray(3)
    assert reader.readinto(buffer) == 3
    assert bytes(buffer) == b"dat"
    assert reader.read() == b"a"
    reader.close()


def test_directories_are_made_and_removed(tmp_path: Path) -> None:
    source = FolderSource(tmp_path)
    source.make_dir("a/b")
    source.make_dir("a/b")
    source.store("a/b/f", [b"x"])
    with pytest.raises(InTheWayError, match="is a directory"):
        source.remove("a")
    source.remove("a/b/f")
    with pytest.raises(NotFoundError, match="no file"):
        source.remove("a/b/f")
    source.store("f", [b"x"])
    with pytest.raises(InTheWayError, match="in the way"):
        source.make_dir("f/g")
    source.remove_tree("a")
    source.remove_tree("a")
    assert [name for name, _ in source.entries("")] == ["f"]
    source.remove_tree("")
    assert source.entries("") == []


# Directories


def test_a_directory_is_removed_with_its_files(tmp_path: Path) -> None:
    source = folder_with(tmp_path / "root", {"file": b"x"})
    source.make_dir("a/b")
    source.make_dir("a/b")
    source.store("a/b/c", [b"x"])
    assert source.host_path("a/b/c") == (tmp_path / "root" / "a" / "b" / "c").resolve()
    with pytest.raises(InTheWayError, match='"a" is a directory'):
        source.remove("a")
    source.remove("file")
    with pytest.raises(NotFoundError, match='no file "file"'):
        source.remove("file")
    source.remove_tree("a/b/c")
    source.remove_tree("a")
    source.remove_tree("a")
    assert source.entries("") == []


def test_a_file_in_the_way_of_a_directory(tmp_path: Path) -> None:
    source = folder_with(tmp_path, {"file": b"x"})
    for name in ("file", "file/sub"):
        with pytest.raises(InTheWayError, match="a file is in the way of the directory"):
            source.make_dir(name)


def test_removing_the_root_empties_it_and_follows_no_links(tmp_path: Path) -> None:
    root = tmp_path / "root"
    source = folder_with(root, {"a/b": b"x", "c": b"y"})
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_bytes(b"kept")
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "a" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(StorageError, match="through a symbolic link"):
        source.remove_tree("link")
    source.remove_tree("")
    assert os.listdir(root) == []
    assert (tmp_path / "outside" / "kept").read_bytes() == b"kept"


def test_nothing_changes_in_a_folder_for_reading(tmp_path: Path) -> None:
    source = folder_with(tmp_path, {"a": b"x"}, writable=False)
    attempts: list[Callable[[str], object]] = [source.make_dir, source.remove, source.remove_tree, source.host_path]
    for attempt in attempts:
        with pytest.raises(ReadOnlyError, match='"a" cannot be changed'):
            attempt("a")
    assert os.listdir(tmp_path) == ["a"]
