"""Chunks decoded ahead, by threads and by processes: each case in a process of its own, which has one thread as the product has."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bpscript.archive.container import ArchiveKind, ArchiveWriter, Header
from bpscript.base.errors import FormatError
from tests.archive.archives import opened

CHUNK = 4096
PRELUDE = """
import os, signal, sys, threading
from pathlib import Path
from bpscript.archive import ahead_processes, container
from bpscript.archive.container import Archive
from bpscript.archive.positional import open_from_host
from bpscript.base.errors import FormatError
ahead_processes.WORTH_IT = 4
container.default_threads = lambda: 3
archive = Archive.open(open_from_host(Path(sys.argv[1])))

def children():
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "many.imz"
    with path.open("wb") as file, ArchiveWriter(file, Header(ArchiveKind.INCREMENTAL, CHUNK, None, {}, {b"NAME": b""}), level=1) as writer:
        for number in range(100):
            if number % 10 == 3:
                writer.add_zeros(3 * CHUNK, used=number % 20 == 3)
            writer.add(number.to_bytes(2, "big") * (CHUNK // 2 - number))
        writer.finish()
    return path


def run(archive: Path, text: str, status: int = 0) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", f"{PRELUDE}{text}\narchive.close()\n", str(archive)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (status, "")
    return done.stdout


def contents(archive: Path) -> bytes:
    return b"".join(bytes(data) for _, data in opened(archive.read_bytes()).chunks())


def test_processes_give_what_threads_give(archive: Path, tmp_path: Path) -> None:
    said = run(archive, f"""
with open({str(tmp_path / "out")!r}, "wb") as out:
    for record, data in archive.chunks():
        assert len(children()) == 2, children()
        out.write(data)
print(children(), threading.active_count())
""")
    assert said == "[] 1\n"
    assert (tmp_path / "out").read_bytes() == contents(archive)


@pytest.mark.parametrize("slots", [2048, 2], ids=["all decoded", "rings full"])
def test_nobody_is_left_when_the_rest_is_not_wanted(archive: Path, slots: int) -> None:
    said = run(archive, f"""
from bpscript.archive import ahead_processes
import time
ahead_processes._RING = {slots * CHUNK}
chunks = archive.chunks()
next(chunks)
chunks.close()
descriptors = len(os.listdir("/proc/self/fd"))
chunks = archive.chunks()
next(chunks), next(chunks)
time.sleep(0.1)
chunks.close()
print(children(), len(os.listdir("/proc/self/fd")) - descriptors)
""")
    assert said == "[] 0\n"


def test_what_a_killed_process_did_not_deliver_is_decoded_all_the_same(archive: Path, tmp_path: Path) -> None:
    run(archive, f"""
with open({str(tmp_path / "out")!r}, "wb") as out:
    for number, (record, data) in enumerate(archive.chunks()):
        out.write(data)
        if number in (5, 9):
            os.kill(int(children()[0]), signal.SIGKILL)
""")
    assert (tmp_path / "out").read_bytes() == contents(archive)


def test_where_no_process_may_be_made_everything_is_decoded_here(archive: Path, tmp_path: Path) -> None:
    said = run(archive, f"""
def refuse():
    raise BlockingIOError(11, "Resource temporarily unavailable")
descriptors = len(os.listdir("/proc/self/fd"))
os.fork = refuse
with open({str(tmp_path / "out")!r}, "wb") as out:
    for record, data in archive.chunks():
        out.write(data)
print(len(os.listdir("/proc/self/fd")) - descriptors)
""")
    assert said == "0\n"
    assert (tmp_path / "out").read_bytes() == contents(archive)


def test_damage_is_told_where_it_is_after_all_that_comes_before(archive: Path) -> None:
    with opened(archive.read_bytes()) as whole:
        frame = whole.stored(60)
        offset = whole.record(60).offset
    data = bytearray(archive.read_bytes())
    data[data.index(frame) + len(frame) // 2] ^= 0x55
    archive.write_bytes(data)
    said = run(archive, """
done = 0
try:
    for record, data in archive.chunks():
        done = record.offset + record.length
except FormatError as error:
    print(done, error, children())
""")
    assert said.startswith(f"{offset} archive chunk at {offset}")
    assert said.endswith(" []\n")
    with pytest.raises(FormatError, match=f"archive chunk at {offset}"):
        contents(archive)


def test_processes_end_with_the_one_who_made_them(archive: Path) -> None:
    said = run(archive, """
chunks = archive.chunks()
next(chunks)
print(*children(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
""", status=-signal.SIGKILL)
    assert said.split()
    for number in map(int, said.split()):
        for _ in range(200):
            if not os.path.exists(f"/proc/{number}"):
                break
            os.sched_yield()
            subprocess.run(["sleep", "0.02"], check=True)
        assert not os.path.exists(f"/proc/{number}")
