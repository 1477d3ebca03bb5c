"""Where a script is."""

from pathlib import Path

from ..base.errors import UsageError


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
    raise UsageError(f"{path}: no such script")


def program_of(script: Path) -> str:
    """The program that runs a script when nobody says which: MrZip for *.mrz, else MrBatch."""
    return "MrZip" if script.suffix.lower() == ".mrz" else "MrBatch"


def is_address(root: object) -> bool:
    """Whether the root of a run is a real server."""
    return isinstance(root, str) and "://" in root
