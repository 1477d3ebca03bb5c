"""A real terminal: what a person sees, and that the terminal is given back whatever happens."""

import re
import signal
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Cli
from tests.terminals import Terminal

MENU = Path(__file__).parent / "menu.bpb"

LOGIN = """
                             Gnats & Gnus University



                    User:
                    Password:"""
WRONG = """
                             Gnats & Gnus University



                    User:
                    Password:

                    Wrong password, try again."""
CHOICE = """


                    1  Windows
                    2  Linux (École)

                    Your choice:"""
COUNTDOWN = """


                    1  Windows
                    2  Linux (École)

                    Your choice: 2

                    Starting in 3 s, c cancels"""


def log_in(terminal: Terminal) -> None:
    """From the start to the menu, with one mistake."""
    assert terminal.wait_for("User:") == LOGIN.removesuffix("\n                    Password:")
    terminal.press("anna\r")
    terminal.wait_for("Password:")
    terminal.press("wronk\b\bng\r")
    assert terminal.wait_for("Wrong") == WRONG
    terminal.press("anne\177a\r")
    assert "User:     anna" in terminal.wait_for("anna")
    terminal.press("justdoit")
    assert "Password: ********\n" in terminal.wait_for("*" * 8)
    terminal.press("\r")


def test_login_wrong_password_menu_and_countdown(tmp_path: Path) -> None:
    with Terminal("run", str(MENU), folder=tmp_path) as terminal:
        log_in(terminal)
        assert terminal.wait_for("choice") == CHOICE
        assert (terminal.screen.cursor.y, terminal.screen.cursor.x) == (6, 33)
        cell = terminal.screen.buffer[3][20]
        assert (cell.fg, cell.bg) == ("ffff55", "000000")
        assert terminal.screen.is_alternate()
        terminal.press("2")
        assert terminal.wait_for("Starting in 3") == COUNTDOWN
        terminal.wait_for("Starting in 1")
        assert terminal.wait_for_end() == 0
        assert terminal.is_as_before
        assert terminal.screen.text == "login of anna failed\nlogin of anna\nstarts 2"


def test_a_key_with_a_handler_ends_the_countdown(tmp_path: Path) -> None:
    with Terminal("run", str(MENU), folder=tmp_path) as terminal:
        log_in(terminal)
        terminal.wait_for("choice")
        terminal.press("1c")
        assert terminal.wait_for_end() == 0
        assert terminal.screen.text.endswith("cancelled at 3")


def test_the_window_may_change_its_size_in_the_middle(tmp_path: Path) -> None:
    with Terminal("run", str(MENU), folder=tmp_path) as terminal:
        terminal.wait_for("User:")
        terminal.resize(30, 100)
        while terminal.read(0.3):
            pass
        lines = terminal.screen.text.splitlines()
        assert lines[3].index("Gnats") == 29 + 10       # in the middle: 10 columns and 2 lines further
        assert lines[7].index("User:") == 20 + 10
        terminal.press("bob\r")
        assert terminal.wait_for("Password:").splitlines()[7].strip() == "User:     bob"
        terminal.resize(6, 40)      # too small: the part with the cursor
        while terminal.read(0.3):
            pass
        assert terminal.screen.text == "                             Gnats & Gnu\n\n\n\n                    User:     bob\n                    Password:"
        terminal.press("x")
        terminal.wait_for("Password: *")
        assert (terminal.screen.cursor.y, terminal.screen.cursor.x) == (5, 31)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_gives_the_terminal_back(number: signal.Signals, status: int, tmp_path: Path) -> None:
    with Terminal("run", str(MENU), folder=tmp_path) as terminal:
        terminal.wait_for("User:")
        assert not terminal.is_as_before
        terminal.signal(number)
        assert terminal.wait_for_end() == status
        assert terminal.is_as_before


def test_control_c_gives_the_terminal_back(tmp_path: Path) -> None:
    with Terminal("run", str(MENU), folder=tmp_path) as terminal:
        log_in(terminal)
        terminal.wait_for("choice")
        terminal.press("\x03")
        assert terminal.wait_for_end() == 130
        assert terminal.is_as_before
        assert terminal.screen.text == "login of anna failed\nlogin of anna\nbpscript: interrupted"


