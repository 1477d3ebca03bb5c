"""`$Expect-Disk-N`."""

import pytest

from bpscript.base.errors import StorageError
from bpscript.base.units import MIB
from bpscript.machine.expectation import check_disk

DISK = (0, 8000 * MIB + 500_000, "WDC WD80[x]", "WD-1234")


@pytest.mark.parametrize(
    "expected",
    ["", "size>=8000", "SIZE<=8000", "size>=1 size<=9000", "serial=wd-1234", "model=wdc*", "model=WDC?WD80[x]", "model=* serial=WD-1234"],
)
def test_the_right_disk_is_let_through(expected: str) -> None:
    check_disk(expected, *DISK)


@pytest.mark.parametrize(
    ("expected", "condition"),
    [
        ("size>=8001", "size>=8001"),
        ("size<=7999", "size<=7999"),
        ("size>=1 serial=WD-12345", "serial=WD-12345"),
        ("model=WDC", "model=WDC"),
        ("model=WDC?WD80x", "model=WDC?WD80x"),
    ],
)
def test_another_disk_is_refused(expected: str, condition: str) -> None:
    with pytest.raises(StorageError) as caught:
        check_disk(expected, *DISK)
    assert f"{condition} does not hold" in caught.value.message
    assert "8000 MB" in caught.value.message


@pytest.mark.parametrize("expected", ["size", "size>=big", "size=5", "serial=", "colour=red", "serial>=5", "size>="])
def test_a_condition_that_cannot_be_read_is_refused(expected: str) -> None:
    with pytest.raises(StorageError, match="expected serial=TEXT"):
        check_disk(expected, *DISK)
