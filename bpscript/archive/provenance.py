"""Where an archive comes from, for its header (META: `source`, `host`, `options`, `writer`).

Only what may be handed on with the archive: a name without its directories, never a key or a variable of a script. A host that
gave its clock as an input (SOURCE_DATE_EPOCH) is left out, so that two hosts make the same bytes.
"""

import os
from typing import NamedTuple

from .. import __version__
from ..base.clock import Clock

WRITER = f"bpscript {__version__}"
_LONGEST = 1024         # characters that a reader takes (FORMAT.md, "Full archives")


class Provenance(NamedTuple):
    """What was captured, on which host, and how."""

    source: str = ""
    host: str = ""
    options: str = ""

    @classmethod
    def of(cls, source: str, options: str, clock: Clock) -> "Provenance":
        """Of this host; `source` loses its directories, and what is too long is cut."""
        name = source.rstrip("/").rpartition("/")[2]
        host = os.uname().nodename if clock.fixed_ns is None else ""
        return cls(*(text.encode("utf-8", "replace").decode()[:_LONGEST] for text in (name, host, options)))
