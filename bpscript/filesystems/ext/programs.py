"""The programs of e2fsprogs on a BlockDevice: a file for them to work on, check and repair.

They work on files. Where the device is a range of a host file they get its path and offset; else the volume is copied into a
sparse temporary file, and what they changed is copied back.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...base.clock import Clock
from ...base.errors import FormatError
from ...blocks.device import BlockDevice, data_ranges_of, host_file_of
from ...blocks.holes import data_ranges_in
from ..filesystem import Problem
from .running import run_program

_STEP = 1 << 20                 # bytes copied or compared at once
_ZEROS = bytes(_STEP)
_SMALL = 64 << 20               # bytes of a copy that may be in memory
_CLEAN, _CORRECTED, _UNCORRECTED = 0, 3, 4      # e2fsck(8), exit codes: 1 and 2 are corrections


@contextmanager
def hosted(device: BlockDevice, *, write: bool = True) -> Iterator[tuple[Path, int]]:
    """Path and offset in bytes of a host file with the device's bytes.

    `write=False`: what happens to the file is dropped. A real disk is handed out for reading only, because we hold it exclusively.
    """
    if write:
        device.write(0, device.read(0, 512))    # a device that is open for reading only says so here, before a program writes around it
    place = host_file_of(device)
    if place is not None and "?" not in str(place[0]) and (not write or place[0].is_file()):
        yield place
        return
    with sparse_file(device.size) as (descriptor, path):
        copy_out(device, 0, device.size, descriptor)
        yield path, 0
        if write:
            copy_back(descriptor, device, device.size)


def copy_out(device: BlockDevice, start: int, end: int, descriptor: int) -> None:
    """Copy a range of the device to the same place of a sparse file, but no zeros."""
    for low, high in data_ranges_of(device, start, end - start):
        for offset in range(low, high, _STEP):
            data = device.read(offset, min(_STEP, high - offset))
            if data != _ZEROS[: len(data)]:
                os.pwrite(descriptor, data, offset)


@contextmanager
def sparse_file(size: int, *, in_memory: bool | None = None) -> Iterator[tuple[int, Path]]:
    """A sparse file of `size` bytes: its descriptor, and a path for other programs; in memory when it is small."""
    if size <= _SMALL if in_memory is None else in_memory:
        descriptor = os.memfd_create("volume")
        path = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
    else:
        import tempfile  # noqa: PLC0415 - slow to load, and few volumes need it

        descriptor, name = tempfile.mkstemp(prefix="bpscript-")
        path = Path(name)
    try:
        os.ftruncate(descriptor, size)
        yield descriptor, path
    finally:
        os.close(descriptor)
        if path.parent.name != "fd":
            path.unlink()


def copy_new(descriptor: int, device: BlockDevice, start: int, end: int) -> None:
    """Write what was written of a sparse file, from `start` to `end`, to the same places of a device. Nothing is compared."""
    buffer = memoryview(bytearray(_STEP))      # one for all: fresh memory for each piece would take longer than filling it
    for low, high in data_ranges_in(descriptor, 0, end):
        for offset in range(max(low, start), high, _STEP):
            piece = buffer[: min(_STEP, high - offset)]
            os.preadv(descriptor, [piece], offset)
            device.write(offset, piece)


def copy_back(descriptor: int, device: BlockDevice, size: int) -> None:
    """Make the first `size` bytes of the device those of a sparse file; equal pieces are not written."""
    position = 0
    for start, end in [*data_ranges_in(descriptor, 0, size), (size, size)]:
        for low, high in list(data_ranges_of(device, position, start - position)):
            device.zero(low, high - low)
        copy_range(descriptor, device, start, end)
        position = end
    device.flush()


def copy_range(descriptor: int, device: BlockDevice, start: int, end: int) -> None:
    """Make a range of the device that of a file; equal pieces are not written, and what is a hole in both is not read."""
    if start >= end:
        return
    position = start
    for low, high in sorted([*data_ranges_in(descriptor, start, end), *data_ranges_of(device, start, end - start)]):
        for offset in range(max(low, position), high, _STEP):
            data = os.pread(descriptor, min(_STEP, high - offset), offset)
            if device.read(offset, len(data)) != data:
                device.write(offset, data)
        position = max(position, high)


def check_ext(device: BlockDevice) -> list[Problem]:
    """What `e2fsck -fn` finds; an empty list for a healthy volume. Nothing is written."""
    with hosted(device, write=False) as (path, offset):
        result = run_program(["e2fsck", "-f", "-n", f"{path}?offset={offset}"])
    if result.returncode == _CLEAN:
        return []
    return _problems(result.stdout) or [Problem("volume", (result.stderr or result.stdout).strip() or "e2fsck failed")]


def _problems(output: str) -> list[Problem]:
    """The findings among the lines of e2fsck: what stands between a "Pass" line and the summary."""
    found = []
    where = "volume"
    for line in output.splitlines():
        text = line.strip()
        if text.startswith("Pass "):
            where = text
        elif text and not text.startswith(("e2fsck ", "Warning!")) and "WARNING: Filesystem still has errors" not in text:
            words = text.removesuffix("? no").removesuffix(".  Fix").removesuffix(".  Clear")
            if not (text.endswith(" blocks") and " files (" in text):
                found.append(Problem(where, words))
    return found


def repair_ext(device: BlockDevice, clock: Clock | None = None, *, everything: bool = False) -> None:
    """Replay the journal and mend what can be mended without a question (`e2fsck -p`), or, if that is not enough, `everything` (`-y`).

    Raises FormatError when more is needed.
    """
    with hosted(device) as (path, offset):
        result = run_program(["e2fsck", "-p", f"{path}?offset={offset}"], clock)
        if everything and result.returncode & _UNCORRECTED:
            result = run_program(["e2fsck", "-f", "-y", f"{path}?offset={offset}"], clock)
        if not _CLEAN <= result.returncode <= _CORRECTED:
            reason = [line for line in result.stdout.splitlines() if line.strip()]
            raise FormatError(
                f"ext volume was not unmounted cleanly and cannot be mended by itself: {reason[-1].strip() if reason else 'e2fsck -p failed'}",
                hint="run e2fsck on it",
            )
