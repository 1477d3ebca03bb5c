"""The language cases of grammar/cases, looked at by the checker: what runs has no errors, and most of what fails is found."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bpscript.api import CheckOptions, check_with
from bpscript.language.check.findings import Finding
from tests.grammar.casefile import Case
from tests.grammar.test_cases import ALL_CASES, identity

# What a run does not look at and the checker does: commands behind a test that fails, mistakes that $ErrorMode passes over.
NEVER_RUN = ("behind a test that fails is not parsed", "STOP again stops", "inside an OnKey handler is at the line that ran it")
LEAST_FOUND = 0.75      # of the errors of all cases; the others depend on disks, keys, files and what was done to them before


def findings(case: Case, root: Path) -> list[Finding]:
    for directory in case.directories:
        (root / directory).mkdir(parents=True)
    for name, data in [*case.files, (case.script_name, case.script)]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    options = CheckOptions(disks=[size << 20 for size in case.disks], variables=dict(case.variables))
    return list(check_with(root / case.script_name, options).findings)


def false_alarms(case: Case, found: list[Finding]) -> Iterator[str]:
    """Errors in lines in front of the one that a run stops at."""
    error = case.expected.error
    if case.expected.logged_errors:
        return
    for each in found:
        if each.severity == "error" and (error is None or each.line < error.line):
            yield each.explain()


@pytest.mark.parametrize("part", range(8))
def test_what_runs_has_no_errors(part: int, tmp_path: Path) -> None:
    found = []
    for number, case in enumerate(ALL_CASES[part::8]):
        if any(words in case.name for words in NEVER_RUN):
            continue
        root = tmp_path / str(number)
        root.mkdir()
        found += [f"{identity(case)}\n{text}" for text in false_alarms(case, findings(case, root))]
    assert not found, "\n".join(found)


def test_most_errors_of_the_cases_are_found(tmp_path: Path) -> None:
    found = missed = 0
    for number, case in enumerate(ALL_CASES):
        error = case.expected.error
        if error is None or error.file is not None:
            continue
        root = tmp_path / str(number)
        root.mkdir()
        if any(each.line == error.line for each in findings(case, root)):
            found += 1
        else:
            missed += 1
    assert found / (found + missed) >= LEAST_FOUND, (found, missed)
