"""The built-in font has a glyph for every character of the code pages a PC screen had, and its notice is kept."""

import unicodedata
from importlib.resources import files
from itertools import pairwise

import pytest

from bpscript.base.errors import FormatError
from bpscript.screen.font import CONTROL_CHARACTERS, FONT_SIZE, Font, built_in_font
from tests.scripts import run_script

CODE_PAGES = ("cp437", "cp850", "cp852", "cp858", "cp737", "cp775", "cp857", "cp860", "cp861", "cp863", "cp865", "cp866", "cp869")


@pytest.mark.parametrize("page", [*CODE_PAGES, "cp1250", "cp1251", "cp1252", "cp1253", "iso8859-1", "iso8859-15"])
def test_every_code_has_a_glyph(page: str) -> None:
    font = built_in_font()
    missing = []
    for code in range(1, 256):
        for character in bytes([code]).decode(page, "ignore"):
            shown = CONTROL_CHARACTERS.get(ord(character), character)
            if shown not in font and not 128 <= ord(shown) < 160:
                missing.append(shown)
    assert missing == []


def test_glyphs_are_whole_and_differ() -> None:
    font = built_in_font()
    seen = {font.rows(bytes([code]).decode("cp437")) for code in range(32, 127)}
    assert len(seen) == 95
    assert all(len(font.rows(character)) == 16 for character in "A│█é☺")
    assert font.rows("\u4e2d") == font.rows("?")


def test_frames_join_from_cell_to_cell() -> None:
    """Lines of frames reach the edge where the next cell goes on, at the same pixels."""
    font = built_in_font()
    for character in "│║┌╔├╠┬╦":
        assert font.rows(character)[15] == font.rows("│" if character in "│┌├┬" else "║")[15] != 0, character
    for left, right in pairwise("─┬┼┴┐"):
        ends = [row & 1 for row in font.rows(left)], [row >> 7 for row in font.rows(right)]
        assert ends[0] == ends[1], (left, right)
    assert set(font.rows("█")) == {255}
    assert font.rows("▀") == bytes([255] * 8 + [0] * 8)
    assert font.rows("▄") == bytes([0] * 8 + [255] * 8)
    assert set(font.rows("▌")) == {0xF0}


def test_no_character_of_the_font_changes_the_layout() -> None:
    """A combining or wide character would move what follows it on a terminal."""
    for character in built_in_font()._glyphs:
        assert unicodedata.east_asian_width(character) not in {"W", "F"}
        assert not unicodedata.combining(character)


def test_the_notice_is_kept() -> None:
    folder = files("bpscript.screen")
    assert "with Reserved Font Name" in folder.joinpath("font.hex").read_text("ascii").split("0020:")[0]
    licence = folder.joinpath("FONT-LICENSE.txt").read_text("utf-8")
    assert "SIL OPEN FONT LICENSE Version 1.1" in licence
    assert "Copyright (c) 2010-2014 Dimitar Toshkov Zhekov" in licence


def test_a_loaded_font_is_that_of_the_code_page() -> None:
    data = b"".join(bytes([code]) * 16 for code in range(256))
    characters = bytes(range(256)).decode("cp850")
    font = Font.from_codes(data, characters, "x", built_in_font())
    assert font.rows("é") == b"\x82" * 16
    assert font.rows("☺") == b"\x01" * 16
    assert font.rows("ő") == built_in_font().rows("ő")


@pytest.mark.parametrize("size", [0, 1, 4095, 4097, 8192])
def test_a_font_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(FormatError, match=rf'"x" is no font: it has {size} bytes, expected {FONT_SIZE}'):
        Font.from_codes(bytes(size), "A" * 256, "x", built_in_font())


def test_the_command_changes_what_is_on_a_text_screen() -> None:
    ran = run_script('Print "A"\nLoadFont "f.fnt"', files={"f.fnt": b"\xaa" * 4096})
    assert ran.error is None
    assert ran.screen.canvas.pixels()[:8] == bytes([7, 0] * 4)


def test_the_command_refuses_what_is_no_font() -> None:
    ran = run_script('LoadFont "f.fnt"', files={"f.fnt": b"\xaa" * 100})
    assert str(ran.error) == 'case.bpb:1:10: error: "f.fnt" is no font: it has 100 bytes, expected 4096'
    ran = run_script('LoadFont "f.fnt"', files={"f.fnt": bytes(2 << 20)})
    assert str(ran.error) == 'case.bpb:1:10: error: "f.fnt" is too large: it has more than 1048576 bytes'
