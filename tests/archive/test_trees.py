
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.archive.filters import Filters
from bpscript.archive.plan import Planned, check_plan
from bpscript.archive.trees import copy_tree, to_dos, to_unix
from bpscript.base.errors import FormatError, InTheWayError, NoSpaceError, NotFoundError, StorageError
from bpscript.base.events import Event, Kind
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.fat import FatVolume, format_fat
from bpscript.filesystems.filesystem import DosFacts, Facts, FileKind, Filesystem, UnixFacts, walk
from tests.archive.memory_tree import MemoryTree, tree_of

SYMLINK, DEVICE = FileKind.SYMLINK, FileKind.CHARACTER_DEVICE


def fat(size: int = 4 << 20) -> FatVolume:
    device = MemoryDevice(size)
    format_fat(device, 12)
    return FatVolume.on(device)


def contents(volume: Filesystem, path: str = "") -> dict[str, bytes | None]:
    return {name: volume.open(f"{path}/{name}" if path else name).read() if facts.kind is FileKind.FILE else None for name, facts in
            ((name[len(path):].lstrip("/"), facts) for name, facts in walk(volume, path))}


def linked() -> MemoryTree:
    """Hard and symbolic links, a device and a dangling link."""
    tree = tree_of({"usr/bin/vi": b"editor", "usr/share/doc": b"text"})
    tree.make_hard_link("usr/bin/ex", "usr/bin/vi")
    tree.make_symlink("bin", "usr/bin")
    tree.make_symlink("usr/bin/view", "vi")
    tree.make_symlink("usr/abs", "/usr/share/doc")
    tree.make_symlink("dangling", "no/where")
    tree.make_symlink("outside", "../../etc/passwd")
    tree.make_node("null", Facts(DEVICE, unix=UnixFacts(0o666, device=(1, 3))))
    return tree


def test_everything_is_kept_between_volumes_that_can_hold_it() -> None:
    source = linked()
    source.make_dir("usr", Facts(FileKind.DIRECTORY, mtime_ns=5, unix=UnixFacts(0o2750, 7, 8, xattrs={"user.a": b"1"})))
    target = MemoryTree()
    summary = copy_tree(source, "", target, "")
    assert (summary.files, summary.links, summary.others, summary.skipped) == (2, 6, 1, {})
    for path, facts in walk(source):
        found = target.stat(path)
        assert found._replace(unix=None) == facts._replace(unix=None)
        assert facts.unix is not None
        assert found.unix is not None
        assert found.unix._replace(inode=0, atime_ns=0, ctime_ns=0) == facts.unix._replace(inode=0, atime_ns=0, ctime_ns=0), path
    assert target.stat("usr").mtime_ns == 5
    vi, ex = target.stat("usr/bin/vi").unix, target.stat("usr/bin/ex").unix
    assert vi is not None
    assert ex is not None
    assert vi.inode == ex.inode


def test_links_become_copies_on_fat_and_the_rest_is_counted() -> None:
    target, events = fat(), list[Event]()
    summary = copy_tree(linked(), "", target, "sub/dir", sink=events.append)
    assert contents(target, "sub/dir") == {
        "bin": None, "bin/ex": b"editor", "bin/vi": b"editor", "bin/view": b"editor",
        "usr": None, "usr/abs": b"text", "usr/bin": None, "usr/bin/ex": b"editor", "usr/bin/vi": b"editor", "usr/bin/view": b"editor",
        "usr/share": None, "usr/share/doc": b"text",
    }
    assert summary.skipped == {"dangling link": 2, "device": 1}
    warnings = [event.data["text"] for event in events if event.kind is Kind.WARNING]
    assert warnings == ["2 dangling links and 1 device skipped: FAT12 cannot hold them"]


@pytest.mark.parametrize(
    "links",
    [
        {"a/self": "."}, {"a/up": ".."}, {"a/top": "/"}, {"x": "x"}, {"x": "y", "y": "x"}, {"a/x": "../b", "b": "a"},
        {"a/deep/in": "../../a"}, {"l": "a/m", "a/m": "../l"},
    ],
)
def test_links_in_circles_end(links: dict[str, str]) -> None:
    source = tree_of({"a/deep/file": b"1"})
    for path, target in links.items():
        source.make_symlink(path, target)
    target_volume = fat()
    copy_tree(source, "", target_volume, "")
    assert target_volume.open("a/deep/file").read() == b"1"
    assert len(list(walk(target_volume))) < 20


