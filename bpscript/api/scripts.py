"""Where a script is."""

import re
from pathlib import Path

from ..base.errors import UsageError

_SCHEME = re.compile(r"[a-z][a-z+]+:/", re.IGNORECASE)      # of an address: a path keeps one of its slashes


def find_script(path: Path) -> Path:
    """The script file; a name without extension gets `.bpb` or `.mrz` (language.md 1.3). Raises UsageError."""
    candidates = [path, path.with_name(path.name + ".bpb"), path.with_name(path.name + ".mrz")] if path.name else []
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    if path.is_dir():
        raise UsageError(f"{path} is a directory, not a script")
    if path.exists():
        return path     # a pipe, /dev/stdin
    if _SCHEME.match(str(path)):
        shown = str(path).replace(":/", "://", 1)
        raise UsageError(f"{shown}: a script is a file of this host", hint="fetch it first; --root says which server has the files that it names")
    raise UsageError(f"{path}: no such script")


def program_of(script: Path) -> str:
    """The program that runs a script when nobody says which: MrZip for *.mrz, else MrBatch."""
    return "MrZip" if script.suffix.lower() == ".mrz" else "MrBatch"


def is_address(root: object) -> bool:
    """Whether the root of a run is a real server."""
    return isinstance(root, str) and "://" in root
