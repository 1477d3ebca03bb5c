"""Keys from a pipe and from a real (pseudo-)terminal."""

import os
import pty
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from bpscript.screen.keyboard import Key
from bpscript.screen.stdin import keyboard_of


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def test_keys_of_a_pipe_come_in_order_until_it_ends(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, "aé\n\177\033x".encode())
    os.close(writing)
    keyboard = keyboard_of(reading)
    assert not keyboard.live
    assert [keyboard.take() for _ in range(7)] == [Key("a"), Key("é"), Key("\r"), Key("\b"), Key("\033"), Key("x"), None]
    assert keyboard.ended


def test_half_a_character_waits_for_the_other_half(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    keyboard = keyboard_of(reading)
    os.write(writing, b"\xc3")
    assert keyboard.peek(0.05) is None
    os.write(writing, b"\xa9")
    assert keyboard.peek(0.05) == Key("é")


def test_looking_for_a_key_waits_no_longer_than_asked(pipe: tuple[int, int]) -> None:
    keyboard = keyboard_of(pipe[0])
    started = monotonic()
    assert keyboard.peek(0.2) is None
    assert 0.15 < monotonic() - started < 2
    assert not keyboard.ended


def test_a_terminal_gives_single_keys_and_is_given_back() -> None:
    ours, theirs = pty.openpty()
    try:
        before = termios.tcgetattr(theirs)
        keyboard = keyboard_of(theirs)
        assert keyboard.live
        assert keyboard.peek(0) is None
        os.write(ours, b"q\033z\033")
        assert keyboard.take() == Key("q")
        assert keyboard.take() == Key("z", alt=True)
        assert keyboard.take() == Key("\033")
        keyboard.close()
        assert termios.tcgetattr(theirs) == before
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_script_reads_a_terminal_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "s.bpb").write_text('getkey k\ninput name 8\necho "got $k and $name"\n')
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "bpscript", "run", "s.bpb"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        os.write(ours, b"1anna\177e\r")
        out, error = child.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert (out, error) == ("got 1 and anne\n", "")
