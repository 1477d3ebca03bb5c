"""A run leaves no file open, whatever it packed and unpacked: a server runs thousands of scripts in one process."""

import os
from pathlib import Path

from bpscript.api import NewDisk, RunOptions, execute

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
