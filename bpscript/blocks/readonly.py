"""A layer that refuses every write."""

from collections.abc import Iterable

from ..base.errors import ReadOnlyError
from .device import BlockDevice, Buffer
from .through import ReadsThrough


class ReadOnlyDevice(ReadsThrough):
    """`lower`, but writing raises ReadOnlyError that names it."""

    def __init__(self, lower: BlockDevice, name: str = "device", *, hint: str | None = None) -> None:
        super().__init__(lower)
        self.name = name
        self._hint = hint

    def write(self, offset: int, data: Buffer) -> None:
        """Refuse."""
        raise self._refusal()

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """Refuse."""
        raise self._refusal()

    def zero(self, offset: int, length: int) -> None:
        """Refuse."""
        raise self._refusal()

    def flush(self) -> None:
        """Nothing was written."""

    def _refusal(self) -> ReadOnlyError:
        return ReadOnlyError(f"{self.name} is open for reading only", hint=self._hint)
