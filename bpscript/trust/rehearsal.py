"""The stage of a plan: a run that changes nothing.

    disk       Tally(ScratchOverlay(Reads(disk, opened for reading only), sparse temporary file))
    server     a folder keeps its files, changes go to a shadow; a server is read as in a run
    keys       those of `--keys`; the user is not asked
    time       waits end at once; the script sees the time go by

It works on the very bytes of the disk, also of a real one that may not be written to (`-w`).
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..api import check_new_size, open_to_read
from ..base.clock import Clock
from ..base.errors import StorageError
from ..base.events import Event, Kind, Sink
from ..base.sources import FileSource
from ..base.temporary import temporary_folder
from ..blocks.blank import BlankDevice
from ..blocks.device import BlockDevice
from ..blocks.file import FileDevice
from ..blocks.scratch import ScratchOverlay
from ..blocks.tally import ReadsDevice, TallyDevice
from ..machine.disk import Disk
from ..machine.disks import Disks
from ..machine.stage import Opener, Stage
from ..network.folder import FolderSource
from ..network.roots import NetworkRoot
from ..network.trial import TrialFolder, WatchedRoot
from ..screen.keyboard import Keyboard
from .watching import Spot, Watch, WatchedKeyboard

if TYPE_CHECKING:
    from ..machine.machine import Machine

LONGEST_WAIT_S = 86_400.0       # a day; then the script waits for something that will not come


class Stack(NamedTuple):
    """The layers of one disk; `is_new` for an image that a run would make."""

    path: Path | None
    is_new: bool
    below: ReadsDevice
    top: TallyDevice


class PlanClock(Clock):
    """Waits take no time; a clock that is not frozen is put forward by them."""

    def __init__(self, fixed_ns: int | None = None) -> None:
        super().__init__(fixed_ns)
        self.waited = 0.0

    def begin_at(self, now_ns: int) -> None:
        """It is that time now, and goes on from there."""
        self._offset_ns += now_ns - self.now_ns()

    def sleep(self, seconds: float) -> None:
        """Let time pass. Raises StorageError after a day of it."""
        self.waited += seconds
        if self.waited > LONGEST_WAIT_S:
            raise StorageError("the script has waited for a day: the plan ends here")
        if self.fixed_ns is None:
            self._offset_ns += int(seconds * 1_000_000_000)


class Rehearsal(Stage):
    """A run on layers that are thrown away. `finish` is called at its end, while everything is open."""

    def __init__(self, finish: "Callable[[Rehearsal, Machine, Exception | None, str | None], None]") -> None:
        self.watch = Watch()
        self.stacks: list[Stack] = []
        self.folders: list[TrialFolder] = []
        self.is_network = False
        self.written_by: dict[Spot, int] = {}       # bytes
        self.time = PlanClock()
        self.variables: dict[str, str] = {}
        self._finish = finish
        self._counted = 0
        self._shadow: Path | None = None

    def clock(self, clock: Clock) -> Clock:
        """One that does not wait."""
        self.time.fixed_ns = clock.fixed_ns
        return self.time

    def events(self, sink: Sink) -> Sink:
        """Bytes written are booked on the command that wrote them."""

        def counted(event: Event) -> None:
            if event.kind is Kind.COMMAND_FINISHED:
                self._book()
            sink(event)

        return self.watch.events(counted)

    def disk(self, number: int, path: Path | None, size: int | None, opener: Opener, stack: ExitStack) -> BlockDevice:
        """The disk for reading, and layers over it."""
        real: BlockDevice
        is_new = path is not None and size is not None and not path.exists()
        if path is None:
            real = opener()
        elif is_new:
            real = BlankDevice(size or 0)
        else:
            real = open_to_read(path, stack)
            if size is not None:
                check_new_size(path, real.size, size)
        upper = stack.enter_context(FileDevice.create(self._folder(stack) / f"disk{number}", real.size))
        below = ReadsDevice(real)
        top = TallyDevice(ScratchOverlay(below, upper), real=real)
        self.stacks.append(Stack(path, is_new, below, top))
        return top

    def source(self, source: FileSource, stack: ExitStack) -> FileSource:
        """The server: a folder is shadowed, a real one is read."""
        if isinstance(source, NetworkRoot):
            self.is_network = True
            return WatchedRoot(source, self.watch)
        assert isinstance(source, FolderSource)
        return self._shadowed(source, stack)

    def host(self, source: FileSource, stack: ExitStack) -> FileSource:
        """The operating system, shadowed."""
        assert isinstance(source, FolderSource)
        return self._shadowed(source, stack)

    def keyboard(self, keyboard: Keyboard) -> Keyboard:
        """Who asks is noted."""
        return WatchedKeyboard(keyboard, self.watch.asks)

    def ready(self, machine: "Machine", script: Path, variables: Mapping[str, str]) -> None:
        """Temporary files go to the shadow."""
        self.variables = dict(variables)
        if self._shadow is not None:
            machine.temp_folder = self._shadow

    def ended(self, machine: "Machine", variables: Mapping[str, str], booted: str | None, error: Exception | None) -> None:
        """Look at what is different."""
        self._book()
        self._finish(self, machine, error, booted)

    def former(self, machine: "Machine") -> Disks:
        """The disks as they are."""
        return Disks([
            Disk(number, each.below, machine.disks[number].name, machine.settings, machine.clock) for number, each in enumerate(self.stacks)
        ])

    def _shadowed(self, source: FolderSource, stack: ExitStack) -> TrialFolder:
        folder = self._folder(stack) / f"folder{len(self.folders)}"
        folder.mkdir()
        self.folders.append(TrialFolder(source, folder, self.watch))
        return self.folders[-1]

    def _folder(self, stack: ExitStack) -> Path:
        if self._shadow is None:
            self._shadow = Path(stack.enter_context(temporary_folder()))
        return self._shadow

    def _book(self) -> None:
        written = sum(each.top.written for each in self.stacks)
        if written != self._counted:
            self.written_by[self.watch.spot] = self.written_by.get(self.watch.spot, 0) + written - self._counted
            self._counted = written