def test_an_error_is_seen_when_the_terminal_is_given_back(tmp_path: Path) -> None:
    (tmp_path / "s.bpb").write_text('print "hello"\necho "logged"\ngetkey k\nnonsense\n')
    with Terminal("run", "s.bpb", folder=tmp_path) as terminal:
        terminal.wait_for("hello")
        terminal.press("k")
        assert terminal.wait_for_end() == 1
        assert terminal.is_as_before
        assert terminal.screen.text.splitlines()[:2] == ["logged", 's.bpb:4:1: error: unknown command "nonsense"']


def test_a_mistake_of_ours_gives_the_terminal_back(tmp_path: Path) -> None:
    (tmp_path / "s.bpb").write_text('print "hello"\ngetkey k\n')
    crash = "import bpscript.interpreter.keys as k, sys\nfrom bpscript.cli.main import main\ndef broken(*a, **b): raise ZeroDivisionError\nk.Keys.take = broken\nsys.exit(main())"
    (tmp_path / "crash.py").write_text(crash)
    with Terminal("run", "s.bpb", folder=tmp_path, command=(sys.executable, "crash.py")) as terminal:
        assert terminal.wait_for_end() == 1
        assert terminal.is_as_before
        assert "ZeroDivisionError" in terminal.screen.text


def test_a_window_that_is_closed_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "s.bpb").write_text('print "hello"\necho "one"\ngetkey k\n')
    with Terminal("run", "s.bpb", "--log-file", "log", folder=tmp_path) as terminal:
        terminal.wait_for("hello")
        terminal.hang_up()
        assert terminal.wait_without_terminal() == 129
        assert (tmp_path / "log").read_bytes() == b"one\r\n"


def test_a_window_that_is_closed_ends_the_keys_of_a_run_that_goes_on(tmp_path: Path) -> None:
    """As with nohup: the signal of a closed window is ignored, but nobody will press a key."""
    program = "import signal, sys\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\nfrom bpscript.cli.main import main\nsys.exit(main())"
    (tmp_path / "p.py").write_text(program)
    (tmp_path / "s.bpb").write_text('print "hello"\necho "one"\ngetkey k\n')
    with Terminal("run", "s.bpb", "--log-file", "log", folder=tmp_path, command=(sys.executable, "p.py")) as terminal:
        terminal.wait_for("hello")
        terminal.hang_up()
        assert terminal.wait_without_terminal() == 1
        assert (tmp_path / "log").read_bytes() == b"one\r\n"


def test_half_a_character_is_one_key_when_the_other_half_comes(tmp_path: Path) -> None:
    (tmp_path / "s.bpb").write_text('print "name: "\ninput name\necho "<$name>"\n')
    with Terminal("run", "s.bpb", folder=tmp_path) as terminal:
        terminal.wait_for("name:")
        terminal.press(b"Ren" + "é".encode()[:1])
        terminal.wait_for("name: Ren")
        assert not terminal.read(0.3)
        terminal.press("é".encode()[1:] + b"\xff\x1b[A\x1b[3~!\r")
        assert terminal.wait_for_end() == 0
        assert terminal.screen.text == "<René\ufffd!>"


def test_keys_with_alt_and_pasted_text(tmp_path: Path) -> None:
    script = """RemapKeys "y" "z"
RemapAltKeys "2y" "@Y"
print "keys: "
input one
input two 3
echo "<$one> <$two>"
"""
    (tmp_path / "s.bpb").write_text(script)
    with Terminal("run", "s.bpb", folder=tmp_path) as terminal:
        terminal.wait_for("keys:")
        assert 2004 << 5 in terminal.screen.mode        # pyte's way to note a private mode: pasted text is marked as such
        terminal.press(b"a\x1b2y\x1by\r")
        terminal.press(b"\x1b[200~long\x1b[201~\r")
        assert terminal.wait_for_end() == 0
        assert terminal.screen.text == "<a@zY> <lon>"


def test_escape_shows_the_log_and_the_screen_again(tmp_path: Path) -> None:
    (tmp_path / "s.bpb").write_text('print "picture"\necho "logged"\nwaitforkey 30\ngetkey k\necho "key $k"\n')
    with Terminal("run", "s.bpb", folder=tmp_path) as terminal:
        terminal.wait_for("picture")
        terminal.press("\x1b")
        assert terminal.wait_for("logged") == "logged"
        terminal.press("\x1b")
        assert terminal.wait_for("picture") == "picture"
        terminal.press("q")
        assert terminal.wait_for_end() == 0
        assert terminal.screen.text == "logged\nkey q"


