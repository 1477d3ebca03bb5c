"""Numbers of the language: 32 bits with a sign, in decimal (language.md 3.2)."""

import re

LOWEST, HIGHEST = -(2**31), 2**31 - 1

_DIGITS = re.compile(r"([+-]?)0*([0-9]*)\Z")
_MOST_DIGITS = 10


class NumberRangeError(ValueError):
    """A number does not fit into 32 bits."""


def number_of(text: str) -> int:
    """The value of decimal digits with an optional sign. Raises NumberRangeError."""
    if len(text) < _MOST_DIGITS:
        return int(text)
    match = _DIGITS.match(text)
    if match is not None and len(match[2]) <= _MOST_DIGITS:
        value = int(match[1] + (match[2] or "0"))
        if LOWEST <= value <= HIGHEST:
            return value
    shown = text if len(text) <= 40 else text[:37] + "..."
    raise NumberRangeError(f"{shown} is out of range: numbers go from {LOWEST} to {HIGHEST}")


def words_of(text: str) -> list[str]:
    """Runs of characters other than space, tab, CR and LF (language.md 3.1)."""
    return re.findall(r"[^ \t\r\n]+", text)
