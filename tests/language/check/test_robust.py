"""Any bytes are checked, and any text: there is a report, never another error, and never a loop."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.commands import COMMANDS
from bpscript.language.check.checker import check_script
from bpscript.language.check.findings import Report
from bpscript.language.check.premises import Premises
from tests.bounded import bounded

EXAMPLES = Path(__file__).parents[2] / "spec" / "examples"
LINES = sorted({line for path in EXAMPLES.rglob("*.[bm][pr][bz]") for line in path.read_text().splitlines() if line.strip()})
WORDS = [*COMMANDS.names(), "$x", "${", '"', '"a"', "(", ")", "{0:1}", "1", "-", "/a=b/", ",", "=", "not", "valid", ":1", "exist", "\\", "#", ":", "\0", "\x1a", "\r", "\n", " ", "\u00e9"]
PREMISES = Premises(EXAMPLES, (1 << 30, 1 << 31))


def check(data: bytes, program: str = "MrBatch") -> Report:
    return check_script("x.bpb", data, COMMANDS, program, PREMISES)


def proper(report: Report, data: bytes) -> None:
    """Every finding has a place in the script."""
    lines = len(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))
    for finding in report.findings:
        if finding.file == "x.bpb":
            assert 1 <= finding.line <= lines
            assert finding.column >= 1
            assert finding.column <= len(finding.source) + 1
        assert "\n" not in finding.message
        assert finding.explain()


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    proper(check(data), data)


@given(st.text(max_size=200), st.sampled_from(["MrBatch", "MrZip"]))
def test_any_text(text: str, program: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    proper(check(data, program), data)


@settings(max_examples=200)
@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), max_size=8).map("\n".join), st.sampled_from(["MrBatch", "MrZip"]))
def test_any_words(text: str, program: str) -> None:
    data = text.encode()
    proper(check(data, program), data)


@settings(max_examples=100)
@given(st.lists(st.sampled_from(LINES), max_size=30))
def test_lines_of_examples_in_any_order(lines: list[str]) -> None:
    data = "\n".join(lines).encode()
    proper(check(data), data)


@given(st.sampled_from(LINES), st.integers(0, 80), st.integers(0, 80))
def test_halves_of_lines(line: str, cut: int, other: int) -> None:
    data = (line[:cut] + line[other:]).encode()
    proper(check(data), data)


@pytest.mark.parametrize(
    "script",
    [
        "If 1 == 1 " * 2000 + "Beep",
        "Set x = " + "(" * 5000 + "1" + ")" * 5000,
        'Echo "a"' + "/a=b/" * 3000,
        'Eval "Eval \\"' * 300,
        "\n".join(f":l{n}\nIf $x == {n} Goto l{(n * 7) % 1000}" for n in range(1000)),
        "\n".join(f"Set v{n} = {n}" for n in range(3000)),
        "Goto a$x\n" + "\n".join(f":a{n}" for n in range(2000)),
        "Echo \"" + "$a$b$c" * 3000 + '"',
        "SetPartitions \"" + "EXT:900000 EMPTY EMPTY EMPTY " * 300 + '"',
    ],
    ids=["nested", "brackets", "operators", "evals", "labels", "variables", "open-goto", "macros", "tables"],
)
def test_what_was_made_to_hurt_takes_neither_time_nor_memory(script: str) -> None:
    outcome = bounded(lambda: proper(check(script.encode()), script.encode()), memory=300, seconds=20)
    assert outcome.error == "", outcome.message


def test_files_that_include_each_other_come_to_an_end(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}.bpb").write_text(f'Set v{number} = 1\nInclude "{(number + 1) % 40}.bpb"\nInclude "{(number * 3) % 40}.bpb"\n')
    premises = Premises(tmp_path)
    path = tmp_path / "0.bpb"
    report = check_script(str(path), path.read_bytes(), COMMANDS, "MrBatch", premises, path)
    assert {finding.code for finding in report.findings} == {"BP206"}
