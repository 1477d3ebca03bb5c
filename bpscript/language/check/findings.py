"""What the checker found, and comments that silence it: `# check: ignore BP301` on the line before."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..source import LineKind, Source
from .codes import RULES, Severity, rule_of

_IGNORE = re.compile(r"#[ \t]*check:[ \t]*ignore\b[ \t]*(.*)\Z", re.IGNORECASE)
_CODE = re.compile(r"[^\s,]+")


class Finding(NamedTuple):
    """One mistake. `line` and `column` count from 1, in characters; `width` is how many the caret underlines."""

    file: str
    line: int
    column: int
    width: int
    code: str
    message: str
    hint: str | None = None
    source: str = ""        # the line as written

    @property
    def severity(self) -> Severity:
        """An error will stop the script, a warning may be meant."""
        return rule_of(self.code).severity

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message} [{self.code}]"

    def explain(self) -> str:
        """The whole report: message, line, caret and hint."""
        from ...base.errors import caret_lines  # noqa: PLC0415 - only for people

        lines = [str(self), *caret_lines(self.source, self.column, self.width)]
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, str | int | None]:
        """For JSON: see the manual."""
        return {
            "file": self.file, "line": self.line, "column": self.column, "end_column": self.column + max(1, self.width),
            "severity": str(self.severity), "code": self.code, "title": rule_of(self.code).title, "message": self.message, "hint": self.hint,
        }  # fmt: skip


class Report(NamedTuple):
    """All findings, in the order of files and lines; `files` are the script and what it includes, as findings call them."""

    findings: Sequence[Finding]
    files: Sequence[str] = ()

    @property
    def errors(self) -> int:
        """How many will stop the script."""
        return sum(each.severity is Severity.ERROR for each in self.findings)

    @property
    def warnings(self) -> int:
        """How many may be meant."""
        return len(self.findings) - self.errors

    def as_dict(self) -> dict[str, object]:
        """For JSON: see the manual."""
        return {"findings": [each.as_dict() for each in self.findings], "errors": self.errors, "warnings": self.warnings}


def ignored(source: Source) -> dict[int, frozenset[str]]:
    """The codes that are silenced, by the number of the line. Several comments above a line add up."""
    found: dict[int, frozenset[str]] = {}
    waiting: set[str] = set()
    for line in source.lines:
        if line.kind is LineKind.COMMENT:
            if not line.text:
                waiting = set()
                continue
            match = _IGNORE.match(line.text)
            if match is not None:
                waiting |= {code.upper() for code in _CODE.findall(match[1])}
            continue
        if waiting:
            found[line.number] = frozenset(waiting)
            waiting = set()
    return found


def wrong_ignores(source: Source) -> Iterable[Finding]:
    """Comments that silence nothing, because no rule has that code."""
    for line in source.lines:
        if line.kind is not LineKind.COMMENT or "check:" not in line.text.lower():
            continue
        match = _IGNORE.match(line.text)
        if match is None:
            continue
        codes = list(_CODE.finditer(match[1]))
        for each in codes:
            if each[0].upper() not in RULES:
                column = line.column + match.start(1) + each.start()
                yield Finding(source.name, line.number, column, len(each[0]), "BP901", f'no rule has the code "{each[0]}"',
                              "bpscript explain lists them", line.written)
        if not codes:
            yield Finding(source.name, line.number, line.column, len(line.text), "BP901", "the comment names no code to ignore",
                          "for example # check: ignore BP301", line.written)
