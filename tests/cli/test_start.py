"""What a start costs: verbs load what they use, and nothing that is slow and for others."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import bpscript
from bpscript.base.clock import Clock
from bpscript.blocks.file import FileDevice
from bpscript.filesystems.detect import open_volume
from bpscript.filesystems.ext.format import format_ext
from bpscript.filesystems.fat.format import format_fat

MIB = 1 << 20

LOADED = """
import sys
before = set(sys.modules)
from bpscript.cli.main import main
status = main(sys.argv[1:])
print(*sorted(set(sys.modules) - before), file=sys.stderr)
sys.exit(status)
"""

# Each took 1 to 12 ms of every start, and none is needed for a partition: dataclasses bring inspect, ast, dis and tokenize.
# From Python 3.12 on `isinstance` of a protocol takes inspect by itself.
SLOW = {"inspect"} if sys.version_info < (3, 12) else set()
SLOW |= {"dataclasses", "shutil", "lzma", "logging", "construct", "lark", "rich", "cffi"}
RUNNING = {"bpscript.commands", "bpscript.interpreter", "bpscript.language", "bpscript.partitions.spec", "bpscript.partitions.gpt", "bpscript.machine.files"}
FILES = {"bpscript.archive.incremental", "bpscript.archive.trees", "bpscript.archive.tar_read", "bpscript.archive.unpack", "bpscript.archive.foreign"}
MAKING = {"bpscript.machine.capturing", "bpscript.archive.capture", "bpscript.archive.destinations", "bpscript.filesystems.ntfs", "tempfile", "concurrent.futures"}
RESTORING = {"bpscript.machine.restoring", "bpscript.archive.restore", "bpscript.archive.compare", "bpscript.archive.disk_image"}
VERBS = {
    "version": (["--version"], SLOW | RUNNING | FILES | MAKING | RESTORING | {"argparse", "pathlib", "bpscript.api", "bpscript.base.errors"}),
    "info": (["image", "info", "own.imz"], SLOW | RUNNING | FILES | MAKING | RESTORING | {"bpscript.api"}),
    "restore": (["image", "restore", "own.imz", "target.raw", "--rewrite", "diff"], SLOW | RUNNING | FILES | MAKING | {"bpscript.archive.opened", "bpscript.archive.disk_image", "bpscript.archive.ahead", "bpscript.api.options", "bpscript.filesystems.ext", "locale"}),
    "restore of FAT": (["image", "restore", "fat.imz", "fat.raw"], SLOW | RUNNING | FILES | MAKING | {"bpscript.filesystems.fat.geometry", "ctypes"}),
    "get": (["image", "get", "own.imz:etc/motd", "got"], SLOW | RUNNING | FILES | MAKING | RESTORING | {"bpscript.api"}),
    "capture": (["image", "capture", "source.raw", "new.imz", "--no-verify"], SLOW | RUNNING | FILES | RESTORING | {"bpscript.filesystems.ntfs", "bpscript.archive.readback", "tempfile", "concurrent.futures"}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A volume, its archive, and a target of the same size."""
    folder = tmp_path_factory.mktemp("start")
    for name in ("source.raw", "target.raw"):
        with FileDevice.create(folder / name, 16 * MIB) as device:
            if name == "source.raw":
                format_ext(device, "EXT4", clock=Clock(0))
                with closing(open_volume(device)) as volume:
                    volume.make_dir("etc")
                    volume.write_file("etc/motd", [b"hello"])
    bpscript.capture(folder / "source.raw", folder / "own.imz")
    with FileDevice.create(folder / "fat.raw", 16 * MIB) as device:
        format_fat(device, 16)
    bpscript.capture(folder / "fat.raw", folder / "fat.imz")
    return folder


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_loads_only_what_it_uses(verb: str, folder: Path) -> None:
    arguments, unwanted = VERBS[verb]
    done = subprocess.run([sys.executable, "-c", LOADED, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.split())
    assert "bpscript.cli.main" in loaded
    assert loaded & unwanted == set()
