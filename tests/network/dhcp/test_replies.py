"""`--bootp FILE` in all its forms."""

import json
import os
import struct
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.base.errors import UsageError
from bpscript.network.dhcp.captures import bootp_payload, read_frames
from bpscript.network.dhcp.message import Message
from bpscript.network.dhcp.replies import parse_mac, read_reply
from bpscript.network.dhcp.variables import variables_of

DATA = Path(__file__).parents[2] / "data"
FULL = DATA / "pcaps" / "dhcp-full-options.pcap"
LEASES = DATA / "leases"
MAC = b"\0\xa0\xc9\x11\x22\x33"


def reply(message_type: int | None = 5, mac: bytes = MAC, name: bytes = b"pc12", operation: int = 2) -> Message:
    options = ((53, bytes((message_type,))), (12, name)) if message_type else ((12, name),)
    return Message(operation=operation, hardware_address=mac, your_ip=b"\x0a\0\0\5", server_ip=b"\x0a\0\0\1", options=options)


def ip_packet(message: Message, *, ports: tuple[int, int] = (67, 68), fragment: int = 0, protocol: int = 17) -> bytes:
    payload = message.build()
    udp = struct.pack(">HHHH", *ports, len(payload) + 8, 0) + payload
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, len(udp) + 20, 0, fragment, 64, protocol, 0, b"\x0a\0\0\1", b"\xff" * 4) + udp


def ethernet(message: Message, tags: bytes = b"", *, ports: tuple[int, int] = (67, 68), fragment: int = 0, protocol: int = 17) -> bytes:
    packet = ip_packet(message, ports=ports, fragment=fragment, protocol=protocol)
    return b"\xff" * 6 + b"\2" * 6 + tags + b"\x08\0" + packet


def pcap(*frames: bytes, link_type: int = 1, order: str = "<", magic: int = 0xA1B2C3D4) -> bytes:
    header = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)
    return header + b"".join(struct.pack(f"{order}IIII", 0, 0, len(frame), len(frame)) + frame for frame in frames)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + length + body + length


def pcapng(*frames: bytes, link_type: int = 1, order: str = "<") -> bytes:
    parts = [block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)]
    parts += [block(1, struct.pack(f"{order}HHI", link_type, 0, 0), order)]
    return b"".join([*parts, *(block(6, struct.pack(f"{order}IIIII", 0, 0, 0, len(f), len(f)) + f, order) for f in frames)])


# The same reply in every form


def test_the_captured_reply_of_dnsmasq() -> None:
    found = read_reply(FULL)
    assert found["BOOTP-Client-ID"] == "00A0C9112233"
    assert found["BOOTP-Your-IP"] == "10.42.0.12"
    assert found["BOOTP-Server-IP"] == "10.42.0.211"
    assert found["BOOTP-Routers"] == "10.42.0.211 10.42.0.212"
    assert found["BOOTP-Host-Name"] == "pc12"
    assert found["BOOTP-Option-155"] == "-i deploy"
    assert found["BOOTP-IP-Forwarding"] == "OFF"
    assert found["BOOTP-Interface-MTU"] == "1400"
    assert found["BOOTP-Bootfile"] == "bpbatch.P"


def packets_of(capture: Path) -> list[Message]:
    with capture.open("rb") as file:
        return [Message.parse(payload) for payload in map(bootp_payload, read_frames(file)) if payload is not None]


@pytest.mark.parametrize(
    ("lease", "frame", "missing"),
    [
        # What each client's text cannot tell, beside the compressed domain list (119) that it wrote out.
        ("udhcpc.env", 3, {"BOOTP-Client-ID", "BOOTP-Gateway-IP"}),
        ("dhclient-known-155.leases", 7, {"BOOTP-Client-ID", "BOOTP-Gateway-IP", "BOOTP-Option-155"}),
        ("dhclient.leases", 11, {"BOOTP-Client-ID", "BOOTP-Gateway-IP"}),
    ],
)
def test_what_a_client_wrote_down_gives_the_variables_of_its_packet(lease: str, frame: int, missing: set[str]) -> None:
    packet = packets_of(LEASES / "dnsmasq.pcapng")[frame]
    assert packet.message_type == 5
    wanted = variables_of(packet)
    found = read_reply(LEASES / lease)
    if lease.endswith("env"):       # busybox keeps the field siaddr; dhclient 4.4 does not write next-server
        assert found["BOOTP-Server-IP"] == wanted["BOOTP-Server-IP"]
    assert {name: found.get(name) for name in wanted if name != "BOOTP-Option-119"} == {
        name: None if name in missing else value for name, value in wanted.items() if name != "BOOTP-Option-119"
    }
    assert set(found) <= set(wanted)


