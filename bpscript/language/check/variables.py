"""Variables: used but never set, or used before they are set; values that special variables do not take; values that cannot be converted."""

import re

from ..arguments import ArgumentType, CommandArgument, RefusedArgument
from ..names import did_you_mean, fold, is_variable_name
from ..places import PlacedError
from ..specials import SPECIALS, VALUES, reply_names, reply_variables, special
from ..syntax import VALUE_NODES, Node, Test, Text, Word
from .reading import Used
from .step import Rules, Step, sets_variables

_FORMS = {
    "cachesize": (re.compile(r"\s*\d{0,9}\s*\Z"), "a number of MB"),
    "cachedisk": (re.compile(r"\d*\Z"), "the number of a disk"),
    "progressx": (re.compile(r"-?\d+\Z"), "a number"),
    "progressy": (re.compile(r"-?\d+\Z"), "a number"),
    "zip-size": (re.compile(r"\d*\Z"), "a number of MB"),
    "disk-geometry": (re.compile(r"(?:\d{1,3}\s+\d{1,2})?\Z"), 'heads and sectors, such as "255 63"'),
    "disk-guid": (re.compile(r"(?:[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12})?\Z"), "a GUID"),
    "fragmentsize": (re.compile(r"\s*\d+\s*(?:[KMG]?B)?\s*\Z", re.IGNORECASE), 'a size such as "30 MB"'),
    "dumpformat": (re.compile(r"[hHbBsSdDfF]*\Z"), "letters of hHbBsSdDfF"),
}


def add_to(rules: Rules) -> None:
    """The rules of this module."""
    rules.checks.setdefault("$", []).append(_check_uses)
    rules.checks.setdefault("Set", []).append(_check_special)
    rules.wide += ((sets_variables, _check_names), (lambda declaration: True, _check_values))
    rules.effects.setdefault("Set", []).append(_assign)
    rules.effects.setdefault("CheckUser", []).append(_checked)


def _assign(step: Step) -> None:
    name, value = step.command.argument("name"), step.command.argument("value")
    if name is None or value is None:
        return
    try:
        found = step.value(value)
    except PlacedError:
        found = None
    secret = bool(step.state.secret) and any(step.state.secret & step.program.bits_of({used.names[step.program.choice(used)][0]}) for used in step.used_in(value))
    step.walk.assign(step, name, None if found is None else str(found), secret)


def _checked(step: Step) -> None:
    step.state.know("security-check", None)


def _check_uses(step: Step) -> None:
    """Each variable that the line uses is set somewhere, and before."""
    program, state = step.program, step.state
    for used in step.used:
        key = used.names[program.choice(used)][0]
        if key in program.defined:
            if not state.maybe >> program.defined[key] & 1 and special(key) is None and key not in reply_variables():
                _report_early(step, used.column, used.width, program.spellings[key])
            continue
        if not program.is_known(key):
            _report_unknown(step, used)


def _place(step: Step, column: int, width: int) -> tuple[int, int]:
    return (column, width) if step.at is None else (step.at.column, step.at.width)


def _report_early(step: Step, column: int, width: int, name: str) -> None:
    if not step.later:
        column, width = _place(step, column, width)
        step.walk.report(step.index, "BP302", column, width, f"${name} is used before it is set: it is empty here")


def _report_unknown(step: Step, used: Used) -> None:
    program = step.program
    name = used.written.strip("${}")
    column, width = _place(step, used.column, used.width)
    if fold(name).startswith(("bootp-", "dhcp-")):
        hint = did_you_mean(name, reply_names())
        step.walk.report(step.index, "BP303", column, width, f"no BOOTP or DHCP reply sets ${name}", hint)
        return
    hint = did_you_mean(name, [*program.spellings.values(), *(each.name for each in SPECIALS)])
    if program.has_unknown_include and hint is None:
        return      # the file that is not known may set it
    if hint is None:
        hint = f"the name of a variable that gets a value is written without $: {name}" if _is_name(step, used) else "--set NAME says that the run sets it"
    step.walk.report(step.index, "BP301", column, width, f"${name} is never set: it is empty here", hint)


def _is_name(step: Step, used: Used) -> bool:
    """Whether a macro stands where a variable is named that gets a value."""
    return any(
        match.parameter.type.sets_variable and match.nodes and command.text.column(match.nodes[0].start) == used.column
        for command in step.walk.file.readings[step.index].commands
        for match in command.arguments
    )


def _check_special(step: Step) -> None:
    """Read-only variables, and values that mean nothing to the interpreter."""
    node, value = step.command.argument("name"), step.command.argument("value")
    if not isinstance(node, Word) or value is None or step.command.is_open(node):
        return
    key = fold(node.text)
    choices, form = VALUES.get(key), _FORMS.get(key)
    if choices is None and form is None:
        return
    try:
        found = step.value(value)
    except PlacedError:
        return
    if found is None:
        return
    text = str(found)
    if choices is not None and text.upper() not in choices:
        step.report("BP304", value, f'${node.text} is set to "{text[:40]}"; expected {" or ".join(each or "nothing" for each in choices)}')
    if form is not None and form[0].match(text) is None:
        step.report("BP304", value, f'${node.text} is set to "{text[:40]}"; expected {form[1]}')


def _check_names(step: Step) -> None:
    """Names of variables that can be set."""
    for match in step.command.arguments:
        node = match.nodes[0] if match.nodes else None
        if match.parameter.type.sets_variable and isinstance(node, Word):
            found = special(node.text) if is_variable_name(node.text) else None
            if found is not None and found.read_only and not step.command.is_open(node):
                step.report("BP107", node, f'"{found.name}" is a read-only variable')


def _check_values(step: Step) -> None:
    """Values that are known only here, through variables."""
    if not step.used or step.sampled:
        return
    for match in step.command.arguments:
        kind = match.parameter.type
        if not match.nodes or isinstance(kind, CommandArgument):
            continue
        node = match.nodes[0]
        for each in _operands(node) if isinstance(node, Test) else match.nodes:
            _check_value(step, kind, each)


def _operands(test: Test) -> list[Node]:
    return [each for each in (test.left, test.right) if each is not None]


def _check_value(step: Step, kind: ArgumentType, node: Node) -> None:
    if (isinstance(node, Text) and not kind.converts) or not isinstance(node, VALUE_NODES) or not step.command.is_open(node):
        return      # joining a string never fails
    try:
        value = step.value(node)
        if value is not None and kind.converts and kind.accepts(node):
            kind.convert(value)
    except PlacedError as error:
        if step.at is None:
            step.walk.report(step.index, "BP106", error.column, error.width, error.message, error.hint)
    except RefusedArgument as error:
        step.report("BP105", node, error.message, error.hint)
