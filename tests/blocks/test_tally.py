"""Layers that count."""

import random
import threading
import time

from bpscript.blocks.blank import BlankDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.blocks.scratch import PAGE, ScratchOverlay
from bpscript.blocks.tally import CoarseRanges, ReadsDevice, TallyDevice


def test_what_is_written_is_counted_in_sectors() -> None:
    tally = TallyDevice(MemoryDevice(100_000))
    tally.write(1000, b"x" * 100)
    tally.writev(1050, [b"y" * 20, b"z" * 30])
    tally.zero(50_000, 1)
    assert (tally.written, tally.calls) == (151, 3)
    assert list(tally.touched.ranges) == [(512, 1536), (49_664, 50_176)]
    assert tally.read(1049, 3) == b"xyy"


def test_what_is_read_is_known_while_it_counts() -> None:
    reads = ReadsDevice(BlankDevice(100_000))
    reads.read(5000, 10)
    reads.counts = False
    reads.readinto(20_000, bytearray(10))
    assert list(reads.seen.ranges) == [(4096, 8192)]


def test_many_places_become_coarse_and_never_less() -> None:
    rng = random.Random(1)
    places = [rng.randrange(10**9) for _ in range(3000)]
    ranges = CoarseRanges(10**9, most=500)
    for place in places:
        ranges.add(place, place + 1)
    assert len(ranges.ranges) <= 500
    assert ranges.unit > 512
    assert all(any(ranges.ranges.within(place, place + 1)) for place in places)


class SlowBlank(BlankDevice):
    """Others get a turn while it is read."""

    def read(self, offset: int, length: int) -> bytes:
        time.sleep(0.001)
        return super().read(offset, length)


def test_threads_that_write_parts_of_one_page_lose_nothing() -> None:
    """Each thread copies the page up when it is the first: the others' bytes must not be lost by that."""
    device = ScratchOverlay(SlowBlank(16 * PAGE), MemoryDevice(16 * PAGE))

    def work(number: int) -> None:
        for page in range(16):
            device.write(page * PAGE + number * 100, bytes([number]) * 100)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for page in range(16):
        for number in range(1, 5):
            assert device.read(page * PAGE + number * 100, 100) == bytes([number]) * 100
