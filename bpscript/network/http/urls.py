"""Addresses of files: `http://server:8080/images/linux.imz`, and where a redirect leads from there. Source: RFC 3986, RFC 9110 4.2."""

from dataclasses import dataclass, replace
from urllib.parse import quote, unquote, urljoin, urlsplit

from ...base.errors import NetworkError, UsageError

PORTS = {"http": 80, "https": 443}
_UNRESERVED = "/!$&'()*+,;=@~"      # sub-delims and more that a path may hold as they are (RFC 3986 3.3); not `:`, `?`, `#`, `%`
_READY = _UNRESERVED + ":%"         # what a path that was quoted already keeps


@dataclass(frozen=True, slots=True)
class Url:
    """Scheme, host (IPv6 without brackets), port and path with query, quoted as they go over the wire."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """What one connection serves."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Host and port as the field `Host` wants them: without the usual port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def is_folder(self) -> bool:
        """Whether the path ends with a slash."""
        return self.target.partition("?")[0].endswith("/")

    def below(self, path: str) -> "Url":
        """A file by its plain path (no `..`, no leading slash) below this folder."""
        folder = self.target.partition("?")[0]
        return replace(self, target=(folder if folder.endswith("/") else folder + "/") + quote(path, _UNRESERVED))

    def split(self) -> tuple["Url", str]:
        """The folder and the plain name of a file in it; "" for a folder."""
        folder, _, name = self.target.partition("?")[0].rpartition("/")
        return replace(self, target=f"{folder}/"), unquote(name)

    def redirected(self, location: str) -> "Url":
        """Where a field `Location` leads. Raises NetworkError for what is no HTTP address, and for a way from https to http."""
        try:
            there = parse_url(urljoin(str(self), location))
        except (UsageError, ValueError) as error:
            raise NetworkError(f"{self} leads on to {location[:200]!r}, which is no address of HTTP") from error
        if self.scheme == "https" and there.scheme != "https":
            raise NetworkError(f"{self} leads on to {there}, which is not protected by TLS")
        return there


def parse_url(text: str) -> Url:
    """An address as people write it. Raises UsageError."""
    if _holds_blanks(text):
        raise UsageError(f"{text!r}: an address has no blanks and control characters", hint="write %20 for a blank")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{text}: {error}") from error
    if parts.scheme not in PORTS:
        raise UsageError(f"{text}: expected an address that begins with http:// or https://")
    if not parts.hostname or port == 0:
        raise UsageError(f"{text}: expected a server, for example http://10.0.0.1:8080/images/")
    if parts.username is not None:
        raise UsageError(f"{parts.scheme}://...@{parts.hostname}: a user name in an address is not used")
    try:
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
        if _holds_blanks(host):         # IDNA writes some characters as a blank and an accent (RFC 3491, NFKC)
            raise UnicodeError(host)
    except UnicodeError as error:
        raise UsageError(f"{text}: {parts.hostname!r} is no name of a server") from error
    target = quote(parts.path or "/", _READY) + (f"?{quote(parts.query, _READY + '?')}" if parts.query else "")
    return Url(parts.scheme, host, port or PORTS[parts.scheme], target)


def _holds_blanks(text: str) -> bool:
    """Blanks or control characters."""
    return any(ord(character) <= 32 or ord(character) == 127 for character in text)
