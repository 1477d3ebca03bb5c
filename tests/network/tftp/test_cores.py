"""The cores against each other on a network that loses, doubles, reorders and delays: the same bytes arrive, or both sides give up."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bpscript.base.errors import FormatError
from bpscript.network.fake import FakeNetwork, Fate
from bpscript.network.tftp.actions import Action, Deliver, Failed, Finished, Send, SendBlocks
from bpscript.network.tftp.ahead import MEMORY, RUNS, Ahead
from bpscript.network.tftp.bursts import BURSTS, Burst, Bursts, windows_together
from bpscript.network.tftp.content import BytesContent
from bpscript.network.tftp.fetching import Fetch
from bpscript.network.tftp.options import negotiate
from bpscript.network.tftp.packets import (
    Opcode,
    Request,
    ack_packet,
    data_packet,
    error_packet,
    oack_packet,
    parse_request,
)
from bpscript.network.tftp.receiver import Receiver
from bpscript.network.tftp.sender import Sender
from bpscript.network.tftp.timing import Timing
from tests.network.tftp.peers import content

LOST, DOUBLED, LATE, SWAPPED = Fate(()), Fate((0.001, 0.0015)), Fate((0.9,)), Fate((0.0045,))


@dataclass
class Room:
    """A client and a server, made of cores, on a fake network."""

    network: FakeNetwork
    data: bytes
    request: Request
    sender: Sender | None = None
    block_size: int = 512
    client: Fetch = field(init=False)
    taken: list[bytes] = field(default_factory=list)
    ends: dict[str, Finished | Failed] = field(default_factory=dict)
    blocks_sent: int = 0

    def __post_init__(self) -> None:
        self.client = Fetch(self.request.name, self.request.mode, self.request.options)

    def run(self) -> None:
        self.client_does(self.client.start(self.network.now))
        self.network.run(self.timers)

    def timers(self) -> list[tuple[float, Callable[[float], None]]]:
        found: list[tuple[float, Callable[[float], None]]] = [(self.client.deadline, lambda now: self.client_does(self.client.expire(now)))]
        if self.sender is not None:
            sender = self.sender
            found.append((sender.deadline, lambda now: self.server_does(sender.expire(now))))
        return found

    def at_client(self, packet: bytes, now: float) -> None:
        self.client_does(self.client.receive(packet, now))

    def at_server(self, packet: bytes, now: float) -> None:
        if packet[1] == Opcode.RRQ:
            if self.sender is not None:
                self.server_does(self.sender.opened_again(now))
                return
            request = parse_request(packet)
            agreed, answer = negotiate(request, len(self.data))
            self.block_size = agreed.block_size
            self.sender = Sender(
                window=agreed.window, timing=Timing(agreed_s=agreed.timeout_s), last_block=len(self.data) // agreed.block_size + 1,
                opening=oack_packet(answer) if answer else None,
            )
            self.server_does(self.sender.start(now))
        elif self.sender is not None:
            first = self.sender.advance(int.from_bytes(packet[2:], "big"), now) if packet[1] == Opcode.ACK else 0
            actions = (SendBlocks(first, self.sender.sent - self.sender.acked),) if first else self.sender.receive(packet, now)
            self.server_does(actions)

    def client_does(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            match action:
                case Send():
                    self.network.send(action.packet, self.at_server)
                case Deliver():
                    self.taken.append(bytes(action.payload))
                case Finished() | Failed():
                    assert "client" not in self.ends
                    self.ends["client"] = action
                case _:
                    raise AssertionError(action)

    def server_does(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            match action:
                case Send():
                    self.network.send(action.packet, self.at_client)
                case SendBlocks():
                    self.blocks_sent += action.count
                    for number in range(action.first, action.first + action.count):
                        self.network.send(data_packet(number, self.data[(number - 1) * self.block_size : number * self.block_size]), self.at_client)
                case Finished() | Failed():
                    assert "server" not in self.ends
                    self.ends["server"] = action
                case _:
                    raise AssertionError(action)


def room(size: int, fates: Iterator[Fate], **options: int) -> Room:
    request = Request("file", "octet", {name: str(value) for name, value in options.items()})
    return Room(FakeNetwork(fates), content(size), request)


def transfer(size: int, fates: Iterator[Fate], **options: int) -> Room:
    made = room(size, fates, **options)
    made.run()
    return made


def spread(kinds: list[int]) -> Iterator[Fate]:
    for kind in kinds:
        yield (Fate(), LOST, DOUBLED, LATE, SWAPPED)[kind]


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 512, 4096, 10_000])
@pytest.mark.parametrize("options", [{}, {"blksize": 8}, {"blksize": 1428, "windowsize": 4}, {"windowsize": 64, "blksize": 16, "tsize": 0}], ids=str)
def test_a_file_arrives_without_anything_sent_twice(size: int, options: dict[str, int]) -> None:
    done = transfer(size, iter(()), **options)
    assert b"".join(done.taken) == done.data
    assert done.ends == {"client": Finished(), "server": Finished()}
    assert done.blocks_sent == size // done.block_size + 1
    window = options.get("windowsize", 1)
    acks = done.network.sent - done.blocks_sent - 1 - (2 if options else 0)
    assert acks == -(-done.blocks_sent // window)


# At least every fifth packet gets through: then the ten repetitions on both sides are enough.
SCHEDULE = st.lists(st.integers(0, 4), max_size=300).map(lambda kinds: [0 if number % 5 == 4 and kind in {1, 3} else kind for number, kind in enumerate(kinds)])


@given(kinds=SCHEDULE, size=st.integers(0, 3000), block_size=st.sampled_from([8, 16, 64, 512]), window=st.sampled_from([1, 2, 4, 16, 64]))
@example(kinds=[0, 0, 0, 1], size=100, block_size=8, window=4)                      # the first block of a window is lost
@example(kinds=[0, 0, 1, 0, 0, 1, 1], size=100, block_size=8, window=1)
@example(kinds=[0, 0, 1, 1, 0, 1, 1, 0, 1, 0, 1], size=0, block_size=8, window=1)    # only the last block is lost, again and again
@example(kinds=[4] * 40, size=1000, block_size=64, window=4)
@settings(max_examples=150)
def test_whatever_the_network_does_the_bytes_are_the_same_or_both_say_so(kinds: list[int], size: int, block_size: int, window: int) -> None:
    done = transfer(size, spread(kinds), blksize=block_size, windowsize=window)
    assert set(done.ends) == {"client", "server"}
    if isinstance(done.ends["client"], Finished):
        assert b"".join(done.taken) == done.data
    else:
        assert done.data.startswith(b"".join(done.taken))
        assert done.ends["server"] != Finished()
    # Fewer losses than anybody repeats never end a transfer.
    assert isinstance(done.ends["client"], Finished) or sum(kind in {1, 3} for kind in kinds) > 5, done.ends


@given(size=st.integers(1, 4000), window=st.sampled_from([1, 2, 8, 32]))
@settings(max_examples=40)
def test_when_every_packet_is_doubled_nothing_multiplies(size: int, window: int) -> None:
    """The sorcerer's apprentice: a sender that answers repeated ACKs would send everything twice from there on."""
    done = transfer(size, itertools.repeat(DOUBLED), blksize=16, windowsize=window)
    assert b"".join(done.taken) == done.data
    needed = size // 16 + 1
    assert done.blocks_sent == needed if window == 1 else done.blocks_sent <= 2 * needed + 2 * window
    assert done.network.sent < 6 * (needed + 4) + 4 * window


