"""What a target of fuzzing is."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from bpscript.base.errors import BpscriptError

DATA = Path(__file__).parents[1] / "data"
MOST = 400         # files, chunks, entries, packets that are looked at


class Target(NamedTuple):
    """A parser: its name, what does the work, and inputs to begin with. `expected` are errors beside ours that it may raise, `largest` are the bytes of an input."""

    name: str
    run: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]
    expected: tuple[type[Exception], ...] = ()
    largest: int = 4096

    def check(self, data: bytes) -> None:
        """Try one input; what is no answer comes out as an exception."""
        try:
            self.run(data)
        except BpscriptError:
            return
        except Exception as error:
            if not isinstance(error, self.expected):
                raise
