"""Running a script."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import UsageError
from ..base.events import Sink, ignore
from .disks import DiskLike, PathLike
from .machines import build_machine
from .options import Result, RunOptions
from .reporting import reporting
from .scripts import find_script, program_of

if TYPE_CHECKING:
    from ..machine.machine import Machine
    from ..machine.stage import Stage

_SHELL = "shell"        # the name of what has no script


def run(
    script: PathLike,
    *,
    disks: Sequence[DiskLike] = (),
    root: PathLike | None = None,
    variables: Mapping[str, str] | None = None,
    bootp: PathLike | bytes | None = None,
    keys: str | None = None,
    seed: str | None = None,
    events: Sink = ignore,
) -> Result:
    """Run a script file against disks, as `bpscript run` does.

    `disks` are image paths, `NewDisk(path, size)` or block devices; `root` is the folder that plays the server (default: the
    script's own), or the address of one (`tftp://host/dir`); `keys` are the key presses. Raises ScriptError when the script fails, UsageError when an argument is wrong.
    """
    result = execute(
        RunOptions(
            script=script, disks=disks, root=root, variables=variables or {}, bootp=bootp, keys=keys, seed=seed, events=events
        )
    )
    if result.error is not None:
        raise result.error
    return result


def execute(options: RunOptions, stage: "Stage | None" = None) -> Result:
    """Run a script; a script error is part of the result. `stage` puts layers between the run and the world. Raises UsageError for wrong options."""
    from ..commands import COMMANDS  # noqa: PLC0415 - not needed to open a disk
    from ..interpreter.session import run_script  # noqa: PLC0415
    from ..machine.stage import Stage  # noqa: PLC0415

    stage = stage or Stage()
    script = find_script(Path(options.script)) if options.script else Path(_SHELL)
    program = options.program or program_of(script)
    variables = {**_bootp_variables(options), **options.variables}
    pieces: list[str] = []      # of a log that nobody else takes
    with ExitStack() as stack:
        log = options.log or pieces.append
        report = stack.enter_context(reporting(options, script, variables, log))
        machine = build_machine(options._replace(events=stage.events(report.events)), program, script, stack, stage)
        _show_disks(machine, options.events, log)
        stage.ready(machine, script, variables)
        ended = run_script(machine, COMMANDS, script if options.script else None, variables, options.switches, log)
        stage.ended(machine, ended.variables, ended.booted, ended.error)
        report.state = "failed" if ended.error is not None else "booted" if ended.booted is not None else "done"
    return Result("".join(pieces), ended.variables, ended.booted, ended.error)


def _show_disks(machine: "Machine", events: Sink, log: Callable[[str], None]) -> None:
    """Which disk has which number, where it can be mistaken: of several disks, and of a real one."""
    if len(machine.disks) < 2 and not any(disk.is_real for disk in machine.disks):
        return
    from ..base.events import Event, Kind  # noqa: PLC0415 - one image file is the usual case
    from ..base.units import format_size  # noqa: PLC0415

    for disk in machine.disks:
        text = f"disk {disk.number}: {disk.name}, {format_size(disk.device.size)}"
        log(f"[note] {text}\r\n")
        events(Event(Kind.NOTE, {"text": text}))


def _bootp_variables(options: RunOptions) -> dict[str, str]:
    if options.bootp is None:
        if options.mac is not None:
            raise UsageError("--mac needs --bootp")
        return {}
    from ..network.dhcp.replies import read_reply  # noqa: PLC0415 - only with --bootp

    bootp = options.bootp if isinstance(options.bootp, bytes) else Path(options.bootp)
    return dict(read_reply(bootp, options.mac))
