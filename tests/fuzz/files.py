"""Files that come back to us or are given to us beside the images: plans, records of failed runs, maps of owners, programs and
modules of a kernel, the tables of a machine's firmware; and archives that are restored, with their hashes put right.
"""

import gzip
import io
import lzma
import struct
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import zstandard

from bpscript.api import RunOptions, create_disk, execute
from bpscript.archive.clonezilla import choose
from bpscript.archive.container import KNOWN_SECTIONS, Archive
from bpscript.archive.disk_image import DiskImage
from bpscript.archive.disk_restore import restore_disk
from bpscript.archive.full import FullImage
from bpscript.archive.opening import read_header, seek_table_of
from bpscript.archive.owner_map import MappedTree, OwnerMap
from bpscript.archive.positional import SeekingBytes
from bpscript.archive.records import SKIPPABLE, ArchiveKind, blake3_of, skippable
from bpscript.archive.restore import restore
from bpscript.archive.table import Table
from bpscript.base.errors import BpscriptError
from bpscript.base.units import MIB
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.detect import detect
from bpscript.filesystems.filesystem import walk
from bpscript.initramfs.elf import dependencies, section, stripped
from bpscript.initramfs.modules import Modules
from bpscript.machine.workstation.hardware import hardware_variables
from bpscript.server.gateway_config import read_config
from bpscript.trust.plan import make_plan
from bpscript.trust.record import Recorder
from bpscript.trust.replay import Record, replay
from bpscript.trust.saved import PlannedRun, save
from tests.archive.damage import sample
from tests.archive.memory_tree import tree_of
from tests.fuzz.target import MOST, Target


@cache
def _folder() -> Path:
    """For what must be a file; it goes when the process ends."""
    kept = tempfile.TemporaryDirectory(prefix="bpscript-fuzz-")
    _KEPT.append(kept)
    return Path(kept.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def in_file(name: str, work: Callable[[Path], object]) -> Callable[[bytes], None]:
    """A target for something that takes a path."""
    def run(data: bytes) -> None:
        path = _folder() / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        work(path)

    return run


# --- plans and records -----------------------------------------------------------------------------------------------


@cache
def _run_options() -> RunOptions:
    """A run that only reads, so that it can be done again and again."""
    folder = _folder()
    disk, script = folder / "disk.img", folder / "s.bpb"
    create_disk(disk, 4 * MIB, partitions="BIGDOS:3", format_partitions=True)
    (folder / "in.txt").write_text("some words")
    script.write_text('if exist "{:1}/x" echo "there"\nif exist "in.txt" echo "here"\nset a = "$name"\n')
    return RunOptions(script=script, disks=[disk], root=folder, variables={"name": "pc7"}, log=lambda text: None)


def _plan(path: Path) -> None:
    options = _run_options()
    execute(options, PlannedRun(path, options))


def _plans() -> list[bytes]:
    options, path = _run_options(), _folder() / "made.plan"
    save(make_plan(options), options, path)
    return [path.read_bytes()]


def _replay(data: bytes) -> None:
    """The facts of a record, in a bundle that is whole."""
    path = _folder() / "facts.record"
    with zipfile.ZipFile(io.BytesIO(_records()[0])) as whole, zipfile.ZipFile(path, "w") as made:
        for name in whole.namelist():
            made.writestr(name, data if name == "record.json" else whole.read(name))
    replay(path)


@cache
def _records() -> list[bytes]:
    options = _run_options()
    failing = _folder() / "failing.bpb"
    failing.write_text('if exist "in.txt" echo "here"\ninput word\nsetpartitions "BIGDOS:2"\nfullunzip "none.imz" 1\n')
    chosen = RunOptions(script=failing, disks=[MemoryDevice(4 * MIB)], root=options.root, variables={"name": "pc7"}, keys="word\r", log=lambda text: None)
    recorder = Recorder(chosen)
    execute(chosen, recorder)
    return [recorder.bundle()]


def _record_facts() -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(_records()[0])) as bundle:
        return [bundle.read("record.json")]


