"""`bpscript shell` and `Interact`, on a terminal and without one."""


import sys
from pathlib import Path
from time import sleep

import pytest

from tests.terminals import Terminal

from .conftest import Cli

HINT = "Tab completes"


@pytest.fixture(autouse=True)
def own_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def shell(folder: Path, *arguments: str, **environment: str) -> Terminal:
    return Terminal("shell", *arguments, folder=folder, environment=environment)


def typed(terminal: Terminal, line: str, wanted: str) -> str:
    """Type a command, and wait for what comes of it and for the next prompt."""
    terminal.press(f"{line}\r")
    text = terminal.wait_for(wanted)
    while HINT not in terminal.screen.text:
        terminal.read(0.1)
    return text


def test_commands_run_and_errors_do_not_end_it(tmp_path: Path) -> None:
    with shell(tmp_path, "--disk", "disk.img:64M") as terminal:
        terminal.wait_for(HINT)
        typed(terminal, 'SetPartitions "FAT16:20 LINUX-EXT2:20"', "EXT2:20")
        typed(terminal, "Clean 1", "Clean 1")
        typed(terminal, 'Copy "missing" "{:1}/x"', 'no file "missing"')
        typed(terminal, 'Echo "$Disks"', "\n64")
        typed(terminal, "Goto nowhere", "no labels at the prompt")
        assert "keyboard:3:6: error" in terminal.screen.text
        terminal.press("quit\r")
        assert terminal.wait_for_end() == 0
        assert terminal.is_as_before


def test_tab_completes_commands_variables_files_and_partitions(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "win98.imz").touch()
    with shell(tmp_path, "--disk", "disk.img:64M", "--set", "Greeting=hello") as terminal:
        terminal.wait_for(HINT)
        typed(terminal, 'SetPartitions "FAT16:20 LINUX-EXT2:20"', "EXT2:20")
        terminal.press("fullu\t")
        terminal.wait_for("> FullUnzip")
        terminal.press(' "im\t')
        terminal.wait_for('FullUnzip "images/')
        terminal.press("\t")
        terminal.wait_for('FullUnzip "images/win98.imz')
        terminal.press('" \t')
        assert "LINUX-EXT2, 20 MB" in terminal.wait_for("FAT16, 20 MB")
        terminal.press("\x03")
        terminal.wait_for(HINT)
        terminal.press('If "a" == "a" Echo "$gree\t')
        terminal.wait_for('Echo "$Greeting')
        terminal.press('"\r')
        terminal.wait_for("\nhello")
        terminal.press("\x04")
        assert terminal.wait_for_end() == 0


def test_the_toolbar_and_f1_help_with_the_command_under_the_cursor(tmp_path: Path) -> None:
    with shell(tmp_path) as terminal:
        terminal.wait_for(HINT)
        terminal.press('WaitForKey 5 Copy "a" ')
        assert terminal.wait_for('Copy "source" "dest"   "dest":').splitlines()[-1].startswith('Copy "source" "dest"   "dest": ')
        terminal.press("\x1bOP")
        assert "Programs: all." in terminal.wait_for("Programs: all.")
        terminal.press("\x03")
        terminal.wait_for(HINT)
        terminal.press("\x04")
        assert terminal.wait_for_end() == 0


def test_control_c_ends_a_command_that_waits_and_not_the_session(tmp_path: Path) -> None:
    (tmp_path / "endless.bpb").write_text(":a\ngoto a\n")
    with shell(tmp_path) as terminal:
        terminal.wait_for(HINT)
        for command in ("Delay 60", "GetKey k", 'Include "endless.bpb"'):
            terminal.press(f"{command}\r")
            terminal.wait_for(command)
            sleep(0.5)
            terminal.press("\x03")
            terminal.wait_for(f"{command}\n[warning]")
            assert "interrupted" in terminal.wait_for(HINT)
        typed(terminal, 'Echo "still here"', "\nstill here")
        terminal.press("exit\r")
        assert terminal.wait_for_end() == 0
        assert terminal.is_as_before


def test_what_is_typed_ahead_goes_to_whom_it_is_for(tmp_path: Path) -> None:
    with shell(tmp_path) as terminal:
        terminal.wait_for(HINT)
        terminal.press('Print "name? "\rInput name\rbob\rEcho "<$name>"\rquit\r')
        assert terminal.wait_for_end() == 0
        assert "\n> Input name\nbob\n" in terminal.screen.text
        assert "\n<bob>\n" in terminal.screen.text


