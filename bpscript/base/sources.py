"""Where files that are not on a disk come from: a folder, memory, a server.

A FileSource names files by a path with `/` separators and no leading slash. A cache or recorder wraps one.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol, runtime_checkable


class Reader(Protocol):
    """Bytes in order, once. A short read means the end is near, an empty one that it is reached."""

    def read(self, length: int = -1, /) -> bytes:
        """At most `length` bytes, all that is left when negative."""
        ...

    def close(self) -> None:
        """Give back what was opened."""
        ...


class SourceFacts(NamedTuple):
    """What a source says of a file: bytes and modification time, each None where the source cannot tell."""

    size: int | None
    mtime_ns: int | None
    is_directory: bool = False


class FileSource(Protocol):
    """Files of a server, as a script names them."""

    def stat(self, path: str) -> SourceFacts | None:
        """Size and time, or None when there is no such file. Raises NetworkError when the server cannot be asked, nothing else."""
        ...

    def open(self, path: str) -> Reader:
        """The contents, from the first byte. Raises NotFoundError or NetworkError."""
        ...

    def store(self, path: str, chunks: Iterable[bytes]) -> None:
        """Replace or create a file; nothing is left behind on failure. Raises ReadOnlyError where writing is not possible."""
        ...

    def entries(self, path: str) -> list[tuple[str, SourceFacts]]:
        """Names and facts of a directory, sorted. Raises NotFoundError, or StorageError where there are no directories."""
        ...


@runtime_checkable
class ReadsAnywhere(Protocol):
    """A reader that can also give bytes from anywhere, to several threads at a time: of a file on a server that knows ranges."""

    @property
    def reads_anywhere(self) -> bool:
        """False when this server cannot do it after all; the rest then does not count."""
        ...

    @property
    def size(self) -> int | None:
        """Bytes; a number when `reads_anywhere`."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        ...

    def readinto_at(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        ...


@runtime_checkable
class HasFolders(Protocol):
    """A source with directories that can be changed: a folder of this host."""

    def make_dir(self, path: str) -> None:
        """Make a directory and its parents; no effect if it exists. Raises InTheWayError where a file is in the way."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file. Raises NotFoundError; InTheWayError for a directory."""
        ...

    def remove_tree(self, path: str) -> None:
        """Remove a directory with all in it; the root is emptied and stays. Nothing there is no error."""
        ...
