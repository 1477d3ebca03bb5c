"""What ext holds beyond names and bytes, large directories, full volumes, interrupted writers."""

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest

from bpscript.base.clock import Clock
from bpscript.base.errors import FormatError, InTheWayError, NoSpaceError, ReadOnlyError, StorageError
from bpscript.blocks.faulty import FaultyDevice
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.blocks.overlay import OverlayDevice
from bpscript.blocks.readonly import ReadOnlyDevice
from bpscript.blocks.slice import SliceDevice
from bpscript.filesystems.ext import ExtVolume, format_ext, library
from bpscript.filesystems.ext.superblock import Superblock
from bpscript.filesystems.filesystem import Facts, Family, FileKind, HasUnixObjects, UnixFacts, walk
from tests.oracles import debugfs, e2fsck, mke2fs, run_tool

MIB = 1 << 20
NOW_NS = 1_700_000_000_123_456_789
KINDS = ("EXT2", "EXT3", "EXT4")
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")      # cap_net_raw+ep, as setcap writes it


def acl(*entries: tuple[int, int, int]) -> bytes:
    """An access control list as getxattr(2) gives it: version 2, then tag, permissions, id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


# Owner rw-, user 1000 r--, group r--, mask r--, other ---
ACL = acl((0x01, 6, 0xFFFFFFFF), (0x02, 4, 1000), (0x04, 4, 0xFFFFFFFF), (0x10, 4, 0xFFFFFFFF), (0x20, 0, 0xFFFFFFFF))


@pytest.fixture(params=KINDS)
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[ExtVolume, Path]]:
    path = tmp_path / "image"
    with FileDevice.create(path, 32 * MIB) as device:
        format_ext(device, request.param)
        volume = ExtVolume.on(device, clock=Clock(NOW_NS))
        yield volume, path
        volume.close()
    e2fsck(path)


@pytest.fixture
def ext4() -> ExtVolume:
    device = MemoryDevice(32 * MIB)
    format_ext(device, "EXT4")
    return ExtVolume.on(device, clock=Clock(NOW_NS))


def test_what_unix_keeps_of_a_file_comes_back(image: tuple[ExtVolume, Path]) -> None:
    volume, path = image
    assert isinstance(volume, HasUnixObjects)
    assert volume.family is Family.LINUX
    xattrs = {"security.capability": CAPABILITY, "system.posix_acl_access": ACL, "user.comment": b"words", "user.empty": b"", "trusted.x": b"y" * 600}
    unix = UnixFacts(0o6751, 100_000, 200_000, 1_500_000_000_000_000_001, 1_600_000_000_999_999_999, xattrs=xattrs)
    facts = Facts(FileKind.FILE, 5, 1_400_000_000_500_000_000, unix=unix)
    volume.write_file("file", [b"hello"], 5, facts)
    volume.make_dir("dir", Facts(FileKind.DIRECTORY, mtime_ns=7_000_000_000, unix=UnixFacts(0o1777, 1, 2, xattrs={"user.dir": b"1", "system.posix_acl_default": ACL})))
    volume.flush()
    found = volume.stat("file")
    assert found.unix is not None
    assert found.unix.inode > 11
    assert (found.kind, found.size, found.mtime_ns) == (FileKind.FILE, 5, facts.mtime_ns)
    assert (found.unix.mode, found.unix.uid, found.unix.gid) == (0o6751, 100_000, 200_000)
    assert (found.unix.atime_ns, found.unix.ctime_ns) == (unix.atime_ns, unix.ctime_ns)
    assert found.unix.xattrs == xattrs
    directory = volume.stat("dir")
    assert directory.unix is not None
    assert (directory.mtime_ns, directory.unix.mode, directory.unix.xattrs["user.dir"]) == (7_000_000_000, 0o1777, b"1")
    # debugfs reads the same
    stat = debugfs(path, "stat file")
    assert "Mode:  06751" in stat
    assert "User: 100000   Group: 200000" in stat
    assert "mtime: 0x53724e00" in stat
    assert "security.capability (20)" in debugfs(path, "ea_list file")
    assert 'user.comment (5) = "words"' in debugfs(path, "ea_list file")
    # and facts can be taken back
    volume.set_facts("file", Facts(FileKind.FILE, mtime_ns=NOW_NS, unix=UnixFacts(0o600, xattrs={"user.new": b"n"})))
    changed = volume.stat("file").unix
    assert changed is not None
    assert (changed.mode, changed.uid, changed.xattrs) == (0o600, 0, {"user.new": b"n"})


@pytest.mark.parametrize("time_ns", [0, 1, -1, -(1 << 31) * 10**9, (1 << 31) * 10**9 + 5, 0xFFFF_FFFF * 10**9, 15_000_000_000 * 10**9 + 999_999_999])
def test_times_beyond_2038_and_before_1970(ext4: ExtVolume, time_ns: int) -> None:
    ext4.write_file("file", [b""], 0, Facts(FileKind.FILE, mtime_ns=time_ns))
    assert ext4.stat("file").mtime_ns == time_ns
    ext4.flush()
    assert ext4.check() == []


@pytest.mark.parametrize(("time_ns", "stored_ns"), [(1 << 70, ((1 << 34) - (1 << 31) - 1) * 10**9 + 999_999_999), (-(1 << 70), -(1 << 31) * 10**9)])
def test_times_out_of_reach_become_the_nearest(ext4: ExtVolume, time_ns: int, stored_ns: int) -> None:
    ext4.write_file("file", [b""], 0, Facts(FileKind.FILE, mtime_ns=time_ns))
    assert ext4.stat("file").mtime_ns == stored_ns


@pytest.mark.parametrize("numbers", [(1, 3), (8, 255), (0, 0), (8, 256), (259, 1), (4095, 1_048_575)])
@pytest.mark.parametrize("kind", [FileKind.BLOCK_DEVICE, FileKind.CHARACTER_DEVICE])
def test_device_numbers_old_and_new(ext4: ExtVolume, kind: FileKind, numbers: tuple[int, int]) -> None:
    ext4.make_node("node", Facts(kind, unix=UnixFacts(0o660, 0, 6, device=numbers)))
    found = ext4.stat("node")
    assert found.unix is not None
    assert (found.kind, found.unix.device) == (kind, numbers)
    ext4.remove("node")
    assert ext4.check() == []


def test_a_device_number_out_of_range_is_refused(ext4: ExtVolume) -> None:
    with pytest.raises(StorageError, match="device 4096:0 cannot be stored"):
        ext4.make_node("node", Facts(FileKind.BLOCK_DEVICE, unix=UnixFacts(device=(4096, 0))))
    with pytest.raises(StorageError, match="is no device, fifo or socket"):
        ext4.make_node("node", Facts(FileKind.FILE))
    with pytest.raises(StorageError, match="ids have 32 bits"):
        ext4.write_file("file", [b"x"], 1, Facts(FileKind.FILE, unix=UnixFacts(uid=1 << 32)))
    assert not ext4.exists("node")
    assert ext4.check() == []


@pytest.mark.parametrize("length", [1, 59, 60, 61, 1000, 1023])
def test_symlinks_of_every_length(image: tuple[ExtVolume, Path], length: int) -> None:
    volume, path = image
    volume.make_symlink("link", "t" * length)
    volume.flush()
    assert volume.stat("link").target == "t" * length
    assert f"Size: {length}" in debugfs(path, "stat link")
    volume.rename("link", "moved")
    volume.remove("moved")


def test_symlinks_that_cannot_be(ext4: ExtVolume) -> None:
    for target in ("", "x" * 1024, "a\0b"):
        with pytest.raises(StorageError, match="a link target has 1 to 1023 bytes"):
            ext4.make_symlink("link", target)
    ext4.make_symlink("link", "x")
    with pytest.raises(InTheWayError, match='"link" exists already'):
        ext4.make_symlink("link", "y")


def test_hard_links_share_contents_until_one_is_replaced_with_facts(image: tuple[ExtVolume, Path]) -> None:
    volume, _ = image
    volume.make_dir("dir")
    volume.write_file("one", [b"first"])
    volume.make_hard_link("dir/two", "one")
    one, two = volume.stat("one").unix, volume.stat("dir/two").unix
    assert one is not None
    assert two is not None
    assert (one.inode, one.links) == (two.inode, 2)
    volume.write_file("one", [b"second, under both names"])
    assert volume.open("dir/two").read() == b"second, under both names"
    volume.write_file("one", [b"third, new file"], 15, Facts(FileKind.FILE))
    assert volume.open("dir/two").read() == b"second, under both names"
    volume.remove("one")
    assert volume.open("dir/two").read() == b"second, under both names"
    with pytest.raises(InTheWayError, match="only one name"):
        volume.make_hard_link("three", "dir")


def test_replacing_keeps_mode_owner_and_attributes(ext4: ExtVolume) -> None:
    ext4.write_file("file", [b"old"], 3, Facts(FileKind.FILE, unix=UnixFacts(0o755, 7, 8, xattrs={"user.a": b"b"})))
    ext4.write_file("file", [b"new contents"])
    found = ext4.stat("file")
    assert found.unix is not None
    assert (found.unix.mode, found.unix.uid, found.unix.gid, found.unix.xattrs) == (0o755, 7, 8, {"user.a": b"b"})
    assert (found.size, found.mtime_ns) == (12, NOW_NS)
    ext4.make_symlink("link", "file")
    ext4.write_file("link", [b"no link any more"])
    assert ext4.stat("link").kind is FileKind.FILE
    assert ext4.open("file").read() == b"new contents"
    assert ext4.check() == []


def test_long_zeros_become_holes_and_short_ones_do_not(image: tuple[ExtVolume, Path]) -> None:
    volume, path = image
    data = b"a" * 100_000 + bytes(1_000_000) + b"b" * 50 + bytes(30_000) + b"c" * 50_000
    volume.write_file("announced", [data], len(data))
    volume.write_file("unannounced", [data[i : i + 262_144] for i in range(0, len(data), 262_144)])
    volume.write_file("all zeros", [bytes(3 * MIB)], 3 * MIB)
    volume.flush()
    for name in ("announced", "unannounced"):
        assert volume.open(name).read() == data
        assert [(part.logical, part.logical + part.length) for part in volume.extents(name) or []] == [(0, 131_072), (1_048_576, len(data))]
    assert volume.open("all zeros").read() == bytes(3 * MIB)
    assert volume.extents("all zeros") == []
    assert "Blockcount: 0\n" in debugfs(path, 'stat "all zeros"')


def test_extents_are_those_of_the_file_as_it_is_now(image: tuple[ExtVolume, Path]) -> None:
    """What a listing saw is forgotten with the first change, also when it was flushed."""
    volume, _ = image

    def read() -> bytes:
        buffer = bytearray(volume.stat("file").size)
        for logical, offset, length in volume.extents("file") or []:
            volume.device.readinto(offset, memoryview(buffer)[logical : logical + length])
        return bytes(buffer)

    for data in (b"first" * 5000, b"second" * 9000, bytes(200_000) + b"third"):
        volume.write_file("file", [data])
        assert read() == data
        volume.flush()
        volume.entries("")
        assert read() == data


def test_unwritten_extents_read_as_zeros(tmp_path: Path) -> None:
    path = mke2fs(tmp_path / "image", 32 * MIB, "-t", "ext4")
    (tmp_path / "dirt").write_bytes(b"\xff" * 9 * MIB)
    run_tool(["debugfs", "-w", "-f", "-", path], input_text=f"write {tmp_path / 'dirt'} dirt\nrm dirt\nwrite /dev/null file\nfallocate file 0 999\nset_inode_field file size 500000\n")
    with FileDevice(path) as device:
        assert ExtVolume.on(device, writable=False).open("file").read() == bytes(500_000)


def test_a_directory_of_many_names_gets_an_index_that_e2fsck_and_debugfs_understand(image: tuple[ExtVolume, Path]) -> None:
    volume, path = image
    volume.make_dir("dir")
    names = [f"one of many rather similar and quite long names, the number {number:05}" for number in range(6000)]
    for name in names:
        volume.make_hard_link(f"dir/{name}", f"dir/{names[0]}") if name != names[0] else volume.write_file(f"dir/{name}", [b"x"])
    volume.close()
    assert "Number of entries (count)" in debugfs(path, "htree_dump dir")
    assert "Indirect levels: 1" in debugfs(path, "htree_dump dir")
    e2fsck(path)
    device = MemoryDevice(path.read_bytes())
    assert sorted(name for name, _ in ExtVolume.on(device, writable=False).entries("dir")) == names


def test_a_directory_shrinks_to_what_it_needs(ext4: ExtVolume) -> None:
    ext4.make_dir("dir")
    ext4.flush()
    free = ext4.usage().free
    for number in range(1000):
        ext4.make_symlink(f"dir/a name of some length {number}", "x")
    ext4.flush()
    assert ext4.check() == []
    assert ext4.usage().free < free
    for number in range(1000):
        ext4.remove(f"dir/a name of some length {number}")
    ext4.flush()
    assert ext4.usage().free == free
    assert ext4.check() == []


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories are written and dropped after every few names."""
    monkeypatch.setattr("bpscript.filesystems.ext.tree._NAMES_KEPT", 3)


