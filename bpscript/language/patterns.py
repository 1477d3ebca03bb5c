"""Wildcard patterns (language.md 3.5): `?` is any one character, `*` any run; there are no classes and no quoting."""

import re
from collections.abc import Callable


def compile_pattern(pattern: str, *, ignore_case: bool = False) -> Callable[[str], bool]:
    """A test whether a whole text matches.

    Each piece between two stars is matched at its first place and never moved (an atomic group): that is enough, because a
    star behind it takes whatever follows, and it keeps patterns with many stars from taking for ever.
    """
    pieces = ["".join("." if c == "?" else re.escape(c) for c in piece) for piece in re.split(r"\*+", pattern)]
    if len(pieces) == 1:
        expression = pieces[0]
    else:
        middle = "".join(f"(?>.*?{piece})" for piece in pieces[1:-1])
        expression = f"{pieces[0]}{middle}.*{pieces[-1]}"
    matcher = re.compile(rf"(?:{expression})\Z", re.DOTALL | (re.IGNORECASE if ignore_case else 0))
    return lambda text: matcher.match(text) is not None
