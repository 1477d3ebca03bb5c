import io

import pytest

from bpscript.base.events import Event, Kind
from bpscript.cli.progress import ProgressBar, line


def test_the_line_shows_task_share_rate_and_time_left() -> None:
    shown = line("FullUnzip linux.imz", 512 << 20, 1 << 30, 2.0, 100)
    assert shown == "FullUnzip linux.imz [############............] 50 % 512 MB  256 MB/s  0:02 left"


def test_an_unknown_total_shows_no_bar() -> None:
    assert line("unpacking", 10 << 20, 0, 2.0, 79) == "unpacking 10 MB  5 MB/s"


@pytest.mark.parametrize("width", [40, 60, 79, 120])
def test_the_line_never_exceeds_the_terminal(width: int) -> None:
    assert len(line("a very long name of a task " * 5, 1 << 40, 1 << 41, 3.0, max(width, 75))) <= max(width, 75)


def test_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    bar = ProgressBar()
    bar(Event(Kind.PROGRESS, {"task": "t", "done": 0, "total": 10}))
    bar(Event(Kind.PROGRESS, {"task": "t", "done": 10, "total": 10}))
    assert screen.getvalue() == ""


def test_long_work_is_shown_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    now = iter([0.0, 1.0])
    monkeypatch.setattr("bpscript.cli.progress.monotonic", lambda: next(now))
    bar = ProgressBar(80)
    bar(Event(Kind.PROGRESS, {"task": "t", "done": 0, "total": 10}))
    bar(Event(Kind.PROGRESS, {"task": "t", "done": 5, "total": 10}))
    assert "50 %" in screen.getvalue()
    bar(Event(Kind.LOG, {"text": "x"}))
    assert screen.getvalue().endswith("\r" + " " * 80 + "\r")
