"""The BlockDevice contract: every device and stack of devices behaves like a bytearray."""

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpscript.base.errors import NoSpaceError, NotFoundError, ReadOnlyError, StorageError, UsageError
from bpscript.base.units import KIB, MIB
from bpscript.blocks.device import BlockDevice, data_ranges_of, host_file_of
from bpscript.blocks.faulty import FaultyDevice
from bpscript.blocks.file import FileDevice
from bpscript.blocks.guarded import GuardedDevice
from bpscript.blocks.journal import JournalDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.blocks.overlay import PAGE, OverlayDevice
from bpscript.blocks.readonly import ReadOnlyDevice
from bpscript.blocks.scratch import ScratchOverlay
from bpscript.blocks.slice import SliceDevice
from bpscript.blocks.tally import ReadsDevice, TallyDevice
from tests.oracles import run_tool

SIZE = 5 * PAGE + 1234      # not a whole number of anything
Make = Callable[[bytes], BlockDevice]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Callable[[bytes], FileDevice]]:
    """Opens image files, one for each call."""
    with ExitStack() as stack:
        count = 0

        def image(content: bytes) -> FileDevice:
            nonlocal count
            count += 1
            path = tmp_path / f"disk{count}.img"
            path.write_bytes(content)
            return stack.enter_context(FileDevice(path))

        yield image


def sliced(lower: BlockDevice, content: bytes) -> SliceDevice:
    lower.write(1000, content)
    return SliceDevice(lower, 1000, len(content))


WRITABLE: dict[str, Callable[[Make, bytes], BlockDevice]] = {
    "memory": lambda image, content: MemoryDevice(content),
    "file": lambda image, content: image(content),
    "slice": lambda image, content: sliced(MemoryDevice(len(content) + 3000), content),
    "overlay": lambda image, content: OverlayDevice(MemoryDevice(content)),
    "scratch overlay": lambda image, content: ScratchOverlay(ReadOnlyDevice(MemoryDevice(content)), MemoryDevice(len(content))),
    "scratch overlay of files": lambda image, content: ScratchOverlay(ReadOnlyDevice(image(content)), image(bytes(len(content)))),
    "faulty": lambda image, content: FaultyDevice(MemoryDevice(content)),
    "journal": lambda image, content: JournalDevice(MemoryDevice(content)),
    "tally": lambda image, content: TallyDevice(MemoryDevice(content)),
    "reads": lambda image, content: ReadsDevice(MemoryDevice(content)),
    "tally of a scratch overlay of reads": lambda image, content: TallyDevice(
        ScratchOverlay(ReadsDevice(image(content)), image(bytes(len(content))))
    ),
    "guarded": lambda image, content: GuardedDevice(image(content), lambda: None),
    "overlay of a read-only file": lambda image, content: OverlayDevice(ReadOnlyDevice(image(content))),
    "slice of an overlay of a file": lambda image, content: sliced(OverlayDevice(image(bytes(len(content) + 3000))), content),
    "overlay of a slice of a file": lambda image, content: OverlayDevice(sliced(image(bytes(len(content) + 3000)), content)),
    "journal of an overlay of an overlay": lambda image, content: JournalDevice(OverlayDevice(OverlayDevice(MemoryDevice(content))), keep_data=False),
    "faulty slice of a slice": lambda image, content: FaultyDevice(
        sliced(SliceDevice(MemoryDevice(len(content) + 9000), 3000, len(content) + 4000), content), writes_allowed=10_000
    ),
}
READABLE = WRITABLE | {"read-only": lambda image, content: ReadOnlyDevice(MemoryDevice(content))}
writable = pytest.mark.parametrize("make", WRITABLE.values(), ids=WRITABLE)
readable = pytest.mark.parametrize("make", READABLE.values(), ids=READABLE)

# Ranges: some small, some around the edges of pages, some long.
offsets = st.integers(0, SIZE) | st.builds(lambda page, shift: min(max(0, page * PAGE + shift), SIZE), st.integers(0, 6), st.integers(-3, 3))
steps = st.lists(
    st.tuples(st.sampled_from(["write", "writev", "zero", "read", "readinto", "ranges", "flush"]), offsets, offsets, st.integers(1, 255)), max_size=25
)


