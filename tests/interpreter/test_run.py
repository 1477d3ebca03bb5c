"""Runs: errors and their places, the prompt, exit handlers, events, the log."""

import pytest

from bpscript.base.events import Event, Kind
from tests.scripts import run_script


@pytest.mark.parametrize(
    ("script", "line", "column", "width", "source"),
    [
        ("\n  nonsense 5", 2, 3, 8, "  nonsense 5"),
        ('set v = "long text"\necho "$v" x', 2, 11, 1, 'echo "$v" x'),
        ("set v = (1 +\t(2 / 0))", 1, 14, 7, "set v = (1 +\t(2 / 0))"),
        ('set n = 5\nset v = ($n + "a")', 2, 15, 3, 'set v = ($n + "a")'),
        ('set n = "1 2"\nset v = ($n + 3)', 2, 10, 2, 'set v = ($n + 3)'),
        ('if 1 == 1 at 1,2 goto "no such"', 1, 23, 9, 'if 1 == 1 at 1,2 goto "no such"'),
        ('eval "set x = (1 / 0)"', 1, 6, 17, 'eval "set x = (1 / 0)"'),
        ('set n = 7\neval "goto l$n"', 2, 6, 10, 'eval "goto l$n"'),
        ('onexit goto nowhere\nlog "x"', 1, 13, 7, "onexit goto nowhere"),
    ],
)
def test_an_error_stands_where_it_was_written(script: str, line: int, column: int, width: int, source: str) -> None:
    error = run_script(script).error
    assert error is not None
    assert (error.file, error.line, error.column, error.width, error.source) == ("case.bpb", line, column, width, source)


def test_an_error_of_a_handler_is_at_the_line_that_ran_it() -> None:
    error = run_script('onkey "a" goto nowhere\n\n   waitforkey 1', keys="a").error
    assert error is not None
    assert (error.line, error.column, error.width) == (3, 4, 10)
    assert error.message == 'there is no label "nowhere" in case.bpb'


def test_the_whole_report_has_line_caret_and_hint() -> None:
    error = run_script('\tcopy "a"').error
    assert error is not None
    assert error.explain() == (
        'case.bpb:1:2: error: Copy needs more: "dest" is missing\n'
        '  \tcopy "a"\n'
        "  \t^^^^\n"
        '  usage: Copy "source" "dest"'
    )


@pytest.mark.parametrize(
    ("script", "message", "hint"),
    [
        ("gott end", 'unknown command "gott"', "did you mean Goto?"),
        (":ende\ngoto end", 'there is no label "end" in case.bpb', "did you mean ende?"),
        ("quit", "Quit is available only in interactive mode", "to leave a script, Goto a label on its last line"),
        ('echo "a', "missing closing quote", r'a quote inside a string is written \"'),
        ('set x = "a"/b', 'missing "=" in the substitution: expected /old=new/', "write a blank before a / that divides"),
        ("set Disks = 5", '"Disks" is a read-only variable', None),
        ("textattr purple", '"purple" is no colour', None),
        ('onkey "ab" beep', '"ab" is no key: expected one character, or default', None),
        ('log "\x00"', "a NUL character is not allowed in a script", None),
        ("# \x00", "a NUL character is not allowed in a script", None),
    ],
)
def test_what_is_said(script: str, message: str, hint: str | None) -> None:
    error = run_script(script).error
    assert error is not None
    assert error.message == message
    assert hint is None or error.hint == hint


def test_the_prompt_reads_until_quit() -> None:
    ran = run_script("", keys='set x = 5\recho "$x"\rquit\recho "never"\r', prompt=True)
    assert ran.log == "5\r\n"
    assert ran.screen.log_visible


