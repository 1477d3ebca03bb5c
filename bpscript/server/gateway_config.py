"""The file of the login gateway, as BpBatch's stftpd.conf (its manual: "The Security Gateway") and a few lines more:

    # a comment
    radius  DOMAIN HOST[@PORT] SECRET [chap] [unsigned]
    winnt   DOMAIN HOST[@PORT] NETBIOSNAME
    ldap    DOMAIN URL BASE [attribute=NAME] [ca=FILE]
    unix    pam [SERVICE]           the domain Unix; without such a line: pam login
    unix    file PATH               user:crypted:... as in /etc/shadow
    deny    USER...
    key     FILE                    the gateway's own key; made when it is not there

Names of files are relative to the folder of the file. The first words and the domains are taken in any case.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ..base.errors import UsageError
from ..network.gateway.core import plain_name
from ..network.gateway.radius import PORT as RADIUS_PORT
from ..network.gateway.radius import Server

UNIX = "unix"
SMB_PORT = 445
_MAX_FILE = 1 << 20
_WORD = re.compile(r"\S+")
_DOMAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%a-z]+)\]|(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9.])?))(?:@(?P<port>\d{1,5}))?\Z")
_NETBIOS = re.compile(r"[^\s\\/:*?\"<>|]{1,15}\Z")
_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]*\Z")
_SERVICE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")


@dataclass(frozen=True, slots=True)
class Samba:
    """A Windows or Samba server; `netbios_name` is the domain (or machine) that its users belong to."""

    host: str
    netbios_name: str
    port: int = SMB_PORT


@dataclass(frozen=True, slots=True)
class Ldap:
    """A directory; a user is `attribute=USER,base`. `ca` is the file of the authority that signed its certificate, None for those of the system."""

    host: str
    port: int
    tls: bool               # from the first byte; else StartTLS
    base: str
    attribute: str = "uid"
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Pam:
    """The users of this host, by PAM."""

    service: str = "login"


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """The users of a passwd or shadow file."""

    path: Path


UserBase = Server | Samba | Ldap | Pam | PasswordFile


@dataclass(slots=True)
class Config:
    """What the file says; `domains` by their names in lower case, Unix always among them."""

    domains: dict[str, UserBase] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)       # by `plain_name`
    key: Path = Path()
    unix_is_meant: bool = False     # there is a line for it


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    column: int


class _MistakeError(Exception):
    def __init__(self, column: int, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.column = column
        self.message = message
        self.hint = hint


def read_config(path: Path) -> Config:
    """Raises UsageError with file, line and column."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > _MAX_FILE:
        raise UsageError(f"{path}: too large for a file of the gateway ({len(data)} bytes, at most {_MAX_FILE})")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        raise UsageError(f"{path}:{before.count(10) + 1}:{column}: the byte {data[error.start]:02x} is not UTF-8") from error
    config = Config(key=path.with_suffix(".key"))
    for number, line in enumerate(text.split("\n"), 1):
        words = [_Word(match[0], match.start() + 1) for match in _WORD.finditer(line)]
        if not words or words[0].text.startswith("#"):
            continue
        try:
            _line(config, words, path.parent)
        except _MistakeError as mistake:
            raise UsageError(f"{path}:{number}:{mistake.column}: {mistake.message}", hint=mistake.hint) from None
    config.unix_is_meant = UNIX in config.domains
    config.domains.setdefault(UNIX, Pam())
    return config


def _line(config: Config, words: list[_Word], folder: Path) -> None:
    first, rest = words[0], words[1:]
    kind = first.text.lower()
    if kind == "deny":
        if not rest:
            raise _MistakeError(_end(words), "deny needs the name of a user")
        config.denied.update(plain_name(word.text) for word in rest)
    elif kind == "key":
        config.key = folder / _exactly(words, "key FILE")[0].text
    elif kind == UNIX:
        _put(config, _Word(UNIX, first.column), _unix(words, folder))
    elif kind in _KINDS:
        domain = rest[0] if rest else None
        if domain is not None and domain.text.lower() == UNIX:
            raise _MistakeError(domain.column, "the domain Unix is this host's own", 'it is set by a line "unix pam" or "unix file PATH"')
        if domain is not None and not _DOMAIN.match(domain.text):
            raise _MistakeError(domain.column, f'"{domain.text[:64]}" is no name of a domain: letters, digits, ., _ and -, at most 63')
        base = _KINDS[kind](words, folder)
        assert domain is not None
        _put(config, domain, base)
    else:
        raise _MistakeError(first.column, f'unknown word "{first.text[:40]}"; expected radius, winnt, ldap, unix, deny or key')


