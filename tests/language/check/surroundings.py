"""Files that a checked script finds below its root."""

from collections.abc import Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import bpscript
from bpscript.base.clock import Clock
from bpscript.blocks.file import FileDevice
from bpscript.filesystems.detect import open_volume
from bpscript.filesystems.ext.format import format_ext
from bpscript.filesystems.fat.format import format_fat
from bpscript.machine.capturing import CaptureOptions

MIB = 1 << 20


@cache
def archive(kind: str, size_mb: int = 0, used_mb: int = 0) -> bytes:
    """An archive made by the product itself: of a FAT16, FAT32 or EXT2 partition, or of files."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        if kind == "incremental":
            (folder / "tree").mkdir()
            (folder / "tree" / "file.txt").write_text("hello")
            bpscript.capture(folder / "tree", folder / "a.imz", CaptureOptions(incremental=True))
        else:
            with FileDevice.create(folder / "raw", size_mb * MIB) as device:
                if kind == "EXT2":
                    format_ext(device, kind, clock=Clock(0))
                else:
                    format_fat(device, width=int(kind.removeprefix("FAT")))
                if used_mb:
                    with closing(open_volume(device)) as volume:
                        volume.write_file("big", [bytes(range(256)) * 4096] * used_mb)
            bpscript.capture(folder / "raw", folder / "a.imz")
        return (folder / "a.imz").read_bytes()


def write(root: Path, files: Mapping[str, str]) -> None:
    """Put files below a root; "full FAT16 64" and "incremental" are archives, everything else is text."""
    for name, content in files.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        words = content.split()
        if words[:1] == ["full"]:
            target.write_bytes(archive(words[1], *map(int, words[2:])))
        elif content == "incremental":
            target.write_bytes(archive("incremental"))
        else:
            target.write_text(content)