def data_of(value: int, length: int) -> bytes:
    return bytes((value + index * 7) % 256 for index in range(min(length, 251))) * (length // 251 + 1)


@writable
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(todo=steps, sparse=st.booleans())
def test_it_behaves_like_a_bytearray(
    make: Callable[[Make, bytes], BlockDevice], folder: Make, todo: list[tuple[str, int, int, int]], sparse: bool
) -> None:
    content = bytes(SIZE) if sparse else data_of(1, SIZE)[:SIZE]
    device, model = make(folder, content), bytearray(content)
    assert device.size == SIZE
    for what, one, other, value in todo:
        start, end = min(one, other), max(one, other)
        data = data_of(value, end - start)[: end - start]
        if what == "write":
            buffer = bytearray(data)
            device.write(start, memoryview(buffer))
            buffer[:] = bytes(len(buffer))              # the device kept a copy
            model[start:end] = data
        elif what == "writev":
            cut = len(data) // 3
            device.writev(start, [data[:cut], bytearray(data[cut : 2 * cut]), b"", memoryview(data)[2 * cut :]])
            model[start:end] = data
        elif what == "zero":
            device.zero(start, end - start)
            model[start:end] = bytes(end - start)
        elif what == "read":
            assert device.read(start, end - start) == model[start:end]
        elif what == "readinto":
            target = bytearray(b"\xaa" * (end - start + 2))
            device.readinto(start, memoryview(target)[1:-1])
            assert target == b"\xaa" + model[start:end] + b"\xaa"
        elif what == "ranges":
            check_data_ranges(device, model, start, end)
        else:
            device.flush()
    assert device.read(0, SIZE) == model
    check_data_ranges(device, model, 0, SIZE)


def check_data_ranges(device: BlockDevice, model: bytearray, start: int, end: int) -> None:
    """In order, apart, inside the window, and nothing but zeros between them."""
    position = start
    for first, last in data_ranges_of(device, start, end - start):
        assert position <= first < last <= end
        assert not any(model[position:first])
        position = last
    assert not any(model[position:end])


@readable
@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, SIZE + 1), (SIZE, 1), (SIZE + 1, 0), (1 << 62, 1)])
def test_nothing_outside_is_touched(make: Callable[[Make, bytes], BlockDevice], folder: Make, offset: int, length: int) -> None:
    device = make(folder, data_of(3, SIZE)[:SIZE])
    attempts: list[Callable[[], object]] = [
        lambda: device.read(offset, length),
        lambda: device.readinto(offset, bytearray(length)),
        lambda: device.write(offset, bytes(length)),
        lambda: device.writev(offset, [b"", bytes(length)]),
        lambda: device.zero(offset, length),
    ]
    for attempt in attempts:
        with pytest.raises(StorageError):
            attempt()
    assert device.read(0, SIZE) == data_of(3, SIZE)[:SIZE]


@writable
def test_a_writev_that_does_not_fit_writes_nothing(make: Callable[[Make, bytes], BlockDevice], folder: Make) -> None:
    device = make(folder, bytes(SIZE))
    with pytest.raises(StorageError, match="outside"):
        device.writev(SIZE - 10, [b"x" * 5, b"y" * 6])
    assert device.read(0, SIZE) == bytes(SIZE)


@pytest.mark.parametrize("length", [-1, SIZE + 1, 1 << 60])
def test_a_length_from_hostile_bytes_is_refused_before_memory_is_taken(length: int) -> None:
    for device in (MemoryDevice(SIZE), OverlayDevice(MemoryDevice(SIZE)), SliceDevice(MemoryDevice(SIZE), 0, SIZE)):
        with pytest.raises(StorageError, match="outside"):
            device.read(0, length)


def test_many_buffers_at_once(folder: Callable[[bytes], FileDevice]) -> None:
    device = folder(bytes(5000))
    device.writev(10, [bytes((number % 256,)) for number in range(3000)])
    assert device.read(10, 3000) == bytes(number % 256 for number in range(3000))


