"""`bpscript help [COMMAND]`: the commands of the language, from their declarations."""

import argparse
from typing import TYPE_CHECKING, Any

from ..base.errors import UsageError
from ..language.names import did_you_mean
from .main import DONE

if TYPE_CHECKING:
    from ..language.declare import CommandSet


def add_to(verbs: Any, summary: str) -> None:  # noqa: ANN401 - argparse's own type is private
    """Declare the verb and its options."""
    parser = verbs.add_parser(
        "help", help=summary, description="Explain the commands of the language.", epilog="example: bpscript help FullUnzip"
    )
    parser.set_defaults(function=help_verb)
    parser.add_argument("command", metavar="COMMAND", nargs="?", help="a command; without one, the list of all")


def help_verb(options: argparse.Namespace) -> int:
    """Print the list of commands, or the page of one."""
    from ..commands import COMMANDS  # noqa: PLC0415 - only here

    if options.command is None:
        print(index(COMMANDS))
        return DONE
    declaration = COMMANDS.get(options.command)
    if declaration is None:
        hint = did_you_mean(options.command, COMMANDS.names()) or "bpscript help lists them"
        raise UsageError(f'there is no command "{options.command}"', hint=hint)
    print(declaration.help_text())
    return DONE


def index(commands: "CommandSet") -> str:
    """All commands by group: name, aliases and what each is for."""
    lines = []
    width = max(len(name) for name in commands.names())
    for group in dict.fromkeys(each.group for each in commands):
        lines += ["", f"{group}:"]
        for each in sorted((each for each in commands if each.group == group), key=lambda each: each.name.lower()):
            summary = each.summary.split(". ")[0].rstrip(".")
            lines.append(f"  {each.name:{width}}  {summary}")
            lines += [f"  {alias:{width}}  the same as {each.name}" for alias in each.aliases]
    return "\n".join([*lines[1:], "", "bpscript help COMMAND explains one."])
