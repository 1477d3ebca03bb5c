"""Names of files of a server, as scripts write them (language.md 4.2):

    [gateway/]server[@port]:path

    help.bpb                            the boot server
    198.76.54.32:help.bpb               another server
    198.70.0.1/198.76.54.31:help.bpb    another server behind a gateway
    @89:getpasswd/smith                 the boot server, another port
    [fe80::1]@6969:help.bpb             IPv6
"""

import re
from dataclasses import dataclass

from ..base.errors import StorageError

_ADDRESS = r"(?:\[[^\]/@]*\]|[^\[\]/@:]+)"
_SERVER_PART = re.compile(rf"(?:(?P<gateway>{_ADDRESS})/)?(?:(?P<server>{_ADDRESS})(?:@(?P<port>\d+))?|@(?P<only_port>\d+)):", re.ASCII)
_DOTTED_QUAD = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.|\Z)){4}\Z(?<!\.)", re.ASCII)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
# RFC 1123 2.1: the last label of a host name is never all digits, that is how names and addresses are told apart.
_HOST_NAME = re.compile(rf"(?:{_LABEL}\.)*(?!\d+\.?\Z){_LABEL}\.?\Z")


@dataclass(frozen=True, slots=True)
class ForeignName:
    """A parsed name. Without a server part `server`, `gateway` and `server_part` are empty and `port` is None.

    `server` is empty too for the boot server on another port. `path` has no leading slash and no `.` or `..`.
    """

    server: str
    gateway: str
    port: int | None
    path: str
    server_part: str = ""

    @property
    def folder(self) -> str:
        """The directory that stands for the server part in a local emulation; "" without one."""
        return self.server_part.replace("/", "_")

    def __str__(self) -> str:
        return f"{self.server_part}:{self.path}" if self.server_part else self.path


def parse_foreign(name: str) -> ForeignName:
    r"""The parts of a name; `\` is a separator like `/`, IPv6 addresses come without their brackets.

    What looks like no server part is path. Raises StorageError for a port that cannot be, for a path that leaves the
    server's directory, and for a character code 0.
    """
    text = name.replace("\\", "/")
    if "\0" in text:
        raise StorageError("a file name cannot hold the character code 0")
    match = _SERVER_PART.match(text)
    if match is None or not _is_address(match["server"]) or not _is_address(match["gateway"]):
        return ForeignName("", "", None, clean_path(text, name))
    digits = match["port"] or match["only_port"]
    port = int(digits) if digits and len(digits) < 8 else 0
    if digits and not 1 <= port <= 65535:
        raise StorageError(f'"{name}" names port {digits[:20]}; expected 1 to 65535')
    return ForeignName(
        (match["server"] or "").strip("[]"), (match["gateway"] or "").strip("[]"), port or None,
        clean_path(text[match.end() :], name), match[0][:-1],
    )


def _is_address(text: str | None) -> bool:
    """True for a dotted quad, an IPv6 address in brackets, a host name, and for nothing at all."""
    if text is None:
        return True
    if text.startswith("["):
        return _is_ipv6(text[1:-1].partition("%")[0])
    return _HOST_NAME.match(text) is not None or _DOTTED_QUAD.match(text) is not None


def _is_ipv6(text: str) -> bool:
    from socket import AF_INET6, inet_pton  # noqa: PLC0415 - 5 ms that every script would pay

    try:
        inet_pton(AF_INET6, text)
    except (OSError, UnicodeEncodeError):
        return False
    return True


def clean_path(path: str, name: str) -> str:
    """The path without empty parts, `.` and `..`. Raises StorageError when it leaves the root; `name` is for the message."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                raise StorageError(f'"{name}" leaves the directory of the server')
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)