# Layers


def test_a_slice_must_lie_on_its_device() -> None:
    for start, size in ((0, 101), (50, 51), (-1, 5), (5, -1)):
        with pytest.raises(StorageError, match=r"partition: bytes .* are outside its 100 bytes"):
            SliceDevice(MemoryDevice(100), start, size)


def test_an_overlay_never_writes_below(folder: Callable[[bytes], FileDevice]) -> None:
    content = data_of(9, SIZE)[:SIZE]
    device = OverlayDevice(ReadOnlyDevice(MemoryDevice(content)))
    device.write(5, b"x")
    device.zero(0, SIZE)
    device.write(PAGE + 1, b"y")
    device.flush()
    assert list(device.changed_ranges()) == [(0, SIZE)]
    assert list(device.data_ranges(0, SIZE)) == [(PAGE, 2 * PAGE)]


def test_an_overlay_zeroes_a_huge_disk_at_once() -> None:
    class Endless(MemoryDevice):
        @property
        def size(self) -> int:
            return 1 << 50

    device = OverlayDevice(Endless(0))
    device.write(1 << 40, b"data")
    device.zero(PAGE, (1 << 50) - PAGE)
    device.write(1 << 41, b"more")
    assert device.read((1 << 41) - 2, 8) == b"\0\0more\0\0"
    assert device.read(1 << 40, 4) == bytes(4)
    assert list(device.changed_ranges()) == [(PAGE, 1 << 50)]


def test_a_read_only_device_refuses_and_names_itself() -> None:
    device = ReadOnlyDevice(MemoryDevice(100), "win98.imz")
    attempts: list[Callable[[], None]] = [lambda: device.write(0, b"x"), lambda: device.writev(0, [b"x"]), lambda: device.zero(0, 1)]
    for attempt in attempts:
        with pytest.raises(ReadOnlyError, match=r"^win98.imz is open for reading only$"):
            attempt()


def test_a_faulty_device_fails_where_it_was_told() -> None:
    device = FaultyDevice(MemoryDevice(100), writes_allowed=2, bad_ranges=[(50, 60)])
    device.write(0, b"x")
    device.zero(1, 1)
    with pytest.raises(StorageError, match="faulty device: cannot write byte 7"):
        device.write(7, b"x")
    assert device.read(0, 50) == b"x" + bytes(49)
    for offset, length in ((59, 1), (0, 100), (40, 11)):
        with pytest.raises(StorageError, match="faulty device: cannot read byte 5"):
            device.read(offset, length)
    assert device.read(60, 40) == bytes(40)


def test_where_the_bytes_lie_in_the_host(folder: Callable[[bytes], FileDevice]) -> None:
    device = folder(bytes(5000))
    assert host_file_of(SliceDevice(SliceDevice(device, 1000, 3000), 10, 20)) == (device.path, 1010)
    assert host_file_of(SliceDevice(OverlayDevice(device), 0, 20)) is None
    assert host_file_of(JournalDevice(device)) is None
    assert host_file_of(MemoryDevice(5)) is None


# Image files


def test_zeroing_an_image_file_makes_holes(folder: Callable[[bytes], FileDevice]) -> None:
    device = folder(b"x" * (4 * MIB))
    before = device.path.stat().st_blocks
    device.zero(MIB + 5, 2 * MIB)
    if device.path.stat().st_blocks == before:
        pytest.skip("this file system makes no holes")
    assert next(device.data_ranges(MIB, 2 * MIB))[0] == MIB
    assert sum(b - a for a, b in device.data_ranges(0, 4 * MIB)) <= 2 * MIB + 128 * KIB
    assert device.read(0, 4 * MIB) == b"x" * (MIB + 5) + bytes(2 * MIB) + b"x" * (MIB - 5)


