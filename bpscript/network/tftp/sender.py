"""The sending side of a transfer: a server that is read from.

    opening    the OACK was sent, ACK 0 is awaited                 (left out when there are no options)
    sending    a window was sent, the ACK of its last block is awaited
    over       Finished or Failed was returned; nothing moves it any more

    file    |-------------|=======window=======|...........|
            1         acked  acked+1 ...   sent       last_block

An ACK of `sent` moves the window on. An ACK inside the window says that what follows was lost: the window begins anew after it
(RFC 7440, section 4). An ACK of `acked` repeats an old one, and what it deserves is the subtle part:

* window 1: nothing. Answering it sends every block twice from there on, the sorcerer's apprentice (RFC 1123, 4.2.3.1).
* larger windows: it may say that the first block of the window was lost. It is believed once, and only when half a round trip has
  passed since the window was sent: a copy made by the network comes sooner. Else the timer decides.
"""

import math

from .actions import Action, Failed, Finished, Send, SendBlocks
from .packets import HEAD, Buffer, Opcode, parse_error
from .timing import Timing

_LAST_REPETITIONS = 5       # of a window with the last block: many clients do not wait for a lost last ACK to be asked for again


class Sender:
    """`opening` is the OACK packet, or None; `last_block` is the number of the short block, None while nobody knows it."""

    def __init__(self, *, window: int, timing: Timing, last_block: int | None, opening: bytes | None = None) -> None:
        self.window = window
        self.timing = timing
        self.last_block = last_block
        self.acked = 0
        self.sent = 0
        self.heard = False              # the peer has answered: it exists
        self.over = False
        self.deadline = math.inf        # seconds, on the clock of `now`
        self.repeated_windows = 0
        self._opening = opening
        self._sent_at = 0.0
        self._still_asks = False            # the peer repeats its ACK: it waits for what was sent
        self._believed: int | None = None   # the repeated ACK that was taken for a loss

    def start(self, now: float) -> tuple[Action, ...]:
        """The first packets."""
        if self._opening is not None:
            self._sent_at = now
            self.deadline = now + self.timing.wait_s
            return (Send(self._opening),)
        return self._send_window(now)

    def receive(self, packet: Buffer, now: float) -> tuple[Action, ...]:
        """A packet of the peer; what makes no sense here changes nothing."""
        if len(packet) < 4 or self.over:
            return ()
        opcode, number = HEAD.unpack_from(packet)
        if opcode == 4:     # Opcode.ACK, without looking it up for every block
            return self.acknowledge(number, now)
        if opcode == Opcode.ERROR:
            code, text = parse_error(packet)
            return self._fail(Failed(text, code, by_peer=True))
        return ()

    def acknowledge(self, number: int, now: float) -> tuple[Action, ...]:
        """ACK `number` (16 bits)."""
        if self.over:
            return ()
        if self._opening is not None:
            if number:
                return ()
            self._opening = None
            self._answered(now)
            return self._send_window(now)
        ahead = (number - self.acked) & 0xFFFF
        if ahead > self.sent - self.acked:
            return ()       # from long ago, or of a block that was never sent
        if ahead == 0:
            self._still_asks = True
            return self._repeated(now)
        self._still_asks = False
        self.acked = acked = self.acked + ahead
        self.heard = True
        self.timing.answered(now - self._sent_at)
        if acked == self.last_block:
            return self._finish(Finished())
        return self._send_window(now)

    def advance(self, number: int, now: float) -> int:
        """As `acknowledge`, for what happens most: ACK of all that was sent, and more follows. The block after it, the first of the `sent - acked`
        to be sent; 0, and nothing has changed, when it is anything else.
        """
        sent = self.sent
        if number != sent & 0xFFFF or self._opening is not None or self.over or sent == self.last_block:
            return 0
        self.heard = True
        self._still_asks = False
        timing = self.timing
        timing.answered(now - self._sent_at)
        self.acked = sent
        ahead = sent + self.window
        last = self.last_block
        self.sent = ahead if last is None or ahead < last else last
        self._sent_at = now
        self.deadline = now + timing.wait_s
        return sent + 1

    def ends_at(self, last_block: int) -> None:
        """The content turned out to end with this block, which was among those asked for last."""
        self.last_block = last_block
        self.sent = min(self.sent, last_block)

    def opened_again(self, now: float) -> tuple[Action, ...]:
        """The request came once more: the answer to it was lost, if nothing was acknowledged yet."""
        return self.start(now) if not self.heard and not self.over else ()

    def expire(self, now: float) -> tuple[Action, ...]:
        """Send again what was not answered, when its time has come."""
        if self.over or now < self.deadline:
            return ()
        at_end = self._opening is None and self.sent == self.last_block and self.heard and not self._still_asks
        if not self.timing.again() or (at_end and self.timing.repeated > _LAST_REPETITIONS):
            if at_end:
                return self._finish(Finished(confirmed=False))
            return self._fail(Failed(f"no answer after {self.timing.repetitions} repetitions"))
        self.repeated_windows += 1
        return self.start(now)

    def _answered(self, now: float) -> None:
        self.heard = True
        self.timing.answered(now - self._sent_at)

    def _repeated(self, now: float) -> tuple[Action, ...]:
        measured = self.timing.round_trip_s
        if self.window == 1 or self._believed == self.acked or measured is None or now - self._sent_at < measured / 2:
            return ()
        self._believed = self.acked
        self.repeated_windows += 1
        self.timing.repeated = max(1, self.timing.repeated)     # what is sent twice measures nothing
        return self._send_window(now)

    def _send_window(self, now: float) -> tuple[Action, ...]:
        acked, count, last = self.acked, self.window, self.last_block
        if last is not None and acked + count > last:
            count = last - acked
        self.sent = acked + count
        self._sent_at = now
        self.deadline = now + self.timing.wait_s
        return (SendBlocks(acked + 1, count),)

    def _finish(self, action: Finished) -> tuple[Action, ...]:
        self.over = True
        self.deadline = math.inf
        return (action,)

    def _fail(self, action: Failed) -> tuple[Action, ...]:
        self.over = True
        self.deadline = math.inf
        return (action,)
