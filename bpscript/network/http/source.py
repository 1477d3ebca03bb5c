"""Files of a web server, below an address: `--root http://10.0.0.1/images/`. Nothing can be written, and nothing listed."""

from collections.abc import Iterable
from typing import NoReturn

from ...base.errors import InTheWayError, NotFoundError, ReadOnlyError, StorageError
from ...base.sources import SourceFacts
from ..foreign import parse_foreign
from .client import BrokenError, Client, Fetcher, Reply
from .remote import RemoteFile, refusal
from .urls import Url, parse_url


class HttpSource:
    """The files below an address. Raises UsageError for what is none."""

    def __init__(self, address: str | Url, fetcher: Fetcher | None = None) -> None:
        self.root = parse_url(address) if isinstance(address, str) else address
        self._own = None if fetcher is not None else Client()
        self._fetcher: Fetcher = fetcher or self._own or Client()

    def __str__(self) -> str:
        return str(self.root)

    def stat(self, path: str) -> SourceFacts | None:
        """Size and time; None for what is not there or may not be read. Raises NetworkError when the server cannot be asked."""
        url = self._url(path)
        reply = self._head(url)
        reply.close()
        if reply.status != 200:
            error = refusal(url, reply)
            if isinstance(error, BrokenError):
                raise error
            return None
        if reply.url.is_folder:
            return SourceFacts(0, None, is_directory=True)
        length = reply.field("content-length")
        size = int(length) if length is not None and length.isascii() and length.isdecimal() and len(length) < 19 else None
        return SourceFacts(size, _time_of(reply.field("last-modified")))

    def open(self, path: str) -> RemoteFile:
        """The contents."""
        url = self._url(path)
        if url.is_folder:
            raise InTheWayError(f'"{path}" is a directory, not a file')
        try:
            file = RemoteFile(self._fetcher, url)
        except NotFoundError as error:
            raise NotFoundError(f'no file "{path}" at {self.root}') from error
        if file.url.is_folder:
            file.close()
            raise InTheWayError(f'"{path}" is a directory, not a file')
        return file

    def store(self, path: str, chunks: Iterable[bytes]) -> NoReturn:
        """Always refused."""
        raise ReadOnlyError(f'"{path}" cannot be written: files at {self.root} can only be read')

    def entries(self, path: str) -> NoReturn:
        """Always refused: HTTP has no lists of files."""
        raise StorageError(f'"{path}" at {self.root} cannot be listed: a web server gives files by their names only')

    def close(self) -> None:
        """Close the connections."""
        if self._own is not None:
            self._own.close()

    def _head(self, url: Url) -> Reply:
        try:
            return self._fetcher.fetch("HEAD", url, {})
        except BrokenError:
            return self._fetcher.fetch("HEAD", url, {})

    def _url(self, path: str) -> Url:
        foreign = parse_foreign(path)
        if foreign.server_part:
            raise StorageError(f'"{path}" names another server, which only TFTP can do')
        return self.root.below(foreign.path)


def _time_of(text: str | None) -> int | None:
    """Nanoseconds since 1970 of a date as HTTP writes it; None when it is none."""
    if text is None:
        return None
    from email.utils import mktime_tz, parsedate_tz  # noqa: PLC0415 - http.client has loaded the package

    try:
        parsed = parsedate_tz(text)
        return None if parsed is None else int(mktime_tz(parsed)) * 1_000_000_000
    except (ValueError, OverflowError):
        return None
