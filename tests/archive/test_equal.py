"""What is restored equals its source, file by file: random trees, every kind of ext and FAT, told by foreign programs.

ext is read by debugfs (content, owner, mode, times to the nanosecond, extended attributes, links, devices), FAT by mtools.
"""

import os
import random
import re
import struct
from pathlib import Path

import pytest

from bpscript.archive.capture import capture, survey
from bpscript.archive.destinations import HostDestination
from bpscript.archive.full import FullImage
from bpscript.archive.positional import open_from_host
from bpscript.archive.restore import restore
from bpscript.base.clock import Clock
from bpscript.blocks.file import FileDevice
from bpscript.filesystems.detect import open_volume
from bpscript.filesystems.filesystem import Facts, FileKind, Filesystem, UnixFacts
from tests.oracles import debugfs, e2fsck, fsck_fat, mke2fs, mkfs_fat, mtools, mtools_tree, run_tool

MIB = 1 << 20
CLOCK = Clock(1_700_000_000_000_000_000)
NAMES = ["plain", "two words", "ümlaut", "日本語", "tab\there", "quote'\"", "back\\slash", "-dash", "a" * 255, ".hidden", "UPPER", "star*", "nl\nhere"]
Tree = dict[str, tuple[object, ...]]


def fill_ext(path: Path, seed: int) -> None:
    """A random tree; written by ours, because debugfs cannot set everything; read by debugfs alone."""
    rng = random.Random(seed)
    with FileDevice(path) as device:
        volume = open_volume(device, clock=CLOCK)
        folders = [""]
        files: list[str] = []
        for number in range(60):
            name = rng.choice(NAMES) if rng.random() < 0.3 else f"entry {number}"
            place = f"{rng.choice(folders)}/{name}".lstrip("/")
            if volume.exists(place):
                continue
            xattrs = {}
            if rng.random() < 0.4:
                xattrs = {"user.one": rng.randbytes(rng.randrange(60)), "security.selinux": b"system_u:object_r:etc_t:s0\0", "trusted.two": b""}
            if rng.random() < 0.2:      # linux include/uapi/linux/posix_acl_xattr.h: version, then tag, permissions, id
                entries = [(1, 6, 0xFFFFFFFF), (2, 7, 1000 + number), (4, 4, 0xFFFFFFFF), (0x10, 6, 0xFFFFFFFF), (0x20, 0, 0xFFFFFFFF)]
                xattrs["system.posix_acl_access"] = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
            unix = UnixFacts(
                rng.choice([0o644, 0o755, 0o4755, 0o2711, 0o1777, 0o000, 0o600]), rng.choice([0, 1000, 65534, 70_000, 0xFFFFFFFE]), rng.choice([0, 100, 80_000]),
                atime_ns=rng.randrange(1 << 60), ctime_ns=rng.randrange(1 << 60), xattrs=xattrs,
            )
            mtime = rng.choice([0, 1, 999_999_999, rng.randrange(1 << 60), 2_000_000_000_123_456_789])
            kind = rng.random()
            if kind < 0.2:
                volume.make_dir(place, Facts(FileKind.DIRECTORY, 0, mtime, unix=unix))
                folders.append(place)
            elif kind < 0.3:
                target = rng.choice(["x", "../up", "/abs/" + "long" * 30, "ü"])
                volume.make_symlink(place, target, Facts(FileKind.SYMLINK, 0, mtime, target, unix))  # type: ignore[attr-defined]
            elif kind < 0.37 and files:
                volume.make_hard_link(place, rng.choice(files))     # type: ignore[attr-defined]
            elif kind < 0.44:
                what = rng.choice([FileKind.CHARACTER_DEVICE, FileKind.BLOCK_DEVICE, FileKind.FIFO])
                device_number = (0, 0) if what is FileKind.FIFO else (rng.choice([1, 8, 259, 4095]), rng.choice([0, 255, 256, 1_000_000]))
                volume.make_node(place, Facts(what, 0, mtime, unix=UnixFacts(unix.mode, unix.uid, unix.gid, device=device_number)))  # type: ignore[attr-defined]
            else:
                holes = [rng.choice([rng.randbytes(rng.randrange(1, 9000)), bytes(rng.randrange(1, 200_000))]) for _ in range(rng.randrange(4))]
                data = b"".join(holes)
                volume.write_file(place, [data] if data else [], len(data), Facts(FileKind.FILE, len(data), mtime, unix=unix))
                files.append(place)
        volume.close()
    e2fsck(path)


