"""Run a script on a machine in memory: no disk, no folder, keys and clock given."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bpscript.base.clock import Clock
from bpscript.base.errors import ScriptError
from bpscript.base.events import Sink, ignore
from bpscript.commands import COMMANDS
from bpscript.interpreter.frames import FileFrame, PromptFrame
from bpscript.interpreter.run import Run
from bpscript.language.source import Source
from bpscript.machine.disks import Disks
from bpscript.machine.files import Files
from bpscript.machine.machine import Machine
from bpscript.machine.settings import LateSettings
from bpscript.network.memory import MemorySource
from bpscript.screen.keyboard import Keyboard
from bpscript.screen.memory import MemoryScreen, ScriptedKeyboard


class NoTime(Clock):
    """A clock that stands still, and adds up what was slept."""

    def __init__(self) -> None:
        super().__init__(fixed_ns=915_194_096_000_000_000)
        self.slept = 0.0

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@dataclass
class Ran:
    """What is left of a run."""

    log: str
    variables: dict[str, str]
    error: ScriptError | None
    booted: str | None
    screen: MemoryScreen
    files: MemorySource
    clock: NoTime = field(default_factory=NoTime)


def run_script(
    script: str,
    *,
    keys: str = "",
    keyboard: Keyboard | None = None,
    files: Mapping[str, bytes] | None = None,
    variables: Mapping[str, str] | None = None,
    program: str = "MrBatch",
    prompt: bool = False,
    events: Sink = ignore,
    graphics: bool = False,
) -> Ran:
    """Run a script (or what is typed at a prompt) and look at what it left."""
    settings, clock, screen = LateSettings(), NoTime(), MemoryScreen(has_graphics=graphics)
    disks, source = Disks([]), MemorySource(files or {})
    machine = Machine(
        program, disks, Files(disks, source, source, program, settings), screen, keyboard or ScriptedKeyboard(keys), settings, clock,
        events=events,
    )  # fmt: skip
    pieces: list[str] = []
    run = Run(machine, COMMANDS, pieces.append, "case")
    for name, value in (variables or {}).items():
        run.variables.define(name, value)
    outcome = run.execute(PromptFrame() if prompt else FileFrame(Source.parse("case.bpb", script)))
    return Ran("".join(pieces), dict(run.variables.items()), outcome.error, outcome.ended_by, screen, source, clock)
