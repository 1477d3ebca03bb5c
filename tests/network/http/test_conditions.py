"""Which bytes a request gets: ranges and conditions, against a plain model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.network.http.conditions import FAILED, NOT_MODIFIED, UNSATISFIABLE, FileState, Wanted, http_date, wanted

STATE = FileState(1000, 1_000_000_000_500_000_000, 7)
NOW = 1_000_000_100.0
EARLIER, LATER = http_date(999_999_999), http_date(1_000_000_001)


def ask(range_text: str | None = None, method: str = "GET", state: FileState = STATE, now: float = NOW, fields: dict[str, str] | None = None) -> Wanted | str:
    found = dict(fields or {})
    if range_text is not None:
        found["range"] = range_text
    return wanted(method, found, state, now)


ALL = Wanted(0, 1000, whole=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-0", (0, 1)), ("bytes=0-999", (0, 1000)), ("bytes=0-5000", (0, 1000)), ("bytes=999-", (999, 1000)), ("bytes=-1", (999, 1000)),
        ("bytes=-5000", (0, 1000)), ("BYTES = 5-6", (5, 7)), ("bytes=1000-", None), ("bytes=-0", None), ("bytes=99999999999999999999-", None),
    ],
)
def test_single_ranges(text: str, expected: tuple[int, int] | None) -> None:
    assert ask(text) == (UNSATISFIABLE if expected is None else Wanted(*expected, whole=False))


@pytest.mark.parametrize("text", ["bytes=0-1,5-6", "lines=1-2", "bytes=5-4", "bytes=-", "bytes=a-b", "nonsense", "", "bytes=٣-", "bytes=0-99999999999999999999"])
def test_what_is_no_single_range_gets_the_whole_file(text: str) -> None:
    assert ask(text) == ALL


def test_a_head_has_no_ranges() -> None:
    assert ask("bytes=0-1", method="HEAD") == ALL


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"if-none-match": STATE.etag}, NOT_MODIFIED, id="same-tag"),
        pytest.param({"if-none-match": f'"x", W/{STATE.etag}'}, NOT_MODIFIED, id="weak-among-several"),
        pytest.param({"if-none-match": "*"}, NOT_MODIFIED, id="any-tag"),
        pytest.param({"if-none-match": '"x"'}, ALL, id="other-tag"),
        pytest.param({"if-none-match": '"x"', "if-modified-since": LATER}, ALL, id="tag-before-time"),
        pytest.param({"if-modified-since": STATE.modified}, NOT_MODIFIED, id="same-time"),
        pytest.param({"if-modified-since": EARLIER}, ALL, id="newer"),
        pytest.param({"if-modified-since": "nonsense"}, ALL, id="no-time"),
        pytest.param({"if-match": '"x"'}, FAILED, id="match-other"),
        pytest.param({"if-match": STATE.etag}, ALL, id="match-same"),
        pytest.param({"if-unmodified-since": EARLIER}, FAILED, id="modified-since"),
        pytest.param({"if-unmodified-since": LATER}, ALL, id="unmodified-since"),
    ],
)
def test_conditions(fields: dict[str, str], expected: Wanted | str) -> None:
    assert ask(fields=fields) == expected


@pytest.mark.parametrize(
    ("condition", "part"),
    [
        pytest.param(STATE.etag, True, id="same-tag"), pytest.param('"x"', False, id="other-tag"), pytest.param(f"W/{STATE.etag}", False, id="weak-tag"),
        pytest.param(STATE.modified, True, id="same-time"), pytest.param(EARLIER, False, id="earlier"), pytest.param(LATER, False, id="later"),
        pytest.param("nonsense", False, id="nonsense"),
    ],
)
def test_if_range(condition: str, part: bool) -> None:
    assert ask("bytes=5-9", fields={"if-range": condition}) == (Wanted(5, 10, whole=False) if part else ALL)


def test_the_time_of_a_file_that_is_being_written_is_no_validator() -> None:
    assert ask("bytes=5-9", fields={"if-range": STATE.modified}, now=STATE.mtime_ns / 1e9 + 0.1) == ALL


def test_any_change_gives_another_etag() -> None:
    states = [STATE, FileState(1001, STATE.mtime_ns, 7), FileState(1000, STATE.mtime_ns + 1, 7), FileState(1000, STATE.mtime_ns, 8)]
    assert len({each.etag for each in states}) == 4


@given(st.text(max_size=30), st.integers(0, 50))
def test_any_range_is_inside_the_file(text: str, size: int) -> None:
    """Whatever a range says, the bytes are inside the file and never none."""
    found = ask(text, state=FileState(size, 0))
    if isinstance(found, Wanted):
        assert 0 <= found.start <= found.end <= size
        assert found.whole or found.start < found.end
    else:
        assert found == UNSATISFIABLE


@given(st.integers(-(10**12), 10**13))
def test_dates_are_those_of_the_standard_library(seconds: int) -> None:
    from email.utils import formatdate  # noqa: PLC0415

    if -62135596800 <= seconds <= 253402300799:
        assert http_date(seconds) == formatdate(seconds, usegmt=True)
    else:
        assert http_date(seconds) == formatdate(0, usegmt=True)
