"""One file for a whole room (RFC 2090): blocks go to a multicast address, and one client, the master, asks for them.

The oldest member of a group is its master. Its ACK n asks for block n+1, which all members take; so block numbers may go back and
forth, and a client that came late gets its gaps filled when it becomes the master itself. A master that has everything (ACK of the
last block), breaks off (ERROR) or falls silent makes room for the next one, which is told by an OACK and answers with the ACK
before the first block that it misses. A member that is no master has everything when it acknowledges the last block.

    peer of                      OACK "239.255.69.69,1758,1"     you are the master
    a member   <--- server --->  OACK "239.255.69.69,1758,0"     you are not
    ACK n      ---> server --->  DATA n+1 to 239.255.69.69:1758

A repeated ACK is not answered, as in sender.py; the timer repeats the block. Files of more than 65,535 blocks go to each client by
itself: the numbers of blocks would no longer be unique.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .actions import Action, Failed, Finished, Send, SendBlocks
from .packets import HEAD, Buffer, Opcode, oack_packet, parse_error
from .sender import Sender
from .timing import Timing

MAX_BLOCKS = 65_535
MASTER_REPETITIONS = 4      # a whole room waits for a master that is gone: about 12 s
OPTION = "multicast"        # RFC 2090


@dataclass(slots=True)
class ForMember:
    """An action that concerns another member of the group than the one whose packet caused it."""

    member: "Member"
    action: Action


class Group:
    """Those who receive one file together. `address` and `port` are where its blocks go."""

    def __init__(self, address: str, port: int, last_block: int) -> None:
        self.address = address
        self.port = port
        self.last_block = last_block
        self.members: list[Member] = []     # the first is the master
        self.blocks_sent = 0

    def is_master(self, member: "Member") -> bool:
        """Whether it asks for the blocks."""
        return bool(self.members) and self.members[0] is member

    def leave(self, member: "Member", now: float) -> tuple["Action | ForMember", ...]:
        """A member is done or gone; the next one becomes the master."""
        was_master = self.is_master(member)
        if member in self.members:
            self.members.remove(member)
        if not was_master or not self.members:
            return ()
        following = self.members[0]
        return tuple(ForMember(following, action) for action in following.promote(now))


class Member(Sender):
    """A client of a group: a sender of its own that answers only while it is the master."""

    def __init__(self, group: Group, options: Mapping[str, str], agreed_s: float | None) -> None:
        super().__init__(window=1, timing=Timing(agreed_s=agreed_s, repetitions=MASTER_REPETITIONS), last_block=group.last_block)
        self.group = group
        self._options = dict(options)
        self._asked: int | None = None      # the block that was sent last because this member asked for it
        group.members.append(self)

    def start(self, now: float) -> tuple[Action, ...]:
        """Tell it about the group."""
        if self.group.is_master(self):
            self._wait(now)
        return (Send(self._oack(f"{self.group.address},{self.group.port},{int(self.group.is_master(self))}")),)

    def promote(self, now: float) -> tuple[Action, ...]:
        """It is the master now."""
        self._asked = None
        self.timing.moved()
        self._wait(now)
        # RFC 2090 allows ",,1" here, which atftp does not understand.
        return (Send(self._oack(f"{self.group.address},{self.group.port},1")),)

    def receive_member(self, packet: Buffer, now: float) -> tuple["Action | ForMember", ...]:
        """A packet of this client."""
        if len(packet) < 4 or self.over:
            return ()
        opcode, number = HEAD.unpack_from(packet)
        if opcode == Opcode.ERROR:
            code, text = parse_error(packet)
            return self._gone(Failed(text, code, by_peer=True), now)
        if opcode != Opcode.ACK or number > self.group.last_block:
            return ()
        self.heard = True
        if number == self.group.last_block:
            self.acked = number
            return self._gone(Finished(), now)
        if not self.group.is_master(self) or number + 1 == self._asked:
            return ()
        self.acked = number
        self.timing.answered(now - self._sent_at)
        self._asked = number + 1
        return self._send(now)

    def expire_member(self, now: float) -> tuple["Action | ForMember", ...]:
        """Send again what the master did not answer; give it up in the end."""
        if self.over or now < self.deadline:
            return ()
        if not self.timing.again():
            return self._gone(Failed(f"no answer after {self.timing.repetitions} repetitions"), now)
        self.repeated_windows += 1
        if self._asked is None:
            self._wait(now)
            return (Send(self._oack(f"{self.group.address},{self.group.port},1")),)
        return self._send(now)

    def opened_again(self, now: float) -> tuple[Action, ...]:
        """Its request came once more."""
        return () if self.heard or self.over else self.start(now)

    def ends_at(self, last_block: int) -> None:
        """Known from the beginning."""

    def _send(self, now: float) -> tuple[Action, ...]:
        assert self._asked is not None
        self._wait(now)
        self.group.blocks_sent += 1
        return (SendBlocks(self._asked, 1),)

    def _wait(self, now: float) -> None:
        self._sent_at = now
        self.deadline = now + self.timing.wait_s

    def _gone(self, action: Finished | Failed, now: float) -> tuple["Action | ForMember", ...]:
        self.over = True
        self.deadline = math.inf
        return (action, *self.group.leave(self, now))

    def _oack(self, value: str) -> bytes:
        return oack_packet({**self._options, OPTION: value})
