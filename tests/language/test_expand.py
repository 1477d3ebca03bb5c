"""Expansion: what the parser gets to read, and where each piece was written."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bpscript.language.expand import (
    HOLE,
    _any_template,
    _plain_template,
    expand,
    make_template,
    names_of,
    parts_of,
    unescape,
)
from bpscript.language.places import Expanded, PlacedError

VALUES = {"n": "5", "q": 'say "hi"', "b": "a\\b", "s": "/", "e": "", "ab": "short", "a-b": "AB", "op": "{1}", "sub": "/o=0/"}


def upper(code: int) -> str:
    return bytes([code]).decode("cp850")


def expanded(line: str, column: int = 1) -> Expanded:
    return expand(line, column, VALUES.get, upper)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('log "$n"', 'log "5"'),
        ('log "$q"', r'log "say \"hi\""'),
        ("log $q", r"log say \"hi\""),
        ('log "$b"', r'log "a\\b"'),
        (r'log "\101\n\""', 'log "A\\\n\\""'),
        (r"log \12 \400 \8", "log 12 400 8"),
        (r'log "\202"', 'log "\\é"'),
        ("log a\\", "log a\\\\"),
        ('set x = "a$s"/$s=$s/', 'set x = "a/"/\\/=\\//'),
        ('set x = "a"$op$n', 'set x = "a"{1}5'),
        ('set x = "a"$sub', 'set x = "a"/o=0/'),
        ("set x = ($n-1)", "set x = (5-1)"),
        ("set x = $a-b-c", "set x = AB-c"),
        ("set x = $abc", "set x = "),
        ("$5 $ $-x", "$5 $ $-x"),
    ],
)
def test_what_the_parser_reads(line: str, text: str) -> None:
    assert expanded(line).text == text


@pytest.mark.parametrize(
    ("line", "message", "column"),
    [
        ("log ${n", "${ without } on the line", 5),
        ("log ${}", "${} is no variable", 5),
        ("log ${a b}", "${a b} is no variable", 5),
        (r'log "\000"', r"\000 is not allowed", 6),
    ],
)
def test_what_is_refused(line: str, message: str, column: int) -> None:
    with pytest.raises(PlacedError) as raised:
        expanded(line)
    assert raised.value.message.startswith(message)
    assert raised.value.column == column


def test_names_are_shortened_at_signs() -> None:
    assert names_of("a-b+c-") == (("a-b+c-", ""), ("a-b+c", "-"), ("a-b", "+c-"), ("a", "-b+c-"))


@pytest.mark.parametrize(
    ("line", "found", "column"),
    [
        ('echo "${q}" end', "end", 13),
        ("echo $n$n end", "end", 11),
        (r'echo "\101\102" end', "end", 17),
        (r"echo \65 end", "end", 10),
        ("echo $e end", "end", 9),
        ('echo "$ab-x" end', "end", 14),
        ("echo $q", "hi", 6),
    ],
)
def test_columns_are_those_of_the_line_as_written(line: str, found: str, column: int) -> None:
    text = expanded(line)
    assert text.column(text.text.index(found)) == column
    shifted = expanded(line, 4)
    assert shifted.column(shifted.text.index(found)) == column + 3


def test_what_is_never_closed_is_known() -> None:
    assert expanded('log "a').unclosed == 4
    assert expanded('log "a"/b').unclosed_operator == 7
    assert expanded('log "a"/b').operator_part == "="
    assert expanded('log "a"/b=c').operator_part == "/"
    assert expanded('log "a" / 2').unclosed_operator is None


@given(st.text(st.sampled_from('ab"\\$n{}[]()/=- 1'), max_size=30))
def test_a_template_with_its_values_is_the_expanded_line(line: str) -> None:
    """Where every value is a digit, filling the holes gives what expanding gives."""
    assume("${" not in line)
    template = make_template(line, 1, {}, upper)
    text = template.line.text
    for index, _ in enumerate(template.macros):
        text = text.replace(HOLE + chr(0xE000 + index), "7")
    assert text == expand(line, 1, lambda name: "7", upper).text


@given(st.text(max_size=20))
def test_an_inserted_value_is_itself_again(value: str) -> None:
    value = value.replace("\0", "")
    text = expand('"$v"', 1, lambda name: value, upper).text
    assert unescape(text[1:-1]) == value
    assert "".join(str(part) for part in parts_of(text[1:-1])) == value


@settings(max_examples=500)
@given(st.lists(st.sampled_from(['"', "$n", "$n-1+b", "${n-1}", "${", "$", " ", "a", "{", "}", "/", "=", "(", ")", "[0]", "\\101", "\\$", "5", "}/", "\u00e9"]), max_size=12).map("".join), st.sampled_from([{}, {0: 1}, {1: 1, 0: 2}]))
def test_plain_lines_become_the_same_templates_in_one_go(line: str, choices: dict[int, int]) -> None:
    try:
        wanted = _any_template(line, 3, choices, upper)
    except (PlacedError, IndexError):       # a choice that the name does not have
        return
    template = make_template(line, 3, choices, upper)
    assert template.line.text == wanted.line.text
    assert template.line.segments == wanted.line.segments
    assert [(each.names, each.where) for each in template.macros] == [(each.names, each.where) for each in wanted.macros]
    assert (template.line.unclosed, template.line.unclosed_operator, template.line.operator_part) == (
        wanted.line.unclosed, wanted.line.unclosed_operator, wanted.line.operator_part,
    )  # fmt: skip


def test_most_lines_are_plain() -> None:
    assert _plain_template('if "$a" == "b" echo "$c-d ${e}"', 1, {}) is not None
    for line in ('echo "\\101"', 'echo "a"/b=c/', 'echo "a', 'echo "${"'):
        assert _plain_template(line, 1, {}) is None
