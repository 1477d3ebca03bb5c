"""The cases of grammar/cases/check: what the checker finds, and nothing else (the README beside them has the notation)."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bpscript.api import CheckOptions, check_with
from tests.grammar.casefile import ANNOTATION, CASES, CaseError
from tests.language.check.surroundings import write

WANTED = re.compile(r"(?P<code>BP\d{3})(?:@(?P<column>\d+))?(?:: (?P<words>.+))?\Z")


@dataclass
class CheckCase:
    """A script, what is around it, and its findings: line, code, column (0: any), words."""

    name: str
    script: str = ""
    script_name: str = "case.bpb"
    files: dict[str, str] = field(default_factory=dict)
    disks: list[int] = field(default_factory=list)
    variables: dict[str, str | None] = field(default_factory=dict)
    wanted: list[tuple[int, str, int, str]] = field(default_factory=list)


def read(path: Path) -> list[CheckCase]:
    found = []
    for piece in path.read_text(encoding="utf-8").split("\n---\n"):
        lines = [line for line in piece.split("\n") if line != "---"]
        while lines and (not lines[0].strip() or lines[0].startswith("#")):
            lines.pop(0)
        if lines:
            found.append(parse(lines, path.name))
    return found


def parse(lines: list[str], source: str) -> CheckCase:
    case = CheckCase(f"{source.removesuffix('.case')} {lines[0].strip()}")
    script: list[str] = []
    position = 1
    while position < len(lines):
        line = lines[position]
        position += 1
        if not line.startswith("@"):
            script.append(line)
            continue
        key, _, rest = line[1:].partition(" ")
        if key == "file":
            name, _, content = rest.partition(" ")
            block = []
            while not content and position < len(lines) and lines[position].startswith("|"):
                block.append(lines[position][2:])
                position += 1
            if content.startswith("archive "):
                kind = content.removeprefix("archive ")
                case.files[name] = kind if kind == "incremental" else f"full {kind}"
            else:
                case.files[name] = json.loads(content) if content else "".join(f"{each}\n" for each in block)
        elif key == "disks":
            case.disks = [int(size) for size in rest.split()]
        elif key == "name":
            case.script_name = rest
        elif key == "set":
            name, equals, value = rest.partition(" = ")
            case.variables[name] = json.loads(value) if equals else None
        else:
            raise CaseError(f"{source}: {case.name}: there is no setting @{key}")
    while script and not script[-1].strip():
        script.pop()
    for number, line in enumerate(script, start=1):
        match = ANNOTATION.match(line)
        if match is None:
            continue
        script[number - 1] = match["line"]
        for text in match["text"].split(" ; "):
            wanted = WANTED.match(text)
            if wanted is None:
                raise CaseError(f"{source}: {case.name}: {text} is no finding")
            case.wanted.append((number, wanted["code"], int(wanted["column"] or 0), wanted["words"] or ""))
    case.script = "\n".join(script) + "\n"
    return case


ALL = [case for path in sorted(CASES.glob("check/*.case")) for case in read(path)]


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name[:100])
def test_what_the_checker_finds(case: CheckCase, tmp_path: Path) -> None:
    write(tmp_path, case.files)
    path = tmp_path / case.script_name
    path.write_text(case.script, encoding="utf-8")
    report = check_with(path, CheckOptions(disks=[size << 20 for size in case.disks], variables=case.variables))
    left = list(report.findings)
    missing = []
    for line, code, column, words in case.wanted:
        match = next(
            (
                each for each in left
                if (each.line, each.code) == (line, code) and column in {0, each.column} and words.lower() in f"{each.message} {each.hint}".lower()
            ),
            None,
        )  # fmt: skip
        if match is None:
            missing.append((line, code, column, words))
        else:
            left.remove(match)
    assert not missing, (missing, [each.explain() for each in report.findings])
    assert not left, [each.explain() for each in left]


def test_there_are_cases() -> None:
    assert len(ALL) > 60
