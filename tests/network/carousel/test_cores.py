"""Station and receivers over a network that exists only in memory."""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.base.errors import NetworkError
from bpscript.network.carousel.packets import BLOCK, HEAD, MAGIC, MAX_BLOCKS, session_of
from bpscript.network.carousel.receiver import SILENCE_S, Next, Receiver
from bpscript.network.carousel.station import (
    KEEP_ALIVE_S,
    MAX_FILES,
    MAX_MEMBERS,
    MAX_TURNS,
    SILENT_S,
    Ended,
    FileKey,
    RefusedError,
    Station,
)
from bpscript.network.fake import FakeNetwork, Fate

RATE = 10_000_000
PACKET_S = (HEAD.size + BLOCK + 66) * 8 / RATE
GOOD, LOST, DOUBLED, LATE = Fate(), Fate(()), Fate((0.001, 0.002)), Fate((0.02,))


def key(size: int, name: str = "/x") -> FileKey:
    return FileKey(name, size, '"1"')


@dataclass
class Client:
    """One machine: what it received, and what it had to repair. `gone_at` is when it falls silent."""

    name: str
    room: "Room"
    comes_at: float = 0.0
    gone_at: float = math.inf
    receiver: Receiver | None = None
    data: bytearray = field(default_factory=bytearray)
    repaired: int = 0
    how: Next | None = None
    deadline: float = 0.0

    def tick(self, now: float) -> None:
        """Join, say that we are there, look whether it is over."""
        room = self.room
        if now >= self.gone_at:
            self.deadline = math.inf
            return
        session = room.station.join(room.key, self.name, now)
        if self.receiver is None:
            self.receiver = Receiver(session, room.key.size, BLOCK, now)
            self.data = bytearray(room.key.size)
        self.deadline = now + min(0.05, KEEP_ALIVE_S)
        self.look(now)

    def take(self, packet: bytes, now: float) -> None:
        if self.receiver is None or self.how is not None or now >= self.gone_at:
            return
        for offset, parts in self.receiver.take(memoryview(packet), len(packet), now):
            piece = b"".join(parts)
            self.data[offset : offset + len(piece)] = piece
        self.look(now)

    def look(self, now: float) -> None:
        assert self.receiver is not None
        what = self.receiver.next(now)
        if what is Next.WAIT:
            return
        self.how = what
        self.deadline = math.inf
        for start, end in self.receiver.holes():
            self.data[start:end] = self.room.data[start:end]
            self.receiver.fill(start, end)
            self.repaired += end - start
        assert not self.receiver.missing
        self.room.station.leave(self.room.key, self.name, now, complete=True)


class Room:
    def __init__(self, size: int, fates: Iterator[Fate], clients: list[tuple[float, float]]) -> None:
        self.data = random.Random(size).randbytes(size)
        self.key = key(size)
        self.ended: list[Ended] = []
        self.station = Station(RATE, self.ended.append)
        self.network = FakeNetwork(fates)
        start = self.network.now
        self.clients = [Client(f"c{number}", self, start + comes, start + gone) for number, (comes, gone) in enumerate(clients)]
        for client in self.clients:
            client.deadline = client.comes_at

    def run(self, limit_s: float = 600.0) -> "Room":
        self.network.run(self.timers, limit_s=limit_s)
        return self

    def timers(self) -> list[tuple[float, Callable[[float], None]]]:
        found: list[tuple[float, Callable[[float], None]]] = [(min(self.station.deadline, self.station.silence_ends), self.send)]
        found += [(client.deadline, client.tick) for client in self.clients]
        return found

    def send(self, now: float) -> None:
        burst = self.station.step(now)
        if burst is None:
            return
        for index in range(burst.first, burst.first + burst.count):
            packet = HEAD.pack(MAGIC, burst.session, index * BLOCK) + self.data[index * BLOCK : (index + 1) * BLOCK]
            for client in self.clients:
                self.network.send(packet, client.take)


def blocks(count: int) -> int:
    return count * BLOCK - 7


def test_a_room_that_comes_together_takes_one_turn() -> None:
    room = Room(blocks(200), iter(()), [(0, math.inf)] * 8).run()
    assert all(client.data == room.data for client in room.clients)
    assert [client.how for client in room.clients] == [Next.DONE] * 8
    assert room.ended[0].turns <= 1.05
    assert (room.ended[0].complete, room.ended[0].incomplete) == (8, 0)
    assert room.station.deadline == math.inf
    assert room.ended[0].seconds < 201 * PACKET_S + 0.1


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 8 * BLOCK, 9 * BLOCK + 1])
def test_small_files_arrive_too(size: int) -> None:
    room = Room(size, iter([LOST, GOOD, LOST]), [(0, math.inf), (0.01, math.inf)]).run()
    assert all(client.data == room.data for client in room.clients)


