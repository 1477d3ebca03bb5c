"""Cases from a TOML file. Everything wrong is one UsageError, `FILE:LINE:COLUMN: ...`, before any case runs."""

import datetime
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..base.errors import StorageError, UsageError
from ..base.toml_places import places
from ..base.units import MIB
from ..filesystems.places import DiskPlace, parse_place
from .layout import STATUSES, Case, Expected, PartitionRow
from .tables import Table

_LARGEST_MB = 1 << 24       # of an image: 16 TiB, sparse


def read_cases(path: Path) -> list[Case]:
    """All cases of a file, in order. Raises UsageError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_cases(data, path)


def parse_cases(data: bytes, path: Path) -> list[Case]:
    """The cases of a file's contents; files that they name lie beside `path`. Raises UsageError."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8: {error.reason} at byte {error.start}") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", str(error))
        where, message = (f":{match[2]}:{match[3]}", match[1]) if match else ("", str(error))
        raise UsageError(f"{path}{where}: {message[0].lower()}{message[1:]}") from error
    whole = Table(str(path), (), document, places(text))
    tables = whole.value("case", list)
    whole.finish()
    if not tables or not all(isinstance(each, dict) for each in tables):
        whole.fail(None, "there is no case", 'each begins with a line "[[case]]"')
    cases = list(_cases(path, tables, places(text)))
    ids: set[str] = set()
    for case in cases:
        if case.id in ids:
            raise UsageError(f'{path}:{case.line}:1: there is another case "{case.id}"')
        ids.add(case.id)
    return cases


def _cases(path: Path, tables: list[dict[str, Any]], found: Mapping[Any, Any]) -> Iterator[Case]:
    for number, content in enumerate(tables):
        table = Table(str(path), ("case", number), content, found)
        yield _case(path, table)


def _case(path: Path, table: Table) -> Case:
    folder = path.absolute().parent
    encoding = _encoding(table)
    ident, root, script = table.text("id"), table.text("root"), _Script(table)
    case = Case(
        source=path, line=table.line, id=ident or "", folder=folder, script=b"", script_name="", note=table.text("note") or "", encoding=encoding,
        root=None if root is None else folder / root, files=_files(table, "files", encoding), variables=table.pairs("set"), keys=table.text("keys"),
        disks=_disks(table, folder), bootp=_bootp(table, folder), mac=table.text("mac"), seed=table.text("seed"), clock_s=_clock(table),
        arguments=table.texts("args"), needs=table.texts("needs"), timeout_s=table.number("timeout") or 60.0,
        expect=_expected(table, table.table("expect"), encoding),
    )
    table.finish()      # a key that is misspelt is told before the one that is missing then
    if not ident:
        table.fail(None, 'the case has no "id"')
    if root is not None and not (folder / root).is_dir():
        table.fail("root", f'"{root}" is no folder beside the case file')
    data, name = script.load(folder, encoding)
    return replace(case, script=data, script_name=name)


def _encoding(table: Table) -> str:
    name = table.text("encoding") or "utf-8"
    try:
        "".encode(name)
    except LookupError:
        table.fail("encoding", f'there is no encoding "{name}"')
    return name


def _encode(table: Table, key: str, text: str, encoding: str) -> bytes:
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        table.fail(key, f'"{text[error.start]}" cannot be written in {encoding}')


