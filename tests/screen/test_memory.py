"""The screen and keyboard in memory."""

from hypothesis import given
from hypothesis import strategies as st

from bpscript.screen.keyboard import Key
from bpscript.screen.memory import MemoryScreen, ScriptedKeyboard
from bpscript.screen.screen import Area, Attribute
from tests.scripts import run_script


def test_text_appears_at_the_cursor() -> None:
    screen = MemoryScreen(4, 10)
    screen.move(1, 2)
    screen.write("ab\r\nc\bd")
    assert str(screen) == "\n  ab\nd"
    assert screen.cursor == (2, 1)


def test_long_text_wraps_and_the_screen_scrolls() -> None:
    screen = MemoryScreen(2, 3)
    screen.write("abcdefghi")
    assert str(screen) == "def\nghi"


def test_the_edge_clips() -> None:
    screen = MemoryScreen(2, 3)
    screen.move(99, 99)
    assert screen.cursor == (1, 2)
    screen.fill(Area(1, 1, 99, 99), "#", Attribute(1, 2))
    assert str(screen) == "\n ##"
    assert screen.attribute_at(1, 1) == Attribute(1, 2)
    assert screen.cursor == (1, 1)


@given(st.lists(st.one_of(st.text(), st.tuples(st.integers(-5, 99), st.integers(-5, 99)))))
def test_the_cursor_never_leaves_the_screen(steps: list[str | tuple[int, int]]) -> None:
    screen = MemoryScreen(3, 5)
    for step in steps:
        screen.write(step) if isinstance(step, str) else screen.move(*step)
        line, column = screen.cursor
        assert 0 <= line < 3
        assert 0 <= column <= 5


def test_scripted_keys_end() -> None:
    keyboard = ScriptedKeyboard("a\n")
    assert keyboard.peek() == Key("a")
    assert [keyboard.take(), keyboard.take(), keyboard.take()] == [Key("a"), Key("\r"), None]
    assert keyboard.ended


def test_commands_draw_on_it() -> None:
    ran = run_script('TextAttr 31\nClear Blue "." 0,0,1,3\nAt 0,1 Print "Gn"\nPrint (3*5)\n.POS 3 4\n.WLN it\'s "x"\n.WRT end')
    assert str(ran.screen) == '.Gn15\n....\n\n  it\'s "x"\nend'
    assert ran.screen.attribute_at(0, 1) == Attribute(15, 1)
    assert ran.screen.attribute_at(1, 0) == Attribute(1, 1)


def test_input_is_echoed_and_a_password_is_not() -> None:
    ran = run_script("input a 3\ngetpasswd b", keys="abcd\bx\rsec\r")
    assert (ran.variables["a"], ran.variables["b"]) == ("abx", "sec")
    assert str(ran.screen) == "abx\n***"
