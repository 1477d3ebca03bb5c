"""What is known at one place of a script, on every way that leads there.

`join` takes what two ways have in common: a value is known only if both know it, a variable may be set if one of them may have set it.
Each join only ever forgets, so the walk comes to an end.
"""

from dataclasses import dataclass, field
from enum import Enum

from ...partitions.spec import PartitionList

ALL = -1        # as a set of bits: every variable


class Capture(Enum):
    """Whether a log capture is active."""

    OFF = "off"
    ON = "on"
    MAYBE = "maybe"


@dataclass(frozen=True, slots=True, eq=False)
class KnownTable:
    """A table that SetPartitions wrote: its entries, and their sizes in bytes by number where they can be told."""

    wanted: PartitionList
    sizes: dict[int, int]


@dataclass(slots=True, eq=False)
class State:
    """The facts. Variables are folded names in `values`, and bits (see `Variables`) in `maybe` and `secret`.

    States share their dictionaries: what changes one makes a new one.
    """

    values: dict[str, str] = field(default_factory=dict)        # known texts
    maybe: int = 0                                              # variables that may be set
    secret: int = 0                                             # variables that may hold what GetPasswd read
    tables: dict[int, KnownTable] = field(default_factory=dict)
    network_gone: bool = False                                  # surely
    capture: Capture = Capture.OFF
    has_source: bool = False                                    # perhaps: of CopyArchive
    has_dest: bool = False
    has_filter: bool = False                                    # perhaps: a negative one

    @classmethod
    def unknown(cls, secret: int = 0) -> "State":
        """Anything may have happened."""
        return cls({}, ALL, secret, {}, False, Capture.MAYBE, True, True, True)

    def copy(self) -> "State":
        """An independent copy."""
        return State(
            self.values, self.maybe, self.secret, self.tables, self.network_gone, self.capture, self.has_source, self.has_dest, self.has_filter,
        )  # fmt: skip

    def know(self, key: str, value: str | None) -> None:
        """A variable has a value from here on, None for an unknown one."""
        if self.values.get(key) == value:
            return
        values = self.values.copy()
        if value is None:
            del values[key]
        else:
            values[key] = value
        self.values = values

    def know_table(self, disk: int, table: KnownTable | None) -> None:
        """The same for the table of a disk."""
        tables = {number: each for number, each in self.tables.items() if number != disk}
        self.tables = tables if table is None else {**tables, disk: table}

    def become(self, other: "State") -> None:
        """Take over all facts of another state."""
        self.values, self.tables = other.values, other.tables
        self.maybe, self.secret = other.maybe, other.secret
        self.network_gone, self.capture = other.network_gone, other.capture
        self.has_source, self.has_dest, self.has_filter = other.has_source, other.has_dest, other.has_filter

    def forget(self) -> None:
        """Something unknown happened."""
        self.become(State.unknown(self.secret))

    def join(self, other: "State") -> bool:
        """Keep what both have in common; True when that forgot something."""
        changed = False
        mine = self.values
        if mine and mine is not other.values and mine != other.values:
            theirs = other.values
            kept = {name: value for name, value in mine.items() if theirs.get(name) == value}
            if len(kept) != len(mine):
                self.values = kept
                changed = True
        if self.tables and self.tables is not other.tables and self.tables != other.tables:
            tables = {disk: table for disk, table in self.tables.items() if other.tables.get(disk) is table}
            if len(tables) != len(self.tables):
                self.tables = tables
                changed = True
        bits = self.maybe | other.maybe, self.secret | other.secret, self.has_source | other.has_source, self.has_dest | other.has_dest, self.has_filter | other.has_filter
        if bits != (self.maybe, self.secret, self.has_source, self.has_dest, self.has_filter):
            self.maybe, self.secret, self.has_source, self.has_dest, self.has_filter = bits
            changed = True
        if self.network_gone and not other.network_gone:
            self.network_gone = False
            changed = True
        if self.capture is not other.capture and self.capture is not Capture.MAYBE:
            self.capture = Capture.MAYBE
            changed = True
        return changed
