"""The log waits for a key after each visible page, where nobody can scroll back."""

import pytest

from bpscript.interpreter.keys import Keys
from bpscript.interpreter.pager import Pager
from bpscript.interpreter.variables import Variables
from bpscript.machine.disks import Disks
from bpscript.machine.files import Files
from bpscript.machine.machine import Machine
from bpscript.machine.settings import LateSettings
from bpscript.network.memory import MemorySource
from bpscript.screen.keyboard import Key
from bpscript.screen.memory import MemoryScreen
from tests.scripts import NoTime


class Reader:
    """Somebody who presses a key whenever he is asked, and remembers what he saw."""

    live = True
    ended = False

    def __init__(self, screen: MemoryScreen) -> None:
        self.screen = screen
        self.seen: list[str] = []

    def peek(self, timeout_s: float | None = 0) -> Key | None:
        return None

    def take(self) -> Key | None:
        self.seen.append(str(self.screen))
        return Key(" ")


class Scene:
    def __init__(self, *, pauses: bool = True, live: bool = True, setting: str = "ON") -> None:
        self.screen = MemoryScreen(5, 20)
        self.reader = Reader(self.screen)
        self.reader.live = live
        settings, source, disks, clock = LateSettings(), MemorySource({}), Disks([]), NoTime()
        files = Files(disks, source, source, "BpBatch", settings)
        machine = Machine("BpBatch", disks, files, self.screen, self.reader, settings, clock, pauses_log=pauses)
        variables = Variables()
        variables.define("PauseLog", setting)
        self.keys = Keys(self.reader, self.screen, clock)
        self.pager = Pager(machine, self.keys, variables)
        self.screen.show_log(True)


def test_a_page_is_shown_before_the_next_one() -> None:
    scene = Scene()
    scene.pager.write("".join(f"line {n}\r\n" for n in range(10)))
    assert scene.reader.seen == ["line 0\nline 1\nline 2\nline 3\n-- more --", "line 4\nline 5\nline 6\nline 7\n-- more --"]
    assert "line 9" in str(scene.screen)


def test_a_line_that_wraps_counts_as_what_it_takes() -> None:
    scene = Scene()
    scene.pager.write(f"{'x' * 70}\nshort\n")
    assert len(scene.reader.seen) == 1


def test_who_pressed_a_key_has_read_what_is_there() -> None:
    scene = Scene()
    for n in range(20):
        scene.pager.write(f"line {n}\n")
        if n % 3 == 2:
            scene.keys.take()
    assert len(scene.reader.seen) == 6


@pytest.mark.parametrize("scene", [Scene(pauses=False), Scene(live=False), Scene(setting="OFF")], ids=["elsewhere", "no terminal", "off"])
def test_there_is_no_pause(scene: Scene) -> None:
    scene.pager.write("line\n" * 100)
    assert scene.reader.seen == []


def test_a_hidden_log_does_not_wait() -> None:
    scene = Scene()
    scene.screen.show_log(False)
    scene.pager.write("line\n" * 100)
    assert scene.reader.seen == []
