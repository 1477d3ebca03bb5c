"""The receiving side of a transfer: a client that reads, a server that is written to.

Blocks are taken in order only. The last block of a window, and the last of the file, are acknowledged (RFC 7440). A block
from beyond the next one says that something was lost: the last block in order is acknowledged once, and the sender begins
anew after it. A block that came before is acknowledged again when it is the one acknowledged last: then that ACK was lost.

After its end a receiver lingers: it answers a repeated last block, because its last ACK may have been lost (RFC 1350, 6).
"""

import math

from .actions import Action, Deliver, Failed, Finished, Send
from .packets import HEAD, Buffer, Code, Opcode, ack_packet, error_packet, parse_error
from .timing import Timing


class Receiver:
    """Takes the blocks of a file. `opening` is what is sent to begin: ACK 0 (nothing when it is None), or an OACK."""

    def __init__(self, *, block_size: int, window: int, timing: Timing, opening: bytes | None) -> None:
        self.block_size = block_size
        self.window = window
        self.timing = timing
        self.received = 0      # the last block in order
        self.over = False
        self.deadline = math.inf
        self._acked = 0
        self._opening = opening
        self._asked_at = 0.0
        self._gap_told = -1                 # the block after which a loss was reported

    def start(self, now: float) -> tuple[Action, ...]:
        """The first packet."""
        self._wait(now)
        return (Send(self._opening),) if self._opening is not None else ()

    def receive(self, packet: Buffer, now: float) -> tuple[Action, ...]:
        """A packet of the peer; what makes no sense here changes nothing."""
        if len(packet) < 4:
            return ()
        opcode, number = HEAD.unpack_from(packet)
        if opcode == Opcode.DATA:
            return self._data(number, packet[4:], now)
        if opcode == Opcode.ERROR and not self.over:
            code, text = parse_error(packet)
            return self._fail(Failed(text, code, by_peer=True))
        return ()

    def receive_run(self, packets: memoryview, step: int, now: float) -> tuple[Action, ...] | None:
        """Packets of `step` bytes one after the other, taken at once when they are the next blocks in order, all of them full and of
        one window; else None, nothing has changed, and they are to be taken one by one.
        """
        count, rest = divmod(len(packets), step)
        first = (self.received + 1) & 0xFFFF
        if rest or step != self.block_size + 4 or self.over or self.received + count - self._acked > self.window or first + count > 0x10000:
            return None
        heads = b"".join([packets[at : at + 4] for at in range(0, len(packets), step)])
        if heads != b"".join([HEAD.pack(Opcode.DATA, number) for number in range(first, first + count)]):
            return None
        self.received = self.received + count
        self.timing.moved()
        self._wait(now)
        data = Deliver(b"".join([packets[at : at + self.block_size] for at in range(4, len(packets), step)]))
        return (data, self._acknowledge()) if self.received - self._acked == self.window else (data,)

    def expire(self, now: float) -> tuple[Action, ...]:
        """Acknowledge again when the next block does not come."""
        if self.over or now < self.deadline:
            return ()
        if not self.timing.again():
            return self._fail(Failed(f"no answer after {self.timing.repetitions} repetitions"))
        self._wait(now)
        if self.received == 0:
            return (Send(self._opening),) if self._opening is not None else ()
        return (self._acknowledge(),)

    def _data(self, number: int, payload: Buffer, now: float) -> tuple[Action, ...]:
        ahead = (number - self.received) & 0xFFFF
        if self.over:
            return (Send(ack_packet(self.received)),) if ahead == 0 else ()
        if ahead == 1:
            return self._next(payload, now)
        if ahead == 0 or ahead > 0x8000:
            # Seen before. Only the block that was acknowledged last says that its ACK was lost.
            return (Send(ack_packet(self._acked)),) if self.received and (number - self._acked) & 0xFFFF == 0 else ()
        if self._gap_told == self.received:
            return ()
        self._gap_told = self.received
        if self.received == 0 and self._opening is not None:
            return (Send(self._opening),)
        return (self._acknowledge(),)

    def _next(self, payload: Buffer, now: float) -> tuple[Action, ...]:
        length = len(payload)
        if length > self.block_size:
            text = f"a block of {length} bytes; expected at most {self.block_size}"
            return (Send(error_packet(Code.ILLEGAL, text)), *self._fail(Failed(text, Code.ILLEGAL)))
        if self.received == self._acked:
            self.timing.answered(now - self._asked_at)
        else:
            self.timing.moved()
        self.received = self.received + 1
        if length < self.block_size:
            self.over = True
            self.deadline = math.inf
            self._acked = self.received
            return (Deliver(payload), Send(ack_packet(self.received)), Finished())
        self._wait(now)
        if self.received - self._acked >= self.window:
            return (Deliver(payload), self._acknowledge())
        return (Deliver(payload),)

    def _acknowledge(self) -> Send:
        self._acked = self.received
        return Send(ack_packet(self.received))

    def _wait(self, now: float) -> None:
        self._asked_at = now
        self.deadline = now + self.timing.wait_s

    def _fail(self, action: Failed) -> tuple[Action, ...]:
        self.over = True
        self.deadline = math.inf
        return (action,)
