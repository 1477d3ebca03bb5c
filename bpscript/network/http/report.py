"""What a run does, told to the server that shows it: `bpscript run --report URL`.

Events go out in batches from a thread of their own: never does a run wait for its report, fail with it, or keep more than a few
hundred events. Commands and progress that are overtaken by newer ones are left out; log text and single files always are.
"""

import json
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic, sleep
from typing import Any

from ...base.errors import BpscriptError
from ...base.events import Event, Kind
from .client import Client, Fetcher
from .urls import parse_url

PATH = "/api/report"
RECORD_PATH = "/api/record"
MOST_RECORD = 900_000       # bytes; the server takes bodies of 1 MB
INTERVAL_S = 0.5        # between two batches
TIMEOUT_S = 5.0
LAST_WORDS_S = 3.0      # that the end of a run waits for its last batch at most
_KEPT = 300             # events
_TOLD = {Kind.ERROR, Kind.WARNING, Kind.NOTE, Kind.BOOT}
_FAILURES = 5           # one after the other; then nothing is sent until the end


class Reporter:
    """A sink that reports to a server. `facts` says who and what: script, run, mac, host. Raises UsageError for a wrong address.

    `failure` is why nothing arrives, None while all is well.
    """

    def __init__(self, url: str, facts: Mapping[str, str], fetcher: Fetcher | None = None, *, interval_s: float = INTERVAL_S) -> None:
        address = parse_url(url)
        self._url = address if address.target not in {"", "/"} else parse_url(f"{address.scheme}://{address.authority}{PATH}")
        self._facts = dict(facts)
        self._fetcher = fetcher or Client(TIMEOUT_S)
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._events: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._command: Event | None = None
        self._progress: Event | None = None
        self._rate: tuple[str, float, int] | None = None        # task, time and bytes of the last progress that was sent
        self._state = "running"
        self._failures = 0
        self._sent = False
        self._over = threading.Event()
        self._give_up_at = 0.0
        self.failure: str | None = None
        self._thread = threading.Thread(target=self._work, name="report", daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if event.kind is Kind.COMMAND_STARTED:
            self._command = event       # one of many thousands a second, perhaps
        elif event.kind is Kind.PROGRESS:
            self._progress = event
        elif event.kind in _TOLD:
            with self._lock:
                self._events.append(_row(event))

    def end(self, state: str, wait_s: float = LAST_WORDS_S) -> None:
        """The run is over: done, failed or booted. The last batch is sent again and again until it has arrived, or `wait_s` have passed."""
        self._state = state
        self._give_up_at = monotonic() + wait_s
        self._over.set()
        self._thread.join(wait_s)

    def _work(self) -> None:
        self._send()
        while not self._over.wait(self._interval_s):
            if self._failures < _FAILURES:
                self._send()
        self._send()
        while self.failure is not None and monotonic() + self._interval_s < self._give_up_at:
            sleep(self._interval_s)
            self._send()

    def _send(self) -> None:
        with self._lock:
            events = list(self._events)
            self._events.clear()
            command, self._command = self._command, None
            progress, self._progress = self._progress, None
        if command is not None:
            events.append(_row(command))
        if progress is not None:
            events.append(self._with_rate(progress))
        if not events and self._state == "running" and self._failures == 0 and self._sent:
            return
        body = json.dumps({**self._facts, "state": self._state, "events": events}).encode()
        try:
            reply = self._fetcher.fetch("POST", self._url, {"Content-Type": "application/json"}, body)
            with suppress(BpscriptError):
                reply.close()
            if reply.status not in {200, 202, 204}:
                self._failed(f"{self._url}: the server answers {reply.status} {reply.reason}".rstrip())
                return
        except BpscriptError as error:
            self._failed(error.message)
            with self._lock:        # they may arrive yet
                self._events.extendleft(reversed(events[-(_KEPT - len(self._events)) :] if len(self._events) < _KEPT else []))
            return
        self._failures, self.failure, self._sent = 0, None, True

    def _failed(self, reason: str) -> None:
        self._failures += 1
        self.failure = reason

    def _with_rate(self, event: Event) -> dict[str, Any]:
        """Progress with its rate in bytes a second since the last batch."""
        row = _row(event)
        task, done = str(event.data.get("task")), event.data.get("done")
        if isinstance(done, int):
            before, self._rate = self._rate, (task, event.time_s, done)
            if before is not None and before[0] == task and event.time_s > before[1] and done >= before[2]:
                row["rate"] = round((done - before[2]) / (event.time_s - before[1]))
        return row


def send_record(url: str, bundle: bytes, fetcher: Fetcher | None = None) -> str | None:
    """Send the record of a run that failed to the server of `url`; why that failed, None when it is there."""
    address = parse_url(url)
    target = parse_url(f"{address.scheme}://{address.authority}{RECORD_PATH}")
    try:
        reply = (fetcher or Client(TIMEOUT_S)).fetch("POST", target, {"Content-Type": "application/zip"}, bundle)
        with suppress(BpscriptError):
            reply.close()
    except BpscriptError as error:
        return error.message
    return None if reply.status in {200, 204} else f"the server answers {reply.status} {reply.reason}".rstrip()


def _row(event: Event) -> dict[str, Any]:
    return {"kind": event.kind, "time": round(event.time_s, 6), **event.data}


def run_id() -> str:
    """A text that tells this run from those before it on the same machine."""
    import os  # noqa: PLC0415 - only with --report

    return f"{os.getpid()}-{monotonic():.6f}"
