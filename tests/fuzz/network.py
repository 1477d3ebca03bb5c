"""Packets, requests and answers: what anybody on the network can send to a server of ours, or say in a server's name."""

import http.client
import io
import json
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import md5, shake_256
from itertools import count
from random import Random

from Crypto.PublicKey import ECC

from bpscript.base.errors import BpscriptError
from bpscript.base.events import Kind
from bpscript.crypto.signatures import PrivateKey
from bpscript.network.carousel.packets import BLOCK, HEAD, MAGIC
from bpscript.network.carousel.receiver import Receiver as CarouselReceiver
from bpscript.network.carousel.talk import Invitation, Word
from bpscript.network.dhcp.captures import bootp_payload, read_frames
from bpscript.network.dhcp.client import Client
from bpscript.network.dhcp.message import Message
from bpscript.network.dhcp.plan import Plan
from bpscript.network.dhcp.proxy import ProxyServer
from bpscript.network.dhcp.replies import read_reply
from bpscript.network.dhcp.variables import variables_of
from bpscript.network.gateway.core import Ask, Gateway, Outcome
from bpscript.network.gateway.login import Login
from bpscript.network.gateway.protocol import (
    HELLO_SIZE,
    SIGNATURE_SIZE,
    Check,
    Hello,
    Question,
    exchange_key,
    public_bytes,
    to_sign,
)
from bpscript.network.gateway.radius import Query, Server
from bpscript.network.http.client import Client as HttpClient
from bpscript.network.http.conditions import FileState, wanted
from bpscript.network.http.message import RefusedError as HttpRefused
from bpscript.network.http.message import RequestReader
from bpscript.network.http.remote import RemoteFile
from bpscript.network.http.urls import Url
from bpscript.network.tftp.actions import Deliver, SendBlocks
from bpscript.network.tftp.fetching import Fetch
from bpscript.network.tftp.packets import (
    ack_packet,
    data_packet,
    error_packet,
    oack_packet,
    parse_error,
    parse_oack,
    parse_request,
)
from bpscript.network.tftp.sender import Sender
from bpscript.network.tftp.timing import Timing
from bpscript.server.fleet import Fleet
from bpscript.server.next_boot import NextBoots, script_for
from tests.fuzz.target import DATA, MOST, Target
from tests.network.dhcp.simulation import ARRIVAL, START, server


def split(packets: bytes) -> Iterator[bytes]:
    """Packets one after the other, each with its length before it in two bytes."""
    position = 0
    for _ in range(MOST):
        if position + 2 > len(packets):
            return
        length = int.from_bytes(packets[position : position + 2], "big")
        yield packets[position + 2 : position + 2 + length]
        position += 2 + length


def joined(packets: Iterable[bytes]) -> bytes:
    """The same, made."""
    return b"".join(len(each).to_bytes(2, "big") + each for each in packets)


def randomness() -> Callable[[int], bytes]:
    """Bytes that are the same in every process, and new with every call."""
    numbers = count()
    return lambda length: shake_256(next(numbers).to_bytes(4, "big")).digest(length)


# --- addresses -------------------------------------------------------------------------------------------------------


def _dhcp(packet: bytes) -> None:
    message = Message.parse(packet)
    variables_of(message)
    message.build()


def _dhcp_server(packets: bytes) -> None:
    core = server()
    for number, packet in enumerate(split(packets)):
        core.receive(packet, ARRIVAL, START + number)


def _dhcp_client(packets: bytes) -> None:
    client = Client(b"\x02\0\0\0\0\1", Random(1))
    client.start(0.0)
    for number, packet in enumerate(split(packets)):
        client.receive(packet, float(number))


def _dhcp_proxy(packets: bytes) -> None:
    """On both of its ports."""
    proxy = ProxyServer()
    for number, packet in enumerate(split(packets)):
        proxy.receive(packet, ARRIVAL, START + number)
        proxy.receive_boot_request(packet, ARRIVAL, START + number)


def _dhcp_packets() -> list[bytes]:
    found = []
    for path in sorted((DATA / "pcaps").glob("*.pcap")):
        with path.open("rb") as file:
            found += [payload for frame in read_frames(file) if (payload := bootp_payload(frame)) is not None]
    return found


