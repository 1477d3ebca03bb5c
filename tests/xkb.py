"""What a key of a PC gives in a national layout, as the X keyboard extension has it (xkb-data, compiled by libxkbcommon)."""

import ctypes
import ctypes.util

# The keys of a US keyboard, row by row, as the kernel numbers them plus 8 (xkb-data, keycodes/evdev); the last row begins with the
# extra key beside the left Shift key, which arrives as U+00AC and U+00A6.
KEYS = (
    ("`1234567890-=", "~!@#$%^&*()_+", (49, *range(10, 22))),
    ("qwertyuiop[]", "QWERTYUIOP{}", tuple(range(24, 36))),
    ("asdfghjkl;'\\", 'ASDFGHJKL:"|', (*range(38, 49), 51)),
    ("\xaczxcvbnm,./", "\xa6ZXCVBNM<>?", (94, *range(52, 62))),
)
# A keyboard without dead keys gives the sign itself.
_DEAD = {
    "dead_acute": "\xb4", "dead_grave": "`", "dead_circumflex": "^", "dead_diaeresis": "\xa8", "dead_tilde": "~", "dead_cedilla": "\xb8",
    "dead_abovering": "\xb0", "dead_abovedot": "\u02d9", "dead_macron": "\xaf", "dead_doubleacute": "\u02dd", "dead_caron": "\u02c7",
    "dead_ogonek": "\u02db", "dead_breve": "\u02d8", "dead_belowdot": ".", "dead_hook": "?", "dead_horn": "+",
}  # fmt: skip


def library() -> ctypes.CDLL | None:
    """libxkbcommon, with the types of what is used."""
    name = ctypes.util.find_library("xkbcommon")
    if name is None:
        return None
    found = ctypes.CDLL(name)
    pointer = ctypes.c_void_p
    found.xkb_context_new.restype = pointer
    found.xkb_keymap_new_from_names.restype = pointer
    found.xkb_keymap_new_from_names.argtypes = [pointer, pointer, ctypes.c_int]
    found.xkb_keymap_key_get_syms_by_level.argtypes = [pointer, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32, pointer]
    found.xkb_keysym_to_utf32.restype = ctypes.c_uint32
    return found


class Layout:
    """A layout of X: `de`, or with a variant `ch`, `fr`."""

    def __init__(self, layout: str, variant: str = "") -> None:
        found = library()
        assert found is not None
        self._library = found
        names = (ctypes.c_char_p * 5)(b"evdev", b"pc105", layout.encode(), variant.encode(), b"")
        self._keymap = found.xkb_keymap_new_from_names(found.xkb_context_new(0), ctypes.byref(names), 0)
        assert self._keymap, f"xkb-data has no layout {layout}({variant})"

    def character(self, code: int, level: int) -> str:
        """What a key gives: level 0 alone, 1 with Shift, 2 with AltGr, 3 with both; "" for nothing."""
        symbols = ctypes.POINTER(ctypes.c_uint32)()
        count = self._library.xkb_keymap_key_get_syms_by_level(self._keymap, code, 0, level, ctypes.byref(symbols))
        if count != 1:
            return ""
        name = ctypes.create_string_buffer(64)
        self._library.xkb_keysym_get_name(symbols[0], name, 64)
        text = name.value.decode()
        if text.startswith("dead_"):
            return _DEAD.get(text, "")
        code_point = self._library.xkb_keysym_to_utf32(symbols[0])
        return chr(code_point) if code_point >= 32 else ""
