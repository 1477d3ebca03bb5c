"""Lines of the log: one for a file, however many parts it came in."""

from time import mktime

import pytest

from bpscript.base.events import Event, Kind, Value
from bpscript.network.http.server import Served
from bpscript.server import transfers as module
from bpscript.server.lines import line_of, stamped
from bpscript.server.transfers import Transfers


def served(path: str, status: int = 206, sent: int = 1000, *, peer: str = "10.0.0.5", method: str = "GET", complete: bool = True) -> Served:
    return Served(peer, method, path.encode(), status, 0, sent, sent, 0.5, complete)


def test_parts_of_a_file_are_one_event() -> None:
    events: list[Event] = []
    transfers = Transfers(events.append)
    for second in range(5):
        transfers.add(served("/linux.imz"), 100.0 + second)
        transfers.add(served("/linux.imz", peer="10.0.0.6"), 100.0 + second)
        transfers.add(served("/linux.imz.001", 404, method="HEAD"), 100.0 + second)
    transfers.flush(105.0)
    assert events == []
    transfers.add(served("/other", 200, 7), 105.0)
    assert [(event.data["path"], event.data["size"], event.data["parts"], event.data["seconds"]) for event in events] == [
        ("/linux.imz", 5000, 5, 4.5), ("/other", 7, 1, 0.5),
    ]
    transfers.flush(108.0)
    assert [event.data["client"] for event in events] == ["10.0.0.5", "10.0.0.5", "10.0.0.6"]


def test_open_parts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OPEN", 3)
    events: list[Event] = []
    transfers = Transfers(events.append)
    for number in range(5):
        transfers.add(served("/x", peer=f"10.0.0.{number}"), 1.0)
    assert [event.data["client"] for event in events] == ["10.0.0.0", "10.0.0.1"]


@pytest.mark.parametrize(
    ("one", "line"),
    [
        pytest.param(served("/linux.imz", 200, 3 << 20), "http 10.0.0.5 GET /linux.imz 200 3 MB in 0.500 s (6 MB/s)", id="whole"),
        pytest.param(served("/x", 404, 20), "http 10.0.0.5 GET /x 404 20 B in 0.500 s (40 B/s)", id="missing"),
        pytest.param(served("/a\nb\x1b[0m\xff", 200, 0), "http 10.0.0.5 GET /a\ufffdb\ufffd[0mÿ 200", id="control-characters"),
        pytest.param(served("/x", 200, 10, complete=False), "http 10.0.0.5 GET /x 200 10 B in 0.500 s (20 B/s) the client went away", id="aborted"),
    ],
)
def test_lines_of_http(one: Served, line: str) -> None:
    events: list[Event] = []
    Transfers(events.append).add(one, 1.0)
    assert [line_of(event) for event in events] == [line]


def test_lines_of_others() -> None:
    tftp: dict[str, Value] = {"protocol": "tftp", "client": "10.0.0.5", "path": "a", "outcome": "refused", "text": "no file", "size": 0, "seconds": 0.0, "write": False}
    assert line_of(Event(Kind.TRANSFER, tftp)) == "tftp 10.0.0.5 read a refused (no file)"
    shared = tftp | {"outcome": "done", "text": "", "size": 3_000_000, "seconds": 2.0, "multicast": True}
    assert line_of(Event(Kind.TRANSFER, shared)) == "tftp 10.0.0.5 read a done 2.9 MB by multicast in 2.000 s (1.4 MB/s)"
    assert line_of(Event(Kind.LEASE, {"text": "pc5 gets 10.0.0.5"})) == "dhcp pc5 gets 10.0.0.5"
    assert line_of(Event(Kind.PROGRESS, {"task": "x", "done": 1, "total": 2})) is None
    assert stamped("a\nb", lambda: mktime((2026, 1, 2, 3, 4, 5, 0, 0, -1))) == "2026-01-02 03:04:05 a\ufffdb"