def _dhcp_talks() -> list[bytes]:
    packets = _dhcp_packets()
    return [joined(packets[start : start + 4]) for start in range(0, len(packets), 4)]


def _replies() -> list[bytes]:
    return [path.read_bytes() for folder in ("pcaps", "leases") for path in sorted((DATA / folder).iterdir()) if path.suffix != ".md"] + [
        json.dumps({"Host-Name": "pc7", "3": ["10.0.0.1", "10.0.0.2"], "BOOTP-Option-155": "x"}).encode()
    ]


# --- files -----------------------------------------------------------------------------------------------------------


def _tftp(packet: bytes) -> None:
    for parse in (parse_request, parse_oack, parse_error):
        try:
            parse(packet)
        except BpscriptError:
            continue


_OPTIONS = {"blksize": "1428", "windowsize": "4", "tsize": "0"}
_OACK = oack_packet({"blksize": "1428", "windowsize": "4", "tsize": "5000"})


def _tftp_fetch(packets: bytes) -> None:
    """What a server answers to a client that fetches a file."""
    fetch, now = Fetch("linux.imz", "octet", _OPTIONS), 0.0
    fetch.start(now)
    for packet in split(packets):
        for action in (*fetch.receive(packet, now), *fetch.expire(now)):
            assert not isinstance(action, Deliver) or len(action.payload) <= 1428
        now += 0.4


def _tftp_sender(packets: bytes) -> None:
    """What a client says while a server sends it a file of nine blocks."""
    sender, now = Sender(window=4, timing=Timing(), last_block=9, opening=_OACK), 0.0
    sender.start(now)
    for packet in split(packets):
        for action in (*sender.receive(packet, now), *sender.expire(now)):
            assert not isinstance(action, SendBlocks) or 1 <= action.first <= action.first + action.count - 1 <= 9
        now += 0.4


def _http(data: bytes) -> None:
    """As it comes in two pieces, and once the conditions and ranges of a file have been looked at."""
    reader = RequestReader()
    for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
        reader.feed(piece)
        while (request := reader.take()) is not None:
            wanted(request.method, request.fields, FileState(1_000, 1_700_000_000_000_000_000, 5), 1_800_000_000.0)


class _Socket:
    """A connection whose other side says always the same, whatever it is asked."""

    def __init__(self, says: bytes) -> None:
        self._says = says

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._says)

    def sendall(self, data: bytes) -> None:
        """It does not listen."""

    def close(self) -> None:
        """There is nothing to close."""


class _Answered(HttpClient):
    """A client to whom a server says these bytes; they are its answers to the first request, the second ..., with three NULs between."""

    def __init__(self, answers: bytes) -> None:
        super().__init__()
        self._answers = answers.split(b"\0\0\0")
        self._number = 0

    def _connect(self, url: Url) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(url.host, url.port)
        connection.sock = _Socket(self._answers[min(self._number, len(self._answers) - 1)])
        self._number += 1
        return connection


