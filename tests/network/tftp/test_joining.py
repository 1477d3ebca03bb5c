"""Our client of RFC 2090: against our server's core on a bad network, and by `multicast+tftp://` against our server and atftpd."""

import hashlib
import itertools
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.base.errors import NetworkError, NotFoundError, StorageError, UsageError
from bpscript.base.events import Event, Kind
from bpscript.cli.main import main
from bpscript.network.fake import FakeNetwork, Fate
from bpscript.network.roots import open_root
from bpscript.network.tftp.actions import Failed, Finished, Send, SendBlocks
from bpscript.network.tftp.joining import DEAF, REPETITIONS, SILENCE_S, Alone, Join, Joining, Place
from bpscript.network.tftp.multicast import ForMember, Group, Member
from bpscript.network.tftp.packets import Opcode, ack_packet, data_packet, error_packet, oack_packet, parse_request
from tests.cli.images import captured, ext_image, make_tree
from tests.network.lab import SERVER, lab
from tests.network.tftp.peers import content, free_port, server_command, serving, stub
from tests.oracles import e2fsck, need

DATA = content(8 * 11 + 5)
LAST = 12
GROUP = Join("239.0.0.1", 1)
GOOD, LOST, DOUBLED, LATE = Fate(), Fate(()), Fate((0.001, 0.002)), Fate((0.05,))


@dataclass
class Machine:
    """One that wants the file; `gone_at` is when it falls silent."""

    room: "Room"
    comes_at: float
    gone_at: float
    core: Joining = field(default_factory=lambda: Joining("file", "octet", {"blksize": "8", "tsize": "0"}))
    member: Member | None = None
    joined: bool = False
    file: bytearray = field(default_factory=lambda: bytearray(len(DATA)))
    end: Finished | Failed | Alone | None = None
    ends: list[object] = field(default_factory=list)        # of the server's side

    def timer(self) -> tuple[float, Callable[[float], None]]:
        if self.comes_at < float("inf"):
            return self.comes_at, self.begin
        return (self.core.deadline if self.room.network.now < self.gone_at else float("inf")), lambda now: self.does(self.core.expire(now))

    def begin(self, now: float) -> None:
        self.comes_at = float("inf")
        self.does(self.core.start(now))

    def hears(self, packet: bytes, now: float) -> None:
        if now < self.gone_at:
            self.does(self.core.receive(packet, now))

    def hears_group(self, packet: bytes, now: float) -> None:
        if self.joined and now < self.gone_at:
            self.does(self.core.receive_shared(packet, now))

    def does(self, actions: tuple[object, ...]) -> None:
        for action in actions:
            match action:
                case Send():
                    self.room.network.send(action.packet, lambda packet, now: self.room.at_server(self, packet, now))
                case Join():
                    assert action == GROUP
                    self.joined = True
                case Place():
                    self.file[action.offset : action.offset + len(action.payload)] = action.payload
                case Finished() | Failed() | Alone():
                    assert self.end is None
                    self.end = action


class Room:
    """Machines, the members that a server made of them, and the group."""

    def __init__(self, fates: Iterator[Fate], *machines: tuple[float, float]) -> None:
        self.network = FakeNetwork(fates)
        self.group = Group(GROUP.address, GROUP.port, LAST)
        start = self.network.now
        self.machines = [Machine(self, start + comes, start + gone) for comes, gone in machines]

    def run(self) -> "Room":
        self.network.run(lambda: [each.timer() for each in self.machines] + [
            (each.member.deadline, lambda now, each=each: self.act(each, each.member.expire_member(now))) for each in self.machines if each.member is not None
        ])
        return self

    def at_server(self, machine: Machine, packet: bytes, now: float) -> None:
        if packet[1] == Opcode.RRQ:
            assert parse_request(packet).options == {"blksize": "8", "tsize": "0", "multicast": ""}
            if machine.member is None:
                machine.member = Member(self.group, {"blksize": "8", "tsize": str(len(DATA))}, None)
                self.act(machine, machine.member.start(now))
            else:
                self.act(machine, machine.member.opened_again(now))
        elif machine.member is not None:
            self.act(machine, machine.member.receive_member(packet, now))

    def act(self, machine: Machine, actions: tuple[object, ...]) -> None:
        for action in actions:
            match action:
                case ForMember():
                    self.act(next(each for each in self.machines if each.member is action.member), (action.action,))
                case Send():
                    self.network.send(action.packet, machine.hears)
                case SendBlocks():
                    for each in self.machines:
                        self.network.send(data_packet(action.first, DATA[8 * (action.first - 1) : 8 * action.first]), each.hears_group)
                case _:
                    machine.ends.append(action)


