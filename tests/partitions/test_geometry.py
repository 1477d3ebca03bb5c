import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.errors import StorageError
from bpscript.base.units import MIB
from bpscript.partitions.geometry import OUT_OF_REACH, Geometry, firmware_geometry, parse_geometry


@pytest.mark.parametrize(
    ("megabytes", "heads"),
    [(10, 16), (504, 16), (505, 32), (1008, 32), (1009, 64), (2016, 64), (2017, 128), (4032, 128), (4033, 255), (2_000_000, 255)],
)
def test_firmware_doubles_the_heads_until_1024_cylinders_do(megabytes: int, heads: int) -> None:
    assert firmware_geometry(megabytes * MIB) == Geometry(heads, 63)


def test_one_byte_more_takes_the_next_step() -> None:
    assert firmware_geometry(504 * MIB + 1).heads == 32


@given(st.integers(1, 255), st.integers(1, 63), st.data())
def test_what_is_encoded_is_decoded(heads: int, sectors: int, data: st.DataObject) -> None:
    geometry = Geometry(heads, sectors)
    lba = data.draw(st.integers(0, 1024 * heads * sectors - 1))
    assert geometry.decode(geometry.encode(lba)) == lba


def test_beyond_cylinder_1023_there_is_one_value() -> None:
    geometry = Geometry(16)
    assert geometry.encode(1024 * 16 * 63 - 1) == bytes([15, 63 | 0xC0, 0xFF])
    assert geometry.encode(1024 * 16 * 63) == OUT_OF_REACH == bytes([254, 63 | 0xC0, 0xFF])


def test_a_known_address() -> None:
    # Sector 63 is cylinder 0, head 1, sector 1: where every DOS disk has its first partition.
    assert firmware_geometry(100 * MIB).encode(63) == b"\x01\x01\x00"


def test_a_setting_overrides() -> None:
    assert parse_geometry(" 240 63 ") == Geometry(240, 63)


@pytest.mark.parametrize("text", ["16", "16 63 1", "0 63", "256 63", "16 0", "16 64", "a b", "-1 63", "16,63", "1234567 63"])
def test_a_setting_that_is_no_geometry_is_refused(text: str) -> None:
    with pytest.raises(StorageError, match=r"\$Disk-Geometry is \".*\"; expected heads \(1 to 255\) and sectors per track \(1 to 63\)"):
        parse_geometry(text)
