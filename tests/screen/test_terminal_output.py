"""What is sent to a terminal, seen through an emulator."""

import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.screen.display import Display
from bpscript.screen.screen import Area, Attribute, Box, Mode, Picture, Strategy
from bpscript.screen.terminal import TerminalOutput
from bpscript.screen.terminal_cells import Row
from bpscript.screen.terminal_colors import Depth, Styles, depth_of
from bpscript.screen.terminal_repaint import Shown, repaint
from tests.terminals import Emulator

EXACT = {"TERM": "xterm", "COLORTERM": "truecolor"}


class Seen:
    """A display on a terminal whose window has some size, and what is seen there."""

    def __init__(self, lines: int, columns: int, environment: dict[str, str]) -> None:
        self.reading, writing = os.pipe()
        self.emulator = Emulator(columns, lines)
        self.stream = pyte.ByteStream(self.emulator)
        self.output = TerminalOutput(writing, {**environment})
        self.size = lines, columns
        self.output._size = lambda: self.size       # type: ignore[method-assign]  # a pipe has none
        self.display = Display(self.output)
        self.writing = writing

    def look(self) -> bytes:
        """Show what was drawn; what was sent for it."""
        self.display.wait()
        os.set_blocking(self.reading, False)
        sent = b""
        try:
            while data := os.read(self.reading, 1 << 16):
                sent += data
        except BlockingIOError:
            pass
        self.stream.feed(sent)
        return sent

    @property
    def text(self) -> str:
        return self.emulator.text

    def colors(self, line: int, column: int) -> tuple[str, str]:
        cell = self.emulator.buffer[line][column]
        return cell.fg, cell.bg


@contextmanager
def seen(lines: int = 25, columns: int = 80, **environment: str) -> Iterator[Seen]:
    found = Seen(lines, columns, {**EXACT, **environment})
    try:
        yield found
    finally:
        os.close(found.reading)
        os.close(found.writing)


def test_only_what_changed_is_sent() -> None:
    with seen() as terminal:
        terminal.display.write("hello")
        assert len(terminal.look()) > 2000      # the first time, everything
        terminal.display.move(3, 7)
        terminal.display.write("x")
        sent = terminal.look()
        assert sent.count(b"x") == 1
        assert len(sent) < 80
        assert terminal.look() == b""
        assert terminal.text == "hello\n\n\n       x"


def test_lines_that_scroll_are_moved_by_the_terminal() -> None:
    with seen() as terminal:
        for number in range(25):
            terminal.display.write(f"line {number}".ljust(60) + "\r\n")
        terminal.look()
        terminal.display.write("last line")
        terminal.display.write("\r\nand one more")
        sent = terminal.look()
        assert terminal.text.splitlines()[-3:] == ["line 24".ljust(60).rstrip(), "last line", "and one more"]
        assert len(sent) < 400
        assert b"line 24" not in sent


@given(st.data())
@settings(max_examples=60)
def test_any_change_is_seen(data: st.DataObject) -> None:
    """After any drawings a terminal that got only the differences shows what one shows that got everything."""
    lines, columns = data.draw(st.sampled_from([(6, 12), (4, 7), (8, 20)]))
    with seen(lines, columns) as terminal, seen(lines, columns) as whole:
        terminal.display = Display(terminal.output, lines=6, columns=12)
        for _ in range(data.draw(st.integers(1, 6))):
            display = terminal.display
            step = data.draw(st.integers(0, 3))
            if step == 0:
                display.move(data.draw(st.integers(0, 5)), data.draw(st.integers(0, 11)))
            elif step == 1:
                display.set_attribute(Attribute(data.draw(st.integers(0, 15)), data.draw(st.integers(0, 15))))
                display.fill(Area(data.draw(st.integers(0, 5)), 3, 6, data.draw(st.integers(4, 12))), "#", display.attribute)
            elif step == 2:
                display.write("\r\n" * data.draw(st.integers(1, 7)))
            display.write(data.draw(st.text("abc \r\n", max_size=30)))
            terminal.look()
        whole.display.canvas = terminal.display.canvas
        whole.display.canvas.change_all()
        whole.look()
        for line in range(lines):
            assert [terminal.emulator.buffer[line][x] for x in range(columns)] == [whole.emulator.buffer[line][x] for x in range(columns)]
        assert (terminal.emulator.cursor.y, terminal.emulator.cursor.x) == (whole.emulator.cursor.y, whole.emulator.cursor.x)