def test_directories_of_links_to_directories_are_bounded() -> None:
    source = tree_of({"d0/x": b""})
    for level in range(1, 40):
        source.make_dir(f"d{level}")
        for side in "ab":
            source.make_symlink(f"d{level}/{side}", f"../d{level - 1}")
    with pytest.raises(StorageError, match="would become more than 262144 copies"):
        copy_tree(source, "", fat(), "")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/con?"], r"a/con\?.*\? is not allowed"),
        (["aux.", "b"], "ends with a dot"),
        (["x" * 300], "it has 300 characters"),
        (["ReadMe", "README"], '"README" and "ReadMe" differ only in case, which FAT12 cannot hold'),
        (["dir/a", "DIR/b"], '"DIR" and "dir" differ only in case'),
    ],
)
def test_names_fat_cannot_hold_are_refused_before_anything_is_written(names: list[str], message: str) -> None:
    target = fat()
    with pytest.raises(StorageError, match=message):
        copy_tree(tree_of({"0/first": b"x", **dict.fromkeys(names, b"")}), "", target, "new")
    assert list(walk(target)) == []


def test_what_does_not_fit_is_refused_before_anything_is_written() -> None:
    target = fat(1 << 20)
    many = {f"dir/{number:03d} with a long name that takes four slots.txt": b"" for number in range(300)}
    for files in ({"a": bytes(600_000), "b": bytes(600_000)}, {"a": bytes(target.usage().free - 30_000), **many}):
        with pytest.raises(NoSpaceError, match=r"the files need .*, there are .* free"):
            copy_tree(tree_of(files), "", target, "")
        assert list(walk(target)) == []