def test_a_client_that_comes_late_gets_the_beginning_in_the_next_turn() -> None:
    room = Room(blocks(400), iter(()), [(0, math.inf), (200 * PACKET_S, math.inf)]).run()
    assert [client.how for client in room.clients] == [Next.DONE] * 2
    assert [client.repaired for client in room.clients] == [0, 0]
    assert 1.45 < room.ended[0].turns < 1.6


@given(
    st.lists(st.sampled_from([GOOD, GOOD, GOOD, LOST, DOUBLED, LATE]), max_size=900),
    st.lists(st.tuples(st.floats(0, 0.3), st.sampled_from([math.inf, math.inf, 0.1])), min_size=1, max_size=5),
    st.integers(1, 150 * BLOCK),
)
@settings(max_examples=60)
def test_whatever_the_network_does_who_stays_has_the_same_bytes(fates: list[Fate], clients: list[tuple[float, float]], size: int) -> None:
    room = Room(size, iter(fates), clients).run()
    for client in room.clients:
        assert client.data == room.data or client.gone_at < math.inf
    assert room.station.members == 0
    assert room.station.deadline == math.inf


def test_a_few_holes_are_repaired_after_one_turn() -> None:
    room = Room(blocks(320), (LOST if number % 100 == 7 else GOOD for number in range(400)), [(0, math.inf)]).run()
    assert room.clients[0].data == room.data
    assert room.clients[0].how is Next.REPAIR
    assert room.clients[0].repaired == 4 * BLOCK
    assert room.ended[0].turns < 1.1


def test_after_a_bad_turn_the_next_one_brings_most_of_it() -> None:
    room = Room(blocks(320), (LOST if number % 3 == 0 else GOOD for number in range(320)), [(0, math.inf)]).run()
    assert room.clients[0].data == room.data
    assert room.clients[0].repaired <= 20 * BLOCK
    assert 1.5 < room.ended[0].turns < 2.1


def test_when_most_is_lost_nobody_waits_for_turn_after_turn() -> None:
    chances = random.Random(5)
    room = Room(blocks(320), (LOST if chances.random() < 0.9 else GOOD for _ in range(10**6)), [(0, math.inf)]).run()
    assert room.clients[0].data == room.data
    assert room.ended[0].turns < 2.2


def test_each_turn_is_measured_by_what_was_missing_before_it() -> None:
    receiver = Receiver(b"12345678", 320 * BLOCK, BLOCK, 0.0)

    def turn(passing: range) -> Next:
        for index in (*passing, 319):
            packet = HEAD.pack(MAGIC, b"12345678", index * BLOCK) + bytes(BLOCK)
            receiver.take(memoryview(packet), len(packet), 0.0)
        return receiver.next(0.0)

    assert turn(range(200)) is Next.WAIT
    assert turn(range(205)) is Next.REPAIR         # five new ones out of 119: little against those, not against the 320 of the turn before
    assert receiver.missing == 114


def test_a_member_that_is_silent_stops_the_sender() -> None:
    room = Room(blocks(50), iter(()), [(0, 0.02)]).run()
    assert room.network.now - 1000 < SILENT_S + 1
    assert (room.ended[0].complete, room.ended[0].incomplete) == (0, 1)
    assert room.station.deadline == math.inf


def test_a_sender_that_starts_again_goes_on_for_those_who_are_there() -> None:
    room = Room(blocks(400), iter(()), [(0, math.inf), (0.05, math.inf)])
    room.run(150 * PACKET_S)
    before = [client.receiver.missing for client in room.clients if client.receiver is not None]
    room.station = Station(RATE, room.ended.append)      # knows nobody and begins at 0
    room.run()
    assert len(before) == 2
    assert all(0 < missing < 400 for missing in before)
    assert all(client.data == room.data for client in room.clients)
    assert [client.how for client in room.clients] == [Next.DONE] * 2


def test_the_session_is_another_one_when_the_file_is() -> None:
    told = [session_of("/x", 5, '"1"'), session_of("/y", 5, '"1"'), session_of("/x", 6, '"1"'), session_of("/x", 5, '"2"'), session_of("/x", 5, '"1"', 1000)]
    assert len(set(told)) == 5
    assert session_of("/x", 5, '"1"') == told[0]


