"""Times of directory entries: local time since 1980, to two seconds (creation: to 10 ms).

The zone is the host's. A frozen clock (SOURCE_DATE_EPOCH) makes it UTC, so that the same script makes the same bytes anywhere.
Fields are coded by pyfatfs's DosDateTime; a cache stands before it, because files of one tree share most of their times.
"""

from datetime import UTC, datetime
from functools import lru_cache

from pyfatfs.DosDateTime import DosDateTime

_EARLIEST = datetime(1980, 1, 1)                # what the seven bits of the year can hold
_LATEST = datetime(2107, 12, 31, 23, 59, 58)
NANOSECONDS = 1_000_000_000


@lru_cache(maxsize=4096)
def to_dos(seconds: int, utc: bool) -> tuple[int, int]:
    """Date and time fields for `seconds` since 1970; the nearest there is before 1980 and after 2107."""
    try:
        local = datetime.fromtimestamp(seconds, UTC if utc else None).replace(tzinfo=None)
    except (OverflowError, OSError, ValueError):
        local = _EARLIEST if seconds < 0 else _LATEST
    moment = min(max(local, _EARLIEST), _LATEST)
    dos = DosDateTime(moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    return dos.serialize_date(), dos.serialize_time()


@lru_cache(maxsize=4096)
def from_dos(date: int, time: int, utc: bool) -> int:
    """Nanoseconds since 1970; 0 when there is no date. A field out of its range reads as the first of January 1980 or 0:00."""
    if date == 0:
        return 0
    moment = datetime.combine(DosDateTime.deserialize_date(date), DosDateTime.deserialize_time(time))
    return int((moment.replace(tzinfo=UTC) if utc else moment).timestamp()) * NANOSECONDS


def created_fields(ns: int, utc: bool) -> tuple[int, int, int]:
    """Creation 10 ms units (0 to 199), time and date; all zero, "not known", for 0."""
    if ns == 0:
        return 0, 0, 0
    seconds = ns // NANOSECONDS
    date, time = to_dos(seconds, utc)
    return (ns // 10_000_000) % 100 + 100 * (seconds & 1), time, date


def created_ns(hundredths: int, time: int, date: int, utc: bool) -> int:
    """The reverse of `created_fields`."""
    if date == 0:
        return 0
    return from_dos(date, time, utc) + min(hundredths, 199) * 10_000_000