def test_without_holes_zeros_are_written(folder: Callable[[bytes], FileDevice], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpscript.blocks.holes.punch_hole", lambda *_: False)
    device = folder(b"x" * (9 * MIB))
    device.zero(10, 9 * MIB - 20)
    assert device.read(0, 9 * MIB) == b"x" * 10 + bytes(9 * MIB - 20) + b"x" * 10


def test_a_new_image_is_sparse_and_has_its_size(tmp_path: Path) -> None:
    with FileDevice.create(tmp_path / "new.img", 1 << 40) as device:
        assert device.size == 1 << 40
        assert list(device.data_ranges(0, 1 << 40)) == []
        device.write((1 << 40) - 1, b"x")
        [(start, end)] = device.data_ranges(0, 1 << 40)
        assert (1 << 40) - MIB <= start < end == 1 << 40
    with pytest.raises(StorageError, match=r"new.img exists already"):
        FileDevice.create(tmp_path / "new.img", 5)


def test_images_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot create: No such file or directory"):
        FileDevice.create(tmp_path / "nowhere" / "x", 5)
    with pytest.raises(NoSpaceError, match=f"cannot make an image of {1 << 63 - 1} bytes"):
        FileDevice.create(tmp_path / "huge", 1 << 63 - 1)
    assert not (tmp_path / "huge").exists()


@pytest.mark.parametrize(("first", "second", "allowed"), [(True, True, False), (True, False, False), (False, True, False), (False, False, True)])
def test_two_runs_on_one_image_are_an_error(folder: Callable[[bytes], FileDevice], tmp_path: Path, first: bool, second: bool, allowed: bool) -> None:
    path = tmp_path / "locked.img"
    path.write_bytes(b"x")
    with FileDevice(path, writable=first):
        if allowed:
            FileDevice(path, writable=second).close()
        else:
            with pytest.raises(StorageError, match=r"locked.img is in use by another run"):
                FileDevice(path, writable=second)
    FileDevice(path, writable=second).close()      # closing gives up the lock


def test_the_lock_holds_against_another_process(tmp_path: Path) -> None:
    path = tmp_path / "locked.img"
    path.write_bytes(b"x")
    code = "import sys; from bpscript.blocks.file import FileDevice\ntry: FileDevice(sys.argv[1])\nexcept Exception as e: print(type(e).__name__, e)"
    with FileDevice(path):
        result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert result.stdout == f"StorageError {path} is in use by another run\n"


def test_what_is_no_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nothing: no such image file or disk") as caught:
        FileDevice(tmp_path / "nothing")
    assert caught.value.hint == f"bpscript disk create {tmp_path / 'nothing'} SIZE makes an image file"
    with pytest.raises(NotFoundError) as caught:
        FileDevice(tmp_path / "nothing", writable=False)
    assert caught.value.hint is None
    with pytest.raises(UsageError, match="neither an image file nor a disk"):
        FileDevice(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="neither an image file nor a disk"):
        FileDevice(tmp_path / "fifo")
    with pytest.raises(UsageError, match="neither an image file nor a disk"):
        FileDevice("/dev/null")


@contextmanager
def ordinary_user() -> Iterator[int]:
    """Permissions count in the block, also when the tests run as the administrator; gives the user's number."""
    if os.geteuid() != 0:
        yield os.geteuid()
        return
    os.seteuid(65534)       # nobody
    try:
        yield 65534
    finally:
        os.seteuid(0)


def test_an_image_without_permission() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        with ordinary_user():
            path = Path(folder) / "mine.img"
            path.write_bytes(b"x")
            path.chmod(0o400)
            with pytest.raises(ReadOnlyError, match="cannot be opened for writing: Permission denied"):
                FileDevice(path)
            path.chmod(0)
            with pytest.raises(StorageError, match="cannot be read: Permission denied"):
                FileDevice(path, writable=False)


def test_an_image_opened_for_reading_refuses_writes(tmp_path: Path) -> None:
    path = tmp_path / "x.img"
    path.write_bytes(b"x" * 100)
    with FileDevice(path, writable=False) as device:
        attempts: list[Callable[[], None]] = [lambda: device.write(0, b"y"), lambda: device.writev(0, [b"y"]), lambda: device.zero(0, 5)]
        for attempt in attempts:
            with pytest.raises(ReadOnlyError, match=r"x.img is open for reading only"):
                attempt()
        device.flush()
    assert path.read_bytes() == b"x" * 100


def test_an_image_that_becomes_shorter_while_in_use(folder: Callable[[bytes], FileDevice]) -> None:
    device = folder(bytes(1000))
    os.truncate(device.path, 500)
    with pytest.raises(StorageError, match="became shorter while in use"):
        device.read(400, 200)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_host_without_room(folder: Callable[[bytes], FileDevice], monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    device = folder(bytes(1000))

    def full(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(NoSpaceError, match="the host has no room left for this image"):
        device.write(0, b"x")


def test_a_full_file_system_of_the_host(tmp_path: Path) -> None:
    """A tmpfs of 1 MB, where we may mount one."""
    code = f"""
import sys
import tempfile
sys.path[:0] = {sys.path!r}
from bpscript.blocks.file import FileDevice
from bpscript.blocks.guarded import GuardedDevice
device = FileDevice.create(sys.argv[1] + "/disk.img", 10 << 20)
try:
    for offset in range(0, 10 << 20, 1 << 16):
        device.write(offset, b"x" * (1 << 16))
except Exception as error:
    print(type(error).__name__, error)
"""
    script = 'mount -t tmpfs -o size=1m none "$1" 2>/dev/null || exit 77; exec "$2" -c "$3" "$1"'
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", str(tmp_path), sys.executable, code], capture_output=True, text=True, check=False
    )
    if result.returncode in {1, 77}:
        pytest.skip("no file system can be mounted here")
    assert result.stdout == f"NoSpaceError {tmp_path}/disk.img: the host has no room left for this image\n", result.stderr


@pytest.fixture
def loop_disk(tmp_path: Path) -> Iterator[Path]:
    """A real block device, where the machine lends us one."""
    image = tmp_path / "loop.img"
    image.write_bytes(b"x" * MIB)
    try:
        found = subprocess.run(["losetup", "--find", "--show", str(image)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("losetup is not installed")
    if found.returncode:
        pytest.skip(f"no loop device: {found.stderr.strip()}")
    disk = Path(found.stdout.strip())
    try:
        yield disk
    finally:
        subprocess.run(["losetup", "--detach", str(disk)], check=True)


def test_a_real_disk_needs_permission_and_is_zeroed_exactly(loop_disk: Path) -> None:
    with pytest.raises(ReadOnlyError, match="is a real disk") as caught:
        FileDevice(loop_disk)
    assert caught.value.hint == "add -w to allow writing to it"
    with FileDevice(loop_disk, allow_real_disk=True) as device:
        assert (device.size, device.is_real_disk) == (MIB, True)
        device.zero(1000, 100_000)
        device.zero(200_001, 7)
        device.flush()
        assert device.read(0, MIB) == b"x" * 1000 + bytes(100_000) + b"x" * (200_001 - 101_000) + bytes(7) + b"x" * (MIB - 200_008)


def test_a_mounted_disk_is_refused_by_name(loop_disk: Path, tmp_path: Path) -> None:
    run_tool(["mkfs.ext2", "-q", "-F", loop_disk])
    code = f"""
import sys
import tempfile
sys.path[:0] = {sys.path!r}
from bpscript.blocks.file import FileDevice
from bpscript.blocks.guarded import GuardedDevice
try:
    FileDevice(sys.argv[1], allow_real_disk=True)
except Exception as error:
    print(type(error).__name__, error, error.hint)
"""
    script = 'mount "$1" "$2" 2>/dev/null || exit 77; exec "$3" -c "$4" "$1"'
    result = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(loop_disk), str(tmp_path), sys.executable, code],
        capture_output=True, text=True, check=False,
    )
    if result.returncode in {1, 77}:
        pytest.skip("no disk can be mounted here")
    assert result.stdout == f"StorageError {loop_disk} is in use: {loop_disk} mounted on {tmp_path} unmount it first\n", result.stderr
