"""What can go wrong, and who has to mend it.

    BpscriptError
     ├── UsageError        the command line is wrong (exit status 2)
     ├── ScriptError       the script is wrong, or something it asked for failed (it carries file, line and column)
     ├── FormatError       bytes on a disk or in a file are not what their format says
     ├── StorageError      an operation on a disk, volume or file source cannot be done
     │    ├── NotFoundError         no such file, directory, partition or disk
     │    ├── InTheWayError         something of that name is in the way
     │    ├── NoSpaceError          it does not fit
     │    └── ReadOnlyError         writing is not allowed here
     └── NetworkError      the peer answered wrongly, or not at all

Everything else that is raised is a mistake of ours and keeps its traceback.

A message is one sentence: what, where, found, expected. A hint, if there is one, says what to do.
"""


class BpscriptError(Exception):
    """Base of every error that is not a mistake of ours."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UsageError(BpscriptError):
    """The command line, or a file named on it, is wrong."""


class FormatError(BpscriptError):
    """Bytes from outside do not follow their format."""


class StorageError(BpscriptError):
    """A disk, volume or file source cannot do what was asked."""


class NotFoundError(StorageError):
    """No such file, directory, partition or disk."""


class InTheWayError(StorageError):
    """Something of that name exists already, and is of another kind."""


class NoSpaceError(StorageError):
    """It does not fit."""


class ReadOnlyError(StorageError):
    """Writing is not allowed here."""


class NetworkError(BpscriptError):
    """The peer answered wrongly, or not at all."""


class ScriptError(BpscriptError):
    """A script cannot go on; says where, in the line as it was written.

    `file` is the name as given on the command line or in `Include`; `line` and `column` count from 1, in characters;
    `width` is how many characters the caret underlines; `source` is the line as written.
    """

    def __init__(  # noqa: PLR0917 - the five coordinates of a place
        self, message: str, file: str, line: int, column: int, source: str = "", width: int = 1, *, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.file = file
        self.line = line
        self.column = column
        self.source = source
        self.width = width

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: error: {self.message}"

    def explain(self) -> str:
        """The whole report: message, line, caret and hint."""
        lines = [str(self), *caret_lines(self.source, self.column, self.width)]
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


def caret_lines(source: str, column: int, width: int) -> list[str]:
    """A line of a script, and a caret under `width` characters from `column` on; nothing for an empty line."""
    if not source:
        return []
    # A tab before the column is kept, so that the caret stands under the character whatever a tab is worth.
    indent = "".join(c if c == "\t" else " " for c in source[: column - 1])
    # One for one, so that the caret still fits; a terminal must not obey what stands in a script.
    shown = "".join(c if c == "\t" or c.isprintable() else "\ufffd" for c in source)
    return [f"  {shown}", f"  {indent}{'^' * max(1, width)}"]