def _put(config: Config, domain: _Word, base: UserBase) -> None:
    if domain.text.lower() in config.domains:
        raise _MistakeError(domain.column, f"the domain {domain.text} is there already")
    config.domains[domain.text.lower()] = base


def _unix(words: list[_Word], folder: Path) -> UserBase:
    usage = "unix pam [SERVICE], or unix file PATH"
    if len(words) < 2 or words[1].text.lower() not in {"pam", "file"}:
        raise _MistakeError(words[1].column if len(words) > 1 else _end(words), f"expected {usage}")
    if words[1].text.lower() == "file":
        return PasswordFile(folder / _exactly(words, "unix file PATH")[1].text)
    if len(words) == 2:
        return Pam()
    service = _exactly(words, "unix pam [SERVICE]", 3)[1]
    if not _SERVICE.match(service.text):
        raise _MistakeError(service.column, f'"{service.text[:40]}" is no name of a PAM service')
    return Pam(service.text)


def _radius(words: list[_Word], folder: Path) -> UserBase:
    needed = _at_least(words, "radius DOMAIN HOST SECRET [chap] [unsigned]")
    host, port = _host(needed[1], RADIUS_PORT)
    flags = set()
    for word in words[4:]:
        if word.text.lower() not in {"chap", "unsigned"}:
            raise _MistakeError(word.column, f'unknown word "{word.text[:40]}" after the secret; expected chap or unsigned')
        flags.add(word.text.lower())
    return Server(host, needed[2].text.encode(), port, chap="chap" in flags, unsigned="unsigned" in flags)


def _winnt(words: list[_Word], folder: Path) -> UserBase:
    needed = _exactly(words, "winnt DOMAIN HOST NETBIOSNAME")
    host, port = _host(needed[1], SMB_PORT)
    if not _NETBIOS.match(needed[2].text):
        raise _MistakeError(needed[2].column, f'"{needed[2].text[:40]}" is no NetBIOS name: at most 15 characters')
    return Samba(host, needed[2].text, port)


def _ldap(words: list[_Word], folder: Path) -> UserBase:
    needed = _at_least(words, "ldap DOMAIN URL BASE [attribute=NAME] [ca=FILE]")
    url = needed[1]
    try:
        parts = urlsplit(url.text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
        parts = urlsplit("")
    if parts.scheme.lower() not in {"ldap", "ldaps"} or not host or parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise _MistakeError(url.column, f'"{url.text[:100]}" is no address of a directory; expected ldap://HOST[:PORT] or ldaps://HOST[:PORT]')
    if "=" not in needed[2].text:
        raise _MistakeError(needed[2].column, f'"{needed[2].text[:100]}" is no base; expected a name such as ou=people,dc=example,dc=org')
    attribute, authority = "uid", None
    for word in words[4:]:
        name, _, value = word.text.partition("=")
        if name.lower() == "attribute" and _ATTRIBUTE.match(value):
            attribute = value
        elif name.lower() == "ca" and value:
            authority = folder / value
        else:
            raise _MistakeError(word.column, f'unknown word "{word.text[:40]}" after the base; expected attribute=NAME or ca=FILE')
    tls = parts.scheme.lower() == "ldaps"
    return Ldap(host, port or (636 if tls else 389), tls, needed[2].text, attribute, authority)


_KINDS: dict[str, Callable[[list[_Word], Path], UserBase]] = {"radius": _radius, "winnt": _winnt, "ldap": _ldap}


def _at_least(words: list[_Word], usage: str) -> list[_Word]:
    """The words after the first that `usage` needs."""
    count = sum(not word.startswith("[") for word in usage.split())
    if len(words) < count:
        raise _MistakeError(_end(words), f"the line ends too early; expected {usage}")
    return words[1:]


def _exactly(words: list[_Word], usage: str, count: int = 0) -> list[_Word]:
    count = count or len(usage.split())
    if len(words) > count:
        raise _MistakeError(words[count].column, f'one word too many: "{words[count].text[:40]}"; expected {usage}')
    return _at_least(words, usage)


def _end(words: list[_Word]) -> int:
    """The column behind the last word."""
    return words[-1].column + len(words[-1].text)


def _host(word: _Word, default: int) -> tuple[str, int]:
    match = _HOST.match(word.text)
    port = int(match["port"] or default) if match else 0
    if match is None or not 1 <= port <= 65535:
        raise _MistakeError(word.column, f'"{word.text[:100]}" is no server; expected HOST or HOST@PORT')
    return match["six"] or match["host"], port
