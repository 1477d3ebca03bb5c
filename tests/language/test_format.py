"""One way to write a script, which means what it meant before."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bpscript.base.errors import BpscriptError
from bpscript.cli.main import main
from bpscript.commands import COMMANDS
from bpscript.language.format import format_bytes, format_line, format_script, meaning
from bpscript.language.source import Source
from tests.bounded import bounded
from tests.grammar.casefile import Case
from tests.grammar.test_cases import ALL_CASES, identity, run_and_judge

EXAMPLES = Path(__file__).parents[1] / "spec" / "examples"
SCRIPTS = sorted([*EXAMPLES.rglob("*.bpb"), *EXAMPLES.rglob("*.mrz")])


@pytest.mark.parametrize(
    ("written", "formatted"),
    [
        ('  if   not exist "a.txt"   ECHO"none"  ', 'If not exist "a.txt" Echo "none"'),
        ("at 3 , 4 print   (1+2)", "At 3,4 Print (1 + 2)"),
        ("set x=( 3--2 )", "Set x = (3 - -2)"),
        ("set x=((1+2)*3)", "Set x = ((1 + 2) * 3)"),
        ("set n=($n+1)", "Set n = ($n+1)"),
        ("set n=($n + 1)", "Set n = ($n + 1)"),
        ("set n=( $n-1 )", "Set n = ( $n-1 )"),
        ("if $a=>3 goto  x", "If $a>=3 Goto x"),
        ("if 2<>3 goto  x", "If 2 != 3 Goto x"),
        ('IF CI "a" MATCH-EXPR "b*" BEEP', 'If ci "a" Match-Expr "b*" Beep'),
        ('IF "a" IN "a b" BEEP', 'If "a" in "a b" Beep'),
        ("if valid:1 beep", "If valid :1 Beep"),
        ("if valid 0 : 1 beep", "If valid 0:1 Beep"),
        ("hdboot  :1", "HdBoot :1"),
        ('drawtext 220 -5 "x"  YELLOW', 'DrawText 220 -5 "x" Yellow'),
        ('drawgif "a" 0 0 BEST-COLORS', 'DrawGif "a" 0 0 Best-Colors'),
        ('clear blue " " 2 ,3, 4,5', 'Clear Blue " " 2,3,4,5'),
        ('echo "a"{ 1 - 2 }/a=b/', 'Echo "a"{1-2}/a=b/'),
        ('echo "a  b"', 'Echo "a  b"'),
        (".wrt  two  blanks", ".WRT two  blanks"),
        ('del "x"', 'Del "x"'),
        ("set x = 007", "Set x = 007"),
        ("textattr $fg  $bg", "TextAttr $fg $bg"),
        ("goto   my   label", "Goto my   label"),
        (":  my \t label ", ":my label"),
        ("  #   a comment  ", "#   a comment"),
        (" \t ", ""),
        ("  nonsense   here ", "nonsense   here"),
        ('  echo "open', 'echo "open'),
        ("  $any   thing  ", "$any   thing"),
        ("set colour-$n   = 5", "set colour-$n   = 5"),
        ("echo \x00", "echo \x00"),
        (r'onexit eval "log \"$x\""', r'OnExit Eval "log \"$x\""'),
        ('onkey "a"   if "x"=="y" goto z', 'OnKey "a" If "x" == "y" Goto z'),
        ('filter -"*.swp"', 'Filter -"*.swp"'),
        ('source ARCHIVE "x"', 'Source archive "x"'),
        ("set x = #\"a b\"", "Set x = #\"a b\""),
        ('set x = @  "a b"', 'Set x = @"a b"'),
        ("waitforkey 0.5   goto out", "WaitForKey 0.5 Goto out"),
    ],
)
def test_a_line(written: str, formatted: str) -> None:
    assert format_line(written, COMMANDS) == formatted


def test_blank_lines_are_one_and_line_ends_stay() -> None:
    written = b"\r\n\r\n# top\r\n\r\n\r\n\r\n  beep\nbeep\rbeep\x1a  beep\r\n\r\n"
    assert format_bytes(written, COMMANDS) == b"# top\r\n\r\nBeep\nBeep\rBeep\x1a  beep\r\n\r\n"


def test_bytes_of_every_encoding_stay() -> None:
    for text in (b'\xef\xbb\xbfecho "\xc3\xa4"\n', b'echo "\xe4\x84"\n# \xff\n'):
        assert format_bytes(text, COMMANDS) == text.replace(b"echo", b"Echo")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_examples_mean_the_same(path: Path) -> None:
    written = path.read_bytes()
    formatted = format_bytes(written, COMMANDS)
    assert format_bytes(formatted, COMMANDS) == formatted
    assert meanings(written.decode()) == meanings(formatted.decode())


def meanings(text: str) -> list[object]:
    """What each line says; the text itself where it cannot be read."""
    found: list[object] = []
    for line in Source.parse("x", text).lines:
        try:
            found.append(meaning(line.text, COMMANDS) if line.kind.value == "command" else None)
        except BpscriptError:
            found.append(line.text)
    while found and found[-1] is None:
        found.pop()
    return [each for each in found if each is not None]


def keeps_its_lines(script: bytes) -> bool:
    """Whether no empty line goes, so that errors stay where they are."""
    formatted = format_bytes(script, COMMANDS)
    return formatted.count(b"\n") == script.count(b"\n") and formatted.count(b"\r") == script.count(b"\r")


PLAIN = [
    case for case in ALL_CASES
    if case.source.startswith("run/") and not case.disks and b"race" not in case.script and keeps_its_lines(case.script)
]  # fmt: skip


# A part of them in the usual run.
SOME = [pytest.param(case, id=identity(case), marks=[] if index % 5 == 0 else [pytest.mark.slow]) for index, case in enumerate(PLAIN)]


@pytest.mark.parametrize("case", SOME)
def test_a_formatted_script_runs_the_same(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every case of the language without a disk, with its script formatted: the same log, variables, files and errors."""
    formatted = format_bytes(case.script, COMMANDS)
    expected = case.expected
    if expected.error is not None and expected.error.file is None:
        expected = replace(expected, error=replace(expected.error, column=None))
    expected = replace(expected, logged_errors=tuple(replace(each, column=None) for each in expected.logged_errors))
    if expected.log and ":" in expected.log:
        expected = replace(expected, log=None)      # it may show places
    problems = list(run_and_judge(replace(case, script=formatted, expected=expected), tmp_path, monkeypatch))
    assert not problems, f"{case.source}: {case.name}\n" + formatted.decode("latin-1") + "\n" + "\n".join(problems)


