"""The keyboard of the Linux console (/dev/tty1), where the kernel and not the terminal knows the layout.

Scripts remap a US keyboard (language.md 8.8): the extra backslash key of international keyboards is to arrive as octal 252, shifted
335, and the right Alt key counts as Alt. The kernel's own US layout has `<` and `>` on the one and AltGr on the other; both are
changed while a script has the console, and given back after it. Source: ioctl_console(2), linux/kd.h, linux/keyboard.h.
"""

import fcntl
import struct
from typing import Self

_KDGKBTYPE, _KDGKBENT, _KDSKBENT = 0x4B33, 0x4B46, 0x4B47
_ENTRY = struct.Struct("=BBH")      # struct kbentry: table, key code, value
_TABLES = range(16)                 # all that Shift, AltGr, Control and Alt choose between
_KEY_102ND, _KEY_RIGHT_ALT = 86, 100
_EXTRA = {0: 0xAC, 1: 0xA6}         # by table, plain and shifted; these values are characters: U+00AC and U+00A6 in code page 850
_ALTGR, _ALT = 0x701, 0x703         # K(KT_SHIFT, KG_ALTGR), K(KT_SHIFT, KG_ALT)


class LinuxConsole:
    """The changes made to the kernel's key tables."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._saved: list[bytes] = []

    @classmethod
    def take(cls, descriptor: int) -> Self | None:
        """Change the layout; None when the terminal is no Linux console, or we may not."""
        console = cls(descriptor)
        try:
            fcntl.ioctl(descriptor, _KDGKBTYPE, bytes(1))
            for table, value in _EXTRA.items():
                console._change(table, _KEY_102ND, value)
            for table in _TABLES:       # in each, or its release would not be noticed while Alt is held
                if _ENTRY.unpack(console._entry(table, _KEY_RIGHT_ALT))[2] == _ALTGR:
                    console._change(table, _KEY_RIGHT_ALT, _ALT)
        except OSError:
            console.give_back()
            return None
        return console

    def give_back(self) -> None:
        """Put the layout back as it was."""
        while self._saved:
            try:
                fcntl.ioctl(self._descriptor, _KDSKBENT, self._saved.pop())
            except OSError:
                return      # the console has gone, or we may not change it

    def _entry(self, table: int, key: int) -> bytes:
        return fcntl.ioctl(self._descriptor, _KDGKBENT, _ENTRY.pack(table, key, 0))

    def _change(self, table: int, key: int, value: int) -> None:
        self._saved.append(self._entry(table, key))
        fcntl.ioctl(self._descriptor, _KDSKBENT, _ENTRY.pack(table, key, value))
