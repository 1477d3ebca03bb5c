"""What a run left behind against what a case expects: every difference is one sentence, and all of them are told."""

import difflib
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from ..api import open_disk
from ..base.errors import BpscriptError
from ..base.units import MIB
from ..filesystems.links import follow_links
from ..filesystems.places import DiskPlace
from ..machine.disk import Disk
from .layout import STATUSES, Case, Expected, PartitionRow

_OUR_LINES = re.compile(r"\[(?:note|warning|progress)\]")
_ERROR = re.compile(r"^(?P<file>.*?):(?P<line>\d+):(?P<column>\d+): error: (?P<message>.*)$", re.MULTILINE)
_SHOWN = 200        # bytes or characters of contents in a message
_LARGEST = 64 * MIB     # of a file that is compared


class Left(NamedTuple):
    """What is there after a run: exit status, output, variables (names in lower case), the server's folder, the images."""

    status: int
    out: str
    err: str
    variables: dict[str, str] | None
    root: Path
    images: list[Path]
    seconds: float


def problems(case: Case, left: Left) -> Iterator[str]:
    """Everything that is not as it should be."""
    expect = case.expect
    wanted = STATUSES.index(expect.status)
    if left.status != wanted:
        last = left.err.strip().splitlines()[0] if left.err.strip() else "nothing on standard error"
        yield f"the exit status is {left.status}, expected {wanted} ({last})"
    yield from _error(case, left)
    yield from _log(expect, left.out.replace("\r\n", "\n"))
    yield from _variables(expect, left.variables)
    yield from _root(expect, left.root)
    for number, image in enumerate(left.images):
        try:
            with open_disk(image) as disk:
                yield from _disk(expect, number, disk, checks=expect.check and left.status == 0)
        except BpscriptError as error:
            yield f"disk {number} cannot be read: {error.message}"
    if expect.max_seconds is not None and left.seconds > expect.max_seconds:
        yield f"it took {left.seconds:.1f} s, at most {expect.max_seconds:g} s expected"


def _error(case: Case, left: Left) -> Iterator[str]:
    expect = case.expect
    asked = (expect.line, expect.column, expect.file, expect.error)
    if expect.status == "ok" or (expect.status == "usage" and expect.error is None) or (expect.status == "error" and left.status != 1):
        return
    if expect.status == "usage":
        if expect.error is not None and expect.error not in left.err:
            yield f"the message is {left.err.strip()[:_SHOWN]!r}, expected {expect.error!r} in it"
        return
    found = list(_ERROR.finditer(left.err))
    if not found:
        if any(each is not None for each in asked):
            yield f"no error with a place was shown: {left.err.strip()[:_SHOWN]!r}"
        return
    last = found[-1]
    for name, wanted in (("line", expect.line), ("column", expect.column)):
        if wanted is not None and int(last[name]) != wanted:
            yield f"the error is at {name} {last[name]}, expected {wanted}: {last['message']}"
    file = expect.file if expect.file is not None else case.script_name if expect.line is not None else None
    if file is not None and not Path(last["file"]).as_posix().endswith(file):
        yield f"the error is in {last['file']}, expected {file}"
    if expect.error is not None and expect.error not in left.err:
        yield f"the message is {last['message']!r}, expected {expect.error!r} in it"


def _log(expect: Expected, out: str) -> Iterator[str]:
    log = "".join(line for line in out.splitlines(keepends=True) if not _OUR_LINES.match(line))
    if expect.log is not None and log.rstrip("\n") != expect.log.rstrip("\n"):
        lines = difflib.unified_diff(expect.log.rstrip("\n").split("\n"), log.rstrip("\n").split("\n"), "expected log", "log", n=2, lineterm="")
        yield "\n".join(("the log differs:", *lines))
    # Warnings are looked for in all that was logged.
    yield from (f"the log lacks {each!r}" for each in expect.log_contains if each not in out)
    yield from (f"the log has {each!r}" for each in expect.log_excludes if each in out)
    yield from (f"nothing in the log matches {each!r}" for each in expect.log_regex if not re.search(each, out, re.MULTILINE))
    if expect.boot is not None:
        booted = re.search(r"^\[boot\] (.*)$", out, re.MULTILINE)
        if booted is None:
            yield f"the machine did not boot, expected {expect.boot!r}"
        elif booted[1] != expect.boot:
            yield f"the machine booted {booted[1]!r}, expected {expect.boot!r}"


def _variables(expect: Expected, variables: dict[str, str] | None) -> Iterator[str]:
    if not expect.variables and not expect.undefined:
        return
    if variables is None:
        yield "the run ended before its variables were written"
        return
    for name, value in expect.variables.items():
        found = variables.get(name.lower())
        if found != value:
            yield f"${name} is {'not set' if found is None else repr(found)}, expected {value!r}"
    yield from (f"${name} is {variables[name.lower()]!r}, expected none" for name in expect.undefined if variables.get(name.lower()))


