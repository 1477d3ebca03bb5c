"""Names: how the language compares them, and what a variable may be called (language.md, introduction and 2.4)."""

import re
from collections.abc import Iterable

_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_+-]*\Z")


def fold(name: str) -> str:
    """The form in which names are compared: ASCII letters in lower case, everything else as it is."""
    return name.lower() if name.isascii() else name.translate(_LOWER)


def is_variable_name(text: str) -> bool:
    """Whether a variable may have this name."""
    return _VARIABLE.match(text) is not None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint with the nearest known name, None when none is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for an error

    spellings = {fold(each): each for each in known}
    near = get_close_matches(fold(name)[:64], spellings, n=1, cutoff=0.7)
    return f"did you mean {spellings[near[0]]}?" if near else None
