"""What is not imported: of pyfatfs all but its codecs (its file system needs the dead package `fs`), and construct by who only reads."""

import subprocess
import sys
from pathlib import Path

from bpscript.blocks.file import FileDevice
from bpscript.filesystems.fat import format_fat


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


def test_reading_a_volume_does_not_load_construct(tmp_path: Path) -> None:
    image = tmp_path / "image"
    with FileDevice.create(image, 40 << 20) as device:
        format_fat(device, 32)
    program = f"""
import sys
from bpscript.cli.main import main
status = main(["image", "capture", {str(image)!r}, {str(tmp_path / "archive.imz")!r}])
print(status, "bpscript.filesystems.fat.volume" in sys.modules, "construct" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "0 True False"