def test_one_doubled_ack_does_not_haunt_the_whole_transfer() -> None:
    done = transfer(40_000, itertools.chain(itertools.repeat(Fate(), 5), [Fate((0.001, 0.004))]), blksize=8)
    assert done.blocks_sent == 5001


@pytest.mark.parametrize(
    ("start", "window"),
    [pytest.param(65_530, 7, id="once-7"), *(pytest.param(131_060, window, id=f"twice-{window}", marks=pytest.mark.slow) for window in (1, 7, 16))],
)
def test_block_numbers_roll_over_to_zero(start: int, window: int) -> None:
    done = transfer(8 * start + 100, itertools.chain(itertools.repeat(Fate(), start), spread([0, 1, 2, 4, 0, 0, 1, 2, 2, 1, 0, 4] * 4)), blksize=8, windowsize=window)
    assert b"".join(done.taken) == done.data
    assert len(done.taken) == start + 13


def test_a_lost_window_goes_back_to_what_arrived() -> None:
    sender = Sender(window=4, timing=Timing(), last_block=20)
    assert sender.start(0) == (SendBlocks(1, 4),)
    assert sender.acknowledge(2, 0.1) == (SendBlocks(3, 4),)
    assert sender.acknowledge(2, 0.11) == ()            # too soon to be an answer to that window: a copy
    assert sender.acknowledge(2, 0.2) == (SendBlocks(3, 4),)
    assert sender.acknowledge(2, 0.3) == ()             # believed once
    assert sender.acknowledge(1, 0.3) == ()             # from long ago
    assert sender.acknowledge(7, 0.3) == ()             # never sent
    assert sender.acknowledge(6, 0.3) == (SendBlocks(7, 4),)


