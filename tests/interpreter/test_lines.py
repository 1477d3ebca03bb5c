"""A line that was prepared once runs as it would if it were expanded and parsed anew."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpscript.interpreter import lines
from bpscript.interpreter.prepare import Statement, prepare
from bpscript.interpreter.run import Run
from bpscript.language.places import Expanded
from tests.scripts import Ran, run_script

VALUES = st.one_of(
    st.sampled_from(["", "0", "5", "-5", "+7", "007", "2147483647", "99999999999", "abc", "a b c", '"', "\\", "/", "=", "{1}", "1-2", ",",
                     "(1 + 2)", "(1", ")", " 7 ", "5 # x", "n-1", "\r\n", "$n", "-", "end", '"a"', "1\t2", "x=y", "0x10", "1.5", "٣"]),
    st.integers(-(2**31), 2**31 - 1).map(str),
    st.text(st.sampled_from('ab1 "\\/={}[]()-+,$#@\t'), max_size=6),
)  # fmt: skip
MACRO = st.sampled_from(["$n", "${n}", "$m", "$n-1", "$n+$m", "$n-m", "${m}1", "$u", "$u-1", "$Linux-FS-$n"])
LINES = st.sampled_from(
    [
        "set r = ({0} + {1})", "set r = ({0}-{1})", "set r = (3 -{0})", "set r = ({0} * (2 - {1}))", 'set r = "{0} and {1}"',
        'set r = "a b c d"{{{0}-{1}}}', 'set r = "abcdef"[{0}]', 'set r = "x{0}y"/{1}=z/', 'set r = "xay"/a={0}/{{{1}}}', "set r = {0}",
        "set r = -{0}", "set r = {0}{1}", "set r = 1{0}", "set {0} = 5", "set x{0} = {1}", 'if {0} < {1} set r = "less"', "echo {0} {1}",
        'if "{0}" == "{1}" set r = ({0} + 1)', 'if {0}>={1} if not {1} == 3 echo "{0}"', "at {0},{1} echo {0}", "goto {0}", "goto l-{0}",
        'if ci "{0}" in "{1} x" goto end', "echo #\"{0} {1}\"", "echo @\"{0}\"{{{1}}}", "{0} {1}", '{0} "x"', 'echo "{0}" {1}', "delay 0{0}",
        'at 1,{0} if {1} == 5 at {0},2 log "{1}{0}"', 'onexit log "{0}{1}"', 'eval "set r = {0}"', "echo ({0}", '.WRT {0} "{1}',
        'echo "a"{0}', "drawbar {0} 1 {1} -2 3", "drawtext {0}-5 {1} \"x\"", 'if valid {0}:{1} echo "v"', "echo \\101{0}", "textattr {0} {1}",
    ]
)  # fmt: skip


def facts(ran: Ran) -> tuple[object, ...]:
    error = None if ran.error is None else (ran.error.message, ran.error.line, ran.error.column, ran.error.width, ran.error.hint)
    return ran.log, ran.variables, error, ran.booted, str(ran.screen)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=LINES, one=MACRO, two=MACRO, values=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=3))
def test_a_prepared_line_does_what_the_expanded_line_does(
    line: str, one: str, two: str, values: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same line runs several times with other values, so that what was prepared for one meets the next."""
    text = line.format(one, two)
    script = ["set turn = 0", ":again"]
    variables: dict[str, str] = {}
    for turn, (n, m) in enumerate(values):
        variables |= {f"n{turn}": n, f"m{turn}": m}
        script += [f"if $turn == {turn} eval \"set n = \\\"\\${{n{turn}}}\\\"\"", f"if $turn == {turn} eval \"set m = \\\"\\${{m{turn}}}\\\"\""]
    script += ["set turn = ($turn + 1)", 'set ErrorMode = "CONTINUE"', text, 'set ErrorMode = "STOP"', 'log "|$r|$LastError|"']
    script += [f"if $turn < {len(values)} goto again", ":end", ":l-5", ":5"]
    source = "\n".join(script)
    fast = facts(run_script(source, variables=variables))
    with monkeypatch.context() as patched:
        patched.setattr(lines, "_is_safe", lambda template: False)
        slow = facts(run_script(source, variables=variables))
    assert fast == slow


def test_a_loop_uses_the_template(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of a loop is parsed once, not once a turn: that is where the speed comes from."""
    parsed = []

    def counting(text: Expanded, start: int, run: Run) -> Statement:
        parsed.append(text.text)
        return prepare(text, start, run)

    monkeypatch.setattr(lines, "prepare", counting)
    ran = run_script("set i = 0\n:l\nset i = ($i+1)\nif $i < 500 goto l\n")
    assert ran.variables["i"] == "500"
    assert len(parsed) == 3


def test_an_octal_code_follows_the_code_page_in_a_loop() -> None:
    ran = run_script('set i = 0\n:l\nlog "\\233 "\nloadcodepage "cp437.bin"\nset i = ($i+1)\nif $i < 2 goto l\n')
    assert ran.log == "ø ¢ "


def test_more_macros_than_a_template_can_number() -> None:
    ran = run_script('set a = "x"\nset r = "' + "$a" * 7000 + '"\nset n = @"$r"\n')
    assert ran.variables["n"] == "7000"
