"""Checking a script without running it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from ..base.errors import UsageError
from .disks import PathLike
from .scripts import find_script, is_address, program_of

if TYPE_CHECKING:
    from ..language.check.findings import Report


class CheckOptions(NamedTuple):
    """How to check a script; the fields are the options of `bpscript check` (see the manual).

    `disks` are the sizes of the machine's disks in bytes; `variables` are set before the first line, to a text or, with None, to
    something that is not known. `texts` are files as an editor has them, before they are saved.
    """

    root: PathLike | None = None
    disks: Sequence[int] = ()
    variables: Mapping[str, str | None] = MappingProxyType({})
    program: str | None = None          # default: MrZip for *.mrz, else MrBatch
    texts: Mapping[Path, bytes] = MappingProxyType({})


def check(
    script: PathLike, *, root: PathLike | None = None, disks: Sequence[int] = (), variables: Mapping[str, str | None] | None = None
) -> "Report":
    """Look for mistakes in a script and what it includes without running it, as `bpscript check` does.

    Raises UsageError when the script or the root cannot be read; what is wrong with the script is in the report.
    """
    return check_with(script, CheckOptions(root, disks, variables or {}))


def check_with(script: PathLike, options: CheckOptions) -> "Report":
    """The same with all options."""
    from ..commands import COMMANDS  # noqa: PLC0415 - only who checks
    from ..language.check.checker import check_script  # noqa: PLC0415
    from ..language.check.premises import Premises  # noqa: PLC0415
    from ..language.names import is_variable_name  # noqa: PLC0415

    for name in options.variables:
        if not is_variable_name(name):
            raise UsageError(f'"{name}" is no name of a variable: letters, digits, _, - and +, beginning with a letter or _')
    path = Path(script)
    if path not in options.texts:
        path = find_script(path)
    is_remote = is_address(options.root)
    root = None if is_remote else path.parent if options.root is None else Path(options.root)
    if root is not None and not root.is_dir():
        raise UsageError(f"{root}: no such directory for --root")
    try:
        data = options.texts[path] if path in options.texts else path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    premises = Premises(
        root, tuple(options.disks), options.variables, options.texts, encrypted=is_remote and str(options.root).startswith("https:"),
        looks_at_host=options.root is not None,
    )
    program = options.program or program_of(path)
    return check_script(str(path), data, COMMANDS, program, premises, path)