FOR_EVER = float("inf")


def test_a_room_that_comes_together_gets_every_block_once() -> None:
    room = Room(iter(()), *[(0, FOR_EVER)] * 5).run()
    assert [machine.end for machine in room.machines] == [Finished()] * 5
    assert all(machine.file == DATA for machine in room.machines)
    assert room.group.blocks_sent == LAST
    assert not room.group.members


def test_who_comes_late_gets_what_it_missed_as_the_next_master() -> None:
    room = Room(iter(()), (0, FOR_EVER), (0.0125, FOR_EVER)).run()
    assert [machine.end for machine in room.machines] == [Finished()] * 2
    assert room.machines[1].file == DATA
    assert LAST < room.group.blocks_sent < 2 * LAST
    assert room.machines[1].core.master


def test_when_the_master_falls_silent_the_next_one_takes_over() -> None:
    room = Room(iter(()), (0, 0.01), (0, FOR_EVER), (0, FOR_EVER)).run()
    assert [machine.end for machine in room.machines] == [None, Finished(), Finished()]
    assert all(machine.file == DATA for machine in room.machines[1:])
    assert room.machines[1].core.master
    assert isinstance(room.machines[0].ends[0], Failed)


def test_when_every_packet_is_doubled_blocks_are_not() -> None:
    room = Room(itertools.repeat(Fate((0.001, 0.0013))), *[(0, FOR_EVER)] * 3).run()
    assert [machine.end for machine in room.machines] == [Finished()] * 3
    assert room.group.blocks_sent <= LAST + 1


@given(
    st.lists(st.sampled_from([GOOD, GOOD, GOOD, LOST, DOUBLED, LATE]), max_size=300),
    st.lists(st.tuples(st.floats(0, 0.05), st.sampled_from([FOR_EVER, FOR_EVER, 0.02])), min_size=1, max_size=5),
)
@settings(max_examples=120)
def test_whatever_the_network_does_who_stays_has_the_file_or_fetches_it_alone(fates: list[Fate], machines: list[tuple[float, float]]) -> None:
    room = Room(iter(fates), *machines).run()
    for machine in room.machines:
        if machine.gone_at < FOR_EVER:
            continue
        assert machine.end == Finished() or isinstance(machine.end, Alone) or machine.end == Failed("no answer")
        assert machine.end != Finished() or machine.file == DATA
    assert not room.group.members


def joined(value: str = "239.0.0.1,1,1", **options: str) -> Joining:
    core = Joining("file", "octet", {"blksize": "8", "tsize": "0"})
    core.start(0)
    core.receive(oack_packet({"blksize": "8", **options, "multicast": value}), 0)
    return core


def test_a_master_that_hears_nothing_of_the_group_takes_the_file_alone() -> None:
    core = joined()
    asked = 0
    while not core.over:
        actions = core.expire(core.deadline)
        asked += actions == (Send(ack_packet(0)),)
    assert asked == DEAF
    assert isinstance(actions[0], Send)
    assert actions[0].packet[:2] == b"\0\5"
    assert actions[1] == Alone("no packet of the group arrives: does a switch hold multicast back?")


def test_a_group_that_falls_silent_is_left() -> None:
    master, other = joined(), joined("239.0.0.1,1,0")
    for core in (master, other):
        core.receive_shared(data_packet(1, bytes(8)), 1.0)
    assert other.deadline == 1.0 + SILENCE_S
    assert other.expire(1.0 + SILENCE_S)[1] == Alone("the group fell silent")
    asked = 0
    while not master.over:
        actions = master.expire(master.deadline)
        asked += actions == (Send(ack_packet(1)),)
    assert asked == REPETITIONS
    assert actions[1] == Alone("the group fell silent")


