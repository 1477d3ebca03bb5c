"""Disks: the lists of SetPartitions, and the partitions that later commands use, as far as the table is known."""

import re
from collections.abc import Iterator

from ...archive.belonging import belongs_on
from ...base.errors import StorageError
from ...base.units import MIB, SECTOR, format_size
from ...filesystems.places import DiskPlace, parse_tree_place
from ...partitions.layout import check_mbr_reach, lay_out
from ...partitions.partition import CACHE, Partition
from ...partitions.spec import PartitionList, PartitionListError, Wanted, parse_list
from ...partitions.table import Table
from ...partitions.types import GPT_TYPES, format_of
from ..arguments import FileUse, RefusedArgument
from ..places import PlacedError
from ..syntax import NUMERIC, TEXTUAL, Absent, Node, Pair, Test, Text
from .state import KnownTable
from .step import Rules, Step, names_files

_UNKNOWN_SIZE = "1"
_COPIED_BY_FILE = frozenset({"FAT12", "FAT16", "FAT32", "EXT2", "EXT3", "EXT4"})     # fit where their files fit (language.md 8.7)
_NO_FILES = frozenset({"SWAP", "EXTENDED"})
_PLACE = re.compile(r"\{[^}]*\}")


def add_to(rules: Rules) -> None:
    """The rules of this module."""
    for name, check in (
        ("SetPartitions", _check_list), ("Clean", _check_clean), ("FullUnzip", _check_restore), ("SetBootPart", _check_number),
        ("Blank", _check_number), ("HdBoot", _check_number), ("If", _check_valid), ("GetPartitions", _check_disk), ("GetBootPart", _check_disk),
    ):  # fmt: skip
        rules.checks.setdefault(name, []).append(check)
    rules.wide.append((names_files, _check_paths))
    rules.effects.setdefault("SetPartitions", []).append(_set_table)


# SetPartitions ----------------------------------------------------------------------------------------------------------


def _set_table(step: Step) -> None:
    disk = step.number("disk", 0)
    if disk is None:
        step.state.tables = {}
        return
    step.state.know_table(disk, None)
    wanted = _list_of(step)
    if isinstance(wanted, PartitionList) and not step.program.handlers_touch_disks:
        step.state.know_table(disk, _known(step, wanted))


_TABLES: dict[tuple[str, int | None], KnownTable] = {}
_MOST_TABLES = 512


def _known(step: Step, wanted: PartitionList) -> KnownTable:
    """The table of a list; the same object for the same list, so that ways that agree are seen to agree."""
    size = _disk_size(step)
    sizes_known = isinstance(step.text("partitions"), str)
    key = " ".join(entry.word.text for entry in wanted.entries) + wanted.scheme + str(sizes_known), size
    if key not in _TABLES:
        if len(_TABLES) >= _MOST_TABLES:
            _TABLES.clear()
        _TABLES[key] = KnownTable(wanted, _sizes(wanted, size) if sizes_known else {})
    return _TABLES[key]


def _list_of(step: Step) -> PartitionList | PartitionListError | None:
    """The list of a SetPartitions; where only sizes are not known, with 1 in their place."""
    text = step.text("partitions")
    if text is None:
        text = _with_sizes(step)
    if text is None:
        return None
    try:
        return parse_list(text)
    except PartitionListError as error:
        return error


def _with_sizes(step: Step) -> str | None:
    node = step.command.argument("partitions")
    if not isinstance(node, Text) or step.sampled:
        return None
    text = ""
    for index, part in enumerate(node.parts):
        if isinstance(part, str):
            text += part
            continue
        value = step.text_of(step.used[part]) if part < len(step.used) else None
        if value is None:
            behind = node.parts[index + 1] if index + 1 < len(node.parts) else " "
            if not text.endswith(":") or not isinstance(behind, str) or behind[:1] not in {"", " ", "\t"}:
                return None
            value = _UNKNOWN_SIZE
        text += value
    return text if "\0" in step.command.text.text else None


def _disk_size(step: Step) -> int | None:
    disks, disk = step.program.premises.disks, step.number("disk", 0)
    return disks[disk] if disk is not None and 0 <= disk < len(disks) else None


