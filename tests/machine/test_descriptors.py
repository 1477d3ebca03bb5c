"""A run leaves no file open, whatever it packed and unpacked: a server runs thousands of scripts in one process."""

import gc
import os
import time
from pathlib import Path

from bpscript.api import NewDisk, RunOptions, execute
from tests.network.http.serving import serving

SCRIPT = """SetPartitions "FAT32:64 LINUX-EXT2:64"
Clean "1 2"
Copy "ROOT/s.mrz" "{:1}/x"
FullZip "{:1}/" "ROOT/full.imz"
FullZip "ROOT/tree" "ROOT/tree.imz"
IncrZip "ROOT/tree" "ROOT/a.imi"
IncrZip "{:1}/" "ROOT/b.imi"
FullUnzip "ROOT/full.imz" 1
IncrUnzip "ROOT/a.imi" "{:2}/"
IncrUnzip "ROOT/b.imi" "ROOT/tree"
FullDump "ROOT/full.imz"
XCopy "{:1}/" "ROOT/tree"
FileZip "ROOT/s.mrz" "ROOT/s.z"
FileUnzip "ROOT/s.z" "{:2}/s"
Copy "ROOT/missing" "{:1}/y"
"""


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    script = tmp_path / "s.mrz"
    script.write_text(SCRIPT.replace("ROOT", str(tmp_path)))

    def run() -> int:
        result = execute(RunOptions(script=script, disks=[NewDisk(tmp_path / "disk.img", 200 << 20)], seed="t"))
        assert result.error is not None
        assert "missing" in result.error.message
        return len(os.listdir("/proc/self/fd"))

    assert run() == run() == run()


def test_a_run_lets_its_server_go(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "x").write_text("text")
    (tmp_path / "s.bpb").write_text('LogFile "x"\n')
    with serving(tmp_path / "served") as server:
        opened = len(os.listdir("/proc/self/fd"))
        gc.disable()        # it would close them one day, too
        try:
            assert execute(RunOptions(script=tmp_path / "s.bpb", root=server.url())).log == "text"
            end = time.monotonic() + 5
            while len(os.listdir("/proc/self/fd")) > opened and time.monotonic() < end:
                time.sleep(0.02)            # the server is in this process: it closes its end when it hears of ours
            assert len(os.listdir("/proc/self/fd")) == opened
        finally:
            gc.enable()
