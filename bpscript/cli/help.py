"""`bpscript help [COMMAND]`: the commands of the language, from their declarations."""

import argparse
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