def test_waiting_for_a_key_takes_no_processor_time(tmp_path: Path) -> None:
    (tmp_path / "s.bpb").write_text('print "waits"\ngetkey k\nwaitforkey 2\n')
    with Terminal("run", "s.bpb", folder=tmp_path) as terminal:
        terminal.wait_for("waits")
        before = terminal.cpu_seconds()
        assert not terminal.read(1.5)
        terminal.press("k")
        assert not terminal.read(1.5)
        assert terminal.cpu_seconds() - before <= 0.02      # two ticks of the kernel's clock


def test_the_screen_is_on_the_terminal_when_the_log_goes_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "s.bpb").write_text('print "shown"\necho "logged"\ngetkey k\n')
    with Terminal("run", "s.bpb", folder=tmp_path, stdout=tmp_path / "out") as terminal:
        terminal.wait_for("shown")
        terminal.press("k")
        assert terminal.wait_for_end() == 0
        assert terminal.is_as_before
        assert terminal.screen.text == ""
        assert (tmp_path / "out").read_text() == "logged\n"


def test_a_script_without_keys_leaves_the_terminal_alone(tmp_path: Path) -> None:
    (tmp_path / "s.bpb").write_text('# GetKey\nprint "Input"\necho "$VESA GetKey"\n')
    with Terminal("run", "s.bpb", folder=tmp_path) as terminal:
        assert terminal.wait_for_end() == 0
        assert terminal.received == b"OFF GetKey\r\n"


def test_an_included_script_that_asks_is_asking(tmp_path: Path) -> None:
    (tmp_path / "s.bpb").write_text('echo "$VESA"\ninclude "menu.bpb"\n')
    (tmp_path / "menu.bpb").write_text('if "a" == "a" at 1,1 getkey k\n')
    with Terminal("run", "s.bpb", folder=tmp_path) as terminal:
        while not terminal.screen.is_alternate() and terminal.read(20):
            pass
        terminal.press("k")
        assert terminal.wait_for_end() == 0
        assert terminal.screen.text == "ON"


@pytest.mark.parametrize("terminal_type", ["dumb", ""])
def test_a_dumb_terminal_gets_lines(terminal_type: str, tmp_path: Path) -> None:
    with Terminal("run", "--screen", "terminal", str(MENU), folder=tmp_path, environment={"TERM": terminal_type}) as terminal:
        terminal.wait_for("User:")
        terminal.press("anna\rjustdoiz\bt\r1")
        assert terminal.wait_for_end() == 0
        assert b"\x1b" not in terminal.received
        assert terminal.screen.text == (
            "Gnats & Gnus University\nUser:     anna\nPassword: ********\nlogin of anna\n"
            "1  Windows\n2  Linux (École)\nYour choice: 1\nStarting in 3 s, c cancels\nStarting in 2 s, c cancels\nStarting in 1 s, c cancels\nstarts 1"
        )


def test_without_colours_there_are_none(tmp_path: Path) -> None:
    with Terminal("run", str(MENU), folder=tmp_path, environment={"NO_COLOR": "1"}) as terminal:
        terminal.wait_for("User:")
        assert b";5;" not in terminal.received
        assert b"8;2;" not in terminal.received
        assert not re.search(rb"\x1b\[[0-9;]*[34][0-7]m", terminal.received)
        terminal.press("\x03")
        assert terminal.wait_for_end() == 130


def test_screen_terminal_without_one_is_wrong_usage(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "s.bpb").write_text("getkey k\n")
    done = cli("run", "s.bpb", "--screen", "terminal", stdin="k")
    assert (done.returncode, done.stdout) == (2, "")
    assert "neither standard output nor standard input is a terminal" in done.stderr


def test_keys_given_beforehand_are_shown_too(tmp_path: Path) -> None:
    (tmp_path / "s.bpb").write_text('input x\necho "$x"\ndelay 0.5\n')
    with Terminal("run", "s.bpb", "--screen", "terminal", "--keys", "abc\r", folder=tmp_path) as terminal:
        terminal.wait_for("abc")
        assert terminal.screen.is_alternate()
        assert terminal.wait_for_end() == 0
        assert terminal.is_as_before
