"""Files of a server in the cache (language.md 5), over real HTTP and TFTP, on disks in memory and in images."""

import os
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import bpscript
from bpscript.api import Result, RunOptions, create_disk, execute
from bpscript.base.clock import Clock
from bpscript.base.entropy import Entropy
from bpscript.blocks.device import BlockDevice
from bpscript.blocks.file import FileDevice
from bpscript.blocks.journal import JournalDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.cli.main import main
from bpscript.filesystems.cache import CacheVolume
from bpscript.filesystems.cache.layout import BLOCK
from bpscript.machine.capturing import CaptureOptions
from bpscript.machine.disk import Disk
from bpscript.machine.settings import NoSettings
from bpscript.partitions.plan import plan_partitions
from tests.network.http.serving import Serving
from tests.network.http.serving import serving as http_server
from tests.network.tftp.peers import serving as tftp_server

MIB = 1 << 20


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two archives of ext4 partitions of which the second differs in one file of many, and an incremental one."""
    folder = tmp_path_factory.mktemp("images")
    tree = folder / "tree"
    tree.mkdir()
    for number in range(24):
        (tree / f"file{number}").write_bytes(noise(400_000, number))
    options = CaptureOptions(kind="EXT4", size=32 * MIB, seed="t")
    bpscript.capture(tree, folder / "one.imz", options)
    (tree / "file7").write_bytes(noise(400_000, 99))
    bpscript.capture(tree, folder / "two.imz", options)
    bpscript.capture(tree, folder / "files.imi", CaptureOptions(incremental=True))
    return folder


@dataclass
class Room:
    """A server's folder, a disk with a partition of 40 MB, and a cache behind it."""

    folder: Path
    disk: Path
    url: str

    def run(self, script: str, **variables: str) -> Result:
        path = self.disk.with_name("go.bpb")
        path.write_text(script)
        result = execute(RunOptions(script=path, root=self.url, disks=[self.disk], variables=variables))
        if result.error is not None:
            raise result.error
        return result

    def serve(self, source: Path, name: str = "", mtime: int = 1_700_000_000) -> None:
        """Put a file on the server."""
        target = self.folder / (name or source.name)
        target.write_bytes(source.read_bytes())
        os.utime(target, (mtime, mtime))

    def cached(self) -> dict[str, bytes]:
        """What the cache holds, every block checked."""
        with bpscript.open_disk(self.disk) as disk:
            volume = disk.volume(-1)
            assert isinstance(volume, CacheVolume)
            assert volume.check() == []
            found = {}
            for name, _ in volume.entries(""):
                with closing(volume.open(name)) as reader:
                    found[name] = reader.read()
            return found


@contextmanager
def room(tmp_path: Path, size: int = 128 * MIB, partitions: str = "LINUX-EXT2:40") -> Iterator[tuple[Room, Serving]]:
    folder = tmp_path / "served"
    folder.mkdir(exist_ok=True)
    disk = tmp_path / "disk.img"
    if not disk.exists():
        create_disk(disk, size, partitions=partitions, format_partitions=True)
    with http_server(folder) as server:
        yield Room(folder, disk, server.url()), server


def bodies(server: Serving) -> int:
    """Bytes of files that went over the wire since the last time."""
    seen = server.seen
    total = sum(each.sent for each in seen if each.method == "GET" and each.status in {200, 206})
    server.told.clear()
    return total


def requests(server: Serving) -> set[str]:
    return {each.method for each in server.seen}


def test_an_archive_is_kept_while_it_is_restored_and_never_fetched_again(tmp_path: Path, images: Path) -> None:
    with room(tmp_path) as (it, server):
        it.serve(images / "one.imz", "lab.imz")
        archive = (images / "one.imz").read_bytes()
        assert it.run('FullUnzip "lab.imz" 1').log == ""
        assert len(archive) <= bodies(server) < len(archive) * 1.1
        assert it.cached() == {"lab.imz": archive}
        with bpscript.open_disk(it.disk) as disk, closing(disk.volume(1).open("file7")) as reader:
            assert reader.read() == noise(400_000, 7)
        # The second boot, also when the partition was spoilt meanwhile: nothing but questions.
        it.run('Clean 1\nFullUnzip "lab.imz" 1')
        assert requests(server) == {"HEAD"}
        assert bodies(server) == 0
        with bpscript.open_disk(it.disk) as disk, closing(disk.volume(1).open("file7")) as reader:
            assert reader.read() == noise(400_000, 7)