def test_an_answer_that_says_nothing_new_is_acknowledged_now_and_then() -> None:
    core = joined("239.0.0.1,1,0")
    again = oack_packet({"blksize": "8", "multicast": "239.0.0.1,1,0"})
    assert core.receive(again, 0.0) == ()       # atftpd answers each of these ACKs with another OACK
    assert core.receive(again, 0.4) == ()
    assert core.receive(again, 0.5) == (Send(ack_packet(0)),)
    assert core.receive(again, 0.6) == ()
    assert core.deadline == SILENCE_S           # only blocks are a reason to wait longer


def test_only_a_block_that_was_answered_last_is_answered_again() -> None:
    core = joined(tsize="90")
    assert core.receive_shared(data_packet(1, bytes(8)), 0.1)[1] == Send(ack_packet(1))
    assert core.receive_shared(data_packet(2, bytes(8)), 0.2)[1] == Send(ack_packet(2))
    assert core.receive_shared(data_packet(1, bytes(8)), 0.3) == ()
    assert core.receive_shared(data_packet(2, bytes(8)), 0.3) == (Send(ack_packet(2)),)


def test_a_last_acknowledgement_that_was_lost_is_given_again() -> None:
    core = joined(tsize="13")
    core.receive_shared(data_packet(2, bytes(5)), 0.1)
    assert core.receive_shared(data_packet(1, bytes(8)), 0.2)[1:] == (Send(ack_packet(2)), Send(ack_packet(2)), Finished())
    assert core.receive(oack_packet({"multicast": ",,1"}), 0.3) == (Send(ack_packet(2)),)


@pytest.mark.parametrize(
    ("number", "payload"), [(0, bytes(8)), (1, bytes(9)), (1, bytes(7)), (2, bytes(8)), (2, bytes(4)), (3, b""), (3, bytes(8))], ids=str,
)
def test_blocks_that_cannot_be_in_the_file_are_not_taken(number: int, payload: bytes) -> None:
    core = joined(tsize="13")
    assert core.receive_shared(data_packet(number, payload), 0.1) == ()
    assert core.received == 0


def test_a_file_whose_size_nobody_told_ends_with_its_short_block() -> None:
    core = joined("239.0.0.1,1,0")
    assert core.receive_shared(data_packet(2, b""), 0.1) == (Place(8, b""),)
    assert core.receive_shared(data_packet(3, bytes(8)), 0.1) == ()
    assert core.receive_shared(data_packet(1, bytes(8)), 0.1)[-1] == Finished()
    assert core.size == 8


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"multicast": "239.0.0.1,1"}, 'option multicast was answered with "239.0.0.1,1"; expected ADDRESS,PORT,0 or 1'),
        ({"multicast": "10.0.0.1,1,1"}, '"10.0.0.1,1,1" is no multicast address and port'),
        ({"multicast": "239.0.0.1,0,1"}, '"239.0.0.1,0,1" is no multicast address and port'),
        ({"multicast": ",,1"}, '",,1" is no multicast address and port'),
        ({"multicast": "239.0.0.1,1,1", "tsize": "900000"}, "more blocks than a group can have"),
        ({"multicast": "239.0.0.1,1,1", "blksize": "9"}, 'option blksize was answered with "9"; expected 8 to 8'),
        ({"multicast": "239.0.0.1,1,1", "timeout": "9"}, 'option "timeout" was answered but not asked for'),
    ],
    ids=str,
)
def test_an_answer_that_means_nothing_ends_the_transfer(options: dict[str, str], text: str) -> None:
    core = Joining("file", "octet", {"blksize": "8", "tsize": "0"})
    core.start(0)
    found = core.receive(oack_packet({"blksize": "8"} | options), 0)
    assert found == (Send(error_packet(8, text)), Failed(text, 8))
    assert core.over


def test_a_file_that_became_another_one_ends_the_transfer() -> None:
    core = joined("239.0.0.1,1,0", tsize="90")
    assert core.receive(oack_packet({"blksize": "8", "tsize": "91", "multicast": ",,1"}), 1)[1] == Failed("the file is another one than it was", 8)