def ext_tree(path: Path) -> Tree:
    """Everything debugfs knows, by inode reached from the root: names with what `stat` and `ea_list` say, and the contents."""
    found: Tree = {}
    todo = [(2, "")]
    names: dict[int, list[str]] = {}        # by inode: whichever of them a directory lists first
    seen = 0
    while todo:
        inode, place = todo.pop()
        listing = debugfs(path, f"ls -p <{inode}>")
        # /inode/mode/uid/gid/name/size/ for each entry; a name may hold a newline
        for entry in re.finditer(r"^/(\d+)/(\d{6})/(\d+)/(\d+)/((?:[^/])*)/(\d*)/$", listing, re.MULTILINE):
            number, mode, name = int(entry[1]), entry[2], entry[5]
            if name in {".", ".."} or (place == "" and name == "lost+found"):
                continue
            seen += 1
            here = f"{place}/{name}"
            words = debugfs(path, f"stat <{number}>", f"ea_list <{number}>")
            facts = [
                mode, entry[3], entry[4], *re.findall(r"Links: (\d+)", words),
                re.findall(r"mtime: 0x([0-9a-f]+:[0-9a-f]+|[0-9a-f]+)", words), re.findall(r"Fast link dest: \"(.*)\"", words),
                re.findall(r"Device major/minor number: (\S+)", words), sorted(re.findall(r"^  (\S+ \(\d+\) = .*|\S+ \(\d+\))$", words, re.MULTILINE)),
            ]
            content: object = None
            if mode.startswith("10"):
                out = path.with_suffix(".out")
                debugfs(path, f"dump <{number}> {out}")
                content = out.read_bytes()
            elif mode.startswith("12"):
                content = debugfs(path, f"cat <{number}>").splitlines()[1:] if not facts[5] else None
            together = names.setdefault(number, [])
            together.append(here)
            found[here] = (*facts[:4], str(facts[4:]), content, together)
            if mode.startswith("04"):
                todo.append((number, here))
    for together in names.values():
        together.sort()
    assert seen > 10
    return found


def pack(path: Path) -> Path:
    archive = path.with_suffix(".imz")
    with FileDevice(path, writable=False) as device, HostDestination(archive) as sink:
        capture(survey(device, clock=CLOCK), sink, level=1)
        sink.commit()
    return archive


def onto(archive: Path, path: Path, size: int, *, keep: bool = False, rewrite: str = "AUTO") -> Path:
    if not keep:
        path.write_bytes(b"\xa5" * size)
    with FileDevice(path) as device, FullImage.open(open_from_host(archive)) as image:
        restore(image, device, rewrite=rewrite, verify=True, clock=CLOCK)
    return path


EXT = [("ext2", "1024"), ("ext3", "1024"), ("ext4", "1024"), ("ext2", "4096"), ("ext3", "2048"), ("ext4", "4096"), ("ext4", "2048")]


@pytest.mark.parametrize(("kind", "block"), [pytest.param(*case, marks=() if case in {("ext4", "4096"), ("ext2", "1024")} else pytest.mark.slow) for case in EXT])
@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, 7))])
def test_ext_equals_its_source(tmp_path: Path, kind: str, block: str, seed: int) -> None:
    source = mke2fs(tmp_path / "source", 16 * MIB, "-t", kind, "-b", block, "-I", "256")
    fill_ext(source, seed)
    right = ext_tree(source)
    words = str(right.values())
    assert seed != 1 or all(word in words for word in ("security.selinux", "posix_acl_access", "trusted.two")), "the tree has too little in it"
    archive = pack(source)
    target = tmp_path / "target"
    for size, how in ((16, "same"), (21, "larger"), (12, "smaller")):
        onto(archive, target, size * MIB)
        e2fsck(target)
        assert ext_tree(target) == right, how
    # One file damaged, then made equal again by difference.
    onto(archive, target, 16 * MIB)
    with target.open("r+b") as image:
        image.seek(9 * MIB)
        image.write(os.urandom(100_000))
    onto(archive, target, 16 * MIB, keep=True, rewrite="DIFF")
    e2fsck(target)
    assert ext_tree(target) == right