@pytest.mark.usefixtures("forgetful")
def test_directories_that_do_not_fit_in_memory_are_written_and_read_again(ext4: ExtVolume) -> None:
    for number in range(20):
        ext4.make_dir(f"dir{number}")
        ext4.make_dir(f"dir{number}/inner")
        for inner in range(20):
            ext4.write_file(f"dir{number}/inner/{inner}", [b"%d" % inner])
    for number in range(20):
        ext4.write_file(f"dir{number}/inner/new", [b"new"])
        ext4.rename(f"dir{number}/inner/3", f"dir{(number + 7) % 20}/moved")
        ext4.make_hard_link(f"dir{number}/link", f"dir{(number + 3) % 20}/inner/4")
        ext4.remove(f"dir{number}/inner/5")
    assert len(list(walk(ext4))) == 1 + 20 * 23
    assert all(ext4.exists(f"dir{number}/moved") and not ext4.exists(f"dir{number}/inner/3") for number in range(20))
    assert ext4.check() == []


@pytest.mark.usefixtures("forgetful")
def test_the_giver_of_a_file_may_look_around_on_the_volume(ext4: ExtVolume) -> None:
    for number in range(10):
        ext4.make_dir(f"dir{number}")
        ext4.write_file(f"dir{number}/file", [b"%d" % number])

    def chunks() -> Iterator[bytes]:
        for number in range(10):
            yield ext4.open(f"dir{number}/file").read()
            assert len(ext4.entries(f"dir{number}")) >= 1

    ext4.write_file("dir5/all", chunks())
    assert ext4.open("dir5/all").read() == b"0123456789"
    assert ext4.check() == []


