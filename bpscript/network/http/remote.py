"""A file on a web server, read in order or from anywhere, over connections that break.

The first request asks for the first page of the file. What comes back tells everything: the size, whether the server knows ranges
(status 206), and what identifies this state of the file (its validator: a strong ETag, else Last-Modified).

    first page      GET, Range: bytes=0-65535                           206 with the size, or 200: the whole file comes
    in order        GET, Range: bytes=65536-, If-Range: VALIDATOR       one answer to the end of the file
    from anywhere   GET, Range: bytes=A-B,    If-Range: VALIDATOR       one answer for each part; short parts by whole pages, of which a few are kept

When a connection breaks, the next request begins where the bytes ended. A server that answers another size, validator or 200 to
`If-Range` has another file now: that is an error, never a mixture of two files. A server without ranges is asked for all again,
and what we have is passed over. Source: RFC 9110 8.8, 13.1.5, 14.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import sleep

from ...base.errors import FormatError, NetworkError, NotFoundError
from .client import BrokenError, Fetcher, Reply
from .urls import Url

PAGE = 64 << 10             # bytes
ATTEMPTS = 5                # for a file that was not begun
LATER_ATTEMPTS = 12         # in the middle of one, without a byte; any progress starts the count again. A server takes half a minute to start again
_PAGES = 16                 # kept
_SHORT = PAGE // 2          # bytes; longer parts are asked for as they are
_STEP = 1 << 20             # bytes of one read without a length
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0     # doubles with each attempt
_AGAIN = {408, 429, 500, 502, 503, 504}     # the server, or something before it, is busy
_CONTENT_RANGE = re.compile(r"bytes\s+(?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)", re.IGNORECASE)

Pause = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class State:
    """What a server says of the file: enough to notice another one. `size` is bytes, None when it does not tell."""

    size: int | None
    etag: str | None
    modified: str | None

    @property
    def validator(self) -> str | None:
        """For `If-Range`, which takes no weak ETag (RFC 9110 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified

    def differs(self, other: "State") -> str | None:
        """How the other is not this one, in words; what one of them does not say is passed over."""
        for what, mine, now in (("size", self.size, other.size), ("ETag", self.etag, other.etag), ("Last-Modified", self.modified, other.modified)):
            if mine is not None and now is not None and mine != now:
                return f"{what} was {mine}, now it is {now}"
        return None


class RemoteFile:
    """An open file; `read` goes in order, `read_at` and `readinto_at` from anywhere and from several threads.

    Raises NetworkError when the server cannot be reached for long, or has another file now.
    """

    def __init__(self, fetcher: Fetcher, url: Url, *, pause: Pause = sleep) -> None:
        """Raises NotFoundError or NetworkError."""
        self._fetcher = fetcher
        self._pause = pause
        self._lock = threading.Lock()
        self._pages: OrderedDict[int, bytes] = OrderedDict()
        self._position = 0              # of `read`
        self._stream: Reply | None = None
        self.url = url
        self._state, self.reads_anywhere = self._open()

    @property
    def size(self) -> int | None:
        """Bytes; None when the server does not tell."""
        return self._state.size

    @property
    def etag(self) -> str | None:
        """What tells this state of the file from others, as the server says it."""
        return self._state.etag

    def read(self, length: int = -1, /) -> bytes:
        """At most `length` bytes in order, all that is left when negative."""
        if length < 0:
            return b"".join(iter(lambda: self.read(_STEP), b""))
        buffer = bytearray(length)
        return bytes(memoryview(buffer)[: self._fill(memoryview(buffer))])

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        buffer = bytearray(length)
        self.readinto_at(offset, buffer)
        return bytes(buffer)

    def readinto_at(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        view = memoryview(buffer).cast("B")
        size = self._state.size
        assert size is not None     # `reads_anywhere`
        if offset < 0 or offset + len(view) > size:
            raise FormatError(f"{self.url} ends at byte {size}, bytes {offset} to {offset + len(view)} were expected")
        if len(view) > _SHORT:
            self._fetch_range(offset, view)
            return
        while len(view):
            start = offset // PAGE * PAGE
            page = self._page(start)
            part = page[offset - start : offset - start + len(view)]
            view[: len(part)] = part
            view, offset = view[len(part) :], offset + len(part)

    def close(self) -> None:
        """Give back what was opened."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    # --- the first answer ----------------------------------------------------------------------------------------------

    def _open(self) -> tuple[State, bool]:
        for attempt in range(ATTEMPTS):
            try:
                reply = self._asked({"Range": f"bytes=0-{PAGE - 1}"})
                break
            except BrokenError:
                if attempt == ATTEMPTS - 1:
                    raise
                self._pause(_FIRST_PAUSE_S * 2**attempt)
        self.url = reply.url
        if reply.status == 200:
            self._stream = reply        # all of it comes, and will be read in order
            return _state(reply, _length(reply)), False
        start, end, total = _content_range(reply)
        state = _state(reply, total)
        if reply.status == 416 and total == 0:
            reply.close()
            return state, True
        if reply.status != 206 or total is None or start != 0 or end != min(PAGE, total):
            reply.close()
            raise NetworkError(f"{self.url}: the server answers {_shown(reply)} to a request for the first {PAGE} bytes; expected those")
        page = bytearray(end)
        done = 0
        try:
            while done < end:
                count = reply.readinto(memoryview(page)[done:])
                if not count:
                    break
                done += count
        except BrokenError:
            pass                        # the first who wants the page asks again
        finally:
            reply.close()
        if done == end:
            self._pages[0] = bytes(page)
        return state, True

    # --- in order ------------------------------------------------------------------------------------------------------

    def _fill(self, view: memoryview) -> int:
        """Some bytes at the position of `read`, which moves; 0 at the end."""
        size = self._state.size
        if not len(view) or (size is not None and self._position >= size):
            return 0
        if self._stream is None and self._position < PAGE and (page := self._pages.get(0)) is not None and self._position < len(page):
            part = page[self._position : self._position + len(view)]
            view[: len(part)] = part
            self._position += len(part)
            return len(part)
        attempt = 0
        while True:
            try:
                if self._stream is None:
                    self._stream = self._from(self._position)
                count = self._stream.readinto(view)
                if not count and size is not None and self._position < size:
                    raise BrokenError(f"{self.url}: the answer ended at byte {self._position} of {size}")
                self._position += count
                return count
            except BrokenError as error:
                self.close()
                if size is None:
                    raise NetworkError(f"{error.message}; the server does not say how long the file is, so it cannot be continued") from error
                attempt = self._wait(attempt, error)

    def _from(self, position: int) -> Reply:
        """An answer with the bytes from `position` to the end."""
        fields = {"Range": f"bytes={position}-", **self._if_range()} if self.reads_anywhere else {}
        reply = self._asked(fields)
        if reply.status == 206:
            self._check_part(reply, position, None)
            return reply
        self._check_same(reply, _state(reply, _length(reply)))
        # The same file, and the server does not know ranges (any more): pass over what we have.
        buffer = memoryview(bytearray(_STEP))
        while position:
            count = reply.readinto(buffer[: min(position, _STEP)])
            if not count:
                raise BrokenError(f"{self.url}: the answer ended {position} bytes before where the last one broke off")
            position -= count
        return reply

    # --- from anywhere ---------------------------------------------------------------------------------------------------

    def _page(self, start: int) -> bytes:
        """A page; asked for twice if two threads want it at the same time."""
        with self._lock:
            page = self._pages.get(start)
            if page is not None:
                self._pages.move_to_end(start)
                return page
        assert self._state.size is not None
        buffer = bytearray(min(PAGE, self._state.size - start))
        self._fetch_range(start, memoryview(buffer))
        page = bytes(buffer)
        with self._lock:
            self._pages[start] = page
            while len(self._pages) > _PAGES:
                self._pages.popitem(last=False)
        return page

    def _fetch_range(self, offset: int, view: memoryview) -> None:
        """Fill the buffer, in as many answers as it takes."""
        attempt = 0
        while len(view):
            reply = None
            try:
                reply = self._asked({"Range": f"bytes={offset}-{offset + len(view) - 1}", **self._if_range()})
                if reply.status != 206:
                    self._check_same(reply, _state(reply, _length(reply)))
                    raise NetworkError(f"{self.url}: the server answers {_shown(reply)} to a request for a part of the file, as it did not before")
                self._check_part(reply, offset, offset + len(view))
                while len(view):
                    count = reply.readinto(view)
                    if not count:
                        raise BrokenError(f"{self.url}: the answer ended at byte {offset}")
                    view, offset, attempt = view[count:], offset + count, 0
            except BrokenError as error:
                attempt = self._wait(attempt, error)
            finally:
                if reply is not None:
                    reply.close()

    # --- what both need ----------------------------------------------------------------------------------------------------

    def _asked(self, fields: dict[str, str]) -> Reply:
        """An answer with a body that is the file or a part of it, or 416."""
        reply = self._fetcher.fetch("GET", self.url, fields)
        if reply.status in {200, 206, 416}:
            coding = reply.field("content-encoding")
            if coding is None or coding.strip().lower() in {"", "identity"}:
                return reply
            reply.close()
            raise NetworkError(
                f"{self.url}: the server sends it packed (Content-Encoding: {coding[:40]}), though it was asked for the bytes as they are",
                hint="switch compression off for images on the server",
            )
        reply.close()
        raise refusal(self.url, reply)

    def _if_range(self) -> dict[str, str]:
        validator = self._state.validator
        return {} if validator is None else {"If-Range": validator}

    def _check_part(self, reply: Reply, start: int, end: int | None) -> None:
        """Raise NetworkError unless this is the part of the same file that was asked for."""
        first, last, total = _content_range(reply)
        self._check_same(reply, _state(reply, total))
        if first != start or (last != (self._state.size if end is None else end)):
            reply.close()
            raise NetworkError(f"{self.url}: the server sends bytes {first} to {last}; asked for were {start} to {self._state.size if end is None else end}")

    def _check_same(self, reply: Reply, now: State) -> None:
        changed = "it is shorter" if reply.status == 416 else self._state.differs(now)
        if changed is not None:
            reply.close()
            raise NetworkError(f"{self.url} changed on the server while it was read: {changed}", hint="start again")

    def _wait(self, attempt: int, error: BrokenError) -> int:
        """Wait before the next attempt, and count it. Raises the error when there were enough."""
        if attempt >= LATER_ATTEMPTS:
            raise NetworkError(f"{error.message} (tried {LATER_ATTEMPTS} times)") from error
        if attempt:
            self._pause(min(_FIRST_PAUSE_S * 2 ** (attempt - 1), _LONGEST_PAUSE_S))
        return attempt + 1


def refusal(url: Url, reply: Reply) -> NetworkError | NotFoundError:
    """What a status without a file means."""
    if reply.status in {404, 410}:
        return NotFoundError(f"{url}: there is no such file on the server")
    if reply.status in _AGAIN:
        return BrokenError(f"{url}: the server answers {_shown(reply)}")
    return NetworkError(f"{url}: the server answers {_shown(reply)}")


def _shown(reply: Reply) -> str:
    return f"{reply.status} {reply.reason}".rstrip()


def _state(reply: Reply, size: int | None) -> State:
    return State(size, reply.field("etag"), reply.field("last-modified"))


def _length(reply: Reply) -> int | None:
    """Bytes of the whole body; None when it is sent in chunks, or up to the end of the connection."""
    text = reply.field("content-length")
    chunked = reply.field("transfer-encoding") is not None
    return int(text) if text is not None and not chunked and text.isascii() and text.isdecimal() and len(text) < 19 else None


def _content_range(reply: Reply) -> tuple[int | None, int | None, int | None]:
    """Start, end (behind the last byte) and size of the file; None where it is not told. Source: RFC 9110 14.4."""
    match = _CONTENT_RANGE.fullmatch((reply.field("content-range") or "").strip())
    if match is None:
        return None, None, None
    first, last, total = match.groups()
    return (None if first is None else int(first)), (None if last is None else int(last) + 1), (None if total == "*" else int(total))
