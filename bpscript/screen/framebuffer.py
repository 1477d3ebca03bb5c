"""The Linux frame buffer: /dev/fb0 of a booted workstation, in 16, 24 or 32 bits a pixel.

The canvas is shown as large as it fits by a whole number, in the middle. Pixels are converted by tables: for each byte of a screen
pixel one table from the number of the palette, so that a whole screen takes a few passes over its bytes.

Source: Linux, include/uapi/linux/fb.h and Documentation/fb/framebuffer.rst; include/uapi/linux/kd.h for the console.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from typing import NamedTuple

from ..base.errors import UsageError
from .canvas import Canvas, Span
from .screen import CELL_HEIGHT, CELL_WIDTH, MODES, Box, Mode

_FBIOGET_VSCREENINFO, _FBIOGET_FSCREENINFO = 0x4600, 0x4602
# struct fb_var_screeninfo: xres, yres, xres_virtual, yres_virtual, xoffset, yoffset, bits_per_pixel, grayscale, then
# red, green, blue and transp as (offset, length, msb_right); more follows, 160 bytes in all.
_VARIABLE = struct.Struct("8I12I")
_VARIABLE_SIZE = 160
# struct fb_fix_screeninfo: id, smem_start, smem_len, type, type_aux, visual, three steps of panning, line_length; more follows.
_FIXED = struct.Struct("16sLIIIIHHHI")
_FIXED_SIZE = 128       # more than it has anywhere

_KDGETMODE, _KDSETMODE, _KDMKTONE = 0x4B3B, 0x4B3A, 0x4B30
_KD_GRAPHICS = 1        # the kernel neither draws its own text nor a cursor
_TONE = (125 << 16) | (1_193_180 // 750)    # 125 ms of 750 Hz: the timer counts 1.19318 MHz down


class Channel(NamedTuple):
    """Where a colour is in a pixel: bits from the lowest one, and how many."""

    offset: int
    length: int


class Geometry(NamedTuple):
    """How a frame buffer is laid out; `line_length` and `start` are bytes, `start` of the first visible pixel."""

    width: int
    height: int
    bits_per_pixel: int
    line_length: int
    red: Channel
    green: Channel
    blue: Channel
    start: int = 0

    @property
    def size(self) -> int:
        """Bytes up to the last visible pixel."""
        return self.start + self.line_length * self.height


class FrameBufferOutput:
    """Shows a canvas in memory that is laid out as `geometry` says. A console there is taken with the first painting."""

    def __init__(self, memory: "mmap.mmap | bytearray", geometry: Geometry, console: int | None = None) -> None:
        self._memory = memory
        self._geometry = geometry
        self._console = console
        self._console_mode: int | None = None
        self._canvas: Canvas | None = None
        self._colors: list[tuple[int, int, int]] = []
        self._tables: list[bytes] = []

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The graphic modes that fit."""
        return tuple(mode for mode in MODES if mode.width <= self._geometry.width and mode.height <= self._geometry.height)

    def paint(self, canvas: Canvas, changes: list[Span]) -> None:
        """Convert and copy what changed."""
        if self._canvas is None:
            self._take_console()
        if canvas is not self._canvas:
            self._canvas = canvas
            self._clear()
        if canvas.palette.colors != self._colors:
            self._colors = canvas.palette.colors.copy()
            self._tables = list(self._converted(self._colors))
        for box in _boxes(canvas, changes):
            self._copy(canvas, box)

    def wait(self) -> None:
        """Everything is on the screen already."""

    def beep(self) -> None:
        """Sound the speaker, if the console has one."""
        if self._console is not None:
            self._control(_KDMKTONE, _TONE)

    def close(self) -> None:
        """Give the console back."""
        if self._console is not None:
            if self._console_mode is not None:      # the kernel draws its text anew
                self._control(_KDSETMODE, self._console_mode)
            os.close(self._console)
            self._console = None
        if isinstance(self._memory, mmap.mmap):
            self._memory.close()

    def _take_console(self) -> None:
        if self._console is None:
            return
        import fcntl  # noqa: PLC0415 - only on a console

        with suppress(OSError):
            self._console_mode = struct.unpack("i", fcntl.ioctl(self._console, _KDGETMODE, bytes(4)))[0]
            fcntl.ioctl(self._console, _KDSETMODE, _KD_GRAPHICS)

    def _control(self, request: int, argument: int) -> None:
        import fcntl  # noqa: PLC0415 - only on a console

        assert self._console is not None
        with suppress(OSError):     # a serial console has no speaker
            fcntl.ioctl(self._console, request, argument)

    def _clear(self) -> None:
        geometry = self._geometry
        self._memory[geometry.start : geometry.size] = bytes(geometry.size - geometry.start)

    def _converted(self, colors: list[tuple[int, int, int]]) -> Iterator[bytes]:
        """For each byte of a screen pixel, the lowest first, its value by the number of the palette."""
        geometry = self._geometry
        channels = (geometry.red, geometry.green, geometry.blue)
        values = [
            sum((level >> (8 - min(channel.length, 8))) << (channel.offset + max(0, channel.length - 8)) for level, channel in zip(color, channels, strict=True))
            for color in colors
        ]
        for shift in range(0, geometry.bits_per_pixel, 8):
            yield bytes(value >> shift & 0xFF for value in values)

    def _copy(self, canvas: Canvas, box: Box) -> None:
        geometry, pixels = self._geometry, canvas.pixels()
        scale = max(1, min(geometry.width // canvas.width, geometry.height // canvas.height))
        left = max(0, (geometry.width - canvas.width * scale) // 2)
        top = max(0, (geometry.height - canvas.height * scale) // 2)
        width = min(box.width, (geometry.width - left) // scale - box.x)        # a tiny screen shows the upper left part
        height = min(box.height, (geometry.height - top) // scale - box.y)
        if width <= 0 or height <= 0:
            return
        starts = range(box.y * canvas.width + box.x, (box.y + height) * canvas.width + box.x, canvas.width)
        numbers = pixels[starts[0] : starts[0] + height * width] if width == canvas.width else b"".join(pixels[start : start + width] for start in starts)
        row_size = width * scale * len(self._tables)
        rows = self._screen_pixels(numbers, scale)
        at = geometry.start + (top + box.y * scale) * geometry.line_length + (left + box.x * scale) * len(self._tables)
        if row_size == geometry.line_length and scale == 1:
            self._memory[at : at + len(rows)] = rows
            return
        for start in range(0, len(rows), row_size):
            row = rows[start : start + row_size]
            for _ in range(scale):
                self._memory[at : at + row_size] = row
                at += geometry.line_length

    def _screen_pixels(self, numbers: "bytes | bytearray", scale: int) -> bytearray:
        """Numbers of the palette as screen pixels, each `scale` times."""
        if scale > 1:
            wide = bytearray(len(numbers) * scale)
            for index in range(scale):
                wide[index::scale] = numbers
            numbers = wide
        converted = bytearray(len(numbers) * len(self._tables))
        for index, table in enumerate(self._tables):
            if any(table):
                converted[index :: len(self._tables)] = numbers.translate(table)
        return converted


def _boxes(canvas: Canvas, changes: list[Span]) -> Iterator[Box]:
    """The changes in pixels; lines that follow each other with the same columns are one box."""
    for _, group in groupby(enumerate(changes), lambda found: (found[1].line - found[0], found[1].left, found[1].right)):
        spans = [span for _, span in group]
        left, right = spans[0].left * CELL_WIDTH, spans[-1].right * CELL_WIDTH
        top, bottom = spans[0].line * CELL_HEIGHT, min((spans[-1].line + 1) * CELL_HEIGHT, canvas.height)
        yield Box(left, top, right - left, bottom - top)


def open_frame_buffer(path: str = "/dev/fb0", console: str = "/dev/tty0") -> FrameBufferOutput:
    """The frame buffer of a device. Raises UsageError when there is none, or one whose pixels we cannot make."""
    import fcntl  # noqa: PLC0415 - only here

    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError as error:
        raise UsageError(f"{path}: the frame buffer cannot be opened: {error.strerror}") from error
    try:
        variable = fcntl.ioctl(descriptor, _FBIOGET_VSCREENINFO, bytes(_VARIABLE_SIZE))
        fixed = fcntl.ioctl(descriptor, _FBIOGET_FSCREENINFO, bytes(_FIXED_SIZE))
        geometry = geometry_of(variable, fixed, path)
        memory = mmap.mmap(descriptor, geometry.size)
    except OSError as error:
        raise UsageError(f"{path} is no frame buffer: {error.strerror}") from error
    finally:
        os.close(descriptor)
    try:
        terminal = os.open(console, os.O_RDWR | os.O_NOCTTY)
    except OSError:
        terminal = None
    return FrameBufferOutput(memory, geometry, terminal)


def geometry_of(variable: bytes, fixed: bytes, name: str) -> Geometry:
    """The layout from what the kernel says (fb_var_screeninfo, fb_fix_screeninfo). Raises UsageError for one that we cannot write."""
    width, height, _, _, x, y, bits, _, *channels = _VARIABLE.unpack_from(variable)
    line_length = _FIXED.unpack_from(fixed)[-1]
    if bits not in {16, 24, 32}:
        raise UsageError(f"{name} has {bits} bits a pixel, expected 16, 24 or 32")
    size = bits // 8
    if not width or not height or line_length < (x + width) * size:
        raise UsageError(f"{name} says that it has {width} x {height} pixels in lines of {line_length} bytes, which cannot be")
    red, green, blue = (Channel(*channels[at : at + 2]) for at in (0, 3, 6))
    if any(channel.offset + channel.length > bits for channel in (red, green, blue)):
        raise UsageError(f"{name} says that its colours lie outside of its {bits} bits a pixel, which cannot be")
    return Geometry(width, height, bits, line_length, red, green, blue, y * line_length + x * size)
