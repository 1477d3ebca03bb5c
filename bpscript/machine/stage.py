"""How a run meets the outside: the real thing, or with layers between (a plan, a record, a replay).

`api.execute` builds a machine from its options and asks the stage at every place where it touches something; the stage that does
nothing is a plain run.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.clock import Clock
from ..base.sources import FileSource
from ..blocks.device import BlockDevice
from ..screen.keyboard import Keyboard

if TYPE_CHECKING:
    from ..base.events import Sink
    from .machine import Machine

Opener = Callable[[], BlockDevice]


class Stage:
    """A plain run. Others override what they change."""

    watches = False     # whether `perform` and `decide` are called

    def clock(self, clock: Clock) -> Clock:
        """The clock of the run."""
        return clock

    def events(self, sink: "Sink") -> "Sink":
        """Where events go; `sink` is what the options say."""
        return sink

    def disk(self, number: int, path: Path | None, size: int | None, opener: Opener, stack: ExitStack) -> BlockDevice:
        """Disk `number`, to be opened for writing by `opener`: a path (to be made with `size` bytes if it is not there), or None for a device."""
        return opener()

    def source(self, source: FileSource, stack: ExitStack) -> FileSource:
        """The files of the server."""
        return source

    def host(self, source: FileSource, stack: ExitStack) -> FileSource:
        """The files of the operating system, for MrZip."""
        return source

    def keyboard(self, keyboard: Keyboard) -> Keyboard:
        """The keys."""
        return keyboard

    def ready(self, machine: "Machine", script: Path, variables: Mapping[str, str]) -> None:
        """Everything is open and locked; nothing has run."""

    def perform(self, name: str, file: str, line: int, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - what commands return
        """A command, where it stands."""
        return work()

    def decide(self, holds: bool) -> bool:
        """The answer of an `If`."""
        return holds

    def ended(self, machine: "Machine", variables: Mapping[str, str], booted: str | None, error: Exception | None) -> None:
        """The script is over; the disks are still open."""
