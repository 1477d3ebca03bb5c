"""What a run asks of the world, noted while it runs: where in the script it is, which files it used, when it asked the user."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.events import Event, Kind, Sink
from ..base.sources import FileSource
from ..network.folder import FolderSource
from ..screen.keyboard import Key, Keyboard

if TYPE_CHECKING:
    from .fingerprints import Fingerprint

MOST_PLACES = 5_000     # lines of scripts, files, questions that are told apart; a script has not more


class Spot(NamedTuple):
    """A command in a script."""

    file: str
    line: int
    command: str


NOWHERE = Spot("", 0, "")


class UsedFile(NamedTuple):
    """A file of the server or the host that a run opened: its name in the script, what it was, and where it was used first."""

    name: str
    is_host: bool
    fingerprint: "Fingerprint"
    spot: Spot


class Watch:
    """Where a run is, and what it used. `is_network` says whether the files come from a server."""

    def __init__(self, *, deep: bool = True) -> None:
        """`deep`: files are hashed; else, of a server that would have to send them twice, only their size is noted."""
        self._deep = deep
        self.spot = NOWHERE
        self.files: dict[tuple[str, bool], UsedFile] = {}       # by name, and whether it is of the host
        self.probed: dict[tuple[str, bool], bool] = {}          # whether it was there
        self.asked: dict[Spot, int] = {}        # how often
        self.gateways: dict[Spot, int] = {}
        self._looks = self._asks = False

    def events(self, sink: Sink) -> Sink:
        """A sink that knows the running command, and passes on."""

        def both(event: Event) -> None:
            if event.kind is Kind.COMMAND_STARTED:
                data = event.data
                self._asks = False
                self.spot = Spot(str(data["file"]), int(data["line"] or 0), str(data["name"]))
                if self.spot.command == "CheckUser":
                    self.gateways[self.spot] = self.gateways.get(self.spot, 0) + 1
            sink(event)

        return both

    def opened(self, path: str, source: FileSource) -> None:
        """A file was opened."""
        key = path, _is_host(source)
        if key in self.files or self._looks or len(self.files) >= MOST_PLACES:
            return
        from .fingerprints import Fingerprint, fingerprint  # noqa: PLC0415 - loads BLAKE3

        self._looks = True      # what the fingerprint opens is no use of the script
        try:
            if self._deep:
                found = fingerprint(source, path)
            else:
                facts = source.stat(path)
                found = Fingerprint(None if facts is None else facts.size, "")
            self.files[key] = UsedFile(*key, found, self.spot)
        finally:
            self._looks = False

    def asked_for(self, path: str, source: FileSource, *, there: bool) -> None:
        """Somebody asked whether there is such a file."""
        if not self._looks and len(self.probed) < MOST_PLACES:
            self.probed.setdefault((path, _is_host(source)), there)

    def asks(self) -> None:
        """The user is asked for a key."""
        if not self._asks and (self.spot in self.asked or len(self.asked) < MOST_PLACES):
            self._asks = True       # once for a command, however many keys it wants: that would be the length of a password
            self.asked[self.spot] = self.asked.get(self.spot, 0) + 1


def _is_host(source: FileSource) -> bool:
    return isinstance(source, FolderSource) and not source.confined


class WatchedKeyboard:
    """`lower`, telling `on_ask` when a key is waited for, and `on_key` which one was taken."""

    def __init__(self, lower: Keyboard, on_ask: Callable[[], None], on_key: Callable[[Key], Any] = lambda key: None) -> None:
        self._lower = lower
        self._on_ask = on_ask
        self._on_key = on_key

    @property
    def live(self) -> bool:
        """Whether somebody may press a key at any moment."""
        return self._lower.live

    @property
    def ended(self) -> bool:
        """Whether no key will ever come again."""
        return self._lower.ended

    def peek(self, timeout_s: float | None = 0) -> Key | None:
        """The next key, which stays there."""
        if timeout_s is None or timeout_s > 0:
            self._on_ask()
        return self._lower.peek(timeout_s)

    def take(self) -> Key | None:
        """Remove the next key."""
        self._on_ask()
        key = self._lower.take()
        if key is not None:
            self._on_key(key)
        return key
