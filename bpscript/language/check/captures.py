"""What belongs together: CaptureLog and EndCapture, Source and Dest and CopyArchive, filters and exceptions, arguments of one command."""

from ...screen.screen import MODES
from ..syntax import Signed
from .state import Capture
from .step import Rules, Step

_SHORTCUTS = ("FullZip", "IncrZip", "FullDump", "IncrDump", "XCopy")


def add_to(rules: Rules) -> None:
    """The rules of this module."""
    rules.checks.setdefault(".PWD", []).append(_check_never)
    rules.checks.setdefault("RemapKeys", []).append(_check_pairs)
    rules.checks.setdefault("RemapAltKeys", []).append(_check_pairs)
    rules.checks.setdefault("Append", []).append(_check_append)
    rules.checks.setdefault("InitGraph", []).append(_check_mode)
    rules.checks.setdefault("Dest", []).append(_check_dest)
    rules.checks.setdefault("EndCapture", []).append(_check_end)
    rules.checks.setdefault("CaptureLog", []).append(_check_begin)
    rules.effects.setdefault("CaptureLog", []).append(_begin)
    rules.effects.setdefault("EndCapture", []).append(_end)
    rules.checks.setdefault("CopyArchive", []).append(_check_copy)
    rules.checks.setdefault("Filter", []).append(_check_filter)
    rules.effects.setdefault("Filter", []).append(_filter)
    rules.effects.setdefault("Source", []).append(_source)
    rules.effects.setdefault("Dest", []).append(_dest)
    for name in _SHORTCUTS:
        rules.effects.setdefault(name, []).extend((_source, _dest))


def _begin(step: Step) -> None:
    step.state.capture = Capture.ON


def _end(step: Step) -> None:
    step.state.capture = Capture.OFF


def _check_begin(step: Step) -> None:
    if step.state.capture is Capture.ON:
        step.report("BP207", None, "a capture is active already", "EndCapture ends it")


def _check_end(step: Step) -> None:
    if step.state.capture is Capture.OFF:
        step.report("BP207", None, "there is no capture to end in this file", "CaptureLog begins one")


def _source(step: Step) -> None:
    step.state.has_source = True


def _dest(step: Step) -> None:
    step.state.has_dest = True


def _check_copy(step: Step) -> None:
    if not step.state.has_source:
        step.report("BP208", None, "CopyArchive has no source", 'write Source path "..." or Source archive "..." before it')
    elif not step.state.has_dest:
        step.report("BP208", None, "CopyArchive has no destination", 'write Dest archive "..." before it')


def _filter(step: Step) -> None:
    node = step.command.argument("pattern")
    if node is None:
        step.state.has_filter = False
    elif isinstance(node, Signed) and node.sign == "-":
        step.state.has_filter = True


def _check_filter(step: Step) -> None:
    node = step.command.argument("pattern")
    if isinstance(node, Signed) and node.sign == "+" and not step.state.has_filter:
        step.report("BP208", node, "a + filter is an exception to the - filter before it, and there is none")


def _check_never(step: Step) -> None:
    step.report("BP103", None, f"{step.command.name} is always an error, so that nothing is left open by accident", "use GetPasswd and If ... Match-Passwd")


def _check_pairs(step: Step) -> None:
    wanted, to = step.text("wanted"), step.text("to")
    if wanted is not None and to is not None and len(wanted) != len(to):
        node = step.command.argument("to")
        step.report("BP105", node, f"the two strings must be equally long: {len(wanted)} keys, {len(to)} characters")


def _check_append(step: Step) -> None:
    dest = step.text("dest")
    if dest is not None and dest in {step.text("src1"), step.text("src2")}:
        step.report("BP105", step.command.argument("dest"), f'"{dest}" cannot be both read and written by Append')


def _check_mode(step: Step) -> None:
    mode, modes = step.text("mode"), [str(each) for each in MODES]
    if mode is not None and mode.lower() not in modes:
        step.report("BP105", step.command.argument("mode"), f'there is no graphics mode "{mode}"', f"modes are {', '.join(modes)}")


def _check_dest(step: Step) -> None:
    form, name = step.value(step.command.argument("form")), step.command.argument("name")
    is_dump = str(form).lower() in {"dump", "idump"}
    if is_dump and name is not None:
        step.report("BP104", name, f"Dest {form} writes to the log and takes no file name")
    elif not is_dump and name is None:
        step.report("BP104", None, f"Dest {form} needs a file name", f'for example Dest {form} "..."')
