"""pytest fixtures for tests of deploy scripts on loopback images: no root, no mount, no loop device.

    # conftest.py
    pytest_plugins = ["bpscript.testing"]

    # test_deploy.py
    def test_the_host_name_is_filled_in(disk, run_script):
        image = disk("512M")
        run_script("deploy.bpb", disks=[image], variables={"BOOTP-Host-Name": "pc7"})
        assert image.read("{:1}/etc/hostname") == b"pc7\\n"
        image.check()

The fixtures are `disk` (makes images), `run_script` (runs a script, in this process) and `served` (a server of a folder, as a
process). docs/testing.md shows more, and `bpscript test` for tests as data.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import pytest

from .api import PathLike, Result, RunOptions, create_disk, execute, open_disk
from .base.errors import StorageError
from .base.units import MIB, parse_size
from .filesystems.filesystem import Filesystem, make_dirs, walk
from .filesystems.links import follow_links
from .filesystems.places import DiskPlace, parse_place
from .machine.disk import Disk

__all__ = ["DiskImage", "RunScript", "Served", "disk", "run_script", "served"]

_START_S = 30.0


class DiskImage(os.PathLike[str]):
    """An image on the host. Places on it are written as in scripts: `{:1}/etc/fstab` (the disk's number is not looked at)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"DiskImage({str(self.path)!r})"

    @property
    def partitions(self) -> str:
        """What `GetPartitions` gives."""
        with open_disk(self.path) as disk:
            return disk.partition_list()

    def filesystem(self, partition: int) -> str | None:
        """The file system on a partition ("FAT32", "EXT4", ...), None when none is known."""
        with open_disk(self.path) as disk:
            return disk.kind_of(partition)

    def read(self, place: str) -> bytes:
        """The contents of a file. Raises NotFoundError."""
        where = _on_disk(place)
        with open_disk(self.path) as disk:
            volume = disk.volume(where.partition)
            with closing(volume.open(follow_links(volume, where.path))) as reader:
                return b"".join(iter(lambda: reader.read(MIB), b""))

    def write(self, place: str, data: bytes) -> None:
        """Make or replace a file, with the directories above it."""
        where = _on_disk(place)
        with open_disk(self.path, writable=True) as disk:
            volume = disk.volume(where.partition)
            make_dirs(volume, where.path.rpartition("/")[0])
            volume.write_file(where.path, [data])

    def exists(self, place: str) -> bool:
        """Whether there is such a file or directory."""
        where = _on_disk(place)
        with open_disk(self.path) as disk:
            return disk.has_volume(where.partition) and disk.volume(where.partition).exists(where.path)

    def tree(self, place: str = "{:1}/") -> list[str]:
        """The paths of everything below a directory, in order."""
        where = _on_disk(place)
        with open_disk(self.path) as disk:
            return sorted(path for path, _ in walk(disk.volume(where.partition), where.path))

    def check(self) -> None:
        """Fail the test when a file system on the disk is not consistent, or the table has a fault."""
        with open_disk(self.path) as disk:
            found = [str(warning) for warning in disk.table().warnings]
            for number, volume in _volumes(disk):
                found += [f"partition {number}: {problem}" for problem in volume.check()]
        if found:
            pytest.fail(f"{self.path.name} is not consistent:\n" + "\n".join(found), pytrace=False)


def _on_disk(place: str) -> DiskPlace:
    where = parse_place(place, "MrBatch")
    if not isinstance(where, DiskPlace):
        raise StorageError(f'"{place}" is no place on a disk', hint='write "{:1}/etc/fstab"')
    return where


def _volumes(disk: Disk) -> Iterator[tuple[int, Filesystem]]:
    for entry in disk.table().partitions:
        if not entry.is_extended and disk.has_volume(entry.number):
            yield entry.number, disk.volume(entry.number)


@pytest.fixture
def disk(tmp_path: Path) -> Callable[..., DiskImage]:
    """Makes sparse images: `disk("2G")`, `disk("2G", partitions="FAT32:512 LINUX-EXT2:*", format=True)`, `disk(name="second.img", ...)`."""
    made: list[DiskImage] = []

    def make(size: str | int = "1G", *, partitions: str | None = None, format: bool = False, name: str | None = None, seed: str | None = "test") -> DiskImage:  # noqa: A002 - the word of the command line
        image = DiskImage(tmp_path / (name or f"disk{len(made)}.img"))
        create_disk(image.path, size if isinstance(size, int) else parse_size(size), partitions=partitions, format_partitions=format, seed=seed)
        made.append(image)
        return image

    return make


class RunScript(Protocol):
    """What the fixture `run_script` is."""

    def __call__(self, script: PathLike, *, disks: Sequence[PathLike] = ..., check: bool = ..., **options: Any) -> Result:  # noqa: ANN401 - the fields of RunOptions
        """Run a script."""
        ...


@pytest.fixture
def run_script(tmp_path: Path) -> RunScript:
    """Runs a script: `run_script("deploy.bpb", disks=[image], keys="1")`, or a text with a line end in it instead of a name.

    Options are the fields of `bpscript.api.RunOptions`. The server of a script given as text is the folder `root` below `tmp_path`.
    An error of the script is raised, with `check=False` it is in the result.
    """

    def run(script: PathLike, *, disks: Sequence[PathLike] = (), check: bool = True, **options: Any) -> Result:  # noqa: ANN401 - the fields of RunOptions
        if isinstance(script, str) and "\n" in script:
            folder = tmp_path / "root"
            folder.mkdir(exist_ok=True)
            path = folder / "script.bpb"
            path.write_text(script, encoding="utf-8")
            script = path
        result = execute(RunOptions(script=script, disks=[os.fspath(each) for each in disks], **options))
        if check and result.error is not None:
            raise result.error
        return result

    return run


class Served:
    """A server of a folder on free ports of this host; `log` is what it has printed once it was stopped."""

    def __init__(self, child: "subprocess.Popen[str]", http_port: int, tftp_port: int) -> None:
        self._child = child
        self.http = f"http://127.0.0.1:{http_port}"     # use as `root`, or as `report`
        self.tftp = f"tftp://127.0.0.1:{tftp_port}"
        self.log = ""

    def stop(self) -> str:
        """Stop the server; its log."""
        if self._child.poll() is None:
            self._child.terminate()
        self.log += self._child.communicate(timeout=_START_S)[0]
        return self.log


@pytest.fixture
def served() -> Iterator[Callable[..., Served]]:
    """Serves folders: `served("images").http` is the address for `root`. Further arguments are options of `bpscript serve`."""
    running: list[Served] = []

    def start(folder: PathLike, *options: str) -> Served:
        command = [sys.executable, "-m", "bpscript", "serve", os.fspath(folder), "--http-port", "0", "--tftp-port", "0", "--enhanced-port", "0", *options]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert child.stdout is not None
        first = child.stdout.readline()
        match = re.search(r"http://[^/]*:(\d+)/, tftp \S+ port (\d+)", first)
        if match is None:
            child.kill()
            pytest.fail(f"the server did not start: {first}{child.communicate()[0]}", pytrace=False)
        running.append(Served(child, int(match[1]), int(match[2])))
        return running[-1]

    yield start
    for each in running:
        each.stop()
