"""Variables and code pages."""

import struct

import pytest

from bpscript.base.errors import FormatError, StorageError
from bpscript.interpreter.codepages import code_page_from_table, known_code_page
from bpscript.interpreter.variables import Special, Variables


def test_names_have_no_case_and_keep_their_first_spelling() -> None:
    variables = Variables()
    variables.set("OneName", "1")
    variables.set("ONENAME", "2")
    assert variables.get("onename") == "2"
    assert list(variables.items()) == [("OneName", "2")]


def test_a_computed_default_is_computed_when_used() -> None:
    variables = Variables()
    variables.register(Special("Twice", lambda: variables.get("x") * 2))
    assert variables.find("twice") == ""
    variables.set("x", "ab")
    assert variables.get("Twice") == "abab"
    variables.set("Twice", "mine")
    assert variables.get("TWICE") == "mine"


def test_a_read_only_variable_is_set_from_outside_only() -> None:
    variables = Variables()
    variables.register(Special("Disks", "10", read_only=True))
    with pytest.raises(StorageError, match='"Disks" is read-only'):
        variables.set("disks", "5")
    variables.define("Disks", "20")
    assert variables.get("Disks") == "20"


def test_no_value_holds_the_code_0() -> None:
    variables = Variables()
    variables.define("x", "a\0b")
    assert variables.get("x") == "a"


def test_switches_are_on_in_any_case() -> None:
    variables = Variables()
    for value, on in (("ON", True), ("on", True), ("1", False), ("", False), ("OFF", False)):
        variables.set("v", value)
        assert variables.is_on("V") is on


def test_those_who_watch_are_told() -> None:
    variables = Variables()
    seen: list[str] = []
    variables.watch("Trace", seen.append)
    variables.set("TRACE", "ON")
    variables.define("trace", "OFF")
    assert seen == ["ON", "OFF"]


@pytest.mark.parametrize(("name", "codec"), [("cp437", "cp437"), ("CP850", "cp850"), ("cp1252", "cp1252")])
def test_known_code_pages(name: str, codec: str) -> None:
    assert known_code_page(name) == codec


@pytest.mark.parametrize("name", ["", "cp", "cp0", "utf-8", "cp037", "rot13", "cp437x", "../cp437"])
def test_what_is_no_code_page_of_a_pc(name: str) -> None:
    assert known_code_page(name) is None


def test_a_table_is_a_code_page() -> None:
    table = list(range(256))
    table[0x80], table[0x81] = 0x20AC, 0
    codec = code_page_from_table(struct.pack("<256H", *table), "x.bin")
    assert b"a\x80".decode(codec) == "a€"
    assert "€".encode(codec) == b"\x80"
    with pytest.raises(UnicodeDecodeError):
        b"\x81".decode(codec)
    assert b"\x81".decode(codec, "surrogateescape").encode(codec, "surrogateescape") == b"\x81"


@pytest.mark.parametrize(("data", "message"), [(b"x" * 511, "511 bytes"), (struct.pack("<256H", *[0xD800] * 256), "surrogate")])
def test_what_is_no_table(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        code_page_from_table(data, "x.bin")
