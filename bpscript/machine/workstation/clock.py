"""The clock of the workstation: `SetTime` and `SetDate` set it."""

from datetime import datetime

from ...base.clock import Clock
from .system_calls import Calls


class WorkstationClock(Clock):
    """The machine's own clock, and the one on its board."""

    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self._calls = calls

    def set_local(self, wanted: datetime) -> None:
        """Set both clocks to a time in the zone of the environment. Raises StorageError."""
        self._calls.set_clock(int(wanted.timestamp()))
