"""Files of a TFTP server, as a FileSource: read in order, as they come, never more than a window of them in memory.

TFTP has neither directories nor times: `entries` is an error, and `stat` begins to read and breaks off as soon as it is known
that the file is there (a server with RFC 2349 tells its size then).
"""

from collections import deque
from collections.abc import Iterable
from time import monotonic

from ...base.errors import BpscriptError, FormatError, NetworkError, NotFoundError, ReadOnlyError, StorageError
from ...base.sources import SourceFacts
from ..routes import GatewayRoute
from ..sockets import Exchange, RefusedError
from .actions import Action, Deliver, Failed, Finished, Send
from .fetching import Fetch
from .options import OCTET
from .packets import DEFAULT_BLOCK_SIZE, ENHANCED_BLOCK_SIZE, ENHANCED_PORT, PORT, Code, error_packet

# What is asked for: blocks that fit into an Ethernet frame with room for a tunnel, and so many as one segmented packet carries.
BLOCK_SIZE, WINDOW = 1428, 32
_CODES = {       # RFC 1350, appendix; RFC 2347
    Code.ACCESS: "access is refused", Code.FULL: "its disk is full", Code.ILLEGAL: "it does not understand the request",
    Code.UNKNOWN_TRANSFER: "it does not know the transfer", Code.EXISTS: "the file exists", Code.NO_USER: "no such user",
    Code.OPTIONS: "it refuses the options",
}


class RefusedByServerError(NetworkError):
    """The server answers, and does not give the file: an ERROR packet other than "file not found"."""