def readable(line: str) -> bool:
    try:
        return bool(meaning(line.strip(" \t"), COMMANDS))
    except BpscriptError:
        return False


SPELLINGS: tuple[Callable[[str], str], ...] = (str.lower, str.upper, str)
BLANK = st.sampled_from(["", " ", "  ", "\t"])
NAME = st.sampled_from(["x", "n", "colour", "os-1", "A_b"])
INNER = st.sampled_from(["a", "b c", "", "$n", "${n}", "$n-1", r"\"", r"\101", r"\\", "  ", "#", "{0:1}/x", "é"])
STRING = st.lists(INNER, max_size=3).map(lambda parts: '"' + "".join(parts) + '"')


@st.composite
def numbers(draw: st.DrawFn, depth: int = 2) -> str:
    kind = draw(st.integers(0, 5 if depth else 2))
    if kind == 0:
        return str(draw(st.integers(-20, 20)))
    if kind == 1:
        return "$" + draw(NAME)
    if kind == 2:
        return draw(st.sampled_from(["@", "#"])) + draw(BLANK) + draw(texts(0))
    gap = [draw(BLANK) for _ in range(4)]
    operator = draw(st.sampled_from("+-*/%"))
    return f"({gap[0]}{draw(numbers(depth - 1))}{gap[1]}{operator}{gap[2]}{draw(numbers(depth - 1))}{gap[3]})"


