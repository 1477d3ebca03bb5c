"""Image folders of Clonezilla: which file in them is the image of a partition.

    sda1.vfat-ptcl-img.zst                  partition, file system, "ptcl-img", packing
    sda2.ext4-ptcl-img.gz.aa, .ab, ...      the same in pieces (positional.py joins them)
    sda3.ntfs-ptcl-img.uncomp               not packed
    swappt-sda4.info                        label and UUID of a swap space, which has no image
    parts, disk, blkdev.list, sda-pt.sf     texts and tables, not needed for one partition

A folder is named as it is when it has one partition, else with the partition behind it: `folder/sda2`.

Source: the names in Clonezilla 5.3's own scripts. What is in a file is told by its first bytes, not by its name.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from ..base.errors import FormatError, InTheWayError, NotFoundError

_IMAGE = re.compile(r"(?P<partition>[^/]+)\.(?P<kind>[^./]+)-ptcl-img(\.[a-z0-9]+?)?(\.a{2,})?")
_SWAP = re.compile(r"swappt-(?P<partition>[^/]+)\.info")


def partitions(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Partition → file system as Clonezilla names it, and the (first) file of its image; empty when the folder is none of Clonezilla's."""
    found = {}
    for name in sorted(names):
        if match := _IMAGE.fullmatch(name):
            found[match["partition"]] = match["kind"], name
    return found


def choose(folder: str, names: Iterable[str], partition: str | None = None) -> str:
    """The file of the only partition, or of the one that is named. Raises FormatError with the list where none can be told, InTheWayError for another folder."""
    listed = list(names)
    found = partitions(listed)
    shown = ", ".join(f"{each} ({kind})" for each, (kind, _) in found.items())
    if partition is None:
        if not found:
            raise InTheWayError(
                f'"{folder}" is a directory, not an archive', hint="an image folder of Clonezilla has files like sda1.ext4-ptcl-img.zst"
            )
        if len(found) > 1:
            raise FormatError(
                f'the Clonezilla image "{folder}" has {len(found)} partitions: {shown}', hint=f"name one of them: {folder.rstrip('/')}/{next(iter(found))}"
            )
        partition = next(iter(found))
    if partition not in found:
        if any(match["partition"] == partition for match in map(_SWAP.fullmatch, listed) if match):
            raise FormatError(f'{partition} in the Clonezilla image "{folder}" is swap space, of which it keeps no image', hint="Clean formats a swap partition")
        raise NotFoundError(f'the Clonezilla image "{folder}" has no partition {partition}; it has {shown}')
    return found[partition][1]


def on_host(path: Path | str) -> Path:
    """The file of the partition that a path names in an image folder on the host; any other path as it is. Raises as `choose` does."""
    given = Path(path)
    try:
        if given.is_dir():
            return given / choose(str(path), (each.name for each in given.iterdir()))
        if not given.exists() and given.parent.is_dir():
            names = [each.name for each in given.parent.iterdir()]
            if partitions(names):
                return given.parent / choose(str(given.parent), names, given.name)
    except OSError as error:
        raise NotFoundError(f"{path}: {error.strerror}") from error
    return given
