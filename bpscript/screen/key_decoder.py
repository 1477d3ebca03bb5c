"""What a terminal sends, as key presses: UTF-8 in halves, escape sequences, Alt, pasted text. No input or output, no clock.

A key is sent as the bytes of its character, and with Alt as Escape and the character. Keys without a character (arrows, F1) are
sequences that begin with Escape, too:

    ESC                   the Escape key, if nothing follows soon: the caller says so with `pause`
    ESC x                 Alt and x
    ESC [ ... final       CSI sequence: keys without a character are dropped (ECMA-48 5.4)
    ESC [ [ A             F1 to F5 of the Linux console
    ESC O x               SS3 sequence: F1 to F4, and the keypad in its application mode
    ESC [ 200 ~ ... ESC [ 201 ~     pasted text: every character is a key, whatever it is (xterm's bracketed paste)
"""

import codecs
import re
from collections import deque

from .keyboard import Key

_MOST_SEQUENCE = 64     # characters; no key sends as many
_SEQUENCE = re.compile(r"\033(?:\[\[.|\[[0-?]*[ -/]*[@-~]|O[0-9;]*[ -~]|[^\033\[O])", re.DOTALL)
_BEGINNING = re.compile(r"\033(?:\[\[|\[[0-?]*[ -/]*|O[0-9;]*)?")
_PASTE, _PASTE_END = "\033[200~", "\033[201~"
_CHARACTERS = {"\033OM": "\r", "\033OX": "="} | {f"\033O{chr(code + 64)}": chr(code) for code in range(ord("*"), ord("9") + 1)}


class KeyDecoder:
    """Bytes in, keys out."""

    def __init__(self) -> None:
        self.keys: deque[Key] = deque()
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""             # the beginning of a sequence
        self._pasting = False
        self._after_return = False  # CR LF is one Return

    @property
    def is_open(self) -> bool:
        """Whether a sequence has begun that a pause would end."""
        return bool(self._text)

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._text += self._utf8.decode(data)
        while self._text and self._step():
            pass

    def pause(self) -> None:
        """Nothing follows what has come so far: Escape was the Escape key, Escape and [ were Alt and [."""
        text, self._text = self._text, ""
        if self._pasting or len(text) == 1:
            for character in text:
                self._add(character)
        elif len(text) == 2:
            self._add(text[1], alt=True)

    def end(self) -> None:
        """Nothing will ever come again: half a character is shown as U+FFFD."""
        self.pause()
        for character in self._utf8.decode(b"", final=True):
            self._add(character)

    def _step(self) -> bool:
        """Take one key off the text, or all up to the next Escape; False when more has to come first."""
        text = self._text
        if self._pasting:
            return self._step_in_paste()
        if not text.startswith("\033"):
            before, escape, after = text.partition("\033")
            for character in before:
                self._add(character)
            self._text = escape + after
            return True
        found = _SEQUENCE.match(text)
        if found is not None:
            self._text = text[found.end() :]
            self._take(found[0])
            return True
        beginning = _BEGINNING.match(text)
        assert beginning is not None
        if beginning.end() == len(text) < _MOST_SEQUENCE:
            return False
        # Escape twice, or what is no sequence after all.
        self._text = beginning[0]
        self.pause()
        self._text = text[beginning.end() :]
        return True

    def _step_in_paste(self) -> bool:
        """Every character up to the end mark is a key."""
        before, mark, after = self._text.partition(_PASTE_END)
        if not mark:
            kept = next((n for n in range(len(_PASTE_END) - 1, 0, -1) if before.endswith(_PASTE_END[:n])), 0)
            before, after = before[: len(before) - kept], before[len(before) - kept :]
        for character in before:
            self._add(character)
        self._pasting = not mark
        self._text = after
        return bool(mark)

    def _take(self, sequence: str) -> None:
        """A whole sequence."""
        if sequence == _PASTE:
            self._pasting = True
        elif sequence in _CHARACTERS:
            self._add(_CHARACTERS[sequence])
        elif len(sequence) == 2:
            self._add(sequence[1], alt=True)

    def _add(self, character: str, *, alt: bool = False) -> None:
        after_return, self._after_return = self._after_return, character == "\r"
        if character == "\0" or (character == "\n" and after_return):
            return      # no string holds NUL; some lines send CR NUL or CR LF for Return
        self.keys.append(Key({"\n": "\r", "\177": "\b"}.get(character, character), alt))
