"""Times of directory entries."""

import time
from collections.abc import Iterator
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyfatfs.DosDateTime import DosDateTime

from bpscript.filesystems.fat import times

FIRST, LAST = 315_532_800, 4_354_819_198        # 1980-01-01 and 2107-12-31 23:59:58 UTC


@pytest.fixture
def in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "EST5EDT,M3.2.0,M11.1.0")
    time.tzset()
    times.to_dos.cache_clear()
    times.from_dos.cache_clear()
    yield
    monkeypatch.undo()
    time.tzset()
    times.to_dos.cache_clear()
    times.from_dos.cache_clear()


@given(st.integers(FIRST, LAST))
def test_times_round_trip_to_two_seconds(seconds: int) -> None:
    date, clock = times.to_dos(seconds, True)
    assert times.from_dos(date, clock, True) == (seconds & ~1) * 10**9


@pytest.mark.parametrize(("seconds", "expected"), [(0, FIRST), (-(10**18), FIRST), (FIRST - 1, FIRST), (LAST + 2, LAST), (10**18, LAST)])
def test_times_out_of_range_become_the_nearest_there_is(seconds: int, expected: int) -> None:
    assert times.from_dos(*times.to_dos(seconds, True), True) == expected * 10**9


@given(st.integers(FIRST * 100, LAST * 100))
def test_creation_keeps_hundredths(hundredths: int) -> None:
    ns = hundredths * 10_000_000
    assert times.created_ns(*times.created_fields(ns, True), True) == ns


def test_no_creation_time_is_zero_both_ways() -> None:
    assert times.created_fields(0, True) == (0, 0, 0)
    assert times.created_ns(0, 0, 0, True) == 0


@given(st.integers(1, 0xFFFF), st.integers(0, 0xFFFF))
def test_any_fields_are_a_time(date: int, clock: int) -> None:
    assert FIRST * 10**9 <= times.from_dos(date, clock, True) <= LAST * 10**9


@pytest.mark.usefixtures("in_new_york")
def test_local_time_is_stored_unless_the_clock_is_frozen() -> None:
    noon_utc = 1_700_049_600        # 2023-11-15 12:00 UTC, 07:00 in New York
    stored = DosDateTime.deserialize_time(times.to_dos(noon_utc, False)[1])
    assert stored.hour == 7
    assert times.from_dos(*times.to_dos(noon_utc, False), False) == noon_utc * 10**9
    assert DosDateTime.deserialize_time(times.to_dos(noon_utc, True)[1]).hour == 12


def test_fields_agree_with_pyfatfs() -> None:
    moment = datetime(1999, 12, 31, 23, 58, 42)
    theirs = DosDateTime(1999, 12, 31, 23, 58, 42)
    seconds = int((moment - datetime(1970, 1, 1)).total_seconds())
    assert times.to_dos(seconds, True) == (theirs.serialize_date(), theirs.serialize_time())
