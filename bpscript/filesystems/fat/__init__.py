"""FAT12, FAT16 and FAT32 volumes with long names."""

from .format import format_fat
from .geometry import Geometry
from .growth import Move, boot_area, plan_moves, regrow
from .names import check_name
from .volume import FatVolume, detect_fat

__all__ = ["FatVolume", "Geometry", "Move", "boot_area", "check_name", "detect_fat", "format_fat", "plan_moves", "regrow"]
