"""Making ext2/3/4: mke2fs with every choice spelled out, so that the host's /etc/mke2fs.conf changes nothing.

The features are those mke2fs 1.47 makes by default for each kind, block sizes and inode ratios as in its mke2fs.conf
(`small`, `big`, `huge`). What was there before is punched out first, so nothing needs to be zeroed, and a terabyte takes no
longer than a gigabyte.

On an image file mke2fs works itself, and writes the superblock last. Anywhere else it works on a sparse file in memory, and what it
wrote is copied to the device, the sector of the superblock last (`head.py`): any device will do, also a disk that we hold exclusively.
Either way a power cut leaves no half volume.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

from ...base.clock import Clock
from ...base.errors import NoSpaceError, StorageError
from ...base.units import GIB, KIB, MIB, TIB
from ...blocks.device import BlockDevice, data_ranges_of, host_file_of
from ...blocks.medium import medium_of
from ..signatures import wipe_signatures
from .running import run_program

_BASE = ("sparse_super", "large_file", "filetype", "resize_inode", "dir_index", "ext_attr")
_JOURNAL = ("has_journal",)
_EXT4 = ("extent", "huge_file", "flex_bg", "metadata_csum", "64bit", "dir_nlink", "extra_isize")
FEATURES = {"EXT2": _BASE, "EXT3": _BASE + _JOURNAL, "EXT4": _BASE + _JOURNAL + _EXT4}
_SMALL = 512 * MIB          # below this: blocks of 1 KiB, one inode for 4 KiB
_LARGE = 64 * GIB           # from here on room is made while mke2fs works (`copies.py`): it is busy for longer than that takes
_FIRST_BYTES = 64 * KIB     # cleared first and written last
_MAX_LABEL = 16             # bytes of s_volume_name


def _inode_ratio(size: int) -> int:
    """Bytes per inode. Source: mke2fs.conf and mke2fs.c, parse_fs_type."""
    if size < 3 * MIB:
        return 8192
    if size < _SMALL:
        return 4096
    if size < 4 * TIB:
        return 16384
    return 32768 if size < 16 * TIB else 65536


def format_ext(
    device: BlockDevice,
    kind: str,
    label: str = "",
    uuid: UUID | None = None,
    hash_seed: UUID | None = None,
    *,
    block_size: int | None = None,
    inode_ratio: int | None = None,
    clock: Clock | None = None,
) -> None:
    """Make the whole device an empty EXT2, EXT3 or EXT4 volume.

    With `uuid`, `hash_seed` and a frozen clock the same call makes the same bytes. `inode_ratio`: bytes per inode. Raises
    StorageError for a label over 16 bytes or an unknown kind, NoSpaceError for a device too small.
    """
    if kind not in FEATURES:
        raise StorageError(f'"{kind}" cannot be made; expected EXT2, EXT3 or EXT4')
    if len(label.encode()) > _MAX_LABEL:
        raise StorageError(f'label "{label}" has {len(label.encode())} bytes; ext holds at most {_MAX_LABEL}')
    size = device.size
    place = _image_file_of(device)
    if place is None:       # an image file is written in order
        from ..head import forget  # noqa: PLC0415 - as below

        forget(device, _FIRST_BYTES)
    zeroed = place is not None or _can_be_punched(device)
    if zeroed:
        _clear(device)
    else:
        wipe_signatures(device)
    chosen = block_size or (KIB if size < _SMALL else 4 * KIB)
    extended = [
        f"hash_seed={hash_seed or uuid4()}", "nodiscard", "root_owner=0:0",
        f"lazy_itable_init={int(not zeroed)}", "lazy_journal_init=1",
    ]  # fmt: skip
    if zeroed:
        extended.append("assume_storage_prezeroed=1")
    with _place_for(device, place) as (path, offset, descriptor):
        if offset:
            extended.append(f"offset={offset}")
        arguments = [
            "mke2fs", "-q", "-F", "-t", kind.lower(), "-O", ",".join(("none", *FEATURES[kind])),
            "-b", str(chosen), "-I", "256", "-i", str(max(inode_ratio or _inode_ratio(size), chosen)), "-m", "5",
            "-L", label, "-U", str(uuid or uuid4()), "-E", ",".join(extended), str(path), f"{size // KIB}k",
        ]  # fmt: skip
        # Zeros must be written, not punched, where the device holds something else.
        more = {} if zeroed else {"UNIX_IO_NOZEROOUT": "1"}
        meanwhile = partial(_make_room, path, offset, size, chosen, kind) if place is not None and size >= _LARGE else None
        result = run_program(arguments, clock, more, meanwhile)
        if result.returncode:
            words = " ".join((result.stderr + result.stdout).split())
            if "too small" in words or "Not enough space" in words or "too few" in words.lower():
                raise NoSpaceError(f"{size} bytes are too small for {kind}: {words}")
            if "No space left on device" in words:
                raise NoSpaceError(f"{path}: the host has no room left for this image")
            raise StorageError(f"mke2fs cannot make {kind} on {size} bytes: {words}")
        if descriptor is not None:
            from ..head import reveal  # noqa: PLC0415 - an image file needs none of it
            from .programs import copy_new  # noqa: PLC0415

            copy_new(descriptor, device, _FIRST_BYTES, size)
            reveal(device, os.pread(descriptor, min(_FIRST_BYTES, size), 0))
    device.flush()


def _make_room(path: Path, offset: int, size: int, block_size: int, kind: str) -> None:
    from .copies import make_room  # noqa: PLC0415 - loaded while mke2fs works

    make_room(path, offset, size, block_size, 64 if "64bit" in FEATURES[kind] else 32)


def _image_file_of(device: BlockDevice) -> tuple[Path, int] | None:
    """The image file that the device is a range of, and where it begins there; None when it is none."""
    place = host_file_of(device)
    return place if place is not None and place[0].is_file() else None


@contextmanager
def _place_for(device: BlockDevice, image: tuple[Path, int] | None) -> Iterator[tuple[Path, int, int | None]]:
    """A file for mke2fs, the offset in it, and its descriptor when it is in memory and to be copied."""
    if image is not None:
        device.write(0, bytes(min(512, device.size)))       # one that is open for reading only says so here
        yield image[0].absolute(), image[1], None
        return
    from .programs import sparse_file  # noqa: PLC0415 - as above

    with sparse_file(device.size, in_memory=True) as (descriptor, path):
        yield path, 0, descriptor


def _can_be_punched(device: BlockDevice) -> bool:
    """False on a real disk: there punching may mean writing, so nothing more is cleared, and mke2fs initialises lazily."""
    place = medium_of(device)
    return place is None or place[0].is_file()


def _clear(device: BlockDevice) -> None:
    """Make the device read as zeros."""
    # In slices: a layer below may keep a note for every page that is zeroed.
    for start, end in list(data_ranges_of(device, 0, device.size)):
        for offset in range(start, end, GIB):
            device.zero(offset, min(GIB, end - offset))