def test_a_new_file_on_the_server_is_noticed(tmp_path: Path, images: Path) -> None:
    with room(tmp_path) as (it, _):
        it.serve(images / "one.imz", "lab.imz")
        it.run('FullUnzip "lab.imz" 1')
        it.serve(images / "two.imz", "lab.imz", mtime=1_700_000_001)
        it.run('Set Rewrite = "ALL"\nFullUnzip "lab.imz" 1')
        assert it.cached() == {"lab.imz": (images / "two.imz").read_bytes()}


def test_a_restore_by_difference_stays_small_with_a_cache(tmp_path: Path, images: Path) -> None:
    with room(tmp_path) as (it, server):
        it.serve(images / "one.imz", "lab.imz")
        it.run('FullUnzip "lab.imz" 1')
        bodies(server)
        it.serve(images / "two.imz", "lab.imz", mtime=1_700_000_001)
        size = (images / "two.imz").stat().st_size
        it.run('Set Rewrite = "DIFF"\nFullUnzip "lab.imz" 1')
        assert bodies(server) < size / 2
        assert "lab.imz" in it.cached()         # the older one: it is no longer used, and goes when room is short
        script = 'Set Rewrite = "DIFF"\nFullUnzip "lab.imz" 1'
        it.run(script)
        again = bodies(server)
        it.run(script, CacheNever="ON")
        assert again < bodies(server) + 10_000          # what a difference costs without a cache


@pytest.mark.parametrize("command", ['IncrUnzip "files.imi" "{:1}/"', 'IncrUnzip "files.imi" 1'])
def test_incremental_archives_are_kept(tmp_path: Path, images: Path, command: str) -> None:
    with room(tmp_path) as (it, server):
        it.serve(images / "files.imi")
        it.run(command)
        bodies(server)
        assert list(it.cached()) == ["files.imi"]
        it.run(command)
        assert bodies(server) == 0


COPIES = {
    'Copy "x" "{:1}/x"': False, 'Append "x" "x" "{:1}/x"': False, 'Patch "x" "{:1}/x"': False, 'LogFile "x"': None, 'Include "x"': None,
    'LoadRamDisk "floppy"': True, 'If "a" in-file "x" Log "y"': None, 'If exist "x" Log "y"': None, 'HideBootProm': None,
}  # fmt: skip


@pytest.mark.parametrize("command", COPIES)
@pytest.mark.parametrize("switch", ["", "CacheAlways", "CacheNever"])
def test_which_commands_keep_what_they_read(tmp_path: Path, command: str, switch: str) -> None:
    """True: always; False: when $CacheAlways is on; None: never."""
    with room(tmp_path, 64 * MIB) as (it, server):
        (it.folder / "x").write_text("# one line\n")
        (it.folder / "floppy").write_bytes(noise(368_640))
        it.run(command, **({switch: "ON"} if switch else {}))
        kept = COPIES[command] if switch == "" else COPIES[command] is not None and switch == "CacheAlways"
        assert bool(it.cached()) is bool(kept)
        if kept:
            bodies(server)
            it.run(command, **({switch: "ON"} if switch else {}))
            assert bodies(server) == 0


def test_a_local_folder_is_never_cached(tmp_path: Path, images: Path) -> None:
    with room(tmp_path) as (it, _):
        it.serve(images / "one.imz", "lab.imz")
        it.url = str(it.folder)
        it.run('Set CacheAlways = "ON"\nFullUnzip "lab.imz" 1\nCopy "lab.imz" "{:1}/copy"')
        assert it.cached() == {}


def test_what_has_no_room_comes_past_the_cache_with_a_note(tmp_path: Path, images: Path) -> None:
    with room(tmp_path, 44 * MIB) as (it, server):
        it.serve(images / "one.imz", "lab.imz")
        result = it.run('FullUnzip "lab.imz" 1')
        assert result.log.startswith('[note] "lab.imz" is not kept in the cache: "lab.imz" with ')
        assert result.log.count("[note]") == 1
        assert it.cached() == {}
        assert bodies(server) > 0