class TftpSource:
    """The files of one server. `folder` stands before every path; `options` are those that are asked for.

    `repetitions` limits how often anything is sent again (default: that of the protocol core).
    """

    def __init__(
        self, host: str, port: int = PORT, *, folder: str = "", gateway: str = "", block_size: int = BLOCK_SIZE, window: int = WINDOW,
        timeout_s: int | None = None, repetitions: int | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.folder = folder
        self.gateway = gateway
        self._repetitions = repetitions
        self._options = {"blksize": str(block_size), "windowsize": str(window), "tsize": "0"}
        if block_size == DEFAULT_BLOCK_SIZE:
            del self._options["blksize"]
        if window == 1:
            del self._options["windowsize"]
        if timeout_s is not None:
            self._options["timeout"] = str(timeout_s)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tftp://{host}" + ("" if self.port == PORT else f":{self.port}")

    def stat(self, path: str) -> SourceFacts | None:
        """Size if the server tells it; None when there is no such file, or the server refuses it. Raises NetworkError without an answer."""
        try:
            reader = TftpReader(self, path, {"tsize": "0"}, only_facts=True)
        except (NotFoundError, RefusedByServerError):
            return None
        reader.close()
        return SourceFacts(reader.size, None)

    def open(self, path: str) -> "TftpReader":
        """The contents. Raises NotFoundError, NetworkError."""
        return TftpReader(self, path, self._options)

    def store(self, path: str, chunks: Iterable[bytes]) -> None:
        """Always a ReadOnlyError: in the boot environment the server is read-only (language.md 4.2)."""
        raise ReadOnlyError(f'"{path}" cannot be written: {self} is a server, from which files are only read')

    def entries(self, path: str) -> list[tuple[str, SourceFacts]]:
        """Always a StorageError."""
        raise StorageError(f'"{path}" cannot be listed: a TFTP server has no directories')

    def full_name(self, path: str) -> str:
        """The path as the server is asked for it."""
        return f"{self.folder.rstrip('/')}/{path}" if self.folder else path

    def fetch(self, path: str, options: dict[str, str], *, only_facts: bool) -> Fetch:
        """The protocol core for a file."""
        if self.port == ENHANCED_PORT:      # of BpBatch: nothing is negotiated there
            return Fetch(
                self.full_name(path), OCTET, {}, plain_block_size=ENHANCED_BLOCK_SIZE, only_facts=only_facts, repetitions=self._repetitions
            )
        return Fetch(self.full_name(path), OCTET, options, only_facts=only_facts, repetitions=self._repetitions)


class TftpReader:
    """A file that is being fetched. Nothing is asked for before it is read, so that a slow reader slows the server."""

    def __init__(self, source: TftpSource, path: str, options: dict[str, str], *, only_facts: bool = False) -> None:
        self._what = f'"{source.full_name(path)}" of {source}'
        self._core = source.fetch(path, options, only_facts=only_facts)
        self._pieces: deque[bytes] = deque()
        self._held = 0                          # bytes in them
        self._taken = 0                         # bytes that came in all
        self._error: BpscriptError | None = None
        self._finished = False
        self._fixed = False
        self._exchange: Exchange | None = None
        self._route = GatewayRoute(source.host, source.gateway) if source.gateway else None
        try:
            self._exchange = Exchange(source.host, source.port)
            self._act(self._start())
            while self._core.agreed is None:
                self._step()
        except BaseException:
            self.close()
            raise
        self.size = self._core.agreed.size      # bytes, None when the server does not tell
        if self.size is None and self._core.first_length is not None and self._core.first_length < self._core.agreed.block_size:
            self.size = self._core.first_length

    def read(self, length: int = -1, /) -> bytes:
        """`length` bytes, less only at the end; all that is left when negative. Raises NetworkError."""
        while (length < 0 or self._held < length) and not self._finished:
            self._step()
        if length < 0 or self._held <= length:
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._held = 0
            return data
        parts = []
        left = length
        while left:
            piece = self._pieces.popleft()
            if len(piece) > left:
                self._pieces.appendleft(piece[left:])
                piece = piece[:left]
            parts.append(piece)
            left -= len(piece)
        self._held -= length
        return b"".join(parts)

    def close(self) -> None:
        """Break off what is not finished."""
        route, self._route = self._route, None
        if route is not None:
            route.close()
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        try:
            if not self._core.over and self._fixed:
                exchange.send(error_packet(Code.NOT_DEFINED, "no longer wanted"))
        except (NetworkError, RefusedError):
            pass
        finally:
            exchange.close()
            self._finished = True

    def _start(self) -> tuple[Action, ...]:
        try:
            return self._core.start(monotonic())
        except FormatError as error:
            raise NotFoundError(f"{self._what} cannot be asked for: {error.message}") from error

    def _step(self) -> None:
        """Wait a moment for packets, and do what they ask for."""
        if self._exchange is None:
            raise NetworkError(f"{self._what} was closed")
        try:
            got = self._exchange.receive()
            now = monotonic()
            if got is None:
                self._act(self._core.expire(now))
                return
            packets, step, sender = got
            run = self._core.receive_run(packets, step, now) if step < len(packets) else None
            if run is not None:
                self._act(run)
                return
            for at in range(0, len(packets), max(1, step)):
                actions = self._core.receive(packets[at : at + step], now)
                if not self._fixed and (self._core.agreed is not None or self._core.over):
                    # Not before: a server that refuses options is asked again on the port where it listens.
                    self._fixed = True
                    self._exchange.fix(sender)
                self._act(actions)
        except NetworkError as error:
            if self._route is not None and self._route.refused:
                raise NetworkError(error.message, hint=f"it was to go through a gateway, but {self._route.refused}") from error
            raise
        except RefusedError as error:
            text = "broke off the transfer" if self._fixed else "has no TFTP server on that port"
            hint = "fetch it again; the server may have given up waiting" if self._fixed else "start the server, or write the port: tftp://HOST:PORT"
            raise NetworkError(f"{self._what} cannot be fetched: the host {text}", hint=hint) from error

    def _act(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            match action:
                case Deliver():
                    data = bytes(action.payload)
                    self._pieces.append(data)
                    self._held += len(data)
                    self._taken += len(data)
                case Send():
                    assert self._exchange is not None
                    self._exchange.send(action.packet)
                case Finished():
                    self._finished = True
                    agreed = self._core.agreed
                    if self._core.first_length is None and agreed is not None and agreed.size is not None and agreed.size != self._taken and self._taken:
                        raise NetworkError(f"{self._what} has {self._taken} bytes; the server announced {agreed.size}")
                case Failed():
                    raise self._failure(action)
                case _:
                    raise AssertionError(action)

    def _failure(self, failed: Failed) -> BpscriptError:
        if failed.by_peer and failed.code == Code.NOT_FOUND:
            return NotFoundError(f"no file {self._what}")
        if failed.by_peer:
            reason = _CODES.get(Code(failed.code), "") if failed.code in list(Code) else f"error {failed.code}"
            words = ": ".join(filter(None, (reason, f'it says "{failed.text}"' if failed.text else "")))
            return RefusedByServerError(f"{self._what} cannot be fetched: {words or 'the server refuses without a reason'}")
        if failed.code is None:
            where = f" after {self._taken} bytes" if self._taken else ""
            return NetworkError(f"{self._what} cannot be fetched: the server gives {failed.text}{where}", hint="look at the address, the network and the server")
        return NetworkError(f"{self._what} cannot be fetched: the server sent {failed.text}")
