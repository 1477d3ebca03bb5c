"""Requests over connections that are kept: one for each thread that reads, used again and again.

Redirects are followed here, a few; what a broken connection means is for those who know what they read (remote.py).
"""

import http.client
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from ... import __version__
from ...base.errors import NetworkError
from .urls import Url

if TYPE_CHECKING:
    import ssl

MAX_REDIRECTS = 5
TIMEOUT_S = 30.0        # without a byte: connecting, waiting for an answer, in the middle of a file
_KEPT = 16              # connections that wait to be used again
_LEFT_OVER = 64 << 10   # bytes of a body that are read to keep its connection; for more a new one is cheaper
_REDIRECTS = {301, 302, 303, 307, 308}


class BrokenError(NetworkError):
    """The connection broke, or the server was silent too long: trying again may help."""


class Reply(Protocol):
    """An answer whose body is read piece by piece."""

    status: int
    reason: str
    url: Url        # after redirects

    def field(self, name: str) -> str | None:
        """A header field; fields of the same name are joined by commas."""
        ...

    def readinto(self, buffer: memoryview) -> int:
        """Fill some of the buffer; 0 at the end. Raises BrokenError."""
        ...

    def close(self) -> None:
        """The rest is not wanted."""
        ...


class Fetcher(Protocol):
    """Something that answers requests: a Client, or a table in a test."""

    def fetch(self, method: str, url: Url, fields: Mapping[str, str], body: bytes | None = None) -> Reply:
        """One exchange. Raises NetworkError."""
        ...


