"""Where a script goes on after a command: what command functions return besides None and a NestedCommand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..base.events import Value

if TYPE_CHECKING:
    from .frames import Frame


@dataclass(frozen=True, slots=True, eq=False)
class Jump:
    """Go on at a label of the running file."""

    label: str


@dataclass(frozen=True, slots=True, eq=False)
class Ended:
    """The machine boots or is turned off: the script is over. `boot` is the text of the `[boot]` line, "poweroff" for example.

    `facts` are what the event says besides.
    """

    boot: str
    facts: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Enter:
    """Run another file, or the prompt, and come back."""

    frame: "Frame"


@dataclass(frozen=True, slots=True, eq=False)
class Leave:
    """Leave the prompt."""
