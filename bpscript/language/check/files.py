"""Files of the server: not below --root, of another kind than the command takes, asked for when the network is gone."""

import re

from ...base.errors import StorageError
from ...base.resources import keyboard_layout
from ...base.text import decode
from ...filesystems.places import DiskPlace, HostPlace, parse_place
from ..arguments import FileUse
from ..names import did_you_mean, fold
from ..syntax import Node, Test
from .step import Rules, Step, names_files

_MOST_TEXT = 1 << 20        # bytes of a patched file that are looked at
_HIDES = ("HideBootProm", "FloppyBoot", "LoadRamDisk", "LoadZRamDisk")
_FULL, _FILES = frozenset({"full", "disk", "raw", "packed"}), frozenset({"incremental", "tar", "zip", "packed"})
_WANTS = {"FullUnzip": _FULL - {"disk"}, "IncrUnzip": _FILES}
_SIZES = {"LoadFont": ((4096,), "a font of 256 characters has 4096 bytes")}


def add_to(rules: Rules) -> None:
    """The rules of this module."""
    rules.wide.append((names_files, _check_files))
    for name in _HIDES:
        rules.effects.setdefault(name, []).append(_hide)
    for name in _WANTS:
        rules.checks.setdefault(name, []).append(_check_kind)
    rules.checks.setdefault(".KEY", []).append(_check_key)
    rules.checks.setdefault("Patch", []).append(_check_patch)
    for name in _SIZES:
        rules.checks.setdefault(name, []).append(_check_size)


def _hide(step: Step) -> None:
    step.state.network_gone = True


def _check_files(step: Step) -> None:
    for match in step.command.arguments:
        if not match.nodes:
            continue
        node, use = match.nodes[0], match.parameter.type.file_use
        if isinstance(node, Test):
            if node.operator == "in-file":
                _check_file(step, node.right, FileUse.READS)
        elif use is not None:
            _check_file(step, node, use)


def _check_file(step: Step, node: Node | None, use: FileUse) -> None:
    if node is None or step.sampled:
        return
    start = step.prefix(node) if step.state.network_gone else ""
    if start and not start.startswith("{") and step.program.program != "MrZip":
        step.report("BP504", node, "the network is gone here: no file of a server can be reached", "HideBootProm belongs behind the last file of the server")
        return
    name = step.known_text(node)
    if name is None or (name.startswith("{") and use is not FileUse.READS):
        return
    try:
        place = parse_place(name, step.program.program)
    except StorageError as error:
        if not name and step.command.declaration.name not in {"EndCapture", "LinuxBoot"}:
            step.report("BP503", node, error.message, error.hint)
        return
    if isinstance(place, DiskPlace) or use is not FileUse.READS:
        return
    if isinstance(place, HostPlace) and not step.program.premises.looks_at_host:
        return
    _look(step, node, name)


def _look(step: Step, node: Node, name: str) -> None:
    program = step.program
    premises = program.premises
    key = fold(name)
    if premises.source is None or key in program.written or key in program.asked or _is_asked(step, name):
        return
    found = premises.stat(name)
    if found is None:
        try:
            premises.check_name(name)
        except StorageError as error:
            step.report("BP503", node, error.message, error.hint)
            return
    if found is None and step.command.name == "Include" and keyboard_layout(name) is not None:
        return      # it comes along
    if found is None:
        hint = did_you_mean(name, premises.neighbours(name))
        step.report("BP501", node, f'there is no file "{name}" in {premises.root}', hint)
    elif found.is_directory and step.command.name != "FullUnzip":
        step.report("BP502", node, f'"{name}" is a directory, not a file')


def _is_asked(step: Step, name: str) -> bool:
    """Whether a test in front of the command asked for the file."""
    for guard in step.guards:
        test = guard.argument("test")
        if isinstance(test, Test) and test.operator == "exist":
            asked = Step(step.walk, step.index, guard, step.used, step.state, False, ())
            if asked.known_text(test.left) == name:
                return True
    return False


def _check_kind(step: Step) -> None:
    node = step.command.argument("archive")
    facts = _archive(step, node)
    if facts is None or node is None:
        return
    if facts not in _WANTS[step.command.name]:
        takes = "a full archive or an image of a partition" if step.command.name == "FullUnzip" else "an incremental archive, a tar or a zip"
        other = "IncrUnzip" if step.command.name == "FullUnzip" else "FullUnzip"
        word = {"full": "a full archive", "incremental": "an incremental archive", "disk": "an archive of a whole disk", "tar": "a tar", "zip": "a zip",
                "raw": "no archive of files"}[facts]
        hint = f"{other} takes it" if facts in _WANTS[other] else None
        step.report("BP502", node, f'"{step.known_text(node)}" is {word}; {step.command.name} takes {takes}', hint)


def _archive(step: Step, node: Node | None) -> str | None:
    """The kind of an archive of the server."""
    name = None if node is None else step.known_text(node)
    if not name or name.startswith("{") or step.program.premises.root is None or step.program.program == "MrZip":
        return None
    facts = step.program.premises.archive(name)
    if facts is None or (facts.kind == "raw" and step.command.name == "IncrUnzip" and not facts.filesystem):
        return None
    return facts.kind


def _check_key(step: Step) -> None:
    """What a key of a menu boots, or includes."""
    node = step.command.argument("choice")
    words = (step.known_text(node) or "").split(maxsplit=1)
    if node is None or len(words) != 2 or words[1].startswith("{") or step.program.program == "MrZip":
        return
    if words[1].lower().endswith(".bpb"):
        step.walk.visit(words[1])
    _look(step, node, words[1])


def _check_size(step: Step) -> None:
    node = step.command.argument("file")
    name = None if node is None else step.known_text(node)
    if not name or name.startswith("{") or step.program.premises.source is None or step.program.program == "MrZip":
        return
    found = step.program.premises.stat(name)
    sizes, words = _SIZES[step.command.name]
    if found is not None and found.size is not None and found.size not in sizes:
        step.report("BP502", node, f'"{name}" has {found.size} bytes; {words}')


def _check_patch(step: Step) -> None:
    """The variables that a patched file names are set somewhere."""
    program = step.program
    node = step.command.argument("source")
    name = None if node is None else step.known_text(node)
    if not name or name.startswith("{") or program.premises.source is None or program.program == "MrZip" or program.has_unknown_include:
        return
    prefix = step.text("prefix") if step.command.argument("prefix") is not None else "${"
    postfix = step.text("postfix") if step.command.argument("postfix") is not None else "}"
    facts = program.premises.stat(name)
    if not prefix or not postfix or facts is None or facts.is_directory or (facts.size or 0) > _MOST_TEXT:
        return
    path = program.premises.path_of(name)
    data = None if path is None else program.premises.read(path)
    if data is None:
        return
    text = decode(data, iso_latin=True, code_page="cp850").text
    pattern = re.compile(rf"{re.escape(prefix)}([A-Za-z_][A-Za-z0-9_+-]*?){re.escape(postfix)}")
    for number, line in enumerate(text.splitlines(), start=1):
        for match in pattern.finditer(line):
            if not program.is_known(fold(match[1])):
                hint = did_you_mean(match[1], program.spellings.values())
                step.report("BP505", node, f'line {number} of "{name}" names {match[0]}, which is never set', hint)
                return