@st.composite
def texts(draw: st.DrawFn, depth: int = 1) -> str:
    found = draw(STRING)
    for _ in range(draw(st.integers(0, 2)) if depth else 0):
        gap = [draw(BLANK) for _ in range(4)]
        brackets = draw(st.sampled_from(["{}", "[]"]))
        found += draw(
            st.sampled_from(
                ["/a=b/", "/.= /", f"{brackets[0]}{gap[0]}1{gap[1]}{brackets[1]}", f"{brackets[0]}{gap[0]}1{gap[1]}-{gap[2]}$n{gap[3]}{brackets[1]}"]
            )
        )
    return found


@st.composite
def commands(draw: st.DrawFn, depth: int = 2) -> str:
    gap = [draw(BLANK) for _ in range(6)]
    some = [each or " " for each in gap]
    case: Callable[[str], str] = draw(st.sampled_from(SPELLINGS))
    number, text, name = draw(numbers()), draw(texts()), draw(NAME)
    simple = [
        f"{case('Set')}{some[0]}{name}{gap[1]}={gap[2]}{number}",
        f"{case('Set')}{some[0]}{name}{gap[1]}={gap[2]}{text}",
        f"{case('Echo')}{gap[0]}{text}",
        f"{case('Copy')}{gap[0]}{text}{some[1]}{draw(texts())}",
        f"{case('DrawBar')}{some[0]}1{some[1]}{number}{some[2]}-3{some[3]}4{some[4]}{case('Yellow')}",
        f"{case('HdBoot')}{some[0]}1{gap[1]}:{gap[2]}2",
        f"{case('.WRT')}{some[0]}free  text",
        f"{case('Goto')}{some[0]}os-$n",
        f"{case('Clean')}{some[0]}1{some[1]}{text}",
        f"{case('Filter')}{some[0]}-{text}",
    ]
    if not depth:
        return draw(st.sampled_from(simple))
    inner = draw(commands(depth - 1))
    nested = [
        f"{case('If')}{some[0]}{case('not')}{some[1]}{text}{gap[2]}{draw(st.sampled_from(['==', '<>', '=<']))}{gap[3]}{draw(texts())}{some[4]}{inner}",
        f"{case('If')}{some[0]}{number}{some[2]}=>{some[3]}{draw(numbers())}{some[4]}{inner}",
        f"{case('If')}{some[0]}{case('ci')}{some[1]}{text}{some[2]}{case('Match-Expr')}{some[3]}{draw(texts())}{some[4]}{inner}",
        f"{case('If')}{some[0]}{case('valid')}{some[1]}:{gap[2]}{number}{some[4]}{inner}",
        f"{case('At')}{some[0]}{number}{gap[1]},{gap[2]}{number}{some[3]}{inner}",
        f"{case('OnKey')}{gap[0]}\"a\"{some[1]}{inner}",
        f"{case('WaitForKey')}{some[0]}0.5{some[1]}{inner}",
    ]
    return draw(st.sampled_from(simple + nested))


@settings(max_examples=150)
@given(commands())
def test_a_generated_line_means_the_same(line: str) -> None:
    formatted = format_line(line, COMMANDS)
    assert format_line(formatted, COMMANDS) == formatted
    for choice in (0, 1):       # of `$n-1`: the variable n-1, or n
        choices = dict.fromkeys(range(50), choice) if choice and "$n-1" in line else {}
        try:
            before = meaning(line.strip(" \t"), COMMANDS, choices)
        except (BpscriptError, IndexError):
            continue
        assert meaning(formatted, COMMANDS, choices) == before