# --- archives --------------------------------------------------------------------------------------------------------

_RESTORED = ("FAT", "ext2", "swap", "disk")


class _Parts(NamedTuple):
    """A good archive: the payload of its header, its chunks, its table, and how large what it was made of is."""

    header: bytes
    chunks: bytes
    table: Table
    size: int


@cache
def _parts(kind: str) -> _Parts:
    data, size, _, _ = sample(kind)
    with Archive.open(SeekingBytes(io.BytesIO(data), kind)) as archive:
        table = archive.table
        assert table is not None
        first, last = archive._header.end, archive.stored_size + sum(length for _, length, _ in table.sections)
    return _Parts(data[SKIPPABLE.size : first], data[first:last], table, size)


def _restore(data: bytes) -> None:
    """A header of anybody's with all hashes put right, restored; afterwards the partition is whole or not formatted."""
    kind, payload = _RESTORED[data[0] % len(_RESTORED)] if data else "FAT", data[1:]
    parts = _parts(kind)
    frame = skippable(payload[:-32] + blake3_of(payload[:-32]))
    found = read_header(lambda offset, length: frame[offset : offset + length], None, KNOWN_SECTIONS)
    table = Table(parts.table.size, found.digest, parts.table.entries, parts.table.sections)
    whole = SeekingBytes(io.BytesIO(frame + parts.chunks + table.frame() + seek_table_of(table, found, None)), "input")
    device = MemoryDevice(parts.size)
    device.write(0, b"\x55" * 4096)
    before = device.read(0, device.size)
    with Archive.open(whole) as archive:
        try:
            if archive.header.kind is ArchiveKind.DISK:
                restore_disk(DiskImage.of(archive), device, threads=1)
            else:
                restore(FullImage(archive), device, threads=1)
        except BpscriptError:
            if device.read(0, device.size) != before:
                assert detect(device) is None, "half a file system that looks whole"
            raise


def _headers() -> list[bytes]:
    return [bytes((number,)) + _parts(kind).header for number, kind in enumerate(_RESTORED)]


def _table(data: bytes) -> None:
    """A table of chunks with its hashes put right."""
    entries = data[88:-32]
    fixed = data[:56] + blake3_of(entries)
    table = Table.parse(fixed + entries + blake3_of(fixed))
    table.positions(100, 1 << 14)
    table.starts()


# --- what the boot environment is made of, and what it finds -----------------------------------------------------------


def _elf(data: bytes) -> None:
    for read in (dependencies, stripped, lambda data, name: section(data, ".modinfo", name)):
        try:
            read(data, "program")
        except BpscriptError:
            continue


def _small_elf() -> bytes:
    """A module of a kernel: a header, a segment, .modinfo and the names of sections."""
    facts, names = b"alias=pci:v00008086d*\0depends=mii,ptp\0softdep=pre: crc32c post: x\0", b"\0.modinfo\0.shstrtab\0"
    dynamic = struct.pack("<qQqQqQ", 1, 1, 5, 0x1000, 0, 0)
    at = 64 + 3 * 56
    strings, where = b"\0libc.so.6\0", at + len(facts) + len(names) + len(dynamic)
    start = where + len(strings)
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 1, 62, 1, 0, 64, start, 0, 64, 56, 3, 64, 3, 2)
    segments = struct.pack("<IIQQQQQQ", 1, 4, where, 0x1000, 0x1000, len(strings), len(strings), 1)
    segments += struct.pack("<IIQQQQQQ", 2, 4, at + len(facts) + len(names), 0, 0, len(dynamic), len(dynamic), 1) + struct.pack("<IIQQQQQQ", 3, 4, where, 0, 0, 2, 2, 1)
    sections = bytes(64) + struct.pack("<IIQQQQIIQQ", 1, 1, 0, 0, at, len(facts), 0, 0, 1, 0) + struct.pack("<IIQQQQIIQQ", 11, 3, 0, 0, at + len(facts), len(names), 0, 0, 1, 0)
    return head + segments + facts + names + dynamic + strings + sections


