"""The programs that imaging is measured against: how each captures a partition, and puts it back onto a file that is there.

A peer whose program is missing is left out; `missing` says so in a sentence.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.measure import process
from tests.benchmarks.volumes import Volume

Command = Callable[[Path, Path], str]       # source, target → a line for bash


@dataclass(frozen=True)
class Peer:
    """`pack` makes `name`.`suffix` out of a raw image, `unpack` puts it onto a target; lines for bash."""

    name: str
    programs: tuple[str, ...]
    suffix: str
    pack: Command
    unpack: Command | None = None

    def archive(self, folder: Path) -> Path:
        """Where `pack` writes."""
        return folder / f"peer.{self.suffix}"

    @property
    def missing(self) -> str | None:
        """A sentence when it cannot take part."""
        gone = [program for program in self.programs if shutil.which(program) is None]
        return f"{self.name} is left out: {', '.join(gone)} is not installed" if gone else None

    def capture(self, volume: Volume, folder: Path) -> tuple[float, float]:
        """Seconds and MiB of one capture."""
        self.archive(folder).unlink(missing_ok=True)
        return shell(self.pack(volume.image, self.archive(folder)), folder)

    def restore(self, target: Path, folder: Path) -> tuple[float, float]:
        """Seconds and MiB of one restore."""
        assert self.unpack is not None
        return shell(self.unpack(self.archive(folder), target), folder)


def shell(line: str, folder: Path) -> tuple[float, float]:
    """Run a line of bash where any failing part of a pipe fails the whole; wall-clock seconds, largest memory of one process in MiB."""
    return process(["bash", "-o", "pipefail", "-c", line], folder)


def peers(kind: str) -> list[Peer]:
    """Those that can take part for a kind of file system, each with the options that make it fastest at zstd level 1."""
    partclone = f"partclone.{kind}"
    found = [
        Peer(
            "partclone, zstd", (partclone, "zstd"), "pc.zst",
            # Without -f its progress thread sleeps two seconds at a time before it may end; -q has no bar.
            lambda source, to: f"{partclone} -c -q -f 1 -L log -s {source} -o - 2>messages | zstd -1 -T0 -q -f -o {to}",
            lambda archive, to: f"zstd -d -q -c {archive} | {partclone} -r -q -f 1 -L log -s - -O {to} 2>messages",
        ),
        Peer(
            "pzstd -p2", ("pzstd",), "pzst",
            lambda source, to: f"pzstd -1 -p 2 -q -f {source} -o {to}", lambda archive, to: f"pzstd -d -p 2 -q -f {archive} -o {to}",
        ),
        Peer(
            "qemu-img (qcow2, zstd)", ("qemu-img",), "qcow2",
            lambda source, to: f"qemu-img convert -f raw -O qcow2 -c -m 2 -W -o compression_type=zstd {source} {to}",
            lambda archive, to: f"qemu-img convert -n -m 2 -W -f qcow2 -O raw {archive} {to}",
        ),
        Peer(
            "zstd -1 -T0 of the raw image", ("zstd",), "raw.zst",
            lambda source, to: f"zstd -1 -T0 -q -f {source} -o {to}", lambda archive, to: f"zstd -d --sparse -q -f {archive} -o {to}",
        ),
        Peer(
            "bmaptool, zstd", ("bmaptool", "zstd"), "bmap.zst",
            lambda source, to: f"bmaptool -q create -o peer.bmap {source} && zstd -1 -T0 -q -f {source} -o {to}",
            lambda archive, to: f"bmaptool -q copy --bmap peer.bmap {archive} {to}",
        ),
    ]
    if kind == "ext4":
        found.append(
            Peer("e2image -ra, zstd", ("e2image", "zstd"), "e2.zst", lambda source, to: f"e2image -ra {source} - 2>messages | zstd -1 -T0 -q -f -o {to}")
        )
    return found
