"""Along all ways through a file, with what is known on each of them (state.py).

Only labels are places where ways meet: a file is walked from its first line and from every label that is reached, up to the next label. Where a
way arrives that knows less, that stretch is walked again, and what was found there before is dropped. Stretches are taken in the order of
the lines, so most of them are walked once.

    Goto                  continues at the label with the state it has
    If, WaitForKey        both ways: with the command behind them and without
    OnKey, OnExit         the command runs some time later, when anything may have happened
    Include               the other file is walked by itself, and its effect is added
    Eval                  a text that is known is a line; one that is not may do anything
"""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush

from ..names import did_you_mean, fold
from ..places import PlacedError
from ..source import Line, LineKind, label_key, make_line
from ..syntax import Node, Word
from .findings import Finding
from .program import Program, ScriptFile, eval_text
from .reading import Command, Problem, Reading, Used
from .state import State
from .step import Rules, Step

END = -1            # the end of the file, as a line
_WAITS = frozenset({"Delay", "WaitForKey", "GetKey", "Input", "GetPasswd", "Interact"})
_MOST_EVALS = 4     # Eval inside Eval


@dataclass(slots=True, eq=False)
class Summary:
    """What a file that was included does: the state at its end from an unknown beginning, the variables and disks it touches."""

    out: State | None
    sets: set[str]
    touches_disks: bool
    is_cycle: bool = False      # the file is being walked already: what it does is not known yet


