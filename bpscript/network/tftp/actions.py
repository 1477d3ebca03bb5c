"""What a protocol core wants done. A core has no socket, no file and no clock: packets and times go in, these come out.

The time at which a core wants to be asked again (`expire`) is its attribute `deadline`, not an action: it changes with every
packet, and the one who holds thousands of cores looks only at those whose time may have come. They are not frozen because one is
made for every block that is served, and freezing triples that cost.
"""

from dataclasses import dataclass

from .packets import BlockNumber, Buffer


@dataclass(slots=True)
class Send:
    """Send this packet to the peer."""

    packet: bytes


@dataclass(slots=True)
class SendBlocks:
    """Send `count` blocks of the file, from `first` on, as DATA to the peer."""

    first: BlockNumber
    count: int


@dataclass(slots=True)
class Deliver:
    """The next bytes of the file have come."""

    payload: Buffer


@dataclass(slots=True)
class Finished:
    """All is over and well. `confirmed` is False when all was sent but the last acknowledgement never came."""

    confirmed: bool = True


@dataclass(slots=True)
class Failed:
    """The transfer is over. `code` is the peer's where `by_peer`, else the one that was sent to it; None is silence."""

    text: str
    code: int | None = None
    by_peer: bool = False


Action = Send | SendBlocks | Deliver | Finished | Failed
