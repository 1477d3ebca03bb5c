"""FAT12, FAT16 and FAT32 volumes with long names."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .format import format_fat
    from .geometry import Geometry
    from .growth import Move, boot_area, plan_moves, regrow
    from .names import check_name
    from .volume import FatVolume, detect_fat

__all__ = ["FatVolume", "Geometry", "Move", "boot_area", "check_name", "detect_fat", "format_fat", "plan_moves", "regrow"]

_MODULES = {
    "format_fat": "format", "Geometry": "geometry", "Move": "growth", "boot_area": "growth", "plan_moves": "growth", "regrow": "growth",
    "check_name": "names", "FatVolume": "volume", "detect_fat": "volume",
}  # fmt: skip


def __getattr__(name: str) -> Any:  # noqa: ANN401 - module attribute hook
    # Late: whoever opens a volume loads no formatter.
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
