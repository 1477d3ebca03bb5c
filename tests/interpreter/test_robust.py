"""Any text runs, or ends with one ScriptError; nothing else, and never a loop of its own."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.commands import COMMANDS
from tests.scripts import run_script

# Commands that wait are left out: time stands still, but keys run out.
NAMES = sorted({name.lower() for name in COMMANDS.names()} - {"goto"})
PIECES = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from(['"', '"a b"', "(", ")", "(1 + 2)", "{", "}", "{0}", "[1]", "/a=b/", "$", "$n", "${n}", "${", "\\", "\\101", "\\000",
                     "\\377", "==", "<", "not", "ci", "in", "exist", "valid", "match-expr", ":1", "0:1", "1,2", ",", "5", "-5", "2147483648",
                     "0.5", "#", "@", "+", "*", "name", "set", "=", "if", "at", "eval", "archive", "path", "\t", "\x00", "\x7f", "é", "𝒳",
                     "{:1}/x", "default", "x.bpb", "Black", "%"]),
    st.text(max_size=4),
)  # fmt: skip
SCRIPTS = st.lists(st.lists(PIECES, max_size=9).map(" ".join), max_size=6).map("\n".join)


@settings(max_examples=400, deadline=None)
@given(script=SCRIPTS, program=st.sampled_from(["MrBatch", "MrZip"]))
def test_random_scripts_end_in_one_clear_error(script: str, program: str) -> None:
    ran = run_script(script, keys="ab\r\033", files={"x.bpb": b"echo 1"}, variables={"n": "5"}, program=program)
    if ran.error is not None:
        assert ran.error.line >= 1
        assert 1 <= ran.error.column <= len(ran.error.source) + 1
        assert "\n" not in ran.error.message
        assert ran.error.explain()


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200))
def test_random_bytes_end_in_one_clear_error(data: bytes) -> None:
    ran = run_script('include "x"', files={"x": data}, keys="ab\r")
    assert ran.error is None or "\n" not in ran.error.message


@settings(max_examples=150, deadline=None)
@given(keys=st.text(st.sampled_from(string.printable), max_size=80))
def test_anything_may_be_typed_at_the_prompt(keys: str) -> None:
    assert run_script("", keys=keys, prompt=True).error is None


@pytest.mark.parametrize(
    ("script", "log"),
    [
        ("if 1 == 1 " * 1000 + 'log "x"', "x"),
        ("at 1,1 " * 1000 + 'log "x"', "x"),
        ("echo " + "(" * 10_000 + "1" + ")" * 10_000, "1\r\n"),
        ("echo " + "(1+" * 10_000 + "1" + ")" * 10_000, "10001\r\n"),
        ("echo " + "(" * 10_000 + "1" + "+1)" * 10_000, "10001\r\n"),
        ('echo @"' + "a" * 100_000 + '"', "100000\r\n"),
        ('log "a"' + "/a=a/" * 5000, "a"),
        ('log "a"' + "{0}" * 5000, "a"),
        ('echo "a"[' + '@"a"[' * 3000 + "1" + "]" * 3000 + "]", "\r\n"),
    ],
)
def test_deep_nesting_needs_no_stack(script: str, log: str) -> None:
    ran = run_script(script)
    assert ran.error is None
    assert ran.log == log


@pytest.mark.parametrize("script", ["echo " + "(" * 10_000, "echo " + "(1+" * 5000 + "1", 'log "a"' + "{" * 5000, "if " + "not " * 5000])
def test_deep_nesting_without_end_is_one_error(script: str) -> None:
    ran = run_script(script)
    assert ran.error is not None
    assert ran.error.line == 1


def test_an_eval_in_itself_is_endless_but_needs_no_stack() -> None:
    script = 'set i = 0\nset e = "set i = (\\$i + 1)"\n:l\neval "$e"\nif $i < 3000 eval "goto l"\n'
    assert run_script(script).variables["i"] == "3000"
