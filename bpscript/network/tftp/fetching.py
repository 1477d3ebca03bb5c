"""The client's side of reading a file, from the request to the last block.

    asking      the request was sent; OACK, DATA 1 or ERROR is awaited, from whatever port the server takes (RFC 1350, 4)
    receiving   as in receiver.py; the port is known, packets from another one are answered with ERROR 5
    over

A server without options ignores them and sends DATA 1 of 512 bytes; one that refuses them (ERROR 8) is asked again without.
On the enhanced port nothing is negotiated and blocks have 1408 bytes.
"""

import math
from collections.abc import Mapping

from ...base.errors import FormatError
from .actions import Action, Failed, Finished, Send
from .options import Agreed, accept
from .packets import (
    DEFAULT_BLOCK_SIZE,
    Buffer,
    Code,
    Opcode,
    Request,
    ack_packet,
    error_packet,
    opcode_of,
    parse_error,
    parse_oack,
)
from .receiver import Receiver
from .timing import Timing

FIRST_REPETITIONS = 4       # of the request: a server that is not there is told after about 16 s
LEAST_WAIT_S = 0.5          # a server that reads its file from a slow disk is not hurried


class Fetch:
    """One file. `only_facts` stops as soon as it is known that the file is there, and what the server says of it.

    `plain_block_size` is that of a server that answers no options.
    """

    def __init__(
        self, name: str, mode: str, options: Mapping[str, str], *, plain_block_size: int = DEFAULT_BLOCK_SIZE, only_facts: bool = False,
        repetitions: int | None = None,
    ) -> None:
        self.agreed: Agreed | None = None       # once the server has answered
        self.over = False
        self.first_length: int | None = None    # of the payload of DATA 1, with `only_facts`
        self._request = Request(name, mode, dict(options))
        self._plain = plain_block_size
        self._only_facts = only_facts
        self._receiver: Receiver | None = None
        self._repetitions = repetitions
        self._timing = Timing(repetitions=FIRST_REPETITIONS if repetitions is None else repetitions)
        self._waits_until = math.inf
        self._sent_at = 0.0

    @property
    def deadline(self) -> float:
        """When to be asked again, in seconds on the clock of `now`."""
        return self._receiver.deadline if self._receiver is not None else self._waits_until

    def start(self, now: float) -> tuple[Action, ...]:
        """The request. Raises FormatError for a name that does not fit."""
        self._sent_at = now
        self._waits_until = now + self._timing.wait_s
        return (Send(self._request.build()),)

    def receive(self, packet: Buffer, now: float) -> tuple[Action, ...]:
        """A packet of the server, from the port that answered first."""
        if self._receiver is not None:
            if opcode_of(packet) == Opcode.OACK:
                # Our ACK 0 was lost; later ones are old.
                return (Send(ack_packet(0)),) if self._receiver.received == 0 and not self.over else ()
            actions = self._receiver.receive(packet, now)
            self.over = self.over or self._receiver.over
            return actions
        if self.over:
            return ()
        match opcode_of(packet):
            case Opcode.OACK:
                return self._options(packet, now)
            case Opcode.DATA if packet[2:4] == b"\0\1":
                if self._only_facts:
                    self.first_length = len(packet) - 4
                    return self._enough(Agreed(self._plain))
                return (*self._begin(Agreed(self._plain), None, now), *self.receive(packet, now))
            case Opcode.ERROR:
                return self._refused(packet, now)
            case _:
                return ()

    def receive_run(self, packets: memoryview, step: int, now: float) -> tuple[Action, ...] | None:
        """Packets of `step` bytes that came together, if they are nothing but the next blocks in order; None when they are not."""
        return None if self._receiver is None else self._receiver.receive_run(packets, step, now)

    def expire(self, now: float) -> tuple[Action, ...]:
        """Ask again, when its time has come."""
        if self._receiver is not None:
            actions = self._receiver.expire(now)
            self.over = self.over or self._receiver.over
            return actions
        if self.over or now < self._waits_until:
            return ()
        if not self._timing.again():
            self.over = True
            self._waits_until = math.inf
            return (Failed("no answer"),)
        return self.start(now)

    def _options(self, packet: Buffer, now: float) -> tuple[Action, ...]:
        try:
            agreed = accept(self._request.options, parse_oack(packet))
        except FormatError as error:
            return self._fail(error.message, Code.OPTIONS)
        return self._enough(agreed) if self._only_facts else self._begin(agreed, ack_packet(0), now)

    def _begin(self, agreed: Agreed, opening: bytes | None, now: float) -> tuple[Action, ...]:
        self.agreed = agreed
        timing = Timing(agreed_s=agreed.timeout_s, least_s=LEAST_WAIT_S)
        if self._repetitions is not None:
            timing.repetitions = self._repetitions
        self._receiver = Receiver(block_size=agreed.block_size, window=agreed.window, timing=timing, opening=opening)
        return self._receiver.start(now)

    def _enough(self, agreed: Agreed) -> tuple[Action, ...]:
        """All is known that was asked; the server is told that no more is wanted (as OVMF does after asking the size)."""
        self.agreed = agreed
        self.over = True
        self._waits_until = math.inf
        return (Send(error_packet(Code.NOT_DEFINED, "only the size was asked for")), Finished())

    def _refused(self, packet: Buffer, now: float) -> tuple[Action, ...]:
        try:
            code, text = parse_error(packet)
        except FormatError:
            return ()
        if code == Code.OPTIONS and self._request.options:
            self._request = Request(self._request.name, self._request.mode)
            return self.start(now)
        self.over = True
        self._waits_until = math.inf
        return (Failed(text, code, by_peer=True),)

    def _fail(self, text: str, code: Code) -> tuple[Action, ...]:
        self.over = True
        self._waits_until = math.inf
        return (Send(error_packet(code, text)), Failed(text, code))
