"""Capture and restore of any used ranges against a plain bytearray."""

import io
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.archive.capture import Survey, capture
from bpscript.archive.compare import compare
from bpscript.archive.container import Archive
from bpscript.archive.full import Facts, FullImage
from bpscript.archive.image_device import ArchiveDevice
from bpscript.archive.marking import HEAD
from bpscript.archive.positional import JoinedReader
from bpscript.archive.ranges import Ranges
from bpscript.archive.restore import restore
from bpscript.blocks.memory import MemoryDevice
from tests.archive.archives import MemorySink

UNIT = 512
UNITS = 2000
EDGES = st.lists(st.integers(0, UNITS), unique=True, max_size=24).map(sorted)


@settings(max_examples=60, deadline=None)
@given(
    edges=EDGES, zero=EDGES, seed=st.integers(0, 99), chunk=st.sampled_from([1024, 65536, 1 << 20]), extra=st.sampled_from([0, 700]),
    mode=st.sampled_from(["AUTO", "ALL", "DIFF"]), stream=st.booleans(), before=st.sampled_from(["noise", "the same", "almost the same"]),
)
def test_used_bytes_arrive_and_unused_ones_are_left_alone(
    edges: list[int], zero: list[int], seed: int, chunk: int, extra: int, mode: str, stream: bool, before: str
) -> None:
    size = UNITS * UNIT
    rng = random.Random(seed)
    source = bytearray(rng.randbytes(size))
    for a, b in zip(zero[::2], zero[1::2], strict=False):
        source[a * UNIT : b * UNIT] = bytes((b - a) * UNIT)
    used = Ranges((a * UNIT, b * UNIT) for a, b in zip(edges[::2], edges[1::2], strict=False))
    facts = Facts("XFS", size=size, volume_size=size, used=used.total)
    sink = MemorySink()
    capture(Survey(MemoryDevice(source), facts, used), sink, level=1, threads=2, chunk_size=chunk)

    expected = bytearray(size)
    for start, end in used:
        expected[start:end] = source[start:end]
    assert ArchiveDevice(Archive.open(MemoryDevice(sink.data))).read(0, size) == expected

    old = bytearray(rng.randbytes(size + extra))
    if before != "noise":
        old[:size] = source
    if before == "almost the same":
        old[size // 2] ^= 1
    target = MemoryDevice(old)
    image = FullImage.open(JoinedReader(io.BytesIO(sink.data))) if stream else FullImage(Archive.open(MemoryDevice(sink.data)))
    done = restore(image, target, rewrite=mode, verify=True)
    assert done.written + done.equal == used.total

    got = target.read(0, size + extra)
    assert got[:HEAD] == expected[:HEAD]            # all of the head is the archive's
    for start, end in used:
        assert got[start:end] == source[start:end]
    touched = Ranges(used)
    for position in range(HEAD, size + extra, UNIT):
        if not touched.within(max(HEAD, position - 16384 - UNIT), position + 16384 + UNIT):
            assert got[position : position + UNIT] == old[position : position + UNIT]
    if not extra:
        assert compare(FullImage(Archive.open(MemoryDevice(sink.data))), target) == []