def test_the_variables_as_json_give_themselves() -> None:
    wanted = read_reply(FULL)
    assert read_reply(json.dumps(wanted).encode()) == wanted


@pytest.mark.parametrize("form", ["packet", "ip", "ethernet", "pcap", "pcapng"])
def test_a_packet_and_captures_of_it(form: str, tmp_path: Path) -> None:
    data = {
        "packet": reply().build(), "ip": ip_packet(reply()), "ethernet": ethernet(reply()), "pcap": pcap(ethernet(reply())),
        "pcapng": pcapng(ethernet(reply())),
    }[form]
    path = tmp_path / "reply"
    path.write_bytes(data)
    assert read_reply(path) == read_reply(data) == read_reply(str(path)) == variables_of(reply())


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D])
def test_pcap_in_both_byte_orders(order: str, magic: int) -> None:
    assert read_reply(pcap(ethernet(reply()), order=order, magic=magic))["BOOTP-Host-Name"] == "pc12"
    assert read_reply(pcapng(ethernet(reply()), order=order))["BOOTP-Host-Name"] == "pc12"


@pytest.mark.parametrize(
    ("link_type", "frame"),
    [
        (1, ethernet(reply(), b"\x81\0\0\x05")),
        (1, ethernet(reply(), b"\x88\xa8\0\x05\x81\0\0\x06")),
        (101, ip_packet(reply())),
        (228, ip_packet(reply())),
        (12, ip_packet(reply())),
        (0, b"\2\0\0\0" + ip_packet(reply())),
        (113, b"\0\0\0\1\0\6" + MAC + b"\0\0" + b"\x08\0" + ip_packet(reply())),
        (276, b"\x08\0\0\0\0\0\0\2\0\1\0\6" + MAC + b"\0\0" + ip_packet(reply())),
    ],
)
def test_link_types(link_type: int, frame: bytes) -> None:
    assert read_reply(pcap(frame, link_type=link_type)) == variables_of(reply())
    assert read_reply(pcapng(frame, link_type=link_type)) == variables_of(reply())


def test_simple_packets_and_interfaces_of_a_pcapng() -> None:
    frame = ethernet(reply())
    simple = pcapng() + block(3, struct.pack("<I", len(frame)) + frame)
    assert read_reply(simple) == variables_of(reply())
    other = pcapng(frame, link_type=147) + block(1, struct.pack("<HHI", 1, 0, 0))
    assert read_reply(other + block(6, struct.pack("<IIIII", 1, 0, 0, len(frame), len(frame)) + frame)) == variables_of(reply())
    with pytest.raises(UsageError, match="no BOOTP or DHCP reply"):
        read_reply(other + block(6, struct.pack("<IIIII", 2, 0, 0, len(frame), len(frame)) + frame))


# Which reply


def test_the_last_ack_goes_before_offers() -> None:
    frames = [ethernet(reply(t, name=n)) for t, n in [(2, b"offer"), (5, b"first"), (5, b"ack"), (2, b"late"), (6, b"nak"), (None, b"bootp")]]
    assert read_reply(pcap(*frames))["BOOTP-Host-Name"] == "ack"


def test_without_an_ack_the_last_offer_or_bootp_reply_counts() -> None:
    frames = [ethernet(reply(t, name=n)) for t, n in [(2, b"one"), (None, b"bootp"), (6, b"nak")]]
    assert read_reply(pcap(*frames))["BOOTP-Host-Name"] == "bootp"
    assert read_reply(pcap(*frames[::-1]))["BOOTP-Host-Name"] == "one"


def test_the_mac_picks_the_client() -> None:
    other = b"\x52\x54\0\x77\0\1"
    capture = pcap(ethernet(reply(name=b"mine")), ethernet(reply(mac=other, name=b"other")))
    assert read_reply(capture)["BOOTP-Host-Name"] == "other"
    assert read_reply(capture, "00-A0-C9-11-22-33")["BOOTP-Host-Name"] == "mine"
    with pytest.raises(UsageError, match="no reply for client 00:00:00:00:00:01") as caught:
        read_reply(capture, "000000000001")
    assert caught.value.hint == "it has replies for 00:a0:c9:11:22:33, 52:54:00:77:00:01"