class Walk:
    """One file."""

    def __init__(self, program: Program, rules: Rules, file: ScriptFile, include: Callable[[str, ScriptFile], Summary | None]) -> None:
        self.program = program
        self.file = file
        self.edges: dict[int, set[int]] = {}
        self.waits: set[int] = set()            # lines that wait, or may do anything
        self.leaves: set[int] = set()           # lines that may end the script, or leave the file for good
        self.exit_guards: dict[tuple[int, int], tuple[Command, ...]] = {}       # the tests on a way
        self.sets: dict[int, set[str]] = {}     # variables that a line may set
        self.has_handlers = False               # a key may lead out of any loop
        self.out: State | None = None
        self._rules = rules
        self._include = include
        self._heads: dict[int, State] = {}
        self._pending: list[int] = []
        self._found: dict[int, dict[tuple[int, str, int], Finding]] = {0: {}}      # by the first line of the stretch
        self._stretch = 0
        self._labels = file.source.labels
        self._targets = frozenset(self._labels.values())
        self.reached: set[int] = set()

    # The walk -------------------------------------------------------------------------------------------------------------

    def run(self, entry: State) -> None:
        """Along all ways."""
        self._arrive(0, entry)
        while self._pending:
            self._stretch = index = heappop(self._pending)
            self._found[index] = {}
            self._trace(index, self._heads[index].copy())
        self._stretch = 0

    @property
    def findings(self) -> list[Finding]:
        """All that was found."""
        return [finding for found in self._found.values() for finding in found.values()]

    def _arrive(self, index: int, state: State) -> None:
        known = self._heads.get(index)
        if known is None:
            self._heads[index] = state.copy()
        elif not known.join(state):
            return
        if index not in self._pending:
            heappush(self._pending, index)

    def _trace(self, index: int, state: State) -> None:
        lines, readings = self.file.source.lines, self.file.readings
        first = index
        while index < len(lines):
            line = lines[index]
            if line.kind is LineKind.LABEL and index != first and index in self._targets:
                self._arrive(index, state)
                return
            self.reached.add(index)
            if line.kind is LineKind.COMMAND and not self._line(index, line, readings[index], state):
                return
            self.edges.setdefault(index, set()).add(index + 1 if index + 1 < len(lines) else END)
            index += 1
        if self.out is None:
            self.out = state.copy()
        else:
            self.out.join(state)

    def _line(self, index: int, line: Line, reading: Reading, state: State) -> bool:
        """One line; False when the next line does not follow."""
        for problem in reading.problems:
            self.problem(index, problem)
        for name in reading.meant:
            state.maybe |= self.program.bits_of({fold(name)})
            state.know(fold(name), None)
        if reading.is_opaque and not reading.commands:
            self._anything(index, state)
            return True
        if not reading.commands:
            return True
        if reading.used:
            self._look_at_variables(index, reading, state)
        return self._commands(index, reading.commands, reading.used, state)

    def _look_at_variables(self, index: int, reading: Reading, state: State) -> None:
        step = Step(self, index, reading.commands[0], reading.used, state, False, ())
        for rule in self._rules.checks.get("$", ()):
            rule(step)

    def _commands(
        self, index: int, commands: tuple[Command, ...], used: tuple[Used, ...], state: State, *, outer: Step | None = None, depth: int = 0
    ) -> bool:
        """The commands of a line, from the outer to the inner one; False when the next line does not follow."""
        conditional, guards = (False, ()) if outer is None else (outer.conditional, outer.guards)
        at, sampled, later = (None, False, False) if outer is None else (outer.at, outer.sampled, outer.later)
        before: State | None = None
        goes_on = True
        for number, command in enumerate(commands, start=1):
            step = Step(self, index, command, used, state, conditional, guards, at, sampled, later)
            name = command.name
            self._apply(step)
            if name in _WAITS:
                self.waits.add(index)
                if name == "Interact":
                    state.forget()      # anything may be typed
            if name in {"If", "WaitForKey"}:
                if before is None:
                    before = state.copy()
                conditional, guards = True, (*guards, command)
            elif name in {"OnKey", "OnExit"}:
                if before is None:
                    before = state.copy()
                state.become(State.unknown(state.secret))
                later = True
                self.has_handlers |= name == "OnKey" and len(commands) > 1
                goes_on = False
                handler = commands[number:]
                if handler:
                    inner = Step(self, index, command, used, state, True, guards, at, sampled, True)
                    self._commands(index, handler, used, state, outer=inner, depth=depth)
                break
            elif name == "Goto":
                goes_on = self._jump(step)
                break
            elif name == "Eval":
                goes_on = self._eval(step, depth)
                break
            elif name == "Include":
                self._included(step)
                break
            elif command.declaration.ends_script:
                goes_on = self.program.continues     # it may fail
                if not later:
                    self.leaves.add(index)
                break
        if before is None:
            return goes_on
        if goes_on:
            before.join(state)
        state.become(before)
        return True

    def _apply(self, step: Step) -> None:
        """Let the rules look at a command, then let it change the state."""
        name = step.command.name
        for rule in self._rules.of(step.command.declaration):
            rule(step)
        for rule in self._rules.effects.get(name, ()):
            rule(step)
        if name == "Set" or not self._rules.sets(step.command.declaration):
            return
        for match in step.command.arguments:
            if match.parameter.type.sets_variable and match.nodes:
                self.assign(step, match.nodes[0], None, secret=name == "GetPasswd")

    def assign(self, step: Step, node: Node, value: str | None, secret: bool = False) -> None:
        """A variable gets a value, None for an unknown one."""
        if not isinstance(node, Word):
            return
        state, program = step.state, self.program
        if step.command.is_open(node):
            keys = {key for key in program.defined if any(key.startswith(a) and key.endswith(b) for a, b in program.patterns)}
            for key in keys:
                state.know(key, None)
        else:
            key = fold(node.text)
            keys = {key}
            state.know(key, None if key in program.volatile else value)
        bits = program.bits_of(keys)
        state.maybe |= bits
        if secret:
            state.secret |= bits
        elif not step.command.is_open(node):
            state.secret &= ~bits
        self.sets.setdefault(step.index, set()).update(keys)

    # Ways -----------------------------------------------------------------------------------------------------------------

    def _edge(self, step: Step, target: int) -> None:
        if not step.later:
            self.edges.setdefault(step.index, set()).add(target)
            self.exit_guards[step.index, target] = step.guards

    def _anything(self, index: int, state: State) -> None:
        """A command that is not known: it may set, write and jump as it likes."""
        state.forget()
        self.waits.add(index)
        self.leaves.add(index)
        for target in self._labels.values():
            self._arrive(target, state)

    def _jump(self, step: Step) -> bool:
        """A Goto; False when it always jumps."""
        node = step.command.argument("label")
        assert node is not None
        value = step.value(node)
        targets: list[int] = []
        if isinstance(value, str) and not step.sampled:
            label = label_of(value)
            target = self._labels.get(label_key(label))
            if target is None:
                known = [self.file.source.lines[each].text[1:].strip() for each in self._labels.values()]
                step.report("BP201", node, f'there is no label "{label[:60]}" in this file', did_you_mean(label, known))
                return step.conditional
            targets = [target]
        else:
            start, end = _around(step, node)
            targets = [index for key, index in self._labels.items() if key.startswith(start) and key.endswith(end)]
            if not targets and not step.sampled:
                step.report("BP201", node, f'there is no label that begins with "{start}"' if start else "this file has no label")
        for target in targets:
            self._arrive(target, step.state)
            self._edge(step, target)
        return False

    def _eval(self, step: Step, depth: int) -> bool:
        """A text that is run as a line; False when the next line does not follow."""
        node = step.command.arguments[0].nodes[0]
        found = eval_text(step.command, node, lambda part: step.text_of(step.used[part]))
        if found is None or depth >= _MOST_EVALS:
            if not step.later:
                self._anything(step.index, step.state)
            return True
        text, known = found
        line = make_line(1, text)
        if line.kind is not LineKind.COMMAND or not line.text:
            return True
        reader = self.program.reader
        reading = reader.read(line.text, tuple(map(self.program.choice, reader.macros(line.text))))
        place = step.at or step.place(node)
        if known and not step.sampled:
            for problem in reading.problems:
                self.report(step.index, problem.code, place.column, place.width, f"in the text of Eval: {problem.message}", problem.hint)
        if reading.is_opaque and not step.later:
            self._anything(step.index, step.state)
            return True
        inner = Step(
            self, step.index, step.command, reading.used, step.state, step.conditional, step.guards, place, not known or step.sampled, step.later
        )
        if reading.commands and not inner.sampled:
            inner.command = reading.commands[0]
            for rule in self._rules.checks.get("$", ()):
                rule(inner)
        return self._commands(step.index, reading.commands, reading.used, step.state, outer=inner, depth=depth + 1)

    def _included(self, step: Step) -> None:
        """Another file: its effect is added."""
        node = step.command.arguments[0].nodes[0]
        try:
            name = step.value(node)
        except PlacedError:
            name = None
        summary = self._include(name, self.file) if isinstance(name, str) else None
        state = step.state
        self.leaves.add(step.index)
        if summary is not None and summary.is_cycle:
            step.report("BP206", node, f'"{name}" includes itself, perhaps by way of another file')
        if summary is None or summary.is_cycle:
            state.forget()
            self.waits.add(step.index)
            return
        self.sets.setdefault(step.index, set()).update(summary.sets)
        for key in summary.sets:
            state.know(key, None)
        out = summary.out
        if out is not None:
            state.values = {**state.values, **{key: value for key, value in out.values.items() if key not in self.program.volatile}}
        state.maybe |= self.program.bits_of(summary.sets)
        if summary.touches_disks:
            state.tables = {} if out is None else out.tables
        if out is not None and out.network_gone:
            state.network_gone = True
        state.has_source = state.has_dest = state.has_filter = True

    def visit(self, name: str) -> None:
        """Look at a file that may run at the end of this one."""
        self._include(name, self.file)

    # Findings -------------------------------------------------------------------------------------------------------------

    def report(  # noqa: PLR0917 - a place has three coordinates
        self, index: int, code: str, column: int, width: int, message: str, hint: str | None = None
    ) -> None:
        """A finding; the column counts in the line without blanks around it."""
        line = self.file.source.lines[index]
        found = self._found[self._stretch]
        if (index, code, column) in found:
            return
        place = line.number, column + line.column - 1, width
        found[index, code, column] = Finding(self.file.source.name, *place, code, " ".join(message.split()), hint, line.written)

    def problem(self, index: int, problem: Problem) -> None:
        """What is wrong with a line by itself."""
        self.report(index, problem.code, problem.column, problem.width, problem.message, problem.hint)


def label_of(text: str) -> str:
    """A label as Goto takes it: without quotes and colon."""
    text = text.strip(" \t")
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip(" \t")
    return text.removeprefix(":").strip(" \t")


def _around(step: Step, node: Node) -> tuple[str, str]:
    """What was typed in front of the first macro of a label, and behind the last one."""
    text = step.command.text
    inside = [each for each in text.segments if each.width and node.start <= each.offset <= node.end]
    if not inside:
        return "", ""
    start = text.text[node.start : inside[0].offset]
    after = [each for each in text.segments if each.offset > inside[-1].offset]
    end = text.text[after[0].offset : node.end] if after else ""
    quoted = start.startswith('"')
    return label_key(start.lstrip('" \t').removeprefix(":")) if start.strip('": \t') else "", label_key(end.rstrip('"') if quoted else end)
