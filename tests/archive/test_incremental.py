import io
import os
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.archive.bases import VolumeBase
from bpscript.archive.container import Archive, ArchiveKind, ArchiveWriter, Header
from bpscript.archive.filters import Filters
from bpscript.archive.incremental import (
    BASE,
    NAME,
    entries,
    filter_incremental,
    incremental_base,
    pack_names,
    pack_removals,
    read_names,
    unpack_incremental,
    write_incremental,
)
from bpscript.archive.plan import Planned
from bpscript.archive.positional import JoinedReader, SeekingBytes
from bpscript.archive.tar_layout import END
from bpscript.archive.tar_write import padding, tar_header
from bpscript.archive.unpack import unpack
from bpscript.base.clock import Clock
from bpscript.base.errors import FormatError, InTheWayError, NoSpaceError, StorageError
from bpscript.base.events import Event, Kind
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.ext import ExtVolume
from bpscript.filesystems.fat import FatVolume, format_fat
from bpscript.filesystems.filesystem import Facts, FileKind, Filesystem, UnixFacts, walk
from bpscript.filesystems.folder import FolderVolume
from tests.archive.memory_tree import MemoryTree, tree_of
from tests.oracles import debugfs, e2fsck, fsck_fat, mke2fs, mkfs_fat, mtools_tree, run_tool


def packed(volume: Filesystem, path: str = "", **options: object) -> bytes:
    sink = io.BytesIO()
    write_incremental(sink, volume, path, **options)  # type: ignore[arg-type]
    return sink.getvalue()


def opened(data: bytes) -> Archive:
    return Archive.open(SeekingBytes(io.BytesIO(data), "test.imi"))


def streamed(data: bytes) -> Archive:
    return Archive.open_stream(JoinedReader(io.BytesIO(data)))


def fat(size: int = 4 << 20) -> FatVolume:
    device = MemoryDevice(size)
    format_fat(device, 12)
    return FatVolume.on(device)


def contents(volume: Filesystem) -> dict[str, bytes | None]:
    return {path: volume.open(path).read() if facts.kind is FileKind.FILE else None for path, facts in walk(volume)}


def bare(facts: Facts) -> Facts:
    """Without what no archive keeps."""
    return facts._replace(unix=facts.unix and facts.unix._replace(inode=0, atime_ns=0, ctime_ns=0))


def linux_tree() -> MemoryTree:
    tree = tree_of({"etc/passwd": b"root:x", "usr/bin/vi": b"editor" * 1000, "empty": b"", "var/tmp": None})
    tree.make_dir("etc", Facts(FileKind.DIRECTORY, mtime_ns=10**18 + 1, unix=UnixFacts(0o2750, 7, 8)))
    tree.set_facts("etc/passwd", Facts(FileKind.FILE, mtime_ns=10**18 + 999, unix=UnixFacts(0o600, 70_000, 5, xattrs={"user.x": b"\0"})))
    tree.make_hard_link("usr/bin/ex", "usr/bin/vi")
    tree.make_symlink("bin", "usr/bin")
    tree.make_node("null", Facts(FileKind.CHARACTER_DEVICE, unix=UnixFacts(0o666, device=(1, 3))))
    tree.make_node("pipe", Facts(FileKind.FIFO, unix=UnixFacts(0o600)))
    return tree


# --- packing and unpacking -------------------------------------------------------------------------------------------


def test_a_tree_comes_back_with_everything_unix_knows() -> None:
    source = linux_tree()
    for archive in (opened(packed(source)), streamed(packed(source))):
        target = MemoryTree()
        summary = unpack_incremental(archive, target, verify=True)
        assert {path: bare(facts) for path, facts in walk(target)} == {path: bare(facts) for path, facts in walk(source)}
        assert contents(target) == contents(source)
        assert (summary.files, summary.links, summary.others) == (3, 2, 2)


