"""What arguments mean to commands: file names, variables, colours, durations and so on."""

from typing import Annotated

from ..language.arguments import (
    ArgumentType,
    Condition,
    FileUse,
    NumberArgument,
    RefusedArgument,
    RestArgument,
    SignedText,
    StringArgument,
    TextArgument,
    Value,
    WordArgument,
)
from ..language.names import is_variable_name
from ..language.syntax import NUMERIC, TEXTUAL, VALUE_NODES, Node, Pair, Signed, Tenths, Test, Word

COLORS = (
    "Black", "Blue", "Green", "Cyan", "Red", "Magenta", "Brown", "LightGray", "DarkGray", "LightBlue", "LightGreen", "LightCyan",
    "LightRed", "LightMagenta", "Yellow", "White",
)  # fmt: skip
_BY_COLOR = {name.lower(): number for number, name in enumerate(COLORS)}
_MOST_SECONDS = 10**9


class FileNameArgument(StringArgument):
    """A file as scripts name it (language.md 4); what it means is found out when it is used."""

    expected = "a string (a file name)"

    def __init__(self, use: FileUse = FileUse.READS) -> None:
        self.file_use = use


class VariableArgument(WordArgument):
    """The name of a variable that the command sets."""

    expected = "the name of a variable"
    sets_variable = True

    def accepts(self, node: Node) -> bool:
        """Words."""
        return isinstance(node, Word)

    def convert(self, value: Value) -> str:
        """The name. Raises RefusedArgument for what cannot be one."""
        name = str(value)
        if not is_variable_name(name):
            hint = "a name is made of letters, digits, _, - and +, and starts with a letter or _"
            raise RefusedArgument(f'"{name}" is no name of a variable', hint)
        return name


class AssignedArgument(VariableArgument):
    """The variable before the `=` of Set."""

    shape = "assignment"


class LabelArgument(RestArgument):
    """A label: the rest of the line, perhaps with quotes around it and a colon in front."""

    expected = "a label"

    def convert(self, value: Value) -> str:
        """The label without quotes and colon."""
        text = str(value).strip(" \t")
        if len(text) > 1 and text[0] == text[-1] == '"':
            text = text[1:-1].strip(" \t")
        return text.removeprefix(":").strip(" \t")


class DurationArgument(ArgumentType):
    """Seconds, with up to a tenth."""

    expected = "a duration: a number of seconds, with tenths such as 0.5"

    def accepts(self, node: Node) -> bool:
        """Numbers, and digits with a point."""
        return isinstance(node, (*NUMERIC, Tenths))

    def convert(self, value: Value) -> float:
        """Seconds."""
        assert isinstance(value, int | float)
        if value < 0:
            raise RefusedArgument(f"a duration cannot be negative: {value}")
        return min(value, _MOST_SECONDS)


class ColorArgument(ArgumentType):
    """A colour by name or number, up to `highest`."""

    def __init__(self, highest: int = 15) -> None:
        self.highest = highest
        self.expected = f"a colour: 0 to {highest} or a name such as LightGray"  # type: ignore[misc]  # differs between the two

    def accepts(self, node: Node) -> bool:
        """Words and numbers."""
        return isinstance(node, (*NUMERIC, Word))

    def convert(self, value: Value) -> int:
        """The number."""
        if isinstance(value, str):
            number = _BY_COLOR.get(value.lower())
            if number is None:
                raise RefusedArgument(f'"{value}" is no colour', f"colours are {', '.join(COLORS)}")
            return number
        assert isinstance(value, int)
        if not 0 <= value <= self.highest:
            raise RefusedArgument(f"there is no colour {value}: expected 0 to {self.highest}")
        return value

    @property
    def words(self) -> tuple[str, ...]:
        """The names."""
        return COLORS


class PositiveArgument(NumberArgument):
    """A number above 0."""

    def convert(self, value: Value) -> int:
        """The number."""
        assert isinstance(value, int)
        if value <= 0:
            raise RefusedArgument(f"expected a positive number, found {value}")
        return value


class PositionArgument(NumberArgument):
    """Line or column of the screen, from 0."""

    shape = "position"

    def convert(self, value: Value) -> int:
        """The number."""
        assert isinstance(value, int)
        if value < 0:
            raise RefusedArgument(f"a line or column cannot be negative: {value}")
        return value


class PatternArgument(TextArgument):
    """A character or its code."""

    expected = "a string of one character, or its code"

    def usage(self, name: str) -> str:
        """Only the name: both forms would be long."""
        return name

    def convert(self, value: Value) -> str | int:
        """The character, or the code for a number."""
        if isinstance(value, int):
            if not 0 < value <= 255:
                raise RefusedArgument(f"there is no character code {value}: expected 1 to 255")
        elif len(str(value)) != 1:
            raise RefusedArgument(f'expected one character, found "{value}"')
        assert isinstance(value, str | int)
        return value


class AreaArgument(NumberArgument):
    """Four numbers: top, left, bottom, right."""

    count = 4

    def usage(self, name: str) -> str:
        """The four of them."""
        return "top,left,bottom,right"


class PointArgument(NumberArgument):
    """Two numbers: x and y."""

    count = 2

    def usage(self, name: str) -> str:
        """The two of them."""
        return "x y"


class TestArgument(ArgumentType):
    """The test of an If."""

    __test__ = False    # not a test of ours
    expected = "a test"
    shape = "test"

    def accepts(self, node: Node) -> bool:
        """Only tests."""
        return isinstance(node, Test)


