"""The frame buffer, on memory and on a file that are laid out as a kernel says."""

import mmap
import os
import struct
from pathlib import Path

import pytest

from bpscript.base.errors import UsageError
from bpscript.screen import framebuffer
from bpscript.screen.canvas import Canvas
from bpscript.screen.display import Display
from bpscript.screen.framebuffer import Channel, FrameBufferOutput, Geometry, geometry_of, open_frame_buffer
from bpscript.screen.screen import Box, Mode

LAYOUTS = {
    "32": (32, Channel(16, 8), Channel(8, 8), Channel(0, 8)),
    "32 swapped": (32, Channel(0, 8), Channel(8, 8), Channel(16, 8)),
    "32 deep": (32, Channel(20, 10), Channel(10, 10), Channel(0, 10)),
    "24": (24, Channel(16, 8), Channel(8, 8), Channel(0, 8)),
    "16": (16, Channel(11, 5), Channel(5, 6), Channel(0, 5)),
    "15": (16, Channel(10, 5), Channel(5, 5), Channel(0, 5)),
}


def geometry(width: int, height: int, layout: str = "32", padding: int = 0, start: int = 0) -> Geometry:
    bits, red, green, blue = LAYOUTS[layout]
    return Geometry(width, height, bits, width * bits // 8 + padding, red, green, blue, start)


def pixel_at(memory: "bytearray | mmap.mmap | bytes", layout: Geometry, x: int, y: int) -> tuple[int, int, int]:
    """The colour of a screen pixel, of 8 bits a channel, worked out one by one."""
    size = layout.bits_per_pixel // 8
    at = layout.start + y * layout.line_length + x * size
    value = int.from_bytes(memory[at : at + size], "little")
    red, green, blue = (
        (value >> channel.offset & (1 << channel.length) - 1) << 8 >> channel.length for channel in (layout.red, layout.green, layout.blue)
    )
    return red, green, blue


def expected_at(canvas: Canvas, layout: Geometry, x: int, y: int) -> tuple[int, int, int]:
    red, green, blue = canvas.palette.colors[canvas.pixels()[y * canvas.width + x]]
    bits = [min(channel.length, 8) for channel in (layout.red, layout.green, layout.blue)]
    return red >> 8 - bits[0] << 8 - bits[0], green >> 8 - bits[1] << 8 - bits[1], blue >> 8 - bits[2] << 8 - bits[2]


def drawn(display: Display) -> Canvas:
    display.set_mode(Mode(640, 480))
    for color in range(256):
        display.draw_bar(Box(color * 2, color, 40, 30), color)
    display.refresh()
    display.draw_text(33, 100, "text", 15)
    display.draw_bar(Box(600, 470, 100, 100), 200)
    display.refresh()
    return display.canvas


@pytest.mark.parametrize("padding", [0, 64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_pixel_is_where_the_layout_says(layout: str, padding: int) -> None:
    shape = geometry(640, 480, layout, padding, start=128)
    memory = bytearray(b"\xee" * (shape.size + 16))
    canvas = drawn(Display(FrameBufferOutput(memory, shape)))
    for y in range(0, 480, 7):
        for x in range(0, 640, 3):
            assert pixel_at(memory, shape, x, y) == expected_at(canvas, shape, x, y), (x, y)
    assert memory[:128] == b"\xee" * 128
    assert memory[shape.size :] == b"\xee" * 16


@pytest.mark.parametrize(
    ("size", "scale", "corner"),
    [((1920, 1080), 2, (320, 60)), ((1280, 960), 2, (0, 0)), ((700, 500), 1, (30, 10))],
)
def test_it_is_in_the_middle_as_large_as_it_fits(size: tuple[int, int], scale: int, corner: tuple[int, int]) -> None:
    shape = geometry(*size)
    memory = bytearray(b"\xee" * shape.size)
    canvas = drawn(Display(FrameBufferOutput(memory, shape)))
    for y in range(0, 480, 11):
        for x in range(0, 640, 5):
            for corner_x, corner_y in ((0, 0), (scale - 1, scale - 1)):
                there = corner[0] + x * scale + corner_x, corner[1] + y * scale + corner_y
                assert pixel_at(memory, shape, *there) == expected_at(canvas, shape, x, y)
    if corner[0]:
        assert pixel_at(memory, shape, corner[0] - 1, corner[1] + 5) == (0, 0, 0)
        assert pixel_at(memory, shape, corner[0] + 640 * scale, corner[1] + 5) == (0, 0, 0)


def test_a_tiny_screen_shows_the_upper_left_part() -> None:
    shape = geometry(320, 200)
    memory = bytearray(shape.size)
    output = FrameBufferOutput(memory, shape)
    display = Display(output, modes=output.modes)
    display.write("text ends beyond" * 6)
    display.refresh()
    assert output.modes == ()
    assert any(memory)
    assert pixel_at(memory, shape, 0, 3) == expected_at(display.canvas, shape, 0, 3)


def test_only_modes_that_fit_are_offered() -> None:
    assert FrameBufferOutput(bytearray(4 * 1024 * 768), geometry(1024, 768)).modes == (Mode(800, 600), Mode(640, 480), Mode(1024, 768))


def test_a_new_palette_is_used() -> None:
    shape = geometry(640, 480)
    memory = bytearray(shape.size)
    display = Display(FrameBufferOutput(memory, shape))
    display.set_mode(Mode(640, 480))
    display.draw_bar(Box(0, 0, 8, 8), 77)
    display.refresh()
    display.canvas.palette.colors[77] = (1, 2, 3)
    display.canvas.change_all()
    display.refresh()
    assert pixel_at(memory, shape, 0, 0) == (1, 2, 3)


def told(width: int, height: int, bits: int, line_length: int, *, x: int = 0, y: int = 0) -> tuple[bytes, bytes]:
    """What the kernel's two calls fill in."""
    variable = struct.pack("8I", width, height, width, height, x, y, bits, 0) + struct.pack("12I", 16, 8, 0, 8, 8, 0, 0, 8, 0, 0, 0, 0)
    fixed = struct.pack("16sLIIIIHHHI", b"simple", 0, line_length * height, 0, 0, 2, 0, 0, 0, line_length)
    return variable.ljust(160, b"\0"), fixed.ljust(128, b"\0")


def test_the_layout_is_what_the_kernel_says() -> None:
    assert geometry_of(*told(800, 600, 32, 3264, x=8, y=2), "fb") == geometry(800, 600, "32", 64, start=2 * 3264 + 32)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (told(800, 600, 8, 800), "fb has 8 bits a pixel, expected 16, 24 or 32"),
        (told(800, 600, 32, 800), "fb says that it has 800 x 600 pixels in lines of 800 bytes, which cannot be"),
        (told(0, 600, 32, 800), "fb says that it has 0 x 600 pixels"),
        (told(800, 600, 16, 1600), "fb says that its colours lie outside of its 16 bits a pixel"),
    ],
)
def test_what_cannot_be_is_refused(kernel: tuple[bytes, bytes], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        geometry_of(*kernel, "fb")
    assert message in str(caught.value)


def test_a_file_is_no_frame_buffer(tmp_path: Path) -> None:
    (tmp_path / "fb0").write_bytes(bytes(100))
    with pytest.raises(UsageError, match="is no frame buffer: Inappropriate ioctl for device"):
        open_frame_buffer(str(tmp_path / "fb0"))
    with pytest.raises(UsageError, match="the frame buffer cannot be opened: No such file"):
        open_frame_buffer(str(tmp_path / "fb1"))


def test_a_device_is_mapped_and_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file stands in for the device, with a kernel of ours for its two calls and the console."""
    device, console = tmp_path / "fb0", tmp_path / "tty0"
    device.write_bytes(bytes(640 * 480 * 4))
    console.write_bytes(b"")
    calls: list[tuple[int, object]] = []

    def ioctl(_: int, request: int, argument: "bytes | int" = 0) -> bytes:
        calls.append((request, argument))
        variable, fixed = told(640, 480, 32, 2560)
        return {0x4600: variable, 0x4602: fixed, 0x4B3B: struct.pack("i", 0)}.get(request, b"")

    monkeypatch.setattr("fcntl.ioctl", ioctl)
    before = len(os.listdir("/proc/self/fd"))
    output = open_frame_buffer(str(device), str(console))
    display = Display(output, modes=output.modes)
    canvas = drawn(display)
    display.beep()
    display.close()
    shape = geometry(640, 480)
    data = device.read_bytes()
    assert all(pixel_at(data, shape, x, 100) == expected_at(canvas, shape, x, 100) for x in range(640))
    assert [argument for request, argument in calls if request == framebuffer._KDSETMODE] == [1, 0]
    assert calls[-2][0] == framebuffer._KDMKTONE
    assert len(os.listdir("/proc/self/fd")) == before