def test_gnu_tar_lists_and_unpacks_it(tmp_path: Path) -> None:
    (tmp_path / "t.imi").write_bytes(packed(linux_tree()))
    listed = run_tool(["tar", "--zstd", "-tvf", tmp_path / "t.imi"])
    assert listed.stderr == ""
    assert "usr/bin/ex link to" not in listed.stdout
    assert "hrw-r--r-- 0/0               0 1970-01-01 00:00 usr/bin/vi link to usr/bin/ex" in listed.stdout
    assert "drwxr-s--- 7/8" in listed.stdout
    out = tmp_path / "out"
    out.mkdir()
    run_tool(["tar", "--zstd", "-C", out, "-xf", tmp_path / "t.imi", "etc", "usr"])
    assert (out / "etc/passwd").stat().st_mtime_ns == 10**18 + 999
    assert (out / "usr/bin/ex").read_bytes() == b"editor" * 1000


def test_a_fat_tree_comes_back_on_fat_with_its_attributes(tmp_path: Path) -> None:
    source = fat()
    source.make_dir("DOS")
    source.write_file("DOS/Edit long name.com", [b"x" * 5000], facts=Facts(FileKind.FILE, 5000, 10**18))
    source.write_file("IO.SYS", [b"io"], facts=source.stat("DOS/Edit long name.com")._replace(size=2))
    attributes = source.stat("IO.SYS").dos
    assert attributes is not None
    source.set_facts("IO.SYS", source.stat("IO.SYS")._replace(dos=attributes._replace(attributes=0x27)))
    target = fat()
    unpack_incremental(opened(packed(source)), target, verify=True)
    assert dict(walk(target)) == dict(walk(source))
    (tmp_path / "t.imi").write_bytes(packed(source))
    assert run_tool(["tar", "--zstd", "-tf", tmp_path / "t.imi"]).stderr == ""


def test_unpacking_into_a_fat_image_satisfies_fsck_and_mtools(tmp_path: Path) -> None:
    image = mkfs_fat(tmp_path / "fat.img", 40 << 20, "-F", "32", "-s", "1")
    with FileDevice(image) as device:
        volume = FatVolume.on(device)
        summary = unpack_incremental(opened(packed(linux_tree())), volume, "linux/system")
        volume.close()
    fsck_fat(image)
    found = mtools_tree(image, tmp_path / "out")
    assert found["linux/system/usr/bin/ex"] == found["linux/system/bin/vi"] == b"editor" * 1000
    assert summary.skipped == {"device": 2}


def test_unpacking_into_an_ext_image_satisfies_e2fsck_and_debugfs(tmp_path: Path) -> None:
    image = mke2fs(tmp_path / "ext.img", 16 << 20, "-t", "ext4")
    with FileDevice(image) as device:
        volume = ExtVolume.on(device, clock=Clock(10**18))
        unpack_incremental(opened(packed(linux_tree())), volume, "sub")
        volume.close()
    e2fsck(image)
    told = debugfs(image, "stat /sub/etc/passwd", "stat /sub/null", "stat /sub/bin", "stat /sub/usr/bin/ex", "ea_get -x /sub/etc/passwd user.x")
    assert "User: 70000   Group:     5" in told
    assert "Mode:  0600" in told
    assert "Device major/minor number: 01:03" in told
    assert 'Fast link dest: "usr/bin"' in told
    assert "Links: 2" in told
    assert "mtime: 0x3b9aca00:00000f9c" in told
    assert "user.x (1) = 00" in told


