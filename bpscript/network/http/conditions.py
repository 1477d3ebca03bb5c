"""What a request for a file asks for: nothing new, all of it, or a part. Source: RFC 9110 13 (conditions) and 14 (ranges).

Several ranges in one request get the whole file, as RFC 9110 14.2 allows: no client of ours and no boot program asks for them, and
answers in parts are how small requests make large answers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate, mktime_tz, parsedate_tz
from functools import lru_cache

_RANGE = re.compile(r"bytes\s*=\s*(\d*)-(\d*)\s*", re.IGNORECASE | re.ASCII)
_TAG = re.compile(r'(?:W/)?"[^"]*"')
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as it is now: bytes, the time of its last change, and its number on the host."""

    size: int
    mtime_ns: int
    inode: int = 0

    @property
    def etag(self) -> str:
        """Strong: a file that is written to or replaced gets another."""
        return f'"{self.mtime_ns:x}-{self.size:x}-{self.inode:x}"'

    @property
    def modified(self) -> str:
        """The time in the form of HTTP."""
        return http_date(self.mtime_ns // 1_000_000_000)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The bytes from `start` to `end`; `whole` when that is the answer 200."""

    start: int
    end: int
    whole: bool


NOT_MODIFIED = "not modified"
FAILED = "precondition failed"
UNSATISFIABLE = "unsatisfiable"


def wanted(method: str, fields: Mapping[str, str], state: FileState, now: float) -> Wanted | str:
    """What a GET or HEAD asks for, in the order of RFC 9110 13.2.2; one of the three words above when it gets no bytes. `now` is seconds since 1970."""
    tags = fields.get("if-match")
    if tags is not None:
        if tags.strip() != "*" and state.etag not in _TAG.findall(tags):
            return FAILED
    elif (since := _time(fields.get("if-unmodified-since"))) is not None and state.mtime_ns // 1_000_000_000 > since:
        return FAILED
    tags = fields.get("if-none-match")
    if tags is not None:
        if tags.strip() == "*" or state.etag in {each.removeprefix("W/") for each in _TAG.findall(tags)}:
            return NOT_MODIFIED
    elif (since := _time(fields.get("if-modified-since"))) is not None and state.mtime_ns // 1_000_000_000 <= since:
        return NOT_MODIFIED
    text = fields.get("range")
    whole = Wanted(0, state.size, whole=True)
    if method != "GET" or text is None or not _if_range_agrees(fields.get("if-range"), state, now):
        return whole
    match = _RANGE.fullmatch(text)
    if match is None or match.group(1, 2) == ("", ""):
        return whole                    # several, other units, or nonsense: RFC 9110 14.2 lets a server pass over them
    first, last = match.groups()
    if len(first) > 18 or len(last) > 18:
        return UNSATISFIABLE if len(first) > 18 else whole
    if not first:
        length = min(int(last), state.size)
        return Wanted(state.size - length, state.size, whole=False) if length else UNSATISFIABLE
    start = int(first)
    if last and int(last) < start:
        return whole
    if start >= state.size:
        return UNSATISFIABLE
    return Wanted(start, min(int(last) + 1, state.size) if last else state.size, whole=False)


def _if_range_agrees(text: str | None, state: FileState, now: float) -> bool:
    """RFC 9110 13.1.5: a strong ETag, or exactly the date that was sent, if the file is not so young that it may have changed since within that second."""
    if text is None:
        return True
    text = text.strip()
    if text.startswith('"'):
        return text == state.etag
    return text == state.modified and now - state.mtime_ns / 1e9 >= 1


@lru_cache(256)
def http_date(seconds: int) -> str:
    """RFC 9110 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`, in no language but this one."""
    try:
        time = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return formatdate(0, usegmt=True)
    return f"{_DAYS[time.weekday()]}, {time.day:02} {_MONTHS[time.month - 1]} {time.year:04} {time:%H:%M:%S} GMT"


def _time(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        parsed = parsedate_tz(text)
        return None if parsed is None else mktime_tz(parsed)
    except (ValueError, OverflowError):
        return None
