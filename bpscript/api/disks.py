"""Disks and images: opened, made, and refused."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..base.clock import Clock
from ..base.entropy import Entropy
from ..base.errors import NotFoundError, ReadOnlyError, StorageError, UsageError
from ..base.units import SECTOR
from ..blocks.device import BlockDevice
from ..blocks.file import FileDevice
from ..blocks.readonly import ReadOnlyDevice
from ..machine.settings import NoSettings

if TYPE_CHECKING:
    from ..machine.disk import Disk

_LOOPS = Path("/sys/block")
PathLike = str | os.PathLike[str]


class NewDisk(NamedTuple):
    """An image to be made: a sparse file of `size` bytes. An existing one must have that size."""

    path: Path
    size: int


DiskLike = PathLike | NewDisk | BlockDevice


@contextmanager
def open_disk(path: PathLike, *, writable: bool = False, write_real_disks: bool = False) -> Iterator["Disk"]:
    """A disk image or disk: its table, partitions and volumes. Raises UsageError when it cannot be opened."""
    from ..machine.disk import Disk  # noqa: PLC0415 - a script without disks does not need it

    with ExitStack() as stack:
        device = open_device(path, stack, writable=writable, write_real_disks=write_real_disks)
        disk = Disk(0, device, os.fspath(path), NoSettings(), Clock.from_environment())
        try:
            yield disk
        except BaseException:
            disk.abandon()
            raise
        disk.forget()


def create_disk(
    path: PathLike,
    size: int,
    *,
    partitions: str | None = None,
    format_partitions: bool = False,
    force: bool = False,
    seed: str | None = None,
) -> None:
    """Make a sparse image of `size` bytes, with a partition table and formatted partitions if asked for.

    Nothing is left behind when it fails. Raises UsageError when the file exists and `force` is not given.
    """
    target = Path(path)
    if target.exists() and not force:
        raise UsageError(f"{target} exists already", hint="--force replaces it")
    if target.exists() and not target.is_file():
        raise UsageError(f"{target} is not an image file")
    _check_image_size(size)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    temporary.unlink(missing_ok=True)
    try:
        with FileDevice.create(temporary, size) as device:
            if partitions is not None:
                from ..machine.disk import Disk  # noqa: PLC0415

                _lay_out(Disk(0, device, str(target), NoSettings(), Clock.from_environment()), partitions, format_partitions, seed)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _lay_out(disk: "Disk", partitions: str, format_partitions: bool, seed: str | None) -> None:
    from ..machine.formatting import format_partition, geometry_of  # noqa: PLC0415
    from ..partitions.plan import plan_partitions  # noqa: PLC0415

    entropy = Entropy(seed)
    clock = Clock.from_environment()
    geometry = geometry_of(disk, "")
    plan = plan_partitions(partitions, disk.device, sector_size=disk.sector_size, geometry=geometry, entropy=entropy)
    plan.apply(disk.device)
    disk.forget()
    if format_partitions:
        for entry in disk.table().partitions:
            if not entry.is_extended:
                format_partition(disk, entry.number, label="", linux_kind="EXT4", geometry=geometry, entropy=entropy, clock=clock)
    disk.forget()


def open_any(disk: DiskLike, stack: ExitStack, *, write_real_disks: bool) -> BlockDevice:
    """A disk of a run, to be written; a new one is made. Raises UsageError."""
    if isinstance(disk, NewDisk):
        if not disk.path.exists():
            return stack.enter_context(_create_or_complain(disk))
        device = open_device(disk.path, stack, writable=True, write_real_disks=write_real_disks)
        check_new_size(disk.path, device.size, disk.size)
        return device
    if isinstance(disk, str | os.PathLike):
        return open_device(disk, stack, writable=True, write_real_disks=write_real_disks)
    return disk


def _create_or_complain(disk: NewDisk) -> FileDevice:
    _check_image_size(disk.size)
    try:
        return FileDevice.create(disk.path, disk.size)
    except StorageError as error:
        raise UsageError(error.message, hint=error.hint) from error


def _check_image_size(size: int) -> None:
    if size < SECTOR:
        raise UsageError(f"an image of {size} bytes is too small: it needs at least {SECTOR}")


def check_new_size(path: Path, found: int, wanted: int) -> None:
    """Raise UsageError when an image that is there has not the size that one was to be made with."""
    if found != wanted:
        raise UsageError(f"{path} exists and has {found} bytes, not {wanted}", hint="leave the size out to use it as it is")


def open_to_read(path: PathLike, stack: ExitStack) -> FileDevice:
    """An image or disk that is only read, also when it is mounted. Raises UsageError when there is none."""
    try:
        return stack.enter_context(FileDevice(Path(path), writable=False))
    except NotFoundError as error:
        raise UsageError(error.message, hint=error.hint) from error


def open_device(path: PathLike, stack: ExitStack, *, writable: bool, write_real_disks: bool) -> BlockDevice:
    """The device of a path; one that may not be written is opened for reading, and refuses writes with the reason."""
    name = os.fspath(path)
    try:
        if not writable:
            return ReadOnlyDevice(open_to_read(path, stack), name)
        _refuse_users(Path(path))
        try:
            return stack.enter_context(FileDevice(Path(path), allow_real_disk=write_real_disks))
        except ReadOnlyError as error:
            return ReadOnlyDevice(stack.enter_context(FileDevice(Path(path), writable=False)), name, hint=error.hint)
    except NotFoundError as error:
        raise UsageError(error.message, hint=error.hint) from error


def _refuse_users(path: Path) -> None:
    """Raise StorageError for an image that is mounted or used otherwise through a loop device. Of a real disk the kernel tells when it is opened."""
    if path.is_file() and any(True for _ in _LOOPS.glob("loop*/loop/backing_file")):
        from ..blocks.busy import refuse_users  # noqa: PLC0415 - few hosts have loop devices in use

        refuse_users(path, writing=True)
