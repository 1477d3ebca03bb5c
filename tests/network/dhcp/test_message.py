"""BOOTP messages: parsing, building, and tshark's opinion."""

import json
import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.base.errors import FormatError
from bpscript.network.dhcp.captures import bootp_payload, read_frames
from bpscript.network.dhcp.message import Message
from bpscript.network.dhcp.variables import variables_of
from tests.oracles import run_tool

DATA = Path(__file__).parents[2] / "data"
CAPTURES = sorted([*DATA.glob("pcaps/*.pcap"), *DATA.glob("leases/*.pcapng")])

codes = st.integers(1, 254).filter(lambda code: code != 52)
messages = st.builds(
    Message,
    operation=st.sampled_from([1, 2]),
    hardware_type=st.integers(0, 255),
    transaction_id=st.integers(0, 2**32 - 1),
    seconds=st.integers(0, 65535),
    flags=st.integers(0, 65535),
    your_ip=st.binary(min_size=4, max_size=4),
    server_ip=st.binary(min_size=4, max_size=4),
    hardware_address=st.binary(max_size=16),
    server_name=st.binary(max_size=64).map(lambda text: text.partition(b"\0")[0]),
    boot_file=st.binary(max_size=128).map(lambda text: text.partition(b"\0")[0]),
    options=st.dictionaries(codes, st.binary(max_size=600), max_size=12).map(lambda options: tuple(options.items())),
)


def packet_with(options: bytes, *, file: bytes = b"", sname: bytes = b"", cookie: bytes = b"\x63\x82\x53\x63") -> bytes:
    fields = struct.pack(">BBBBIHH4s4s4s4s16s64s128s", 2, 1, 6, 0, 7, 0, 0, b"", b"", b"", b"", b"\0\xa0\xc9\x11\x22\x33", sname, file)
    return fields + cookie + options


@given(messages)
def test_what_was_built_is_parsed(message: Message) -> None:
    packet = message.build()
    assert Message.parse(packet) == message
    assert len(packet) >= 300


@given(st.binary(max_size=400) | st.binary(max_size=80).map(packet_with))
@settings(max_examples=300)
def test_any_bytes_are_a_message_or_a_format_error(packet: bytes) -> None:
    try:
        message = Message.parse(packet)
    except FormatError:
        return
    assert all("\0" not in value for value in variables_of(message).values())


@given(messages, st.data())
def test_a_damaged_packet_is_a_message_or_a_format_error(message: Message, data: st.DataObject) -> None:
    packet = bytearray(message.build())
    for _ in range(5):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FormatError):
        variables_of(Message.parse(bytes(packet)))


@pytest.mark.parametrize(("overload", "file", "sname"), [(1, b"", b"srv"), (2, b"boot", b""), (3, b"", b""), (0, b"boot", b"srv"), (9, b"boot", b"srv")])
def test_which_fields_option_52_takes(overload: int, file: bytes, sname: bytes) -> None:
    taken_file = b"\x11\x01r\xff" if overload in {1, 3} else b"boot"
    taken_sname = b"\x0c\x01h\xff" if overload in {2, 3} else b"srv"
    message = Message.parse(packet_with(bytes((52, 1, overload, 255)), file=taken_file, sname=taken_sname))
    assert (message.boot_file, message.server_name) == (file, sname)
    assert (message.option(17), message.option(12)) == (b"r" if not file else None, b"h" if not sname else None)


def test_parts_of_an_option_are_put_together_across_fields() -> None:
    message = Message.parse(packet_with(b"\x34\x01\x03\x11\x02/n\x0c\x01a\x11\x02fs\xff", file=b"\x11\x03/cl\xff", sname=b"\x11\x02/1\xff"))
    assert message.options == ((52, b"\3"), (17, b"/nfs/cl/1"), (12, b"a"))


def test_without_the_cookie_there_are_no_options() -> None:
    assert Message.parse(packet_with(b"\x0c\x01a\xff", cookie=b"\0\0\0\0")).options == ()


def test_a_missing_end_option_is_forgiven() -> None:
    assert Message.parse(packet_with(b"\x0c\x01a")).options == ((12, b"a"),)


