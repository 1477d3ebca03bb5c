"""Which argument an error speaks of, so that the caret stands under it.

What goes wrong deep down (no such file, no partition 3) knows nothing of the line. Its message says what it was about, and that
is compared with the arguments: a rule that finds nothing leaves it to the next.
"""

import re
from collections.abc import Sequence

from ..language.places import Place

_DISK_PLACE = re.compile(r"\{(\d*):(-?\d+)\}[/\\]?")
_QUOTED = re.compile(r'"([^"]+)"')

Given = tuple[str, object, Place]       # parameter, value, place


def find_culprit(message: str, given: Sequence[Given], omitted: Sequence[tuple[str, object]]) -> Place | None:
    """The place of the argument that a message is about; None for the command itself.

    `omitted` are the parameters that have their defaults: when it is about one of those, no argument is to blame. Of several
    that fit, the last is taken: destinations come last, and they cause most of the trouble.
    """
    if message.startswith("$"):
        return None         # a variable is wrong, which is not on the line
    for rule in (_is_quoted, _is_empty, _is_named):
        for name, value, place in reversed(given):
            if rule(name, value, message):
                return place
    if any(_is_named(name, value, message) for name, value in omitted):
        return None
    for rule in (_is_on_the_disk, _is_mentioned):
        for name, value, place in reversed(given):
            if rule(name, value, message):
                return place
    texts = [place for _, value, place in given if isinstance(value, str)]
    for places in ([place for _, _, place in given], texts):
        if len(places) == 1:
            return places[0]
    return None


def _is_quoted(name: str, value: object, message: str) -> bool:
    """The value stands in the message between quotes, perhaps without the braces of a place on a disk."""
    if not isinstance(value, str) or not value:
        return False
    message = message.lower().replace("\\", "/")
    value = value.lower().replace("\\", "/")
    return f'"{value}"' in message or f'"{_DISK_PLACE.sub("", value)}"' in message


def _is_empty(name: str, value: object, message: str) -> bool:
    return value == "" and "empty" in message


def _is_named(name: str, value: object, message: str) -> bool:
    """`partition 3` speaks of the argument `partition` when that is 3."""
    numbers = str(value).split() if isinstance(value, int | str) else []
    word = name.removesuffix("s").replace("_", " ")
    return bool(word) and any(re.search(rf"\b{re.escape(word)} {re.escape(number)}(?!\d)", message) for number in numbers[:64])


def _is_on_the_disk(name: str, value: object, message: str) -> bool:
    """`{1:2}/x` is spoken of by `disk 1` and `partition 2`."""
    match = _DISK_PLACE.match(value) if isinstance(value, str) else None
    return match is not None and (f"partition {match[2]}" in message or f"disk {match[1] or 0}" in message)


def _is_mentioned(name: str, value: object, message: str) -> bool:
    """A part of the value stands in the message between quotes."""
    return isinstance(value, str) and any(quoted in value for quoted in _QUOTED.findall(message))