def _http_answer(data: bytes) -> None:
    """A server's answers to a client that reads a file."""
    file = RemoteFile(_Answered(data), Url("http", "server", 80, "/linux.imz"), pause=lambda seconds: None)
    for _ in range(MOST):
        if not file.read(1000):
            break
    if file.size and file.reads_anywhere:
        file.read_at(file.size // 2, min(50, file.size - file.size // 2))


_ANSWERS = (
    b"HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\nContent-Range: bytes 0-9/20\r\nETag: \"x\"\r\nConnection: close\r\n\r\n0123456789"
    b"\0\0\0HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\nContent-Range: bytes 10-19/20\r\nETag: \"x\"\r\nConnection: close\r\n\r\n0123456789"
    b"\0\0\0HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\nContent-Range: bytes 10-19/20\r\nETag: \"x\"\r\nConnection: close\r\n\r\n0123456789",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n3;a=b\r\n567\r\n0\r\nTrailer: x\r\n\r\n",
    b"HTTP/1.1 301 Moved\r\nLocation: //other/way%20there?x\r\nContent-Length: 0\r\n\r\n\0\0\0HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfour",
    b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */0\r\nContent-Length: 0\r\n\r\n",
)


# --- the carousel ----------------------------------------------------------------------------------------------------

_SESSION, _CAROUSEL_SIZE = b"session!", 9 * BLOCK + 100


def _carousel(data: bytes) -> None:
    for parse in (Word.parse, Invitation.parse):
        try:
            parse(data)
        except (BpscriptError, ValueError):     # ValueError is what a Word promises
            continue


def _carousels() -> list[bytes]:
    invitation = Invitation("0" * 16, "239.255.69.70", 1759, "10.0.0.1", 1 << 20, '"e"', 1400, 1_000_000, 5.0)
    return [Word("/linux.imz", "01234567").build(), invitation.build()]


def _carousel_packets(packets: bytes) -> None:
    """What is written lies in the file, and nothing is missing that came."""
    receiver, now = CarouselReceiver(_SESSION, _CAROUSEL_SIZE, BLOCK, 0.0), 0.0
    for packet in split(packets):
        for offset, pieces in receiver.take(memoryview(packet), len(packet) or 1, now):
            assert 0 <= offset <= offset + sum(map(len, pieces)) <= _CAROUSEL_SIZE
        receiver.next(now)
        now += 0.3
    assert receiver.received + sum(end - start for start, end in receiver.holes()) == _CAROUSEL_SIZE


def _carousel_talks() -> list[bytes]:
    blocks = [HEAD.pack(MAGIC, _SESSION, at) + bytes(min(BLOCK, _CAROUSEL_SIZE - at)) for at in range(0, _CAROUSEL_SIZE, BLOCK)]
    return [joined(blocks), joined(blocks[::3]), joined([blocks[9], blocks[0], blocks[0]])]


# --- passwords -------------------------------------------------------------------------------------------------------

GATEWAY_KEY = PrivateKey(ECC.construct(curve="Ed25519", seed=bytes(range(32))))
_QUESTION, _SEED = Question("joe", "Unix", "justdoit"), bytes(range(1, 33))


def _gateway(data: bytes) -> None:
    """Names of files that clients read, one in a line; a user base is only asked what was asked by somebody who has the keys."""
    core = Gateway(GATEWAY_KEY, randomness())
    for number, line in enumerate(data.split(b"\n")[:MOST]):
        core.read(line.decode("latin-1"), "10.0.0.5", 1000.0 + number)
        for action in core.take():
            if isinstance(action, Ask):
                assert action.question == _QUESTION
                core.answer(action.number, Outcome.PASSED, "", 1000.0 + number)
    for parse in (Hello.parse, Check.parse, Question.parse):
        try:
            parse(data)
        except BpscriptError:
            continue


def _gateway_talks() -> list[bytes]:
    core, login = Gateway(GATEWAY_KEY, randomness()), Login(_QUESTION, _SEED)
    greeting = core.read(login.greet(), "10.0.0.5", 1000.0)
    assert greeting is not None
    check = login.ask(greeting)
    return ["\n".join((login.greet(), check, check)).encode(), greeting, _QUESTION.build()]


def _gateway_client(data: bytes) -> None:
    """A greeting, signed anew so that what is behind the signature is reached, and an answer."""
    start, answer = data[: HELLO_SIZE - SIGNATURE_SIZE], data[HELLO_SIZE:]
    head = start[:4] + GATEWAY_KEY.public + start[36:]
    hello = head + bytes(SIGNATURE_SIZE)
    if len(hello) == HELLO_SIZE and hello[:4] == b"BPG1":
        hello = head + GATEWAY_KEY.sign(to_sign(public_bytes(exchange_key(_SEED)), Hello.parse(hello)))
    login = Login(_QUESTION, _SEED)
    login.ask(hello)
    login.hear(answer)


def _gateway_answers() -> list[bytes]:
    core, login = Gateway(GATEWAY_KEY, randomness()), Login(_QUESTION, _SEED)
    greeting = core.read(login.greet(), "10.0.0.5", 1000.0)
    assert greeting is not None
    answer = core.read(login.ask(greeting), "10.0.0.5", 1001.0)
    assert answer is not None
    return [greeting + answer]


_RADIUS = Server("radius", b"secret")


def _radius(packet: bytes) -> None:
    """With identifier and authenticator put right, so that what is behind them is reached."""
    query = Query(_RADIUS, "joe", "justdoit", randomness())
    head = packet[:1] + query.packet[1:2] + packet[2:4]
    body = packet[20 : int.from_bytes(packet[2:4], "big")]
    query.receive(head + md5(head + query.packet[4:20] + body + _RADIUS.secret).digest() + packet[20:])


def _radius_answers() -> list[bytes]:
    attributes = b"\x50\x12" + bytes(16) + b"\x12\x06hey!"
    return [struct.pack(">BBH16s", code, 0, 20 + len(attributes), bytes(16)) + attributes for code in (2, 3, 11)]


# --- what runs tell --------------------------------------------------------------------------------------------------

_MAC = b"\x02\0\0\0\0\1"


def _report(data: bytes) -> None:
    """The body of /api/report; what iPXE is given has no line that we did not write."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):        # as the page does, which answers 400
        return
    if not isinstance(content, dict):
        return
    fleet, boots = Fleet(lambda: 1000.0), NextBoots(clock=lambda: 1000.0)
    fleet.report("10.0.0.5", content)
    json.dumps(fleet.machines(), allow_nan=False)
    events = content.get("events")
    for event in events if isinstance(events, list) else []:
        if isinstance(event, Mapping) and event.get("kind") == Kind.BOOT and (found := boots.record(_MAC, event, Plan())) is not None:
            assert len(script_for(found).splitlines()) <= 7
    boots.close()


_REPORT = json.dumps({
    "run": "7-1.0", "script": "deploy.bpb", "state": "running", "mac": "02:00:00:00:00:01", "host": "pc7", "events": [
        {"kind": "command-started", "name": "FullUnzip", "file": "deploy.bpb", "line": 7},
        {"kind": "progress", "task": "restore", "done": 5, "total": 10, "time": 1.0, "rate": 123.4},
        {"kind": "error", "text": "it is full", "file": "deploy.bpb", "line": 7},
        {"kind": "boot", "text": "boots disk 0", "boots": "disk", "disk": 0}, {"kind": "boot", "boots": "floppy", "file": "boot images/a.img"},
    ],
}).encode()  # fmt: skip


NETWORK = (
    Target("dhcp", _dhcp, _dhcp_packets),
    Target("dhcp-server", _dhcp_server, _dhcp_talks),
    Target("dhcp-client", _dhcp_client, _dhcp_talks),
    Target("dhcp-proxy", _dhcp_proxy, _dhcp_talks),
    Target("bootp-reply", read_reply, _replies),
    Target("tftp", _tftp, lambda: [b"\0\1linux.imz\0octet\0blksize\x001428\0windowsize\x0016\0tsize\x000\0", b"\0\6blksize\x001428\0", b"\0\5\0\1no such file\0"]),
    Target("tftp-fetch", _tftp_fetch, lambda: [joined([_OACK, *(data_packet(number, bytes(1428 if number < 4 else 9)) for number in range(1, 5))]), joined([data_packet(1, bytes(5))])]),
    Target("tftp-sender", _tftp_sender, lambda: [joined(ack_packet(number) for number in (0, 4, 4, 6, 9)), joined([error_packet(3, "disk full")])]),
    Target("http", _http, lambda: [b"GET /a%20b?x=1 HTTP/1.1\r\nHost: h\r\nRange: bytes=0-5,10-\r\nIf-Range: \"x\"\r\n\r\n", b"POST /r HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"], (HttpRefused,)),
    Target("http-answer", _http_answer, lambda: _ANSWERS),
    Target("carousel", _carousel, _carousels),
    Target("carousel-packets", _carousel_packets, _carousel_talks),
    Target("gateway", _gateway, _gateway_talks),
    Target("gateway-client", _gateway_client, _gateway_answers),
    Target("radius", _radius, _radius_answers),
    Target("report", _report, lambda: [_REPORT]),
)  # fmt: skip
