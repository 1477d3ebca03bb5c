"""Imaging of partitions: capture, restore, restore again over small damage, one file, another size, a huge sparse partition.

All on one medium, warm. The target of a restore is a file whose pages all exist, as on a disk that is imaged again; it is filled anew before
every contestant's turn, and that is not measured. Archives are new: whoever makes one has not to remove an older one. Times are those of
whole processes.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bpscript.api import restore as restore_archive
from bpscript.archive.container import Archive
from bpscript.archive.full import FullImage
from bpscript.archive.positional import open_from_host
from bpscript.archive.records import ChunkKind
from bpscript.machine.restoring import RestoreOptions
from tests.benchmarks import volumes
from tests.benchmarks.installed import installed
from tests.benchmarks.measure import Round, Sample, in_turn, process
from tests.benchmarks.peers import Peer, peers, shell
from tests.benchmarks.report import Goal, Outcome
from tests.benchmarks.volumes import ROOT, Volume

ZSTD_ALONE = "zstd -d > /dev/null of one frame"
DECODE = "reference: decode and hash only, all cores"
RAW_COPY = "reference: raw copy (dd)"
WRITE = "reference: write the used bytes only"
READ = "reference: read the used bytes only"
CAPTURE, CAPTURE_VERIFIED = "image capture --no-verify", "image capture"
RESTORE, RESTORE_VERIFIED = "image restore", "image restore --verify"
PARTCLONE = "partclone, zstd"
LEVEL = ["--level", "1"]
_NOISE = os.urandom(1 << 20)
_SECTOR = 512           # bytes


@dataclass(frozen=True)
class Bench:
    """Where to work: `work` keeps volumes between runs, `folder` is this contest's own, on the medium that is measured."""

    work: Path
    folder: Path
    rounds: int
    mebibytes: int
    limit_s: float | None = None        # a contest begins no round after that

    def volume(self, kind: str) -> Volume:
        """A partition of this run's size, on the medium where everything happens."""
        found = volumes.volume(kind, self.work, self.mebibytes)
        if found.image.stat().st_dev == self.folder.stat().st_dev:
            return found
        here = replace(found, image=self.folder / "source.raw")
        if not here.image.exists():
            subprocess.run(["cp", "--sparse=always", found.image, here.image], check=True)
        return here


def restore(kind: str, bench: Bench) -> Outcome:
    """A partition back onto a target that is all overwritten: image restore --rewrite all, and what others do with their own archives"""
    volume, target = bench.volume(kind), bench.folder / "target.raw"
    own, ranges = _archive(volume, bench), _used(volume, bench)
    taking_part, notes = _taking_part(kind, restoring=True)
    for peer in taking_part:
        peer.capture(volume, bench.folder)
    shell(f"zstd -1 -q -f {volume.image} -o one.zst", bench.folder)

    def onto(run: Callable[[], tuple[float, float]]) -> Round:
        def contestant() -> tuple[float, float]:
            _fill(volume, target)
            _warm(target)
            return run()

        return contestant

    contestants: dict[str, Round] = {
        RAW_COPY: onto(lambda: shell(f"dd if={volume.image} of={target} bs=1M conv=notrunc status=none", bench.folder)),
        WRITE: onto(lambda: _reference(bench, "write", str(target), str(ranges))),
        DECODE: lambda: _reference(bench, "decode", str(own)),
        ZSTD_ALONE: lambda: shell("zstd -d -q -c one.zst > /dev/null", bench.folder),
    }
    for peer in taking_part:
        contestants[peer.name] = onto(lambda peer=peer: peer.restore(target, bench.folder))     # type: ignore[misc]
    contestants[RESTORE] = onto(lambda: _image(bench, "restore", str(own), str(target), "--rewrite", "all"))
    contestants[RESTORE_VERIFIED] = onto(lambda: _image(bench, "restore", str(own), str(target), "--rewrite", "all", "--verify"))
    rows = in_turn(_order(contestants, PARTCLONE), bench.rounds, limit_s=bench.limit_s)
    goals = [
        Goal(RESTORE, PARTCLONE, 4 if kind == "ntfs" else 6), Goal(RESTORE, "pzstd -p2", 2), Goal(RESTORE, "qemu-img (qcow2, zstd)", 2),
        Goal(RESTORE, ZSTD_ALONE, 1.3), Goal(RESTORE, DECODE, round(1 / 1.8, 3)),
    ]
    notes = [_facts(volume, bench), "before every turn the target was filled, written out and read once: warm cache", *notes]
    return Outcome(rows, tuple(goals), notes)