_ROWS = st.lists(st.lists(st.tuples(st.sampled_from("ab "), st.sampled_from(["", "31;40", "7"])), min_size=6, max_size=6), min_size=4, max_size=4)


@given(st.lists(_ROWS, min_size=1, max_size=4))
def test_any_rows_are_painted_over_any_other(pictures: list[list[Row]]) -> None:
    emulator = Emulator(6, 4)
    emulator.reset_mode(7, private=True)
    stream = pyte.Stream(emulator)
    shown: Shown = [None] * 4
    for rows in pictures:
        stream.feed(repaint(shown, rows))
        assert emulator.display == ["".join(character for character, _ in row) for row in rows]
        assert [[emulator.buffer[y][x].reverse for x in range(6)] for y in range(4)] == [[style == "7" for _, style in row] for row in rows]
        assert shown == rows


def test_a_window_larger_or_smaller_than_the_screen() -> None:
    with seen(31, 100) as terminal:
        terminal.display.write("corner")
        terminal.look()
        assert terminal.text == "\n\n\n" + " " * 10 + "corner"
        terminal.size = 3, 10
        terminal.emulator.resize(3, 10)
        terminal.display.move(10, 70)
        terminal.display.write("here")
        terminal.look()
        assert terminal.text == "\n\n     here"
        terminal.size = 31, 100
        terminal.emulator.resize(31, 100)
        terminal.output.resized(now=True)
        terminal.look()
        assert terminal.text.splitlines()[13] == " " * 80 + "here"


def test_a_picture_is_half_blocks_and_text_on_it_is_text() -> None:
    with seen(38, 100) as terminal:
        terminal.display.set_mode(Mode(800, 600))
        terminal.display.draw_bar(Box(0, 0, 800, 8), 4)
        terminal.display.draw_bar(Box(0, 8, 800, 8), 1)
        terminal.display.draw_bar(Box(80, 160, 400, 100), 2)
        terminal.display.draw_text(96, 192, "Name: ", 15)
        terminal.display.move(5, 50)
        terminal.display.set_attribute(Attribute(14, 1))
        terminal.display.write("cells")
        terminal.look()
        assert terminal.emulator.display[0] == "▀" * 100
        assert terminal.colors(0, 0) == ("aa0000", "0000aa")
        assert terminal.emulator.display[12][12:17] == "Name:"
        assert terminal.colors(12, 12) == ("ffffff", "00aa00")
        assert terminal.emulator.display[5][50:55] == "cells"
        assert terminal.colors(5, 50) == ("ffff55", "0000aa")
        assert terminal.colors(30, 30)[1] == "000000"
        assert terminal.emulator.cursor.hidden


def test_a_picture_shrinks_to_the_window_and_text_stays_readable() -> None:
    with seen(24, 80) as terminal:
        terminal.display.set_mode(Mode(800, 600))
        terminal.display.draw_bar(Box(0, 0, 400, 600), 4)
        terminal.display.draw_bar(Box(400, 0, 400, 600), 2)
        terminal.display.draw_text(80, 288, "Please type your name, then press the Return key", 15)
        terminal.display.draw_text(80, 304, "two lines that would be one", 15)
        terminal.look()
        assert [terminal.colors(3, column)[1] for column in (0, 39, 40, 79)] == ["aa0000", "aa0000", "00aa00", "00aa00"]
        assert "        Please type your name, then press the Return key" in terminal.text
        assert "        two lines that would be one" in terminal.text


