"""The programs of e2fsprogs on a BlockDevice: check, repair, resize.

They work on files. Where the device is a range of a host file they get its path and offset; else the volume is copied into a
sparse temporary file, and what they changed is copied back.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...base.clock import Clock
from ...base.errors import FormatError, NoSpaceError, StorageError
from ...blocks.device import BlockDevice, data_ranges_of, host_file_of
from ..filesystem import Problem
from .superblock import Superblock

_STEP = 1 << 20                 # bytes copied or compared at once
_SUPERUSER_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
_CLEAN, _CORRECTED, _UNCORRECTED = 0, 3, 4      # e2fsck(8), exit codes: 1 and 2 are corrections


def run_program(args: Sequence[str], clock: Clock | None = None, more: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program of e2fsprogs with English messages and, given a clock, its time.

    Raises StorageError when it is not installed.
    """
    environment = {**os.environ, "LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:{_SUPERUSER_PATH}", **(more or {})}
    if clock is not None:
        seconds = str(clock.now_ns() // 1_000_000_000)
        environment |= {"E2FSPROGS_FAKE_TIME": seconds, "E2FSCK_TIME": seconds, "SOURCE_DATE_EPOCH": seconds}
    try:
        return subprocess.run(
            args, capture_output=True, text=True, errors="replace", check=False, stdin=subprocess.DEVNULL, env=environment
        )
    except FileNotFoundError as error:
        raise StorageError(f"{args[0]} is not installed", hint="apt install e2fsprogs") from error


@contextmanager
def hosted(device: BlockDevice, *, read: bool = True, write: bool = True) -> Iterator[tuple[Path, int]]:
    """Path and offset in bytes of a host file with the device's bytes.

    `read=False`: the file may begin empty; `write=False`: what happens to it is dropped. A real disk is handed out for reading
    only, because we hold it exclusively.
    """
    place = host_file_of(device)
    if place is not None and "?" not in str(place[0]) and (not write or place[0].is_file()):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="bpscript-") as folder:
        path = Path(folder) / "volume"
        with path.open("w+b", buffering=0) as copy:
            copy.truncate(device.size)
            for start, end in data_ranges_of(device, 0, device.size) if read else ():
                for offset in range(start, end, _STEP):
                    data = device.read(offset, min(_STEP, end - offset))
                    if data.count(0) != len(data):
                        os.pwrite(copy.fileno(), data, offset)
        yield path, 0
        if write:
            copy_changes(path, device)


def copy_changes(path: Path, device: BlockDevice) -> None:
    """Make the device hold the bytes of a file as long as itself; equal pieces are not written."""
    from ...blocks.file import FileDevice  # noqa: PLC0415 - knows how to find holes

    with FileDevice(path, writable=False) as source:
        position = 0
        for start, end in [*source.data_ranges(0, source.size), (source.size, source.size)]:
            for low, high in data_ranges_of(device, position, start - position):
                device.zero(low, high - low)
            for offset in range(start, end, _STEP):
                data = source.read(offset, min(_STEP, end - offset))
                if device.read(offset, len(data)) != data:
                    device.write(offset, data)
            position = end
    device.flush()


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


def repair_ext(device: BlockDevice, clock: Clock | None = None) -> None:
    """Replay the journal and mend what can be mended without a question (`e2fsck -p`).

    Raises FormatError when more is needed.
    """
    with hosted(device) as (path, offset):
        result = run_program(["e2fsck", "-p", f"{path}?offset={offset}"], clock)
        if not _CLEAN <= result.returncode <= _CORRECTED:
            reason = [line for line in result.stdout.splitlines() if line.strip()]
            raise FormatError(
                f"ext volume was not unmounted cleanly and cannot be mended by itself: {reason[-1].strip() if reason else 'e2fsck -p failed'}",
                hint="run e2fsck on it",
            )


def resize_ext(device: BlockDevice, clock: Clock | None = None) -> None:
    """Grow or shrink the volume to the size of the device (whole blocks).

    Raises NoSpaceError when its files do not fit.
    """
    superblock = Superblock.read(device)
    target = device.size // superblock.block_size
    if target == superblock.block_count:
        return
    if superblock.size > device.size:
        raise FormatError(f"ext volume of {superblock.size} bytes on a device of {device.size}; shrink it before the device is cut")
    resize_to(device, target, clock)


def resize_to(device: BlockDevice, block_count: int, clock: Clock | None = None) -> None:
    """Grow or shrink the volume to so many blocks; the device is at least as large before and after."""
    with hosted(device) as (path, offset):
        result = run_program(["resize2fs", "-f", f"{path}?offset={offset}", str(block_count)], clock)
        if result.returncode:
            words = " ".join((result.stderr + result.stdout).split())
            if "minimum" in words or "No space" in words or "Not enough" in words:
                raise NoSpaceError(f"ext volume cannot become {block_count} blocks: {words}")
            raise StorageError(f"ext volume cannot become {block_count} blocks: {words}")
    device.flush()