@pytest.mark.parametrize("name", ["", "x" * 256, "a\0b", ".", "..", "ä" * 128])
def test_names_ext_cannot_hold(ext4: ExtVolume, name: str) -> None:
    with pytest.raises(StorageError):
        ext4.write_file(f"lost+found/{name}", [b"x"])
    assert ext4.check() == []


def test_names_of_any_bytes(ext4: ExtVolume) -> None:
    names = ["x" * 255, os.fsdecode(b"latin \xe4\xf6\xfc"), "tab\tnewline\n", "\\", "*", "日本語", " "]
    for name in names:
        ext4.write_file(name, [name.encode("utf-8", "surrogateescape")])
    ext4.flush()
    assert sorted(name for name, _ in ext4.entries("") if name != "lost+found") == sorted(names)
    assert ext4.check() == []


def test_directories_with_an_attribute_block_can_be_removed(image: tuple[ExtVolume, Path]) -> None:
    volume, _ = image
    volume.flush()
    free = volume.usage().free
    volume.make_dir("dir", Facts(FileKind.DIRECTORY, unix=UnixFacts(xattrs={"user.long": b"x" * 500})))
    volume.flush()
    volume.remove("dir")
    volume.flush()
    assert volume.usage().free == free


def test_attributes_that_do_not_fit_are_refused_and_leave_nothing(ext4: ExtVolume) -> None:
    ext4.flush()
    free = ext4.usage().free
    for xattrs, words in (({"user.a": b"x" * 5000}, "does not fit"), ({"nonsense.a": b"x"}, "has a prefix that ext does not know")):
        with pytest.raises(StorageError, match=words):
            ext4.write_file("file", [b"contents"], 8, Facts(FileKind.FILE, unix=UnixFacts(xattrs=xattrs)))
        assert not ext4.exists("file")
    ext4.flush()
    assert ext4.usage().free == free
    assert ext4.check() == []