def test_the_history_lives_on_and_leaves_out_what_begins_with_a_blank(tmp_path: Path) -> None:
    with shell(tmp_path) as terminal:
        terminal.wait_for(HINT)
        typed(terminal, 'Echo "first"', "\nfirst")
        typed(terminal, ' MD5 "secret" x', "secret")
        terminal.press("quit\r")
        assert terminal.wait_for_end() == 0
    history = tmp_path / "state" / "bpscript" / "history"
    assert "secret" not in history.read_text()
    assert history.stat().st_mode & 0o777 == 0o600
    with shell(tmp_path) as terminal:
        terminal.wait_for(HINT)
        terminal.press("\x1b[A\x1b[A")      # the last two: quit, Echo
        terminal.wait_for('> Echo "first"')
        terminal.press("\r")
        terminal.wait_for("\nfirst")
        terminal.press("\x04")
        assert terminal.wait_for_end() == 0


def test_without_prompt_toolkit_lines_are_plain_and_that_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "hide.py").write_text(
        "import sys\nfrom importlib.abc import MetaPathFinder\nimport importlib.util as u\nreal = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'prompt_toolkit' else real(name, package)\n"
        "from bpscript.cli.main import main\nsys.exit(main())\n"
    )
    with Terminal("shell", folder=tmp_path, command=(sys.executable, "hide.py")) as terminal:
        assert terminal.wait_for("\n>").count("pip install") == 1
        terminal.press('Echo "on\x7fne"\r')
        terminal.wait_for("\none")
        terminal.press("nonsense\rInput x\rabc\recho \"<$x>\"\r")
        terminal.wait_for("<abc>")
        terminal.press("\x03")
        terminal.wait_for("interrupted")
        terminal.press("quit\r")
        assert terminal.wait_for_end() == 0
        assert terminal.is_as_before
        assert terminal.screen.text.count("pip install") == 1


def test_without_a_terminal_lines_come_from_standard_input(cli: Cli, tmp_path: Path) -> None:
    done = cli("shell", "--disk", "disk.img:10M", stdin='echo "$Disks"\nnonsense\nset x = 5\necho ($x + 1)\nquit\necho "never"\n')
    assert done.returncode == 0, done.stderr
    assert done.stdout == '10\n[warning] keyboard:2:1: error: unknown command "nonsense"\n6\n'
    assert done.stderr == ""
    assert cli("shell", stdin="").returncode == 0
    assert cli("shell", "--keys", "echo 5\rquit\r").stdout == "5\n"


def test_shell_takes_no_script(cli: Cli) -> None:
    done = cli("shell", "script.bpb")
    assert done.returncode == 2


def test_interact_leaves_the_screen_and_comes_back(tmp_path: Path) -> None:
    (tmp_path / "s.bpb").write_text('print "picture"\necho "before"\ngetkey k\ninteract\nhidelog\nprint " again"\ngetkey k\necho "after $x"\n')
    with Terminal("run", "s.bpb", folder=tmp_path) as terminal:
        terminal.wait_for("picture")
        terminal.press("k")
        assert "before\n>" in terminal.wait_for(HINT)
        assert not terminal.screen.is_alternate()
        terminal.press('set x = "ok"\r')
        terminal.wait_for("ok")
        typed(terminal, 'echo "typed"', "\ntyped")
        terminal.press("quit\r")
        assert terminal.wait_for("picture again") == "picture again"
        assert terminal.screen.is_alternate()
        terminal.press("k")
        assert terminal.wait_for_end() == 0
        assert terminal.is_as_before
        assert terminal.screen.text.count("before") == 1
        assert terminal.screen.text.endswith("after ok")


def test_interactive_after_the_script(tmp_path: Path) -> None:
    (tmp_path / "s.bpb").write_text('set x = "5"\n')
    with Terminal("run", "-i", "s.bpb", folder=tmp_path) as terminal:
        terminal.wait_for(HINT)
        typed(terminal, 'echo "<$x>"', "\n<5>")
        terminal.press("\x04")
        assert terminal.wait_for_end() == 0
        assert terminal.is_as_before
