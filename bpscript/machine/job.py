"""What `Source`, `Dest` and `Filter` have set (language.md 8.9)."""

from dataclasses import dataclass, field
from enum import StrEnum

from ..archive.filters import Filters


class Form(StrEnum):
    """What stands at an end of an archive operation."""

    PATH = "path"
    ARCHIVE = "archive"
    IARCHIVE = "iarchive"
    DUMP = "dump"
    IDUMP = "idump"


@dataclass(frozen=True, slots=True)
class End:
    """One end of an archive operation: its form, and the name in the script ("" for a dump)."""

    form: Form
    name: str = ""


@dataclass
class Job:
    """What `Source`, `Dest` and `Filter` have set; it stays set for the whole run."""

    source: End | None = None
    dest: End | None = None
    filters: Filters = field(default_factory=Filters)
