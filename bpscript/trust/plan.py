"""A plan: what a run would change, found out by running the script on layers that are thrown away."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import __version__
from ..api import RunOptions, execute, find_script
from ..base.errors import BpscriptError, ScriptError
from ..blocks.busy import users
from ..network.trial import HostChange
from ..partitions.table import Table
from .differences import Bytes, FileChange, PartitionChange, differing_bytes, partition_changes
from .fingerprints import Region, regions
from .rehearsal import Rehearsal, Stack
from .watching import Spot, UsedFile

if TYPE_CHECKING:
    from ..machine.disk import Disk
    from ..machine.machine import Machine

_MOST_REGIONS = 20_000
_JOINED = 64 * 1024         # bytes; gaps up to here between regions that were read are read too, where there are very many


class TableFacts(NamedTuple):
    """A partition table: its scheme (None without one), and of each entry number, type word, start, size and boot flag."""

    scheme: str | None
    rows: list[tuple[int, str, int, int, bool]]

    @classmethod
    def of(cls, table: Table) -> "TableFacts":
        """The same of a table that was read."""
        return cls(table.scheme, [(each.number, each.word(), each.start, each.size, each.boot) for each in table.partitions])


class DiskPlan(NamedTuple):
    """What a run would do to a disk. `written` counts bytes as often as they are written; `read` is what the plan was made of."""

    number: int
    name: str
    size: int
    is_new: bool
    before: TableFacts
    after: TableFacts
    partitions: list[PartitionChange]
    written: int
    differing: Bytes
    problems: list[str]
    read: list[Region]


class Plan(NamedTuple):
    """What a run would do. `variables` are those it began with, `boot` is the text of the `[boot]` line, `error` what would stop the script."""

    script: str
    disks: list[DiskPlan]
    host: list[HostChange]
    files: list[UsedFile]
    probed: dict[tuple[str, bool], bool]
    variables: dict[str, str]
    is_network: bool
    asks: dict[Spot, int]
    gateways: dict[Spot, int]
    commands: dict[Spot, int]
    waited: float
    boot: str | None
    error: ScriptError | None

    @property
    def differing(self) -> int:
        """Bytes that would differ, on all disks."""
        return sum(each.differing.differing for each in self.disks)


def make_plan(options: RunOptions) -> Plan:
    """Run the script on layers. Raises UsageError for wrong options."""
    made: list[Plan] = []

    def finish(stage: Rehearsal, machine: "Machine", error: Exception | None, booted: str | None) -> None:
        made.append(_look(stage, machine, error if isinstance(error, ScriptError) else None, booted, options))

    # Keys are those of the options: who makes a plan is not the user who is asked.
    execute(options._replace(keys=options.keys or "", keyboard=None, screen=None, boot=None, report=None, log=options.log or (lambda text: None)), Rehearsal(finish))
    return made[0]


def _look(stage: Rehearsal, machine: "Machine", error: ScriptError | None, booted: str | None, options: RunOptions) -> Plan:
    """Everything about a run that has just ended."""
    machine.disks.close()
    former = stage.former(machine)
    disks = [_disk_plan(number, each, former[number], machine.disks[number], options) for number, each in enumerate(stage.stacks)]
    host = [change for folder in stage.folders for change in folder.changes()]
    script = str(find_script(Path(options.script)))
    return Plan(
        script, disks, host, list(stage.watch.files.values()), stage.watch.probed, stage.variables, stage.is_network, stage.watch.asked, stage.watch.gateways,
        stage.written_by, stage.time.waited, booted, error,
    )


def _disk_plan(number: int, stack: Stack, before: "Disk", after: "Disk", options: RunOptions) -> DiskPlan:
    # The bytes that are about to go count as read only where the script or the listing of files looked at them.
    stack.below.counts = False
    differing = differing_bytes(stack.below, stack.top, stack.top.touched.ranges)
    stack.below.counts = True
    changes = []
    problems = _problems(stack, options)
    was, now = _table(before, problems), _table(after, problems)
    if differing.differing:
        with suppress(BpscriptError):
            changes = list(partition_changes(before, after, differing))
    stack.below.counts = False
    read = regions(stack.below, _few(stack.below.seen.ranges))
    return DiskPlan(
        number, before.name, stack.below.size, stack.is_new, was, now, changes, stack.top.written, differing, problems, read
    )


def _table(disk: "Disk", problems: list[str]) -> TableFacts:
    try:
        return TableFacts.of(disk.table())
    except BpscriptError as error:
        problems.append(error.message)
        return TableFacts(None, [])


def _problems(stack: Stack, options: RunOptions) -> list[str]:
    """Why a run would refuse to write."""
    if stack.path is None or stack.is_new:
        return []
    found = [f"it is in use: {each}" for each in users(stack.path, readers=True)]
    if stack.top.is_real_disk and not options.write_real_disks:
        found.append("it is a real disk: a run needs -w to write to it")
    return found


def _few(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Not too many ranges: those that are close become one."""
    found = list(ranges)
    gap = _JOINED
    while len(found) > _MOST_REGIONS:
        joined = found[:1]
        for start, end in found[1:]:
            if start - joined[-1][1] <= gap:
                joined[-1] = joined[-1][0], end
            else:
                joined.append((start, end))
        found, gap = joined, gap * 4
    return found


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan for programs; the manual lists the keys."""
    error = plan.error
    return {
        "bpscript": __version__,
        "script": plan.script,
        "disks": [_disk_json(each) for each in plan.disks],
        "differing": plan.differing,
        "host_files": [{"path": each.path, "change": each.what, "size": each.size} for each in plan.host],
        "files": [
            {"name": each.name, "size": each.fingerprint.size, "hash": each.fingerprint.hash, **_spot(each.spot)} for each in plan.files
        ],
        "network": plan.is_network,
        "asks": [{**_spot(spot), "times": times} for spot, times in plan.asks.items()],
        "gateways": [{**_spot(spot), "times": times} for spot, times in plan.gateways.items()],
        "commands": [{**_spot(spot), "written": written} for spot, written in plan.commands.items()],
        "waits": round(plan.waited, 3),
        "boot": plan.boot,
        "error": None if error is None else {"text": error.message, "file": error.file, "line": error.line, "column": error.column},
    }


def _spot(spot: Spot) -> dict[str, Any]:
    return {"file": spot.file, "line": spot.line, "command": spot.command}


def _disk_json(disk: DiskPlan) -> dict[str, Any]:
    return {
        "number": disk.number, "name": disk.name, "size": disk.size, "new": disk.is_new, "problems": disk.problems,
        "before": _table_json(disk.before), "after": _table_json(disk.after),
        "written": disk.written, "differing": disk.differing.differing, "ranges": [list(each) for each in disk.differing.ranges],
        "range_unit": disk.differing.unit, "partitions": [_partition_json(each) for each in disk.partitions],
    }


def _table_json(table: TableFacts) -> dict[str, Any]:
    rows = [{"number": number, "type": word, "start": start, "size": size, "boot": boot} for number, word, start, size, boot in table.rows]
    return {"scheme": table.scheme, "partitions": rows}


def _partition_json(partition: PartitionChange) -> dict[str, Any]:
    return {
        "number": partition.number, "before": partition.before._asdict(), "after": partition.after._asdict(),
        "formatted": partition.formatted, "differing": partition.differing, "note": partition.note,
        "files": [_file_json(each) for each in partition.files],
    }


def _file_json(change: FileChange) -> dict[str, Any]:
    return {"path": change.path, "change": change.change, "kind": str(change.kind), "before": change.before, "after": change.after}
