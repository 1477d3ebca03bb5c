"""`bpscript explain CODE`: the page of a rule of `bpscript check`."""

import argparse
from typing import Any

from ..base.errors import UsageError
from ..language.names import did_you_mean
from .main import DONE


def add_to(verbs: Any, summary: str) -> None:  # noqa: ANN401 - argparse's own type is private
    """Declare the verb and its options."""
    parser = verbs.add_parser("explain", help=summary, description="Explain a rule of bpscript check.", epilog="example: bpscript explain BP301")
    parser.set_defaults(function=explain_verb)
    parser.add_argument("code", metavar="CODE", nargs="?", help="the code in brackets behind a finding; without one, the list of all")


def explain_verb(options: argparse.Namespace) -> int:
    """Print the list of rules, or the page of one."""
    from ..language.check.codes import RULES  # noqa: PLC0415 - only here

    if options.code is None:
        for rule in RULES.values():
            print(f"{rule.code}  {rule.severity:7}  {rule.title}")
        return DONE
    found = RULES.get(options.code.upper())
    if found is None:
        raise UsageError(f'there is no rule "{options.code}"', hint=did_you_mean(options.code, RULES) or "bpscript explain lists them")
    print(found.page())
    return DONE
