"""Large buffers: of the wanted size, zeros, and nobody else's."""

import mmap
import os
from collections.abc import Callable

import pytest

from bpscript.archive.forked import forked
from bpscript.base.buffers import fetched_buffer, large_buffer

KINDS = [large_buffer, fetched_buffer]


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("size", [1, 4096, 1 << 20, (2 << 20) + 1])
def test_a_buffer_has_its_size_and_begins_as_zeros(make: Callable[[int], memoryview], size: int) -> None:
    buffer = make(size)
    assert buffer.nbytes == size
    assert not buffer.readonly
    assert bytes(buffer) == bytes(size)


@pytest.mark.parametrize("make", KINDS)
def test_two_buffers_share_nothing(make: Callable[[int], memoryview]) -> None:
    one, other = make(1 << 20), make(1 << 20)
    one[:] = b"\xff" * len(one)
    assert bytes(other) == bytes(len(other))


@pytest.mark.parametrize("make", KINDS)
def test_a_copy_of_the_process_has_its_own(make: Callable[[int], memoryview]) -> None:
    """Two processes that read frames into the same pages took each other's for damaged ones."""
    buffer = make(1 << 20)
    buffer[:4] = b"mine"

    def spoil() -> None:
        buffer[:4] = b"ours"

    _, status = os.waitpid(forked(spoil, ()), 0)
    assert status == 0
    assert bytes(buffer[:4]) == b"mine"


def test_a_kernel_without_huge_pages_gives_a_buffer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(mmap.mmap):
        def madvise(self, *arguments: int) -> None:
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(mmap, "mmap", Refusing)
    assert bytes(large_buffer(1 << 20)) == bytes(1 << 20)
