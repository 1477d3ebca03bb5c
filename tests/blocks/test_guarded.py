"""The layer that asks before the first write."""

from collections.abc import Callable

import pytest

from bpscript.base.errors import StorageError
from bpscript.blocks.device import BlockDevice
from bpscript.blocks.guarded import GuardedDevice
from bpscript.blocks.memory import MemoryDevice


class Gate:
    def __init__(self, *, is_open: bool) -> None:
        self.is_open = is_open
        self.asked = 0

    def __call__(self) -> None:
        self.asked += 1
        if not self.is_open:
            raise StorageError("not this disk")


CHANGES: list[Callable[[BlockDevice], None]] = [
    lambda device: device.write(0, b"x"),
    lambda device: device.writev(0, [b"x"]),
    lambda device: device.zero(0, 1),
]


@pytest.mark.parametrize("change", CHANGES, ids=["write", "writev", "zero"])
def test_a_closed_gate_keeps_the_bytes(change: Callable[[BlockDevice], None]) -> None:
    lower = MemoryDevice(b"abcd")
    device = GuardedDevice(lower, Gate(is_open=False))
    assert device.read(0, 4) == b"abcd"
    with pytest.raises(StorageError, match="not this disk"):
        change(device)
    assert lower.read(0, 4) == b"abcd"


def test_it_asks_once_and_again_after_a_refusal() -> None:
    gate = Gate(is_open=False)
    device = GuardedDevice(MemoryDevice(b"abcd"), gate)
    device.read(0, 4)
    device.flush()
    assert gate.asked == 0
    for _ in range(2):
        with pytest.raises(StorageError):
            device.write(0, b"x")
    gate.is_open = True
    device.write(0, b"x")
    device.zero(1, 1)
    assert gate.asked == 3
    assert device.read(0, 4) == b"x\0cd"