def fat_tree(path: Path, folder: Path) -> dict[str, object]:
    """Contents as mcopy takes them out; names, sizes, times and attributes as mdir and mattrib say."""
    listing = [line for line in mtools(path, "mdir", "-/", "-a", "::").splitlines() if re.search(r"\d\d:\d\d|<DIR>", line) or "Directory for" in line]
    listing = [line for line in listing if not re.match(r"^\.{1,2} ", line)]
    return {"files": mtools_tree(path, folder), "listing": sorted(listing), "attributes": sorted(mtools(path, "mattrib", "-/", "::").splitlines())}


FAT = [("12", 6, ("-s", "4")), ("12", 2, ("-s", "1")), ("16", 24, ()), ("32", 48, ("-s", "1"))]


@pytest.mark.parametrize(("width", "size", "options"), FAT, ids=["FAT12", "FAT12 floppy", "FAT16", "FAT32"])
@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, 7))])
def test_fat_equals_its_source(tmp_path: Path, width: str, size: int, options: tuple[str, ...], seed: int) -> None:
    rng = random.Random(seed)
    source = mkfs_fat(tmp_path / "source", size * MIB, "-F", width, "-n", "EQUAL", *options)
    tree = tmp_path / "tree"
    folders = [tree]
    tree.mkdir()
    for number in range(40):
        place = rng.choice(folders) / rng.choice([f"F{number}.TXT", f"a long name {number}", f"ümlaut {number}", f"日本 {number}", f"x{number}~1.y"])
        if rng.random() < 0.2:
            place.mkdir()
            folders.append(place)
        else:
            place.write_bytes(rng.randbytes(rng.choice([0, 1, 511, 512, 513, 20_000])))
            os.utime(place, (1_000_000_000 + 2 * number, 1_000_000_000 + 2 * number))
    mtools(source, "mcopy", "-s", "-m", "-Q", *sorted(tree.iterdir()), "::")
    for name in sorted(path.name for path in tree.iterdir() if path.is_file())[:4]:
        mtools(source, "mattrib", rng.choice(["+r", "+h", "+s", "-a"]), f"::/{name}")
    right = fat_tree(source, tmp_path / "right")
    assert len(right["files"]) > 10     # type: ignore[arg-type]
    archive = pack(source)
    for number, other in enumerate((size, size + size // 2, size - size // 8 if width != "32" else 40)):
        target = onto(archive, tmp_path / f"target{number}", other * MIB)
        fsck_fat(target)
        assert fat_tree(target, tmp_path / f"found{number}") == right


def test_what_a_filter_leaves_out_is_gone_from_the_bytes(tmp_path: Path) -> None:
    """Not only its name: no byte of it is in the archive, and no byte of what was deleted before."""
    def leave_out(volume: Filesystem) -> None:
        volume.remove("left out")

    for kind in ("FAT16", "EXT4"):
        source = tmp_path / kind
        if kind == "FAT16":
            mkfs_fat(source, 24 * MIB, "-F", "16")
        else:
            mke2fs(source, 24 * MIB, "-t", "ext4")
        with FileDevice(source) as device:
            volume = open_volume(device, clock=CLOCK)
            volume.write_file("left out", [b"SECRET-ONE!" * 50_000])
            volume.write_file("deleted", [b"SECRET-TWO!" * 50_000])
            volume.write_file("kept", [b"PUBLIC-DATA" * 50_000])
            volume.remove("deleted")
            volume.close()
        assert b"SECRET-TWO!" in source.read_bytes()
        archive = source.with_suffix(".imz")
        with FileDevice(source, writable=False) as device, HostDestination(archive) as sink:
            capture(survey(device, clock=CLOCK, remove=leave_out), sink, level=1)
            sink.commit()
        run_tool(["zstd", "-q", "-d", "-f", archive, "-o", tmp_path / "raw"])
        raw = (tmp_path / "raw").read_bytes()
        assert b"PUBLIC-DATA" in raw
        assert b"SECRET-ONE!" not in raw
        assert b"SECRET-TWO!" not in raw
