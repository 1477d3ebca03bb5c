"""Time as an input: the host's clock, or a fixed one, with the offset that `SetTime` and `SetDate` give."""

import os
import re
import time
from typing import TYPE_CHECKING

from .errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

_LATEST = 253_402_300_799       # seconds since 1970: the end of the year 9999


class Clock:
    """The clock of a script. `fixed_ns` (nanoseconds since 1970) freezes it: SOURCE_DATE_EPOCH does so."""

    def __init__(self, fixed_ns: int | None = None) -> None:
        self.fixed_ns = fixed_ns
        self._offset_ns = 0

    @classmethod
    def from_environment(cls) -> "Clock":
        """A frozen clock when SOURCE_DATE_EPOCH is set, else the host's. Raises UsageError when it is no number of seconds."""
        epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
        if not epoch:
            return cls()
        if not re.fullmatch(r"\d{1,12}", epoch, re.ASCII) or int(epoch) > _LATEST:
            raise UsageError(f'SOURCE_DATE_EPOCH is "{epoch[:40]}"; expected seconds since 1970')
        return cls(int(epoch) * 1_000_000_000)

    def now_ns(self) -> int:
        """Nanoseconds since 1970 (UTC)."""
        return (time.time_ns() if self.fixed_ns is None else self.fixed_ns) + self._offset_ns

    def local(self) -> "datetime":
        """Wall-clock time in the host's zone (UTC when the clock is frozen), without zone information."""
        from datetime import UTC, datetime  # noqa: PLC0415 - few scripts ask for the time

        return datetime.fromtimestamp(self.now_ns() // 1_000_000_000, None if self.fixed_ns is None else UTC).replace(tzinfo=None)

    def set_local(self, wanted: "datetime") -> None:
        """Make `local()` say `wanted` (whole seconds); the host's own clock is never changed."""
        from datetime import UTC  # noqa: PLC0415 - as in `local`

        # Through seconds since 1970, because the host's zone may have another distance from UTC at that time than now.
        seconds = int((wanted if self.fixed_ns is None else wanted.replace(tzinfo=UTC)).timestamp())
        self._offset_ns += (seconds - self.now_ns() // 1_000_000_000) * 1_000_000_000

    def sleep(self, seconds: float) -> None:
        """Wait, in real time."""
        time.sleep(seconds)


def local_time(mtime_ns: int | None) -> str:
    """`YYYY-MM-DD HH:MM` in the host's zone, for listings."""
    if mtime_ns is None:
        return "-" * 10 + " " + "--:--"
    from datetime import datetime  # noqa: PLC0415 - as in `local`

    return datetime.fromtimestamp(mtime_ns // 1_000_000_000).strftime("%Y-%m-%d %H:%M")
