"""What a restore did."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Restored:
    """Bytes of used contents, of them written and found equal; `how`: same size, larger, smaller or file by file."""

    used: int
    written: int
    equal: int
    how: str