def test_the_mac_tells_the_client_where_the_form_does_not() -> None:
    assert read_reply(b"ip=10.0.0.5\n", "00:a0:c9:11:22:33")["BOOTP-Client-ID"] == "00A0C9112233"
    assert read_reply(b'{"Client-ID": "52:54:00:77:00:01"}', "00:a0:c9:11:22:33")["BOOTP-Client-ID"] == "525400770001"


@pytest.mark.parametrize(
    "frame",
    [
        ethernet(reply(operation=1)), ethernet(reply(), ports=(69, 70)), ethernet(reply(), fragment=0x2000), ethernet(reply(), fragment=5),
        ethernet(reply(), protocol=6), ethernet(reply(6)), ethernet(reply())[:40], b"", b"\xff" * 12 + b"\x08\x06" + bytes(40),
        b"\xff" * 12 + b"\x81\0\0\0" * 9 + b"\x08\0" + ip_packet(reply()),
    ],
)
def test_other_frames_are_passed_over(frame: bytes) -> None:
    with pytest.raises(UsageError, match="no BOOTP or DHCP reply in 1 packets"):
        read_reply(pcap(frame))
    assert read_reply(pcap(frame, ethernet(reply()), frame))["BOOTP-Host-Name"] == "pc12"


def test_a_capture_that_breaks_off_counts_as_far_as_it_goes() -> None:
    for whole in (pcap(ethernet(reply(name=b"one")), ethernet(reply(name=b"two"))), pcapng(ethernet(reply(name=b"one")), ethernet(reply(name=b"two")))):
        assert read_reply(whole[:-5])["BOOTP-Host-Name"] == "one"


# Texts


def test_the_environment_of_udhcpc() -> None:
    text = b'export ip="10.0.0.5"\nrouter=\'10.0.0.1 10.0.0.2\'\r\nopt155=2d692064\nhostname=pc12\nHOME=/root\nmask=24\ngiaddr=10.0.0.9\nsname=srv\nboot_file=b.P\nipttl=64\n'
    assert read_reply(text) == {
        "BOOTP-Your-IP": "10.0.0.5", "BOOTP-Routers": "10.0.0.1 10.0.0.2", "BOOTP-Option-3": "10.0.0.1 10.0.0.2", "BOOTP-Option-155": "-i d",
        "BOOTP-Host-Name": "pc12", "BOOTP-Option-12": "pc12", "BOOTP-Gateway-IP": "10.0.0.9", "BOOTP-Server-Name": "srv", "BOOTP-Bootfile": "b.P",
        "BOOTP-Option-23": "@",     # a byte 64, as it would be from the packet
    }


def test_an_environment_on_one_line_or_between_nuls() -> None:
    wanted = read_reply(b"ip=10.0.0.5\nrouter=10.0.0.1 10.0.0.2\nopt155=6869\n")
    assert read_reply(b"ip=10.0.0.5 router=10.0.0.1 10.0.0.2 opt155=6869") == wanted
    assert read_reply(b"ip=10.0.0.5\0router=10.0.0.1 10.0.0.2\0opt155=6869\0") == wanted


def test_the_last_complete_lease_counts() -> None:
    text = b'''
# comment
default-duid "\\000\\001";
lease { fixed-address 10.0.0.1; option host-name "old"; }
lease {
  interface "eth0"; fixed-address 10.0.0.5; next-server 10.0.0.2; filename "b\\"x\\134y"; server-name "srv";
  option unknown-155 "-i \\303\\244"; option unknown-224 5; option unknown-225 1f:0; option routers 10.0.0.1, 10.0.0.2;
  option host-name "a\\000b"; option rfc3442-classless-static-routes 24,192,168,1,10,0,0,1; option site.option-226 "s"; option my-own 5;
  option interface-mtu 1400; option ip-forwarding true; option user-class 1:2;
}
lease { fixed-address 10.0.0.9;
'''
    assert read_reply(text) == {
        "BOOTP-Your-IP": "10.0.0.5", "BOOTP-Server-IP": "10.0.0.2", "BOOTP-Bootfile": 'b"x\\y', "BOOTP-Server-Name": "srv",
        "BOOTP-Option-155": "2D6920C3A4", "BOOTP-Option-224": "05", "BOOTP-Option-225": "1F00", "BOOTP-Routers": "10.0.0.1 10.0.0.2",
        "BOOTP-Option-3": "10.0.0.1 10.0.0.2", "BOOTP-Host-Name": "a", "BOOTP-Option-12": "a", "BOOTP-Option-121": "18C0A8010A000001",
        "BOOTP-Option-226": "s", "BOOTP-Interface-MTU": "1400", "BOOTP-Option-26": "1400", "BOOTP-IP-Forwarding": "ON", "BOOTP-Option-19": "ON",
        "BOOTP-Option-77": "0102",
    }


