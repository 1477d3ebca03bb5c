"""A network that exists only in memory, for tests of protocol cores: it loses, doubles, reorders and delays packets, by a schedule.

Time is a number that jumps from one event to the next; nothing waits.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

Receive = Callable[[bytes, float], None]


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens to a packet: when its copies arrive, in seconds from now. None arrive: it is lost; two: it is doubled."""

    arrivals: tuple[float, ...] = (0.001,)


class FakeNetwork:
    """Packets under way. `fates` says what happens to each of them in the order in which they are sent; after its end nothing bad happens."""

    def __init__(self, fates: Iterator[Fate], *, start_s: float = 1000.0) -> None:
        self.now = start_s
        self.sent = 0               # packets
        self.sent_bytes = 0
        self._fates = fates
        self._flying: list[tuple[float, int, bytes, Receive]] = []
        self._order = count()

    def send(self, packet: bytes, receive: Receive) -> None:
        """Send a packet to the one who takes it by this call."""
        self.sent += 1
        self.sent_bytes += len(packet)
        for delay in next(self._fates, Fate()).arrivals:
            heapq.heappush(self._flying, (self.now + delay, next(self._order), packet, receive))

    def run(self, timers: Callable[[], list[tuple[float, Callable[[float], None]]]], *, limit_s: float = 10_000.0) -> None:
        """Let things happen until nothing is under way and nobody waits, or `limit_s` have passed.

        `timers` gives deadlines and what to call then.
        """
        end = self.now + limit_s
        while True:
            waiting = min(timers(), key=lambda timer: timer[0], default=None)
            arrival = self._flying[0][0] if self._flying else float("inf")
            when = min(arrival, waiting[0] if waiting is not None else float("inf"))
            if when == float("inf") or when > end:
                return
            self.now = max(self.now, when)
            if waiting is not None and waiting[0] <= arrival:
                waiting[1](self.now)
            else:
                _, _, packet, receive = heapq.heappop(self._flying)
                receive(packet, self.now)
