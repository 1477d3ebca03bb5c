"""How long a check takes: 50 ms for 1,000 lines (python -m tests.benchmarks.checking prints what it really is)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bpscript.api import check
from bpscript.language.check import checker
from tests.benchmarks.checking import LINES, dense, measure, usual

_WITHIN_MS = 50
_BUSY = 2.0     # a machine that does other things meanwhile; a checker that takes twice as long is still noticed


@pytest.mark.parametrize("make", [usual, dense])
def test_a_thousand_lines_are_checked_at_once(make: Callable[[], bytes], tmp_path: Path) -> None:
    path = tmp_path / "long.bpb"
    path.write_bytes(make())
    assert path.read_bytes().count(b"\n") >= LINES - 2
    check(path)     # loads everything
    best = min(measure(lambda: check(path), 1, checker.forget) for _ in range(9))
    assert best < _WITHIN_MS * _BUSY, f"{best:.0f} ms of CPU"
