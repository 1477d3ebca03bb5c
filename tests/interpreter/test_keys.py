"""Keys with a terminal, where somebody may press one at any moment; remapping."""

from collections import deque

from bpscript.interpreter.keys import Keys
from bpscript.screen.keyboard import Key
from bpscript.screen.memory import MemoryScreen
from tests.scripts import NoTime, run_script


class Terminal:
    """A person: keys come after a number of looks at the keyboard."""

    live = True

    def __init__(self, *keys: str | None) -> None:
        self._keys = deque(keys)        # None: nothing is pressed at this look

    @property
    def ended(self) -> bool:
        return not self._keys

    def peek(self, timeout_s: float | None = 0) -> Key | None:
        while self._keys and self._keys[0] is None:
            self._keys.popleft()
            if timeout_s is not None:
                return None
        return Key(self._keys[0]) if self._keys and self._keys[0] is not None else None

    def take(self) -> Key | None:
        key = self.peek()
        if key is not None:
            self._keys.popleft()
        return key


def test_a_handler_runs_before_the_next_command() -> None:
    ran = run_script('onkey "h" log "handler "\nlog "1 "\nlog "2 "\nlog "3"', keyboard=Terminal(None, None, "h"))
    assert ran.log == "1 handler 2 3"


def test_a_goto_in_a_handler_skips_the_command() -> None:
    ran = run_script('onkey "h" goto end\nlog "1 "\nlog "never"\n:end\nlog "end"', keyboard=Terminal(None, None, "h"))
    assert ran.log == "1 end"


def test_escape_shows_the_log_unless_that_is_off() -> None:
    assert run_script("log 1\nlog 2", keyboard=Terminal("\033")).screen.log_visible
    assert not run_script('set AutoShowLog = "OFF"\nlog 2', keyboard=Terminal(None, "\033")).screen.log_visible


def test_escape_belongs_to_the_command_that_waits() -> None:
    ran = run_script("getkey k", keyboard=Terminal(None, "\033"))
    assert ran.variables["k"] == "\033"


def test_the_prompt_of_a_terminal_is_shown() -> None:
    ran = run_script("", keyboard=Terminal(*"quit\r"), prompt=True)
    assert str(ran.screen) == "> quit"


def test_pairs_act_at_once_and_later_ones_win() -> None:
    keys = Keys(Terminal(*"ayzy"), MemoryScreen(), NoTime())
    keys.remap({"y": "z", "z": "y"})
    assert [keys.take(), keys.take(), keys.take()] == ["a", "z", "y"]
    keys.remap({"y": "x"})
    assert keys.take() == "x"


def test_keys_with_alt_have_a_layout_of_their_own() -> None:
    class AltKeyboard(Terminal):
        def peek(self, timeout_s: float | None = 0) -> Key | None:
            key = super().peek(timeout_s)
            return None if key is None else Key(key.character, alt=True)

    keys = Keys(AltKeyboard("2", "3"), MemoryScreen(), NoTime())
    keys.remap({"2": "x", "3": "x"})
    keys.remap({"2": "@"}, alt=True)
    assert [keys.take(), keys.take()] == ["@", "3"]


def test_escape_shows_the_log_while_a_script_waits_and_is_no_key_of_it() -> None:
    ran = run_script('waitforkey 5 log "none"\nlog "$Keypressed"', keyboard=Terminal(None, "\033", "x"))
    assert ran.log == "x"
    assert ran.screen.log_visible
    assert not run_script("waitforkey 5\nwaitforkey 5", keyboard=Terminal(None, "\033", "\033", "x")).screen.log_visible
    ran = run_script('onkey "\\033" log "mine "\nwaitforkey 5 log "none"', keyboard=Terminal(None, None, "\033"))
    assert ran.log == "mine "
    assert not ran.screen.log_visible
    ran = run_script(".KEY 1 x.pxe\n.DEF 1 9\n", keyboard=Terminal("\033", "1"), files={"x.pxe": b"1"})
    assert ran.booted == 'tftpboot "x.pxe"'
    assert ran.screen.log_visible
