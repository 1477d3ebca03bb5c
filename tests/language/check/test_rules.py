"""Each rule's page is true: its wrong example gives exactly that finding, its right one none."""

from pathlib import Path

import pytest

import bpscript
from bpscript.language.check.codes import RULES, Rule
from tests.language.check.surroundings import MIB, write


def codes(rule: Rule, script: str, root: Path) -> list[str]:
    write(root, rule.files)
    path = root / rule.script
    path.write_text(script + "\n")
    return [finding.code for finding in bpscript.check(path, disks=[size * MIB for size in rule.disks]).findings]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_the_wrong_example_gives_exactly_this_finding(rule: Rule, tmp_path: Path) -> None:
    assert codes(rule, rule.wrong, tmp_path) == [rule.code]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_the_right_example_gives_none(rule: Rule, tmp_path: Path) -> None:
    assert codes(rule, rule.right, tmp_path) == []


@pytest.mark.parametrize("rule", [rule for rule in RULES.values() if rule.code != "BP901"], ids=lambda rule: rule.code)
def test_a_comment_silences_it(rule: Rule, tmp_path: Path) -> None:
    script = "\n".join(f"# check: ignore {rule.code.lower()}\n{line}" for line in rule.wrong.splitlines())
    assert codes(rule, script, tmp_path) == []


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_a_page_says_what_and_why(rule: Rule) -> None:
    page = rule.page()
    assert page.startswith(f"{rule.code}: {rule.title}")
    for part in (rule.why, "Wrong:", "Right:", f"# check: ignore {rule.code}"):
        assert part in page