@pytest.mark.parametrize(("size", "partitions"), [(41 * MIB, "LINUX-EXT2:40"), (41 * MIB + 100_000, "LINUX-EXT2:40"), (64 * MIB, "")])
def test_a_disk_without_a_cache_is_left_alone(tmp_path: Path, size: int, partitions: str) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "floppy").write_bytes(noise(368_640))
    create_disk(tmp_path / "disk.img", size, partitions=partitions or None)
    before = (tmp_path / "disk.img").read_bytes()
    with room(tmp_path) as (it, _):
        assert it.run('LoadRamDisk "floppy"').log == ""
        assert it.run('LoadRamDisk "floppy"', CacheDisk="3").log == ""
        assert '$CacheDisk is "C"' in it.run('LoadRamDisk "floppy"', CacheDisk="C").log
    assert (tmp_path / "disk.img").read_bytes() == before


def test_the_least_recently_used_go_first_and_the_reserve_is_a_quarter(tmp_path: Path) -> None:
    with room(tmp_path, 44 * MIB) as (it, _):
        for number in range(4):
            (it.folder / f"f{number}").write_bytes(noise(900_000, number))
        switch = 'Set CacheAlways = "ON"\n'
        it.run(switch + 'Copy "f0" "{:1}/x"\nCopy "f1" "{:1}/x"\nCopy "f0" "{:1}/x"')
        assert list(it.cached()) == ["f0", "f1"]
        it.run(switch + 'Copy "f2" "{:1}/x"\nCopy "f3" "{:1}/x"')
        cached = set(it.cached())
        assert "f1" not in cached
        assert {"f2", "f3"} <= cached
        with bpscript.open_disk(it.disk) as disk:
            volume = disk.volume(-1)
            assert isinstance(volume, CacheVolume)
            assert {entry.capacity for _, entry in volume._entries.values()} == {36}       # 28 blocks + checksums, and a quarter
    with room(tmp_path, 44 * MIB) as (it, _):
        it.run('Clean -1\nSet CacheReserve = "OFF"\nSet CacheAlways = "ON"\nCopy "f1" "{:1}/x"')
        with bpscript.open_disk(it.disk) as disk:
            volume = disk.volume(-1)
            assert isinstance(volume, CacheVolume)
            assert [entry.capacity for _, entry in volume._entries.values()] == [29]


def test_a_damaged_block_is_read_from_the_server_instead(tmp_path: Path, images: Path) -> None:
    with room(tmp_path) as (it, server):
        it.serve(images / "one.imz", "lab.imz")
        it.run('FullUnzip "lab.imz" 1')
        with bpscript.open_disk(it.disk) as disk:
            volume = disk.volume(-1)
            assert isinstance(volume, CacheVolume)
            start = disk.need_cache_area().start + volume._geometry.block_offset(volume._entries["lab.imz"][1].extents[0][0] + 40)
        with FileDevice(it.disk) as device:
            device.write(start, b"\xff" * 100)
        bodies(server)
        it.run('Clean 1\nFullUnzip "lab.imz" 1')
        assert bodies(server) > 0
        assert it.cached() == {}
        with bpscript.open_disk(it.disk) as disk, closing(disk.volume(1).open("file20")) as reader:
            assert reader.read() == noise(400_000, 20)
        it.run('Clean 1\nFullUnzip "lab.imz" 1')
        assert list(it.cached()) == ["lab.imz"]


