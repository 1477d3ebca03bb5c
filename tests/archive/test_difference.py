"""Difference archives as a script makes them: a base on a partition, changes, the difference, and both put elsewhere."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import bpscript
from bpscript.archive.container import Archive, ArchiveKind, ArchiveWriter, Header
from bpscript.archive.incremental import BASE, KEPT, NAME, entries, read_removals, unpack_incremental
from bpscript.archive.positional import JoinedReader, open_from_host
from bpscript.base.clock import Clock
from bpscript.base.errors import FormatError, ScriptError
from bpscript.base.events import Kind
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.detect import open_volume
from bpscript.filesystems.filesystem import Facts, FileKind, Filesystem, UnixFacts, walk
from tests.archive.archives import MemorySink
from tests.archive.memory_tree import MemoryTree
from tests.oracles import e2fsck, fsck_fat, run_tool

START = 1 << 20
SIZE = 48 << 20
CLOCK = Clock(1_700_000_000_000_000_000)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)     # where MrZip looks for names without a place


def run(folder: Path, text: str, *disks: str) -> str:
    """A script of MrZip; gives its warnings."""
    (folder / "script.mrz").write_text(text)
    warnings: list[str] = []
    bpscript.run(
        folder / "script.mrz", disks=[folder / disk for disk in disks],
        events=lambda event: warnings.append(str(event.data["text"])) if event.kind is Kind.WARNING else None,
    )
    return "\n".join(warnings)


def refused(folder: Path, text: str, *disks: str) -> str:
    """The message of a script that fails."""
    (folder / "script.mrz").write_text(text)
    with pytest.raises(ScriptError) as caught:
        bpscript.run(folder / "script.mrz", disks=[folder / disk for disk in disks])
    return caught.value.explain()


def volume(path: Path, *, writable: bool = True) -> Filesystem:
    from bpscript.blocks.slice import SliceDevice  # noqa: PLC0415

    device = FileDevice(path, writable=writable)
    found = open_volume(SliceDevice(device, START, SIZE), clock=CLOCK, writable=writable)
    close = found.close

    def both() -> None:
        close()
        device.close()

    found.close = both  # type: ignore[method-assign]
    return found


def blank(folder: Path, name: str, kind: str) -> Path:
    kinds = {"ext4": "LINUX-EXT2", "fat": "FAT32"}
    with (folder / name).open("wb") as file:
        file.truncate(SIZE + 4 * START)
    run(folder, f'Set Linux-FS = "EXT4"\nSetPartitions "{kinds[kind]}:{SIZE >> 20}"\nClean 1\n', name)
    return folder / name


def look(path: Path) -> dict[str, tuple[object, ...]]:
    """Everything a volume says of its files, but for what applying an archive cannot keep (access and change times, numbers)."""
    opened = volume(path, writable=False)
    found: dict[str, tuple[object, ...]] = {}
    first: dict[int, str] = {}
    for name, facts in walk(opened):
        unix = facts.unix
        data = None
        if facts.kind is FileKind.FILE:
            reader = opened.open(name)
            data = reader.read()
            reader.close()
        same = first.setdefault(unix.inode, name) if unix is not None and facts.kind is not FileKind.DIRECTORY else name
        known = None if unix is None else (unix.mode, unix.uid, unix.gid, unix.device, dict(unix.xattrs))
        found[name] = (facts.kind, facts.mtime_ns, facts.target, known, facts.dos and facts.dos.attributes, data, same)
    opened.close()
    return found


def fill(target: Filesystem, *, unix: bool) -> None:
    """Directories, files of many sizes, and on ext links and devices."""
    for name in ("keep", "keep/deep", "change", "gone", "gone/below", "tree"):
        target.make_dir(name)
    for number in range(40):
        put(target, f"keep/{number:02}", bytes([number]) * (number * 977))
    put(target, "keep/deep/large", os.urandom(1 << 20) + bytes(300_000) + os.urandom(700_000))
    for name in ("content", "same size", "times", "mode", "type", "renamed"):
        put(target, f"change/{name}", name.encode() * 1000)
    for name in ("gone/a", "gone/below/b", "tree/x"):
        put(target, name, b"to be removed")
    if unix:
        objects = target
        for name in ("one", "two"):
            put(target, f"keep/{name}", b"linked" * 100)
            objects.make_hard_link(f"keep/{name}.link", f"keep/{name}")     # type: ignore[attr-defined]
        objects.make_symlink("keep/symlink", "deep/large")                  # type: ignore[attr-defined]
        objects.make_node("change/device", facts(FileKind.CHARACTER_DEVICE, device=(4, 1)))     # type: ignore[attr-defined]
    target.flush()


def change(target: Filesystem, *, unix: bool) -> set[str]:
    """Every way in which a tree can differ; gives what a difference must store, directories that hold it left aside."""
    put(target, "change/content", b"other" * 1200)
    put(target, "change/same size", b"same sizE" * 1000)
    target.set_facts("change/times", Facts(FileKind.FILE, mtime_ns=CLOCK.now_ns() + 10**12))
    target.rename("change/renamed", "change/new name")
    target.remove("gone/below/b")
    target.remove("gone/below")
    target.remove("gone/a")
    put(target, "gone/new", b"new")
    target.remove("tree/x")
    target.remove("tree")
    put(target, "tree", b"a file where a directory was")
    target.remove("change/type")
    target.make_dir("change/type")
    put(target, "change/type/inside", b"a directory where a file was")
    put(target, "keep/deep/large", after(target, "keep/deep/large"))
    expected = {
        "change/content", "change/same size", "change/times", "change/new name", "gone/new", "tree", "change/type", "change/type/inside",
        "keep/deep/large",
    }
    if unix:
        target.set_facts("change/mode", facts(FileKind.FILE, mode=0o4711, uid=7, xattrs={"user.note": b"x"}))
        put(target, "keep/one.link", b"alone now")
        target.make_hard_link("change/three", "keep/two")                   # type: ignore[attr-defined]
        target.remove("keep/symlink")
        target.make_symlink("keep/symlink", "deep")                         # type: ignore[attr-defined]
        target.remove("change/device")
        target.make_node("change/device", facts(FileKind.BLOCK_DEVICE, device=(4, 1)))     # type: ignore[attr-defined]
        expected |= {"change/mode", "keep/one.link", "change/three", "keep/two", "keep/two.link", "keep/symlink", "change/device"}
    target.flush()
    return expected


def after(target: Filesystem, path: str) -> bytes:
    reader = target.open(path)
    data = bytearray(reader.read())
    reader.close()
    data[1_200_000] ^= 1        # in the zeros: the base may have a hole there
    return bytes(data)


def facts(kind: FileKind, *, mode: int = 0o644, uid: int = 0, device: tuple[int, int] = (0, 0), xattrs: dict[str, bytes] | None = None) -> Facts:
    return Facts(kind, mtime_ns=CLOCK.now_ns(), unix=UnixFacts(mode, uid, device=device, xattrs=xattrs or {}))


def put(target: Filesystem, path: str, data: bytes) -> None:
    target.write_file(path, [data], len(data), Facts(FileKind.FILE, len(data), CLOCK.now_ns(), unix=UnixFacts()))


def archive_at(path: Path) -> Archive:
    data = open_from_host(path)
    assert not isinstance(data, JoinedReader)
    return Archive.open(data)


def stored(path: Path) -> set[str]:
    return {name for name, facts, _ in entries(archive_at(path))}


JUDGES: dict[str, Callable[[Path, int], None]] = {"ext4": e2fsck, "fat": fsck_fat}


@pytest.mark.parametrize("base", ["full", "incremental"])
@pytest.mark.parametrize("kind", ["ext4", "fat"])
def test_base_and_difference_make_the_changed_partition(kind: str, base: str, tmp_path: Path) -> None:
    source = blank(tmp_path, "source.img", kind)
    opened = volume(source)
    fill(opened, unix=kind == "ext4")
    opened.close()
    zip_base = 'FullZip "{:1}/" "base.arc"\n' if base == "full" else 'IncrZip "{:1}/" "base.arc"\n'
    run(tmp_path, zip_base, "source.img")
    opened = volume(source)
    expected = change(opened, unix=kind == "ext4")
    opened.close()
    run(tmp_path, 'Set Base-Archive = "base.arc"\nIncrZip "{:1}/" "difference.arc"\n', "source.img")
    directories = {name for name in stored(tmp_path / "difference.arc") if name not in expected}
    assert directories <= {"change", "gone", "keep", "keep/deep"}
    assert stored(tmp_path / "difference.arc") - directories == expected

    blank(tmp_path, "target.img", kind)
    unzip_base = 'FullUnzip "base.arc" 1\n' if base == "full" else 'IncrUnzip "base.arc" 1\n'
    run(tmp_path, f'{unzip_base}IncrUnzip "difference.arc" 1\n', "target.img")
    assert look(tmp_path / "target.img") == look(source)
    JUDGES[kind](tmp_path / "target.img", START)
    again = 'IncrUnzip "difference.arc" 1\n'
    run(tmp_path, again, "target.img")
    assert look(tmp_path / "target.img") == look(source)
    JUDGES[kind](tmp_path / "target.img", START)


@pytest.mark.parametrize("base", ["full", "incremental"])
@pytest.mark.parametrize("kind", ["ext4", "fat"])
def test_nothing_changed_nothing_stored(kind: str, base: str, tmp_path: Path) -> None:
    opened = volume(blank(tmp_path, "source.img", kind))
    fill(opened, unix=kind == "ext4")
    opened.close()
    zip_base = 'FullZip "{:1}/" "base.arc"\n' if base == "full" else 'IncrZip "{:1}/" "base.arc"\n'
    run(tmp_path, f'{zip_base}Set Base-Archive = "base.arc"\nIncrZip "{{:1}}/" "difference.arc"\n', "source.img")
    assert stored(tmp_path / "difference.arc") == set()
    assert read_removals(archive_at(tmp_path / "difference.arc")) == []


def test_a_file_that_moved_on_the_disk_is_no_difference(tmp_path: Path) -> None:
    """Same contents and facts on other blocks, once behind a hole: only the contents can tell."""
    source = blank(tmp_path, "source.img", "ext4")
    opened = volume(source)
    fill(opened, unix=True)
    opened.close()
    run(tmp_path, 'FullZip "{:1}/" "base.arc"\n', "source.img")
    opened = volume(source)
    reader = opened.open("keep/deep/large")
    data = reader.read()
    reader.close()
    put(opened, "elsewhere", data)
    opened.remove("keep/deep/large")
    opened.rename("elsewhere", "keep/deep/large")
    put(opened, "keep/07", bytes([7]) * (7 * 977 - 1) + b"!")
    opened.close()
    run(tmp_path, 'Set Base-Archive = "base.arc"\nIncrZip "{:1}/" "difference.arc"\n', "source.img")
    assert {name for name in stored(tmp_path / "difference.arc") if name[-1].isdigit() or name.endswith("large")} == {"keep/07"}


def test_a_change_that_kept_size_and_all_times_is_found(tmp_path: Path) -> None:
    """debugfs changes bytes and nothing else: no clock tells of it."""
    source = blank(tmp_path, "source.img", "ext4")
    opened = volume(source)
    fill(opened, unix=True)
    opened.close()
    run(tmp_path, 'FullZip "{:1}/" "base.arc"\nIncrZip "{:1}/" "base2.arc"\n', "source.img")
    words = run_tool(["debugfs", "-R", "blocks /change/mode", f"{source}?offset={START}"]).stdout.split()
    with source.open("r+b") as file:
        file.seek(START + int(words[0]) * 1024 + 100)
        file.write(b"!")
    for base in ("base.arc", "base2.arc"):
        run(tmp_path, f'Set Base-Archive = "{base}"\nIncrZip "{{:1}}/" "difference.arc"\n', "source.img")
        assert stored(tmp_path / "difference.arc") == {"change", "change/mode"}


def test_a_folder_of_the_host_differs_from_a_partition(tmp_path: Path) -> None:
    """The base is the full archive of a partition, the tree a folder: files are compared wherever they lie."""
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "large").write_bytes(os.urandom(2_500_000))
    (tree / "a").write_bytes(b"a" * 5000)
    (tree / "b").write_bytes(b"")
    run(tmp_path, 'Set Zip-Size = "16"\nFullZip "tree" "base.arc"\nIncrZip "tree" "base2.arc"\n')
    for base in ("base.arc", "base2.arc"):
        run(tmp_path, f'Set Base-Archive = "{base}"\nFilter -"lost+found"\nIncrZip "tree" "difference.arc"\n')
        assert stored(tmp_path / "difference.arc") == set()
    status = (tree / "a").stat()
    (tree / "a").write_bytes(b"a" * 4999 + b"b")
    os.utime(tree / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    for base in ("base.arc", "base2.arc"):
        run(tmp_path, f'Set Base-Archive = "{base}"\nFilter -"lost+found"\nIncrZip "tree" "difference.arc"\n')
        assert stored(tmp_path / "difference.arc") == {"a"}


def test_a_base_on_a_disk_and_in_fragments(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "noise").write_bytes(os.urandom(400_000))
    (tree / "x").write_text("x")
    blank(tmp_path, "disk.img", "fat")
    run(tmp_path, 'Set FragmentSize = "100 KB"\nIncrZip "tree" "{:1}/base.imi"\n', "disk.img")
    (tree / "x").write_text("y")
    run(tmp_path, 'Set Base-Archive = "{:1}/base.imi"\nIncrZip "tree" "{:1}/new.imi"\nXCopy "{:1}/new.imi" "."\n', "disk.img")
    assert stored(tmp_path / "new.imi") == {"x"}


def test_a_difference_of_a_difference_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    run(tmp_path, 'IncrZip "tree" "base.imi"\nSet Base-Archive = "base.imi"\nIncrZip "tree" "one.imi"\n')
    message = refused(tmp_path, 'Set Base-Archive = "one.imi"\nIncrZip "tree" "two.imi"\n')
    assert 'archive "one.imi": this is a difference archive itself' in message
    assert "a difference is made against a full archive or a whole incremental one" in message
    assert "bpscript image squash" in message
    assert not (tmp_path / "two.imi").exists()


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A base of 300 files and a difference that changes one."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(300):
        (tree / f"f{number:03}").write_bytes(bytes(number))
    run(tmp_path, 'IncrZip "tree" "base.imi"\n')
    (tree / "f000").write_text("changed")
    run(tmp_path, 'Set Base-Archive = "base.imi"\nIncrZip "tree" "new.imi"\n')
    return tmp_path


def test_a_target_without_the_base_is_refused_before_anything_is_written(kept: Path) -> None:
    (kept / "other").mkdir()
    message = refused(kept, 'IncrUnzip "new.imi" "other"\n')
    assert '150 of 150 files that were looked for, such as "f001", are missing there or differ' in message
    assert "unpack the archive first that was given as $Base-Archive" in message
    assert list((kept / "other").iterdir()) == []


def test_a_target_whose_base_has_changed_in_part_is_a_warning(kept: Path) -> None:
    (kept / "other").mkdir()
    run(kept, 'IncrUnzip "base.imi" "other"\n')
    for number in range(1, 60):
        (kept / "other" / f"f{number:03}").write_text("patched " * 20)
    words = run(kept, 'IncrUnzip "new.imi" "other"\n')
    assert 'where its base has changed: 30 of 150 files that were looked for, such as "f001", are missing there or differ' in words
    assert (kept / "other" / "f000").read_text() == "changed"


def test_older_readers_may_pass_over_what_is_kept(kept: Path) -> None:
    """The list is no part of what must be understood."""
    archive = archive_at(kept / "new.imi")
    assert KEPT in archive.header.optional
    listing = subprocess.run(["tar", "--zstd", "-tf", kept / "new.imi"], capture_output=True, text=True, check=True).stdout
    assert listing == "f000\n"


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (b"f1\0x", "list of kept files is damaged"),
        (b"f1\0../x\0\0", "list of kept files is damaged"),
        (b"f1\0x\0\0" * 2, "list of kept files has a path twice"),
        (b"".join(b"f1\0%d\0\0" % number for number in range(300)), "list of kept files has more than 256 entries"),
    ],
    ids=["cut", "outside", "twice", "many"],
)
def test_a_hostile_list_of_kept_files_is_refused(section: bytes, message: str) -> None:
    sink = MemorySink()
    header = Header(ArchiveKind.INCREMENTAL, 4096, None, {}, {NAME: b"", BASE: b"", KEPT: section}, frozenset({KEPT}))
    with ArchiveWriter(sink, header, level=1) as writer:
        writer.add(bytes(1024))
        writer.finish()
    with pytest.raises(FormatError, match=message):
        unpack_incremental(Archive.open(MemoryDevice(sink.data)), MemoryTree())
