"""Every parser of bytes from outside: they are taken, or end in one of our errors. Every input that once did otherwise is tried again."""

import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.mutate import mutated
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

FOUND = Path(__file__).parent / "found"     # inputs that once crashed, by target
SECONDS = 10


class TookTooLongError(BaseException):
    """An input that keeps a parser busy is a fault, too."""


def bounded(check: Callable[[bytes], None], data: bytes) -> None:
    """Try an input; more than some seconds is an error."""
    def alarm(number: int, frame: object) -> NoReturn:
        raise TookTooLongError(data)

    before = signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        check(data)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@cache
def seeds(target: Target) -> tuple[bytes, ...]:
    return tuple(target.seeds())


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_good_inputs_are_understood(target: Target) -> None:
    """Else the fuzzing would only ever see the first check."""
    understood = 0
    for data in seeds(target):
        bounded(target.check, data)
        try:
            target.run(data)
        except Exception:
            continue
        understood += 1
    assert understood, "no seed gets through"


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_any_bytes_are_taken_or_refused(target: Target) -> None:
    @settings(max_examples=settings().max_examples if settings().max_examples > 100 else 60)
    @given(mutated(seeds(target)))
    def check(data: bytes) -> None:
        bounded(target.check, data)

    check()


def test_what_once_crashed_does_not() -> None:
    targets = {target.name: target for target in TARGETS}
    for path in FOUND.glob("*/*"):
        bounded(targets[path.parent.name].check, path.read_bytes())


def test_a_crash_and_a_loop_are_noticed() -> None:
    def crash(data: bytes) -> None:
        raise IndexError(data[0])

    def loop(data: bytes) -> None:
        while True:
            pass

    with pytest.raises(IndexError):
        bounded(Target("wrong", crash, lambda: [b"x"]).check, b"x")
    global SECONDS  # noqa: PLW0603 - one second will do here
    SECONDS = 1
    try:
        with pytest.raises(TookTooLongError):
            bounded(Target("wrong", loop, lambda: [b"x"]).check, b"x")
    finally:
        SECONDS = 10


@given(st.data())
def test_mutations_are_of_their_seeds(data: st.DataObject) -> None:
    found = data.draw(mutated((b"a" * 40,)))
    assert len(found) <= 340