def test_a_root_directory_that_cannot_grow_is_counted_before_anything_is_written() -> None:
    target = fat()
    have = target.geometry.root_entries
    short = {f"F{number}.TXT": b"" for number in range(have)}
    with pytest.raises(NoSpaceError, match=rf"the root directory of FAT12 has room for {have} slots, these names need {have + 1}"):
        copy_tree(tree_of({**short, "ONE.TXT": b""}), "", target, "")
    with pytest.raises(NoSpaceError, match=r"has room for \d+ slots"):
        copy_tree(tree_of({f"a long name {number}": b"" for number in range(have // 2)}), "", target, "")
    assert list(walk(target)) == []
    copy_tree(tree_of(short), "", target, "")
    copy_tree(tree_of(short), "", target, "")       # the same names again
    assert len(target.entries("")) == have


def test_room_of_replaced_files_counts() -> None:
    target = fat(1 << 20)
    copy_tree(tree_of({"a": b"1" * 700_000}), "", target, "")
    copy_tree(tree_of({"A": b"2" * 700_000}), "", target, "")
    assert target.open("a").read() == b"2" * 700_000


def test_what_fits_exactly_is_accepted() -> None:
    target = fat(1 << 20)
    free = target.usage().free
    copy_tree(tree_of({"a": bytes(free - target.allocation_unit), "d": None}), "", target, "")
    assert target.usage().free == 0


def test_files_in_the_way_of_directories_are_refused_and_the_reverse() -> None:
    for target in (fat(), MemoryTree()):
        copy_tree(tree_of({"a/b": b"", "c": b""}), "", target, "x")
        before = contents(target)
        with pytest.raises(InTheWayError, match='"x/a" is a directory on the target, and something else in the archive'):
            copy_tree(tree_of({"0": b"", "a": b""}), "", target, "x")
        with pytest.raises(InTheWayError, match='"x/c" is a file on the target, and a directory in the archive'):
            copy_tree(tree_of({"0": b"", "c/d": b""}), "", target, "x")
        assert contents(target) == before


def test_files_replace_links_and_links_replace_files() -> None:
    target = tree_of({"a": b"1", "b": b"2", "kept": b"3"})
    target.make_symlink("l", "a")
    source = tree_of({"l": b"new", "b": b"4"})
    source.make_symlink("a", "b")
    source.make_hard_link("kept2", "b")
    copy_tree(source, "", target, "")
    assert contents(target) == {"a": None, "b": b"4", "kept": b"3", "kept2": b"4", "l": b"new"}
    assert target.stat("a").target == "b"


def test_filters_apply() -> None:
    target = MemoryTree()
    copy_tree(tree_of({"tmp/x": b"", "etc/a": b"1"}), "", target, "", filters=Filters().leave_out("tmp/*"))
    assert contents(target) == {"etc": None, "etc/a": b"1", "tmp": None}


def test_one_file_is_copied_to_a_name_or_into_a_directory() -> None:
    target = tree_of({"d": None})
    copy_tree(tree_of({"s/a": b"1"}), "s/a", target, "d")
    copy_tree(tree_of({"s/a": b"1"}), "s/a", target, "d/b")
    assert contents(target) == {"d": None, "d/a": b"1", "d/b": b"1"}


def test_a_missing_source_and_a_copy_into_itself_are_refused() -> None:
    tree = tree_of({"a/b": b""})
    with pytest.raises(NotFoundError):
        copy_tree(tree, "no", fat(), "")
    for target in ("a", "a/c"):
        with pytest.raises(StorageError, match='"a" cannot be copied into itself'):
            copy_tree(tree, "a", tree, target)
    copy_tree(tree, "a", tree, "ab")
    assert tree.exists("ab/b")


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ([Planned("a", "f"), Planned("a/b", "f")], '"a/b" lies in "a", which is not a directory in this archive'),
        ([Planned("a", "l", 0, "b"), Planned("a/b", "f")], '"a/b" lies in "a", which is not a directory'),
        ([Planned("a/b", "f"), Planned("a", "l", 0, "/etc")], '"a" is both'),
        ([Planned("a", "d"), Planned("a", "f")], '"a" is both a directory and something else'),
    ],
)
def test_archives_that_contradict_themselves_are_refused(plan: list[Planned], message: str) -> None:
    for target in (fat(), MemoryTree()):
        with pytest.raises(FormatError, match=message):
            check_plan(target, "", plan)


def test_a_name_of_more_than_255_bytes_is_refused() -> None:
    with pytest.raises(StorageError, match="more than 255 bytes, which MEMORY cannot hold"):
        copy_tree(tree_of({"ä" * 128: b""}), "", MemoryTree(), "")


def test_read_only_of_dos_and_the_write_bits_of_unix_are_one_another() -> None:
    assert to_dos(Facts(FileKind.FILE, unix=UnixFacts(0o555))).dos == DosFacts(0x21)
    assert to_dos(Facts(FileKind.FILE, unix=UnixFacts(0o755))).dos == DosFacts(0x20)
    assert to_dos(Facts(FileKind.DIRECTORY, unix=UnixFacts(0o555))).dos == DosFacts(0)
    for attributes, mode in ((0x21, 0o444), (0x06, 0o644)):
        unix = to_unix(Facts(FileKind.FILE, dos=DosFacts(attributes))).unix
        assert unix is not None
        assert (unix.mode, unix.uid) == (mode, 0)


def test_a_name_that_looks_like_a_short_name_is_a_file_of_its_own() -> None:
    target = fat()
    source = tree_of({"longfilename.txt": b"long", "longfi~1.txt": b"short", "Directory Name/x": b"1", "direct~1/y": b"2"})
    for _ in range(2):
        copy_tree(source, "", target, "sub")
        assert contents(target, "sub") == contents(source)
        assert target.check() == []
    dos = target.stat("sub/longfilename.txt").dos
    assert dos is not None
    assert dos.short_name == "LONGFI~2.TXT"
    assert sorted(name for name, _ in target.entries("sub")) == ["Directory Name", "direct~1", "longfilename.txt", "longfi~1.txt"]


def test_dos_attributes_and_times_are_kept_between_fat_volumes() -> None:
    one, other = fat(), fat()
    facts = Facts(FileKind.FILE, 1, 1_000_000_000_000_000_000, dos=DosFacts(0x27, 900_000_000_120_000_000, "IO~1.SYS"))
    one.make_dir("d", Facts(FileKind.DIRECTORY, mtime_ns=10**18, dos=DosFacts(0x02)))
    one.write_file("d/io system.sys", [b"x"], facts=facts)
    copy_tree(one, "", other, "")
    assert other.stat("d/io system.sys") == one.stat("d/io system.sys")
    found = other.stat("d").dos
    assert found is not None
    assert found.attributes & 0x02


NAMES = st.sampled_from(["a", "b", "C", "long name.txt", "ü"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@given(before=st.dictionaries(PATHS, st.binary(max_size=3000), max_size=6), after=st.dictionaries(PATHS, st.binary(max_size=3000), max_size=6))
@settings(deadline=None, max_examples=60)
def test_a_copy_agrees_with_a_dict(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    """Either the target holds the union, the new winning, or nothing was changed."""
    try:
        old, new = tree_of(before), tree_of(after)
    except InTheWayError:
        return      # a file and a directory of one name
    target = fat()
    copy_tree(old, "", target, "")
    assert contents(target) == contents(old)
    try:
        copy_tree(new, "", target, "")
    except InTheWayError:
        assert contents(target) == contents(old)
    else:
        assert contents(target) == {**contents(old), **contents(new)}
        assert target.check() == []
