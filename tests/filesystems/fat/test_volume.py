"""FAT volumes: what is particular to FAT beside the contract, and what mtools and fsck.fat say to it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bpscript.base.clock import Clock
from bpscript.base.errors import FormatError, InTheWayError, NoSpaceError, StorageError
from bpscript.base.records import parse_record
from bpscript.blocks.faulty import FaultyDevice
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.fat import FatVolume, boot_records, format_fat, layout
from bpscript.filesystems.fat import storing as storing_module
from bpscript.filesystems.fat import tree as tree_module
from bpscript.filesystems.fat.layout import HIDDEN, READ_ONLY, SYSTEM
from bpscript.filesystems.filesystem import DosFacts, Facts, FileKind
from tests.oracles import fsck_fat, mkfs_fat, mtools, mtools_tree

MIB = 1 << 20
CLOCK = Clock(fixed_ns=1_000_000_000_120_000_000)
widths = pytest.mark.parametrize("width", [12, 16, 32])
SIZES = {12: 2 * MIB, 16: 16 * MIB, 32: 34 * MIB}


@contextmanager
def image(tmp_path: Path, width: int = 16) -> Iterator[tuple[FatVolume, FileDevice, Path]]:
    """A volume in an image file; fsck.fat judges it in the end."""
    path = tmp_path / "disk.img"
    with FileDevice.create(path, SIZES[width]) as device:
        format_fat(device, width)
        volume = FatVolume.on(device, clock=CLOCK)
        yield volume, device, path
        volume.close()
    fsck_fat(path)


def memory(width: int = 16) -> tuple[FatVolume, MemoryDevice]:
    device = MemoryDevice(SIZES[width])
    format_fat(device, width)
    return FatVolume.on(device, clock=CLOCK), device


@widths
def test_mtools_reads_what_we_wrote(tmp_path: Path, width: int) -> None:
    wanted = {
        "README.TXT": b"upper",
        "autoexec.bat": b"lower",
        "Config.sys": b"mixed",
        "A directory/Ärger mit Umlauten.txt": b"umlauts" * 1000,
        "A directory/日本語.txt": b"no letter of the code page",
        "A directory/sub/" + "n" * 255: b"longest name",
        "A directory/sub/.hidden": b"",
        "A directory/sub/a+b,c;d=e[f].x": b"only in long names",
    }
    with image(tmp_path, width) as (volume, _, path):
        volume.make_dir("A directory")
        volume.make_dir("A directory/sub")
        for name, data in wanted.items():
            volume.write_file(name, [data], len(data))
        volume.close()
        assert mtools_tree(path, tmp_path / "out") == wanted


def test_characters_beyond_the_bmp_survive(tmp_path: Path) -> None:
    with image(tmp_path) as (volume, device, _):       # mtools 4.0 does not know them
        volume.write_file("\U0001f600 smile.txt", [b"x"])
        volume.close()
        assert [name for name, _ in FatVolume.on(device).entries("")] == ["\U0001f600 smile.txt"]


def test_we_read_what_mtools_wrote(tmp_path: Path) -> None:
    path = mkfs_fat(tmp_path / "disk.img", 34 * MIB, "-F", "32")
    source = tmp_path / "tree"
    wanted = {
        "tree/UPPER.TXT": b"1", "tree/lower.txt": b"2", "tree/Mixed.Txt": b"3", "tree/with spaces and äöü.text": b"4" * 5000,
        "tree/sub/" + "long" * 50: b"5",
    }
    for name, data in wanted.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    mtools(path, "mcopy", "-s", source, "::/")
    with FileDevice(path) as device:
        volume = FatVolume.on(device)
        assert {name: volume.open(name).read() for name in wanted} == wanted
        assert {name for name, _ in volume.entries("tree")} == {"UPPER.TXT", "lower.txt", "Mixed.Txt", "with spaces and äöü.text", "sub"}
        assert volume.check() == []


def test_names_are_found_in_any_case_and_by_their_short_form() -> None:
    volume, _ = memory()
    volume.make_dir("Program Files")
    volume.write_file("Program Files/Übersicht der Geräte.txt", [b"x"])
    assert volume.stat("PROGRA~1").kind is FileKind.DIRECTORY
    assert volume.open("progra~1/üBERSICHT DER gERÄTE.TXT").read() == b"x"
    short = volume.stat("Program Files/übersicht der geräte.txt").dos
    assert short is not None
    assert short.short_name == "ÜBERSI~1.TXT"
    assert volume.open(f"Program Files/{short.short_name.lower()}").read() == b"x"
    assert [name for name, _ in volume.entries("")] == ["Program Files"]


def test_replacing_keeps_the_name_as_it_was_stored() -> None:
    volume, _ = memory()
    volume.write_file("ReadMe.txt", [b"one"])
    volume.write_file("README.TXT", [b"two"])
    assert [name for name, _ in volume.entries("")] == ["ReadMe.txt"]
    volume.rename("readme.txt", "README.txt")
    assert [name for name, _ in volume.entries("")] == ["README.txt"]
    assert volume.open("readme.txt").read() == b"two"


def test_lower_case_8_3_names_take_one_slot() -> None:
    volume, device = memory()
    volume.write_file("config.sys", [])
    volume.close()
    slots = device.read(volume.geometry.root_offset, 64)
    assert slots[:11] == b"CONFIG  SYS"
    assert slots[12] == 0x18
    assert slots[32:] == bytes(32)


def test_dos_facts_survive() -> None:
    volume, device = memory()
    dos = DosFacts(READ_ONLY | HIDDEN | SYSTEM, created_ns=900_000_000_990_000_000, short_name="IOSYS~7.COM")
    facts = Facts(FileKind.FILE, mtime_ns=950_000_000_000_000_000, dos=dos)
    volume.write_file("Io and sys.com", [b"x"], 1, facts)
    volume.make_dir("Dir", Facts(FileKind.DIRECTORY, mtime_ns=950_000_000_000_000_000, dos=DosFacts(HIDDEN)))
    volume.close()
    again = FatVolume.on(device, clock=CLOCK)
    assert again.stat("Io and sys.com") == Facts(FileKind.FILE, 1, 950_000_000_000_000_000, dos=dos)
    assert again.stat("Dir") == Facts(FileKind.DIRECTORY, 0, 950_000_000_000_000_000, dos=DosFacts(HIDDEN, 0, "DIR"))
    again.write_file("Io and sys.com", [b"new contents"])
    found = again.stat("Io and sys.com")
    assert found.dos == dos
    assert found.mtime_ns == 1_000_000_000_000_000_000, "the present time, to two seconds"


def test_a_wanted_short_name_that_is_taken_gives_way() -> None:
    volume, _ = memory()
    facts = Facts(FileKind.FILE, dos=DosFacts(short_name="SAME.TXT"))
    names = []
    for name in ("first long name.txt", "second long name.txt", "PLAIN.TXT"):
        volume.write_file(name, [], 0, facts)
        dos = volume.stat(name).dos
        assert dos is not None
        names.append(dos.short_name)
    assert names == ["SAME.TXT", "SECOND~1.TXT", "PLAIN.TXT"]


def test_defaults_of_a_new_file() -> None:
    volume, _ = memory()
    volume.write_file("file", [b"x"])
    assert volume.stat("file") == Facts(
        FileKind.FILE, 1, 1_000_000_000_000_000_000, dos=DosFacts(0x20, 1_000_000_000_120_000_000, "FILE")
    )


@pytest.mark.parametrize("name", ["a:b", "a*b", "end.", "end ", "x" * 256, "tab\there"])
def test_names_fat_cannot_hold_change_nothing(name: str) -> None:
    volume, device = memory()
    before = device.read(0, device.size)
    for attempt in (volume.make_dir, lambda path: volume.write_file(path, [b"x"])):
        with pytest.raises(StorageError, match="cannot be a name on FAT"):
            attempt(name)
    volume.flush()
    assert device.read(0, device.size) == before


def test_the_fixed_root_directory_is_full_at_its_last_slot(tmp_path: Path) -> None:
    with image(tmp_path, 16) as (volume, _, _):
        for number in range(512):
            volume.write_file(f"F{number}", [])
        for refused in ("ONE_MORE", "a long name needs more"):
            with pytest.raises(NoSpaceError, match=f"the root directory is full: \"/{refused}\" needs . of its 512 slots") as caught:
                volume.write_file(refused, [b"x"])
        assert "subdirectory" in str(caught.value.hint)
        volume.remove("F17")
        volume.write_file("AGAIN", [b"x"])
        assert len(volume.entries("")) == 512
        assert volume.usage().free == volume.usage().total - volume.geometry.cluster_size


def test_the_root_directory_of_fat32_grows(tmp_path: Path) -> None:
    with image(tmp_path, 32) as (volume, device, _):
        for number in range(600):
            volume.write_file(f"a long name in the root {number}", [b"%d" % number])
        volume.close()
        again = FatVolume.on(device)
        assert len(again.entries("")) == 600
        assert again.open("A LONG NAME IN THE ROOT 599").read() == b"599"


def test_deleted_slots_are_used_again(tmp_path: Path) -> None:
    with image(tmp_path, 16) as (volume, _, _):
        volume.make_dir("dir")
        for _ in range(50):
            for number in range(10):
                volume.write_file(f"dir/name that takes three slots {number}", [])
            volume.flush()
            for number in range(10):
                volume.remove(f"dir/name that takes three slots {number}")
        free = volume.usage().total - volume.usage().free
        assert free == volume.geometry.cluster_size, "the directory never needed a second cluster"


def test_a_directory_ends_at_65536_slots() -> None:
    device = MemoryDevice(64 * MIB)
    format_fat(device, 32)
    volume = FatVolume.on(device)
    volume.make_dir("d")
    name = "x" * 240 + "{:05}"       # 19 slots and the short one
    stored = 0

    def fill() -> None:
        nonlocal stored
        for stored in range(4000):
            volume.write_file("d/" + name.format(stored), [])

    with pytest.raises(NoSpaceError, match='directory "/d" is full: 65536 slots'):
        fill()
    assert stored == (65_536 - 2) // 20
    assert volume.check() == []


def test_more_than_four_gigabytes_is_refused_clearly() -> None:
    volume, _ = memory()
    with pytest.raises(StorageError, match=r"\"/big\" is too large for FAT: a file can have at most 4294967295 bytes"):
        volume.write_file("big", [], 1 << 32)
    assert not volume.exists("big")


def test_a_file_of_unknown_size_stops_at_four_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing_module, "MAX_FILE_SIZE", 100_000)
    volume, _ = memory()
    free = volume.usage().free
    with pytest.raises(StorageError, match="too large for FAT"):
        volume.write_file("big", iter([bytes(60_000)] * 2))
    assert (volume.usage().free, volume.exists("big")) == (free, False)


@widths
def test_the_old_file_goes_first_only_when_both_do_not_fit(tmp_path: Path, width: int) -> None:
    with image(tmp_path, width) as (volume, _, _):
        size = volume.usage().free * 2 // 3
        volume.write_file("file", [b"1" * size], size)
        volume.write_file("file", [b"2" * size], size)
        assert volume.open("file").read() == b"2" * size
        reader = volume.open("file")
        with pytest.raises(NoSpaceError):
            volume.write_file("file", iter(lambda: reader.read(1000), b""), size)
        reader.close()
        assert volume.open("file").read() == b"2" * size, "its own reader still needed it"
        with pytest.raises(ZeroDivisionError):
            volume.write_file("file", (bytes(1 // zero) for zero in (0,)), size)
        assert not volume.exists("file"), "what is left of it would be no file at all"
        assert volume.usage().free * 2 // 3 == size


def test_a_file_may_be_read_while_it_is_replaced() -> None:
    volume, _ = memory()
    data = bytes(range(256)) * 1000
    volume.write_file("file", [data])
    reader = volume.open("file")
    volume.write_file("file", iter(lambda: reader.read(1000)[::-1], b""))
    assert volume.open("file").read() == b"".join(data[at : at + 1000][::-1] for at in range(0, len(data), 1000))


def test_the_giver_may_use_the_volume() -> None:
    volume, _ = memory()

    def chunks() -> Iterator[bytes]:
        for number in range(100):
            volume.write_file(f"other file with a long name {number}", [b"x"])
            yield b"y"

    volume.make_dir("dir")
    volume.write_file("dir/file", chunks(), 100)
    volume.write_file("file", chunks())
    assert volume.check() == []
    assert volume.open("dir/file").read() == volume.open("file").read() == b"y" * 100


def test_readers_read_in_any_steps_and_into_buffers() -> None:
    volume, device = memory()
    volume.write_file("a", [b"x"])
    volume.write_file("hole", [b"y" * 10_000])
    volume.write_file("b", [b"z"])
    volume.remove("hole")
    data = bytes(range(256)) * (volume.usage().free // 256 - 2)
    volume.write_file("scattered", [data], len(data))
    reader = volume.open("scattered")
    pieces = [reader.read(step) for step in (0, 1, 7, 2048, 100_000)]
    buffer = bytearray(5000)
    assert reader.readinto(buffer) == 5000
    assert b"".join(pieces) + bytes(buffer) + reader.read() == data
    assert reader.read() == b""
    assert reader.readinto(buffer) == 0
    for place in (30_000, 10, len(data) - 5, 0):
        assert reader.seek(place) == place
        assert reader.read(50) == data[place : place + 50]
    reader.close()
    ranges = volume.data_ranges("scattered")
    assert len(ranges) > 1
    assert b"".join(device.read(offset, length) for offset, length in ranges) == data
    assert volume.data_ranges("b")[0][1] == 1
    volume.remove("scattered")
    volume.make_dir("dir")
    with pytest.raises(InTheWayError, match='"/dir" is a directory'):
        volume.data_ranges("dir")
    with pytest.raises(InTheWayError, match='"/dir" is a directory'):
        volume.open("dir")


@widths
def test_the_volume_is_marked_while_it_is_changed(width: int) -> None:
    volume, device = memory(width)

    def marks() -> tuple[bool, bool]:
        state = device.read(layout.STATE_OFFSET[width], 1)[0] & 1
        entry = device.read(volume.geometry.fat_offset + width // 8, width // 8)
        clean = layout.CLEAN_SHUTDOWN[width]
        return bool(state), bool(clean) and not int.from_bytes(entry, "little") & clean

    assert marks() == (False, False)
    volume.write_file("file", [b"x"])
    assert marks() == (True, width != 12)
    volume.flush()
    assert marks() == (False, False)


def test_a_mark_that_was_there_stays() -> None:
    _, device = memory(16)
    device.write(37, b"\1")
    volume = FatVolume.on(device)
    assert [str(problem) for problem in volume.check()] == ["boot sector: the volume is marked as not properly unmounted"]
    volume.write_file("file", [b"x"])
    volume.close()
    assert device.read(37, 1) == b"\1"


def test_fsinfo_is_right_after_every_flush() -> None:
    volume, device = memory(32)
    info = parse_record(boot_records.FS_INFO, device.read(512, 512), "FSInfo")
    for number in range(5):
        volume.write_file(f"file {number}", [bytes(5000)])
        volume.flush()
        info = parse_record(boot_records.FS_INFO, device.read(512, 512), "FSInfo")
        assert info.free_clusters * volume.geometry.cluster_size == volume.usage().free
    assert info.next_free == 3 + 5 * 10 + 0


def test_a_sector_that_is_no_fsinfo_is_left_alone() -> None:
    _, device = memory(32)
    device.write(512, b"boot code of somebody else")
    before = device.read(512, 512)
    volume = FatVolume.on(device)
    volume.write_file("file", [b"x"])
    volume.close()
    assert device.read(512, 512) == before


def test_a_power_cut_leaves_a_volume_as_it_was_or_marked() -> None:
    """Every number of writes is allowed once; what is on the device then is whole, or it says that it may not be."""
    for width in (12, 16, 32):
        _, pristine = memory(width)
        volume = FatVolume.on(pristine, clock=CLOCK)
        volume.write_file("old", [b"o" * 9000])
        volume.close()
        content = pristine.read(0, pristine.size)
        done = False
        for writes in range(200):
            device = MemoryDevice(content)
            cut = FatVolume.on(FaultyDevice(device, writes_allowed=writes), clock=CLOCK)
            try:
                cut.write_file("old", [b"n" * 20_000], 20_000)
                cut.make_dir("dir")
                cut.write_file("dir/other with a long name", [b"x" * 5000])
                cut.flush()
                done = True
            except StorageError:
                with suppress(StorageError):
                    cut.close()
            found = FatVolume.on(device)
            words = {str(problem) for problem in found.check()}
            marked = any("not properly unmounted" in word for word in words)
            assert marked or not words, (width, writes, words)
            if not marked:
                assert found.open("old").read() in {b"o" * 9000, b"n" * 20_000}
            if done:
                break
        assert done
        assert writes > 5


def test_a_failed_write_keeps_the_mark() -> None:
    _, device = memory(16)
    faulty = FaultyDevice(device)
    volume = FatVolume.on(faulty)
    volume.write_file("first", [b"x" * 100])
    faulty.writes_left = 0
    with pytest.raises(StorageError):
        volume.flush()
    faulty.writes_left = None
    volume.flush()
    assert device.read(37, 1) == b"\1", "data that was accepted never reached the device"


def test_directories_are_let_go_of_and_come_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tree_module, "HELD_SLOTS", 10_000)
    with image(tmp_path, 32) as (volume, _, _):
        for number in range(60):
            volume.make_dir(f"dir {number}")
            volume.make_dir(f"dir {number}/below")
            volume.write_file(f"dir {number}/below/file", [b"%d" % number])
        for number in range(0, 60, 2):
            volume.rename(f"dir {number}/below/file", f"dir {number + 1}/below/moved here")
        for number in range(1, 60, 2):
            assert volume.open(f"dir {number}/below/moved here").read() == b"%d" % (number - 1)
        assert volume.check() == []


def test_moving_a_directory_turns_its_dot_dot(tmp_path: Path) -> None:
    with image(tmp_path, 32) as (volume, _, path):
        volume.make_dir("a")
        volume.make_dir("b")
        volume.make_dir("a/c")
        volume.write_file("a/c/file", [b"x"])
        volume.rename("a/c", "b/c")
        volume.flush()
        fsck_fat(path)
        volume.rename("b/c", "top")
        assert volume.open("top/file").read() == b"x"
        assert volume.check() == []


def test_a_directory_that_is_a_stranger_to_itself_is_not_entered() -> None:
    volume, device = memory(16)
    volume.make_dir("a")
    volume.make_dir("a/b")
    volume.close()
    parent = volume.geometry.cluster_offset(layout.Cluster(2))
    slot = bytearray(device.read(parent + 64, 32))
    slot[26:28] = b"\2\0"       # a/b leads to a
    device.write(parent + 64, slot)
    again = FatVolume.on(device)
    with pytest.raises(FormatError, match='directory "/a/b": its entry leads to a directory that belongs elsewhere'):
        again.entries("a/b")


def test_the_label_is_the_root_directorys() -> None:
    device = MemoryDevice(2 * MIB)
    format_fat(device, 12, "in root")
    device.write(43, b"BOOT SECTOR")
    volume = FatVolume.on(device)
    assert volume.label == "IN ROOT"
    volume.write_file("in root", [b"a file of the same name"])
    assert [name for name, _ in volume.entries("")] == ["in root"]
    device = MemoryDevice(2 * MIB)
    format_fat(device, 12)
    assert FatVolume.on(device).label == ""
    device.write(43, b"BOOT SECTOR")
    assert FatVolume.on(device).label == "BOOT SECTOR"


def test_slots_behind_the_end_mark_do_not_come_alive() -> None:
    volume, device = memory(16)
    volume.write_file("A", [])
    volume.close()
    root = volume.geometry.root_offset
    device.write(root + 64, device.read(root, 32).replace(b"A ", b"Z "))
    again = FatVolume.on(device)
    assert [name for name, _ in again.entries("")] == ["A"]
    again.write_file("B", [])
    again.close()
    assert [name for name, _ in FatVolume.on(device).entries("")] == ["A", "B"]


def test_short_names_follow_the_code_page() -> None:
    device = MemoryDevice(2 * MIB)
    format_fat(device, 12)
    russian = FatVolume.on(device, code_page="cp866")
    russian.write_file("Привет.txt", [b"x"])
    russian.close()
    assert device.read(russian.geometry.root_offset + 32, 11) == "ПРИВЕТ".encode("cp866") + b"  TXT"
    assert FatVolume.on(device, code_page="cp850").open("привет.TXT").read() == b"x"


def test_an_unknown_code_page_is_refused() -> None:
    _, device = memory(16)
    with pytest.raises(StorageError, match='there is no code page "cp9999"'):
        FatVolume.on(device, code_page="cp9999")