class Client:
    """Connections to any number of servers; may be used by several threads. `timeout_s` is how long nothing may come."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, str, int], list[http.client.HTTPConnection]] = {}
        self._context: ssl.SSLContext | None = None

    def fetch(self, method: str, url: Url, fields: Mapping[str, str], body: bytes | None = None) -> "ClientReply":
        """One exchange; redirects are followed. Raises BrokenError when trying again may help, else NetworkError."""
        asked = url
        for _ in range(MAX_REDIRECTS + 1):
            reply = self._exchange(method, url, fields, body)
            location = reply.field("location")
            if reply.status not in _REDIRECTS or location is None:
                return reply
            reply.close()
            url = url.redirected(location)
        raise NetworkError(f"{asked} leads from address to address, more than {MAX_REDIRECTS} times")

    def close(self) -> None:
        """Close the connections that wait."""
        with self._lock:
            waiting = [each for kept in self._idle.values() for each in kept]
            self._idle.clear()
        for connection in waiting:
            connection.close()

    def keep(self, url: Url, connection: http.client.HTTPConnection) -> None:
        """A connection whose answer was read to its end."""
        with self._lock:
            kept = self._idle.setdefault(url.origin, [])
            if len(kept) < _KEPT:
                kept.append(connection)
                return
        connection.close()

    def _exchange(self, method: str, url: Url, fields: Mapping[str, str], body: bytes | None) -> "ClientReply":
        while True:
            with self._lock:
                kept = self._idle.get(url.origin)
                connection = kept.pop() if kept else None
            if connection is None:
                return self._ask(self._connect(url), method, url, fields, body)
            try:
                return self._ask(connection, method, url, fields, body)
            except BrokenError as error:
                if isinstance(error.__cause__, TimeoutError):
                    raise
                # The server closed it while it waited, which is its right at any time (RFC 9112 9.5): the next one, at last a new one.

    def _ask(self, connection: http.client.HTTPConnection, method: str, url: Url, fields: Mapping[str, str], body: bytes | None) -> "ClientReply":
        try:
            # A body coding would make ranges count other bytes than those of the file (RFC 9110 14.1.2).
            connection.request(method, url.target, body, {"Host": url.authority, "User-Agent": f"bpscript/{__version__}", "Accept-Encoding": "identity", **fields})
            return ClientReply(self, connection, connection.getresponse(), url)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise BrokenError(f"{url}: {_words(error)}") from error
        except BaseException:
            connection.close()
            raise

    def _connect(self, url: Url) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection
        if url.scheme == "https":
            context = self._tls()       # first: without ssl there is no class for the connection either
            connection = http.client.HTTPSConnection(url.host, url.port, timeout=self._timeout_s, context=context)
        else:
            connection = http.client.HTTPConnection(url.host, url.port, timeout=self._timeout_s)
        where = f"{url.scheme}://{url.authority}"
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise _refused(where, error) from error
        except UnicodeError as error:
            raise NetworkError(f"{where}: {url.host!r} is no name of a server") from error
        return connection

    def _tls(self) -> "ssl.SSLContext":
        try:
            import ssl  # noqa: PLC0415 - only for https
        except ImportError as error:
            raise NetworkError("https:// is not possible here: this Python has no ssl", hint="bpscript boot build --tls makes a boot environment that has") from error
        with self._lock:
            if self._context is None:
                self._context = ssl.create_default_context()
            return self._context


class ClientReply:
    """An answer over a connection, which goes back to the client at the end of the body."""

    def __init__(self, client: Client, connection: http.client.HTTPConnection, response: http.client.HTTPResponse, url: Url) -> None:
        self._client = client
        self._connection: http.client.HTTPConnection | None = connection
        self._response = response
        self.status = response.status
        self.reason = "".join(each for each in response.reason if each.isprintable())[:80]
        self.url = url
        self._left = response.length        # bytes; None when the body tells its end itself
        if response.isclosed():
            self._finish()

    def field(self, name: str) -> str | None:
        """A header field."""
        return self._response.getheader(name)

    def readinto(self, buffer: memoryview) -> int:
        """Fill some of the buffer."""
        if self._connection is None or not len(buffer):
            return 0
        try:
            count = self._response.readinto(buffer)
        except (OSError, http.client.HTTPException, ValueError) as error:       # ValueError: a chunk size that is none
            self._drop()
            raise BrokenError(f"{self.url}: {_words(error)}") from error
        if self._left is not None:
            self._left -= count
            if not count and self._left:
                missing = self._left
                self._drop()
                raise BrokenError(f"{self.url}: the connection was closed {missing} bytes too early")
        if not count or self._left == 0:
            self._finish()
        return count

    def close(self) -> None:
        """The rest is not wanted: read it if it is short, so that the connection can be used again."""
        if self._connection is None:
            return
        if self._left is not None and self._left <= _LEFT_OVER:
            rest = memoryview(bytearray(max(1, self._left)))
            with suppress(NetworkError):
                while self.readinto(rest):
                    pass
        self._drop()

    def _finish(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._response.close()
        if self._response.will_close:
            connection.close()
        else:
            self._client.keep(self.url, connection)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._response.close()
            connection.close()


def _refused(where: str, error: OSError) -> NetworkError:
    """Why there is no connection: what the user can mend has a hint."""
    if type(error).__module__ != "ssl":     # a workstation has none
        return BrokenError(f"{where}: no connection: {_words(error)}")
    import ssl  # noqa: PLC0415 - only for errors

    if isinstance(error, ssl.SSLCertVerificationError):
        return NetworkError(
            f"{where}: the certificate of the server does not fit: {error.verify_message}",
            hint="certificates of your own go where the system has them (update-ca-certificates), or into a file that SSL_CERT_FILE names; into the boot environment with boot build --ca",
        )
    if isinstance(error, ssl.SSLError):
        return NetworkError(f"{where}: no protected connection: {error.reason or error}", hint="is this a port that speaks https?")
    return BrokenError(f"{where}: no connection: {_words(error)}")


def _words(error: BaseException) -> str:
    """An error of the standard library in words for a sentence."""
    if isinstance(error, TimeoutError):
        return "the server was silent too long"
    if isinstance(error, http.client.RemoteDisconnected | ConnectionError):
        return "the server closed the connection" if not isinstance(error, ConnectionRefusedError) else "nobody listens there"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection was closed too early"
    if isinstance(error, http.client.HTTPException):
        return f"the answer is not HTTP ({type(error).__name__})"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
