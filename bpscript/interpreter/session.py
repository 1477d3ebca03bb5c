"""A whole run: a script file, its switches and variables, from the first line to the outcome."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..base.errors import ScriptError, UsageError
from ..language.declare import CommandSet
from ..language.names import is_variable_name
from ..language.source import Source
from ..machine.machine import Machine
from .frames import FileFrame, PromptFrame
from .run import Run


@dataclass(frozen=True, slots=True)
class Ending:
    """What is left of a run: all variables, the text of the `[boot]` line if it booted, the error if one stopped it."""

    variables: dict[str, str] = field(default_factory=dict)
    booted: str | None = None
    error: ScriptError | None = None


def run_script(  # noqa: PLR0917 - what a run is made of
    machine: Machine,
    commands: CommandSet,
    script: Path | None,
    variables: Mapping[str, str],
    switches: str,
    log: Callable[[str], None],
) -> Ending:
    """Run a script file on a machine; without one, what is typed at the prompt.

    `switches` are letters of language.md 1.3; `variables` are set before the first line and win over switches. Raises UsageError
    when the script cannot be read or a variable has a bad name.
    """
    run = Run(machine, commands, log, "shell" if script is None else script.stem)
    for letter, name, value in (("x", "ExtMemory", "OFF"), ("l", "IsoLatin", "OFF"), ("v", "VESA", "OFF")):
        if letter in switches.lower():
            run.variables.define(name, value)
    for name, value in variables.items():
        if not is_variable_name(name):
            raise UsageError(f'"{name}" is no name of a variable: letters, digits, _, - and +, beginning with a letter or _')
        run.variables.define(name, value)
    if script is None:
        outcome = run.execute(PromptFrame())
        return Ending(dict(_clean(run)), outcome.ended_by, outcome.error)
    try:
        data = script.read_bytes()
    except OSError as error:
        raise UsageError(f"{script}: cannot be read: {error.strerror}") from error
    source = Source.parse(str(script), run.decode(data))
    outcome = run.execute(FileFrame(source, folder=str(script.parent)))
    if outcome.ended_by is None and outcome.error is None and "i" in switches.lower():
        outcome = run.execute(PromptFrame())
    return Ending(dict(_clean(run)), outcome.ended_by, outcome.error)


def _clean(run: Run) -> Mapping[str, str]:
    """All variables, in text that every file can hold."""
    return {name: value.encode("utf-8", "replace").decode() for name, value in run.variables.items()}
