"""Dumps: which letters show what, for both kinds of archive."""

from pathlib import Path

import pytest

from bpscript.archive.capture import capture, survey
from bpscript.archive.container import Archive
from bpscript.archive.dump import check_letters, dump, hex_lines
from bpscript.archive.filters import Filters
from bpscript.archive.incremental import write_incremental
from bpscript.base.clock import Clock
from bpscript.base.errors import StorageError
from bpscript.blocks.device import BlockDevice
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.fat import FatVolume, format_fat
from bpscript.filesystems.filesystem import DosFacts, Facts, FileKind, make_dirs
from bpscript.filesystems.swap import format_swap
from tests.archive.archives import MemorySink
from tests.oracles import mke2fs

CLOCK = Clock(1_700_000_000_000_000_000)


@pytest.fixture(scope="module")
def volume() -> FatVolume:
    device = MemoryDevice(4 << 20)
    format_fat(device, 12, "DUMPED", hidden_sectors=63, heads=16, sectors_per_track=63, volume_id=0x12345678)
    volume = FatVolume.on(device, clock=CLOCK)
    make_dirs(volume, "windows/system")
    facts = Facts(FileKind.FILE, 0, 946_684_800_000_000_000, dos=DosFacts(0x21))
    volume.write_file("windows/win.ini", [b"[boot]\r\n" + bytes(40) + b"end"], facts=facts)
    volume.write_file("windows/system/vga.drv", [bytes(range(256))])
    volume.flush()
    return volume


def full(device: BlockDevice) -> Archive:
    sink = MemorySink()
    capture(survey(device, clock=CLOCK), sink)
    return Archive.open(MemoryDevice(sink.data))


@pytest.fixture(scope="module")
def archive(volume: FatVolume) -> Archive:
    return full(volume._device)


def text(archive: Archive, letters: str, filters: Filters | None = None) -> str:
    return "\n".join(dump(archive, letters, filters, clock=CLOCK))


def test_the_short_header_says_what_it_is(archive: Archive) -> None:
    assert text(archive, "h").splitlines() == [
        'Full archive of FAT12 "DUMPED", 4194304 bytes (4 MB)',
        f"  used      {archive.header.meta['used']} bytes (32.5 KB)",
        "  id        1234-5678",
        "  captured  2023-11-14 22:13:20",
    ]


def test_the_long_header_says_more(archive: Archive) -> None:
    assert archive.table is not None
    words = text(archive, "H")
    assert "geometry  63 hidden sectors, 16 heads, 63 sectors per track" in words
    assert f"root      {archive.table.root.hex()}" in words
    assert "1 data, 0 zero, 1 unused" in words
    assert "signed    no" in words


def test_boot_sectors_in_short_and_in_full(archive: Archive) -> None:
    assert "512 bytes per sector, 2 sectors per cluster, 16 heads, 63 sectors per track, 63 hidden sectors, 55 AA" in text(archive, "b")
    lines = text(archive, "B").splitlines()
    assert lines[0] == "Boot sectors"
    assert lines[1].startswith("    00000000  eb ")
    assert "000001f0" in text(archive, "B")


def test_allocation_in_short_and_in_full(archive: Archive) -> None:
    short = text(archive, "s")
    assert short.startswith("Allocation: ")
    assert "1 ranges" in short
    assert text(archive, "S").splitlines()[1].split()[:3] == ["0", "-", str(archive.header.meta["used"])]


def test_the_directory_in_short_and_in_full(archive: Archive) -> None:
    assert text(archive, "d").splitlines() == [
        "Directory", "  windows/", "  windows/system/", "  windows/system/vga.drv", "  windows/win.ini",
        "  2 files, 2 directories, 307 bytes",
    ]
    assert "  -R--A            51 2000-01-01 00:00:00  windows/win.ini" in text(archive, "D")


def test_filters_leave_files_out(archive: Archive) -> None:
    assert "vga" not in text(archive, "df", Filters().leave_out("windows/SYSTEM/*"))


def test_files_in_short_and_in_full(archive: Archive) -> None:
    assert "51  windows/win.ini" in text(archive, "f")
    words = text(archive, "F")
    assert "  windows/win.ini: 51 bytes" in words
    assert "    00000000  5b 62 6f 6f 74 5d 0d 0a 00 00 00 00 00 00 00 00  [boot].........." in words
    assert "    00000030  65 6e 64" in words


def test_an_incremental_archive(volume: FatVolume) -> None:
    sink = MemorySink()
    write_incremental(sink, volume, "windows")
    archive = Archive.open(MemoryDevice(sink.data))
    words = text(archive, "HbSDf")
    assert "Incremental archive of 3 entries, 307 bytes (307 B) of contents" in words
    assert 'from      FAT12 "DUMPED", path "windows"' in words
    assert "an incremental archive has none" in words
    assert "bytes of tar in 1 chunks" in words
    assert "2000-01-01 00:00:00  win.ini" in words
    assert "51  win.ini" in words
    assert "vga" not in text(archive, "dF", Filters().leave_out("SYSTEM*"))


def test_unix_facts_are_shown(tmp_path: Path) -> None:
    source = tmp_path / "tree"
    source.mkdir()
    (source / "file").write_bytes(b"x" * 10)
    (source / "link").symlink_to("file")
    (source / "hard").hardlink_to(source / "file")
    path = mke2fs(tmp_path / "e.img", 4 << 20, "-t", "ext4", "-d", source)
    with FileDevice(path, writable=False) as device:
        words = text(full(device), "bD")
    assert "Boot sector: empty, no signature" in words
    assert "link -> file" in words
    assert "link to" in words


def test_what_has_no_files_says_so() -> None:
    device = MemoryDevice(1 << 20)
    format_swap(device, "swappy")
    assert text(full(device), "d") == "Files of SWAP cannot be listed"


def test_unknown_letters_are_refused_before_the_first_line(archive: Archive) -> None:
    with pytest.raises(StorageError, match='DumpFormat: "x" is unknown'):
        dump(archive, "hxD")


def test_order_and_repetition_do_not_matter_and_the_long_form_wins() -> None:
    assert check_letters("Dbhdhb") == "hbD"
    assert check_letters(" H h ") == "H"
    assert check_letters("") == ""


def test_equal_lines_of_hex_become_a_star() -> None:
    assert list(hex_lines(bytes(64) + b"A", 16)) == [
        "    00000010  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................",
        "    *",
        "    00000050  41                                               A",
    ]
