"""What may be written next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.commands import COMMANDS
from bpscript.language.completion import Known, complete, help_at, usage_at

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


def test_numbers_are_completed_by_what_they_count() -> None:
    known = KNOWN._replace(partitions=lambda: [("1", "FAT16, 20 MB"), ("2", "LINUX-EXT2, 20 MB")], disks=lambda: [("0", "64 MB")])
    assert texts('FullUnzip "a" ', known) == ["1", "2"]
    assert texts('FullUnzip "a" 2', known) == ["2"]
    assert texts('FullUnzip "a" 2 ', known) == ["0"]
    assert texts("Clean ", known) == ["1", "2"]
    assert texts("HdBoot :", known) == [":1", ":2"]
    assert texts("If valid ", known) == [":1", ":2"]
    assert texts("If not valid :2", known) == [":2"]
    assert [each.about for each in complete("Blank ", 6, COMMANDS, known)] == ["FAT16, 20 MB", "LINUX-EXT2, 20 MB"]


def test_what_belongs_to_the_prompt_is_offered_only_there() -> None:
    assert "Quit" not in texts("Qu")
    assert texts("Qu", KNOWN._replace(at_prompt=True)) == ["Quit"]


def test_variables_are_shown_with_what_they_hold() -> None:
    known = KNOWN._replace(value={"colour": "red"}.get)
    assert [(each.text, each.about) for each in complete('Echo "$colo', 11, COMMANDS, known)] == [("colour", "red")]


@pytest.mark.parametrize(
    ("line", "usage"),
    [
        ("", ""),
        ("Nonsense ", ""),
        ("Copy", 'Copy "source" "dest"'),
        ("Copy ", 'Copy "source" "dest"   "source": the file to read'),
        ('Copy "a" ', 'Copy "source" "dest"   "dest": the file to write; its directory must exist'),
        ('Copy "a" "b', 'Copy "source" "dest"   "dest": the file to write; its directory must exist'),
        ('Copy "a" "b" ', 'Copy "source" "dest"'),
        ('If exist "a" WaitForKey 5 Copy "a" ', 'Copy "source" "dest"   "dest": the file to write; its directory must exist'),
    ],
)
def test_the_usage_of_the_command_under_the_cursor(line: str, usage: str) -> None:
    assert usage_at(line, COMMANDS) == usage


def test_the_help_of_the_command_under_the_cursor() -> None:
    assert "Programs: all." in help_at('If "a" == "b" Copy "x', COMMANDS)
    assert help_at("Nonsense 1", COMMANDS) == help_at("", COMMANDS) == ""


@given(st.text(st.sampled_from('Ci$"{}:,. =\\1-@'), max_size=30))
def test_any_line_has_a_usage_or_none(line: str) -> None:
    """Never an error, whatever stands there."""
    usage_at(line, COMMANDS)
    help_at(line, COMMANDS)
