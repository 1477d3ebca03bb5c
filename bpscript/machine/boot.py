"""How a script leaves for another system (language.md 8.8): the protocol, and the machine of `bpscript run`, which only says so.

A command prepares: what is wrong is an error of that line. `leave` goes; it is called when the script is over, the disks are
closed and the events delivered.
"""

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Protocol

from ..base.events import Value

if TYPE_CHECKING:
    from .disk import Disk
    from .files import Files

Facts = Mapping[str, Value]     # what the `boot` event says besides its text, for a server that is to know what boots next


class Boot(Protocol):
    """What can be booted. Every method but `leave` returns facts of the `boot` event, or raises what stands against it."""

    @property
    def can_power_off(self) -> bool:
        """`$APM`."""
        ...

    def hard_disk(self, disk: "Disk", partition: int) -> Facts:
        """The system of a disk, or of one of its partitions; 0 is the master boot record."""
        ...

    def linux(self, files: "Files", kernel: str, command_line: str, ramdisk: str) -> Facts:
        """A Linux kernel; `ramdisk` may be empty. Raises NotFoundError for a file that is not there."""
        ...

    def insert_floppy(self, files: "Files", image: str, *, packed: bool) -> None:
        """Make an image the floppy drive; its size was checked."""
        ...

    def floppy(self) -> Facts:
        """The floppy drive."""
        ...

    def boot_file(self, files: "Files", name: str) -> Facts:
        """Another boot file. Raises NotFoundError when it is not there."""
        ...

    def power_off(self) -> Facts:
        """Nothing any more."""
        ...

    def leave(self) -> None:
        """Go where the last of these led. Returns when there is nowhere to go."""
        ...


class LoggedBoot:
    """The machine of `bpscript run`: the files must be there, the log says what would boot, and that is all."""

    can_power_off = True

    def hard_disk(self, disk: "Disk", partition: int) -> Facts:
        """Nothing."""
        return {}

    def linux(self, files: "Files", kernel: str, command_line: str, ramdisk: str) -> Facts:
        """The files must be there."""
        for name in filter(None, (kernel, ramdisk)):
            with closing(files.open(name)):
                pass
        return {}

    def insert_floppy(self, files: "Files", image: str, *, packed: bool) -> None:
        """Nothing."""

    def floppy(self) -> Facts:
        """Nothing."""
        return {}

    def boot_file(self, files: "Files", name: str) -> Facts:
        """The file must be there."""
        with closing(files.open(name)):
            pass
        return {}

    def power_off(self) -> Facts:
        """Nothing."""
        return {}

    def leave(self) -> None:
        """Stay."""