def test_every_repetition_waits_twice_as_long() -> None:
    sender = Sender(window=1, timing=Timing(), last_block=20)
    sender.start(0)
    times = []
    while not sender.over:
        times.append(sender.deadline)
        sender.expire(sender.deadline)
    waits = [later - earlier for earlier, later in itertools.pairwise([0, *times])]
    assert waits == [1, 2, 4, 5, 5, 5, 5, 5, 5, 5, 5]


def test_an_agreed_timeout_is_the_first_wait() -> None:
    sender = Sender(window=1, timing=Timing(agreed_s=3), last_block=20)
    sender.start(0)
    assert sender.deadline == 3
    sender.acknowledge(1, 0.001)
    assert sender.deadline == 3.001
    sender.expire(3.001)
    assert sender.deadline == pytest.approx(3.001 + 5)


def test_a_client_that_vanishes_before_its_last_acknowledgement_had_it_all() -> None:
    sender = Sender(window=2, timing=Timing(), last_block=2, opening=oack_packet({"tsize": "5"}))
    sender.start(0)
    sender.acknowledge(0, 0.1)
    actions: tuple[Action, ...] = ()
    while not sender.over:
        actions = sender.expire(sender.deadline)
    assert actions == (Finished(confirmed=False),)


def test_a_receiver_answers_a_repeated_last_block() -> None:
    receiver = Receiver(block_size=8, window=1, timing=Timing(), opening=None)
    receiver.start(0)
    assert receiver.receive(data_packet(1, b"end"), 0) == (Deliver(b"end"), Send(ack_packet(1)), Finished())
    assert receiver.receive(data_packet(1, b"end"), 1) == (Send(ack_packet(1)),)


def test_a_block_larger_than_agreed_is_refused() -> None:
    receiver = Receiver(block_size=8, window=1, timing=Timing(), opening=None)
    actions = receiver.receive(data_packet(1, b"123456789"), 0)
    assert actions[1] == Failed("a block of 9 bytes; expected at most 8", 4)


def test_blocks_that_come_together_are_taken_as_one_by_one() -> None:
    def fresh() -> Receiver:
        made = Receiver(block_size=8, window=4, timing=Timing(), opening=None)
        made.start(0)
        return made

    packets = [data_packet(number, bytes([number]) * 8) for number in range(1, 5)]
    together = memoryview(b"".join(packets))
    assert fresh().receive_run(together, 12, 0) == (Deliver(b"".join(bytes([number]) * 8 for number in range(1, 5))), Send(ack_packet(4)))
    assert fresh().receive_run(together[:36], 12, 0) == (Deliver(together[4:12].tobytes() + together[16:24].tobytes() + together[28:36].tobytes()),)
    for wrong in (together[12:], together[:46], memoryview(packets[0] * 3), memoryview(b"".join(packets) + packets[0])):
        receiver = fresh()
        assert receiver.receive_run(wrong, 12, 0) is None
        assert receiver.received == 0


def fetch(**options: str) -> Fetch:
    core = Fetch("file", "octet", options)
    core.start(0)
    return core


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"blksize": "1429"}, 'option blksize was answered with "1429"; expected 8 to 1428'),
        ({"blksize": "7"}, 'option blksize was answered with "7"; expected 8 to 1428'),
        ({"blksize": "x"}, 'option blksize was answered with "x"; expected 8 to 1428'),
        ({"windowsize": "4"}, 'option "windowsize" was answered but not asked for'),
        ({"tsize": "-1"}, 'option tsize was answered with "-1"; expected 0 to 9223372036854775807'),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_answer_that_was_not_asked_for_ends_the_transfer(answer: dict[str, str], words: str) -> None:
    core = fetch(blksize="1428", tsize="0")
    assert core.receive(oack_packet(answer), 0) == (Send(error_packet(8, words)), Failed(words, 8))


