"""The script and all it includes: files as lines that were read, and which variables they set anywhere.

Whether `$n-1` means the variable `n-1` or `n` depends on which of them exists, so what is set anywhere is collected first, and lines
are read with that in mind.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from ...base.errors import StorageError
from ...base.resources import keyboard_layout
from ...base.text import decode
from ..arguments import FileUse
from ..declare import CommandSet
from ..names import fold
from ..source import Line, LineKind, Source, label_key, make_line
from ..specials import reply_variables, special
from ..syntax import Node, Test, Text, Word
from .premises import Premises
from .reading import Command, Reader, Reading, Used, constant

_MOST_FILES = 500       # of one program: more than any site has; a bound for scripts that were made to hurt


class ScriptFile:
    """One file. `path` is None for a text that lies nowhere."""

    def __init__(self, source: Source, path: Path | None, folder: str) -> None:
        self.source = source
        self.path = path
        self.folder = folder                # MrZip looks up includes here
        self.readings: list[Reading] = []   # of all lines


class Program:
    """Files, and facts that do not depend on the way."""

    def __init__(self, commands: CommandSet, name: str, premises: Premises, reader: Reader) -> None:
        self.commands = commands
        self.program = name
        self.premises = premises
        self.reader = reader
        self.files: dict[str, ScriptFile] = {}      # by path, or name for one that lies nowhere
        self._choices: dict[str, int] = {}          # of the longest name that a macro may mean: which it means
        self.defined: dict[str, int] = {}           # folded names of variables that are set somewhere, and their numbers
        self.spellings: dict[str, str] = {}
        self.patterns: dict[tuple[str, str], set[str]] = {}     # beginnings and ends of computed names, with the variables they are computed from
        self.has_unknown_include = False
        self.written: set[str] = set()              # names of files that some command makes
        self.asked: set[str] = set()                # names that `If exist` asks for
        self.volatile: set[str] = set()             # variables that handlers set, at any time
        self.handlers_touch_disks = False
        self.continues = False                      # $ErrorMode is set: what ends the script may fail, and the next line follows
        for each in premises.variables:
            self.define(each)

    # Variables ----------------------------------------------------------------------------------------------------------

    def define(self, name: str) -> None:
        """A variable that is set somewhere."""
        key = fold(name)
        if key not in self.defined:
            self._choices.clear()
            self.defined[key] = len(self.defined)
            self.spellings[key] = name

    def is_known(self, key: str) -> bool:
        """Whether a folded name means something: set somewhere, special, or of a reply."""
        if self._is_named(key):
            return True
        return any(
            key.startswith(start) and key.endswith(end) and len(key) > len(start) + len(end)
            # All of the name is a variable that nobody sets: that is no name at all.
            and (start or end or any(map(self._is_named, sources)))
            for (start, end), sources in self.patterns.items()
        )

    def _is_named(self, key: str) -> bool:
        return key in self.defined or special(key) is not None or key in reply_variables()

    def bits_of(self, keys: set[str]) -> int:
        """The set of variables as bits."""
        bits = 0
        for key in keys:
            number = self.defined.get(key)
            if number is not None:
                bits |= 1 << number
        return bits

    def choice(self, used: Used) -> int:
        """Which of its names a macro means."""
        names = used.names
        if len(names) == 1:
            return 0
        longest = names[0][0]
        if longest not in self._choices:
            self._choices[longest] = next((index for index, (key, _) in enumerate(names) if self.is_known(key)), 0)
        return self._choices[longest]

    # Files --------------------------------------------------------------------------------------------------------------

    def load(self, name: str, data: bytes, path: Path | None, folder: str = "") -> ScriptFile:
        """A file from its bytes."""
        key = str(path) if path is not None else name
        if key in self.files:
            return self.files[key]
        text = decode(data, iso_latin=True, code_page="cp850").text
        file = self.files[key] = ScriptFile(Source.parse(name, text), path, folder)
        read = self.reader.read
        for line in file.source.lines:
            if line.kind is LineKind.COMMAND:
                reading = read(line.text, ())
                file.readings.append(reading)
                self._collect(reading, file, in_handler=False)
            else:
                file.readings.append(_NOTHING)
        return file

    def settle(self) -> None:
        """Read lines again whose macros mean other names than the longest ones."""
        self._choices.clear()
        for file in self.files.values():
            for index, reading in enumerate(file.readings):
                if not reading.used or all(len(each.names) == 1 for each in reading.used):
                    continue
                choices = tuple(map(self.choice, reading.used))
                if any(choices):
                    file.readings[index] = self.reader.read(file.source.lines[index].text, choices)

    def include(self, name: str, caller: ScriptFile) -> ScriptFile | None:
        """The file that an Include means; None when it is not there or cannot be known."""
        path = self.path_of_include(name, caller)
        if len(self.files) >= _MOST_FILES:
            return None
        if path is not None and str(path) in self.files:
            return self.files[str(path)]
        data = None if path is None else self.premises.read(path)
        if path is None or data is None:
            layout = keyboard_layout(name)
            return None if layout is None else self.load(name, layout, None)
        return self.load(self._shown(name, path), data, path, str(path.parent))

    def _shown(self, name: str, path: Path) -> str:
        """What findings call an included file: below the root as the user named it."""
        root = self.premises.root
        if root is None or self.program == "MrZip":
            return str(path)
        plain = root / name.replace("\\", "/").lstrip("/")
        return str(plain) if plain.is_file() else str(path)

    def path_of_include(self, name: str, caller: ScriptFile) -> Path | None:
        """Where an included file lies on this host."""
        if name.startswith("{") or not name or "\0" in name:
            return None
        if self.program == "MrZip":
            return Path(caller.folder) / name.replace("\\", "/") if caller.folder else None
        try:
            path = self.premises.path_of(name)
        except StorageError:
            return None
        return path

    # What is set, written and asked for anywhere --------------------------------------------------------------------------

    def _collect(self, reading: Reading, file: ScriptFile, *, in_handler: bool) -> None:
        for name in reading.meant:
            self.define(name)
        for command in reading.commands:
            in_handler = self._collect_command(command, file, reading.used, in_handler=in_handler)

    def _collect_command(self, command: Command, file: ScriptFile, used: tuple[Used, ...], *, in_handler: bool) -> bool:
        for match in command.arguments:
            if not match.nodes:
                continue
            kind, node = match.parameter.type, match.nodes[0]
            if kind.sets_variable and isinstance(node, Word):
                self._set(command, node, used, in_handler=in_handler)
            elif isinstance(node, Test):
                if node.operator == "exist" and isinstance(node.left, Text) and not command.is_open(node.left):
                    self.asked.add(fold(str(constant(node.left, command.text))))
            elif kind.file_use is FileUse.WRITES and isinstance(node, Text) and not command.is_open(node):
                self.written.add(fold(str(constant(node, command.text))))
        if command.name == "Eval":
            self._collect_eval(command, file, in_handler=in_handler)
        elif command.name == "Include":
            self._collect_include(command, file)
        elif command.name in {"OnKey", "OnExit"}:
            return True
        elif in_handler and command.declaration.writes_disk:
            self.handlers_touch_disks = True
        return in_handler

    def _set(self, command: Command, node: Word, used: tuple[Used, ...], *, in_handler: bool) -> None:
        if command.is_open(node):
            # A computed name: what was typed around the macro stays.
            segments = [each for each in command.text.segments if each.width and node.start <= each.offset <= node.end]
            first, last = segments[0], segments[-1]
            start = node.text[: max(0, first.offset - node.start)]
            after = [each for each in command.text.segments if each.offset > last.offset]
            end = command.text.text[after[0].offset : node.end] if after else ""
            columns = {each.column for each in segments}
            self.patterns.setdefault((fold(start), fold(end)), set()).update(each.names[0][0] for each in used if each.column in columns)
            return
        self.define(node.text)
        self.continues |= fold(node.text) == "errormode"
        if in_handler:
            self.volatile.add(fold(node.text))

    def _collect_eval(self, command: Command, file: ScriptFile, *, in_handler: bool) -> None:
        node = command.arguments[0].nodes[0]
        text = eval_text(command, node, lambda used: None)
        if text is not None:
            line = make_line(1, text[0])
            if line.kind is LineKind.COMMAND and line.text:
                reading = self.reader.read(line.text, ())
                if not any(each.name == "Eval" for each in reading.commands):
                    self._collect(reading, file, in_handler=in_handler)

    def _collect_include(self, command: Command, file: ScriptFile) -> None:
        node = command.arguments[0].nodes[0]
        if not isinstance(node, Text) or command.is_open(node):
            self.has_unknown_include = True
            return
        if self.include(str(constant(node, command.text)), file) is None:
            self.has_unknown_include = True

    # Labels ---------------------------------------------------------------------------------------------------------------

    @staticmethod
    def labels(file: ScriptFile) -> Iterator[tuple[str, Line]]:
        """Every label of a file: its key and line, also those that stand twice."""
        for line in file.source.lines:
            if line.kind is LineKind.LABEL:
                yield label_key(line.text[1:]), line


_NOTHING = Reading()
SAMPLE = "x"


def eval_text(command: Command, node: Node, value: Callable[[int], str | None]) -> tuple[str, bool] | None:
    """The text that Eval will run, and whether all of it is known; None when even its beginning is not.

    `value` is a function that gives the text of a macro by its index in the line's template, None for an unknown one.
    """
    if not isinstance(node, Text):
        return None
    if not command.is_open(node):
        found = constant(node, command.text)
        return str(found).replace("\r", " ").replace("\n", " "), True
    pieces: list[str] = []
    known = True
    for part in node.parts:
        text = part if isinstance(part, str) else value(part)
        if text is None:
            if not pieces:
                return None
            known = False
            text = SAMPLE
        pieces.append(text)
    if any(segment.width and node.start <= segment.offset <= node.end for segment in command.text.segments) and "\0" not in command.text.text:
        known = False       # read with samples
    return "".join(pieces).replace("\r", " ").replace("\n", " "), known
