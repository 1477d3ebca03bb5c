"""A plan for people: short also for a disk of 20 partitions and 100,000 files, which are told by directory."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from ..base.units import format_size
from ..filesystems.filesystem import FileKind
from .differences import FileChange, PartitionChange
from .plan import DiskPlan, Plan, TableFacts
from .watching import Spot

_MOST_LINES = 12        # of files, for each partition
_MOST_ROWS = 20         # of anything else
_SIGNS = {"created": "+", "changed": "*", "removed": "-"}


def lines(plan: Plan) -> Iterator[str]:
    """What a run of the script would do."""
    yield f"{plan.script}: a plan; nothing was written"
    for disk in plan.disks:
        yield ""
        yield from _disk(disk)
    if plan.host:
        yield ""
        yield "files of this host"
        yield from _some([f"  {_SIGNS.get(each.what, '+')} {each.path}{'/' if each.what == 'directory' else ''}  {'' if each.what != 'written' else format_size(each.size)}".rstrip() for each in plan.host])
    if plan.commands:
        yield ""
        yield "commands that write"
        yield from _some([f"  {_place(spot)}  {format_size(written)}" for spot, written in plan.commands.items()])
    if plan.files:
        yield ""
        yield "files that are needed, from the server" if plan.is_network else "files that are needed"
        yield from _some([
            f"  {each.name}  {'?' if each.fingerprint.size is None else format_size(each.fingerprint.size)}  ({_place(each.spot)})" for each in plan.files
        ])
    if plan.gateways:
        yield ""
        yield "the login gateway is asked"
        yield from _some([f"  {_place(spot)}" for spot in plan.gateways])
    if plan.asks:
        yield ""
        yield "the user is asked"
        yield from _some([f"  {_place(spot)}{f', {times} times' if times > 1 else ''}" for spot, times in plan.asks.items()])
    if plan.waited >= 1:
        yield ""
        yield f"the script waits for {plan.waited:.0f} s"
    yield ""
    yield _end(plan)


def _end(plan: Plan) -> str:
    if plan.error is not None:
        return f"it would stop with an error: {plan.error}"
    return f"it would boot: {plan.boot}" if plan.boot is not None else "it would end at its last line"


def _disk(disk: DiskPlan) -> Iterator[str]:
    made = ", to be made" if disk.is_new else ""
    yield f"disk {disk.number}: {disk.name} ({format_size(disk.size)}{made})"
    for problem in disk.problems:
        yield f"  a run would refuse: {problem}"
    if not disk.written:
        yield "  stays as it is"
        return
    if disk.before == disk.after:
        yield f"  table stays: {_scheme(disk.after)}"
    else:
        yield f"  table: {_scheme(disk.before)} -> {_scheme(disk.after)}"
        yield from _rows(disk.before, disk.after)
    for partition in disk.partitions:
        yield from _partition(partition)
    equal = "" if disk.written == disk.differing.differing else f" ({format_size(disk.written)} are written)"
    places = len(disk.differing.ranges)
    yield f"  {format_size(disk.differing.differing)} would differ{equal}, at {places} place{'' if places == 1 else 's'}"


def _scheme(table: TableFacts) -> str:
    return f"{table.scheme}, {len(table.rows)} partition{'' if len(table.rows) == 1 else 's'}" if table.scheme else "none"


def _rows(before: TableFacts, after: TableFacts) -> Iterator[str]:
    old, new = ({row[0]: row for row in table.rows} for table in (before, after))
    for number in sorted(old.keys() | new.keys()):
        was, is_now = old.get(number), new.get(number)
        sign = " " if was == is_now else "+" if was is None else "-" if is_now is None else "*"
        row = is_now or was
        assert row is not None
        _, word, start, size, boot = row
        former = f"  (was {was[1]} {format_size(was[3])}{', elsewhere' if was[2] != start else ''})" if was is not None and is_now is not None and was != is_now else ""
        yield f"  {sign} {number:3}  {word:<12} {format_size(size):>8}  from {format_size(start)}{'  boot' if boot else ''}{former}"


def _partition(partition: PartitionChange) -> Iterator[str]:
    before, after = partition.before, partition.after
    name = "cache" if partition.number == -1 else f"partition {partition.number}"
    label = f' "{after.label}"' if after.label else ""
    if partition.number == -1:
        what = ""
    elif partition.formatted:
        what = f": {before.kind or 'not formatted'} -> {after.kind}{label}, formatted anew"
    else:
        what = f": {after.kind or 'not formatted'}{label}"
    yield f"  {name}{what}, {format_size(partition.differing)} in sectors that differ"
    if partition.note and partition.number != -1:
        yield f"    {partition.note}"
    yield from (f"    {line}" for line in summary(partition.files))


def summary(changes: list[FileChange], most: int = _MOST_LINES) -> Iterator[str]:
    """Changes of files in a few lines: a total, and each one, or each directory as deep as there is room for."""
    files = [each for each in changes if each.kind is not FileKind.DIRECTORY]
    if not changes:
        return
    yield ", ".join(_totals(files, changes))
    shown = files or changes
    if len(shown) <= most:
        yield from (f"{_SIGNS[each.change]} {each.path}{'/' if each.kind is FileKind.DIRECTORY else ''}  {_sizes(each)}".rstrip() for each in shown)
        return
    groups = _groups(shown, most)
    for folder, inside in sorted(groups.items()):
        yield f"{folder + '/' if folder else 'at the top'}: {', '.join(_totals(inside, inside))}"


def _totals(files: list[FileChange], changes: Iterable[FileChange]) -> Iterator[str]:
    for change in _SIGNS:
        found = [each for each in files if each.change == change]
        if found:
            size = sum((each.before if change == "removed" else each.after) or 0 for each in found)
            yield f"{len(found):,} file{'' if len(found) == 1 else 's'} {change} ({format_size(size)})"
    if not files:
        yield f"{sum(1 for each in changes)} directories differ"


def _sizes(change: FileChange) -> str:
    if change.kind is not FileKind.FILE:
        return ""
    if change.change == "changed" and change.before != change.after:
        return f"{format_size(change.before or 0)} -> {format_size(change.after or 0)}"
    return format_size((change.before if change.after is None else change.after) or 0)


def _groups(files: list[FileChange], most: int) -> dict[str, list[FileChange]]:
    """Files by directory: begin at the top, and open the largest directory as long as its parts have room."""
    groups: dict[str, list[FileChange]] = {"": files}
    closed: set[str] = set()
    while True:
        candidates = sorted((each for each in groups if each not in closed), key=lambda each: -len(groups[each]))
        if not candidates:
            return groups
        folder = candidates[0]
        depth = len(folder.split("/")) if folder else 0
        parts: dict[str, list[FileChange]] = defaultdict(list)
        for each in groups[folder]:
            names = each.path.split("/")
            parts["/".join(names[: depth + 1]) if len(names) > depth + 1 else folder].append(each)
        if len(groups) - 1 + len(parts) > most or parts.keys() == {folder}:
            closed.add(folder)
            continue
        del groups[folder]
        groups.update(parts)
        if folder in parts:
            closed.add(folder)


def _some(rows: list[str]) -> Iterator[str]:
    yield from rows[:_MOST_ROWS]
    if len(rows) > _MOST_ROWS:
        yield f"  and {len(rows) - _MOST_ROWS} more"


def _place(spot: Spot) -> str:
    return f"{spot.file}:{spot.line} {spot.command}" if spot.line else "before the first command"
