"""What a restore did."""



from typing import NamedTuple


class Restored(NamedTuple):
    """Bytes of used contents, of them written and found equal; `how`: same size, larger, smaller or file by file."""

    used: int
    written: int
    equal: int
    how: str
