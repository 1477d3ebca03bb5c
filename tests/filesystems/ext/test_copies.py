"""Where superblock and descriptors are copied to, and the room for them: mke2fs says where, and the result is what it is without."""

import hashlib
import re
from pathlib import Path
from uuid import UUID

import pytest

from bpscript.base.clock import Clock
from bpscript.blocks.file import FileDevice
from bpscript.blocks.holes import keep_room
from bpscript.blocks.slice import SliceDevice
from bpscript.filesystems.ext import copies, format_ext
from bpscript.filesystems.ext.format import FEATURES
from tests.oracles import run_tool

MIB, GIB = 1 << 20, 1 << 30
_LINE = re.compile(r"(?:Primary|Backup) superblock at (\d+), Group descriptors at \d+-(\d+)(?:\s+Reserved GDT blocks at \d+-(\d+))?")


def made(path: Path, size: int, kind: str = "EXT4", block_size: int = 4096) -> FileDevice:
    """A disk with a volume at 1 MiB, that is always the same."""
    disk = FileDevice.create(path, size + MIB)
    format_ext(SliceDevice(disk, MIB, size), kind, "label", UUID(int=5), UUID(int=6), block_size=block_size, clock=Clock(1_600_000_000_000_000_000))
    return disk


def digest(disk: FileDevice) -> str:
    """Of everything that is not a hole."""
    found = hashlib.sha256()
    for start, end in disk.data_ranges(0, disk.size):
        data = disk.read(start, end - start)
        for offset in range(0, len(data), 4096):
            page = data[offset : offset + 4096]
            if any(page):
                found.update(b"%d " % (start + offset) + page)
    return found.hexdigest()


@pytest.mark.parametrize(
    ("kind", "size", "block_size"),
    [
        ("EXT4", 64 * GIB, 4096), ("EXT4", 300 * GIB + 12345 * 4096, 4096), ("EXT4", 1 << 40, 4096), ("EXT3", 100 * GIB, 4096), ("EXT2", 70 * GIB, 2048),
        ("EXT4", 9 * GIB, 1024), ("EXT4", 20 * MIB, 1024), ("EXT3", 3000 * MIB, 4096),
    ],
)  # fmt: skip
def test_they_are_where_mke2fs_puts_them(kind: str, size: int, block_size: int, tmp_path: Path) -> None:
    made(tmp_path / "disk.img", size, kind, block_size).close()
    wanted = []
    for start, last, reserved in _LINE.findall(run_tool(["dumpe2fs", f"{tmp_path / 'disk.img'}?offset={MIB}"]).stdout):
        first = int(start) == block_size // 1024 % 4 % 2      # of group 0 the room for more is written too
        wanted.append((int(start) * block_size, (int(reserved if first and reserved else last) + 1) * block_size))
    found = list(copies.new_copies(size, block_size, 64 if "64bit" in FEATURES[kind] else 32))
    assert found == wanted


def test_a_last_group_that_mke2fs_leaves_out_costs_a_block_in_each_copy(tmp_path: Path) -> None:
    size = 64 * GIB + MIB       # 512 groups, the descriptors of which fill 8 blocks, and one that is too small for its own inodes
    made(tmp_path / "disk.img", size).close()
    wanted = [(int(start) * 4096, (int(last) + 1) * 4096) for start, last, _ in _LINE.findall(run_tool(["dumpe2fs", f"{tmp_path / 'disk.img'}?offset={MIB}"]).stdout)]
    found = list(copies.new_copies(size, 4096, 64))
    assert [start for start, _ in found] == [start for start, _ in wanted]
    assert [end - 4096 for _, end in found[1:]] == [end for _, end in wanted[1:]]


def test_with_room_a_volume_has_the_same_bytes_and_takes_no_more_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for idle in (False, True):
        asked: list[tuple[int, int]] = []
        path = tmp_path / f"{idle}.img"
        with monkeypatch.context() as patch:
            patch.setattr(copies, "_is_idle", lambda idle=idle: idle)

            def keep(descriptor: int, start: int, length: int, asked: list[tuple[int, int]] = asked) -> bool:
                asked.append((start, length))
                return keep_room(descriptor, start, length)

            patch.setattr(copies, "keep_room", keep)
            with made(path, 200 * GIB) as disk:
                results.append((digest(disk), path.stat().st_blocks))
        assert bool(asked) is idle
    assert results[0] == results[1]


def test_room_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "_is_idle", lambda: True)
    path = tmp_path / "disk.img"
    with made(path, 64 * GIB) as disk:
        before = digest(disk)
        copies.make_room(path, MIB, 64 * GIB, 4096, 64)
        assert digest(disk) == before


def test_a_host_without_room_or_file_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "_is_idle", lambda: True)
    copies.make_room(tmp_path / "none.img", 0, 64 * GIB, 4096, 64)
    asked: list[int] = []
    monkeypatch.setattr(copies, "keep_room", lambda *args: asked.append(args[0]))       # answers None: it cannot
    (tmp_path / "disk.img").touch()
    copies.make_room(tmp_path / "disk.img", 0, 64 * GIB, 4096, 64)
    assert len(asked) == 1


@pytest.mark.parametrize(("text", "idle"), [("0.5 0.4 0.3 1/200 77\n", True), ("0.5 0.4 0.3 99999/200000 77\n", False), ("", False), ("a b c d e", False)])
def test_other_work_on_the_host_comes_first(text: str, idle: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = tmp_path / "loadavg"
    load.write_text(text)
    monkeypatch.setattr(copies, "_LOAD", load)
    made_room: list[int] = []
    monkeypatch.setattr(copies, "keep_room", lambda *args: made_room.append(args[0]))
    copies.make_room(load, 0, 64 * GIB, 4096, 64)
    assert bool(made_room) is idle
