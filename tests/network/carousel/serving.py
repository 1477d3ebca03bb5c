"""A server with a carousel on loopback, in this process."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bpscript.base.events import Event, Kind, ignore
from bpscript.network.carousel.server import CarouselServer
from bpscript.network.carousel.source import CarouselSource
from bpscript.network.carousel.talk import PATH
from bpscript.network.http.files import Folder
from bpscript.network.http.message import Answer, Request
from bpscript.network.http.server import Served
from tests.network.http import serving as http

GROUP = "239.255.69.71"
RATE = 400_000_000


@dataclass
class Serving:
    """What a test sees of it."""

    http: http.Serving
    carousel: CarouselServer
    target: tuple[str, int]
    events: list[Event] = field(default_factory=list)

    def source(self, heard: list[Event] | None = None, folder: Path | None = None) -> CarouselSource:
        """A client."""
        return CarouselSource(f"carousel+{self.http.url()}", events=ignore if heard is None else heard.append, folder=folder)

    @property
    def served(self) -> list[Served]:
        """Parts of files that went by HTTP."""
        return [each for each in self.http.seen if each.method == "GET" and each.path != PATH.encode()]


def texts(events: list[Event], kind: Kind = Kind.WARNING) -> list[str]:
    """The sentences of events of a kind."""
    return [str(event.data["text"]) for event in events if event.kind is kind]


@contextmanager
def serving(folder: Path, *, rate: int = RATE, port: int | None = None) -> Iterator[Serving]:
    """A server; its group has a port that nobody else uses."""
    files = Folder(folder)
    events: list[Event] = []
    target = (GROUP, port or free_port())
    carousel = CarouselServer(files, "127.0.0.1", target, rate=rate, events=events.append)
    thread = threading.Thread(target=carousel.run)
    thread.start()

    def handler(request: Request, peer: str) -> Answer:
        return carousel.answer(request, peer) if request.path == PATH.encode() else files.answer(request)

    try:
        with http.serving(handler=handler) as found:
            yield Serving(found, carousel, target, events)
    finally:
        carousel.stop()
        thread.join(10)
        carousel.close()
    assert not thread.is_alive()


def free_port() -> int:
    """A UDP port that nobody has now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
