"""The canvas: cells and pixels are one model, and what changed is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.screen.canvas import Canvas, Span
from bpscript.screen.font import built_in_font
from bpscript.screen.screen import TRANSPARENT, Area, Attribute, Box, Mode

SMALL = Mode(40, 40)        # two lines of five cells, and half a line that cannot be written to


def colors_of(canvas: Canvas, box: Box) -> set[int]:
    pixels = canvas.pixels()
    return {pixels[y * canvas.width + x] for y in range(box.y, box.y + box.height) for x in range(box.x, box.x + box.width)}


def picture(canvas: Canvas) -> list[str]:
    """Pixels as hexadecimal digits, a line each."""
    pixels = canvas.pixels()
    return ["".join(f"{pixel:x}" for pixel in pixels[start : start + canvas.width]) for start in range(0, len(pixels), canvas.width)]


@pytest.mark.parametrize("mode", [None, Mode(16, 32)], ids=["text", "graphics"])
def test_characters_become_pixels_in_their_colors(mode: Mode | None) -> None:
    canvas = Canvas(2, 2, mode=mode)
    canvas.attribute = Attribute(14, 1)
    canvas.move(1, 1)
    canvas.write("A")
    rows = [line[8:] for line in picture(canvas)[16:]]
    expected = ["".join("e" if byte & 128 >> bit else "1" for bit in range(8)) for byte in built_in_font().rows("A")]
    assert rows == expected
    assert colors_of(canvas, Box(0, 0, 16, 16)) == {0}


def test_pixels_asked_for_early_follow_later_text() -> None:
    early, late = Canvas(3, 4), Canvas(3, 4)
    early.pixels()
    for canvas in (early, late):
        canvas.write("one\r\ntwo\r\nthree\r\nfour")
        canvas.fill(Area(0, 1, 1, 3), "█", Attribute(4, 2))
    assert early.pixels() == late.pixels()
    assert str(early) == str(late) == "t██e\ne\nfour"


def test_changes_are_spans_of_cells() -> None:
    canvas = Canvas(mode=SMALL)
    canvas.take_changes()
    canvas.move(1, 2)
    canvas.write("ab")
    canvas.draw_bar(Box(7, 0, 2, 1), 5)
    assert canvas.take_changes() == [Span(0, 0, 2), Span(1, 2, 4)]
    assert canvas.take_changes() == []


def test_what_is_drawn_over_is_no_character_any_more() -> None:
    canvas = Canvas(mode=SMALL)
    canvas.write("abcde")
    canvas.draw_bar(Box(15, 3, 2, 2), 200)
    assert [cell and cell[0] for cell in canvas.row(0)] == ["a", None, None, "d", "e"]
    canvas.draw_text(9, 1, "x", 200)
    assert canvas.row(0)[1] == ("x", Attribute(200, TRANSPARENT))
    assert canvas.row(0)[2] is None


def test_drawn_text_leaves_what_is_behind_it() -> None:
    canvas = Canvas(mode=SMALL)
    canvas.draw_bar(Box(0, 0, 40, 40), 3)
    canvas.draw_text(2, 2, "Gy", 9)
    assert colors_of(canvas, Box(2, 2, 16, 16)) == {3, 9}
    assert sum(line.count("9") for line in picture(canvas)) == sum(byte.bit_count() for c in "Gy" for byte in built_in_font().rows(c))


def test_the_last_band_is_filled_but_not_written_to() -> None:
    canvas = Canvas(mode=SMALL)
    canvas.fill(Area(0, 0, 2, 5), "█", Attribute(6, 0))
    assert colors_of(canvas, Box(0, 0, 40, 40)) == {6}
    canvas.move(99, 0)
    canvas.write("\n\n")
    assert colors_of(canvas, Box(0, 0, 40, 32)) == {0}
    assert colors_of(canvas, Box(0, 32, 40, 8)) == {6}


def test_control_codes_look_as_on_a_pc_and_unknown_characters_are_marked() -> None:
    canvas = Canvas(1, 10)
    canvas.write("\a\v\x01\x10\x1b\u4e2d\u0301é\u200b|")
    assert str(canvas) == "☺►←??é|"


numbers = st.integers(-2000, 2000)


@given(st.lists(st.tuples(numbers, numbers, numbers, numbers, st.integers(0, 255)), max_size=5), st.text(max_size=40))
def test_nothing_is_drawn_outside(boxes: list[tuple[int, int, int, int, int]], text: str) -> None:
    """Whatever is drawn wherever: the canvas keeps its size, and cells that did not change have not changed."""
    canvas = Canvas(mode=SMALL)
    canvas.take_changes()
    before = bytes(canvas.pixels())
    for x, y, width, height, color in boxes:
        canvas.draw_bar(Box(x, y, width, height), color)
        canvas.draw_text(x, y, text, color)
    after, touched = bytes(canvas.pixels()), canvas.take_changes()
    assert len(after) == len(before)
    for position, (was, became) in enumerate(zip(before, after, strict=True)):
        if was != became:
            y, x = divmod(position, canvas.width)
            assert any(span.line == y // 16 and span.left <= x // 8 < span.right for span in touched)


@given(st.integers(-3, 60), st.integers(-3, 60), st.integers(0, 60), st.integers(0, 60))
def test_what_is_saved_comes_back(top: int, left: int, height: int, width: int) -> None:
    canvas = Canvas(mode=SMALL)
    canvas.write("hello")
    canvas.draw_bar(Box(3, 3, 20, 20), 77)
    cells, pixels = [list(canvas.row(line)) for line in range(canvas.bands)], bytes(canvas.pixels())
    saved = canvas.save(Area(top, left, top + height, left + width))
    inside = Area(max(top, 0), max(left, 0), min(top + height, canvas.bands), min(left + width, canvas.columns))
    canvas.draw_bar(Box(inside.left * 8, inside.top * 16, (inside.right - inside.left) * 8, (inside.bottom - inside.top) * 16), 9)
    canvas.restore(saved)
    assert [list(canvas.row(line)) for line in range(canvas.bands)] == cells
    assert bytes(canvas.pixels()) == pixels


def test_drawn_characters_are_known_by_their_pixels_until_something_covers_them() -> None:
    canvas = Canvas(mode=Mode(640, 480))
    canvas.draw_text(13, 21, "ab c", 14)
    assert canvas.drawn == {(13, 21): ("a", 14), (21, 21): ("b", 14), (37, 21): ("c", 14)}
    saved = canvas.save(Area(0, 0, 5, 5))
    canvas.draw_bar(Box(17, 29, 1, 1), 1)       # the middle of the first
    canvas.draw_bar(Box(21, 21, 4, 8), 1)       # a corner of the second
    assert canvas.drawn.keys() == {(21, 21), (37, 21)}
    canvas.restore(saved)
    assert len(canvas.drawn) == 3
    canvas.move(1, 0)
    canvas.write("xxxx")
    assert canvas.drawn.keys() == {(37, 21)}
    canvas.move(29, 0)
    canvas.write("\n")
    assert canvas.drawn == {(37, 5): ("c", 14)}
    canvas.renumber({14: 20})
    assert canvas.drawn == {(37, 5): ("c", 20)}
    canvas.fill(Area(0, 0, 30, 80), " ", Attribute())
    assert not canvas.drawn
    canvas.draw_text(-4, -9, "off", 1)
    canvas.draw_text(-8, 0, "x", 1)
    assert canvas.drawn.keys() == {(4, -9), (12, -9), (-4, -9)}