def test_no_inode_left(tmp_path: Path) -> None:
    path = mke2fs(tmp_path / "image", 8 * MIB, "-t", "ext4", "-N", "32")
    with FileDevice(path) as device:
        volume = ExtVolume.on(device)
        for number in range(32 - 11):
            volume.write_file(f"file{number}", [b"x"])
        with pytest.raises(NoSpaceError, match="no inode left"):
            volume.write_file("one more", [b"x"])
        with pytest.raises(NoSpaceError, match="no inode left"):
            volume.make_dir("dir")
        volume.close()
    e2fsck(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 3000, 70_000])
def test_a_volume_filled_to_the_last_block_stays_clean(kind: str, size: int) -> None:
    device = MemoryDevice(4 * MIB)
    format_ext(device, kind, inode_ratio=1024)
    volume = ExtVolume.on(device)
    volume.write_file("old", [b"old contents"])
    count = 0
    with suppress(NoSpaceError):
        while True:
            volume.write_file(f"a file with a name that takes some room in the directory {count}", [b"x" * size], size)
            count += 1
    assert count > 10
    with suppress(NoSpaceError):
        while True:
            volume.make_symlink(f"a link with a name that takes some room in the directory {count}", "x" * 100)
            count += 1
    assert volume.open("old").read() == b"old contents"
    assert volume.check() == []
    volume.close()
    assert ExtVolume.on(device).open("old").read() == b"old contents"


