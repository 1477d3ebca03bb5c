"""A layer that asks before the first write whether this is the right disk.

    read, readinto ------------------------------> lower
    write, writev, zero ---> may_write() once ---> lower

`may_write` raises what the writer shall see, and is asked again at the next attempt.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from .device import BlockDevice, Buffer, host_file_of
from .medium import medium_of
from .through import ReadsThrough


class GuardedDevice(ReadsThrough):
    """`lower`, with a condition on its first change."""

    def __init__(self, lower: BlockDevice, may_write: Callable[[], None]) -> None:
        super().__init__(lower)
        self._may_write = may_write
        self._allowed = False

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of `data`, if that is allowed."""
        self._ask()
        self._lower.write(offset, data)

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """Write the buffers one after the other, if that is allowed."""
        self._ask()
        self._lower.writev(offset, buffers)

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros, if that is allowed."""
        self._ask()
        self._lower.zero(offset, length)

    def flush(self) -> None:
        """Flush the device below."""
        self._lower.flush()

    def host_file(self) -> tuple[Path, int] | None:
        """Path and offset in the host file below; whoever asks may write there, so that must be allowed."""
        found = host_file_of(self._lower)
        if found is not None:
            self._ask()
        return found

    def medium(self) -> tuple[Path, int] | None:
        """Where the lower device lies: for those who only ask what kind of medium it is, and read."""
        return medium_of(self._lower)

    def _ask(self) -> None:
        if not self._allowed:
            self._may_write()
            self._allowed = True
