"""What HTTP served, for the log: one line for a file, also when it was fetched in hundreds of parts.

Parts of one file for one client are added up until the client asks for something else, or for nothing for a while.
"""

import threading
from dataclasses import dataclass
from http import HTTPStatus

from ..base.events import Event, Kind, Sink
from ..network.http.server import Served

QUIET_S = 3.0       # after the last part
MAX_OPEN = 2_000    # clients whose parts are being added up


@dataclass(slots=True)
class _Parts:
    served: Served
    began: float
    ended: float
    size: int = 0
    count: int = 0
    complete: bool = True


class Transfers:
    """Turns finished exchanges into `transfer` events. Times are seconds of a monotonic clock."""

    def __init__(self, events: Sink) -> None:
        self._events = events
        self._open: dict[str, _Parts] = {}
        self._lock = threading.Lock()

    def add(self, served: Served, now: float) -> None:
        """One exchange that has ended."""
        if served.method in {"", "HEAD"}:
            return          # a connection without a request; a look at a file, which is no transfer
        with self._lock:
            before = self._open.get(served.peer)
            parts = before
            if before is not None and (served.status != HTTPStatus.PARTIAL_CONTENT or before.served.path != served.path):
                self._tell(served.peer)
                parts = None
            if served.status != HTTPStatus.PARTIAL_CONTENT:
                self._events(_event(served, served.sent, served.seconds, 1, complete=served.complete))
                return
            if parts is None:
                if len(self._open) >= MAX_OPEN:
                    self._tell(next(iter(self._open)))
                parts = self._open[served.peer] = _Parts(served, now - served.seconds, now)
            parts.size += served.sent
            parts.count += 1
            parts.ended = now
            parts.complete = served.complete

    def flush(self, now: float, quiet_s: float = QUIET_S) -> None:
        """Tell of those that have ended."""
        with self._lock:
            for peer in [peer for peer, parts in self._open.items() if now - parts.ended >= quiet_s]:
                self._tell(peer)

    def _tell(self, peer: str) -> None:
        parts = self._open.pop(peer)
        self._events(_event(parts.served, parts.size, parts.ended - parts.began, parts.count, complete=parts.complete))


def _event(served: Served, size: int, seconds: float, count: int, *, complete: bool) -> Event:
    outcome = "refused" if served.status >= HTTPStatus.BAD_REQUEST else "done" if complete else "aborted"
    path = "".join(each if each.isprintable() else "\ufffd" for each in served.path.decode("utf-8", "replace")[:300])
    return Event(Kind.TRANSFER, {
        "protocol": "http", "client": served.peer, "path": path, "outcome": outcome, "text": "", "size": size, "seconds": round(seconds, 6),
        "method": served.method, "status": served.status, "parts": count,
    })
