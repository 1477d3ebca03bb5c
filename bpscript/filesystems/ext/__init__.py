"""ext2, ext3 and ext4: metadata by libext2fs, file data by our own large writes.

Names here import their module when first used: `detect` asks every partition, and few of them need the C library. `Clean` needs none of it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .format import format_ext
    from .programs import check_ext, repair_ext
    from .resize import resize_ext, resize_to
    from .superblock import detect_ext
    from .volume import ExtVolume

__all__ = ["ExtVolume", "check_ext", "detect_ext", "format_ext", "repair_ext", "resize_ext", "resize_to"]

_HOMES = {
    "ExtVolume": "volume",
    "check_ext": "programs",
    "detect_ext": "superblock",
    "format_ext": "format",
    "repair_ext": "programs",
    "resize_ext": "resize",
    "resize_to": "resize",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - each name has its own type; type checkers read the block above
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(name)
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f".{home}", __name__), name)
