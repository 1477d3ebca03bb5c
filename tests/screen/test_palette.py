"""The palette: four strategies that can be told apart by what happens to new and old colours, and to the palette."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.screen.canvas import Canvas
from bpscript.screen.palette import _NEAR, FIXED, START_COLORS, TEXT_COLORS, Palette, distance
from bpscript.screen.pictures import draw_picture
from bpscript.screen.screen import Box, Mode, Picture, Strategy

MODE = Mode(480, 16)
Rgb = tuple[int, int, int]


def stripes(colors: list[Rgb], width: int = 2) -> Picture:
    """A picture of vertical stripes, one pixel high."""
    return Picture(len(colors) * width, 1, bytes(index for index in range(len(colors)) for _ in range(width)), tuple(colors))


def color_at(canvas: Canvas, x: int, y: int) -> Rgb:
    return canvas.palette.colors[canvas.pixels()[y * canvas.width + x]]


def full_canvas() -> tuple[Canvas, list[Rgb]]:
    """A canvas on which an older picture uses all 240 numbers: dark reds and greens; the last colours have the fewest pixels."""
    canvas = Canvas(mode=MODE)
    older = [(2 * (index // 16) + 1, 3 * (index % 16) + 1, 0) for index in range(240)]
    for y in range(3):
        draw_picture(canvas, stripes(older), 0, 2 * y, Strategy.BEST)
    draw_picture(canvas, stripes(older[:230], 1), 0, 7, Strategy.BEST)
    assert len(set(canvas.pixels())) == 241
    return canvas, older


NEW: list[Rgb] = [(100 + 40 * (index % 4), 50 * (index // 4), 250) for index in range(20)]    # none near another


@pytest.mark.parametrize("strategy", [Strategy.BEST, Strategy.SPARE, Strategy.SHARE])
def test_with_free_numbers_far_colors_are_exact(strategy: Strategy) -> None:
    canvas = Canvas(mode=MODE)
    far = [(200, 60 * index, 17) for index in range(5)]
    draw_picture(canvas, stripes(far), 0, 0, strategy)
    assert [color_at(canvas, 2 * index, 0) for index in range(5)] == far


def test_best_colors_is_exact_and_takes_from_older_pictures_what_they_use_least() -> None:
    canvas, older = full_canvas()
    draw_picture(canvas, stripes(NEW), 0, 10, Strategy.BEST)
    assert [color_at(canvas, 2 * index, 10) for index in range(20)] == NEW
    kept = [index for index in range(240) if color_at(canvas, 2 * index, 0) == older[index]]
    assert len(kept) == 220
    assert set(range(230)) - set(kept) == set(range(230)) - set(sorted(kept)[:220])
    assert not set(range(230, 240)) & set(kept)         # these had no pixels in the last stripe
    for index in set(range(240)) - set(kept):           # the others look nearly the same
        assert distance(color_at(canvas, 2 * index, 0), older[index]) < 400


def test_spare_colors_changes_existing_colors_and_needs_no_new_ones() -> None:
    canvas, older = full_canvas()
    before = list(canvas.palette.colors)
    draw_picture(canvas, stripes(NEW), 0, 10, Strategy.SPARE)
    assert canvas.palette.colors != before
    assert canvas.palette.colors[:FIXED] == list(TEXT_COLORS)
    changed = sum(color_at(canvas, 2 * index, 0) != older[index] for index in range(240))
    assert changed > 20                                 # many old colours change
    assert all(distance(color_at(canvas, 2 * index, 0), older[index]) < 200 for index in range(240))       # but little
    for index, color in enumerate(NEW):                 # and the new ones are exact, or near a colour of text
        assert distance(color_at(canvas, 2 * index, 10), color) <= _NEAR


def test_spare_colors_meets_in_the_middle_by_pixels() -> None:
    canvas = Canvas(mode=MODE)
    draw_picture(canvas, stripes([(200, 100, 50)], 30), 0, 0, Strategy.BEST)
    draw_picture(canvas, stripes([(204, 108, 50)], 10), 0, 1, Strategy.SPARE)
    assert color_at(canvas, 0, 0) == color_at(canvas, 0, 1) == (201, 102, 50)


def test_share_colors_uses_near_ones_as_they_are_and_new_numbers_for_far_ones() -> None:
    canvas = Canvas(mode=MODE)
    draw_picture(canvas, stripes([(200, 100, 50)], 30), 0, 0, Strategy.BEST)
    draw_picture(canvas, stripes([(204, 108, 50), (100, 200, 250)], 10), 0, 1, Strategy.SHARE)
    assert color_at(canvas, 0, 0) == color_at(canvas, 0, 1) == (200, 100, 50)
    assert color_at(canvas, 10, 1) == (100, 200, 250)


def test_share_colors_never_changes_older_pictures() -> None:
    canvas, older = full_canvas()
    before = list(canvas.palette.colors)
    draw_picture(canvas, stripes(NEW), 0, 10, Strategy.SHARE)
    assert canvas.palette.colors == before
    assert [color_at(canvas, 2 * index, 0) for index in range(240)] == older


def test_reuse_colors_changes_nothing_though_numbers_are_free() -> None:
    canvas = Canvas(mode=MODE)
    draw_picture(canvas, stripes([(201, 99, 51), (3, 2, 1)]), 0, 0, Strategy.REUSE)
    assert canvas.palette.colors == list(START_COLORS)
    assert color_at(canvas, 0, 0) == (215, 95, 95) == START_COLORS[canvas.palette.nearest((201, 99, 51))]
    assert color_at(canvas, 2, 0) == (0, 0, 0)


def test_colors_that_come_twice_share_a_number() -> None:
    canvas = Canvas(mode=MODE)
    draw_picture(canvas, stripes([(1, 2, 3), (4, 5, 6)] * 100), 0, 0, Strategy.BEST)
    assert len(set(canvas.pixels())) == 3


def test_strategies_differ_on_the_same_picture() -> None:
    seen = {}
    for strategy in Strategy:
        canvas, _ = full_canvas()
        draw_picture(canvas, stripes(NEW), 0, 10, strategy)
        rows = [tuple(color_at(canvas, x, y) for x in range(480)) for y in (0, 10)]
        seen[strategy] = tuple(rows)
    assert len(set(seen.values())) >= 3
    assert seen[Strategy.BEST] != seen[Strategy.SPARE] != seen[Strategy.SHARE]


def test_a_picture_that_is_drawn_again_needs_nothing_new() -> None:
    canvas = Canvas(mode=MODE)
    picture = stripes([(index, 7, 3) for index in range(240)])
    draw_picture(canvas, picture, 0, 0, Strategy.BEST)
    colors, pixels = list(canvas.palette.colors), bytes(canvas.pixels())
    draw_picture(canvas, picture, 0, 0, Strategy.BEST)
    assert (canvas.palette.colors, bytes(canvas.pixels())) == (colors, pixels)


def test_colors_of_a_picture_that_was_covered_are_free_again() -> None:
    canvas = Canvas(mode=MODE)
    draw_picture(canvas, stripes([(index, 7, 3) for index in range(240)]), 0, 0, Strategy.BEST)
    canvas.draw_bar(Box(0, 0, 480, 16), 0)
    second = [(9, index, 200) for index in range(240)]
    draw_picture(canvas, stripes(second), 0, 0, Strategy.BEST)
    assert [color_at(canvas, 2 * index, 0) for index in range(240)] == second


def test_holes_show_what_was_there() -> None:
    canvas = Canvas(mode=MODE)
    canvas.draw_bar(Box(0, 0, 4, 2), 9)
    draw_picture(canvas, Picture(3, 1, b"\0\1\0", ((1, 2, 3), (255, 0, 255)), transparent=1), 0, 0, Strategy.BEST)
    assert [color_at(canvas, x, 0) for x in range(4)] == [(1, 2, 3), TEXT_COLORS[9], (1, 2, 3), TEXT_COLORS[9]]


colors = st.tuples(*[st.integers(0, 255)] * 3)


@given(st.lists(st.tuples(st.lists(colors, min_size=1, max_size=256), st.sampled_from(Strategy)), max_size=5))
def test_text_keeps_its_colors_whatever_is_drawn(pictures: list[tuple[list[Rgb], Strategy]]) -> None:
    canvas = Canvas(mode=MODE)
    for number, (wanted, strategy) in enumerate(pictures):
        draw_picture(canvas, stripes(wanted), 0, number, strategy)
        assert canvas.palette.colors[:FIXED] == list(TEXT_COLORS)
        assert len(canvas.palette.colors) == 256


@given(st.lists(colors, min_size=1, max_size=240, unique=True))
def test_best_colors_is_exact_whatever_was_there(wanted: list[Rgb]) -> None:
    canvas, _ = full_canvas()
    draw_picture(canvas, stripes(wanted), 0, 10, Strategy.BEST)
    assert [color_at(canvas, 2 * index, 10) for index in range(len(wanted))] == wanted


def test_nearest_is_by_eye() -> None:
    palette = Palette()
    assert palette.nearest((0xAA, 0x55, 0x01)) == 6
    assert palette.nearest((250, 250, 250), [0, 7, 15]) == 15