def capture(kind: str, bench: Bench) -> Outcome:
    """A partition into an archive, all at zstd level 1"""
    volume, ranges = bench.volume(kind), _used(bench.volume(kind), bench)
    taking_part, notes = _taking_part(kind, restoring=False)
    own = bench.folder / "own.imz"
    size = sum(end - start for start, end in json.loads(ranges.read_text(encoding="utf-8")))

    def touched(run: Callable[[], tuple[float, float]]) -> Round:
        def contestant() -> tuple[float, float]:
            _touch(bench.folder / "touched", size)
            return run()

        return contestant

    contestants: dict[str, Round] = {
        READ: lambda: _reference(bench, "read", str(volume.image), str(ranges)),
    }
    for peer in taking_part:
        contestants[peer.name] = touched(lambda peer=peer: peer.capture(volume, bench.folder))     # type: ignore[misc]
    contestants[CAPTURE] = touched(lambda: _capture(volume.image, own, bench, "--no-verify"))
    contestants[CAPTURE_VERIFIED] = touched(lambda: _capture(volume.image, own, bench))
    rows = in_turn(_order(contestants, PARTCLONE), bench.rounds, limit_s=bench.limit_s)
    sizes = {peer.name: peer.archive(bench.folder).stat().st_size for peer in taking_part}
    sizes[CAPTURE] = sizes[CAPTURE_VERIFIED] = own.stat().st_size
    goals = [
        Goal(CAPTURE, PARTCLONE, 2.5 if kind == "ntfs" else 3), Goal(CAPTURE, "e2image -ra, zstd", 2), Goal(CAPTURE, "bmaptool, zstd", 2),
        Goal(CAPTURE, "pzstd -p2", 1.3),
    ]
    notes = [_facts(volume, bench), f"before every turn {size:,} bytes were written to the medium and removed: the first touch of memory is not measured", *notes]
    if PARTCLONE in sizes:
        notes.append(f"archive: {sizes[CAPTURE] / sizes[PARTCLONE]:.4f} of partclone's (wanted: at most 1.03)")
    return Outcome(rows, tuple(goals), notes, sizes)


def reimage(kind: str, bench: Bench) -> Outcome:
    """The same partition again after 1 % of its chunks were damaged: only those are written"""
    volume, target = bench.volume(kind), bench.folder / "target.raw"
    own = _archive(volume, bench)
    taking_part, notes = _taking_part(kind, restoring=True)
    partclone = [peer for peer in taking_part if peer.name == PARTCLONE]
    for peer in partclone:
        peer.capture(volume, bench.folder)
    damage = _damage(own)

    _fill(volume, target)

    def again(run: Callable[[], tuple[float, float]]) -> Round:
        def contestant() -> tuple[float, float]:
            _hurt(target, damage)
            os.sync()
            spent = run()
            _expect_healed(target, volume, damage)
            return spent

        return contestant

    contestants: dict[str, Round] = {peer.name: again(lambda peer=peer: peer.restore(target, bench.folder)) for peer in partclone}     # type: ignore[misc]
    for mode in ("auto", "diff"):
        contestants[f"{RESTORE} --rewrite {mode}"] = again(lambda mode=mode: _image(bench, "restore", str(own), str(target), "--rewrite", mode))     # type: ignore[misc]
    rows = in_turn(contestants, bench.rounds, limit_s=bench.limit_s)
    _hurt(target, damage)
    done = restore_archive(own, target, RestoreOptions(rewrite="diff"))
    wanted = sum(length for _, length in damage)
    notes += [
        _facts(volume, bench),
        "the same target in all turns, as a disk that is imaged at every boot; before each it was damaged and written out",
        f"damaged: {len(damage)} chunks; written: {done.written:,} bytes, used bytes of the damaged chunks: {wanted:,}",
    ]
    _image(bench, "verify", str(own), "--against", str(target))
    factor = 20 if kind == "ext4" else 10
    return Outcome(rows, (Goal(f"{RESTORE} --rewrite auto", PARTCLONE, factor), Goal(f"{RESTORE} --rewrite diff", PARTCLONE, factor)), notes)


