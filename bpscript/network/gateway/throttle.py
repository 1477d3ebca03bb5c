"""Attempts that are allowed: buckets that fill again with time, for a bounded number of names."""

from collections import OrderedDict
from collections.abc import Hashable


class Buckets:
    """A bucket for each name: it holds `size` tokens and gets one back every `refill_s` seconds.

    Full buckets are forgotten. Of more than `entries` the one that was used longest ago goes, as if it were full.
    """

    def __init__(self, size: float, refill_s: float, entries: int = 4096) -> None:
        self._size = size
        self._refill_s = refill_s
        self._entries = entries
        self._used: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()      # tokens that are missing, at that time

    def __len__(self) -> int:
        return len(self._used)

    def has(self, name: Hashable, now: float) -> bool:
        """Whether there is a token."""
        return self._missing(name, now) <= self._size - 1

    def take(self, name: Hashable, now: float) -> bool:
        """Take a token; False when there is none."""
        if not self.has(name, now):
            return False
        self._put(name, self._missing(name, now) + 1, now)
        return True

    def give_back(self, name: Hashable, now: float) -> None:
        """What was taken was no attempt after all."""
        missing = self._missing(name, now) - 1
        if missing <= 0:
            self._used.pop(name, None)
        else:
            self._put(name, missing, now)

    def _missing(self, name: Hashable, now: float) -> float:
        missing, then = self._used.get(name, (0.0, now))
        return max(0.0, missing - max(0.0, now - then) / self._refill_s)

    def _put(self, name: Hashable, missing: float, now: float) -> None:
        self._used[name] = missing, now
        self._used.move_to_end(name)
        while len(self._used) > self._entries:
            self._used.popitem(last=False)
