"""Whatever goes wrong while restoring: nothing was written yet, or the partition is not formatted until a restore completes."""

import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.archive.capture import capture, survey
from bpscript.archive.container import Archive
from bpscript.archive.full import FullImage
from bpscript.archive.marking import HEAD, HeldDevice
from bpscript.archive.positional import JoinedReader
from bpscript.archive.restore import restore
from bpscript.base.clock import Clock
from bpscript.base.errors import BpscriptError, FormatError, StorageError
from bpscript.blocks.device import Buffer
from bpscript.blocks.faulty import FaultyDevice
from bpscript.blocks.journal import JournalDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.detect import detect, open_volume
from bpscript.filesystems.fat import FatVolume, format_fat
from tests.archive.archives import MemorySink

MIB = 1 << 20
CLOCK = Clock(1_700_000_000_000_000_000)


def fat_volume(size: int = 6 * MIB, seed: int = 1) -> MemoryDevice:
    """A FAT volume with a few files."""
    device = MemoryDevice(size)
    format_fat(device, 12 if size < 8 * MIB else 16, "SAFE", volume_id=0x12345678)
    volume = FatVolume.on(device, clock=CLOCK)
    rng = random.Random(seed)
    for number in range(12):
        volume.write_file(f"file {number}", [rng.randbytes(100_000 + number)])
    volume.close()
    return device


def archive_of(device: MemoryDevice, chunk_size: int = 128 << 10) -> bytes:
    sink = MemorySink()
    capture(survey(device, clock=CLOCK), sink, level=1, threads=1, chunk_size=chunk_size)
    return sink.data


SOURCE = fat_volume()
ARCHIVE = archive_of(SOURCE)
FORMER = fat_volume(seed=2)         # what is on the target before: a healthy volume of the same kind
USED = list(FatVolume.on(SOURCE, clock=CLOCK).used_ranges())


def opened(data: bytes = ARCHIVE) -> FullImage:
    return FullImage(Archive.open(MemoryDevice(data)))


def streamed(data: bytes = ARCHIVE) -> FullImage:
    return FullImage.open(JoinedReader(io.BytesIO(data)))


def former() -> MemoryDevice:
    return MemoryDevice(FORMER.read(0, FORMER.size))


def assert_restored(device: MemoryDevice) -> None:
    for start, end in USED:
        assert device.read(start, end - start) == SOURCE.read(start, end - start)
    assert open_volume(device, clock=CLOCK).check() == []


def test_after_a_cut_at_any_write_the_partition_is_not_formatted_and_a_second_run_completes() -> None:
    total = JournalDevice(former())
    restore(opened(), total, threads=1)
    writes = sum(entry.change != "flush" for entry in total.writes)
    assert writes > 10
    for allowed in range(writes):
        device = former()
        with pytest.raises(StorageError, match="faulty device"):
            restore(opened(), FaultyDevice(device, writes_allowed=allowed), threads=1)
        if allowed == 0:
            assert device.read(0, device.size) == FORMER.read(0, FORMER.size)
        elif allowed < writes:
            assert detect(device) is None, f"after {allowed} of {writes} writes"
        again = restore(opened(), device, rewrite="DIFF")
        assert_restored(device)
        if allowed > writes // 2:
            assert again.equal > 0


def test_what_the_disk_may_hold_after_a_power_cut_is_never_a_volume_that_looks_whole() -> None:
    """Writes since the last flush may arrive in any order, or not at all."""
    device = JournalDevice(former())
    restore(opened(), device, threads=1)
    groups: list[list[tuple[int, bytes]]] = [[]]
    for entry in device.writes:
        if entry.change == "flush":
            groups.append([])
        else:
            groups[-1].append((entry.offset, entry.data if entry.data is not None else bytes(entry.length)))
    groups = [group for group in groups if group]
    rng = random.Random(4)
    state = former()
    for number, group in enumerate(groups):
        for _ in range(12):
            cut = MemoryDevice(state.read(0, state.size))
            for offset, data in rng.sample(group, rng.randrange(len(group) + 1)):
                cut.write(offset, data)
            whole_before = cut.read(0, cut.size) == FORMER.read(0, FORMER.size)
            if detect(cut) is not None and not whole_before:
                assert_restored(cut)
                assert number == len(groups) - 1
        for offset, data in group:
            state.write(offset, data)
    assert_restored(state)


@pytest.mark.parametrize("make", [opened, streamed])
def test_damage_in_any_chunk_is_an_error_and_the_partition_stays_marked(make: object) -> None:
    archive = Archive.open(MemoryDevice(ARCHIVE))
    positions = [archive._positions[index] + 64 + 5 for index in range(len(archive))]
    assert len(positions) > 8
    for position in positions:
        damaged = bytearray(ARCHIVE)
        damaged[position] ^= 0x10
        device = former()
        with pytest.raises(FormatError, match="archive"):
            restore(make(bytes(damaged)), device)  # type: ignore[operator]
        assert detect(device) is None


