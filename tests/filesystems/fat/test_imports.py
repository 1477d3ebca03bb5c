"""pyfatfs serves with its codecs only; its file system needs the dead package `fs`."""

import subprocess
import sys


def test_nothing_of_fs_is_imported_by_using_a_volume() -> None:
    program = """
import sys
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.fat import FatVolume, format_fat
device = MemoryDevice(1 << 20)
format_fat(device, 12)
volume = FatVolume.on(device)
volume.write_file("a long name", [b"x"])
volume.close()
volume.check()
loaded = [name for name in sys.modules if name.split(".")[0] in {"fs", "pkg_resources"} or name.startswith(("pyfatfs.PyFat", "pyfatfs.FatIO"))]
print(loaded)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