def test_a_server_without_options_is_served_with_plain_blocks() -> None:
    core = fetch(blksize="1428", windowsize="16")
    assert core.receive(data_packet(1, b"x" * 512), 0) == (Deliver(b"x" * 512), Send(ack_packet(1)))


def test_a_server_that_refuses_options_is_asked_without() -> None:
    core = fetch(blksize="1428")
    assert core.receive(error_packet(8, "no options"), 0) == (Send(Request("file").build()),)


@given(st.binary(max_size=600))
def test_any_bytes_are_a_request_or_refused(packet: bytes) -> None:
    """Any bytes parse, or raise FormatError; nothing else."""
    for start in (b"", b"\0\1", b"\0\2", b"\0\1file\0octet\0"):
        try:
            request = parse_request(start + packet)
        except FormatError:
            continue
        agreed, _ = negotiate(request, 1000)
        assert 8 <= agreed.block_size <= 65464
        assert agreed.window * agreed.block_size <= 4 << 20


@given(st.lists(st.tuples(st.binary(max_size=40), st.floats(0, 3)), max_size=40), st.sampled_from([1, 4]))
def test_any_packets_leave_a_core_in_order(packets: list[tuple[bytes, float]], window: int) -> None:
    """Whatever comes, a sender stays within its file, a receiver delivers in order, and nothing else is raised than FormatError of an ERROR packet's form."""
    sender = Sender(window=window, timing=Timing(), last_block=9, opening=oack_packet({"tsize": "1"}))
    core = fetch(blksize="8", windowsize=str(window))
    now = 0.0
    sender.start(now)
    for packet, later in packets:
        now += later
        for prefix in (b"", b"\0\3\0", b"\0\4\0", b"\0\6"):
            for actions in (sender.receive(prefix + packet, now), core.receive(prefix + packet, now), sender.expire(now), core.expire(now)):
                for action in actions:
                    if isinstance(action, SendBlocks):
                        assert action.first >= 1
                        assert action.first + action.count - 1 <= 9
                        assert action.count <= window


@given(st.lists(st.tuples(st.integers(-2, 5), st.floats(0, 0.2)), max_size=30), st.sampled_from([1, 3]), st.booleans(), st.sampled_from([5, 9, None]))
def test_the_short_way_of_an_acknowledgement_leads_where_the_long_one_does(
    steps: list[tuple[int, float]], window: int, opened: bool, last: int | None
) -> None:
    def sender() -> Sender:
        made = Sender(window=window, timing=Timing(), last_block=last, opening=oack_packet({"tsize": "1"}) if opened else None)
        made.acked = made.sent = 65_533
        made.last_block = None if last is None else 65_533 + last
        made.start(0)
        return made

    def facts(one: Sender) -> dict[str, object]:
        return {name: value for name, value in vars(one).items() if name != "timing"} | {"timing": str(one.timing)}

    short, long = sender(), sender()
    now = 0.0
    for ahead, later in steps:
        now += later
        number = long.acked + ahead & 0xFFFF
        before = facts(short)
        first = short.advance(number, now)
        assert first or facts(short) == before
        expected = long.receive(ack_packet(number), now)
        assert ((SendBlocks(first, short.sent - short.acked),) if first else short.receive(ack_packet(number), now)) == expected
        assert facts(short) == facts(long)


