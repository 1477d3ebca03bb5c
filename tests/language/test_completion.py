"""What may be written next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.commands import COMMANDS
from bpscript.language.completion import Known, complete

KNOWN = Known(variables=["colour", "count"], labels=["install", "inside", "my label"], files=lambda prefix: [f"{prefix}!"])


def texts(line: str, known: Known = KNOWN) -> list[str]:
    """Completions at the end of a line."""
    return [each.text for each in complete(line, len(line), COMMANDS, known)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Full", ["FullUnzip"]),
        ("  fullu", ["FullUnzip"]),
        ('If not exist "a" FullU', ["FullUnzip"]),
        ('At 3,4 If "a" == "b" FullU', ["FullUnzip"]),
        ("OnExit FullU", ["FullUnzip"]),
        ('OnKey "a" FullU', ["FullUnzip"]),
        ('Echo "$co', ["colour", "count"]),
        ('Echo "${co', ["colour}", "count}"]),
        ("Set n = ($cou", ["count"]),
        ('Echo "$BOOTP-Host', ["BOOTP-Host-Name"]),
        (r'Echo "\$co', []),
        ("Goto ins", ["install", "inside"]),
        ('If "$a" == "b" Goto my', ["my label"]),
        ("TextAttr Ye", ["Yellow"]),
        ("TextAttr Yellow LightB", ["LightBlue"]),
        ('DrawGif "a.gif" 0 0 Sp', ["Spare-Colors"]),
        ("GetKey cou", ["count"]),
        ("Set Error", ["ErrorMode"]),
        ('Set ErrorMode = "C', ["CONTINUE"]),
        ('Set Verify = "', ["ON", "OFF"]),
        ('SetPartitions "FAT32', ["FAT32", "FAT32-LBA"]),
        ('SetPartitions "BIGDOS:100 LINUX', ["LINUX-SWAP", "LINUX-EXT2"]),
        ('SetPartitions "GPT EF', ["EFI"]),
        ('SetPartitions "BIGDOS:1', []),
        ("If no", ["not"]),
        ('If "a" Match', ["Match-Expr", "Match-Passwd"]),
        ('Copy "a', ["a!"]),
        ('If exist "b', ["b!"]),
        ("# Full", []),
        (":Full", []),
        ("Nonsense Full", []),
    ],
)
def test_what_may_come(line: str, expected: list[str]) -> None:
    assert texts(line) == expected


def test_an_empty_line_may_become_any_command() -> None:
    found = texts("")
    assert {"Set", "Del", "Delete", "FullUnzip"} <= set(found)
    assert "Quit" not in found
    assert "FullZip" not in found
    assert "FullZip" in texts("", Known(program="MrZip"))


def test_a_candidate_says_what_it_replaces() -> None:
    line = 'If "$x" == "1" Goto ins'
    assert {line[each.start :] for each in complete(line, len(line), COMMANDS, KNOWN)} == {"ins"}
    assert {each.kind for each in complete(line, len(line), COMMANDS, KNOWN)} == {"label"}


def test_only_what_is_in_front_counts() -> None:
    assert [each.text for each in complete('Full "x.imz" 1', 4, COMMANDS, KNOWN)] == ["FullUnzip"]


@given(st.text(), st.integers(0, 60))
def test_any_text_is_completed_or_not(line: str, position: int) -> None:
    """Never an error."""
    for each in complete(line, position, COMMANDS, KNOWN):
        assert each.start <= position


@given(st.lists(st.sampled_from(['If ', 'not ', '"a"', "$n", "{", "}", "Set ", "=", " ", "(", ")", "At ", "1", ",", "Goto ", "\\", "$", "${", ":", "valid"])))
def test_any_beginning_of_a_line_is_completed_or_not(pieces: list[str]) -> None:
    complete("".join(pieces), 100, COMMANDS, KNOWN)