def _check_list(step: Step) -> None:
    _check_disk(step)
    node = step.command.argument("partitions")
    found = _list_of(step)
    if isinstance(found, PartitionListError):
        inside = (found.offset, found.length) if found.length else None
        step.report("BP401", node, found.message, found.hint, inside=inside)
        return
    size = _disk_size(step)
    if found is None or size is None or step.text("partitions") is None:
        return
    cache = step.state.values.get("cachesize", "0").strip() or "0"
    try:
        check_mbr_reach(found, size, SECTOR)
        _lay_out(found, size, int(cache) * MIB if cache.isdecimal() and len(cache) < 9 else 0)
    except PartitionListError as error:
        step.report("BP402", node, error.message, error.hint, inside=(error.offset, error.length) if error.length else None)


def _lay_out(wanted: PartitionList, size: int, cache: int) -> dict[int, int]:
    """The sizes of all partitions on a disk of that size, in bytes. Raises PartitionListError."""
    empty = Table(None, size, SECTOR)
    if wanted.scheme == "GPT":
        from ...partitions.gpt import BACKUP_ROOM, usable_range  # noqa: PLC0415 - brings construct

        usable = usable_range(size, SECTOR, 128)
        if usable[0] >= usable[1]:
            raise PartitionListError(f"a disk of {size} bytes has no room for a GPT")
        layout = lay_out(wanted, empty, usable, size - BACKUP_ROOM - cache)
    else:
        layout = lay_out(wanted, empty, (SECTOR, size), size - cache)
    return {each.wanted.number: each.size for each in layout.placed}


def _sizes(wanted: PartitionList, size: int | None) -> dict[int, int]:
    """Sizes by number; without a disk, of those entries that say theirs."""
    try:
        if size is not None:
            return _lay_out(wanted, size, 0)
    except PartitionListError:
        return {}
    return {entry.number: entry.size_mb * MIB for entry in wanted.entries if entry.is_used and entry.size_mb is not None}


# What uses partitions ---------------------------------------------------------------------------------------------------


def _check_disk(step: Step) -> None:
    """A disk that --disk does not give."""
    disk = step.number("disk")
    if disk is not None:
        _is_disk(step, disk, step.command.argument("disk"))


def _is_disk(step: Step, disk: int, node: Node | None) -> bool:
    count = len(step.program.premises.disks)
    if disk < 0 or (count and disk >= count):
        given = f"--disk gives {count}, counted from 0" if count else "disks are counted from 0"
        step.report("BP407", node, f"there is no disk {disk}: {given}")
        return False
    return True


def _entry(step: Step, disk: int, number: int, node: Node | None, *, asks: bool = False) -> Wanted | None:
    """The entry of a known table; a number that it does not have is reported."""
    table = step.state.tables.get(disk)
    if table is None or number <= 0:
        return None
    entry = next((each for each in table.wanted.entries if each.number == number and each.is_used), None)
    if entry is None:
        numbers = ", ".join(str(each.number) for each in table.wanted.entries if each.is_used)
        step.report("BP408" if asks else "BP403", node, f"there is no partition {number} on disk {disk}", f"SetPartitions made {numbers}" if numbers else "SetPartitions made none")
    return entry


def _check_number(step: Step) -> None:
    disk, number = step.number("disk", 0), step.number("partition")
    if disk is None or not _is_disk(step, disk, step.command.argument("disk")) or number is None:
        return
    _entry(step, disk, number, step.command.argument("partition"))


def _check_valid(step: Step) -> None:
    """`If valid` of a disk that is not there is simply no; but the number may be wrong."""
    node = step.command.argument("test")
    if not isinstance(node, Test) or node.operator != "valid" or node.right is None:
        return
    try:
        disk = 0 if isinstance(node.left, Absent) else step.value(node.left)
        number = step.value(node.right)
    except PlacedError:
        return
    if isinstance(disk, int) and isinstance(number, int):
        _entry(step, disk, number, node.right, asks=True)


def _check_clean(step: Step) -> None:
    node = step.command.argument("partitions")
    disk = step.number("disk", 0)
    if disk is None or node is None or not _is_disk(step, disk, step.command.argument("disk")):
        return
    for number in _numbers(step, node):
        if number < CACHE:
            step.report("BP403", node, f"there is no partition {number}: -1 is the cache, 0 the boot code of the disk")
            continue
        entry = _entry(step, disk, number, node)
        if entry is not None and format_of(entry.name) is None and entry.name not in {"NTFS"}:
            step.report("BP404", node, f"partition {number} has the type {entry.name}, which Clean cannot format")
        elif entry is not None and entry.name == "NTFS":
            step.report("BP404", node, f"partition {number} is for NTFS, which Clean cannot format", "FullUnzip restores an image of one")