def test_a_host_tree_comes_back_on_the_host(tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "a b").mkdir(parents=True)
    (source / "a b" / "file").write_bytes(b"x" * 3_000_000)
    os.utime(source / "a b" / "file", ns=(5, 1_600_000_000_123_456_789))
    (source / "a b").chmod(0o555)
    os.link(source / "a b" / "file", source / "hard")
    os.symlink("../../etc", source / "link")
    (tmp_path / "out").mkdir()
    target = FolderVolume(tmp_path / "out")
    data = packed(FolderVolume(source))
    unpack_incremental(opened(data), target, verify=True)
    unpack_incremental(opened(data), target)        # and again, over itself
    done = tmp_path / "out"
    assert (done / "a b" / "file").stat().st_mtime_ns == 1_600_000_000_123_456_789
    assert (done / "a b").stat().st_mode & 0o777 == 0o555
    assert (done / "hard").samefile(done / "a b" / "file")
    assert os.readlink(done / "link") == "../../etc"
    result = subprocess.run(["diff", "-r", "--no-dereference", source, done], check=False, capture_output=True)
    assert result.returncode == 0, result.stdout


# Everything is loaded before it becomes somebody else, who may not be able to read it.
AS_NOBODY = """
import ctypes, os, sys
from pathlib import Path
from bpscript.base.events import Kind
from bpscript.filesystems.folder import FolderVolume
from tests.archive.memory_tree import MemoryTree
from tests.archive.test_incremental import opened, unpack_incremental

data = Path(sys.argv[1]).read_bytes()
unpack_incremental(opened(data), MemoryTree())
os.chdir(sys.argv[2])
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
ctypes.CDLL(None).prctl(4, 1)       # PR_SET_DUMPABLE: /proc/self is ours again
unpack_incremental(opened(data), FolderVolume("."), sink=lambda event: print(event.data["text"]) if event.kind is Kind.WARNING else None)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_is_told_what_was_skipped(tmp_path: Path) -> None:
    (tmp_path / "t.imi").write_bytes(packed(linux_tree()))
    target = tmp_path / "target"
    target.mkdir()
    os.chown(target, 65534, 65534)
    told = run_tool([sys.executable, "-c", AS_NOBODY, tmp_path / "t.imi", target]).stdout
    assert told == "1 device and 10 owners skipped: this host cannot hold them\n"
    assert (target / "usr/bin/ex").read_bytes() == b"editor" * 1000
    assert not (target / "null").exists()


def test_the_same_tree_makes_the_same_bytes_whatever_the_threads() -> None:
    tree = tree_of({"big": random.Random(1).randbytes(3_000_000), "a": b"1"})
    assert packed(tree, threads=1) == packed(tree, threads=3) == packed(tree_of({"a": b"1", "big": bytes(tree.open("big").read())}))


def test_one_file_is_packed_under_its_own_name() -> None:
    tree = tree_of({"sub/a": b"1", "sub/b": b"2"})
    target = MemoryTree()
    unpack_incremental(opened(packed(tree, "sub/a")), target)
    assert contents(target) == {"a": b"1"}
    unpack_incremental(opened(packed(tree_of({"r": b"3"}), "r")), target)
    assert contents(target) == {"a": b"1", "r": b"3"}


def test_files_replace_those_of_the_same_name_and_others_stay() -> None:
    target = fat()
    target.write_file("OLD.TXT", [b"old"])
    target.write_file("same.txt", [b"before"])
    unpack_incremental(opened(packed(tree_of({"Same.TXT": b"after", "new": b""}))), target)
    assert contents(target) == {"OLD.TXT": b"old", "same.txt": b"after", "new": b""}


def test_a_file_that_shrinks_while_it_is_packed_is_named() -> None:
    class Shrinking(MemoryTree):
        def open(self, path: str) -> io.BytesIO:
            return io.BytesIO(b"less")

    with pytest.raises(StorageError, match='"a" changed while it was read: it has 4 bytes, it had 8'):
        packed(Shrinking(tree_of({"a": b"12345678"}).files))


def test_progress_files_and_warnings_are_told() -> None:
    told: list[Event] = []
    unpack_incremental(opened(packed(linux_tree())), fat(), sink=told.append)
    assert [event.data["path"] for event in told if event.kind is Kind.FILE_WRITTEN] == ["empty", "etc/passwd", "usr/bin/ex"]
    assert [event.data["text"] for event in told if event.kind is Kind.WARNING] == ["2 devices skipped: FAT12 cannot hold them"]
    last = [event for event in told if event.kind is Kind.PROGRESS][-1]
    assert last.data["done"] == last.data["total"] == 6006 + 6000 * 3      # ex, and as copies vi, bin/ex and bin/vi


# --- filters ---------------------------------------------------------------------------------------------------------


def test_filters_apply_while_packing_unpacking_and_repacking() -> None:
    tree = tree_of({"tmp/x": b"1", "usr/a.c": b"2", "usr/a.o": b"3"})
    filters = Filters().leave_out("tmp/*").leave_out("usr/*").let_in("*.C")
    expected: dict[str, bytes | None] = {"tmp": None, "usr": None}
    for filtered, found in ((filters, expected), (Filters().leave_out("*.o").leave_out("tmp*"), {"usr": None, "usr/a.c": b"2"})):
        for data, chosen in ((packed(tree, filters=filtered), None), (packed(tree), filtered)):
            target = MemoryTree()
            unpack_incremental(opened(data), target, filters=chosen)
            assert {path: found[path] for path in contents(target)} == contents(target)
        sink = io.BytesIO()
        filter_incremental(opened(packed(tree)), sink, filtered)
        target = MemoryTree()
        unpack_incremental(opened(sink.getvalue()), target)
        assert {path: found[path] for path in contents(target)} == contents(target)


def test_filters_ignore_case_when_the_archive_is_of_fat() -> None:
    source = fat()
    source.write_file("A.TMP", [b""])
    source.write_file("b.txt", [b""])
    target = MemoryTree()
    unpack_incremental(opened(packed(source)), target, filters=Filters().leave_out("*.tmp"))
    assert list(contents(target)) == ["b.txt"]


def test_the_heir_of_a_hard_link_that_is_left_out_gets_the_contents() -> None:
    tree = tree_of({"a/first": b"data"})
    for name in ("b", "c", "d"):
        tree.make_hard_link(name, "a/first")
    filters = Filters().leave_out("a*").leave_out("c")
    sink = io.BytesIO()
    filter_incremental(opened(packed(tree)), sink, filters)
    for data, chosen in ((packed(tree), filters), (packed(tree, filters=filters), None), (sink.getvalue(), None)):
        target = MemoryTree()
        unpack_incremental(opened(data), target, filters=chosen)
        assert contents(target) == {"b": b"data", "d": b"data"}
        assert target.stat("b").unix == target.stat("d").unix


# --- differences -----------------------------------------------------------------------------------------------------


def changed_tree() -> MemoryTree:
    tree = linux_tree()
    tree.remove("empty")
    tree.write_file("etc/new", [b"new"])
    tree.write_file("usr/bin/vi", [b"better"], facts=Facts(FileKind.FILE))      # no longer a hard link
    tree.remove("var/tmp")
    tree.write_file("var/tmp", [b"a file where a directory was"])
    return tree


@pytest.mark.parametrize("full", [False, True])
def test_a_difference_turns_the_base_into_the_new_tree(full: bool) -> None:
    data = packed(linux_tree())
    base = VolumeBase(linux_tree(), "", b"\1" * 32) if full else incremental_base(opened(data))
    difference = packed(changed_tree(), base=base)
    stored = [path for path, _, _ in entries(opened(difference))]
    assert "etc/passwd" not in stored
    assert "bin" not in stored
    # ex is what it was; the directories of what is new or gone get their times back
    assert stored == ["etc", "etc/new", "usr/bin", "usr/bin/vi", "var", "var/tmp"]
    target = MemoryTree()
    unpack_incremental(opened(data), target)
    summary = unpack_incremental(opened(difference), target, verify=True)
    assert contents(target) == contents(changed_tree())
    assert summary.removed == 2
    again = unpack_incremental(opened(difference), target)      # a path already missing is no error
    assert again.removed == 1                                   # var/tmp itself: it is removed and written again
    assert contents(target) == contents(changed_tree())


def test_a_replaced_file_does_not_change_its_former_hard_links(tmp_path: Path) -> None:
    image = mke2fs(tmp_path / "ext.img", 8 << 20, "-t", "ext2")
    (tmp_path / "folder").mkdir()
    with FileDevice(image) as device:
        volume = ExtVolume.on(device)
        for target in (volume, FolderVolume(tmp_path / "folder"), MemoryTree()):
            unpack_incremental(opened(packed(linux_tree())), target)
            unpack_incremental(opened(packed(tree_of({"usr/bin/vi": b"better"}))), target)
            for path, expected in (("usr/bin/ex", b"editor" * 1000), ("usr/bin/vi", b"better")):
                with closing(target.open(path)) as reader:
                    assert reader.read() == expected
        volume.close()
    e2fsck(image)


def test_a_difference_removes_on_fat_what_is_only_written_differently() -> None:
    old, new = tree_of({"readme": b"1", "d/x": b"2"}), tree_of({"README": b"1", "d/x": b"2"})
    target = fat()
    unpack_incremental(opened(packed(old)), target)
    unpack_incremental(opened(packed(new, base=incremental_base(opened(packed(old))))), target)
    assert contents(target) == {"README": b"1", "d": None, "d/x": b"2"}


def test_times_that_fat_has_rounded_are_no_difference() -> None:
    tree = tree_of({"a": b"1", "b": b"2"})
    for path in ("a", "b"):
        tree.set_facts(path, Facts(FileKind.FILE, mtime_ns=1_600_000_001_999_999_999))
    data = packed(tree)
    target = fat()
    unpack_incremental(opened(data), target)
    target.write_file("b", [b"3"], facts=target.stat("b"))
    assert [path for path, _, _ in entries(opened(packed(target, base=incremental_base(opened(data)))))] == ["b"]
    tree.set_facts("a", Facts(FileKind.FILE, mtime_ns=1_600_000_001_999_999_998))
    assert [path for path, _, _ in entries(opened(packed(tree, base=incremental_base(opened(data)))))] == ["a"]
    assert [path for path, _, _ in entries(opened(packed(tree, base=incremental_base(opened(packed(target))))))] == ["b"]


def test_a_directory_that_got_other_files_is_not_removed() -> None:
    data = packed(tree_of({"d/x": b""}))
    difference = packed(MemoryTree(), base=incremental_base(opened(data)))
    target = tree_of({"d/x": b"", "d/mine": b""})
    unpack_incremental(opened(difference), target)
    assert list(contents(target)) == ["d", "d/mine"]


def test_links_of_a_difference_lead_to_what_is_on_a_fat_target_already() -> None:
    old = tree_of({"d/a": b"1", "x": b"2"})
    new = tree_of({"d/a": b"1", "x": b"2"})
    new.make_symlink("link", "d/a")
    new.make_symlink("gone", "d/b")
    new.make_symlink("dir", "d")
    target = fat()
    unpack_incremental(opened(packed(old)), target)
    summary = unpack_incremental(opened(packed(new, base=incremental_base(opened(packed(old))))), target)
    assert contents(target) == {"d": None, "d/a": b"1", "x": b"2", "link": b"1"}
    assert summary.skipped == {"dangling link": 2}


def test_what_filters_leave_out_is_not_removed() -> None:
    base = incremental_base(opened(packed(tree_of({"keep/x": b"", "y": b""}))))
    difference = packed(MemoryTree(), base=base, filters=Filters().leave_out("keep*"))
    target = tree_of({"keep/x": b"", "y": b""})
    unpack_incremental(opened(difference), target)
    assert list(contents(target)) == ["keep", "keep/x"]


def test_a_difference_cannot_be_a_base() -> None:
    difference = packed(MemoryTree(), base=incremental_base(opened(packed(MemoryTree()))))
    with pytest.raises(FormatError, match="this is a difference archive itself"):
        incremental_base(opened(difference))


NAMES = st.sampled_from(["a", "b", "c"])
TREES = st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.sampled_from([None, b"", b"1", b"2", b"3" * 2000]), max_size=7)


@given(one=TREES, other=TREES)
@settings(deadline=None, max_examples=80)
def test_base_and_difference_make_the_tree(one: dict[str, bytes | None], other: dict[str, bytes | None]) -> None:
    try:
        old, new = tree_of(one), tree_of(other)
    except InTheWayError:
        return      # a file and a directory of one name
    data = packed(old)
    for target in (MemoryTree(), fat()):
        unpack_incremental(opened(data), target)
        unpack_incremental(streamed(packed(new, base=incremental_base(opened(data)))), target)
        assert contents(target) == contents(new)


# --- refusals --------------------------------------------------------------------------------------------------------


def test_what_fat_cannot_hold_is_refused_before_anything_is_written() -> None:
    target = fat(1 << 20)
    tree = tree_of({"a": b"1"})
    for path, error, message in (
        ("aux:", StorageError, ": is not allowed"), ("A", StorageError, '"A" and "a" differ only in case'), ("big", NoSpaceError, "too few"),
    ):
        other = MemoryTree(dict(tree.files), inodes=100)
        other.write_file(path, [bytes(2 << 20) if path == "big" else b""])
        with pytest.raises(error, match=message):
            unpack_incremental(streamed(packed(other)), target, "new")
        assert contents(target) == {}


def test_a_full_archive_is_refused() -> None:
    sink = io.BytesIO()
    with ArchiveWriter(sink, Header(ArchiveKind.FULL)) as writer:
        writer.add(b"x")
        writer.finish()
    with pytest.raises(FormatError, match="this is a full archive, not an incremental one"):
        unpack_incremental(opened(sink.getvalue()), MemoryTree())


FILE = Facts(FileKind.FILE, 1)


def made_by_hand(names: bytes, *, base: bytes | None = None, tar: bytes = END) -> Archive:
    sections = {NAME: names} | ({} if base is None else {BASE: base})
    sink = io.BytesIO()
    with ArchiveWriter(sink, Header(ArchiveKind.INCREMENTAL, sections=sections)) as writer:
        writer.add(tar)
        writer.finish()
    return opened(sink.getvalue())


def file_named(path: str) -> bytes:
    return tar_header(path, FILE) + b"x" + padding(1)


@pytest.mark.parametrize(
    ("names", "tar", "message"),
    [
        (b"f1\0a\0", END, "the table of names is damaged"),
        (b"f1\0a\0\0x", END, "the table of names is damaged"),
        (b"q1\0a\0\0", END, 'the table of names is damaged at "a"'),
        (b"f-1\0a\0\0", END, 'damaged at "a"'),
        (b"f" + b"9" * 19 + b"\0a\0\0", END, 'damaged at "a"'),
        (b"d1\0a\0\0", END, 'damaged at "a"'),
        (b"l0\0a\0\0", END, 'damaged at "a"'),
        (b"f1\0a\0b\0", END, 'damaged at "a"'),
        (b"f1\0../a\0\0", END, 'damaged at "../a"'),
        (b"f1\0/a\0\0", END, 'damaged at "/a"'),
        (b"f1\0\0\0", END, 'damaged at ""'),
        (b"f1\0a\0\0f1\0a\0\0", END, "has a path twice"),
        (b"h0\0a\0b\0", END, '"a" is a hard link to "b", which is no earlier file of it'),
        (b"d0\0b\0\0h0\0a\0b\0", END, "no earlier file"),
        (b"f1\0a\0\0", END, '"a" is in the table of names, but not in the archive'),
        (b"", file_named("a") + END, 'the entry "a" does not agree with the table of names'),
        (b"f1\0b\0\0", file_named("a") + END, 'the entry "a" does not agree'),
        (b"f2\0a\0\0", file_named("a") + END, 'the entry "a" does not agree'),
        (b"d0\0a\0\0", file_named("a") + END, 'the entry "a" does not agree'),
        (b"f1\0a\0\0", file_named("a"), "the end mark is missing"),
    ],
)
def test_hostile_archives_are_refused(names: bytes, tar: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        unpack_incremental(made_by_hand(names, tar=tar), MemoryTree())


@pytest.mark.parametrize("base", [b"../x\0", b"x", b"/etc\0", b"\0"])
def test_a_hostile_list_of_removals_is_refused(base: bytes) -> None:
    with pytest.raises(FormatError, match="the list of removed files is damaged"):
        unpack_incremental(made_by_hand(b"", base=base), tree_of({"x": b""}))


def test_an_archive_without_names_is_refused() -> None:
    sink = io.BytesIO()
    with ArchiveWriter(sink, Header(ArchiveKind.INCREMENTAL)) as writer:
        writer.add(END)
        writer.finish()
    with pytest.raises(FormatError, match="the table of names is missing"):
        unpack_incremental(opened(sink.getvalue()), MemoryTree())


def test_sections_come_back() -> None:
    plan = [Planned("a\udce9", "f", 5), Planned("b", "l", 0, "../x"), Planned("c", "h", 0, "a\udce9")]
    assert read_names(made_by_hand(pack_names(plan))) == plan
    assert pack_removals(["a", "b"]) == b"a\0b\0"


@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_damage_anywhere_is_noticed_and_no_file_is_half_written(data: st.DataObject) -> None:
    """Invariant: FormatError, and what is there afterwards are whole files of the archive.

    A flipped bit where only other programs look (seek table; records, when the table can be read) may also change nothing.
    """
    whole = packed(tree_of({"a": b"1" * 1000, "b": bytes(range(256)) * 40, "c": b""}))
    position = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:position] if data.draw(st.booleans()) else whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :]
    for open_it in (opened, streamed):
        target = MemoryTree()
        good: dict[str, bytes | None] = {"a": b"1" * 1000, "b": bytes(range(256)) * 40, "c": b""}
        try:
            unpack_incremental(open_it(damaged), target)
        except FormatError:
            pass
        else:
            assert contents(target) == good
        assert all(good[path] == found for path, found in contents(target).items())


def test_verify_notices_a_target_that_keeps_something_else() -> None:
    class Forgetful(MemoryTree):
        def open(self, path: str) -> io.BytesIO:
            return io.BytesIO(b"other")

    with pytest.raises(StorageError, match='"x/a" reads back differently from what was written'):
        unpack_incremental(opened(packed(tree_of({"a": b"12345"}))), Forgetful(), "x", verify=True)


@contextmanager
def bounded_memory(megabytes: int) -> Iterator[None]:
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < megabytes << 20, f"{peak >> 20} MB"


def test_a_large_file_is_never_in_memory() -> None:
    class Zeros(io.RawIOBase):
        left = 200 << 20

        def read(self, length: int = -1, /) -> bytes:
            length = min(length, self.left)
            self.left -= length
            return bytes(length)

    class Large(MemoryTree):
        def open(self, path: str) -> Zeros:
            return Zeros()

        def stat(self, path: str) -> Facts:
            return super().stat(path)._replace(size=200 << 20) if path == "a" else super().stat(path)

        def entries(self, path: str) -> list[tuple[str, Facts]]:
            return [("a", self.stat("a"))]

    class Nowhere(MemoryTree):
        def write_file(self, path: str, chunks, size=None, facts=None):  # type: ignore[no-untyped-def]
            assert sum(map(len, chunks)) == size == 200 << 20

    with bounded_memory(40):
        data = packed(Large(tree_of({"a": b""}).files))
        unpack(SeekingBytes(io.BytesIO(data), "x"), "x", Nowhere())
