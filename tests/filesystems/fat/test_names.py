"""Names on FAT: which are refused, how they compare, what their short names are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyfatfs.EightDotThree import EightDotThree

from bpscript.base.errors import StorageError
from bpscript.filesystems.fat import names

SHORT_CHARACTERS = "ABCXYZ0189!#$%&'()-@^_`{}~"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "is no name"),
        (".", "is no name"),
        ("..", "is no name"),
        *((f"a{character}b", f"{character} is not allowed") for character in '"*/:<>?\\|'),
        ("a\tb", "control character 09 hex"),
        ("name.", "ends with a dot"),
        ("name ", "ends with a space"),
        ("über.", "ends with a dot"),
        ("x" * 256, "it has 256 characters, at most 255"),
        ("\U0001f600" * 128, "it has 256 characters, at most 255"),
        ("broken \udc80", "not valid Unicode"),
    ],
)
def test_a_name_fat_cannot_hold_is_refused_with_its_reason(name: str, reason: str) -> None:
    with pytest.raises(StorageError) as caught:
        names.check_name(name)
    assert reason in caught.value.message
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("name", ["a", "x" * 255, " leading", ".profile", "a..b", "\U0001f600" * 127, "a+b,c;d=e[f]", "häß"])
def test_every_other_name_is_allowed(name: str) -> None:
    names.check_name(name)


@pytest.mark.parametrize(
    ("name", "short", "flags"),
    [
        ("README.TXT", b"README  TXT", 0),
        ("readme.txt", b"README  TXT", 0x18),
        ("readme.TXT", b"README  TXT", 0x08),
        ("README.txt", b"README  TXT", 0x10),
        ("a", b"A          ", 0x08),
        ("A~1", b"A~1        ", 0),
        ("123", b"123        ", 0),
    ],
)
def test_a_short_name_needs_no_long_one(name: str, short: bytes, flags: int) -> None:
    assert names.plain_short(name) == (short, flags)
    assert names.decode_short(short, flags, "cp850") == name


@pytest.mark.parametrize("name", ["ReadMe.txt", "a b", "toolongname", "a.text", "a.b.c", ".a", "a.", "ä", "a+b", ""])
def test_other_names_need_a_long_one(name: str) -> None:
    assert names.plain_short(name) is None


def test_short_names_follow_the_basis_name_rules() -> None:
    taken: dict[bytes, str] = {}

    def made(name: str) -> bytes:
        short = maker.make(name, taken)
        taken[short] = name
        return short

    maker = names.ShortNames("cp850")
    assert made("ReadMe.txt") == b"README  TXT"
    assert made("Read Me.txt") == b"README~1TXT"
    assert made("README.text") == b"README~1TEX"
    assert made("TextFile1.Mine.txt") == b"TEXTFI~1TXT"
    assert made("ver +1.2.text") == b"VER_12~1TEX"
    assert made(".bashrc.swp") == b"BASHRC~1SWP"
    assert made(".profile") == b"PROFIL~1   "
    assert made("über.txt") == b"\x9aBER    TXT"
    assert made("Ω.txt") == b"_~1     TXT"
    assert made("ΩΩ.txt") == b"__~1    TXT"
    assert made("   ") == b"_~1        "


def test_counters_go_on_where_digits_run_out() -> None:
    maker = names.ShortNames("cp850")
    taken: dict[bytes, str] = {}
    for number in range(1100):
        short = maker.make(f"similar name {number}", taken)
        assert short not in taken
        taken[short] = ""
    assert {b"SIMILA~1   ", b"SIMILA~9   ", b"SIMIL~10   ", b"SIMI~100   ", b"SIM~1000   "} <= taken.keys()


def test_a_taken_number_is_passed_over() -> None:
    assert names.ShortNames("cp850").make("similar name", {b"SIMILA~1   ": "", b"SIMILA~2   ": ""}) == b"SIMILA~3   "


def test_two_byte_characters_are_not_cut_in_half() -> None:
    short = names.ShortNames("cp932").make("日本語の名前.txt", {})
    assert short[:8].decode("cp932").startswith("日本語")
    assert short[8:] == b"TXT"


def test_e5_is_stored_as_05() -> None:
    assert names.encode_short("Õ.TXT", "cp850") == b"\x05       TXT"
    assert names.decode_short(b"\x05       TXT", 0, "cp850") == "Õ.TXT"


@pytest.mark.parametrize(
    ("raw", "text"), [(b"A/B     TXT", "A_B.TXT"), (b"..         ", "__"), (b"           ", "_"), (b"A\0B        ", "A_B")]
)
def test_a_short_name_that_would_break_a_path_is_made_harmless(raw: bytes, text: str) -> None:
    assert names.decode_short(raw, 0, "cp850") == text


def test_case_does_not_count_and_nothing_becomes_ascii() -> None:
    assert names.fold("Straße Ärger.TXT") == names.fold("sTRAßE ärGER.txt")
    assert names.fold("ß") != names.fold("SS")
    assert names.fold("ı") != names.fold("I")
    assert len(names.fold("ŉ")) == 1


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters='\0"*/:<>?\\|'), min_size=1, max_size=255))
def test_long_names_round_trip(name: str) -> None:
    units = len(name.encode("utf-16-le")) // 2
    if units > 255 or any(character < " " for character in name) or name in {".", ".."}:
        return
    slots = names.long_slots(name, b"SHORT~1    ")
    parts = [slots[at : at + 32] for at in range(0, len(slots), 32)]
    assert len(parts) == -(-units // 13)
    assert parts[0][0] & 0x40
    assert all(part[13] == names.checksum(b"SHORT~1    ") for part in parts)
    assert names.decode_long(b"".join(part[1:11] + part[14:26] + part[28:32] for part in reversed(parts))) == name


@given(st.text(SHORT_CHARACTERS, min_size=1, max_size=8), st.text(SHORT_CHARACTERS, max_size=3))
def test_short_names_agree_with_pyfatfs(base: str, extension: str) -> None:
    name = f"{base}.{extension}" if extension else base
    theirs = EightDotThree(encoding="cp850")
    theirs.set_str_name(name)
    ours = names.encode_short(name, "cp850")
    assert ours == bytes(theirs)
    assert names.checksum(bytes(theirs)) == theirs.checksum()
    assert names.decode_short(bytes(theirs), 0, "cp850") == str(theirs)
    assert names.plain_short(name) == (ours, 0)


@given(st.binary(max_size=600))
def test_any_bytes_as_a_long_name_are_a_name_or_none(units: bytes) -> None:
    name = names.decode_long(units)
    assert name is None or (name and "/" not in name and "\0" not in name)
