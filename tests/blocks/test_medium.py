"""What lies below the caches of the host."""

from pathlib import Path

from bpscript.archive.marking import HeldDevice
from bpscript.blocks.device import host_file_of
from bpscript.blocks.file import FileDevice
from bpscript.blocks.medium import discard, drop_caches, medium_of
from bpscript.blocks.memory import MemoryDevice
from bpscript.blocks.overlay import OverlayDevice
from bpscript.blocks.slice import SliceDevice

MIB = 1 << 20


def image(path: Path) -> FileDevice:
    path.write_bytes(b"x" * 4 * MIB)
    return FileDevice(path)


def test_layers_that_hide_a_part_still_say_where_they_lie(tmp_path: Path) -> None:
    with image(tmp_path / "i") as device:
        held = HeldDevice(SliceDevice(device, MIB, 2 * MIB, "outer"))
        inner = SliceDevice(held, 4096, MIB, "inner")
        assert host_file_of(inner) is None
        assert medium_of(inner) == (tmp_path / "i", MIB + 4096)
        assert medium_of(OverlayDevice(device)) is None
        assert medium_of(MemoryDevice(10)) is None


def test_dropping_caches_changes_nothing(tmp_path: Path) -> None:
    with image(tmp_path / "i") as device:
        device.write(5, b"hello")
        drop_caches(device)
        drop_caches(MemoryDevice(10))
        assert device.read(0, 11) == b"xxxxxhellox"


def test_discarded_ranges_of_an_image_are_holes(tmp_path: Path) -> None:
    with image(tmp_path / "i") as device:
        part = SliceDevice(device, MIB, 2 * MIB, "part")
        assert discard(part, 0, MIB)
        assert device.read(MIB, MIB) == bytes(MIB)
        assert device.read(2 * MIB, 1) == device.read(MIB - 1, 1) == b"x"
        assert (tmp_path / "i").stat().st_blocks * 512 <= 3 * MIB + 65536
    memory = MemoryDevice(b"abc")
    assert discard(memory, 1, 1)
    assert memory.read(0, 3) == b"a\0c"
