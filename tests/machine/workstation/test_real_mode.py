"""memdisk by kexec: where everything lies, and that the code in images/boot is that of its source."""

from pathlib import Path

import pytest

from bpscript.base.errors import FormatError, StorageError
from bpscript.base.resources import image_bytes
from bpscript.machine.workstation.real_mode import PAGE, START, floppy_segments
from tests.machine.workstation.recorded import bzimage
from tests.oracles import need, run_tool

SOURCE = Path(__file__).parents[3] / "images" / "boot" / "realmode.asm"
MEMORY = """00001000-0009fbff : System RAM
00100000-1ffdffff : System RAM
  03000000-03ffffff : Kernel code
100000000-13fffffff : System RAM
"""
IMAGE = b"DOS".ljust(1_474_560, b"\0")


def memdisk() -> bytes:
    """Seven sectors for real mode, and three pages behind them."""
    data = bytearray(bzimage())
    data[0x1F1] = 6
    return bytes(data[: 7 * 512]) + b"high".ljust(3 * PAGE - 100, b"h")


def test_everything_lies_where_the_boot_protocol_wants_it() -> None:
    start, setup, high, image = floppy_segments(memdisk(), IMAGE, MEMORY)
    assert (start.address, start.data, start.size) == (START, image_bytes("boot/realmode.bin"), PAGE)
    assert (setup.address, high.address, high.size) == (0x10000, 0x100000, 3 * PAGE)
    assert high.data == memdisk()[7 * 512 :]
    assert image.address == 0x1FFE0000 - 360 * PAGE          # the end of memory below 896 MB
    assert image.data == IMAGE
    field = {name: int.from_bytes(setup.data[offset : offset + size], "little") for name, offset, size in (
        ("loader", 0x210, 1), ("flags", 0x211, 1), ("ramdisk", 0x218, 4), ("size", 0x21C, 4), ("heap", 0x224, 2), ("line", 0x228, 4),
    )}
    assert field == {"loader": 0xFF, "flags": 0x81, "ramdisk": image.address, "size": len(IMAGE), "heap": 0xDE00, "line": 0x1F000}
    assert setup.data[0xF000:] == b"floppy raw\0"
    assert all(each.address % PAGE == each.size % PAGE == 0 and len(each.data) <= each.size for each in (start, setup, high, image))


def test_what_is_no_memdisk_and_a_machine_without_room_are_refused() -> None:
    for data in (b"", b"x" * 5000, memdisk()[:2000]):
        with pytest.raises(FormatError, match="is not that of Syslinux"):
            floppy_segments(data, IMAGE, MEMORY)
    for text in ("", "00100000-00200000 : System RAM\n", "00100000-1ffdffff : Reserved\n", "100000000-13fffffff : System RAM\n"):
        with pytest.raises(StorageError, match="no memory for 1474560 bytes"):
            floppy_segments(memdisk(), IMAGE, text)


def test_the_code_is_that_of_its_source(tmp_path: Path) -> None:
    need("nasm")
    run_tool(["nasm", "-f", "bin", "-o", tmp_path / "out", SOURCE])
    assert (tmp_path / "out").read_bytes() == image_bytes("boot/realmode.bin")
    assert len(image_bytes("boot/realmode.bin")) < PAGE // 2         # the stack lies behind it
