"""RFC 2090: a room of clients takes one file together; its master may leave."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.network.fake import FakeNetwork, Fate
from bpscript.network.tftp.actions import Action, Failed, Finished, Send, SendBlocks
from bpscript.network.tftp.multicast import ForMember, Group, Member
from bpscript.network.tftp.packets import Opcode, Request, ack_packet, error_packet, oack_packet, parse_oack
from tests.network.lab import lab
from tests.network.tftp.peers import ask, content, serving
from tests.oracles import need


@pytest.mark.parametrize("event", ["all", "late", pytest.param("kill", marks=pytest.mark.net)])
def test_a_room_of_atftp_takes_a_file_together(event: str, tmp_path: Path) -> None:
    need("atftp")
    size = 20_000_000 if event == "kill" else 3_000_000
    with lab(3) as room:
        program = [sys.executable, "-m", "tests.network.tftp.room", str(tmp_path), str(size), event, *room.clients]
        done = subprocess.run(room.inside(room.server, *program), capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert all(found["same"])
    assert all(each["multicast"] for each in found["events"])
    outcomes = [each["outcome"] for each in found["events"]]
    assert outcomes == (["failed", "done", "done"] if event == "kill" else ["done"] * 3)
    assert event != "all" or found["sent"] < 2.5 * size       # three times by itself would be more


def test_a_client_hears_where_the_blocks_go(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(content(5000))
    (tmp_path / "large").write_bytes(content(8 * 65_536))
    with serving(tmp_path) as served:
        first = ask(served.server.port, Request("image", "octet", {"multicast": "", "tsize": "0"}).build())
        second = ask(served.server.port, Request("image", "octet", {"multicast": ""}).build())
        assert parse_oack(first) == {"tsize": "5000", "multicast": "239.255.69.69,1758,1"}
        assert parse_oack(second) == {"multicast": "239.255.69.69,1758,0"}
        other = ask(served.server.port, Request("image", "octet", {"multicast": "", "blksize": "1000"}).build())
        assert parse_oack(other) == {"blksize": "1000", "multicast": "239.255.69.69,1759,1"}
        large = ask(served.server.port, Request("large", "octet", {"multicast": "", "blksize": "8"}).build())
        assert parse_oack(large) == {"blksize": "8"}


LAST = 12


@dataclass
class Listener:
    """A client by the letter of RFC 2090, that misses what the schedule says."""

    name: int
    room: "Room"
    have: set[int] = field(default_factory=set)
    master: bool = False
    heard_at: float = 0.0
    done: bool = False
    leaves_at: float = float("inf")

    def next_ack(self) -> int:
        return next((number - 1 for number in range(1, LAST + 1) if number not in self.have), LAST)

    def take(self, packet: bytes, now: float) -> None:
        if self.done or now >= self.leaves_at:
            return
        self.heard_at = now
        if packet[1] == Opcode.OACK:
            self.master = self.master or parse_oack(packet)["multicast"].endswith(",1")
            self.room.to_server(self.name, ack_packet(self.next_ack()))
        else:
            number = int.from_bytes(packet[2:4], "big")
            self.have.add(number)
            if len(self.have) == LAST:
                self.done = True
            if self.master or self.done:
                self.room.to_server(self.name, ack_packet(self.next_ack()))


class Room:
    def __init__(self, count: int, fates: Iterator[Fate]) -> None:
        self.network = FakeNetwork(fates)
        self.group = Group("239.0.0.1", 1, LAST)
        self.members = [Member(self.group, {}, None) for _ in range(count)]
        self.listeners = [Listener(number, self) for number in range(count)]
        self.ends: dict[int, Action] = {}

    def run(self) -> None:
        for member in self.members:
            self.act(member, member.start(self.network.now))
        self.network.run(lambda: [(each.deadline, lambda now, each=each: self.act(each, each.expire_member(now))) for each in self.members])  # type: ignore[misc]

    def to_server(self, name: int, packet: bytes) -> None:
        member = self.members[name]
        self.network.send(packet, lambda data, now: self.act(member, member.receive_member(data, now)))

    def act(self, member: Member, actions: tuple[Action | ForMember, ...]) -> None:
        for action in actions:
            match action:
                case ForMember():
                    self.act(action.member, (action.action,))
                case Send():
                    self.network.send(action.packet, self.listeners[self.members.index(member)].take)
                case SendBlocks():
                    for listener in self.listeners:
                        self.network.send(b"\0\3" + action.first.to_bytes(2, "big"), listener.take)
                case _:
                    assert self.members.index(member) not in self.ends
                    self.ends[self.members.index(member)] = action


def test_without_loss_every_block_is_sent_once_for_all() -> None:
    room = Room(5, iter(()))
    room.run()
    assert room.ends == dict.fromkeys(range(5), Finished())
    assert room.group.blocks_sent == LAST


@given(st.lists(st.integers(0, 3), max_size=200), st.integers(1, 5), st.integers(0, 30))
@settings(max_examples=80)
def test_every_member_that_stays_gets_every_block(kinds: list[int], count: int, leaves: int) -> None:
    safe = [0 if number % 3 and kind == 1 else kind for number, kind in enumerate(kinds)]
    room = Room(count, (((Fate(), Fate(()), Fate((0.001, 0.002)), Fate((0.05,))))[kind] for kind in safe))
    if count > 1:
        room.listeners[0].leaves_at = room.network.now + leaves / 1000       # the master goes without a word
    room.run()
    assert not room.group.members
    for listener in room.listeners[1 if count > 1 else 0 :]:
        assert len(listener.have) == LAST, listener.name
        assert not isinstance(room.ends[listener.name], Failed) or listener.done


def test_when_every_packet_is_doubled_blocks_do_not_multiply() -> None:
    room = Room(3, itertools.repeat(Fate((0.001, 0.0013))))
    room.run()
    assert room.group.blocks_sent <= LAST + 3


def test_a_master_that_breaks_off_makes_room() -> None:
    group = Group("239.0.0.1", 1, LAST)
    first, second = Member(group, {"tsize": "9"}, None), Member(group, {}, None)
    assert first.start(0) == (Send(oack_packet({"tsize": "9", "multicast": "239.0.0.1,1,1"})),)
    assert second.start(0) == (Send(oack_packet({"multicast": "239.0.0.1,1,0"})),)
    assert first.receive_member(ack_packet(0), 0) == (SendBlocks(1, 1),)
    assert second.receive_member(ack_packet(0), 0) == ()
    assert first.receive_member(error_packet(0, "bye"), 0) == (Failed("bye", 0, by_peer=True), ForMember(second, Send(oack_packet({"multicast": "239.0.0.1,1,1"}))))
    assert second.receive_member(ack_packet(7), 0) == (SendBlocks(8, 1),)
    assert second.receive_member(ack_packet(LAST), 0) == (Finished(),)
