"""Reports of a run: in batches, without ever holding it up."""

import json
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from bpscript.base.errors import NetworkError, UsageError
from bpscript.base.events import Event, Kind
from bpscript.network.http.client import BrokenError
from bpscript.network.http.report import Reporter
from bpscript.network.http.urls import Url
from tests.network.http.serving import TableReply


class Collecting:
    """A server that keeps what is reported; `error` is raised instead while it is set, `status` is answered."""

    def __init__(self, error: NetworkError | None = None, status: int = 204) -> None:
        self.batches: list[dict[str, Any]] = []
        self.urls: list[str] = []
        self.error = error
        self.status = status
        self.asked = 0

    def fetch(self, method: str, url: Url, fields: Mapping[str, str], body: bytes | None = None) -> TableReply:
        self.asked += 1
        if self.error is not None:
            raise self.error
        assert (method, fields["Content-Type"]) == ("POST", "application/json")
        self.urls.append(str(url))
        self.batches.append(json.loads(body or b""))
        return TableReply(self.status, {}, b"", url)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for batch in self.batches for event in batch["events"]]


def progress(done: int, when: float) -> Event:
    return Event(Kind.PROGRESS, {"task": "restore", "done": done, "total": 100}, when)


def test_the_last_batch_has_the_end() -> None:
    server = Collecting()
    reporter = Reporter("http://h", {"script": "a.bpb", "run": "1"}, server, interval_s=60)
    reporter(Event(Kind.ERROR, {"text": "it is full", "file": "a.bpb", "line": 1, "column": 1}))
    reporter(Event(Kind.LOG, {"text": "a lot of text"}))
    reporter(Event(Kind.FILE_WRITTEN, {"path": "x", "size": 1}))
    reporter.end("failed")
    assert server.urls[-1] == "http://h/api/report"
    assert (server.batches[-1]["script"], server.batches[-1]["state"]) == ("a.bpb", "failed")
    assert [event["kind"] for event in server.events] == ["error"]
    assert reporter.failure is None


def test_only_the_newest_command_and_progress_are_told_with_the_rate() -> None:
    server = Collecting()
    reporter = Reporter("http://h/other/place", {}, server, interval_s=0.05)
    for number in range(100):
        reporter(Event(Kind.COMMAND_STARTED, {"name": f"C{number}", "file": "a", "line": number}))
    reporter(progress(10, 1.0))
    deadline = time.monotonic() + 5
    while len(server.events) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    reporter(progress(50, 3.0))
    reporter.end("done")
    assert server.urls[0] == "http://h/other/place"
    assert [event["name"] for event in server.events if event["kind"] == "command-started"][-1] == "C99"
    assert [event.get("rate") for event in server.events if event["kind"] == "progress"] == [None, 20]
    assert len(server.events) <= 5


def test_a_dead_server_costs_nothing_and_is_asked_no_more() -> None:
    server = Collecting(BrokenError("nobody listens"))
    reporter = Reporter("http://h", {}, server, interval_s=0.001)
    deadline = time.monotonic() + 5
    while server.asked < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    for number in range(2000):
        reporter(Event(Kind.NOTE, {"text": str(number)}))
    time.sleep(0.05)
    assert server.asked == 5
    assert len(reporter._events) == 300
    server.error = None
    reporter.end("done")
    assert server.events[-1]["text"] == "1999"
    assert reporter.failure is None


def test_what_a_server_that_is_none_answers_is_told() -> None:
    reporter = Reporter("http://h", {}, Collecting(status=404), interval_s=60)
    reporter.end("done")
    assert reporter.failure == "http://h/api/report: the server answers 404 Reason"


def test_a_wrong_address_is_refused_at_once() -> None:
    before = threading.active_count()
    with pytest.raises(UsageError, match="expected an address"):
        Reporter("ftp://h", {})
    assert threading.active_count() == before