@settings(max_examples=80)
@given(st.lists(commands(), max_size=6), st.sampled_from(["\n", "\r\n", "\r"]))
def test_a_formatted_line_is_written_one_way(lines: list[str], end: str) -> None:
    """More blanks in between change nothing; next to a macro they stay as they are, because they may be part of what its value makes of the line."""
    text = end.join(line for line in lines if readable(line)) + end
    plain = end.join(line for line in lines if readable(line) and "$" not in line) + end
    assert format_script(plain.replace("\t", "  "), COMMANDS) == format_script(plain, COMMANDS)
    assert format_script(format_script(text, COMMANDS), COMMANDS) == format_script(text, COMMANDS)


@given(st.binary())
@example(b"\r\r\n\n\r")
@example(b"\xef\xbb\xbf\x1a\xef\xbb\xbf")
def test_any_bytes_are_formatted(data: bytes) -> None:
    formatted = format_bytes(data, COMMANDS)
    assert format_bytes(formatted, COMMANDS) == formatted
    assert sorted(formatted.translate(None, b" \t\r\n").lower()) == sorted(data.translate(None, b" \t\r\n").lower())


@given(st.text(alphabet='ab"$\\/={}[]()+-*%#@:,. \t0', max_size=30))
def test_any_odd_line_is_formatted(line: str) -> None:
    formatted = format_line(line, COMMANDS)
    assert format_line(formatted, COMMANDS) == formatted


@pytest.mark.parametrize("line", ["Set x = " + "(" * 4000 + "1" + "+1)" * 4000, "If 1 == 1 " * 3000 + "Beep", 'Echo "a"' + "/a=b/" * 4000, "Echo " + "$x " * 7000])
def test_what_was_made_to_hurt_takes_neither_time_nor_memory(line: str) -> None:
    outcome = bounded(lambda: format_line(line, COMMANDS), memory=300, seconds=20)
    assert outcome.error == "", outcome.message


# The verb


def test_a_file_is_replaced_in_one_step_and_keeps_its_mode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "a.bpb"
    script.write_bytes(b"  beep\r\n")
    script.chmod(0o750)
    inode = script.stat().st_ino
    assert main(["fmt", str(script)]) == 0
    assert script.read_bytes() == b"Beep\r\n"
    assert script.stat().st_mode & 0o777 == 0o750
    assert script.stat().st_ino != inode
    assert os.listdir(tmp_path) == ["a.bpb"]
    assert capsys.readouterr().out == f"{script}: formatted\n"
    assert main(["fmt", str(script)]) == 0
    assert not capsys.readouterr().out


def test_check_and_diff_write_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "a.bpb"
    script.write_bytes(b"  beep\n# x\n")
    assert main(["fmt", "--check", str(script)]) == 1
    assert capsys.readouterr().out == f"{script}: would be formatted\n"
    assert main(["fmt", "--diff", str(script)]) == 0
    assert "-  beep\n+Beep\n # x\n" in capsys.readouterr().out
    assert script.read_bytes() == b"  beep\n# x\n"


def test_standard_input_goes_to_standard_output(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "in"
    source.write_bytes(b'echo"\xe4"\r\n')
    with source.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert main(["fmt", "-"]) == 0
    assert capfdbinary.readouterr().out == b'Echo "\xe4"\r\n'


def test_a_missing_script_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fmt", str(tmp_path / "none.bpb")]) == 2
    assert main(["fmt", str(tmp_path)]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_what_is_no_script_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`fmt *` in a folder with images in it: nothing is written, not even the script beside them."""
    script, image = tmp_path / "s.bpb", tmp_path / "logo.gif"
    script.write_bytes(b"ECHO   1\n")
    image.write_bytes(b"GIF89a\0\1\n  echo   1\n")
    assert main(["fmt", str(script), str(image)]) == 2
    assert "logo.gif is no script: there are NUL characters in it" in capsys.readouterr().err
    assert image.read_bytes() == b"GIF89a\0\1\n  echo   1\n"
    assert script.read_bytes() == b"ECHO   1\n"
    script.write_bytes(b"ECHO   1\n\x1a\0\0")       # behind the end of a DOS file anything may stand
    assert main(["fmt", str(script)]) == 0