def test_packets_of_another_state_of_the_file_are_not_taken() -> None:
    receiver = Receiver(session_of("/x", BLOCK, '"1"'), BLOCK, BLOCK, 0.0)
    packet = HEAD.pack(MAGIC, session_of("/x", BLOCK, '"2"'), 0) + bytes(BLOCK)
    assert receiver.take(memoryview(packet), len(packet), 1.0) == []
    assert receiver.next(SILENCE_S) is Next.SILENT        # and they are no sign of life


def test_packets_that_came_together_are_one_write() -> None:
    session = session_of("/x", 5 * BLOCK, '"1"')
    data = random.Random(1).randbytes(5 * BLOCK)
    packets = b"".join(HEAD.pack(MAGIC, session, at) + data[at : at + BLOCK] for at in range(0, 5 * BLOCK, BLOCK))
    receiver = Receiver(session, 5 * BLOCK, BLOCK, 0.0)
    (offset, parts), = receiver.take(memoryview(packets), HEAD.size + BLOCK, 0.0)
    assert (offset, b"".join(parts)) == (0, data)
    assert receiver.take(memoryview(packets), HEAD.size + BLOCK, 0.0) == []
    assert receiver.next(0.0) is Next.DONE


SESSION = session_of("/x", 10_000, '"1"')
PIECES = st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda magic, session, offset, length: HEAD.pack(magic, session, offset) + bytes(length), st.sampled_from([MAGIC, b"bpC2"]), st.sampled_from([SESSION, bytes(8)]),
        st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 8).map(lambda index: index * BLOCK), st.integers(0, 11_000)), st.sampled_from([0, 1, 144, BLOCK - 1, BLOCK, BLOCK + 1]),
    ),
)


@given(st.lists(st.tuples(PIECES, st.integers(1, 1500)), max_size=30))
def test_whatever_comes_only_blocks_of_the_file_are_written_and_each_once(pieces: list[tuple[bytes, int]]) -> None:
    """Any datagrams: every write is a run of whole blocks of the file (the last one short), nothing is written twice, and nothing raises."""
    receiver = Receiver(SESSION, 10_000, BLOCK, 0.0)
    written: set[int] = set()
    for packet, step in pieces:
        for start, parts in receiver.take(memoryview(packet), step, 0.0):
            offset = start
            assert offset % BLOCK == 0
            for part in parts:
                assert len(part) == min(BLOCK, 10_000 - offset)
                assert offset not in written
                written.add(offset)
                offset += len(part)
        receiver.next(0.0)
    assert receiver.missing == 8 - len(written)
    holes = list(receiver.holes())
    assert sum(end - start for start, end in holes) == 10_000 - receiver.received
    assert all(offset not in range(start, end) for offset in written for start, end in holes)


