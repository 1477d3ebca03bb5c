"""How the command line names a place on a disk (`machine/image_places.py`), and a disk for a script."""

from pathlib import Path

from ..base.errors import UsageError
from ..base.units import parse_size
from ..machine.image_places import DiskImagePlace

__all__ = ["DiskImagePlace", "parse_disk_option"]


def parse_disk_option(text: str) -> tuple[Path, int | None]:
    """`--disk disk.img` or `--disk disk.img:2G`: the path, and the size in bytes of an image to make.

    An existing file of the whole name wins, else the last `:` separates.
    """
    head, colon, tail = text.rpartition(":")
    if Path(text).exists() or not colon or not head:
        return Path(text), None
    try:
        return Path(head), parse_size(tail)
    except UsageError:
        return Path(text), None