@pytest.mark.parametrize("length", [*range(0, len(ARCHIVE), len(ARCHIVE) // 40), len(ARCHIVE) - 1, len(ARCHIVE) - 20])
def test_a_truncated_archive_writes_nothing_and_a_truncated_stream_leaves_the_mark(length: int) -> None:
    device = JournalDevice(former())
    with pytest.raises(FormatError):
        restore(opened(ARCHIVE[:length]), device)
    assert device.writes == []
    target = former()
    with pytest.raises(FormatError):
        restore(streamed(ARCHIVE[:length]), target)
    assert detect(target) is None or target.read(0, target.size) == FORMER.read(0, FORMER.size)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_anywhere_gives_a_volume_with_other_contents(data: st.DataObject) -> None:
    """A restore from damaged bytes raises one of our errors and marks or spares the partition, or gives exactly the right bytes."""
    damaged = bytearray(ARCHIVE)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    for make in (opened, streamed):
        device = former()
        try:
            restore(make(bytes(damaged)), device)
        except BpscriptError:
            assert detect(device) is None or device.read(0, device.size) == FORMER.read(0, FORMER.size)
        else:
            assert_restored(device)


class Rotten(MemoryDevice):
    """Writes arrive changed at one place."""

    def __init__(self, content: bytes, place: int) -> None:
        super().__init__(content)
        self.place = place

    def write(self, offset: int, data: Buffer) -> None:
        super().write(offset, data)
        if offset <= self.place < offset + memoryview(data).nbytes:
            super().write(self.place, bytes([self.read(self.place, 1)[0] ^ 1]))

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        self.write(offset, b"".join(buffers))


def test_verify_finds_what_the_disk_did_not_keep() -> None:
    place = USED[0][1] - 100_000
    assert place > HEAD
    device = Rotten(bytes(SOURCE.size), place)
    restore(opened(), device)
    assert detect(device) == "FAT12"
    device = Rotten(bytes(SOURCE.size), place)
    with pytest.raises(StorageError, match=r"verify: 1 chunks read back differ from the archive, the first at bytes"):
        restore(opened(), device, verify=True)
    assert detect(device) is None
    with pytest.raises(StorageError, match="verify: the first 131072 bytes read back differ"):
        restore(opened(), Rotten(bytes(SOURCE.size), 10_000), verify=True)
    restore(streamed(), MemoryDevice(SOURCE.size), verify=True)


def test_a_stream_cannot_go_to_a_smaller_partition() -> None:
    device = JournalDevice(MemoryDevice(5 * MIB))
    with pytest.raises(StorageError, match="this one comes in order only"):
        restore(streamed(), device, clock=CLOCK)
    assert device.writes == []


def test_a_cut_while_copying_file_by_file_leaves_the_mark() -> None:
    total = JournalDevice(MemoryDevice(5 * MIB))
    restore(opened(), total, clock=CLOCK)
    writes = sum(entry.change != "flush" for entry in total.writes)
    for allowed in range(1, writes):
        device = MemoryDevice(5 * MIB)
        with pytest.raises(StorageError):
            restore(opened(), FaultyDevice(device, writes_allowed=allowed), clock=CLOCK)
        assert detect(device) is None


def test_the_head_is_held_back() -> None:
    lower = MemoryDevice(b"\x55" * (HEAD + 1000))
    held = HeldDevice(lower)
    assert lower.read(0, HEAD) == bytes(HEAD)
    held.write(HEAD - 3, b"abcdef")
    held.writev(10, [b"12", b"34"])
    held.zero(HEAD + 2, 5)
    assert held.read(HEAD - 3, 10) == b"abcde" + bytes(5)
    assert held.read(9, 6) == b"\x001234\x00"
    assert lower.read(0, HEAD) == bytes(HEAD)
    assert list(held.data_ranges(0, held.size)) == [(0, HEAD), (HEAD, held.size)]
    held.release()
    held.check_released()
    assert lower.read(HEAD - 3, 10) == b"abcde" + bytes(5)
    assert lower.read(10, 4) == b"1234"
    lower.write(0, b"x")
    with pytest.raises(StorageError, match="read back differ"):
        held.check_released()


SLOW_RESTORE = """
import sys, time
from bpscript.archive.full import FullImage
from bpscript.archive.positional import open_from_host
from bpscript.archive.restore import restore
from bpscript.blocks.file import FileDevice

class Slow(FileDevice):
    def write(self, offset, data):
        super().write(offset, data)
        print("writing", flush=True)
        time.sleep(0.2)

with Slow(sys.argv[2]) as device, FullImage.open(open_from_host(sys.argv[1])) as image:
    restore(image, device)
"""


def test_ctrl_c_stops_quickly_and_leaves_the_mark(tmp_path: Path) -> None:
    (tmp_path / "a.imz").write_bytes(ARCHIVE)
    target = tmp_path / "target.img"
    target.write_bytes(FORMER.read(0, FORMER.size))
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_RESTORE, tmp_path / "a.imz", target], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    with suppress(subprocess.TimeoutExpired):
        _, words = process.communicate(timeout=20)
    assert time.monotonic() - started < 10      # seven more writes of 0.2 s were to come; generous on a loaded machine
    assert process.returncode != 0
    assert b"KeyboardInterrupt" in words
    assert detect(MemoryDevice(target.read_bytes())) is None
