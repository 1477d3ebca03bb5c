"""A volume made from files: `FullZip` of a host folder (language.md 8.9). It lies in a sparse temporary image.

    with build_volume(FolderVolume(path), "EXT4", None, temp_folder=folder, entropy=entropy, clock=clock) as device:
        capture(device)
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from ..base.clock import Clock
from ..base.entropy import Entropy
from ..base.errors import NoSpaceError, StorageError
from ..base.events import Sink, ignore
from ..base.temporary import temporary_folder
from ..base.units import MIB, format_size, round_up
from ..blocks.file import FileDevice
from ..filesystems.filesystem import Facts, FileKind, Filesystem
from .filters import Filters
from .plan import Planned, planned
from .trees import copy_planned, listing, stored_sizes

FAT_WIDTHS = {"FAT16": 16, "FAT32": 32}
EXT_KINDS = ("EXT2", "EXT3", "EXT4")
_SPARE = 1.2                    # language.md 8.9: "what the files need plus 20 %, in whole MB"
_BLOCK = 4096                   # bytes; what ext gives out, and a FAT cluster of that order
_INODE = 256                    # bytes
_SMALLEST = {"FAT16": 17 * MIB, "FAT32": 260 * MIB, "EXT2": 1 * MIB, "EXT3": 8 * MIB, "EXT4": 8 * MIB}
_ATTEMPTS = 12
_JOURNAL = 64 * MIB             # most that mke2fs gives a journal below 32 GiB


@contextmanager
def build_volume(
    source: Filesystem, kind: str, size: int | None = None, *, source_path: str = "", filters: Filters | None = None,
    temp_folder: Path | None = None, entropy: Entropy | None = None, clock: Clock | None = None, label: str = "",
    events: Sink = ignore, on_file: Callable[[str, Facts], None] | None = None,
) -> Iterator[FileDevice]:
    """A device with a new volume of `kind` that holds the files below `source_path`; it is gone after the `with`.

    `kind` is EXT2, EXT3, EXT4, FAT16 or FAT32; `size` in bytes, None for what the files need plus 20 %. UUIDs and serial
    numbers come from `entropy`. Raises NoSpaceError when the files do not fit in `size`, StorageError for names FAT cannot hold.
    """
    found = list(listing(source, source_path, filters or Filters()))
    plan = [planned(path, facts, link) for path, facts, link in found]
    top = source.stat(source_path)

    def fill(volume: Filesystem) -> None:
        copy_planned(source, source_path, volume, "", found, plan, sink=events, on_file=on_file)
        if top.kind is FileKind.DIRECTORY and kind in EXT_KINDS:
            volume.set_facts("", top)

    sizes = stored_sizes(source, source_path, found) if kind in EXT_KINDS else {}
    with fill_volume(plan, fill, kind, size, stored=sizes, temp_folder=temp_folder, entropy=entropy, clock=clock, label=label) as device:
        yield device


@contextmanager
def fill_volume(
    plan: list[Planned], fill: Callable[[Filesystem], object], kind: str, size: int | None = None, *, stored: Mapping[str, int],
    temp_folder: Path | None = None, entropy: Entropy | None = None, clock: Clock | None = None, label: str = "",
) -> Iterator[FileDevice]:
    """The same for files from anywhere: `fill` puts what was planned on the empty volume, again when it was too small.

    `stored`: bytes of files with holes, by path, that are written where holes are kept.
    """
    if kind not in FAT_WIDTHS and kind not in EXT_KINDS:
        raise StorageError(f'"{kind}" cannot be made from files; expected {", ".join((*EXT_KINDS, *FAT_WIDTHS))}')
    needed = [entry._replace(size=stored.get(entry.path, entry.size)) for entry in plan] if kind in EXT_KINDS else plan
    chosen = size if size is not None else needed_size(needed, kind)
    with temporary_folder(temp_folder) as folder:
        path = Path(folder) / "volume.img"
        for attempt in range(_ATTEMPTS):
            with path.open("wb") as image:
                os.truncate(image.fileno(), chosen)
            with FileDevice(path) as device:
                volume = _formatted(device, kind, label, entropy or Entropy(), clock or Clock(), inodes=len(plan))
                try:
                    with closing(volume):
                        fill(volume)
                except NoSpaceError as error:
                    if size is not None:
                        raise NoSpaceError(
                            f"a volume of {format_size(size)} is too small: {error.message}", hint="$Zip-Size is its size in MB"
                        ) from error
                    if attempt == _ATTEMPTS - 1:
                        raise
                    chosen = round_up(chosen * 5 // 4, MIB)     # large clusters and small files: more than was thought
                    continue
                yield device
                return


def needed_size(plan: list[Planned], kind: str) -> int:
    """Bytes of a volume that holds a plan and has 20 % to spare, in whole MB."""
    blocks = sum(round_up(entry.size, _BLOCK) for entry in plan) + _BLOCK * sum(entry.code == "d" for entry in plan)
    names = sum(len(entry.path) - entry.path.rfind("/") for entry in plan)
    if kind in FAT_WIDTHS:
        need = blocks + 4 * names + 64 * len(plan)      # slots of 32 bytes for 13 characters, and the short one
        need += need // 500                             # two FATs of 4 bytes for each cluster
    else:
        need = blocks + 2 * names + (_INODE + 16) * len(plan)
        need += need // 50 + (0 if kind == "EXT2" else min(_JOURNAL, max(4 * MIB, need // 16)))    # bitmaps, inode tables, journal
    return max(round_up(int(need * _SPARE), MIB), _SMALLEST[kind])


def _formatted(device: FileDevice, kind: str, label: str, entropy: Entropy, clock: Clock, *, inodes: int) -> Filesystem:
    if kind in FAT_WIDTHS:
        from ..filesystems.fat import FatVolume, format_fat  # noqa: PLC0415 - one of the two is needed

        number = int.from_bytes(entropy.bytes(4, "serial number"), "big")
        format_fat(device, FAT_WIDTHS[kind], label, volume_id=number)
        return FatVolume.on(device, clock=clock)
    from ..filesystems.ext import ExtVolume, format_ext  # noqa: PLC0415

    # An inode for each file and a fifth more, however small the files are.
    ratio = max(1024, min(16384, device.size // (inodes * 6 // 5 + 16)))
    format_ext(device, kind, label, entropy.uuid("volume"), entropy.uuid("hash seed"), inode_ratio=ratio, clock=clock)
    return ExtVolume.on(device, clock=clock)
