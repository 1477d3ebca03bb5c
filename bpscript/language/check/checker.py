"""The checker: a script and what it includes, from bytes to a report."""

from pathlib import Path

from ..declare import CommandSet
from ..names import fold
from . import captures, disks, files, loops, secrets, variables
from .findings import Finding, Report, ignored, wrong_ignores
from .premises import Premises
from .program import Program, ScriptFile
from .reading import Reader
from .state import State
from .step import Rules
from .walk import Summary, Walk

_MOST_ROUNDS = 4        # names of included files that only become known on the way

_READERS: dict[tuple[int, str], Reader] = {}


def _reader(commands: CommandSet, program: str) -> Reader:
    """The reader of a program, which keeps what it has read: an editor checks the same script again and again."""
    key = id(commands), program
    if key not in _READERS:
        _READERS[key] = Reader(commands, program)
    return _READERS[key]


def forget() -> None:
    """Drop all lines that were read."""
    _READERS.clear()


def _rules() -> Rules:
    rules = Rules()
    for module in (variables, secrets, captures, disks, files):
        module.add_to(rules)
    return rules


_RULES = _rules()


def check_script(  # noqa: PLR0917 - what a check is made of
    name: str, data: bytes, commands: CommandSet, program: str, premises: Premises, path: Path | None = None
) -> Report:
    """Check a script; `name` is what findings call it, `path` where it lies (None: nowhere).

    Never an error: any bytes give a report.
    """
    checker = _Checker(commands, program, premises)
    return checker.run(name, data, path)


class _Checker:
    def __init__(self, commands: CommandSet, program: str, premises: Premises) -> None:
        self._program = Program(commands, program, premises, _reader(commands, program))
        self._summaries: dict[int, Summary | None] = {}
        self._walks: dict[int, Walk] = {}
        self._active: list[ScriptFile] = []

    def run(self, name: str, data: bytes, path: Path | None) -> Report:
        """The whole work."""
        program = self._program
        main = program.load(name, data, path, "" if path is None else str(path.parent))
        for _ in range(_MOST_ROUNDS):
            program.settle()
            known = len(program.files), len(program.defined)
            self._summaries.clear()
            self._walks.clear()
            entry = State(maybe=program.bits_of({fold(each) for each in program.premises.variables}))
            entry.values = {fold(each): value for each, value in program.premises.variables.items() if value is not None}
            self._active = [main]
            walk = self._walks[id(main)] = Walk(program, _RULES, main, self._include)
            walk.run(entry)
            if known == (len(program.files), len(program.defined)):
                break
        found: list[Finding] = []
        for file in program.files.values():
            each = self._walks.get(id(file))
            if each is None:
                continue
            loops.check(each)
            silent = ignored(file.source)
            found += sorted(
                (finding for finding in (*each.findings, *wrong_ignores(file.source)) if finding.code not in silent.get(finding.line, ())), key=lambda one: (one.line, one.column, one.code)
            )
        return Report(tuple(found), tuple(file.source.name for file in program.files.values()))

    def _include(self, name: str, caller: ScriptFile) -> Summary | None:
        """What including a file does."""
        file = self._program.include(name, caller)
        if file is None:
            return None
        if id(file) in self._summaries:
            return self._summaries[id(file)]
        if file in self._active:
            return Summary(None, set(), touches_disks=True, is_cycle=True)
        self._active.append(file)
        walk = self._walks[id(file)] = Walk(self._program, _RULES, file, self._include)
        walk.run(State.unknown())
        self._active.pop()
        sets = {key for line in walk.sets.values() for key in line}
        summary = Summary(walk.out, sets, touches_disks=_touches_disks(walk))
        self._summaries[id(file)] = summary
        return summary


def _touches_disks(walk: Walk) -> bool:
    """Whether a table may be another one afterwards."""
    return any(
        command.name in {"SetPartitions", "Include", "Eval", "Interact"} for reading in walk.file.readings for command in reading.commands
    )