@pytest.mark.parametrize("block_size", [8, 512, 1428, 8192, 65_464])
@pytest.mark.parametrize("rest", [0, 1, 7])
def test_packets_made_ahead_are_those_of_the_file(block_size: int, rest: int) -> None:
    data = content(3 * block_size * 64 // (block_size // 512 + 1) // block_size * block_size + rest)
    held, ahead, last = BytesContent(data), Ahead(), len(data) // block_size + 1
    for number in (*range(1, last + 1), 1, last):
        run = ahead.run(held, number, block_size, last)
        assert run.packets[number - run.first] == data_packet(number, data[block_size * (number - 1) : block_size * number])
    assert ahead.run(BytesContent(data), 1, block_size, last) is ahead.run(held, 1, block_size, last)
    assert ahead.run(BytesContent(bytes(len(data))), 1, block_size, last).packets[0] == data_packet(1, bytes(min(block_size, len(data))))
    assert len(ahead._runs) <= RUNS


@pytest.mark.parametrize("transfers", [1, 32, 500, 4000])
@pytest.mark.parametrize("block_size", [512, 1428, 8192, 65_464])
def test_what_is_read_ahead_is_bounded_however_many_transfers_there_are(transfers: int, block_size: int) -> None:
    data = BytesContent(bytes(300 * block_size))
    for number in (1, 100, 250):
        run = Ahead().run(data, number, block_size, 301, transfers=transfers)
        assert run.packets[number - run.first] == data_packet(number, bytes(block_size))
        assert len(run.packets) == 1 or transfers * len(run.packets) * block_size <= MEMORY
    assert transfers > 32 or block_size > 1428 or len(run.packets) == 32 << (block_size == 512)


def test_bursts_of_a_room_are_made_once_and_never_mixed_up() -> None:
    bursts, made = Bursts(), [BytesContent(content(5_000, seed)) for seed in (1, 2)]
    schedule = [(each, size, first, count) for first in range(1, 60, 4) for size in (8, 64) for each in made for count in (2, 4)]
    for each, size, first, count in schedule:
        expected = b"".join(data_packet(number, each._data[size * (number - 1) : size * number]) for number in range(first, first + count))
        views = []
        for _ in range(2):
            _, packets, sent = bursts.take(each, size, first, count)
            assert (packets.tobytes(), sent) == (expected, count)
            views.append(packets)
        assert views[0] is views[1]
        assert len(bursts._kept) <= BURSTS


@pytest.mark.parametrize(("size", "window"), [(8, 1), (8, 10), (8, 16), (8, 64), (1428, 16), (1428, 60), (8192, 3), (65_464, 1)])
def test_windows_laid_out_together_are_those_of_the_file(size: int, window: int) -> None:
    together = windows_together(size, window)
    assert together % window == 0
    for rest in (0, 1):
        made = BytesContent(content(3 * 64 * size + rest))
        bursts, last = Bursts(), 3 * 64 + 1
        for begin in (*range(1, last + 1, window), 5, last):        # 5: after a loss
            first, count = begin, min(window, last - begin + 1)
            while count:
                burst, packets, sent = bursts.take(made, size, first, count, together=together)
                assert 0 < sent <= count
                assert packets.tobytes() == b"".join(data_packet(number, made._data[size * (number - 1) : size * number]) for number in range(first, first + sent))
                assert (len(packets) < sent * burst.step) == (first + sent - 1 == last)
                first, count = first + sent, count - sent
        assert len(bursts._kept) <= BURSTS


def test_a_request_is_read_back() -> None:
    request = Request("a/b.imz", "octet", {"blksize": "1428", "tsize": "0"})
    assert parse_request(request.build()) == request
    assert parse_request(b"\0\1f\0OCTET\0BlkSize\x001428\0blksize\x008\0odd\0") == Request("f", "octet", {"blksize": "1428"})


def test_a_gap_is_told_once_and_a_repeated_window_is_acknowledged_again() -> None:
    receiver = Receiver(block_size=1, window=4, timing=Timing(), opening=None)
    receiver.start(0)
    for number in (1, 2):
        assert receiver.receive(data_packet(number, b"x"), 0) == (Deliver(b"x"),)
    assert receiver.receive(data_packet(4, b"x"), 0) == (Send(ack_packet(2)),)
    assert receiver.receive(data_packet(5, b"x"), 0) == ()
    for number in (3, 4, 5):
        assert receiver.receive(data_packet(number, b"x"), 0) == (Deliver(b"x"),)
    assert receiver.receive(data_packet(6, b"x"), 0) == (Deliver(b"x"), Send(ack_packet(6)))
    assert receiver.receive(data_packet(5, b"x"), 0) == ()
    assert receiver.receive(data_packet(6, b"x"), 0) == (Send(ack_packet(6)),)


@pytest.mark.parametrize("first", [1, 191, 192, 193, 255, 256, 65_500, 65_535, 65_536, 131_070])
@pytest.mark.parametrize("count", [1, 2, 45, 64])
def test_a_burst_is_the_packets_one_after_the_other(first: int, count: int) -> None:
    blocks = first - 1 + count
    for size in (8 * blocks + 3, 8 * blocks - 3, 8 * (blocks - 1)):
        made = content(size)
        expected = [data_packet(number, made[8 * (number - 1) : 8 * number]) for number in range(first, first + count)]
        burst = Burst(8)
        for _ in range(2):
            packets, sent = burst.fill(BytesContent(made), first, count)
            assert (packets.tobytes(), sent) == (b"".join(expected), count)
