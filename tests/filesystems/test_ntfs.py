"""What is used on NTFS volumes of mkntfs and ntfscp, and that no bytes break the reader."""

import random
import re
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.base.errors import FormatError
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.detect import detect, size_of
from bpscript.filesystems.ntfs import NtfsVolume
from tests.oracles import run_tool

MIB = 1 << 20


def make(path: Path, size: int, *options: str) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    run_tool(["mkntfs", "-F", "-q", "-Q", *options, path])
    return path


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ntfs")
    path = make(folder / "n.img", 5 * MIB, "-L", "Etikett ß")
    for number in range(4):
        (folder / "data").write_bytes(random.Random(number).randbytes(300_000))
        run_tool(["ntfscp", "-f", path, folder / "data", f"file{number}"])
    return path


@pytest.mark.parametrize("options", [(), ("-c", "512"), ("-c", "65536"), ("-s", "4096", "-c", "4096")])
def test_the_boot_sector_and_label_are_read(options: tuple[str, ...], tmp_path: Path) -> None:
    path = make(tmp_path / "n.img", 24 * MIB, "-L", "LABEL", "-p", "2048", "-H", "16", "-S", "63", *options)
    with FileDevice(path) as device:
        found = NtfsVolume.read(device)
        assert (found.hidden_sectors, found.heads, found.sectors_per_track) == (2048, 16, 63)
        assert found.label(device) == "LABEL"
        assert detect(device) == "NTFS"
        assert size_of(device, "NTFS") == found.size
        wanted = dict(zip(options[::2], options[1::2], strict=True))
        assert found.cluster_size == int(wanted.get("-c", "4096"))
        assert found.sector_size == int(wanted.get("-s", "512"))
    serial = run_tool(["blkid", "-p", "-o", "value", "-s", "UUID", path]).stdout.strip()
    assert found.serial == serial


def test_the_used_ranges_hold_everything(volume: Path, tmp_path: Path) -> None:
    """Everything else overwritten, ntfscmp finds no difference and ntfsfix a healthy volume."""
    with FileDevice(volume) as device:
        found = NtfsVolume.read(device)
        ranges = list(found.used_ranges(device))
        assert found.label(device) == "Etikett ß"
    assert ranges == sorted(ranges)
    assert all(a < b <= c for (a, b), (c, _) in pairwise(ranges))
    used = sum(end - start for start, end in ranges)
    data = volume.read_bytes()
    only = bytearray(random.Random(9).randbytes(len(data)))
    for start, end in ranges:
        only[start:end] = data[start:end]
    copy = tmp_path / "copy.img"
    copy.write_bytes(only)
    run_tool(["ntfscmp", volume, copy])
    run_tool(["ntfsfix", "-n", copy])
    for number in range(4):
        assert "300000" in run_tool(["ntfsinfo", "-F", f"file{number}", copy]).stdout
    words = run_tool(["ntfsresize", "--info", "--force", "--no-progress-bar", volume]).stdout
    counted = re.search(r"resize at (\d+) bytes", words)
    assert counted is not None
    assert abs(int(counted[1]) - used) <= 2 * found.cluster_size     # the copy of the boot sector is counted differently


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_bytes_open_or_raise_format_error(volume: Path, data: st.DataObject) -> None:
    """Nothing else, and never a loop."""
    image = bytearray(volume.read_bytes())
    sector, cluster, mft = struct.unpack_from("<HB", image, 11)[0], image[13], struct.unpack_from("<Q", image, 48)[0]
    start = mft * sector * cluster
    for _ in range(data.draw(st.integers(1, 6))):
        area = data.draw(st.sampled_from([(0, 80), (start + 6 * 1024, 1024), (start + 3 * 1024, 1024), (start, 1024)]))
        at = area[0] + data.draw(st.integers(0, area[1] - 1))
        patch = data.draw(st.binary(min_size=1, max_size=8))
        image[at : at + len(patch)] = patch
    device = MemoryDevice(image)
    try:
        found = NtfsVolume.read(device)
        found.label(device)
        ranges = list(found.used_ranges(device))
    except FormatError:
        return
    assert all(0 <= a < b <= device.size for a, b in ranges)
    assert all(b <= c for (_, b), (c, _) in pairwise(ranges))


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (3, b"NTFT", "its name field is missing"),
        (11, b"\x07\x02", "519 bytes per sector"),
        (13, b"\x03", "impossible cluster size"),
        (40, b"\xff" * 8, "the device 5242880 bytes"),
        (64, b"\x1e", "impossible size of FILE records"),
        (48, b"\xff\xff\xff", "lies outside the volume"),
    ],
)
def test_a_damaged_boot_sector_is_refused(volume: Path, offset: int, value: bytes, words: str) -> None:
    image = bytearray(volume.read_bytes())
    image[offset : offset + len(value)] = value
    device = MemoryDevice(image)
    with pytest.raises(FormatError, match=words):
        list(NtfsVolume.read(device).used_ranges(device))


def test_torn_sectors_of_a_record_are_noticed(volume: Path) -> None:
    image = bytearray(volume.read_bytes())
    with FileDevice(volume) as device:
        found = NtfsVolume.read(device)
    place = found.mft_cluster * found.cluster_size + 6 * found.record_size
    image[place + 510] ^= 1
    with pytest.raises(FormatError, match="its sectors do not belong together"):
        list(found.used_ranges(MemoryDevice(image)))
