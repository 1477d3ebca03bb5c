"""The keyboard layouts that come along, against the tables of X; what scripts get of them is in grammar/cases/run/keymaps.case."""

import os
from collections import deque

import pytest

from bpscript.base.resources import LAYOUTS, image_bytes, keyboard_layout
from bpscript.screen.keyboard import Key
from tests import xkb
from tests.scripts import run_script

OF_X = {"de": ("de", ""), "de-CH": ("ch", ""), "es": ("es", ""), "fr": ("fr", ""), "fr-CH": ("ch", "fr"), "it": ("it", ""), "pt": ("pt", ""), "sv": ("se", ""), "uk": ("gb", "")}
# Where X has something that is on no cap of these keyboards; ours is what is printed on them.
_SWISS = {"1": ("¦", "|"), "4": ("°", "¼"), "5": ("§", "½")}
UNLIKE_X = {"de-CH": _SWISS, "fr-CH": _SWISS, "uk": {"`": ("¦", "|")}}


class AltKeyboard:
    """Somebody who holds Alt, except for Return."""

    live = True
    ended = False

    def __init__(self, text: str) -> None:
        self._keys = deque(Key(character, alt=character != "\r") for character in text)

    def peek(self, timeout_s: float | None = 0) -> Key | None:
        return self._keys[0] if self._keys else None

    def take(self) -> Key | None:
        return self._keys.popleft() if self._keys else None


def layout_of_x(name: str) -> xkb.Layout:
    if xkb.library() is None or not os.path.exists("/usr/share/X11/xkb/symbols/de"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("libxkbcommon0 or xkb-data is not installed")
    return xkb.Layout(*OF_X[name])


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_key_gives_what_x_gives(name: str) -> None:
    layout = layout_of_x(name)
    keys = "".join(f"{plain}\r{shifted}\r" for plain, shifted, _ in xkb.KEYS)
    reads = "".join(f"input plain{row}\ninput shifted{row}\n" for row in range(4))
    ran = run_script(f'include "keymaps/{name}.bpb"\n{reads}', keys=keys)
    assert ran.error is None
    for row, (_, _, codes) in enumerate(xkb.KEYS):
        assert ran.variables[f"plain{row}"] == "".join(layout.character(code, 0) for code in codes)
        assert ran.variables[f"shifted{row}"] == "".join(layout.character(code, 1) for code in codes)


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_alt_changes_x_has_too(name: str) -> None:
    layout = layout_of_x(name)
    keys = "".join(f"{plain}\r{shifted}\r" for plain, shifted, _ in xkb.KEYS)
    reads = "".join(f"input plain{row}\ninput shifted{row}\n" for row in range(4))
    ran = run_script(f'set AutoShowLog = "OFF"\ninclude "keymaps/{name}.bpb"\n{reads}', keyboard=AltKeyboard(keys))
    assert ran.error is None
    changed = 0
    for row, (plain, shifted, codes) in enumerate(xkb.KEYS):
        for typed, got, level in ((plain, ran.variables[f"plain{row}"], 2), (shifted, ran.variables[f"shifted{row}"], 3)):
            for character, given, code in zip(typed, got, codes, strict=True):
                if character in UNLIKE_X.get(name, {}):
                    assert (given, layout.character(code, level)) == UNLIKE_X[name][character]
                elif given != character:
                    assert given == layout.character(code, level), (character, level)
                changed += given != character
    assert changed >= 2


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_ascii_character_can_be_typed(name: str) -> None:
    """In a password for example; some layouts need Alt for it."""
    text = image_bytes(f"keymaps/{name}.bpb").decode()
    ran = run_script(f'include "keymaps/{name}.bpb"')
    assert ran.error is None
    given = {character for line in text.splitlines() if line.startswith("Remap") for character in line.split(" ", 2)[2]}
    assert {chr(code) for code in range(33, 127)} <= given


def test_names_are_found_in_any_case_and_others_not_at_all() -> None:
    assert keyboard_layout("KeyMaps\\FR-ch.BPB") == image_bytes("keymaps/fr-CH.bpb")
    for name in ("keymaps/xx.bpb", "fr.bpb", "keymaps/../keymaps/fr.bpb", "{:1}/keymaps/fr.bpb", ""):
        assert keyboard_layout(name) is None
