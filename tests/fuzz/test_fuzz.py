"""Every parser of bytes from outside: they are taken, or end in one of our errors. Every input that once did otherwise is tried again."""

import signal
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.base.clock import Clock
from bpscript.base.errors import FormatError
from bpscript.filesystems.detect import open_volume
from bpscript.filesystems.filesystem import walk
from tests.fuzz.checksums import cache_entries, ext_metadata, gpt_headers
from tests.fuzz.goldens import golden
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


@pytest.mark.hypothesis
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_any_bytes_are_taken_or_refused(target: Target) -> None:
    @settings(max_examples=60)
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


def test_checksums_that_are_put_right_are_those_of_a_good_volume() -> None:
    """Else what is behind them would never be reached."""
    for name, put_right in (("gpt", gpt_headers), ("cache", cache_entries), ("ext4", lambda device: ext_metadata(device, golden("ext4").device))):
        device = golden(name).damaged(b"")
        put_right(device)
        assert device.read(0, device.size) == golden(name).device.read(0, device.size), name


def test_what_is_behind_a_checksum_is_reached_when_it_is_put_right() -> None:
    good = golden("ext4")
    device = good.damaged(b"")
    root = 0x9900       # inode 2
    device.write(root + 32, b"\0\0\0\x10")     # i_flags: its blocks are no extents
    for put_right, words in ((False, "checksum"), (True, "damaged directory entry")):
        if put_right:
            ext_metadata(device, good.device)
        with pytest.raises(FormatError, match=words), closing(open_volume(device, clock=Clock(1), writable=False)) as volume:
            list(walk(volume))
