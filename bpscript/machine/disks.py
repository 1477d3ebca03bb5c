"""The disks of a machine, by number. What a disk is stands in `disk.py`, which a script without disks never loads."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..base.errors import NotFoundError
from ..base.units import MIB

if TYPE_CHECKING:
    from .disk import Disk


class Disks(Sequence["Disk"]):
    """The disks in the order of the command line."""

    def __init__(self, disks: Sequence["Disk"] = ()) -> None:
        self._disks = list(disks)

    def __getitem__(self, number: int) -> "Disk":  # type: ignore[override]
        """A disk by number. Raises NotFoundError."""
        if not 0 <= number < len(self._disks):
            count = len(self._disks)
            found = "there is no disk" if count == 0 else "there is only disk 0" if count == 1 else f"there are disks 0 to {count - 1}"
            raise NotFoundError(f"no disk {number}: {found}", hint="--disk IMG gives an image; on a workstation the controller may need a driver, or AHCI instead of RAID in the setup of its firmware")
        return self._disks[number]

    def __len__(self) -> int:
        return len(self._disks)

    def __iter__(self) -> Iterator["Disk"]:
        return iter(self._disks)

    def sizes_mb(self) -> list[int]:
        """Sizes in MB (2^20 bytes), rounded down."""
        return [disk.device.size // MIB for disk in self._disks]

    def set_code_page(self, name: str) -> None:
        """The code page of FAT short names from here on, as Python names it ("cp850")."""
        for disk in self._disks:
            if disk.code_page != name:
                disk.code_page = name
                disk.forget()

    def flush(self) -> None:
        """End of a command: everything is on the disks."""
        for disk in self._disks:
            disk.flush()

    def close(self) -> None:
        """End of the run."""
        for disk in self._disks:
            disk.forget()

    def abandon(self) -> None:
        """End of a run that failed."""
        for disk in self._disks:
            disk.abandon()