def test_errors_at_the_prompt_are_shown_and_it_comes_back() -> None:
    ran = run_script("", keys='gott x\rgoto x\rinclude "inc"\recho "b"\r', files={"inc": b"log 1\nnonsense\nlog 2"}, prompt=True)
    assert ran.error is None
    assert ran.log == (
        '[warning] keyboard:1:1: error: unknown command "gott" (did you mean Goto?)\r\n'
        '[warning] keyboard:2:6: error: there is no label "x" in keyboard (there are no labels at the prompt)\r\n'
        '1\r\n[warning] inc:2:1: error: unknown command "nonsense"\r\n'
        "b\r\n"
    )


def test_control_characters_reach_no_terminal() -> None:
    error = run_script('goto "\033[2Jx"').error
    assert error is not None
    assert error.message == 'there is no label "\\033[2Jx" in case.bpb'
    assert error.explain().splitlines()[1] == '  goto "\ufffd[2Jx"'


def test_a_prompt_in_a_prompt_ends_somewhere() -> None:
    ran = run_script("", keys="interact\r" * 200, prompt=True)
    assert ran.error is None
    assert "files are nested more than 64 deep" in ran.log


def test_handlers_run_inside_out_after_an_error() -> None:
    files = {"inc": b'onexit log "inner "\nnonsense', "last": b'log "last "\nonexit nonsense2'}
    ran = run_script('onexit include "last"\ninclude "inc"\nlog "never"', files=files)
    assert ran.error is not None
    assert (ran.error.file, ran.error.message) == ("inc", 'unknown command "nonsense"')
    assert ran.log == 'inner last \r\n[warning] last:2:8: error: unknown command "nonsense2"\r\n'


def test_a_goto_in_a_handler_after_an_error_is_ignored_with_a_warning() -> None:
    ran = run_script("onexit goto again\nnonsense\n:again\nlog 1")
    assert ran.log == '[warning] Goto "again" in the exit handler is ignored: the file ended by an error\r\n'


def test_a_boot_in_a_handler_after_an_error_is_logged() -> None:
    ran = run_script("onexit poweroff\nnonsense")
    assert ran.log == "[boot] poweroff\r\n"
    assert ran.error is not None


def test_the_log_can_be_encoded_whatever_is_in_it() -> None:
    ran = run_script('set IsoLatin = "OFF"\nloadcodepage "cp1252"\nlogfile "x"', files={"x": b"\x81a\xe9"})
    assert ran.log == "?aé"
    ran.log.encode()


def test_a_log_that_nobody_reads_is_no_error_of_the_script() -> None:
    def closed(event: Event) -> None:
        if event.kind is Kind.LOG:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_script("log 1", events=closed)


def test_events_tell_what_runs() -> None:
    events: list[Event] = []
    run_script('if 1 == 1 log "x"\nnonsense', events=events.append)
    assert [(str(each.kind), each.data.get("name")) for each in events] == [
        ("command-started", "If"), ("command-finished", "If"), ("command-started", "Log"), ("log", None), ("command-finished", "Log"),
        ("error", None),
    ]  # fmt: skip
    assert events[-1].data == {"text": 'unknown command "nonsense"', "file": "case.bpb", "line": 2, "column": 1}
    assert events[0].data == {"name": "If", "file": "case.bpb", "line": 1}
    assert events[4].kind is Kind.COMMAND_FINISHED


def test_a_menu_error_is_at_the_line_of_its_first_key() -> None:
    error = run_script(".WLN x\n.KEY 1 a.pxe\n.KEY 2 b.pxe").error
    assert error is not None
    assert (error.line, error.column, error.message) == (2, 1, "end of keyboard input: no key of the menu was pressed")


def test_delay_and_wait_for_key_take_their_time() -> None:
    ran = run_script('delay 1.27\nwaitforkey 0.5 log "t"\ndelay (1+1)\ndelay 0')
    assert ran.log == "t"
    assert ran.clock.slept == pytest.approx(1.2 + 0.5 + 2)


def test_a_key_with_a_handler_cuts_a_delay_short() -> None:
    ran = run_script('onkey "default" log "d"\ndelay 60\ndelay 1', keys="x")
    assert (ran.log, ran.clock.slept) == ("d", 1.0)
