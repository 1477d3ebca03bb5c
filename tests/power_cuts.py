"""What a power cut may leave of a sequence of writes, and whether that is allowed: one instrument for all commands.

    writes   w w w | w w | w w w        | is a flush: what stands left of it is on the disk for certain
                       ^~~~~        of these, any sectors may have arrived, in any order

A disk writes whole sectors of 512 bytes; a request of many sectors may arrive in part. So after each prefix of the writes the states are
tried in which everything arrived, nothing since the last flush, only the last request, all but one, the first or last part of
each request, and any sectors by chance. What was zeroed counts as written.

`judge` gets the disk and names its state; what is not allowed fails there.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bpscript.blocks.device import BlockDevice
from bpscript.blocks.journal import Change, JournalDevice, JournalEntry
from bpscript.blocks.memory import MemoryDevice
from bpscript.blocks.overlay import OverlayDevice

SECTOR = 512
Judge = Callable[[BlockDevice], str]


@dataclass
class Tried:
    """How many cuts were looked at, and what was seen after them."""

    name: str
    cuts: int = 0
    states: Counter[str] = field(default_factory=Counter)
    again: int = 0

    def __str__(self) -> str:
        seen = ", ".join(f"{state} {count}" for state, count in sorted(self.states.items()))
        return f"power cuts, {self.name}: {self.cuts} cuts: {seen}; run again after {self.again} of them"


class PowerCuts:
    """The cuts of `work` on a disk with the contents `before`."""

    def __init__(self, before: BlockDevice, work: Callable[[BlockDevice], object]) -> None:
        self._before = before
        self.journal = JournalDevice(OverlayDevice(before))
        work(self.journal)

    def cuts(self, rng: random.Random, most: int | None = None, chances: int = 3) -> Iterator[tuple[str, OverlayDevice]]:
        """Disks after a cut, with words for where it was; all of them, or about `most`, spread over the whole."""
        writes = self.journal.writes
        flushed = MemoryDevice(self._before.read(0, self._before.size))
        barrier = 0
        ways = len(_WAYS) + chances
        share = 1.0 if most is None else min(1.0, most / max(1, (len(writes) + 1) * ways))
        for prefix in range(len(writes) + 1):
            pending = writes[barrier:prefix]
            for way in range(ways):
                if share < 1 and rng.random() > share and not (prefix == len(writes) and way == 0):
                    continue
                if way and not pending:
                    continue        # nothing to lose
                disk = OverlayDevice(flushed)
                choose = _WAYS[way] if way < len(_WAYS) else _by_chance(rng)
                for number, entry in enumerate(pending):
                    _arrive(disk, entry, choose(number, len(pending)))
                yield f"after {prefix} of {len(writes)} writes ({len(pending)} since the flush), way {way}", disk
            if prefix < len(writes) and writes[prefix].change is Change.FLUSH:
                for entry in writes[barrier:prefix]:
                    _arrive(flushed, entry, _all)
                barrier = prefix + 1

    def check(
        self, name: str, judge: Judge, *, again: Callable[[BlockDevice], object] | None = None, most: int | None = None, seed: int = 1, every: int = 1,
        final: Callable[[str], bool] | None = None,
    ) -> Tried:
        """Judge every cut; after every `every`-th, run `again`, which must lead to the state of the whole work, or one that is `final`."""
        tried = Tried(name)
        end = judge(self.disk())
        ends_right = final or (lambda state: state == end)
        assert ends_right(end)
        for words, disk in self.cuts(random.Random(seed), most, 3 if most is not None else 12):
            try:
                state = judge(disk)
            except Exception as error:
                raise AssertionError(f"{name}, {words}: {error}") from error
            tried.cuts += 1
            tried.states[state] += 1
            if again is not None and tried.cuts % every == 0:
                try:
                    again(disk)
                    found = judge(disk)
                except Exception as error:
                    raise AssertionError(f"{name}, {words}, found as {state}, and run again: {error}") from error
                assert ends_right(found), f"{name}, {words}, found as {state}: run again, it is {found}, not {end}"
                tried.again += 1
        return tried

    def disk(self) -> OverlayDevice:
        """The disk after the whole work."""
        disk = OverlayDevice(self._before)
        for entry in self.journal.writes:
            _arrive(disk, entry, _all)
        return disk


# Which sectors of a request arrive: from the number of the sector and how many there are.
Arrives = Callable[[int, int], bool]


def _all(sector: int, count: int) -> bool:
    return True


def _none(sector: int, count: int) -> bool:
    return False


def _first_half(sector: int, count: int) -> bool:
    return sector < (count + 1) // 2


def _last_half(sector: int, count: int) -> bool:
    return sector >= count // 2


# For each way, what arrives of request `number` of `count`.
_WAYS: tuple[Callable[[int, int], Arrives], ...] = (
    lambda number, count: _all,
    lambda number, count: _none,
    lambda number, count: _all if number == count - 1 else _none,
    lambda number, count: _none if number == count - 1 else _all,
    lambda number, count: _none if number == 0 else _all,
    lambda number, count: _first_half,
    lambda number, count: _last_half,
)


def _by_chance(rng: random.Random) -> Callable[[int, int], Arrives]:
    whole = rng.random()
    return lambda number, count: (_all if rng.random() < 0.5 else _none) if rng.random() < whole else lambda sector, total: rng.random() < 0.5


def _arrive(disk: BlockDevice, entry: JournalEntry, arrives: Arrives) -> None:
    """Put the sectors of a request onto a disk."""
    if entry.change is Change.FLUSH:
        return
    if arrives is _all:
        _put(disk, entry, 0, entry.length)
        return
    if arrives is _none:
        return
    start, end = entry.offset, entry.offset + entry.length
    first, last = start // SECTOR, -(-end // SECTOR)
    run: tuple[int, int] | None = None
    for sector in range(first, last):
        low, high = max(sector * SECTOR, start), min((sector + 1) * SECTOR, end)
        if arrives(sector - first, last - first):
            run = (low if run is None else run[0]), high
        elif run is not None:
            _put(disk, entry, run[0] - start, run[1] - start)
            run = None
    if run is not None:
        _put(disk, entry, run[0] - start, run[1] - start)


def _put(disk: BlockDevice, entry: JournalEntry, low: int, high: int) -> None:
    if entry.change is Change.ZERO:
        disk.zero(entry.offset + low, high - low)
    else:
        assert entry.data is not None
        disk.write(entry.offset + low, memoryview(entry.data)[low:high])
