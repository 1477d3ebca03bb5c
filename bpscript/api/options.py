"""How to run a script, and what came of it."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from ..base.clock import Clock
from ..base.errors import ScriptError
from ..base.events import Sink, ignore
from .disks import DiskLike, PathLike

if TYPE_CHECKING:
    from ..machine.boot import Boot
    from ..screen.keyboard import Keyboard
    from ..screen.line_editor import LineEditor
    from ..screen.screen import Screen


class RunOptions(NamedTuple):
    """How to run a script; the fields are the options of `bpscript run` (see the manual).

    Without a script there is only what is typed at the prompt. `keyboard` is used when `keys` is None; `editor` edits lines at a prompt; `variables` win over what the BOOTP reply says. `report` is the address of a server that
    shows what happens; when it does not answer, that is a warning. `log` is called with every piece
    of log text as it is written (the result then has none), `events` with every event. `boot` and `clock` are the machine's own
    in the boot environment, where `boot.leave()` is called afterwards.
    """

    script: PathLike = ""
    disks: Sequence[DiskLike] = ()
    root: PathLike | None = None
    variables: Mapping[str, str] = MappingProxyType({})
    bootp: PathLike | bytes | None = None
    mac: str | None = None
    keys: str | None = None
    keyboard: "Keyboard | None" = None
    editor: "LineEditor | None" = None
    screen: "Screen | None" = None      # default: none, and no graphics; who opened it closes it
    switches: str = ""                  # letters of language.md 1.3, for example "xl"
    write_real_disks: bool = False
    seed: str | None = None
    report: str | None = None
    program: str | None = None          # default: MrZip for *.mrz, else MrBatch
    log: Callable[[str], None] | None = None
    events: Sink = ignore
    boot: "Boot | None" = None
    clock: Clock | None = None
    pauses_log: bool = False            # as on a workstation: see $PauseLog


class Result(NamedTuple):
    """What a script did: its log, the variables at the end, the `[boot]` text if it booted, the error if one stopped it."""

    log: str
    variables: dict[str, str]
    booted: str | None
    error: ScriptError | None
