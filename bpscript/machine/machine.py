"""The machine a script runs on. Tests, the command line and the boot environment differ only in how they build it."""

from dataclasses import dataclass, field
from pathlib import Path

from ..base.clock import Clock
from ..base.entropy import Entropy
from ..base.events import Sink, ignore
from ..base.secrets import Secrets
from ..screen.keyboard import Keyboard
from ..screen.line_editor import LineEditor
from ..screen.screen import Screen
from .boot import Boot, LoggedBoot
from .disks import Disks
from .files import Files
from .job import Job
from .settings import LateSettings
from .stage import Stage

PROGRAMS = ("BpBatch", "MrBatch", "MrZip")


@dataclass
class Machine:
    """Everything a script can touch.

    `program` is the name of the running program (language.md 1.1); `temp_folder` is where temporary images go when
    `$TempPath` does not say otherwise; `settings` gets the script's variables when the run begins. `pauses_log`: a visible log waits
    for a key after each page, as `$PauseLog` says.
    `editor` edits what is typed at a prompt; without one it is read key by key. `program` is the name of the running program (language.md 1.1); `temp_folder` is where temporary images go when
    `$TempPath` does not say otherwise; `settings` gets the script's variables when the run begins.
    """

    program: str
    disks: Disks
    files: Files
    screen: Screen
    keyboard: Keyboard
    settings: LateSettings
    clock: Clock = field(default_factory=Clock)
    entropy: Entropy = field(default_factory=Entropy)
    events: Sink = ignore
    temp_folder: Path = field(default_factory=Path.cwd)
    boot: Boot = field(default_factory=LoggedBoot)
    job: Job = field(default_factory=Job)
    stage: Stage = field(default_factory=Stage)
    secrets: Secrets = field(default_factory=Secrets)
    pauses_log: bool = False
    editor: LineEditor | None = None

    def is_valid(self, disk: int, partition: int) -> bool:
        """What `If valid` tests; False when there is no such disk."""
        return 0 <= disk < len(self.disks) and self.disks[disk].is_valid(partition)
