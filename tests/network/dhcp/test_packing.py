"""Replies fit into what the client takes, and say the same as before."""

from hypothesis import given
from hypothesis import strategies as st

from bpscript.network.dhcp.message import Message
from bpscript.network.dhcp.packing import SMALLEST_LIMIT, pack

OPTIONS = st.dictionaries(st.integers(1, 254).filter(lambda code: code not in {52, 53, 82}), st.binary(max_size=400), max_size=12)


def message(options: dict[int, bytes], file: bytes = b"", name: bytes = b"") -> Message:
    return Message(hardware_address=b"\2\0\0\0\0\1", boot_file=file, server_name=name, options=((53, b"\5"), *options.items()))


def test_what_fits_is_not_touched() -> None:
    one = message({1: b"\xff\xff\xff\0"})
    assert pack(one, SMALLEST_LIMIT) == (one.build(), ())


def test_empty_fields_are_used_for_options_and_say_so() -> None:
    one = message({code: bytes(98) for code in range(100, 104)})
    packet, left = pack(one, SMALLEST_LIMIT)
    assert left == ()
    assert len(packet) <= SMALLEST_LIMIT
    assert packet[240:246] == bytes((53, 1, 5, 52, 1, 1))       # file holds options, sname does not
    assert Message.parse(packet).option(103) == bytes(98)


def test_a_boot_file_is_never_overwritten() -> None:
    packet, left = pack(message({code: bytes(98) for code in range(100, 104)}, file=b"boot", name=b"server"), SMALLEST_LIMIT)
    parsed = Message.parse(packet)
    assert (parsed.boot_file, parsed.server_name, left) == (b"boot", b"server", (103,))


def test_a_long_option_runs_across_the_fields() -> None:
    """RFC 3396."""
    packet, left = pack(message({200: bytes(range(200)) * 2}), SMALLEST_LIMIT)
    assert left == ()
    assert Message.parse(packet).option(200) == bytes(range(200)) * 2


@given(OPTIONS, st.integers(300, 1472), st.binary(max_size=128), st.binary(max_size=64), st.none() | st.binary(max_size=300))
def test_every_reply_fits_and_what_is_in_it_is_right(options: dict[int, bytes], limit: int, file: bytes, name: bytes, relay: bytes | None) -> None:
    """Invariant: the packet is no longer than the limit (option 82 apart), and says what the message says, but for the codes left behind."""
    file, name = file.partition(b"\0")[0], name.partition(b"\0")[0]
    one = message(options, file, name)
    packet, left = pack(one, limit, None if relay is None else (82, relay))
    assert len(packet) <= max(limit, 300) + (0 if relay is None else len(relay) + 4)
    parsed = Message.parse(packet)
    found = {code: data for code, data in parsed.options if code != 52}
    assert found.pop(82, None) == relay
    assert found == {code: data for code, data in one.options if code not in left}
    assert (parsed.boot_file, parsed.server_name) == (file, name)
    assert 53 in found
