"""The screen of a workstation: the frame buffer from the moment something is shown on it, consoles all the time."""

import os
from pathlib import Path

import pytest

from bpscript.screen.framebuffer import Channel, FrameBufferOutput, Geometry
from bpscript.screen.screen import Area, Attribute, Mode
from bpscript.workstation.console import Console
from bpscript.workstation.screens import WorkstationScreen
from tests.screen.test_framebuffer import pixel_at

GEOMETRY = Geometry(1024, 768, 32, 4096, Channel(16, 8), Channel(8, 8), Channel(0, 8))


class Desk:
    """A workstation's frame buffer in memory, and what its console heard."""

    def __init__(self, folder: Path, *, has_frame_buffer: bool = True) -> None:
        self.memory = bytearray(b"\xee" * GEOMETRY.size)
        self._file = folder / "console"
        self.descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT)
        self.screen = WorkstationScreen(Console([self.descriptor]), FrameBufferOutput(self.memory, GEOMETRY) if has_frame_buffer else None)

    @property
    def heard(self) -> str:
        return self._file.read_text()

    def is_taken(self) -> bool:
        return self.memory[:4] != b"\xee" * 4


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_an_empty_screen_and_a_log_leave_it_to_the_console(desk: Desk) -> None:
    desk.screen.log("working\r\n")
    desk.screen.wait()
    desk.screen.show_log(True)
    desk.screen.log("more\r\n")
    desk.screen.close()
    assert not desk.is_taken()
    assert desk.heard == "working\nmore\n"


@pytest.mark.parametrize("what", ["print", "clear", "graphics"])
def test_it_is_taken_when_there_is_something_to_see(desk: Desk, what: str) -> None:
    desk.screen.wait()
    assert not desk.is_taken()
    match what:
        case "print":
            desk.screen.write("hello")
        case "clear":
            desk.screen.fill(Area(0, 0, 25, 80), " ", Attribute(7, 1))
        case _:
            desk.screen.set_mode(Mode(1024, 768))
    desk.screen.wait()
    assert desk.is_taken()
    # Text mode, 640 x 400, is in the middle.
    assert pixel_at(desk.memory, GEOMETRY, 512, 384) == ((0, 0, 0xAA) if what == "clear" else (0, 0, 0))
    desk.screen.show_log(True)
    desk.screen.log("seen on both")
    desk.screen.wait()
    assert "seen on both" in desk.heard


def test_its_modes_are_those_that_fit(desk: Desk, tmp_path: Path) -> None:
    assert list(desk.screen.modes) == [Mode(800, 600), Mode(640, 480), Mode(1024, 768)]
    assert list(Desk(tmp_path, has_frame_buffer=False).screen.modes) == []


def test_a_machine_without_one_has_its_consoles(tmp_path: Path) -> None:
    desk = Desk(tmp_path, has_frame_buffer=False)
    desk.screen.write("Hello\r\n")
    desk.screen.log("log\r\n")
    desk.screen.close()
    assert desk.heard == "Hello\nlog\n"
    assert list(WorkstationScreen.open(Console([desk.descriptor]), str(tmp_path / "fb0")).modes) == []
