"""One case: a script, what it is given, and what must be there afterwards. The keys are explained in docs/testing.md."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..filesystems.places import DiskPlace

STATUSES = ("ok", "error", "usage")     # exit status 0, 1 and 2


class PartitionRow(NamedTuple):
    """An entry of a partition table: `type` is the byte of an MBR entry or the name of `GetPartitions`, `size_mb` what that gives."""

    number: int
    type: int | str
    boot: bool
    size_mb: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What a run must leave behind; None and empty: not looked at. Texts of files are encoded as the script is."""

    status: str = "ok"
    line: int | None = None
    column: int | None = None
    file: str | None = None
    error: str | None = None
    boot: str | None = None
    log: str | None = None
    log_contains: tuple[str, ...] = ()
    log_excludes: tuple[str, ...] = ()
    log_regex: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    undefined: tuple[str, ...] = ()
    root_files: Mapping[str, bytes] = field(default_factory=dict)
    root_absent: tuple[str, ...] = ()
    disk_files: Mapping[DiskPlace, bytes] = field(default_factory=dict)
    disk_contains: Mapping[DiskPlace, tuple[str, ...]] = field(default_factory=dict)
    disk_absent: tuple[DiskPlace, ...] = ()
    volumes: Mapping[DiskPlace, str] = field(default_factory=dict)
    partitions: tuple[PartitionRow, ...] | None = None
    partitions_disk: int = 0
    partition_lists: tuple[str, ...] = ()
    disk_bytes: Mapping[int, bytes] = field(default_factory=dict)      # of disk 0, by offset
    check: bool = True
    max_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a file. `disks` are sizes in bytes of empty images, or images to copy; `folder` is that of the case file."""

    source: Path
    line: int
    id: str
    folder: Path
    script: bytes
    script_name: str
    note: str = ""
    encoding: str = "utf-8"
    root: Path | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    keys: str | None = None
    disks: tuple[int | Path, ...] = ()
    bootp: Path | Mapping[str, Any] | None = None
    mac: str | None = None
    seed: str | None = None
    clock_s: int | None = None
    arguments: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    timeout_s: float = 60.0
    expect: Expected = field(default_factory=Expected)