@given(st.sets(st.integers(0, 39)), st.integers(0, 5 * BLOCK))
def test_holes_with_little_between_them_are_one(missing: set[int], join: int) -> None:
    receiver = Receiver(SESSION, 40 * BLOCK - 5, BLOCK, 0.0)
    for index in set(range(40)) - missing:
        receiver.fill(index * BLOCK, min((index + 1) * BLOCK, 40 * BLOCK - 5))
    holes = list(receiver.holes(join=join))
    covered = {index for start, end in holes for index in range(start // BLOCK, -(-end // BLOCK))}
    assert missing <= covered
    assert all(after[0] - before[1] > join for before, after in pairwise(holes))
    assert not missing or (holes[0][0] // BLOCK, -(-holes[-1][1] // BLOCK)) == (min(missing), max(missing) + 1)


def test_a_file_whose_map_would_be_too_large_is_refused() -> None:
    with pytest.raises(NetworkError, match="too many for a carousel"):
        Receiver(SESSION, MAX_BLOCKS * BLOCK + 1, BLOCK, 0.0)


def run_for(station: Station, seconds: float) -> dict[FileKey, int]:
    """Blocks of each file that are sent in that time."""
    now, sent = 0.0, dict[FileKey, int]()
    while now < seconds:
        burst = station.step(now)
        if burst is not None:
            sent[burst.key] = sent.get(burst.key, 0) + burst.count
        now = max(now + 1e-6, station.deadline)
    return sent


def test_two_files_share_the_rate() -> None:
    station = Station(RATE)
    station.join(key(1 << 24, "/a"), "m", 0.0)
    assert station.share() == RATE
    station.join(key(1 << 24, "/b"), "m", 0.0)
    assert station.share() == RATE // 2
    sent = run_for(station, 2.0)
    assert sum(sent.values()) * PACKET_S == pytest.approx(2.0, rel=0.01)
    assert sent[key(1 << 24, "/a")] == pytest.approx(sent[key(1 << 24, "/b")], rel=0.02)


def test_a_sender_that_was_held_up_does_not_flood_the_network() -> None:
    station = Station(RATE)
    station.join(key(1 << 24), "m", 0.0)
    run_for(station, 0.5)
    burst, count = station.step(5.0), 0
    while burst is not None:
        count += burst.count
        burst = station.step(5.0)
    assert count * PACKET_S < 0.02


def test_nothing_is_sent_for_those_who_repair() -> None:
    station = Station(RATE)
    station.join(key(1 << 20), "m", 0.0)
    assert station.step(0.0) is not None
    station.join(key(1 << 20), "m", 0.1, receiving=False)
    assert station.deadline == math.inf
    assert station.step(1.0) is None
    station.join(key(1 << 20), "n", 1.0)
    assert station.step(station.deadline) is not None
    station.leave(key(1 << 20), "n", 1.1, complete=True)
    assert station.step(2.0) is None
    assert station.members == 1


def test_who_takes_part_for_many_turns_is_told_to_go() -> None:
    ended: list[Ended] = []
    station = Station(RATE, ended.append)
    station.join(key(4 * BLOCK), "m", 0.0)
    sent = 0
    while sent <= 4 * MAX_TURNS:
        station.join(key(4 * BLOCK), "m", station.deadline)
        burst = station.step(station.deadline)
        assert burst is not None
        sent += burst.count
    with pytest.raises(RefusedError, match="turns have passed"):
        station.join(key(4 * BLOCK), "m", station.deadline)
    assert station.members == 0
    assert ended[0].incomplete == 1
    assert ended[0].turns == pytest.approx(MAX_TURNS, abs=1)


def test_turns_are_counted_from_when_a_member_came() -> None:
    station = Station(RATE)
    station.join(key(4 * BLOCK), "early", 0.0)
    sent = 0
    while sent < 4 * (MAX_TURNS - 1):
        station.join(key(4 * BLOCK), "early", station.deadline)
        sent += station.step(station.deadline).count  # type: ignore[union-attr]
    station.join(key(4 * BLOCK), "late", station.deadline)
    while sent < 4 * (MAX_TURNS + 2):
        station.join(key(4 * BLOCK), "late", station.deadline)
        sent += station.step(station.deadline).count  # type: ignore[union-attr]
    with pytest.raises(RefusedError, match="turns have passed"):
        station.join(key(4 * BLOCK), "early", station.deadline)
    station.join(key(4 * BLOCK), "late", station.deadline)
    assert station.members == 1


def test_a_session_goes_on_where_it_stopped() -> None:
    station = Station(RATE)
    station.join(key(1 << 20), "m", 0.0)
    first = station.step(0.0)
    second = station.step(station.deadline)
    station.leave(key(1 << 20), "m", station.deadline, complete=False)
    station.join(key(1 << 20), "n", 60.0)
    third = station.step(60.0)
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.first, second.first) == (0, first.count)
    assert third.first == first.count + second.count


def test_members_and_files_are_bounded() -> None:
    station = Station(RATE)
    for number in range(MAX_FILES):
        station.join(key(1000, f"/{number}"), "m", 0.0)
    with pytest.raises(RefusedError, match="too many take part"):
        station.join(key(1000, "/more"), "m", 0.0)
    for number in range(MAX_MEMBERS - MAX_FILES):
        station.join(key(1000, "/1"), f"n{number}", 0.0)
    with pytest.raises(RefusedError, match="too many take part"):
        station.join(key(1000, "/1"), "more", 0.0)
    station.join(key(1000, "/1"), "m", 1.0)     # who is there already stays
    station.expire(SILENT_S + 0.5)
    assert station.members == 1


def test_an_empty_file_has_no_carousel() -> None:
    with pytest.raises(RefusedError, match="the file is empty"):
        Station(RATE).join(key(0), "m", 0.0)


def test_a_file_that_cannot_be_sent_any_more_ends() -> None:
    ended: list[Ended] = []
    station = Station(RATE, ended.append)
    station.join(key(1000), "m", 0.0)
    station.drop(key(1000), 1.0)
    assert (ended[0].complete, ended[0].incomplete, station.members, station.deadline) == (0, 1, 0, math.inf)
    station.drop(key(1000), 1.0)
    assert len(ended) == 1