class PlaceNumberArgument(NumberArgument):
    """A disk or partition in `[disk]:partition`."""

    shape = "place"


class PartitionNumbersArgument(ArgumentType):
    """A number, or a string of numbers."""

    expected = "a number, or a string of numbers"

    def accepts(self, node: Node) -> bool:
        """Numbers and strings."""
        return isinstance(node, VALUE_NODES)

    def convert(self, value: Value) -> tuple[int, ...]:
        """All numbers, in order."""
        words = str(value).split()
        if not words or not all(word.removeprefix("-").isdecimal() and len(word) < 11 for word in words):
            raise RefusedArgument(f'"{value}" is no list of partition numbers', 'for example "1 2"')
        return tuple(int(word) for word in words)


class TreePlaceArgument(ArgumentType):
    """A path, a partition number, or `disk:partition`."""

    expected = "a string (a path) or the number of a partition"

    def accepts(self, node: Node) -> bool:
        """Strings, numbers, and `disk:partition`."""
        return isinstance(node, (*TEXTUAL, *NUMERIC, Pair))

    def usage(self, name: str) -> str:
        """As a string."""
        return f'"{name}"'

    def convert(self, value: Value) -> str:
        """The text that names the place; a number is a partition of disk 0."""
        return ":".join(str(each) for each in value) if isinstance(value, tuple) else str(value)


class KeyArgument(StringArgument):
    """A key: one character, or "default" for every other one."""

    expected = 'a key: a string of one character, or "default"'

    def convert(self, value: Value) -> str:
        """The character, or "default"."""
        text = str(value)
        if len(text) != 1 and text.lower() != "default":
            raise RefusedArgument(f'"{text}" is no key: expected one character, or default')
        return text


class DateArgument(StringArgument):
    """A date: year, month and day."""

    def convert(self, value: Value) -> tuple[int, int, int]:
        """Year, month and day, which exist."""
        text = str(value)
        year, month, day = _groups(text, "/", "date", "YY/MM/DD", (2, 4))
        if len(text.partition("/")[0]) == 2:
            year += 1900 if year >= 70 else 2000
        from datetime import date  # noqa: PLC0415 - only who sets the date

        try:
            date(year, month, day)
        except ValueError as error:
            raise RefusedArgument(f'"{text}" is no date: {error}') from error
        return year, month, day


class TimeArgument(StringArgument):
    """A time of the day."""

    def convert(self, value: Value) -> tuple[int, int, int]:
        """Hours, minutes and seconds, which exist."""
        text = str(value)
        found = _groups(text, ":", "time", "HH:MM:SS", (2,))
        for name, number, most in zip(("hour", "minute", "second"), found, (23, 59, 59), strict=True):
            if number > most:
                raise RefusedArgument(f'"{text}" is no time: {name} must be in 0..{most}')
        return found


def _groups(text: str, separator: str, what: str, form: str, first_width: tuple[int, ...]) -> tuple[int, int, int]:
    """Three groups of digits. Raises RefusedArgument."""
    groups = text.split(separator)
    digits = all(group.isascii() and group.isdecimal() for group in groups)
    if len(groups) != 3 or not digits or len(groups[0]) not in first_width or any(len(group) != 2 for group in groups[1:]):
        raise RefusedArgument(f'"{text}" is no {what}: expected {form}')
    return int(groups[0]), int(groups[1]), int(groups[2])


class MarkArgument(StringArgument):
    """What stands around a name in a patched file."""

    def convert(self, value: Value) -> str:
        """The text, which is not empty."""
        if not value:
            raise RefusedArgument("the prefix and the postfix of Patch cannot be empty")
        return str(value)


class FilterArgument(StringArgument):
    """A pattern with its sign."""

    expected = 'a pattern such as -"*.tmp"'
    shape = "filter"

    def accepts(self, node: Node) -> bool:
        """A sign and a string."""
        return isinstance(node, Signed)


FileName = Annotated[str, FileNameArgument()]               # a file that is read
NewFileName = Annotated[str, FileNameArgument(FileUse.WRITES)]
PathName = Annotated[str, FileNameArgument(FileUse.OTHER)]
VariableName = Annotated[str, VariableArgument()]
AssignedName = Annotated[str, AssignedArgument()]
Label = Annotated[str, LabelArgument()]
Duration = Annotated[float, DurationArgument()]
Color = Annotated[int, ColorArgument()]
Palette = Annotated[int, ColorArgument(255)]
Positive = Annotated[int, PositiveArgument()]
ScreenPosition = Annotated[int, PositionArgument()]
Pattern = Annotated[str | int, PatternArgument()]
AreaNumbers = Annotated[tuple[int, ...], AreaArgument()]
Point = Annotated[tuple[int, ...], PointArgument()]
IfTest = Annotated[Condition, TestArgument()]
PlaceNumber = Annotated[int, PlaceNumberArgument()]
PartitionNumbers = Annotated[tuple[int, ...], PartitionNumbersArgument()]
TreePlace = Annotated[str, TreePlaceArgument()]
Key = Annotated[str, KeyArgument()]
Date = Annotated[tuple[int, int, int], DateArgument()]
Time = Annotated[tuple[int, int, int], TimeArgument()]
Mark = Annotated[str, MarkArgument()]
FilterPattern = Annotated[SignedText, FilterArgument()]
