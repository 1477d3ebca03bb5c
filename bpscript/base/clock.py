"""Time as an input: the host's clock, or a fixed one, with the offset that `SetTime` and `SetDate` give."""

import os
import time
from datetime import datetime, timedelta


class Clock:
    """The clock of a script. `fixed_ns` (nanoseconds since 1970) freezes it: SOURCE_DATE_EPOCH does so."""

    def __init__(self, fixed_ns: int | None = None) -> None:
        self.fixed_ns = fixed_ns
        self._offset_ns = 0

    @classmethod
    def from_environment(cls) -> "Clock":
        """A frozen clock when SOURCE_DATE_EPOCH is a number, else the host's."""
        epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
        return cls(int(epoch) * 1_000_000_000 if epoch.isdecimal() else None)

    def now_ns(self) -> int:
        """Nanoseconds since 1970 (UTC)."""
        return (time.time_ns() if self.fixed_ns is None else self.fixed_ns) + self._offset_ns

    def local(self) -> datetime:
        """Wall-clock time in the host's zone (UTC when the clock is frozen), without zone information."""
        now = self.now_ns() // 1_000_000_000
        zoneless = datetime.fromtimestamp(now) if self.fixed_ns is None else datetime(1970, 1, 1) + timedelta(seconds=now)
        return zoneless

    def set_local(self, wanted: datetime) -> None:
        """Make `local()` say `wanted`; the host's own clock is never changed."""
        self._offset_ns += int((wanted - self.local().replace(microsecond=0)) / timedelta(microseconds=1)) * 1000

    def sleep(self, seconds: float) -> None:
        """Wait, in real time."""
        time.sleep(seconds)
