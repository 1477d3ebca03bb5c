"""A client of a group (RFC 2090): takes what the server sends to a multicast address, in any order, and asks for blocks while it is the master.

    asking     the request was sent, with the option multicast
       │ OACK "239.255.69.69,1758,1"  or  "...,0"
    member     blocks of the group go to their places, a map says which are there
       │       master: each block that comes is answered with ACK n, where n + 1 is the first that is missing
       │       no master: listens; another OACK (",,1" will do) makes it the master
    over       all blocks are there: ACK of the last one says so, and makes room for the next master

A server that knows no groups, or gives this file to each by itself, and a group of which nothing is heard: the outcome is `Alone`, the server
was told, and the file is fetched as any other. A master answers a block that it has only if it is the one answered last (then that ACK was lost):
else every block were sent twice from there on (RFC 1123, 4.2.3.1). The last ACK goes out twice: nobody asks for it again before others have waited.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from ...base.errors import FormatError
from .actions import Failed, Finished, Send
from .fetching import FIRST_REPETITIONS, LEAST_WAIT_S
from .multicast import MAX_BLOCKS, OPTION
from .options import Agreed, accept
from .packets import HEAD, Buffer, Code, Opcode, Request, ack_packet, error_packet, opcode_of, parse_error, parse_oack
from .timing import Timing

REPETITIONS = 6         # of a master's ACK: about 20 s
DEAF = 2                # of a master that never heard the group: after 7 s it takes the file by itself
SILENCE_S = 25.0        # without a block, of one that is no master: longer than a server waits for a master that is gone
_VALUE = re.compile(r"(?P<address>[0-9.]*),(?P<port>[0-9]{0,5}),(?P<master>[01])\Z", re.ASCII)


@dataclass(slots=True)
class Join:
    """Take part in this group from now on, in place of any other."""

    address: str
    port: int


@dataclass(slots=True)
class Place:
    """These bytes belong there in the file."""

    offset: int
    payload: Buffer


@dataclass(slots=True)
class Alone:
    """All is over: the file is to be fetched without a group, and this is why."""

    text: str


Action = Send | Join | Place | Finished | Failed | Alone


class Joining:
    """One file. `options` are asked for beside `multicast`; without `blksize` blocks have 512 bytes."""

    def __init__(self, name: str, mode: str, options: Mapping[str, str]) -> None:
        self.agreed: Agreed | None = None       # once the server has answered
        self.over = False
        self.master = False
        self.deadline = math.inf
        self.received = 0                       # blocks
        self.size: int | None = None            # bytes, when it is known
        self._request = Request(name, mode, {**options, OPTION: ""})
        self._timing = Timing(repetitions=FIRST_REPETITIONS)
        self._group: Join | None = None
        self._have = bytearray(MAX_BLOCKS + 2)  # by number; 0 is there
        self._have[0] = 1
        self._missing = 1                       # the first block that is
        self._last: int | None = None
        self._answered: int | None = None       # the block that the last ACK was an answer to
        self._asked_at = 0.0
        self._told_again = 0.0                  # when an OACK that says nothing new is answered again

    def start(self, now: float) -> tuple[Action, ...]:
        """The request. Raises FormatError for a name that does not fit."""
        self._wait(now)
        return (Send(self._request.build()),)

    def receive(self, packet: Buffer, now: float) -> tuple[Action, ...]:
        """A packet that the server sent to us alone."""
        match opcode_of(packet):
            case Opcode.OACK if self.over:
                return (Send(ack_packet(self._last)),) if self._last is not None and self._missing > self._last else ()
            case Opcode.OACK:
                return self._told(packet, now)
            case Opcode.DATA if self.agreed is None and not self.over:
                return self._alone("the server knows no options")
            case Opcode.ERROR if not self.over:
                return self._refused(packet)
            case _:
                return ()

    def receive_shared(self, packet: Buffer, now: float) -> tuple[Action, ...]:
        """A packet that came to the group; what makes no sense changes nothing."""
        if self.over or self.agreed is None or len(packet) < HEAD.size:
            return ()
        opcode, number = HEAD.unpack_from(packet)
        length = len(packet) - HEAD.size
        if opcode != Opcode.DATA or not self._fits(number, length):
            return ()
        if self._have[number]:
            return self._ask(number, now) if self.master and number == self._answered else ()
        self._have[number] = 1
        self.received += 1
        if length < self.agreed.block_size:
            self._last = number
            self.size = (number - 1) * self.agreed.block_size + length
        while self._have[self._missing]:
            self._missing += 1
        place = Place((number - 1) * self.agreed.block_size, packet[HEAD.size :])
        if self._last is not None and self._missing > self._last:
            self._end()
            done = Send(ack_packet(self._last))
            return (place, done, done, Finished())
        if self.master:
            self._timing.answered(now - self._asked_at)
            return (place, *self._ask(number, now))
        self._timing.moved()
        self._wait(now)
        return (place,)

    def expire(self, now: float) -> tuple[Action, ...]:
        """Ask again, when its time has come."""
        if self.over or now < self.deadline:
            return ()
        if self.agreed is None:
            if self._timing.again():
                return self.start(now)
            self._end()
            return (Failed("no answer"),)
        deaf = not self.received
        if not self.master or not self._timing.again() or (deaf and self._timing.repeated > DEAF):
            return self._alone("no packet of the group arrives: does a switch hold multicast back?" if deaf else "the group fell silent")
        return self._ask(self._answered, now)

    def _fits(self, number: int, length: int) -> bool:
        """Whether there can be such a block in the file."""
        assert self.agreed is not None
        most = self.agreed.block_size
        if not 1 <= number <= MAX_BLOCKS or length > most:
            return False
        if self._last is None:
            return length == most or not any(self._have[number + 1 :])
        if number > self._last:
            return False
        last_length = None if self.size is None else self.size - (self._last - 1) * most
        return length == (most if number < self._last or last_length is None else last_length)

    def _told(self, packet: Buffer, now: float) -> tuple[Action, ...]:
        try:
            answer = parse_oack(packet)
            agreed = accept(self._request.options, answer)
        except FormatError as error:
            return self._fail(error.message)
        if OPTION not in answer:
            return self._alone("the server gives this file to each client by itself") if self.agreed is None else ()
        value = _VALUE.match(answer[OPTION])
        if value is None:
            return self._fail(f'option multicast was answered with "{answer[OPTION][:40]}"; expected ADDRESS,PORT,0 or 1')
        if self.agreed is not None and (agreed.block_size, agreed.size or self.agreed.size) != (self.agreed.block_size, self.agreed.size):
            return self._fail("the file is another one than it was")
        group = self._group
        if value["address"] and value["port"]:
            group = Join(value["address"], int(value["port"]))
        if group is None or not _is_group(group):
            return self._fail(f'"{answer[OPTION][:40]}" is no multicast address and port')
        actions: tuple[Action, ...] = () if group == self._group else (group,)
        self._group = group
        if self.agreed is None:
            if agreed.size is not None and agreed.size // agreed.block_size + 1 > MAX_BLOCKS:
                return self._fail("more blocks than a group can have")
            self.agreed, self.size = agreed, agreed.size
            self._last = None if agreed.size is None else agreed.size // agreed.block_size + 1
            self._timing = Timing(agreed_s=agreed.timeout_s, least_s=LEAST_WAIT_S, repetitions=REPETITIONS)
        if value["master"] == "1":
            self.master = True          # a master stays one: that it is none any more would be a copy of an old packet
            self._answered = None
            return (*actions, *self._ask(None, now))
        if self.master or now < self._told_again:
            return actions      # atftpd answers ACK 0 of those who are not the master with this OACK: each would cause the other for ever
        if not self._told_again:
            self._wait(now)
        self._told_again = now + LEAST_WAIT_S
        return (*actions, Send(ack_packet(0)))

    def _ask(self, answered: int | None, now: float) -> tuple[Action, ...]:
        """ACK of the block before the first that is missing."""
        self._answered = answered
        self._wait(now)
        return (Send(ack_packet(self._missing - 1)),)

    def _wait(self, now: float) -> None:
        self._asked_at = now
        self.deadline = now + (SILENCE_S if self.agreed is not None and not self.master else self._timing.wait_s)

    def _refused(self, packet: Buffer) -> tuple[Action, ...]:
        try:
            code, text = parse_error(packet)
        except FormatError:
            return ()
        self._end()
        if code == Code.OPTIONS:
            return (Alone("the server refuses the options"),)
        return (Failed(text, code, by_peer=True),)

    def _alone(self, why: str) -> tuple[Action, ...]:
        self._end()
        return (Send(error_packet(Code.NOT_DEFINED, "asked again without a group")), Alone(why))

    def _fail(self, text: str) -> tuple[Action, ...]:
        self._end()
        return (Send(error_packet(Code.OPTIONS, text)), Failed(text, Code.OPTIONS))

    def _end(self) -> None:
        self.over = True
        self.deadline = math.inf


def _is_group(join: Join) -> bool:
    try:
        return IPv4Address(join.address).is_multicast and 1 <= join.port <= 65535
    except ValueError:
        return False