def test_what_stands_behind_the_end_option_is_ignored() -> None:
    assert Message.parse(packet_with(b"\x0c\x01a\xff\x0f\x01b")).options == ((12, b"a"),)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (bytes(100), "of 100 bytes is too short, expected at least 236"),
        (bytes(300), "begins with 1 or 2, found 0"),
        (b"\x02\x01\x11" + bytes(300), "has room for 16 bytes of hardware address, this one claims 17"),
        (packet_with(b"\x0c"), "option 12 in the options field has no length"),
        (packet_with(b"\x0c\x05abc"), "option 12 in the options field has 5 bytes, but only 3 are left"),
        (packet_with(b"\x34\x01\x01\xff", file=b"\x0c\xff"), "option 12 in the file field has 255 bytes, but only 126"),
        (packet_with(b"\x34\x01\x02\xff", sname=b"\x0c\xff"), "option 12 in the sname field has 255 bytes, but only 62"),
    ],
)
def test_broken_messages_are_refused(packet: bytes, reason: str) -> None:
    with pytest.raises(FormatError) as caught:
        Message.parse(packet)
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Message(boot_file=b"x" * 129), "129 bytes do not fit into the file field of 128 bytes"),
        (Message(server_name=b"x" * 65), "65 bytes do not fit into the sname field"),
        (Message(hardware_address=b"x" * 17), "17 bytes do not fit into the chaddr field"),
        (Message(options=((255, b""),)), "255 is no number of an option"),
    ],
)
def test_messages_that_cannot_be_are_not_built(message: Message, reason: str) -> None:
    with pytest.raises(FormatError) as caught:
        message.build()
    assert reason in caught.value.message


# tshark as judge

Pairs = list[tuple[str, object]]


def tshark_messages(capture: Path) -> list[Pairs]:
    """Every BOOTP message of a capture as tshark sees it: fields and options in order."""
    result = run_tool(["tshark", "-r", capture, "-Y", "dhcp", "-T", "json", "-J", "dhcp"])
    packets = json.loads(result.stdout, object_pairs_hook=lambda pairs: pairs)
    return [dict(dict(dict(packet)["_source"])["layers"])["dhcp"] for packet in packets]


def tshark_options(message: Pairs) -> list[tuple[int, bytes]]:
    found: dict[int, bytes] = {}
    code = 0
    for key, value in message:
        if key == "dhcp.option.type":
            code = int(str(value))
        elif key == "dhcp.option.type_tree" and code not in {0, 255}:
            digits = dict(value).get("dhcp.option.value", "")  # type: ignore[call-overload]
            found[code] = found.get(code, b"") + bytes.fromhex(str(digits).replace(":", ""))
    return list(found.items())


def our_messages(capture: Path) -> list[Message]:
    with capture.open("rb") as file:
        return [Message.parse(payload) for payload in map(bootp_payload, read_frames(file)) if payload is not None]


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.name)
def test_tshark_sees_the_same_messages(capture: Path) -> None:
    ours = our_messages(capture)
    theirs = tshark_messages(capture)
    assert len(ours) == len(theirs) > 0
    for mine, message in zip(ours, theirs, strict=True):
        fields = dict(message)
        assert list(mine.options) == tshark_options(message)
        assert mine.transaction_id == int(str(fields["dhcp.id"]), 16)
        assert mine.hardware_address.hex(":") == fields["dhcp.hw.mac_addr"]
        assert ".".join(map(str, mine.your_ip)) == fields["dhcp.ip.your"]
        assert ".".join(map(str, mine.server_ip)) == fields["dhcp.ip.server"]
        assert mine.boot_file.decode() == fields["dhcp.file"]
        assert mine.server_name.decode() == fields["dhcp.server"]


def test_tshark_reads_what_we_build(tmp_path: Path) -> None:
    """Each option in a message of its own, because tshark stops at values it does not like."""
    messages = [
        Message(
            transaction_id=code, hardware_address=b"\0\xa0\xc9\x11\x22\x33", your_ip=b"\x0a\0\0\x05", boot_file=b"boot.P",
            server_name=b"srv", options=((53, b"\5"), (code, bytes(range(code % 9 + 1)))),
        )
        for code in range(1, 255) if code not in {52, 53}
    ]
    capture = tmp_path / "ours.pcap"
    with capture.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for message in messages:
            payload = message.build()
            udp = struct.pack(">HHHH", 67, 68, len(payload) + 8, 0) + payload
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, len(udp) + 20, 0, 0, 64, 17, 0, b"\x0a\0\0\x01", b"\xff" * 4) + udp
            frame = b"\xff" * 6 + b"\2" * 6 + b"\x08\0" + ip
            file.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)
    assert our_messages(capture) == messages
    for message, theirs in zip(messages, tshark_messages(capture), strict=True):
        assert dict(tshark_options(theirs)) == dict(message.options)
