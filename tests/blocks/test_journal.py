"""The journal: what a plan reads, and what a power cut leaves."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.errors import StorageError
from bpscript.blocks.faulty import FaultyDevice
from bpscript.blocks.journal import Change, JournalDevice, JournalEntry
from bpscript.blocks.memory import MemoryDevice


def journal_of_four() -> JournalDevice:
    journal = JournalDevice(MemoryDevice(100), clock=map(float, count()).__next__)
    journal.write(0, bytearray(b"aaaa"))
    journal.zero(2, 1)
    journal.flush()
    journal.flush()
    journal.writev(10, [b"bb", memoryview(b"cc")])
    journal.write(4, b"dd")
    journal.write(50, b"")
    return journal


def test_changes_are_recorded_in_order() -> None:
    assert journal_of_four().writes == [
        JournalEntry(Change.WRITE, 0, 4, 0.0, b"aaaa"), JournalEntry(Change.ZERO, 2, 1, 1.0), JournalEntry(Change.FLUSH, 0, 0, 2.0),
        JournalEntry(Change.WRITE, 10, 4, 3.0, b"bbcc"), JournalEntry(Change.WRITE, 4, 2, 4.0, b"dd"),
    ]
    assert list(journal_of_four().changed_ranges()) == [(0, 6), (10, 14)]


def test_without_data_neighbouring_writes_are_one_entry() -> None:
    journal = JournalDevice(MemoryDevice(100), keep_data=False, clock=lambda: 0.0)
    for offset in (0, 10, 20, 50):
        journal.write(offset, bytes(10))
    journal.zero(60, 10)
    assert [(entry.change, entry.offset, entry.length) for entry in journal.writes] == [
        (Change.WRITE, 0, 30), (Change.WRITE, 50, 10), (Change.ZERO, 60, 10)
    ]
    with pytest.raises(ValueError, match="keeps no data"):
        journal.replay(1, MemoryDevice(100))


@pytest.mark.parametrize(
    ("prefix", "lost", "torn", "content"),
    [
        (0, (), None, b"....... ......."),
        (1, (), None, b"aaaa... ......."),
        (1, (0,), None, b"....... ......."),
        (1, (), 3, b"aaa.... ......."),
        (3, (), None, b"aa0a... ......."),
        (5, (), None, b"aa0addX bbcc..."),
        (5, (3,), None, b"aa0addX ......."),
        (5, (3,), 1, b"aa0ad.. ......."),
        (5, (4,), None, b"aa0a... bbcc..."),
        (99, (), None, b"aa0addX bbcc..."),
    ],
)
def test_what_a_power_cut_leaves(prefix: int, lost: tuple[int, ...], torn: int | None, content: bytes) -> None:
    disk = MemoryDevice(b"." * 100)
    journal_of_four().replay(prefix, disk, lost=lost, torn=torn)
    first, second = content.split(b" ")
    assert disk.read(0, 6).replace(b"\0", b"0") == first[:6]
    assert disk.read(10, 7) == second


def test_what_was_flushed_cannot_be_lost() -> None:
    journal = journal_of_four()
    assert [list(journal.unflushed(prefix)) for prefix in range(6)] == [[], [0], [0, 1], [], [3], [3, 4]]
    with pytest.raises(ValueError, match="changes up to 2 were flushed"):
        journal.replay(4, MemoryDevice(100), lost=[1])


def test_a_write_that_failed_is_no_change() -> None:
    journal = JournalDevice(FaultyDevice(MemoryDevice(100), writes_allowed=0))
    with pytest.raises(StorageError):
        journal.write(0, b"x")
    assert journal.writes == []


@given(st.lists(st.tuples(st.integers(0, 90), st.binary(max_size=10), st.booleans()), max_size=20))
def test_a_whole_replay_gives_the_disk(steps: list[tuple[int, bytes, bool]]) -> None:
    lower, copy = MemoryDevice(100), MemoryDevice(100)
    journal = JournalDevice(lower)
    for offset, data, zero in steps:
        if zero:
            journal.zero(offset, len(data))
        else:
            journal.write(offset, data)
    journal.replay(len(journal.writes), copy)
    assert copy.read(0, 100) == lower.read(0, 100) == journal.read(0, 100)
