"""The ground floor: units, errors, clock, entropy, events, records, resources."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from construct import Enum, Int8ul, Int16ul, Struct
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.clock import Clock
from bpscript.base.entropy import Entropy
from bpscript.base.errors import (
    BpscriptError,
    FormatError,
    InTheWayError,
    NetworkError,
    NoSpaceError,
    NotFoundError,
    ReadOnlyError,
    ScriptError,
    StorageError,
    UsageError,
)
from bpscript.base.events import Event, Kind, Progress, ignore, progress
from bpscript.base.records import build_record, parse_record
from bpscript.base.resources import image_bytes
from bpscript.base.units import GIB, KIB, MIB, TIB, format_size, parse_size, round_up

# Units


@pytest.mark.parametrize(
    ("text", "size"),
    [("512", 512), ("0", 0), ("64K", 64 * KIB), ("30 MB", 30 * MIB), (" 2g ", 2 * GIB), ("1TiB", TIB), ("7 b", 7), ("99999999999999999999", 10**20 - 1)],
)
def test_sizes_people_write(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "1.5G", "-1", "1 XB", "1 M B", "0x10", "\N{ARABIC-INDIC DIGIT FIVE}", "9" * 5000])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size") as caught:
        parse_size(text)
    assert len(caught.value.message) < 80
    assert caught.value.hint == "a number and B, K, M, G or T (1024-based), for example 512M"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (KIB, "1 KB"), (1536, "1.5 KB"), (150 * MIB + 1, "150 MB"), (3 * TIB, "3 TB"), (5000 * TIB, "5000 TB")],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(0, 10**18), st.integers(1, 10**9))
def test_rounding_up(value: int, unit: int) -> None:
    rounded = round_up(value, unit)
    assert rounded % unit == 0
    assert 0 <= rounded - value < unit


# Errors


def test_the_tree_of_errors() -> None:
    assert [error.__base__ for error in (NotFoundError, InTheWayError, NoSpaceError, ReadOnlyError)] == [StorageError] * 4
    assert [error.__base__ for error in (UsageError, ScriptError, FormatError, StorageError, NetworkError)] == [BpscriptError] * 5


def test_an_error_is_its_message_and_perhaps_a_hint() -> None:
    error = NotFoundError("no such file", hint="look elsewhere")
    assert (str(error), error.message, error.hint) == ("no such file", "no such file", "look elsewhere")
    assert UsageError("wrong").hint is None


def test_a_script_error_shows_line_caret_and_hint() -> None:
    error = ScriptError('unknown command "FullUnzp"', "deploy.bat", 12, 1, 'FullUnzp "win98.imz" 1', 8, hint="did you mean FullUnzip?")
    assert str(error) == 'deploy.bat:12:1: error: unknown command "FullUnzp"'
    assert error.explain().splitlines() == [
        'deploy.bat:12:1: error: unknown command "FullUnzp"', '  FullUnzp "win98.imz" 1', "  ^^^^^^^^", "  did you mean FullUnzip?",
    ]


@given(st.text("a\t \u00e9", max_size=12), st.integers(1, 14), st.integers(-1, 5))
def test_the_caret_stands_under_its_column_whatever_a_tab_is_worth(source: str, column: int, width: int) -> None:
    lines = ScriptError("m", "f", 1, column, source, width).explain().split("\n")
    if not source:
        assert lines == [f"f:1:{column}: error: m"]
        return
    for tab in (1, 4, 8):
        above, below = (line.expandtabs(tab) for line in lines[1:])
        before = ("  " + source[: column - 1]).expandtabs(tab)
        assert above.startswith(before)
        assert below == " " * len(before) + "^" * max(1, width)


# Clock


def test_a_frozen_clock_stands_still_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    clock = Clock.from_environment()
    assert clock.now_ns() == clock.now_ns() == 1_000_000_000 * 10**9
    assert clock.local() == datetime(2001, 9, 9, 1, 46, 40)


@pytest.mark.parametrize("text", ["abc", "-1", "1.5", "1000000000000", "9" * 5000, "\N{ARABIC-INDIC DIGIT FIVE}"])
def test_a_source_date_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    with pytest.raises(UsageError, match=r"SOURCE_DATE_EPOCH is .* expected seconds since 1970"):
        Clock.from_environment()


def test_without_a_source_date_the_clock_is_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, ""):
        monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
        if value is not None:
            monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
        before = time.time_ns()
        assert before <= Clock.from_environment().now_ns() <= time.time_ns()


@pytest.fixture(params=["UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "<-09>9"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


@pytest.mark.parametrize("wanted", [datetime(1998, 1, 15, 12, 0, 5), datetime(1998, 7, 15, 23, 59, 59), datetime(2069, 12, 31, 0, 0, 0)])
@pytest.mark.parametrize("fixed_ns", [None, 0, 1_700_000_000_123_456_789])
def test_a_clock_that_was_set_says_so_in_summer_and_winter(zone: str, wanted: datetime, fixed_ns: int | None) -> None:
    clock = Clock(fixed_ns)
    for moment in (wanted, wanted + timedelta(days=180), wanted):
        clock.set_local(moment)
        assert moment <= clock.local() <= moment + timedelta(seconds=1)
    assert Clock(fixed_ns).now_ns() != clock.now_ns()


# Entropy


def test_a_seed_gives_the_same_bytes_for_the_same_requests() -> None:
    first, second = Entropy("lab"), Entropy("lab")
    asked = [(16, "uuid"), (16, "uuid"), (4, "serial")]
    assert [first.bytes(*each) for each in asked] == [second.bytes(*each) for each in asked]
    assert len({Entropy("lab").bytes(16, "x"), Entropy("lab").bytes(16, "y"), Entropy("bal").bytes(16, "x"), first.bytes(16, "x")}) == 4


def test_without_a_seed_nothing_repeats() -> None:
    assert Entropy().bytes(16, "x") != Entropy().bytes(16, "x")
    assert len(Entropy().bytes(5, "x")) == 5


def test_uuids_are_of_version_4() -> None:
    ident = Entropy("lab").uuid("disk")
    assert (ident.version, ident.variant) == (4, "specified in RFC 4122")
    assert ident == Entropy("lab").uuid("disk") != Entropy("lab").uuid("partition")


# Events


def test_progress_reports_start_end_and_not_every_byte() -> None:
    heard: list[Event] = []
    with progress(heard.append, "restore", 1000) as state:
        for _ in range(1000):
            state.advance(1)
    assert all(event.kind is Kind.PROGRESS for event in heard)
    assert heard[0].data == {"task": "restore", "done": 0, "total": 1000}
    assert heard[-1].data == {"task": "restore", "done": 1000, "total": 1000}
    assert len(heard) < 20
    assert [event.time_s for event in heard] == sorted(event.time_s for event in heard)


def test_progress_without_an_interval_reports_each_step() -> None:
    heard: list[Event] = []
    state = Progress(heard.append, "x", 0, interval_s=0)
    state.advance(5)
    state.advance(6)
    assert [event.data["done"] for event in heard] == [5, 11]
    ignore(heard[0])


def test_the_names_of_events_do_not_change_silently() -> None:
    assert [str(kind) for kind in Kind][:6] == ["command-started", "command-finished", "progress", "file-written", "log", "note"]


# Records and resources

RECORD = Struct("magic" / Int16ul, "kind" / Enum(Int8ul, one=1))


def test_records_are_parsed_and_built() -> None:
    assert parse_record(RECORD, memoryview(b"\x34\x12\x01rest"), "header").magic == 0x1234
    assert build_record(RECORD, {"magic": 0x1234, "kind": 1}) == b"\x34\x12\x01"


def test_a_short_record_is_a_format_error_that_names_it() -> None:
    with pytest.raises(FormatError, match=r"^header: .*stream read less than specified amount"):
        parse_record(RECORD, b"\x34\x12", "header")


def test_data_files_are_found() -> None:
    with pytest.raises(FileNotFoundError):
        image_bytes("boot/nothing.bin")
