"""Variables from options (language.md section 7)."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.network.dhcp.message import Message
from bpscript.network.dhcp.options import OPTIONS, TYPES
from bpscript.network.dhcp.variables import show, variables_of, variables_of_options

REFERENCE = Path(__file__).parents[3] / "grammar" / "language.md"


def test_the_table_is_that_of_the_reference() -> None:
    if not REFERENCE.exists():
        pytest.skip("grammar/language.md is not there")
    section = REFERENCE.read_text(encoding="utf-8").partition("## 7. BOOTP and DHCP variables")[2].partition("## 8.")[0]
    rows = re.findall(r"^\| (`.*?`.*?) \| (?:option )?(\d+) \| (\w+)", section, re.MULTILINE)
    wanted = {int(code): (set(re.findall(r"`([^`]+)`", names)), type_name) for names, code, type_name in rows}
    ours = {option.code: (set(option.variables), option.type_name) for option in OPTIONS.values() if option.variables}
    assert len(wanted) == 44
    assert ours == wanted


@pytest.mark.parametrize(
    ("code", "data", "name", "value"),
    [
        (1, b"\xff\xff\xff\0", "BOOTP-Subnet-Mask", "255.255.255.0"),
        (2, b"\xff\xff\xf1\xf0", "BOOTP-Time-Offset", "-3600"),
        (3, b"\x0a\0\0\1\x0a\0\0\2", "BOOTP-Routers", "10.0.0.1 10.0.0.2"),
        (7, b"\x0a\0\0\7", "BOOTP-BOOTP-Log-Servers", "10.0.0.7"),
        (7, b"\x0a\0\0\7", "BOOTP-Log-Servers", "10.0.0.7"),
        (12, b"pc12\0\0", "BOOTP-Host-Name", "pc12"),
        (12, "m\u00fcller".encode(), "BOOTP-Host-Name", "m\u00fcller"),
        (12, b"m\xfcller", "BOOTP-Host-Name", "m\u00fcller"),
        (13, b"\x01\0", "BOOTP-Boot-Size", "256"),
        (19, b"\0", "BOOTP-IP-Forwarding", "OFF"),
        (27, b"\2", "BOOTP-All-Subnets-Are-Local", "ON"),
        (51, b"\xff\xff\xff\xff", "DHCP-IP-Address-Lease-Time", "4294967295"),
        (53, b"\5", "DHCP-Message-Type", "5"),
        (64, b"nis", "BOOTP-NIS+-Domain", "nis"),
    ],
)
def test_named_options(code: int, data: bytes, name: str, value: str) -> None:
    found = variables_of_options(((code, data),))
    assert found[name] == value
    assert found[f"BOOTP-Option-{code}"] == value


@pytest.mark.parametrize(
    ("code", "data", "name", "shown"),
    [
        (1, b"\xff\xff\xff", "BOOTP-Subnet-Mask", "FFFFFF"),
        (3, b"\x0a\0\0\1\x0a", "BOOTP-Routers", "0A0000010A"),
        (3, b"", "BOOTP-Routers", ""),
        (13, b"abc", "BOOTP-Boot-Size", "abc"),
        (19, b"", "BOOTP-IP-Forwarding", ""),
        (51, b"\0\0", "DHCP-IP-Address-Lease-Time", "0000"),
    ],
)
def test_an_option_of_the_wrong_length_has_no_named_variable(code: int, data: bytes, name: str, shown: str) -> None:
    assert variables_of_options(((code, data),)) == {f"BOOTP-Option-{code}": shown}
    assert name in OPTIONS[code].variables


@pytest.mark.parametrize(
    ("data", "shown"),
    [(b"-i deploy", "-i deploy"), (b"text\0\0", "text"), (b"\1\2\xff", "0102FF"), (b"a\0b", "610062"), (b"a\n", "610A"), (b"", ""),
     (b"\0", "00"), ("\u00e9".encode(), "C3A9"), (b"~ !", "~ !"), (b"\x7f", "7F")],
)
def test_options_without_a_name(data: bytes, shown: str) -> None:
    assert variables_of_options(((155, data),)) == {"BOOTP-Option-155": shown}
    assert show(data) == shown


def test_fields_go_before_the_options_that_stand_in_for_them() -> None:
    options = ((54, b"\x0a\0\0\x09"), (66, b"name\0"), (67, b"file"))
    with_fields = variables_of(Message(server_ip=b"\x0a\0\0\1", boot_file=b"boot.P", server_name=b"srv", options=options))
    assert (with_fields["BOOTP-Bootfile"], with_fields["BOOTP-Option-67"]) == ("boot.P", "file")
    assert (with_fields["BOOTP-Server-Name"], with_fields["BOOTP-Option-66"]) == ("srv", "name")
    assert with_fields["BOOTP-Server-IP"] == "10.0.0.1"
    without = variables_of(Message(options=options))
    assert (without["BOOTP-Bootfile"], without["BOOTP-Server-Name"], without["BOOTP-Server-IP"]) == ("file", "name", "10.0.0.9")


def test_what_was_not_sent_is_not_defined() -> None:
    assert variables_of(Message(hardware_address=b"\0\xa0\xc9\x11\x22\x33")) == {
        "BOOTP-Client-ID": "00A0C9112233", "BOOTP-Your-IP": "0.0.0.0", "BOOTP-Server-IP": "0.0.0.0", "BOOTP-Gateway-IP": "0.0.0.0",
    }


@given(st.sampled_from(sorted(TYPES)), st.binary(max_size=40))
def test_what_is_shown_can_be_encoded_again(type_name: str, data: bytes) -> None:
    kind = TYPES[type_name]
    shown = kind.render(data)
    if shown is None or type_name in {"text", "domains", "routes", "hex"}:
        return
    assert kind.render(kind.encode(shown)) == shown


@pytest.mark.parametrize(
    ("type_name", "text", "data"),
    [
        ("routes", "10.0.0.0/8 1.2.3.4 0.0.0.0/0 1.2.3.5", "080a01020304" "0001020305"),
        ("routes", "24,192,168,1,10,0,0,1", "18c0a8010a000001"),
        ("domains", '"lab.example.", "x."', "036c6162076578616d706c6500" "017800"),
        ("hex", "1:2:ff", "0102ff"),
        ("hex", "0a2A", "0a2a"),
        ("u16s", "68, 296", "00440128"),
        ("s32", "4294963696", "fffff1f0"),
    ],
)
def test_notations_of_the_clients(type_name: str, text: str, data: str) -> None:
    assert TYPES[type_name].encode(text).hex() == data


@pytest.mark.parametrize(
    ("type_name", "text"),
    [("ip", "1.2.3"), ("ip", "1.2.3.4 5.6.7.8"), ("ips", "host"), ("u8", "256"), ("u8", "x"), ("u16", "-40000"), ("u8s", "1 300"), ("flag", "maybe"),
     ("hex", "1:xyz"), ("hex", "abc"), ("domains", "a..b"), ("domains", "x" * 64), ("routes", "10.0.0.0/8"), ("routes", "10.0.0.0/99 1.2.3.4")],
)
def test_notations_that_cannot_be_are_refused(type_name: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        TYPES[type_name].encode(text)
