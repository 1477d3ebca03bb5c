"""The screen: a full repaint of 800x600 as a PNG file and as frame-buffer bytes, decoding and drawing of pictures, and many lines of text.

Times are processor time of one repaint, in this process: it waits for nothing.
"""

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from PIL import Image

from bpscript.screen.canvas import Canvas, Span
from bpscript.screen.display import Display
from bpscript.screen.framebuffer import Channel, FrameBufferOutput, Geometry
from bpscript.screen.gif import read_gif
from bpscript.screen.png import png_bytes
from bpscript.screen.screen import Mode, Strategy
from bpscript.screen.terminal import TerminalOutput
from tests.benchmarks.measure import Round, Sample, in_turn

MODE = Mode(800, 600)
PICTURE = Path(__file__).parents[2] / "images" / "gallery" / "dusk.gif"
_REPEATS = 5        # of the work in one round
_LINES = 10_000


def repaint(folder: Path, rounds: int) -> dict[str, Sample]:
    """A full repaint of 800x600 (a picture, windows, text) as PNG and as frame-buffer bytes, beside Pillow (wanted: at most 0.030 s)"""
    display = _scene()
    canvas = display.canvas
    image = Image.frombytes("P", MODE, bytes(canvas.pixels()))
    image.putpalette([level for color in canvas.palette.colors for level in color])

    def pillow_png() -> None:
        image.save(io.BytesIO(), "PNG", compress_level=1)

    def pillow_frame_buffer() -> None:
        image.convert("RGB").tobytes("raw", "BGRX")

    contestants: dict[str, Callable[[], object]] = {"Pillow, PNG": pillow_png, "PNG": lambda: png_bytes(canvas), "Pillow, 32 bits": pillow_frame_buffer}
    contestants |= {f"frame buffer, {bits} bits": _frame_buffer(canvas, bits) for bits in (32, 24, 16)}
    contestants["frame buffer, 1920x1080 at 32 bits"] = _frame_buffer(canvas, 32, Mode(1920, 1080))
    return in_turn({name: _timed(work) for name, work in contestants.items()}, rounds)


def pictures(folder: Path, rounds: int) -> dict[str, Sample]:
    """DrawGif of an 800x600 picture with 160 colours: reading it, and putting it on the screen, beside Pillow's reading"""
    data = PICTURE.read_bytes()
    picture = read_gif(data, "dusk.gif", MODE)
    display = _scene()

    def pillow() -> None:
        with Image.open(io.BytesIO(data)) as image:
            image.load()

    contestants: dict[str, Callable[[], object]] = {"Pillow, reading": pillow, "reading": lambda: read_gif(data, "dusk.gif", MODE)}
    for strategy in Strategy:
        contestants[f"drawing, {strategy}"] = lambda strategy=strategy: display.draw_picture(picture, 0, 0, strategy)  # type: ignore[misc]
    return in_turn({name: _timed(work) for name, work in contestants.items()}, rounds)


def lines(folder: Path, rounds: int) -> dict[str, Sample]:
    """10,000 lines of Print on a canvas that nobody shows, that a frame buffer or a terminal shows, and with graphics on; the same text written to the terminal as it is"""
    text = "a line of text as scripts write it, not very long\r\n"

    def write(display: Display) -> None:
        for _ in range(_LINES):
            display.write(text)
        display.refresh()

    shown = Display(FrameBufferOutput(bytearray(640 * 480 * 4), _geometry(Mode(640, 480), 32)))
    graphic = Display(FrameBufferOutput(bytearray(800 * 600 * 4), _geometry(MODE, 32)))
    graphic.set_mode(MODE)
    with _terminal() as descriptor:
        terminal = Display(TerminalOutput(descriptor, {"TERM": "xterm-256color", "COLORTERM": "truecolor"}))
        contestants = {"nobody": Display(), "frame buffer, text mode": shown, "frame buffer, 800x600": graphic, "terminal": terminal}
        timed: dict[str, Round] = {name: _timed(lambda display=display: write(display), 1) for name, display in contestants.items()}  # type: ignore[misc]
        timed["terminal, as it is"] = _timed(lambda: [os.write(descriptor, text.encode()) for _ in range(_LINES)], 1)
        return in_turn(timed, rounds)


@contextmanager
def _terminal() -> Iterator[int]:
    """A pseudo-terminal whose other end takes everything at once."""
    ours, theirs = os.openpty()

    def drain() -> None:
        with suppress(OSError):     # EIO: closed
            while os.read(ours, 1 << 16):
                pass

    thread = threading.Thread(target=drain)
    thread.start()
    yield theirs
    os.close(theirs)
    thread.join()
    os.close(ours)


CONTESTS: dict[str, Callable[[Path, int], dict[str, Sample]]] = {"screen-repaint": repaint, "screen-pictures": pictures, "screen-lines": lines}


def _scene() -> Display:
    display = Display()
    display.set_mode(MODE)
    display.draw_picture(read_gif(PICTURE.read_bytes(), "dusk.gif", MODE), 0, 0, Strategy.BEST)
    for line in range(0, 37, 3):
        display.move(line, 10)
        display.write("text all over the screen, line after line " * 2)
    display.refresh()
    return display


def _geometry(size: Mode, bits: int) -> Geometry:
    channels = (Channel(11, 5), Channel(5, 6), Channel(0, 5)) if bits == 16 else (Channel(16, 8), Channel(8, 8), Channel(0, 8))
    return Geometry(size.width, size.height, bits, size.width * bits // 8, *channels)


def _frame_buffer(canvas: Canvas, bits: int, size: Mode = MODE) -> Callable[[], None]:
    geometry = _geometry(size, bits)
    output = FrameBufferOutput(bytearray(geometry.size), geometry)
    everything = [Span(line, 0, canvas.columns) for line in range(canvas.bands)]
    return lambda: output.paint(canvas, everything)


def _timed(work: Callable[[], object], repeats: int = _REPEATS) -> Round:
    def contestant() -> tuple[float, float | None]:
        started = time.process_time()
        for _ in range(repeats):
            work()
        return (time.process_time() - started) / repeats, None

    return contestant
