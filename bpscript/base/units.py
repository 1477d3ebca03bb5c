"""Sizes in bytes, and how people write them."""

import re

from .errors import UsageError

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40
SECTOR = 512    # bytes; the unit of MBR tables and of everything the original knew

_UNITS = {"": 1, "b": 1, "k": KIB, "kb": KIB, "kib": KIB, "m": MIB, "mb": MIB, "mib": MIB, "g": GIB, "gb": GIB, "gib": GIB,
          "t": TIB, "tb": TIB, "tib": TIB}
_SIZE = re.compile(r"\s*([0-9]{1,20})\s*([A-Za-z]*)\s*\Z")


def parse_size(text: str) -> int:
    """Bytes of "512", "64K", "30 MB", "2G": 1024-based, a bare number is bytes.

    Raises UsageError when it is no size.
    """
    match = _SIZE.match(text)
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise UsageError(f'"{text[:40]}" is not a size', hint="a number and B, K, M, G or T (1024-based), for example 512M")
    return int(match[1]) * unit


def format_size(size: int) -> str:
    """A size for people: "1.5 MB"; exact below 1 KB."""
    if size < KIB:
        return f"{size} B"
    value = float(size)
    for unit in ("KB", "MB", "GB", "TB"):
        value /= KIB
        if value < KIB or unit == "TB":
            return f"{value:.0f} {unit}" if value >= 100 or value == int(value) else f"{value:.1f} {unit}"
    raise AssertionError


def round_up(value: int, unit: int) -> int:
    """The next multiple of `unit` at or above `value`."""
    return -(-value // unit) * unit
