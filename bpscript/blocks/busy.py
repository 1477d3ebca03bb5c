"""Who uses a disk that we read or write: mounted file systems and swap, also of an image behind a loop device.

What the kernel says: proc(5), /proc/self/mounts (device, mount point, type, options; blanks as \\040) and /proc/swaps;
loop(4), /sys/block/loopN/loop/backing_file; and /sys/block/DISK[/PARTITION]/holders: volumes of LVM, LUKS and md that lie on it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from ..base.errors import StorageError

_ESCAPE = re.compile(r"\\([0-7]{3})")
_PROC, _BLOCKS = Path("/proc"), Path("/sys/block")


def users(
    disk: Path, partition: int | None = None, *, readers: bool = False, proc: Path = _PROC, blocks: Path = _BLOCKS
) -> list[str]:
    """What may write to a disk, image or partition: "/dev/sda1 mounted on /home", ... With `partition`, only to that one.

    File systems that are mounted read-only count with `readers` only.
    """
    devices = [str(disk.resolve()), *(str(Path("/dev") / name) for name in _loops(disk, blocks))]
    number = r"(p?\d+)?" if partition is None else rf"p?{partition}"
    wanted = re.compile("|".join(f"{re.escape(device)}{number}" for device in devices))
    # A loop device may show a partition by its offset alone: then it counts for all of the image.
    whole = re.compile("|".join(map(re.escape, devices[1:]))) if devices[1:] else None
    found = []
    for device, use in _uses(proc, readers=readers):
        if wanted.fullmatch(device) or (whole is not None and whole.fullmatch(device)):
            found.append(f"{device} {use}")
    for device in devices:
        if not device.startswith("/dev/"):
            continue
        found += [f"{held} held by {name}" for held, name in _holders(blocks, Path(device).name) if wanted.fullmatch(held)]
    return found


def refuse_users(disk: Path, partition: int | None = None, *, writing: bool) -> None:
    """Raise StorageError when somebody else may write to what is read, or uses what is written."""
    found = users(disk, partition, readers=writing)
    if found:
        hint = "unmount it first" if writing else "unmount it first, or mount it read-only"
        raise StorageError(f"{disk} is in use: {', '.join(found)}", hint=hint)


def _uses(proc: Path, *, readers: bool) -> Iterator[tuple[str, str]]:
    """Devices and what uses them."""
    for line in _lines(proc / "self" / "mounts"):
        fields = [_ESCAPE.sub(lambda match: chr(int(match[1], 8)), field) for field in line.split(" ")]
        if len(fields) >= 4 and fields[0].startswith("/") and (readers or "ro" not in fields[3].split(",")):
            yield str(Path(fields[0]).resolve()), f"mounted on {fields[1]}"
    for line in _lines(proc / "swaps")[1:]:
        yield str(Path(line.split(" ")[0]).resolve()), "in use for swapping"


def _holders(blocks: Path, name: str) -> Iterator[tuple[str, str]]:
    """Block devices that lie on a disk or its partitions: which of them, and their names."""
    own = blocks / name
    if not own.is_dir():        # a partition: it is in the folder of its disk
        own = next(iter(sorted(blocks.glob(f"*/{name}"))), own)
    for folder in (own / "holders", *sorted(own.glob(f"{name}*/holders"))):
        for holder in sorted(folder.glob("*")):
            mapped = _lines(holder / "dm" / "name") or _lines(blocks / holder.name / "dm" / "name")
            yield f"/dev/{folder.parent.name}", mapped[0] if mapped else holder.name


def _loops(disk: Path, blocks: Path) -> list[str]:
    """Loop devices that show a file."""
    path = str(disk.resolve())
    return [
        found.parent.parent.name for found in sorted(blocks.glob("loop*/loop/backing_file")) if _lines(found)[:1] == [path]
    ]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
