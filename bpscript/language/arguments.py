"""What an argument type offers: which shapes it takes, how it is written in usage texts, and how it turns a value into what the
command wants. The plain ones are here (string, number, keyword, nested command, rest of the line); those that mean something
to commands are in `bpscript/commands/arguments.py`.

A command says the type of a parameter by an annotation: `str`, `int`, `str | int`, `Literal["a", "b"]`, a StrEnum, or
`Annotated[type, SomeArgument()]`, for which aliases are made: `FileName = Annotated[str, FileNameArgument()]`.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, ClassVar, NamedTuple, TypeVar

from .syntax import NUMERIC, TEXTUAL, VALUE_NODES, Node, Rest, Word


class SignedText(NamedTuple):
    """A sign, "+" or "-", and the string behind it."""

    sign: str
    text: str


class Condition(NamedTuple):
    """The test of an `If` with its operands computed: see syntax.Test. `left` is None for a disk that was left out."""

    negated: bool
    ignore_case: bool
    operator: str
    left: str | int | None
    right: str | int | None


Value = str | int | float | SignedText | Condition | tuple[int | str | None, ...]


class RefusedArgument(Exception):  # noqa: N818 - it is a verdict; the interpreter makes the error
    """A value is not what the argument takes; the interpreter adds the place."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class FileUse(Enum):
    """What a command does with a file that an argument names."""

    READS = "reads"         # it must exist
    WRITES = "writes"       # it is made or replaced
    OTHER = "other"         # a directory, or a file that may be missing


class ArgumentType:
    """Base of all argument types: a number or string that is passed on as it is."""

    expected: ClassVar[str] = "a value"
    shape: ClassVar[str | None] = None      # start rule of grammar/bpbatch.lark, where the line is no plain list of values
    count: ClassVar[int] = 1                # values that it takes; `convert` then gets a tuple
    sets_variable: ClassVar[bool] = False   # the argument names a variable that gets a value
    file_use: FileUse | None = None         # the argument names a file
    converts: ClassVar[bool] = False        # `convert` does something, and may refuse a value

    def __init_subclass__(cls) -> None:
        cls.converts = cls.convert is not ArgumentType.convert

    def accepts(self, node: Node) -> bool:
        """Whether an argument of this shape can be one."""
        return isinstance(node, VALUE_NODES)

    def convert(self, value: Value) -> object:
        """What the command gets. Raises RefusedArgument."""
        return value

    def usage(self, name: str) -> str:
        """How a usage text shows a parameter of this name."""
        return name

    @property
    def words(self) -> tuple[str, ...]:
        """The words that mean something here, as they are written: for completion, and for one spelling."""
        return ()


class StringArgument(ArgumentType):
    """A string in quotes."""

    expected = "a string"

    def accepts(self, node: Node) -> bool:
        """Only strings."""
        return isinstance(node, TEXTUAL)

    def usage(self, name: str) -> str:
        """In quotes."""
        return f'"{name}"'


class NumberArgument(ArgumentType):
    """A numeric expression."""

    expected = "a number"

    def accepts(self, node: Node) -> bool:
        """Only numbers."""
        return isinstance(node, NUMERIC)


class TextArgument(ArgumentType):
    """A string, or a numeric expression that stands for its decimal text."""

    expected = "a string or a number"

    def usage(self, name: str) -> str:
        """Both forms."""
        return f'"{name}" or expr'


class WordArgument(ArgumentType):
    """A bare word."""

    expected = "a word"

    def accepts(self, node: Node) -> bool:
        """Only words."""
        return isinstance(node, Word)


class KeywordArgument(WordArgument):
    """One of a few words, in any case."""

    def __init__(self, words: Mapping[str, object]) -> None:
        self._values = {word.lower(): value for word, value in words.items()}
        self._words = tuple(words)
        self.choices = ", ".join(words)
        self.expected = f"one of {self.choices}"    # type: ignore[misc]  # differs from instance to instance

    def convert(self, value: Value) -> object:
        """The value that the word stands for."""
        if str(value).lower() not in self._values:
            raise RefusedArgument(f'"{value}" is not one of {self.choices}')
        return self._values[str(value).lower()]

    @property
    def words(self) -> tuple[str, ...]:
        """The choices."""
        return self._words


class CommandArgument(ArgumentType):
    """A complete command, up to the end of the line; the function gets a `NestedCommand`."""

    expected = "a command"

    def accepts(self, node: Node) -> bool:
        """Only the rest of a line."""
        return isinstance(node, Rest)


class RestArgument(ArgumentType):
    """The rest of the line as it is, without quotes; escapes are replaced."""

    expected = "text"

    def accepts(self, node: Node) -> bool:
        """Only the rest of a line."""
        return isinstance(node, Rest)


class _Skippable:
    """Marks an optional parameter that may be left out although later ones are given."""


SKIPPABLE = _Skippable()
T = TypeVar("T")
Skippable = Annotated[T, SKIPPABLE]     # `disk: Skippable[int] = 0` before a label: Clean 1 "SYSTEM"
RestText = Annotated[str, RestArgument()]