def _root(expect: Expected, root: Path) -> Iterator[str]:
    for name, data in expect.root_files.items():
        try:
            found = (root / name).read_bytes()
        except OSError:
            yield f'"{name}" is not there'
        else:
            yield from _contents(f'"{name}"', found, data)
    yield from (f'"{name}" is there, expected none' for name in expect.root_absent if (root / name).exists())


def _contents(name: str, found: bytes, wanted: bytes) -> Iterator[str]:
    if found != wanted:
        at = next((index for index, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b), min(len(found), len(wanted)))
        yield f"{name} has {len(found)} bytes {_shown(found, at)}, expected {len(wanted)}: {_shown(wanted, at)} (they differ from byte {at})"


def _shown(data: bytes, at: int) -> str:
    start = max(0, at - _SHOWN // 2) if len(data) > _SHOWN else 0
    return ("..." if start else "") + repr(data[start : start + _SHOWN])[1:]


def _disk(expect: Expected, number: int, disk: Disk, *, checks: bool) -> Iterator[str]:
    if expect.partitions is not None and expect.partitions_disk == number:
        yield from _partitions(disk, expect.partitions)
    if number < len(expect.partition_lists):
        found = disk.partition_list()
        if found != expect.partition_lists[number]:
            yield f'the partitions of disk {number} are "{found}", expected "{expect.partition_lists[number]}"'
    for place, kind in expect.volumes.items():
        if place.disk_number == number and (disk.kind_of(place.partition) or "nothing known") != kind:
            yield f"{place} holds {disk.kind_of(place.partition) or 'nothing known'}, expected {kind}"
    yield from _files(expect, number, disk)
    for offset, data in expect.disk_bytes.items() if number == 0 else ():
        if offset + len(data) > disk.device.size:
            yield f"disk 0 ends at byte {disk.device.size}, before {offset + len(data)}"
        else:
            yield from _contents(f"disk 0 at byte {offset}", disk.device.read(offset, len(data)), data)
    if checks:
        for entry in disk.table().partitions:
            if not entry.is_extended and disk.has_volume(entry.number):
                yield from (f"{{{number}:{entry.number}}} is not consistent: {each}" for each in disk.volume(entry.number).check())


def _partitions(disk: Disk, rows: tuple[PartitionRow, ...]) -> Iterator[str]:
    table = disk.table()
    yield from (f"the partition table of disk {disk.number}: {each}" for each in table.warnings)
    found = [PartitionRow(each.number, each.type if isinstance(each.type, int) else each.word(disk.kind_of(each.number)), each.boot, table.listed_mb(each)) for each in table.partitions]
    if [row.number for row in found] != [row.number for row in rows]:
        yield f"the partitions of disk {disk.number} are {[row.number for row in found]}, expected {[row.number for row in rows]}"
        return
    for entry, row, wanted in zip(table.partitions, found, rows, strict=True):
        types = {row.type, entry.word(disk.kind_of(entry.number))}
        # A logical partition may be given without the MB of its table.
        sizes = {row.size_mb, row.size_mb - 1} if entry.is_logical else {row.size_mb}
        kind = wanted.type.upper() if isinstance(wanted.type, str) else wanted.type
        if kind not in types or row.boot != wanted.boot or not sizes & {wanted.size_mb, wanted.size_mb - 1 if entry.is_logical else wanted.size_mb}:
            yield f"partition {row.number} of disk {disk.number} is {list(row)}, expected {list(wanted)}"


def _files(expect: Expected, number: int, disk: Disk) -> Iterator[str]:
    for place, data in expect.disk_files.items():
        if place.disk_number == number:
            found = _read(disk, place)
            yield from [found] if isinstance(found, str) else _contents(str(place), found, data)
    for place, texts in expect.disk_contains.items():
        if place.disk_number == number:
            found = _read(disk, place)
            if isinstance(found, str):
                yield found
                continue
            text = found.decode("utf-8", "replace")
            yield from (f"{place} lacks {each!r}; it begins with {text[:_SHOWN]!r}" for each in texts if each not in text)
    for place in expect.disk_absent:
        if place.disk_number == number and not isinstance(_stat(disk, place), str):
            yield f"{place} is there, expected none"


def _stat(disk: Disk, place: DiskPlace) -> str | int:
    """Bytes of what is there, or why it is not."""
    try:
        volume = disk.volume(place.partition)
        return volume.stat(follow_links(volume, place.path)).size
    except BpscriptError as error:
        return f"{place} is not there: {error.message}"


def _read(disk: Disk, place: DiskPlace) -> bytes | str:
    """The contents of a file, or why there are none."""
    size = _stat(disk, place)
    if isinstance(size, str):
        return size
    if size > _LARGEST:
        return f"{place} has {size} bytes: more than are compared ({_LARGEST})"
    try:
        volume = disk.volume(place.partition)
        with closing(volume.open(follow_links(volume, place.path))) as reader:
            return b"".join(iter(lambda: reader.read(MIB), b""))
    except BpscriptError as error:
        return f"{place} cannot be read: {error.message}"