def test_a_file_may_take_the_room_of_the_one_it_replaces(ext4: ExtVolume) -> None:
    size = ext4.usage().free * 2 // 3 >> 16 << 16
    ext4.write_file("file", [b"1" * size], size)
    ext4.write_file("file", [b"2" * size], size)
    assert ext4.open("file").read() == b"2" * size
    assert ext4.check() == []


def test_very_fragmented_files(image: tuple[ExtVolume, Path]) -> None:
    """Every second block free: hundreds of extents, or scattered indirect blocks."""
    volume, _ = image
    volume.make_dir("dir")
    with suppress(NoSpaceError):
        for number in range(100_000):
            volume.write_file(f"dir/{number}", [b"x" * 1000], 1000)
    for name, _ in volume.entries("dir")[::2]:
        volume.remove(f"dir/{name}")
    data = bytes(range(1, 256)) * 4000
    volume.write_file("fragmented", [data], len(data))
    volume.flush()
    assert volume.open("fragmented").read() == data
    assert volume.check() == []
    volume.write_file("fragmented", [b"short"])


def test_any_stack_of_devices_will_do(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    with FileDevice.create(path, 64 * MIB) as disk:
        partition = SliceDevice(disk, 3 * MIB + 512, 32 * MIB)
        format_ext(partition, "EXT4", "root")
        volume = ExtVolume.on(partition)
        volume.write_file("file", [b"on disk"])
        volume.close()
        e2fsck(path, 3 * MIB + 512)
        before = path.read_bytes()
        overlay = OverlayDevice(disk)
        trial = ExtVolume.on(SliceDevice(overlay, 3 * MIB + 512, 32 * MIB))
        trial.write_file("file", [b"in memory"])
        trial.remove("lost+found")
        assert trial.check() == []
        trial.close()
        assert path.read_bytes() == before
        format_ext(SliceDevice(overlay, 3 * MIB + 512, 32 * MIB), "EXT2")
        assert ExtVolume.on(SliceDevice(overlay, 3 * MIB + 512, 32 * MIB)).check() == []
        assert path.read_bytes() == before
        locked = ExtVolume.on(ReadOnlyDevice(partition))
        assert locked.open("file").read() == b"on disk"
        with pytest.raises(ReadOnlyError, match="open for reading only"):
            locked.remove("file")
        closed = ExtVolume.on(partition, writable=False)
        with pytest.raises(ReadOnlyError, match="open for reading only"):
            closed.make_dir("x")
        assert path.read_bytes() == before


def test_an_interrupted_writer_leaves_a_volume_that_asks_for_e2fsck() -> None:
    memory = MemoryDevice(16 * MIB)
    format_ext(memory, "EXT4")
    for writes in range(12):
        disk = FaultyDevice(OverlayDevice(memory), writes_allowed=writes)
        volume = ExtVolume.on(disk)
        try:
            for number in range(40):
                volume.write_file(f"file{number}", [b"x" * 100_000], 100_000)
            volume.close()
            break
        except StorageError:
            assert writes == 0 or Superblock.read(disk).needs_recovery
        disk.writes_left = None
        mended = ExtVolume.on(disk)
        assert mended.check() == []


def make_journal_dirty(path: Path, folder: Path) -> bytes:
    """Let debugfs write a transaction into the journal: block 8000's worth of "from the journal", to be replayed there."""
    block = b"from the journal".ljust(1024, b"!")
    (folder / "block").write_bytes(block)
    run_tool(["debugfs", "-w", "-f", "-", path], input_text=f"jo\njw -b 8000 {folder / 'block'}\njc\n")
    return block


def test_a_dirty_journal_is_replayed_first(tmp_path: Path) -> None:
    path = mke2fs(tmp_path / "image", 32 * MIB, "-t", "ext4", "-b", "1024")
    block = make_journal_dirty(path, tmp_path)
    assert "needs_recovery" in debugfs(path, "features")
    before = path.read_bytes()
    with FileDevice(path) as device:
        assert device.read(8000 * 1024, 1024) != block
        looking = ExtVolume.on(device, writable=False)
        assert looking.exists("lost+found")
        looking.close()
        assert path.read_bytes() == before, "reading replays in memory only"
    locked = FileDevice(path, writable=False)
    for closed in (ReadOnlyDevice(MemoryDevice(before)), locked):
        reading = ExtVolume.on(closed)
        assert reading.exists("lost+found")
        with pytest.raises(ReadOnlyError, match="open for reading only"):
            reading.make_dir("dir")
        reading.close()
    locked.close()
    assert path.read_bytes() == before
    with FileDevice(path) as device:
        volume = ExtVolume.on(device)
        assert device.read(8000 * 1024, 1024) == block
        volume.write_file("file", [b"x"])
        volume.close()
    e2fsck(path)


def test_a_volume_that_cannot_be_mended_is_refused(tmp_path: Path) -> None:
    path = mke2fs(tmp_path / "image", 32 * MIB, "-t", "ext4", "-b", "1024")
    run_tool(["debugfs", "-w", "-f", "-", path], input_text="set_inode_field <2> mode 0100644\nset_super_value state 2\n")
    with FileDevice(path) as device, pytest.raises(FormatError, match="cannot be mended by itself") as caught:
        ExtVolume.on(device)
    assert caught.value.hint == "run e2fsck on it"


def test_backup_superblocks_are_updated_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "image"
    with FileDevice.create(path, 40 * MIB) as device:
        format_ext(device, "EXT4", block_size=1024)
        backup = 8193 * 1024

        def free_in_backup() -> int:
            return Superblock.parse(device.read(backup, 1024)).free_blocks

        before = free_in_backup()
        volume = ExtVolume.on(device)
        volume.write_file("file", [b"x" * 100_000])
        volume.flush()
        assert free_in_backup() == before
        volume.backup_superblocks = True
        volume.write_file("other", [b"x" * 100_000])
        volume.flush()
        assert free_in_backup() == volume.usage().free // 1024 != before
        volume.close()
    e2fsck(path)


def test_the_same_operations_make_the_same_bytes() -> None:
    def make() -> bytes:
        device = MemoryDevice(16 * MIB)
        clock = Clock(NOW_NS)
        format_ext(device, "EXT4", "label", UUID(int=1), UUID(int=2), clock=clock)
        volume = ExtVolume.on(device, clock=clock)
        volume.make_dir("dir")
        for number in range(300):
            volume.write_file(f"dir/{number}", [b"%d" % number])
        volume.close()
        return device.read(0, device.size)

    assert make() == make()


def test_check_names_what_e2fsck_found(tmp_path: Path) -> None:
    path = mke2fs(tmp_path / "image", 32 * MIB, "-t", "ext4", "-b", "1024")
    run_tool(["debugfs", "-w", "-f", "-", path], input_text="mkdir dir\nset_inode_field dir links_count 9\n")
    with FileDevice(path) as device:
        problems = ExtVolume.on(device).check()
    assert [problem.where for problem in problems] == ["Pass 4: Checking reference counts"]
    assert "ref count is 9, should be 2" in problems[0].what


def test_a_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_LIBRARY", "libext2fs.so.99")
    library.load.cache_clear()
    try:
        with pytest.raises(StorageError, match="not installed") as caught:
            library.load()
        assert caught.value.hint == "apt install libext2fs2 e2fsprogs"
    finally:
        library.load.cache_clear()


def test_reading_while_data_waits_to_be_written(ext4: ExtVolume) -> None:
    ext4.write_file("a", [b"first"])
    ext4.write_file("b", [b"second"])
    assert ext4.open("a").read(3) == b"fir"
    ext4.remove("a")
    ext4.make_symlink("l", "z" * 100)
    assert ext4.stat("l").target == "z" * 100
    assert ext4.open("b").read() == b"second"
    assert ext4.check() == []


def test_memory_stays_small_on_a_large_volume(tmp_path: Path) -> None:
    """1 TiB: bitmaps of 32 MiB exist on disk, not in memory."""
    path = tmp_path / "image"
    FileDevice.create(path, 1 << 40).close()
    code = f"""
from pathlib import Path
from bpscript.blocks.file import FileDevice
from bpscript.filesystems.ext import ExtVolume, format_ext, library
device = FileDevice({str(path)!r})
format_ext(device, "EXT4")
volume = ExtVolume.on(device)
volume.write_file("file", [b"x" * 100_000])
volume.close()
assert sum(end - start for start, end in ExtVolume.on(device).used_ranges()) > 10 << 30
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(status["VmHWM"].split()[0])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 150 << 10
