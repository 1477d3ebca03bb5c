"""Read the language cases of grammar/cases (its README.md describes the notation)."""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

CASES = Path(__file__).parents[2] / "grammar" / "cases"

ANNOTATION = re.compile(r"^(?P<line>.*?)\s*(?<!\S)### (?P<text>.+)$")
ERROR = re.compile(r"^(?P<logged>logged )?error(?:@(?P<column>\d+))?: (?P<fragment>.+)$")
PLACE = re.compile(r"^(?:(?P<file>[^\s:]*[^\s:\d][^\s:]*):)?(?P<line>\d+)(?::(?P<column>\d+))? (?P<fragment>.+)$")
VARIABLE = re.compile(r"^(?P<name>[A-Za-z_][A-Za-z0-9_+-]*) = (?P<value>\".*\")$")


class CaseError(ValueError):
    """A case file does not follow its notation."""


@dataclass(frozen=True)
class ExpectedError:
    """An error, by its place; the message or its hint must contain `fragment` (without regard to case)."""

    file: str | None
    line: int
    column: int | None
    fragment: str


@dataclass(frozen=True)
class Expected:
    """What a run must leave behind. `log` None: not compared as a whole."""

    error: ExpectedError | None = None
    logged_errors: tuple[ExpectedError, ...] = ()
    log: str | None = ""
    log_contains: tuple[str, ...] = ()
    log_lacks: tuple[str, ...] = ()
    log_matches: tuple[str, ...] = ()
    tagged: tuple[tuple[str, str], ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    undefined: tuple[str, ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    file_sizes: tuple[tuple[str, int], ...] = ()
    absent_files: tuple[str, ...] = ()
    partitions: tuple[tuple[int, tuple[str, ...]], ...] = ()
    disk_bytes: tuple[tuple[int, int, bytes], ...] = ()
    boot: str | None = None
    seconds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Case:
    """One script with its surroundings and what must come of it."""

    name: str
    source: str
    script_name: str = "case.bpb"
    script: bytes = b""
    variables: tuple[tuple[str, str], ...] = ()
    keys: str | None = None
    files: tuple[tuple[str, bytes], ...] = ()
    directories: tuple[str, ...] = ()
    disks: tuple[int, ...] = ()
    disk_bytes: tuple[tuple[int, int, bytes], ...] = ()
    switches: str = ""
    seed: str | None = None
    clock: str | None = None
    needs: tuple[str, ...] = ()
    expected: Expected = field(default_factory=Expected)


def read_cases(path: Path) -> list[Case]:
    """All cases of a file, in order. Raises CaseError."""
    return list(parse_cases(path.read_text(encoding="utf-8"), f"{path.parent.name}/{path.name}"))


def parse_cases(text: str, source: str) -> Iterator[Case]:
    """The cases in `text`; `source` names the file in messages."""
    piece: list[str] = []
    first = 1
    for number, line in enumerate([*text.split("\n"), "---"], start=1):
        if line.rstrip() != "---":
            piece.append(line)
            continue
        stripped = [item for item in piece if item.strip()]
        if any(not item.startswith("#") for item in stripped):
            yield from _Piece(piece, source, first).cases()
        piece = []
        first = number + 1


def _bytes_on_disk(text: str) -> tuple[int, int, bytes]:
    """`[DISK:]OFFSET HEX` as disk, offset and bytes."""
    place, _, content = text.partition(" ")
    disk, _, offset = place.rpartition(":")
    return int(disk or "0"), int(offset, 0), bytes.fromhex(content)


class _Piece:
    """The lines between two `---`, taken apart."""

    def __init__(self, lines: list[str], source: str, first: int) -> None:
        self.source = source
        self.lines = lines
        self.number = first - 1                   # line of the case file, for messages
        self.position = 0
        self.encoding = "utf-8"
        self.eol = "\n"
        self.each = False
        self.before: list[str] = []               # lines of the script in front of every one of `@each`
        self.raw: bytes | None = None
        self.script: list[str] = []
        self.texts: list[tuple[str, list[str]]] = []     # files as written, encoded when all settings are known
        self.name = ""
        self.case = Case("", source)
        self.expected = Expected()
        self.says_something = False

    def cases(self) -> Iterator[Case]:
        """The case, or one case a script line after `@each`."""
        while not self.name:
            self.name = self._next().strip()
        self.case = replace(self.case, name=self.name, source=f"{self.source}:{self.number + self.position}")
        while self.position < len(self.lines):
            line = self._next()
            if line.startswith("=> "):
                self._expectation(line[3:])
                self.says_something = True
            elif line.startswith("@"):
                self._setting(line[1:])
            else:
                self.script.append(line)
        while self.script and not self.script[-1].strip():
            self.script.pop()
        if self.each:
            yield from self._one_a_line()
        else:
            yield self._whole()

    def _next(self) -> str:
        if self.position >= len(self.lines):
            raise CaseError(f"{self.source}:{self.number + 1}: a case needs a name")
        self.position += 1
        return self.lines[self.position - 1]

    def _fail(self, message: str) -> CaseError:
        return CaseError(f"{self.source}:{self.number + self.position}: {message}")

    def _block(self) -> list[str]:
        block = []
        while self.position < len(self.lines) and self.lines[self.position].startswith("|"):
            block.append(self._next()[1:].removeprefix(" "))
        return block

    def _text(self, rest: str) -> str:
        if rest:
            return self._quoted(rest)
        return "".join(f"{line}\n" for line in self._block())

    def _quoted(self, text: str) -> str:
        try:
            value = json.loads(text, strict=False)
        except ValueError as error:
            raise self._fail(f"{text} is no quoted text: {error}") from error
        if not isinstance(value, str):
            raise self._fail(f"{text} is no quoted text")
        return value

    def _setting(self, text: str) -> None:
        key, _, rest = text.partition(" ")
        rest = rest.strip()
        if key == "set":
            self.case = replace(self.case, variables=(*self.case.variables, self._variable(rest)))
        elif key == "keys":
            self.case = replace(self.case, keys=self._quoted(rest))
        elif key == "disks":
            self.case = replace(self.case, disks=tuple(int(size) for size in rest.split()))
        elif key == "bytes":
            self.case = replace(self.case, disk_bytes=(*self.case.disk_bytes, _bytes_on_disk(rest)))
        elif key == "name":
            self.case = replace(self.case, script_name=rest)
        elif key == "switches":
            self.case = replace(self.case, switches=rest)
        elif key == "seed":
            self.case = replace(self.case, seed=rest)
        elif key == "clock":
            self.case = replace(self.case, clock=rest)
        elif key == "needs":
            self.case = replace(self.case, needs=tuple(rest.split()))
        elif key == "directory":
            self.case = replace(self.case, directories=(*self.case.directories, rest))
        elif key == "encoding":
            self.encoding = rest
        elif key == "eol":
            self.eol = self._quoted(rest)
        elif key == "each":
            self.each = True
        elif key == "before":
            self.before.append(rest)
        elif key == "script":
            self.raw = bytes.fromhex(rest[4:]) if rest.startswith("hex ") else self._quoted(rest).encode(self.encoding)
        elif key == "file":
            self._file(rest)
        else:
            raise self._fail(f"unknown setting @{key}")

    def _file(self, rest: str) -> None:
        name, _, content = rest.partition(" ")
        kind, _, value = content.partition(" ")
        if kind == "hex":
            self._add_file(name, bytes.fromhex(value))
        elif kind == "zeros":
            self._add_file(name, bytes(int(value)))
        elif kind == "noise":
            self._add_file(name, random.Random(name).randbytes(int(value)))
        elif content:
            self._add_file(name, self._quoted(content).encode(self.encoding))
        else:
            self.texts.append((name, self._block()))

    def _add_file(self, name: str, data: bytes) -> None:
        self.case = replace(self.case, files=(*self.case.files, (name, data)))

    def _variable(self, text: str) -> tuple[str, str]:
        found = VARIABLE.match(text)
        if found is None:
            raise self._fail(f"expected NAME = \"value\", found {text}")
        return found["name"], self._quoted(found["value"])

    def _expectation(self, text: str) -> None:
        expected = self.expected
        key, _, rest = text.strip().partition(" ")
        if VARIABLE.match(text):
            expected = replace(expected, variables=(*expected.variables, self._variable(text)))
        elif key == "log":
            expected = self._log(rest)
        elif key in {"warning", "note", "progress"}:
            expected = replace(expected, tagged=(*expected.tagged, (key, rest)))
        elif key == "undefined":
            expected = replace(expected, undefined=(*expected.undefined, *rest.split()))
        elif key == "boot":
            expected = replace(expected, boot=rest)
        elif key == "seconds":
            least, most = rest.split()
            expected = replace(expected, seconds=(float(least), float(most)))
        elif key == "error":
            expected = replace(expected, error=self._place(rest))
        elif key == "file":
            expected = self._file_after(rest)
        elif key == "absent":
            expected = replace(expected, absent_files=(*expected.absent_files, *rest.split()))
        elif key == "partitions":
            rows = tuple(" ".join(line.split()) for line in self._block())
            expected = replace(expected, partitions=(*expected.partitions, (int(rest or "0"), rows)))
        elif key == "bytes":
            expected = replace(expected, disk_bytes=(*expected.disk_bytes, _bytes_on_disk(rest)))
        else:
            raise self._fail(f"unknown expectation => {text}")
        self.expected = expected

    def _log(self, rest: str) -> Expected:
        key, _, text = rest.partition(" ")
        expected = self.expected
        if key == "any":
            return replace(expected, log=None)
        if key == "contains":
            return replace(expected, log=None, log_contains=(*expected.log_contains, self._quoted(text)))
        if key == "lacks":
            return replace(expected, log=None, log_lacks=(*expected.log_lacks, self._quoted(text)))
        if key == "matches":
            return replace(expected, log=None, log_matches=(*expected.log_matches, self._quoted(text)))
        return replace(expected, log=self._text(rest))

    def _file_after(self, rest: str) -> Expected:
        name, _, content = rest.partition(" ")
        kind, _, value = content.partition(" ")
        if kind == "size":
            return replace(self.expected, file_sizes=(*self.expected.file_sizes, (name, int(value))))
        data = bytes.fromhex(value) if kind == "hex" else self._text(content).encode(self.encoding)
        return replace(self.expected, files=(*self.expected.files, (name, data)))

    def _place(self, text: str) -> ExpectedError:
        found = PLACE.match(text)
        if found is None:
            raise self._fail(f"expected [FILE:]LINE[:COLUMN] FRAGMENT, found {text}")
        column = int(found["column"]) if found["column"] else None
        return ExpectedError(found["file"], int(found["line"]), column, found["fragment"])

    def _strip(self, lines: list[str], file: str | None) -> list[str]:
        """The lines without their annotations, which become expectations."""
        bare = []
        for number, line in enumerate(lines, start=1):
            found = ANNOTATION.match(line)
            if found is None:
                bare.append(line)
                continue
            bare.append(found["line"])
            self._annotation(found["text"].strip(), file, number)
        return bare

    def _annotation(self, text: str, file: str | None, number: int) -> None:
        self.says_something = True
        found = ERROR.match(text)
        if found is None:
            self._expectation(text)
            return
        column = int(found["column"]) if found["column"] else None
        error = ExpectedError(file, number, column, found["fragment"])
        if found["logged"]:
            self.expected = replace(self.expected, logged_errors=(*self.expected.logged_errors, error))
        elif self.expected.error is not None:
            raise self._fail("a script ends at its first error: one annotation is enough")
        else:
            self.expected = replace(self.expected, error=error)

    def _files(self) -> tuple[tuple[str, bytes], ...]:
        texts = [(name, self._encode(self._strip(lines, name))) for name, lines in self.texts]
        return (*self.case.files, *texts)

    def _encode(self, lines: list[str]) -> bytes:
        return "".join(f"{line}{self.eol}" for line in lines).encode(self.encoding)

    def _whole(self) -> Case:
        files = self._files()
        script = self._encode(self._strip(self.script, None)) if self.raw is None else self.raw
        if not self.says_something:
            raise self._fail(f"the case \"{self.name}\" expects nothing, so it cannot fail")
        return replace(self.case, script=script, files=files, expected=self.expected)

    def _one_a_line(self) -> Iterator[Case]:
        files = self._files()
        common = self.expected
        start = self.number + self.position - len(self.script)
        for number, line in enumerate(self.script):
            if not line.strip():
                continue
            self.expected = common
            bare = self._strip([*self.before, line], None)
            source = f"{self.source}:{self._line_of(line, start + number)}"
            name = f"{self.name}: {bare[-1].strip()}"
            yield replace(self.case, name=name, source=source, script=self._encode(bare), files=files, expected=self.expected)

    def _line_of(self, line: str, guess: int) -> int:
        return self.number + 1 + self.lines.index(line) if line in self.lines else guess