class _Script:
    """The keys that say what the script is."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._text, self._file, self._name = table.text("script"), table.text("script_file"), table.text("name")
        self._end = table.text("eol") or "\n"

    def load(self, folder: Path, encoding: str) -> tuple[bytes, str]:
        """The script and its name below the root."""
        table = self._table
        if self._text is not None and self._file is None:
            return _encode(table, "script", self._text.replace("\n", self._end), encoding), _below(table, "name", self._name or "case.bpb")
        if self._file is None or self._text is not None:
            table.fail(None if self._text is None else "script", 'a case has either "script" or "script_file"')
        path = folder / self._file
        try:
            return path.read_bytes(), _below(table, "name", self._name or path.name)
        except OSError as error:
            table.fail("script_file", f'"{self._file}" cannot be read: {error.strerror}')


def _below(table: Table, key: str, name: str) -> str:
    """A file name below the root. Case files come from outside, too: nothing is written elsewhere."""
    if not name or name.startswith("/") or ".." in Path(name).parts or "\0" in name:
        table.fail(key, f'"{name}" is no file below the root')
    return name


def _files(table: Table, key: str, encoding: str) -> dict[str, bytes]:
    """The files of `key` (texts) and `key`_hex, by name."""
    files = {_below(table, key, name): _encode(table, key, text, encoding) for name, text in table.pairs(key).items()}
    for name, text in table.pairs(f"{key}_hex").items():
        files[_below(table, f"{key}_hex", name)] = _from_hex(table, f"{key}_hex", text)
    return files


def _from_hex(table: Table, key: str, text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        table.fail(key, f'"{text[:40]}" is not hexadecimal')


def _disks(table: Table, folder: Path) -> tuple[int | Path, ...]:
    disks: list[int | Path] = []
    for each in table.value("disks", list) or []:
        if type(each) is int and 0 < each <= _LARGEST_MB:
            disks.append(each * MIB)
        elif isinstance(each, str) and (folder / each).is_file():
            disks.append(folder / each)
        else:
            table.fail("disks", f"{each!r} is no disk", "a disk is a size in MB, or an image beside the case file, which is copied")
    return tuple(disks)


def _bootp(table: Table, folder: Path) -> Path | Mapping[str, Any] | None:
    found = table.value("bootp", str, dict)
    if not isinstance(found, str):
        return found        # type: ignore[no-any-return]
    if not (folder / found).is_file():
        table.fail("bootp", f'there is no "{found}" beside the case file')
    return folder / found


def _clock(table: Table) -> int | None:
    found = table.value("clock", int, datetime.datetime)
    if not isinstance(found, datetime.datetime):
        return found        # type: ignore[no-any-return]
    return int((found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).timestamp())


def _expected(case: Table, table: Table, encoding: str) -> Expected:
    status = table.text("status") or "ok"
    if status not in STATUSES:
        table.fail("status", f'"{status}" is no status', f"expected {', '.join(STATUSES)}")
    check = table.flag("check")
    lists = table.texts("partition_list")
    expected = Expected(
        status=status, line=table.whole("line"), column=table.whole("column"), file=table.text("file"), error=table.text("error"), boot=table.text("boot"),
        log=table.text("log"), log_contains=table.texts("log_contains"), log_excludes=table.texts("log_excludes"), log_regex=_patterns(table, "log_regex"),
        variables=table.pairs("vars"), undefined=table.texts("vars_undefined"),
        root_files=_files(table, "root_files", encoding), root_absent=tuple(_below(table, "root_absent", name) for name in table.texts("root_absent")),
        disk_files=_disk_files(table, encoding), disk_contains=_disk_contains(table), disk_absent=tuple(_place(table, "disk_absent", each) for each in table.texts("disk_absent")),
        volumes={_place(table, "volumes", name): kind.upper() for name, kind in table.pairs("volumes").items()},
        partitions=_rows(table), partitions_disk=table.whole("partitions_disk") or 0, partition_lists=lists,
        disk_bytes=_disk_bytes(table), check=True if check is None else check, max_seconds=table.number("max_seconds"),
    )
    table.finish()
    _check_disks(case, table, expected)
    return expected


def _check_disks(case: Table, table: Table, expected: Expected) -> None:
    """What is said of disks is said of those that there are."""
    count = len(case.value("disks", list) or [])
    places = {"disk_files": expected.disk_files, "disk_contains": expected.disk_contains, "disk_absent": expected.disk_absent, "volumes": expected.volumes}
    for key, named in places.items():
        for place in named:
            if place.disk_number >= count:
                table.fail(key, f"{place}: the case has no disk {place.disk_number}")
    if expected.partitions is not None and expected.partitions_disk >= count:
        table.fail("partitions", f"the case has no disk {expected.partitions_disk}")
    if len(expected.partition_lists) > count:
        table.fail("partition_list", f"{len(expected.partition_lists)} lists for {count} disks")
    if expected.disk_bytes and not count:
        table.fail("image_hex", "the case has no disk")


def _patterns(table: Table, key: str) -> tuple[str, ...]:
    patterns = table.texts(key)
    for each in patterns:
        try:
            re.compile(each)
        except re.error as error:
            table.fail(key, f'"{each}" is no regular expression: {error}')
    return patterns


def _place(table: Table, key: str, name: str) -> DiskPlace:
    try:
        place = parse_place(name, "MrBatch")
    except StorageError as error:
        table.fail(key, error.message, error.hint)
    if not isinstance(place, DiskPlace):
        table.fail(key, f'"{name}" is no place on a disk', 'write "{:1}/etc/fstab"')
    return place


def _disk_files(table: Table, encoding: str) -> dict[DiskPlace, bytes]:
    files = {_place(table, "disk_files", name): _encode(table, "disk_files", text, encoding) for name, text in table.pairs("disk_files").items()}
    for name, text in table.pairs("disk_files_hex").items():
        files[_place(table, "disk_files_hex", name)] = _from_hex(table, "disk_files_hex", text)
    return files


def _disk_contains(table: Table) -> dict[DiskPlace, tuple[str, ...]]:
    below = table.table("disk_contains")
    return {_place(table, "disk_contains", name): below.texts(name) for name in table.value("disk_contains", dict) or {}}


def _rows(table: Table) -> tuple[PartitionRow, ...] | None:
    rows = table.value("partitions", list)
    if rows is None:
        return None
    found = []
    for row in rows:
        if not (isinstance(row, list) and len(row) == 4 and isinstance(row[1], int | str) and all(isinstance(row[each], int) for each in (0, 2, 3))):
            table.fail("partitions", f"{row!r} is no row", 'a row is [number, type, boot flag, size in MB], for example [1, "BIGDOS", 1, 500]')
        found.append(PartitionRow(row[0], row[1], bool(row[2]), row[3]))
    return tuple(found)


def _disk_bytes(table: Table) -> dict[int, bytes]:
    found = {}
    for offset, text in table.pairs("image_hex").items():
        if not offset.isascii() or not offset.isdecimal():
            table.fail("image_hex", f'"{offset}" is no offset in bytes')
        found[int(offset)] = _from_hex(table, "image_hex", text)
    return found