@given(st.lists(st.tuples(st.sampled_from([b"", b"\0\3\0", b"\0\5", b"\0\6multicast\0", b"\0\6multicast\x00239.0.0.1,1,"]), st.binary(max_size=24)), max_size=40))
def test_any_packets_leave_the_core_in_order(packets: list[tuple[bytes, bytes]]) -> None:
    """Whatever comes, bytes are placed inside of the file only, and nothing is raised."""
    core = joined("239.0.0.1,1,0", tsize="90")
    for start, rest in packets:
        for action in (*core.receive(start + rest, 0.1), *core.receive_shared(start + rest, 0.1)):
            if isinstance(action, Place):
                assert 0 <= action.offset <= action.offset + len(action.payload) <= 90


# --- with sockets ----------------------------------------------------------------------------------------------------

SIZE = (1 << 20) + 5


def warnings(heard: list[Event]) -> list[object]:
    return [event.data["text"] for event in heard if event.kind is Kind.WARNING]


def test_a_large_file_comes_by_the_group_once_and_is_read_often(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(content(SIZE))
    (tmp_path / "small").write_bytes(content(5000))
    heard: list[Event] = []
    with serving(tmp_path) as served:
        root = open_root(f"multicast+tftp://127.0.0.1:{served.server.port}", heard.append)
        assert root.open("small").read() == content(5000)
        for _ in range(2):
            with closing(root.open("large")) as reader:
                assert reader.read(7) == content(7)
                assert reader.read() == content(SIZE)[7:]
        done = [event for event in served.last(5) if event["outcome"] == "done"]
        with pytest.raises(NotFoundError):
            root.open("nothing")
    assert [(event["path"], event["multicast"]) for event in done] == [("small", False), ("large", True)]
    assert not warnings(heard)
    assert str(root) == f"multicast+tftp://127.0.0.1:{served.server.port}"


@pytest.mark.parametrize("scheme", ["tftp", "multicast+tftp"])
def test_an_image_is_restored_from_a_tftp_server(scheme: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tree").mkdir()
    tree = make_tree(tmp_path / "tree")
    (tree / "more").write_bytes(random.Random(4).randbytes(2 << 20))
    image, target = ext_image(tmp_path / "part.img", tree), tmp_path / "target.img"
    (tmp_path / "root").mkdir()
    captured(image, tmp_path / "root" / "lab 1.imz")
    target.write_bytes(bytes(image.stat().st_size))
    with serving(tmp_path / "root") as served:
        url = f"{scheme}://127.0.0.1:{served.server.port}/lab%201.imz"
        assert main(["image", "restore", url, str(target)]) == 0
        assert main(["image", "ls", url]) == (1 if scheme == "tftp" else 0)      # in order only, or kept
        assert main(["image", "info", url.replace("lab%201", "none")]) == 1
        assert main(["image", "info", url.rpartition("/")[0] + "/"]) == 2
    assert any(event.data["outcome"] == "done" and event.data["multicast"] for event in served.events) == (scheme != "tftp")
    assert capsys.readouterr().err.count("bpscript: error: ") == (3 if scheme == "tftp" else 2)
    e2fsck(target)


def test_without_room_the_file_comes_alone_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "large").write_bytes(content(SIZE))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    heard: list[Event] = []
    with serving(tmp_path) as served:
        assert open_root(f"multicast+tftp://127.0.0.1:{served.server.port}", heard.append).open("large").read() == content(SIZE)
    assert "where 1000 B are free; the file comes to this machine alone" in str(warnings(heard)[0])


def test_a_server_without_groups_gives_the_file_alone_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(content(SIZE))
    port = free_port()
    heard: list[Event] = []
    with subprocess.Popen(server_command("tftpd-hpa", tmp_path, port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            root = open_root(f"multicast+tftp://127.0.0.1:{port}", heard.append)
            end = time.monotonic() + 10
            while time.monotonic() < end:
                with suppress(NetworkError):
                    if root.stat("large") is not None:
                        break
                time.sleep(0.05)
            assert root.open("large").read() == content(SIZE)
        finally:
            server.kill()
    assert warnings(heard) == ["large: the server gives this file to each client by itself; the file comes to this machine alone"]


def test_a_group_that_cannot_be_joined_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "large").write_bytes(content(SIZE))

    def refuse(*_: object, **__: object) -> None:
        raise NetworkError("the group 239.255.69.69 cannot be joined from 127.0.0.1: No such device")

    monkeypatch.setattr("bpscript.network.tftp.shared.Listener", refuse)
    heard: list[Event] = []
    with serving(tmp_path) as served:
        assert open_root(f"multicast+tftp://127.0.0.1:{served.server.port}", heard.append).open("large").read() == content(SIZE)
        assert served.last(3)[1]["text"] == "no longer wanted"      # so the next one is master at once
    assert "cannot be joined" in str(warnings(heard)[0])


def test_what_the_server_does_wrong_is_said_in_a_sentence() -> None:
    port = free_port()
    answers = [oack_packet({"tsize": "2000000"}), b"for nobody", oack_packet({"tsize": "2000000", "multicast": "1.2.3.4,1,1"})]
    with stub(port, answers), pytest.raises(NetworkError, match=r'cannot be fetched: the server sent "1\.2\.3\.4,1,1" is no multicast address and port'):
        open_root(f"multicast+tftp://127.0.0.1:{port}").open("file")


def test_nothing_is_written_or_listed() -> None:
    root = open_root("multicast+tftp://127.0.0.1")
    with pytest.raises(StorageError, match="cannot be written"):
        root.store("x", [b""])
    with pytest.raises(StorageError, match="cannot be listed"):
        root.entries("")
    with pytest.raises(UsageError, match=r"multicast\+tftp:///x: expected multicast\+tftp://HOST"):
        open_root("multicast+tftp:///x")


READ = """
import hashlib, json, sys, time
from bpscript.network.roots import open_root
heard = []
root = open_root(f"multicast+tftp://{sys.argv[1]}:6969", lambda event: heard.append(str(event.data["text"])) if "text" in event.data else None)
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps([hashlib.sha256(root.open("image").read()).hexdigest(), heard]), flush=True)
"""
SERVE = """
import sys
from pathlib import Path
from bpscript.network.tftp.server import TftpServer
TftpServer(Path(sys.argv[1]), address=sys.argv[2], port=6969).run()
"""


@pytest.mark.parametrize(
    ("server", "per_mille", "killed"),
    [
        ("ours", 0, False), pytest.param("ours", 10, False, marks=pytest.mark.net), pytest.param("ours", 30, True, marks=pytest.mark.net),
        pytest.param("ours", 0, True, marks=pytest.mark.net), pytest.param("atftpd", 0, False, marks=pytest.mark.net),
    ],
)
def test_a_room_takes_a_file_together(server: str, per_mille: int, killed: bool, tmp_path: Path) -> None:
    need("ip")
    size = 4 * SIZE if killed else SIZE
    (tmp_path / "image").write_bytes(content(size))
    tmp_path.chmod(0o755)
    here = Path(__file__).parents[3]
    with lab(3) as room:
        command = [sys.executable, "-c", SERVE, str(tmp_path), SERVER] if server == "ours" else server_command("atftpd", tmp_path, 6969, SERVER)
        if server == "atftpd":
            subprocess.run(room.inside(room.server, "ip", "route", "add", "239.0.0.0/8", "dev", "br0"), check=True)
        with subprocess.Popen(room.inside(room.server, *command), cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running, ExitStack() as at_end:
            at_end.callback(running.kill)
            machines = [
                subprocess.Popen(room.inside(name, sys.executable, "-c", READ, SERVER), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=here)
                for name in room.clients
            ]
            for each in machines:
                at_end.callback(each.kill)
                assert each.stdout is not None
                assert each.stdout.readline() == "ready\n"
            if per_mille:
                for name in (room.server, *room.clients):
                    room.drop(name, per_mille)
            before = _sent(room.server)
            for each in machines:
                assert each.stdin is not None
                each.stdin.write("\n")
                each.stdin.flush()
                if killed and each is machines[0]:
                    time.sleep(0.1)     # so that it is the master
            if killed:
                time.sleep(0.2)
                machines[0].kill()
            found = [json.loads(each.communicate(timeout=120)[0]) for each in machines[1 if killed else 0 :]]
            machines[0].communicate()
            sent = _sent(room.server) - before
            running.kill()
    for digest, told in found:
        assert digest == hashlib.sha256(content(size)).hexdigest()
        assert not told
    if server == "ours" and not per_mille and not killed:
        assert sent < 1.6 * SIZE


def _sent(namespace: str) -> int:
    command = ["ip", "netns", "exec", namespace, "cat", "/sys/class/net/br0/statistics/tx_bytes"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
