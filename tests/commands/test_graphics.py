"""Graphics commands (language.md 8.5): when they draw, when they only check, and what they refuse."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.screen.screen import Mode
from tests.screen.gifs import gif
from tests.scripts import run_script

LOGO = gif(8, 4, bytes(range(32)), [(i * 8, 255 - i, i) for i in range(32)])
DRAWING = 'DrawBar 0 0 5 5 Red\nDrawText 0 0 "x"\nDrawWindow 0 0 50 50\nDrawGif "missing.gif"\nInitGraph\nInitGraph "1280x1024"\n'


@pytest.mark.parametrize(
    "drawing", ["InitGraph", "DrawBar 0 0 5 5 Red", 'DrawText 0 0 "x"', "DrawWindow 0 0 50 50", 'DrawGif "logo.gif"'], ids=lambda text: text.split()[0]
)
def test_any_of_them_turns_graphics_on_in_the_first_mode(drawing: str) -> None:
    ran = run_script(f'Set VESA-Modes = "1024x768 640x480"\n{drawing}', files={"logo.gif": LOGO}, graphics=True)
    assert ran.error is None
    assert ran.screen.mode == Mode(1024, 768)
    assert run_script(drawing, files={"logo.gif": LOGO}, graphics=True).screen.mode == Mode(800, 600)


@pytest.mark.parametrize(
    ("first", "graphics", "program"),
    [("", False, "MrBatch"), ('Set VESA = "ON"\n', False, "MrBatch"), ('Set VESA = "OFF"\n', True, "MrBatch"), ('Set VESA = "ON"\n', True, "MrZip")],
    ids=["no display", "no display, though VESA is set", "VESA is off", "MrZip"],
)
def test_without_graphics_they_are_checked_and_do_nothing(first: str, graphics: bool, program: str) -> None:
    ran = run_script(f"{first}{DRAWING}CloseGraph", graphics=graphics, program=program)
    assert ran.error is None
    assert ran.screen.mode is None
    assert ran.screen.canvas.row(0)[0] is not None
    assert "needs more" in str(run_script(f"{first}DrawBar 0 0 5 5", graphics=graphics, program=program).error)


def test_vesa_is_on_where_there_is_a_display() -> None:
    values = [run_script("", graphics=graphics).variables for graphics in (True, False)]
    assert [(each["VESA"], each["VESA-Modes"]) for each in values] == [("ON", "800x600 640x480 1024x768 1280x1024"), ("OFF", "")]
    assert run_script("", graphics=True, program="MrZip").variables["VESA"] == "OFF"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('InitGraph "320x200"', 'case.bpb:1:11: error: there is no graphics mode "320x200"'),
        ('Set VESA-Modes = "640x480"\nInitGraph "800x600"', 'case.bpb:2:11: error: there is no graphics mode "800x600"'),
        ('Set VESA-Modes = "fine"\nDrawBar 1 1 1 1 Red', 'case.bpb:2:1: error: "fine", the first of $VESA-Modes, is no graphics mode'),
        ('Set VESA-Modes = ""\nInitGraph', 'case.bpb:2:1: error: "", the first of $VESA-Modes, is no graphics mode'),
        ('DrawGif "no.gif"', 'case.bpb:1:9: error: no file "no.gif"'),
        ('DrawGif "text.gif"', 'case.bpb:1:9: error: "text.gif" is no GIF picture: it does not begin with GIF87a or GIF89a'),
        ('DrawGif "cut.gif"', 'case.bpb:1:9: error: "cut.gif" is no GIF picture: it ends after 0 of 32 pixels'),
        ('InitGraph "640x480"\nDrawGif "wide.gif"', 'case.bpb:2:9: error: "wide.gif" does not fit on the screen: it has 700 x 1 pixels, the mode 640 x 480'),
        ('DrawGif "large.gif"', 'case.bpb:1:9: error: "large.gif" is too large: it has more than 16777216 bytes'),
        ('DrawGif "logo.gif" 1 2 Some-Colors', "Best-Colors"),
        ("DrawBar 1 2 3 4 256", "256"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(script: str, message: str) -> None:
    end = LOGO.index(b",") + 10
    files = {"logo.gif": LOGO, "text.gif": b"<html>", "cut.gif": LOGO[: end + 1], "wide.gif": gif(700, 1, bytes(700), [(1, 2, 3)] * 2), "large.gif": bytes(17 << 20)}
    ran = run_script(script, files=files, graphics=True)
    assert message in str(ran.error) or message in (ran.error.explain() if ran.error else "")


def test_the_color_of_text_is_used_without_one() -> None:
    ran = run_script('InitGraph\nTextAttr LightGreen\nDrawText 0 0 "x"', graphics=True)
    assert set(ran.screen.canvas.pixels()) == {0, 10}


def test_closing_and_opening_begin_with_an_empty_screen() -> None:
    ran = run_script('DrawBar 0 0 999 999 Red\nPrint "x"\nInitGraph "640x480"', graphics=True)
    assert set(ran.screen.canvas.pixels()) == {0}
    ran = run_script('Print "kept"\nCloseGraph', graphics=True)
    assert str(ran.screen) == "kept"


number = st.integers(-(2**31), 2**31 - 1)
coordinates = st.tuples(number | st.integers(-900, 900), number | st.integers(-900, 900))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["DrawBar", "DrawWindow", "DrawText", "DrawGif", "Clear", "At"]), coordinates, coordinates), max_size=6))
def test_coordinates_anywhere_are_clipped(commands: list[tuple[str, tuple[int, int], tuple[int, int]]]) -> None:
    """Whatever the numbers: no error but for those the language names, the canvas keeps its size, and it takes no time."""
    lines = ['InitGraph "640x480"']
    for name, (x, y), (width, height) in commands:
        lines.append({
            "DrawBar": f"DrawBar {x} {y} {width} {height} 99",
            "DrawWindow": f'DrawWindow {x} {y} {width} {height} "title"',
            "DrawText": f'DrawText {x} {y} "text" 200',
            "DrawGif": f'DrawGif "logo.gif" {x} {y} Spare-Colors',
            "Clear": f"Clear Red 177 {max(x, 0)},{max(y, 0)},{max(width, 0)},{max(height, 0)}",
            "At": f'At {max(x, 0)},{max(y, 0)} Print "x"',
        }[name])  # fmt: skip
    ran = run_script("\n".join(lines), files={"logo.gif": LOGO}, graphics=True)
    assert ran.error is None
    assert len(ran.screen.canvas.pixels()) == 640 * 480


@settings(max_examples=40)
@given(st.binary(max_size=200), st.integers(0, 65535), st.integers(0, 65535))
def test_pictures_of_any_bytes_are_drawn_or_refused(data: bytes, width: int, height: int) -> None:
    header = b"GIF87a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    for file in (data, header + data, header + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + data):
        ran = run_script('DrawGif "x.gif"', files={"x.gif": file}, graphics=True)
        assert ran.error is None or "x.gif" in str(ran.error)
