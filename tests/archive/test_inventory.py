"""Listing a volume by two processes: the same as by one, and as `trees.listing` has it; each case in a process of its own, with one thread."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bpscript.blocks.file import FileDevice
from bpscript.filesystems.detect import open_volume
from bpscript.filesystems.ext import format_ext
from bpscript.filesystems.fat import format_fat
from bpscript.filesystems.filesystem import Facts, FileKind, HasUnixObjects, UnixFacts

MIB = 1 << 20
PRELUDE = """
import os, signal, sys, threading
from pathlib import Path
from bpscript.archive import inventory as module
from bpscript.archive.filters import Filters
from bpscript.archive.inventory import inventory
from bpscript.archive.trees import listing
from bpscript.base.errors import FormatError
from bpscript.blocks.file import FileDevice
from bpscript.filesystems.detect import open_volume
device = FileDevice(Path(sys.argv[1]), writable=False)
volume = open_volume(device, writable=False)
ours = os.getpid()

def same(found, wheres):
    assert found == list(listing(volume, "", Filters()))
    for (path, facts, link), where in zip(found, wheres, strict=True):
        if facts.kind == "file" and facts.size:
            pieces = volume.extents(path)
            assert where == (pieces[0].offset if len(pieces) == 1 and pieces[0].length == facts.size else tuple(pieces)), path
        else:
            assert where is None
    assert not Path(f"/proc/self/task/{ours}/children").read_text()
"""


@pytest.fixture(params=["EXT4", "FAT32"])
def volume(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "volume"
    with FileDevice.create(path, 64 * MIB) as device:
        if request.param == "EXT4":
            format_ext(device, "EXT4", "")
        else:
            format_fat(device, 32, "")
        files = open_volume(device)
        for outer in range(12):
            files.make_dir(f"d{outer}")
            for inner in range(12):
                files.make_dir(f"d{outer}/e{inner}")
                for number in range(inner):
                    unix = UnixFacts(0o644, number, 7, 10**18, 10**18, xattrs={"user.x": b"y"} if number == 3 else {})
                    files.write_file(f"d{outer}/e{inner}/f{number}", (b"x" * number * 999,), number * 999, Facts(FileKind.FILE, number * 999, 10**18, unix=unix))
        if isinstance(files, HasUnixObjects):
            files.make_hard_link("a link", "d11/e9/f3")
            files.make_hard_link("d3/another", "d11/e9/f3")
            files.make_symlink("d5/e5/symbolic", "../nowhere")
            files.make_node("d0/socket", Facts(FileKind.SOCKET, unix=UnixFacts()))
            files.make_node("d11/e11/null", Facts(FileKind.CHARACTER_DEVICE, unix=UnixFacts(0o666, device=(1, 3))))
            files.make_dir(os.fsdecode(b"d7/e7/\xff"))
        files.close()
    return path


def run(volume: Path, text: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", f"{PRELUDE}{text}\ndevice.close()\n", str(volume)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_two_list_what_one_lists(volume: Path) -> None:
    said = run(volume, """
same(*inventory(volume, places=True, copies=False))
listed, below = [], module._below
def counting(volume, extents, directory):
    listed.append(directory)
    yield from below(volume, extents, directory)
module._below = counting
same(*inventory(volume, places=True, copies=True))
print(0 < len(listed) < 144)
""")
    assert said == "True\n"


def test_places_only_for_those_who_want_them(volume: Path) -> None:
    run(volume, """
found, wheres = inventory(volume, places=False, copies=True)
assert found == list(listing(volume, "", Filters()))
assert set(wheres) == {None}
""")


def test_one_that_has_no_room_or_is_killed_is_stood_in_for(volume: Path) -> None:
    run(volume, """
module._ROOM = 4096
same(*inventory(volume, places=True, copies=True))
module._ROOM = 1 << 20
below = module._below
def die(volume, extents, directory):
    if os.getpid() != ours and directory.startswith("d9"):
        os.kill(os.getpid(), signal.SIGKILL)
    yield from below(volume, extents, directory)
module._below = die
same(*inventory(volume, places=True, copies=True))
""")


def test_where_no_process_may_be_made_one_lists_all(volume: Path) -> None:
    run(volume, """
def refuse():
    raise BlockingIOError(11, "Resource temporarily unavailable")
os.fork = refuse
same(*inventory(volume, places=True, copies=True))
""")


def test_damage_is_told_here_and_nobody_is_left(volume: Path) -> None:
    said = run(volume, """
below = module._below
def refuse(volume, extents, directory):
    if directory == "d6/e6":
        raise FormatError("damaged here")
    yield from below(volume, extents, directory)
module._below = refuse
try:
    inventory(volume, places=True, copies=True)
except FormatError as error:
    print(error, Path(f"/proc/self/task/{ours}/children").read_text())
""")
    assert said == "damaged here \n"
