"""Commands for variables (language.md 8.1, 8.2)."""

from ..base.secrets import is_secret_name
from ..interpreter.run import Run
from ..language.declare import command
from ..language.names import fold
from ..language.patterns import compile_pattern
from .arguments import AssignedName


@command("Set", group="control", usage=('name = "string"', "name = expr"))
def set_(run: Run, name: AssignedName, value: str | int) -> None:
    """Assign a string, or a number as its decimal text.

    Args:
        name: the variable
        value: what it gets

    Examples:
        > Set greeting = "hello"
        > Set n = ((3 * 5) + 2)
    """
    if is_secret_name(name) and fold(name) != "security-check":
        run.machine.secrets.assign(fold(name), str(value))
    run.variables.set(name, value if isinstance(value, str) else str(value))


@command("LogVars", group="monitoring")
def log_vars(run: Run, pattern: str = "*") -> None:
    """Write the variables whose names match to the log, sorted by name.

    Args:
        pattern: with `?` and `*`, in any case

    Examples:
        > LogVars "BOOTP-*"
    """
    matches = compile_pattern(fold(pattern))
    for name, value in run.variables.items():
        if matches(fold(name)):
            run.log(f'{name}="{_escaped(value)}"\r\n')


def _escaped(value: str) -> str:
    """The value as a script would write it: `"`, `\\` and `$` behind a backslash, control characters in octal."""
    return "".join(f"\\{c}" if c in '"\\$' else f"\\{ord(c):03o}" if ord(c) < 32 or ord(c) == 127 else c for c in value)
