"""The master boot record as three files, `{:0}` in a script (language.md 4.1).

    /bootcode    bytes   0-439 of sector 0
    /table       bytes 446-509
    /mbr         all 512

They can be read and written, also in part: what is shorter leaves the rest as it is. None can be deleted or created.
"""

from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import NoReturn

from ..base.errors import InTheWayError, NoSpaceError, NotFoundError, ReadOnlyError, StorageError
from ..base.sources import Reader
from ..blocks.device import BlockDevice, Buffer
from .filesystem import Facts, Family, FileKind, Problem, Usage

SECTOR = 512
_SIGNATURE = b"\x55\xaa"
_FILES = {"bootcode": (0, 440), "table": (446, 510), "mbr": (0, 512)}       # half-open byte ranges of sector 0
_WHAT = "the master boot record"


class MbrFiles:
    """The pseudo file system of a disk's sector 0. Raises StorageError when the disk is smaller than that."""

    kind = "MBR"
    family = Family.OTHER
    label = ""
    ident = ""
    ignores_case = True

    def __init__(self, device: BlockDevice) -> None:
        if device.size < SECTOR:
            raise StorageError(f"a disk of {device.size} bytes has no master boot record")
        self._device = device

    def usage(self) -> Usage:
        """Nothing is ever free: the files have their sizes."""
        return Usage(SECTOR, 0)

    def stat(self, path: str) -> Facts:
        """Facts of a path."""
        if not path:
            return Facts(FileKind.DIRECTORY)
        start, end = _range_of(path)
        return Facts(FileKind.FILE, end - start)

    def exists(self, path: str) -> bool:
        """True for the root and the three files."""
        return not path or path.lower() in _FILES

    def entries(self, path: str) -> list[tuple[str, Facts]]:
        """The three files."""
        if path:
            _range_of(path)
            raise InTheWayError(f"/{path} in {_WHAT} is a file, not a directory")
        return [(name, self.stat(name)) for name in _FILES]

    def open(self, path: str) -> Reader:
        """The contents of a file."""
        start, end = _range_of(path)
        return BytesIO(self._device.read(start, end - start))

    def write_file(self, path: str, chunks: Iterable[Buffer], size: int | None = None, facts: Facts | None = None) -> None:
        """Write the beginning of a file, in one go; the rest stays. Times and modes have no place here."""
        if not path:
            raise InTheWayError(f"the root of {_WHAT} is a directory")
        if path.lower() not in _FILES:
            self._refuse_new(path)
        start, end = _range_of(path)
        room = end - start
        too_large = NoSpaceError(f"/{path} in {_WHAT} has {room} bytes, not more")
        if size is not None and size > room:
            raise too_large
        data = bytearray()
        for chunk in chunks:
            data += chunk
            if len(data) > room:
                raise too_large
        self._device.write(start, data)

    def make_dir(self, path: str, facts: Facts | None = None) -> None:
        """Only the root is a directory."""
        if path:
            self._refuse_new(path)

    def set_facts(self, path: str, facts: Facts) -> None:
        """There is nowhere to keep them."""
        self.stat(path)

    def remove(self, path: str) -> None:
        """The files cannot be deleted."""
        self.stat(path)
        raise ReadOnlyError(f"/{path} in {_WHAT} cannot be deleted")

    def rename(self, old: str, new: str) -> None:
        """Nor renamed."""
        self.stat(old)
        raise ReadOnlyError(f"/{old} in {_WHAT} cannot be renamed")

    def used_ranges(self) -> Iterator[tuple[int, int]]:
        """The one sector."""
        yield 0, SECTOR

    def check(self) -> list[Problem]:
        """A signature is all there is to check."""
        found = self._device.read(510, 2)
        return [] if found == _SIGNATURE else [Problem("byte 510", f"the signature is {found.hex(' ').upper()}, expected 55 AA")]

    def flush(self) -> None:
        """Flush the device."""
        self._device.flush()

    def close(self) -> None:
        """Flush and let go."""
        self.flush()

    def _refuse_new(self, path: str) -> NoReturn:
        if path.lower() in _FILES:
            raise InTheWayError(f"/{path} in {_WHAT} is a file")
        raise ReadOnlyError(f"no other file or directory can be made in {_WHAT}", hint=f"it has {_names()}")


def _range_of(path: str) -> tuple[int, int]:
    found = _FILES.get(path.lower())
    if found is None:
        raise NotFoundError(f"no file /{path} in {_WHAT}", hint=f"it has {_names()}")
    return found


def _names() -> str:
    return ", ".join(f"/{name}" for name in _FILES)