def _numbers(step: Step, node: Node) -> Iterator[int]:
    kind = step.command.arguments[0].parameter.type
    try:
        value = step.value(node)
        numbers = None if value is None else kind.convert(value)
    except (PlacedError, RefusedArgument):
        return
    if isinstance(numbers, tuple):
        yield from numbers


def _check_restore(step: Step) -> None:
    """FullUnzip: the partition is there, is of the archive's family, and large enough."""
    disk, number = step.number("disk", 0), step.number("partition")
    node = step.command.argument("partition")
    if number is not None and number <= 0 and not step.sampled:
        step.report("BP404", node, f"partition {number} is no partition that an archive can be restored to")
        return
    if disk is None or number is None or not _is_disk(step, disk, step.command.argument("disk")):
        return
    entry = _entry(step, disk, number, node)
    if entry is None:
        return
    if entry.is_extended:
        step.report("BP404", node, f"partition {number} is an extended partition, which holds other partitions and no files")
        return
    name = step.text("archive")
    premises = step.program.premises
    if name is None or premises.root is None or not name or name.startswith("{") or step.program.program == "MrZip":
        return
    facts = premises.archive(name)
    if facts is None or not facts.filesystem:
        return
    partition = Partition(number, entry.type, 0, 0, name=entry.name if entry.type in GPT_TYPES.values() else "")
    if facts.kind != "raw" and not belongs_on(facts.filesystem, partition):
        hint = "SetPartitions gives the partition another type"
        step.report("BP405", node, f'the archive "{name}" holds {facts.filesystem}, which does not belong on partition {number} of type {entry.name}', hint)
        return
    size = step.state.tables[disk].sizes.get(number)
    needed = facts.used if facts.filesystem in _COPIED_BY_FILE else 0 if facts.filesystem == "SWAP" else facts.size
    if size is not None and needed > size:
        what = "its files need" if facts.filesystem in _COPIED_BY_FILE else f"{facts.filesystem} needs all of its"
        step.report("BP406", node, f'the image "{name}" is larger than partition {number}: {what} {format_size(needed)}, the partition has {format_size(size)}')


def _check_paths(step: Step) -> None:
    """`{disk:partition}/path` in every argument that names a file."""
    for match in step.command.arguments:
        if not match.nodes:
            continue
        node = match.nodes[0]
        if isinstance(node, Test):
            if node.operator in {"exist", "in-file"}:
                _check_place(step, node.left if node.operator == "exist" else node.right, asks=True)
        elif isinstance(match.parameter.type.file_use, FileUse) or match.parameter.name == "destpath":
            _check_place(step, node)


def _check_place(step: Step, node: Node | None, *, asks: bool = False) -> None:
    if isinstance(node, Pair) or (node is not None and isinstance(node, NUMERIC)):
        try:
            disk = 0 if not isinstance(node, Pair) or node.disk is None else step.value(node.disk)
            number = step.value(node.partition if isinstance(node, Pair) else node)
        except PlacedError:
            return
        if isinstance(disk, int) and isinstance(number, int):
            _use(step, DiskPlace(disk, number, ""), node, asks=asks)
        return
    if node is None or not isinstance(node, TEXTUAL):
        return
    start = step.prefix(node)
    if not start.startswith("{"):
        return
    match = _PLACE.match(start)
    if match is None:
        if step.known_text(node) is not None:
            step.report("BP503", node, f'"{start[:40]}" is not a file reference', 'write "{disk:partition}/path", for example "{:1}/etc/fstab"')
        return
    try:
        place = parse_tree_place(match[0], step.program.program)
    except StorageError as error:
        step.report("BP503", node, error.message, error.hint)
        return
    if isinstance(place, DiskPlace):
        _use(step, place, node, asks=asks)


def _use(step: Step, place: DiskPlace, node: Node, *, asks: bool) -> None:
    disk = place.disk_number
    if place.partition < -1:
        step.report("BP503", node, f"there is no partition {place.partition}: -1 is the cache, 0 the master boot record")
        return
    if not asks and not _is_disk(step, disk, node):
        return
    entry = _entry(step, disk, place.partition, node, asks=asks)
    # MrZip takes a whole partition too, whatever is on it.
    if entry is not None and not step.command.declaration.mrzip_only and format_of(entry.name) in _NO_FILES:
        step.report("BP404", node, f"partition {place.partition} has the type {entry.name}, which holds no files")