def one_file(bench: Bench) -> Outcome:
    """A file of 1 MB out of the archive of a whole partition"""
    volume = bench.volume("ext4")
    own = _archive(volume, bench)
    name = _file_of(volume, bench, 1_000_000)
    contestants: dict[str, Round] = {
        "zstd -d of the whole archive": lambda: shell(f"zstd -d -q -c {own} > /dev/null", bench.folder),
        "image get": lambda: _image(bench, "get", f"{own}:{name}", "got"),
        "open_archive in Python": lambda: _reference(bench, "get", str(own), name),
    }
    rows = in_turn(contestants, bench.rounds, limit_s=bench.limit_s)
    shell(f"debugfs -R 'dump \"/{name}\" wanted' {volume.image} 2>messages && cmp wanted got", bench.folder)
    goals = (Goal("image get", "zstd -d of the whole archive", 10), Goal("open_archive in Python", "zstd -d of the whole archive", 100))
    return Outcome(rows, goals, [_facts(volume, bench), f"the file: {name}, {(bench.folder / 'got').stat().st_size:,} bytes"])


def smaller(bench: Bench) -> Outcome:
    """Onto a smaller partition, file by file: image restore, and mkfs, mount, tar x, umount"""
    volume, target = bench.volume("ext4"), bench.folder / "target.raw"
    own, size = _archive(volume, bench), volume.size * 3 // 4 >> 20 << 20
    tar, point = bench.folder / "files.tar.zst", bench.folder / "mounted"
    point.mkdir()
    mount = f"mount -o loop,ro {volume.image} {point}"
    contestants: dict[str, Round] = {}
    notes = [_facts(volume, bench), f"target: {size:,} bytes"]
    try:
        shell(f"{mount} && tar -C {point} --xattrs --numeric-owner -cf - . | zstd -1 -T0 -q -f -o {tar}; code=$?; umount {point}; exit $code", bench.folder)
    except SystemExit as error:
        notes.append(f"mkfs, mount, tar x is left out: {str(error).splitlines()[-1]}")
    else:
        line = (
            f"mke2fs -q -F -t ext4 {target} && mount -o loop {target} {point} && "
            f"(tar -C {point} --xattrs --numeric-owner -x -f {tar}; code=$?; umount {point}; exit $code)"
        )
        contestants["mke2fs, mount, tar x, umount"] = lambda: _onto(target, size, lambda: shell(line, bench.folder))
    contestants[RESTORE] = lambda: _onto(target, size, lambda: _image(bench, "restore", str(own), str(target)))
    rows = in_turn(contestants, bench.rounds, limit_s=bench.limit_s)
    shell(f"e2fsck -fn {target} > messages 2>&1", bench.folder)
    return Outcome(rows, (Goal(RESTORE, "mke2fs, mount, tar x, umount", 2),), notes)