def test_a_command_that_fails_keeps_nothing(tmp_path: Path, images: Path) -> None:
    with room(tmp_path) as (it, _):
        it.serve(images / "one.imz", "lab.imz")
        data = bytearray((it.folder / "lab.imz").read_bytes())
        data[len(data) * 3 // 4] ^= 1
        (it.folder / "lab.imz").write_bytes(data)
        result = it.run('Set ErrorMode = "CONTINUE"\nFullUnzip "lab.imz" 1')
        assert "[warning]" in result.log
        assert it.cached() == {}


def test_archives_by_tftp_are_fetched_whole_first_and_then_read_from_anywhere(tmp_path: Path, images: Path) -> None:
    with room(tmp_path) as (it, _), tftp_server(it.folder) as server:
        it.url = f"tftp://127.0.0.1:{server.server.port}/"
        it.serve(images / "one.imz", "lab.imz")
        it.run('FullUnzip "lab.imz" 1')
        assert it.cached() == {"lab.imz": (images / "one.imz").read_bytes()}
        server.events.clear()
        it.run('Clean 1\nFullUnzip "lab.imz" 1')
        wire = sum(int(str(event.data.get("size") or 0)) for event in server.events)
        assert wire <= 4 * BLOCK                # the first block, to compare: a TFTP server tells no times
        other = bytearray((it.folder / "lab.imz").read_bytes())
        other[100] ^= 1
        (it.folder / "lab.imz").write_bytes(other)
        assert "[warning]" in it.run('Set ErrorMode = "CONTINUE"\nFullUnzip "lab.imz" 1').log      # it was fetched again, and is damaged


def test_a_signature_is_asked_for_by_tftp_too(tmp_path: Path, images: Path) -> None:
    with room(tmp_path) as (it, _), tftp_server(it.folder) as server:
        it.url = f"tftp://127.0.0.1:{server.server.port}/"
        it.serve(images / "one.imz", "lab.imz")
        assert main(["image", "keygen", str(tmp_path / "lab")]) == 0
        it.serve(tmp_path / "lab.pub")
        log = it.run('Set ErrorMode = "CONTINUE"\nSet Image-Key = "lab.pub"\nFullUnzip "lab.imz" 1').log
        assert "not signed" in log or "no signature" in log
        assert main(["image", "sign", str(it.folder / "lab.imz"), str(tmp_path / "lab.key")]) == 0
        assert it.run('Set Image-Key = "lab.pub"\nFullUnzip "lab.imz" 1').log == ""


def test_the_name_of_a_file_of_another_server_has_its_server_part(tmp_path: Path) -> None:
    with room(tmp_path, 64 * MIB) as (it, _), tftp_server(it.folder) as server:
        (it.folder / "x").write_bytes(noise(100_000))
        it.run(f'Set CacheAlways = "ON"\nCopy "127.0.0.1@{server.server.port}:/x" "{{:1}}/x"\nCopy "x" "{{:1}}/y"')
        assert sorted(it.cached()) == [f"127.0.0.1@{server.server.port}:x", "x"]


def test_power_cuts_while_a_file_is_kept_leave_it_whole_or_not_there(tmp_path: Path) -> None:
    """Every prefix of what was written while two archives go into the cache, the second in the room of the first."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "a").write_bytes(noise(700_000, 1))
    (folder / "b").write_bytes(noise(800_000, 2))
    size = 24 * MIB
    empty = MemoryDevice(size)
    plan_partitions("BIGDOS:20", empty, entropy=Entropy("t")).apply(empty)
    start = empty.read(0, size)
    first = MemoryDevice(size)
    first.write(0, start)
    journal = JournalDevice(first)
    with http_server(folder) as server:
        script = tmp_path / "go.bpb"
        script.write_text('Set CacheAlways = "ON"\nClean 1\nCopy "a" "{:1}/a"\nCopy "b" "{:1}/b"\nCopy "a" "{:1}/a"\n')
        result = execute(RunOptions(script=script, root=server.url(), disks=[journal]))
        assert result.error is None
    wanted = {"a": noise(700_000, 1), "b": noise(800_000, 2)}
    order = random.Random(3)
    seen = set()
    for prefix in range(len(journal.writes) + 1):
        unflushed = journal.unflushed(prefix)
        disk = MemoryDevice(size)
        disk.write(0, start)
        journal.replay(prefix, disk, lost={each for each in unflushed if order.random() < 0.5}, torn=order.randrange(0, 4096, 512))
        found = whole_files(disk)
        assert found.items() <= wanted.items()
        seen.add(tuple(sorted(found)))
    assert len(seen) >= 3           # none, one, both


def whole_files(device: BlockDevice) -> dict[str, bytes]:
    volume = Disk(0, device, "memory", NoSettings(), Clock(0)).volume(-1)
    found = {}
    for name, _ in volume.entries(""):
        with closing(volume.open(name)) as reader:
            found[name] = reader.read()
    return found


def test_a_disk_that_cannot_be_written_is_read_past(tmp_path: Path) -> None:
    with room(tmp_path, 64 * MIB) as (it, _):
        (it.folder / "floppy").write_bytes(noise(368_640))
        log = it.run('Set Expect-Disk-0 = "serial=other"\nLoadRamDisk "floppy"').log
        assert "is not kept in the cache: disk 0 is not the disk that $Expect-Disk-0 asks for" in log
        assert it.cached() == {}