def test_json_keys_in_all_spellings() -> None:
    found = read_reply(
        json.dumps({
            "Host-Name": "pc12", "BOOTP-Domain-Name": "lab", "3": ["10.0.0.1", "10.0.0.2"], "option-155": "-i", "19": True, "27": 0, "51": 3600,
            "bootp-your-ip": "10.0.0.5", "log-servers": "10.0.0.7", "DHCP-Server-Identifier": "10.0.0.1", "Bootfile": "b.P", "Client-ID": "00:a0:c9:11:22:33",
            "43": None,
        }).encode()
    )
    assert found == {
        "BOOTP-Host-Name": "pc12", "BOOTP-Option-12": "pc12", "BOOTP-Domain-Name": "lab", "BOOTP-Option-15": "lab",
        "BOOTP-Routers": "10.0.0.1 10.0.0.2", "BOOTP-Option-3": "10.0.0.1 10.0.0.2", "BOOTP-Option-155": "-i", "BOOTP-IP-Forwarding": "ON",
        "BOOTP-Option-19": "ON", "BOOTP-All-Subnets-Are-Local": "OFF", "BOOTP-Option-27": "OFF", "DHCP-IP-Address-Lease-Time": "3600",
        "BOOTP-Option-51": "3600", "BOOTP-Your-IP": "10.0.0.5", "BOOTP-BOOTP-Log-Servers": "10.0.0.7", "BOOTP-Log-Servers": "10.0.0.7",
        "BOOTP-Option-7": "10.0.0.7", "DHCP-Server-Identifier": "10.0.0.1", "BOOTP-Option-54": "10.0.0.1", "BOOTP-Server-IP": "10.0.0.1",
        "BOOTP-Bootfile": "b.P", "BOOTP-Option-67": "b.P", "BOOTP-Client-ID": "00A0C9112233",
    }


def test_a_json_key_of_its_own_goes_before_what_another_implies() -> None:
    assert read_reply(b'{"67": "option", "Bootfile": "field"}') == {"BOOTP-Bootfile": "field", "BOOTP-Option-67": "option"}
    assert read_reply(b'{"Bootfile": "field", "67": "option"}') == {"BOOTP-Bootfile": "field", "BOOTP-Option-67": "option"}


# Refusals