def huge(bench: Bench) -> Outcome:
    """A sparse partition of 1 TiB with 1 GiB used, captured and restored; and the same files on a partition of 3 GiB"""
    tree = volumes.system_tree(bench.work, min(1024, bench.mebibytes), for_fat=False)
    contestants: dict[str, Round] = {}
    for name, size in (("3 GiB", 3 << 30), ("1 TiB", 1 << 40)):
        image, archive, target = (bench.folder / f"{name[0]}.{suffix}" for suffix in ("raw", "imz", "target"))
        with image.open("wb") as file:
            os.truncate(file.fileno(), size)
        shell(f"mke2fs -q -F -t ext4 -d {tree} {image}", bench.folder)

        def fresh(run: Callable[[], tuple[float, float]], target: Path = target, size: int = size) -> tuple[float, float]:
            target.unlink(missing_ok=True)
            with target.open("wb") as file:
                os.truncate(file.fileno(), size)
            return run()

        contestants[f"{CAPTURE}, {name}"] = lambda image=image, archive=archive: _capture(image, archive, bench, "--no-verify")     # type: ignore[misc]
        contestants[f"{RESTORE}, {name}"] = lambda archive=archive, target=target, fresh=fresh: fresh(lambda: _image(bench, "restore", str(archive), str(target)))     # type: ignore[misc]
    rows = in_turn(contestants, bench.rounds, limit_s=bench.limit_s)
    shell("e2fsck -fn 1.target > messages 2>&1", bench.folder)
    for name in ("3 GiB", "1 TiB"):
        pairs = zip(rows[f"{CAPTURE}, {name}"].seconds, rows[f"{RESTORE}, {name}"].seconds, strict=True)
        rows[f"image capture and restore, {name}"] = Sample([one + two for one, two in pairs])
    goal = Goal("image capture and restore, 1 TiB", "image capture and restore, 3 GiB", 1, extra=2)
    return Outcome(rows, (goal,), ["wanted: the time of the small one plus 2 s"])


# --- pieces ----------------------------------------------------------------------------------------------------------


def _image(bench: Bench, *arguments: str) -> tuple[float, float]:
    return process([str(installed(bench.folder.parent)), "image", *arguments], bench.folder)


def _reference(bench: Bench, *arguments: str) -> tuple[float, float]:
    """One bare piece of work; its own seconds, not those of the process."""
    _, memory = process([sys.executable, "-m", "tests.benchmarks.reference", *arguments], bench.folder, {"PYTHONPATH": str(ROOT)})
    return float((bench.folder / "output.txt").read_text().split()[-1]), memory


def _capture(image: Path, archive: Path, bench: Bench, *options: str) -> tuple[float, float]:
    archive.unlink(missing_ok=True)
    return _image(bench, "capture", str(image), str(archive), *LEVEL, *options)


def _archive(volume: Volume, bench: Bench) -> Path:
    own = bench.folder / "own.imz"
    _capture(volume.image, own, bench, "--no-verify")
    return own


def _fill(volume: Volume, target: Path) -> None:
    """The target as it was: the partition itself, every page of it there."""
    subprocess.run(["cp", "--sparse=never", volume.image, target], check=True)


