"""A command inside a line (`If ... command`, `OnKey "c" command`): text and values now, a statement when it runs."""

from typing import TYPE_CHECKING, Any, ClassVar

from ..language.arguments import CommandArgument
from ..language.expand import HOLE, fill
from ..language.places import Expanded, PlacedError

if TYPE_CHECKING:
    from ..language.evaluate import Values
    from ..language.source import Line
    from .prepare import Statement
    from .run import Run


class NestedSource:
    """Where the command stands. Its statement is made when it first runs: behind a test that fails nothing is parsed."""

    __slots__ = ("_statement", "_tried", "start", "text")

    def __init__(self, text: Expanded, start: int) -> None:
        self.text = text
        self.start = start
        self._statement: Statement | None = None
        self._tried = False

    def statement(self, run: "Run", values: "Values") -> "Statement":
        """The statement, the same every time where values bring no syntax. Raises PlacedError."""
        from .prepare import prepare  # noqa: PLC0415 - the two need each other

        if self._statement is not None:
            return self._statement
        if HOLE not in self.text.text:
            self._statement = prepare(self.text, self.start, run)
            return self._statement
        if not self._tried:
            self._tried = True
            try:
                self._statement = prepare(self.text, self.start, run)
            except PlacedError:
                pass    # a value stands where the shape needs to know it: prepare it with the values each time
            else:
                return self._statement
        filled, start = fill(self.text, self.start, values)
        return prepare(filled, start, run)


class NestedCommand:
    """A command that a command got as its argument: return it to run it, or keep it for later.

    `line` is the line it was written on.
    """

    ARGUMENT: ClassVar[CommandArgument] = CommandArgument()
    __slots__ = ("_source", "_values", "line")

    def __init__(self, source: NestedSource, values: "Values", line: "Line") -> None:
        self._source = source
        self._values = values
        self.line = line

    def check(self, run: "Run") -> None:
        """Raise PlacedError now if it is no proper command."""
        self._source.statement(run, self._values)

    def execute(self, run: "Run") -> Any:  # noqa: ANN401 - one of the results, see interpreter/results.py
        """Run it."""
        values = self._values
        statement = self._source.statement(run, values)
        return run.perform(statement, values)