@pytest.mark.parametrize(
    ("data", "reason", "hint"),
    [
        (b"", "an empty file, not a reply", "is expected"),
        (b"\n \n", "an empty file", ""),
        (b"set x = 1\n", 'text that begins with "set x = 1", not a reply', ""),
        (b"PATH=/bin\nHOME=/root\n", 'text that begins with "PATH=/bin"', ""),
        (b"[1, 2]", 'text that begins with "[1, 2]"', ""),
        (b"\x1f\x8b\x08", "gzip-compressed data", ""),
        (b"\x00\x01\x02", "neither a text, nor a capture, nor a BOOTP packet: a BOOTP message of 3 bytes is too short", ""),
        (reply(operation=1).build(), "a BOOTP request, not a reply", "the answer of the server"),
        (reply(6).build(), "a DHCP message of type 6, not an ACK (5) or OFFER (2)", ""),
        (pcap(), "no BOOTP or DHCP reply in 0 packets (0 requests, 0 refusals)", ""),
        (pcap(ethernet(reply(operation=1)), ethernet(reply(6))), "in 2 packets (1 requests, 1 refusals)", ""),
        (pcap()[:10], "no BOOTP or DHCP reply in 0 packets", ""),
        (pcap() + struct.pack("<IIII", 0, 0, 1 << 31, 0), "the capture has a packet of 2147483648 bytes", ""),
        (pcapng()[:28] + struct.pack("<II", 6, 1 << 30), "the capture has a block of 1073741824 bytes", ""),
        (pcapng()[:28] + struct.pack("<II", 6, 0), "the capture has a block of 0 bytes", ""),
        (b"{", "not valid JSON", ""),
        (b'{"a": 1} x', "not valid JSON", ""),
        (b"{" + b'"a":{' * 100_000, "JSON", ""),
        (b'{"Host-Nmae": "x"}', '"Host-Nmae" is neither a BOOTP variable nor the number of an option', "did you mean BOOTP-Host-Name?"),
        (b'{"255": "x"}', '"255" is neither', ""),
        (b'{"012": "x"}', '"012" is neither', ""),
        (b'{"12": {"a": 1}}', 'the value of "12" is an object; expected', ""),
        (b'{"12": 1.5}', 'the value of "12" is a fraction', ""),
        (b'{"12": [["a"]]}', 'the value of "12" is a list of lists', ""),
        (b'{"12": ["a", null]}', 'the value of "12" is null', ""),
        (b'{"12": "a\\u0000b"}', 'the value of "12" holds the character code 0', ""),
        (b'{"Client-ID": "pc"}', '"pc" is no hardware address', ""),
        (b"ip=10.0.0\n", 'the value of "ip" is wrong', ""),
        (b"ip=10.0.0.1\nopt155=xyz\n", 'the value of "opt155" is wrong', ""),
        (b"ip=10.0.0.1\nmtu=many\n", 'the value of "mtu" is wrong: "many" is no number of 16 bits', ""),
        (b"lease { fixed-address", "the leases file has no complete lease", ""),
        (b'lease { filename "x', "cannot be read from line 1 on: a string without end", ""),
        (b"lease { option routers host; }", 'the lease has a wrong value for "option routers": "host" is no list of IPv4 addresses', ""),
    ],
)
def test_what_is_no_reply_is_refused(data: bytes, reason: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_reply(data)
    assert reason in caught.value.message
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("data", [pcap(ethernet(reply())), b"ip=10.0.0.5\nhostname=pc12\n"])
def test_a_pipe_is_a_file_too(tmp_path: Path, data: bytes) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    assert read_reply(tmp_path / "pipe")["BOOTP-Host-Name"] == "pc12"
    writer.join()


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing: No such file"):
        read_reply(tmp_path / "nothing")
    with pytest.raises(UsageError, match="Is a directory"):
        read_reply(tmp_path)
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(5 << 20)
    with pytest.raises(UsageError, match="big: too large for a reply"):
        read_reply(big)


@pytest.mark.parametrize("text", ["", "00", "00:a0:c9:11:22:3", "00:a0-c9:11:22:33", "xx:a0:c9:11:22:33", "0" * 34])
def test_what_is_no_hardware_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no hardware address"):
        parse_mac(text)


@pytest.mark.parametrize("text", ["00:a0:c9:11:22:33", "00-A0-C9-11-22-33", "00a0c9112233", "00a0.c911.2233", "00.a0.c9.11.22.33"])
def test_notations_of_a_hardware_address(text: str) -> None:
    assert parse_mac(text) == MAC


WHOLE = [pcap(ethernet(reply())), pcapng(ethernet(reply())), reply().build(), ethernet(reply()), (LEASES / "udhcpc.env").read_bytes(),
         (LEASES / "dhclient.leases").read_bytes(), b'{"Host-Name": "pc12", "3": ["10.0.0.1"]}']


@given(st.sampled_from(WHOLE), st.data())
@settings(max_examples=400, deadline=None)
def test_damaged_replies_are_read_or_refused(whole: bytes, data: st.DataObject) -> None:
    """Any bytes give variables or a UsageError; nothing else, and never a loop. No value holds the code 0."""
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    try:
        found = read_reply(bytes(damaged[:cut] if data.draw(st.booleans()) else damaged))
    except UsageError:
        return
    assert all("\0" not in value and name.startswith(("BOOTP-", "DHCP-")) for name, value in found.items())


@pytest.mark.parametrize("filler", [b"\n", b" ", b"lease ", b"ip=1 ", b"\\", b'"', b"{", b"a="])
def test_long_nonsense_is_refused_at_once(filler: bytes) -> None:
    """No notation takes more than linear time."""
    for start in (b"ip=10.0.0.1 x", b"lease { ", b"{", b""):
        try:
            read_reply(start + filler * ((1 << 20) // len(filler)) + b"x")
        except UsageError:
            continue


def test_all_captures_have_a_reply() -> None:
    names = [read_reply(path)["BOOTP-Client-ID"] for path in sorted((DATA / "pcaps").glob("*.pcap"))]
    assert names == ["525400770001", "525400770001", "00A0C9112233", "525400770001"]