def _warm(target: Path) -> None:
    """Write a target out and read it once: writing it to the medium and the kernel's first look at its new pages are then not measured."""
    os.sync()
    with target.open("rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


def _hurt(target: Path, damage: list[tuple[int, int]]) -> None:
    with target.open("r+b") as file:
        for offset, _ in damage:
            os.pwrite(file.fileno(), bytes(255 - byte for byte in os.pread(file.fileno(), _SECTOR, offset)), offset)


def _expect_healed(target: Path, volume: Volume, damage: list[tuple[int, int]]) -> None:
    """A contestant that left damage behind ends the benchmark."""
    with target.open("rb") as file, volume.image.open("rb") as source:
        for offset, _ in damage:
            if os.pread(file.fileno(), _SECTOR, offset) != os.pread(source.fileno(), _SECTOR, offset):
                raise SystemExit(f"{target}: byte {offset} is still damaged")


def _touch(path: Path, size: int) -> None:
    """Write a file and remove it: the host's first touch of a page can take a second for what an archive needs, and hits contestants at random."""
    with path.open("wb") as file:
        for at in range(0, size, 1 << 20):
            file.write(_NOISE[: size - at])
    path.unlink()


def _onto(target: Path, size: int, run: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    """Run with a target of zeros whose pages all exist."""
    with target.open("r+b" if target.exists() else "w+b") as file:
        for at in range(0, size, 1 << 20):
            os.pwrite(file.fileno(), bytes(min(1 << 20, size - at)), at)
        file.truncate(size)
    return run()


def _used(volume: Volume, bench: Bench) -> Path:
    """The used ranges of a volume as a file for the references."""
    path = bench.folder / "used.json"
    if not path.exists():
        with _open(_archive(volume, bench)) as image:
            path.write_text(json.dumps(list(image.used)))
    return path


def _open(archive: Path) -> FullImage:
    return FullImage(Archive.open(open_from_host(archive)))      # type: ignore[arg-type]


def _damage(archive: Path) -> list[tuple[int, int]]:
    """Places in every hundredth chunk of data: where, and how many used bytes its chunk has."""
    found = []
    with _open(archive) as image:
        chunks = [chunk for index in range(len(image.archive)) if (chunk := image.archive.record(index)).kind is ChunkKind.DATA]
        for chunk in chunks[50::100]:
            parts = image.used.within(chunk.offset, chunk.offset + chunk.length)
            start, end = max(parts, key=lambda part: part[1] - part[0])
            found.append(((start + end) // 2 // _SECTOR * _SECTOR, sum(last - first for first, last in parts)))
    return found


def _file_of(volume: Volume, bench: Bench, size: int) -> str:
    """The file of the volume whose size is nearest."""
    tree = volumes.system_tree(bench.work, bench.mebibytes, for_fat=False)
    kept = volumes.kept_files(tree)
    return str(min(kept, key=lambda path: abs(path.stat().st_size - size)).relative_to(tree))


def _taking_part(kind: str, *, restoring: bool) -> tuple[list[Peer], list[str]]:
    """Peers whose programs are here, and sentences about the others."""
    wanted = [peer for peer in peers(kind) if peer.unpack is not None or not restoring]
    return [peer for peer in wanted if peer.missing is None], [peer.missing for peer in wanted if peer.missing is not None]


def _order(contestants: dict[str, Round], first: str) -> dict[str, Round]:
    """References, then the peer that ratios are to, then the others."""
    return dict(sorted(contestants.items(), key=lambda item: (not item[0].startswith("reference"), item[0] != first)))


def _facts(volume: Volume, bench: Bench) -> str:
    name = f"{volume.kind} of {volume.size / 1e9:.2f} GB, {volume.files:,} files with {volume.content / 1e9:.2f} GB"
    free = shutil.disk_usage(bench.folder).free / 1e9
    return f"{name}; {free:.0f} GB free on the medium"


Contest = Callable[[Bench], Outcome]

CONTESTS: dict[str, tuple[str, Contest]] = {
    **{f"restore-{kind}": (f"{kind} restored onto a target that is all overwritten", lambda bench, kind=kind: restore(kind, bench)) for kind in volumes.KINDS},     # type: ignore[misc]
    **{f"capture-{kind}": (f"{kind} into an archive at zstd level 1", lambda bench, kind=kind: capture(kind, bench)) for kind in volumes.KINDS},     # type: ignore[misc]
    **{f"reimage-{kind}": (f"{kind} again, 1 % of its chunks damaged", lambda bench, kind=kind: reimage(kind, bench)) for kind in volumes.KINDS},     # type: ignore[misc]
    "one-file": ("a file of 1 MB out of a partition's archive", one_file),
    "smaller": ("ext4 onto a smaller partition, file by file", smaller),
    "huge": ("a sparse partition of 1 TiB with 1 GiB used", huge),
}
