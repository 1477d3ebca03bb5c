"""`bpscript help [COMMAND]`: the commands of the language, from their declarations."""

import argparse
from difflib import get_close_matches
from typing import Any

from ..base.errors import UsageError
from .main import DONE


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
        print(COMMANDS.index(), end="")
        return DONE
    declaration = COMMANDS.find(options.command)
    if declaration is None:
        near = get_close_matches(options.command.lower(), [name.lower() for name in COMMANDS.names()], 1)
        known = {name.lower(): name for name in COMMANDS.names()}
        raise UsageError(
            f'there is no command "{options.command}"', hint=f"did you mean {known[near[0]]}?" if near else "bpscript help lists them"
        )
    print(declaration.page(), end="")
    return DONE
