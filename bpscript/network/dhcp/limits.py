"""How often one client is answered: a leaky bucket for each hardware address, in bounded memory.

A client of RFC 2131 sends a handful of packets a minute; one that loops, or is made up, costs little and fills no log.
"""

from collections import OrderedDict

MOST_CLIENTS = 4096
BURST = 32              # packets at once: several boot stages of one machine follow each other within seconds
PER_SECOND = 4.0


class Limiter:
    """`allow` for each packet; the clients that were silent longest are forgotten first."""

    def __init__(self, burst: int = BURST, per_second: float = PER_SECOND, most_clients: int = MOST_CLIENTS) -> None:
        self._burst = burst
        self._per_second = per_second
        self._most_clients = most_clients
        self._filled: OrderedDict[bytes, tuple[float, float]] = OrderedDict()    # how full, when

    def allow(self, client: bytes, now: float) -> bool:
        """True when this client may be answered once more at `now` (seconds)."""
        level, then = self._filled.pop(client, (0.0, now))
        level = max(0.0, level - max(0.0, now - then) * self._per_second)
        allowed = level + 1 <= self._burst
        self._filled[client] = (level + 1 if allowed else level, now)
        if len(self._filled) > self._most_clients:
            self._filled.popitem(last=False)
        return allowed
