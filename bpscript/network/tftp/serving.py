"""What a server does with a request, without sockets: refuses it with an ERROR, or makes a transfer of it."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ...base.errors import InTheWayError, NoSpaceError, NotFoundError, ReadOnlyError, StorageError
from ..folder import FolderSource
from .content import BytesContent, Content, NetasciiContent, Shelf, Upload
from .limits import Limits
from .multicast import MAX_BLOCKS, OPTION, Group, Member
from .options import NETASCII, OCTET, Agreed, negotiate
from .packets import Code, Request, ack_packet, oack_packet
from .receiver import Receiver
from .sender import Sender
from .timing import Timing

# Given the path that a client asked for and its address: another path below the root, the contents themselves, or None for what was asked.
Lookup = Callable[[str, str], str | bytes | None]

MULTICAST_PORT = 1758                   # tftp-mcast; a second group at the same time has the next port
_TEXT_BLOCK, _TEXT_WINDOW = 8192, 8     # of netascii, whose blocks are kept until they are acknowledged


class RefusedError(Exception):
    """A request that is answered with an ERROR."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(slots=True)
class Sending:
    """A file on its way to a client, or to all of a group."""

    core: Sender
    content: Content
    agreed: Agreed
    group: Group | None = None

    @property
    def size(self) -> int:
        """Bytes of the file that the client has acknowledged."""
        done = self.core.acked * self.agreed.block_size
        if self.content.size is not None:
            return min(done, self.content.size)
        return done


@dataclass(slots=True)
class Receiving:
    """A file on its way from a client."""

    core: Receiver
    content: Upload
    agreed: Agreed

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return self.content.size


class Service:
    """Files below a root, for reading, and for writing when `writable`."""

    def __init__(
        self, root: Path, *, writable: bool = False, lookup: Lookup | None = None, limits: Limits | None = None, multicast: str | None = None
    ) -> None:
        self.limits = limits or Limits()
        self._source = FolderSource(root, writable=writable, server_parts=False)
        self._shelf = Shelf(self._source)
        self._lookup = lookup
        self._writable = writable
        self._multicast = multicast
        self._groups: dict[tuple[str, int, object], Group] = {}

    def open(self, request: Request, client: str, block_size: int) -> Sending | Receiving:
        """The transfer that a request asks for. Raises RefusedError."""
        if request.mode not in {OCTET, NETASCII}:
            raise RefusedError(Code.ILLEGAL, f'mode "{request.mode[:20]}" is not served; expected octet or netascii')
        try:
            return self._write(request, block_size) if request.write else self._read(request, client, block_size)
        except NotFoundError:
            raise RefusedError(Code.NOT_FOUND, f'no file "{request.name}"') from None
        except NoSpaceError as error:
            raise RefusedError(Code.FULL, error.message) from None
        except InTheWayError as error:
            raise RefusedError(Code.ACCESS, error.message) from None
        except StorageError:
            # What lies outside the root is not described to a stranger.
            raise RefusedError(Code.ACCESS, f'"{request.name}" is not served') from None

    def close(self) -> None:
        """Close all files."""
        self._shelf.close()

    def _read(self, request: Request, client: str, block_size: int) -> Sending:
        content = self._content(request.name, client)
        text = request.mode == NETASCII
        if text:
            content = NetasciiContent(content)
        agreed, answer = negotiate(
            request, content.size, block_size=block_size,
            max_block_size=min(self.limits.block_size, _TEXT_BLOCK) if text else self.limits.block_size,
            max_window=min(self.limits.window, _TEXT_WINDOW) if text else self.limits.window,
        )
        last = None if content.size is None else content.size // agreed.block_size + 1
        if OPTION in request.options and last is not None and last <= MAX_BLOCKS and self._multicast is not None and "." in client:
            return self._member(request, content, agreed, answer, last)
        core = Sender(window=agreed.window, timing=self._timing(agreed), last_block=last, opening=oack_packet(answer) if answer else None)
        return Sending(core, content, agreed)

    def _member(self, request: Request, content: Content, agreed: Agreed, answer: dict[str, str], last: int) -> Sending:
        """A place in the group of the file; in a new one if there is none with blocks of that size."""
        assert self._multicast is not None
        self._groups = {key: group for key, group in self._groups.items() if group.members}
        key = (request.name, agreed.block_size, content.identity)
        group = self._groups.get(key)
        if group is None:
            used = {group.port for group in self._groups.values()}
            port = next(port for port in range(MULTICAST_PORT, 1 << 16) if port not in used)
            group = self._groups[key] = Group(self._multicast, port, last)
        answer.pop("windowsize", None)
        return Sending(Member(group, answer, agreed.timeout_s), content, replace(agreed, window=1), group)

    def _content(self, name: str, client: str) -> Content:
        found = self._lookup(name, client) if self._lookup is not None else None
        if isinstance(found, bytes):
            return BytesContent(found)
        return self._shelf.take(os.fspath(found) if found is not None else name)

    def _write(self, request: Request, block_size: int) -> Receiving:
        if not self._writable:
            raise ReadOnlyError(f'"{request.name}" cannot be written')
        agreed, answer = negotiate(
            request, None, block_size=block_size, max_block_size=self.limits.block_size, max_window=min(self.limits.window, 64)
        )
        most = self.limits.upload_size
        if most is not None and (agreed.size or 0) > most:
            raise NoSpaceError(f'"{request.name}" is too large')
        content = Upload(self._source, request.name, netascii=request.mode == NETASCII)
        core = Receiver(
            block_size=agreed.block_size, window=agreed.window, timing=self._timing(agreed), opening=oack_packet(answer) if answer else ack_packet(0)
        )
        return Receiving(core, content, agreed)

    def _timing(self, agreed: Agreed) -> Timing:
        return Timing(agreed_s=agreed.timeout_s, repetitions=self.limits.repetitions)