def test_texts_between_the_cells_leave_nothing_of_themselves_behind() -> None:
    with seen(30, 80) as terminal:
        terminal.display.set_mode(Mode(640, 480))
        terminal.display.draw_bar(Box(0, 0, 640, 480), 4)
        terminal.display.draw_text(43, 72, "Windows", 15)
        terminal.display.draw_text(43, 88, "with all printers", 14)      # its pixels touch the cells of the one above
        terminal.look()
        assert terminal.text == "\n" * 5 + "     Windows\n     with all printers"
        assert {terminal.colors(line, column)[1] for line in range(30) for column in range(80)} == {"aa0000"}
        terminal.display.draw_text(100, 200, "\u2550\u2588", 1)       # a part of the picture
        terminal.look()
        assert "\u2588" not in terminal.text


def test_a_photograph_in_few_colours_or_none() -> None:
    picture = Picture(64, 64, bytes(x * 4 for _ in range(64) for x in range(64)), tuple((x, x, x) for x in range(256)))
    for environment in ({"COLORTERM": ""}, {"COLORTERM": "", "TERM": "xterm-256color"}, {"NO_COLOR": "1"}):
        with seen(30, 80, **environment) as terminal:
            terminal.display.set_mode(Mode(640, 480))
            terminal.display.draw_picture(picture, 0, 0, Strategy.BEST)
            sent = terminal.look()
            assert b"8;2;" not in sent
            if "NO_COLOR" in environment:
                assert terminal.emulator.display[0][:9] == "  ░▒▒▓██ "
                assert b";4" not in sent


@pytest.mark.parametrize(
    ("environment", "depth"),
    [
        ({}, Depth.ANSI),
        ({"TERM": "linux"}, Depth.ANSI),
        ({"TERM": "xterm-256color"}, Depth.INDEXED),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, Depth.EXACT),
        ({"TERM": "foot-direct"}, Depth.EXACT),
        ({"TERM": "xterm-256color", "COLORTERM": "24bit", "NO_COLOR": "1"}, Depth.NONE),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, Depth.INDEXED),
    ],
)
def test_the_environment_says_how_many_colours_there_are(environment: dict[str, str], depth: Depth) -> None:
    assert depth_of(environment) is depth


def test_colours_by_depth() -> None:
    red, blue = (0xAA, 0, 0), (0, 0, 0xAA)
    assert Styles(Depth.ANSI).of(red, blue) == "31;44"
    assert Styles(Depth.ANSI).of((0xFF, 0x50, 0x50), (0, 0, 0)) == "91;40"
    assert Styles(Depth.INDEXED).of((255, 255, 255), (0, 0, 0)) == "38;5;231;48;5;16"
    assert Styles(Depth.EXACT).of((1, 2, 3), blue) == "38;2;1;2;3;48;2;0;0;170"
    assert Styles(Depth.NONE).of((0, 0, 0), (0xAA, 0xAA, 0xAA)) == "7"
    assert Styles(Depth.NONE).of((0xFF, 0xFF, 0x55), blue) == ""


def test_a_terminal_that_has_gone_swallows_everything() -> None:
    reading, writing = os.pipe()
    output = TerminalOutput(writing, EXACT)
    display = Display(output)
    os.close(reading)
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        display.write("x")
        display.wait()
        display.beep()
        display.close()
    finally:
        signal.signal(signal.SIGPIPE, before)
        os.close(writing)


def test_the_log_is_another_page() -> None:
    with seen() as terminal:
        terminal.display.write("screen")
        terminal.display.log("one\r\ntwo\r\n")
        terminal.look()
        assert terminal.text == "screen"
        terminal.display.show_log(True)
        terminal.look()
        assert terminal.text == "one\ntwo"
        terminal.display.show_log(False)
        terminal.look()
        assert terminal.text == "screen"


def test_the_size_is_asked_of_the_terminal() -> None:
    ours, theirs = pty.openpty()
    try:
        output = TerminalOutput(theirs, EXACT)
        assert output._size() == (24, 80)       # a serial line does not know
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 132, 0, 0))
        assert output._size() == (40, 132)
    finally:
        os.close(ours)
        os.close(theirs)
