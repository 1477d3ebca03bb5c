"""Keys come from every console of the machine."""

import os
import threading
import time
from collections.abc import Iterator

import pytest

from bpscript.screen.keyboard import Key
from bpscript.screen.stdin import PipeKeyboard
from bpscript.workstation.keyboards import Keyboards, keyboard_of_consoles


class Line:
    """A terminal: the end somebody types on, and ours."""

    def __init__(self) -> None:
        self._typing, self.descriptor = os.openpty()
        self._is_there = True

    def type(self, data: bytes) -> None:
        os.write(self._typing, data)

    def go(self) -> None:
        """The cable is pulled."""
        if self._is_there:
            os.close(self._typing)
            self._is_there = False


@pytest.fixture
def lines() -> Iterator[tuple[Line, Line]]:
    pair = Line(), Line()
    yield pair
    for line in pair:
        line.go()
        os.close(line.descriptor)


def test_whoever_types_is_heard(lines: tuple[Line, Line]) -> None:
    screen, serial = lines
    keyboard = keyboard_of_consoles([screen.descriptor, serial.descriptor])
    assert isinstance(keyboard, Keyboards)
    assert keyboard.live
    assert keyboard.peek() is None
    serial.type(b"s")
    assert keyboard.peek(5) == Key("s")
    assert keyboard.typed_on == serial.descriptor
    screen.type("é\r".encode())
    assert {keyboard.take(), keyboard.take(), keyboard.take()} == {Key("s"), Key("é"), Key("\r")}
    assert keyboard.peek(0.05) is None
    keyboard.close()


def test_a_wait_ends_with_a_key_of_either(lines: tuple[Line, Line]) -> None:
    screen, serial = lines
    keyboard = Keyboards([screen.descriptor, serial.descriptor])
    keyboard.peek()
    threading.Timer(0.2, screen.type, (b"x",)).start()
    started = time.process_time()
    assert keyboard.take() == Key("x")
    assert time.process_time() - started < 0.1
    keyboard.close()


def test_one_that_goes_leaves_the_other(lines: tuple[Line, Line]) -> None:
    screen, serial = lines
    keyboard = Keyboards([screen.descriptor, serial.descriptor])
    keyboard.peek()
    screen.go()
    assert keyboard.peek(0.05) is None
    serial.type(b"y")
    assert keyboard.take() == Key("y")
    serial.go()
    assert keyboard.take() is None
    assert keyboard.ended
    keyboard.close()


def test_without_terminals_standard_input_is_read() -> None:
    with open(os.devnull, "rb") as nothing:
        assert isinstance(keyboard_of_consoles([nothing.fileno()]), PipeKeyboard)


def test_the_key_that_was_looked_at_is_the_one_that_is_taken() -> None:
    pairs = [os.openpty() for _ in range(2)]
    keyboards = Keyboards([theirs for _, theirs in pairs])
    try:
        assert keyboards.peek(0) is None
        os.write(pairs[1][0], b"2")
        assert keyboards.peek(5) == Key("2")
        os.write(pairs[0][0], b"1")
        time.sleep(0.05)
        assert keyboards.peek(0) == Key("2")
        assert [keyboards.take(), keyboards.take()] == [Key("2"), Key("1")]
    finally:
        keyboards.close()
        for pair in pairs:
            for descriptor in pair:
                os.close(descriptor)