def _module(data: bytes) -> None:
    """As each of the packings that kernels use; the first byte chooses."""
    folder = _folder() / "modules" / "6.1"
    for path in (folder / "kernel").glob("*"):
        path.unlink()
    (folder / "kernel").mkdir(parents=True, exist_ok=True)
    suffix = ("", ".xz", ".gz", ".zst")[data[0] % 4 if data else 0]
    (folder / "kernel" / f"e1000.ko{suffix}").write_bytes(data[1:])
    Modules(folder).chosen(["e1000"])


def _modules() -> list[bytes]:
    elf = _small_elf()
    return [b"\0" + elf, b"\1" + lzma.compress(elf), b"\2" + gzip.compress(elf, mtime=0), b"\3" + zstandard.ZstdCompressor().compress(elf)]


def _firmware(data: bytes) -> None:
    """The table of SMBIOS, and the same bytes as the page in which a disk has its serial number."""
    root = _folder() / "system"
    for name in ("sys/firmware/dmi/tables/DMI", "sys/class/dmi/id/product_name", "sys/devices/pci0/block/sda/device/vpd_pg80", "sys/devices/pci0/block/sda/device/model"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / "sys/devices/pci0/block/sda/size").write_text("8192\n")
    (root / "sys/block").mkdir(exist_ok=True)
    if not (root / "sys/block/sda").is_symlink():
        (root / "sys/block/sda").symlink_to(root / "sys/devices/pci0/block/sda")
    for value in hardware_variables(root).values():
        assert value.isprintable()


# --- texts of an administrator ---------------------------------------------------------------------------------------


def _owners(path: Path) -> None:
    tree = MappedTree(tree_of({"etc/shadow": b"x", "home/joe/a": b"y"}), OwnerMap.read(path))
    for _ in zip(range(MOST), walk(tree), strict=False):
        pass


def _clonezilla(data: bytes) -> None:
    """The names of files in a folder, and of a partition."""
    names = data.decode("utf-8", "replace").split("\n")
    for partition in (None, names[0]):
        try:
            assert choose("folder", names, partition) in names
        except BpscriptError:
            continue


_GATEWAY = b"""# who may log in
radius OFFICE radius.example@1812 "secret" chap
winnt LAB samba@445 LAB
ldap STAFF ldaps://ldap.example ou=people,dc=example attribute=uid ca=ca.pem
unix pam login
deny root guest
key gateway.key
"""

FILES = (
    Target("plan-file", in_file("a.plan", _plan), _plans),
    Target("record", in_file("a.record", Record.load), _records),
    Target("replay", _replay, _record_facts),
    Target("archive-header", _restore, _headers),
    Target("archive-table", _table, lambda: [_parts(kind).table.payload() for kind in _RESTORED]),
    Target("owner-map", in_file("owners", _owners), lambda: [b"# PATTERN UID GID [MODE]\n* 0 0\nhome/* 1000 1000 0750\netc/shadow 0 42 -\n", b"#mtree\n./etc type=dir\n./etc/shadow mode=0640 gid=42\n./dev/null type=char device=native,1,3\n"]),
    Target("gateway-config", in_file("gateway.conf", read_config), lambda: [_GATEWAY]),
    Target("clonezilla", _clonezilla, lambda: [b"sda1\nsda1.ext4-ptcl-img.zst.aa\nsda1.ext4-ptcl-img.zst.ab\nswappt-sda2.info\nparts\ndisk"]),
    Target("elf", _elf, lambda: [_small_elf()]),
    Target("module", _module, _modules),
    Target("firmware", _firmware, lambda: [bytes((17, 34, 0, 0)) + bytes(8) + b"\x00\x20" + bytes(20) + b"DIMM\0\0" + bytes((127, 4, 1, 0, 0, 0)), b"\0\x80\0\x08SERIAL 1"]),
)  # fmt: skip
