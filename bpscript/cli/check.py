"""`bpscript check`: look for mistakes in scripts without running them."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..api import CheckOptions, check_with
from ..base.units import parse_size
from .main import DONE, FAILED

if TYPE_CHECKING:
    from ..language.check.findings import Finding

_EXAMPLES = """examples:
  bpscript check deploy.bpb
  bpscript check deploy.bpb --root images/ --disk 120G --disk 2T
  bpscript check *.bpb --strict --sarif > check.sarif
  bpscript explain BP301
"""


def add_to(verbs: Any, summary: str) -> None:  # noqa: ANN401 - argparse's own type is private
    """Declare the verb and its options."""
    parser = verbs.add_parser(
        "check", help=summary, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Look for mistakes in scripts, and in the files they include, without running them.",
    )
    parser.set_defaults(function=check_verb)
    parser.add_argument("scripts", metavar="SCRIPT", nargs="+", help="a script; .mrz scripts are checked as MrZip")
    parser.add_argument("--root", metavar="DIR|URL", help="the folder that plays the server (default: the script's); files of a server are not looked for")
    parser.add_argument("--disk", metavar="SIZE", action="append", default=[], help="size of disk 0, 1, ... in this order, such as 120G")
    parser.add_argument("--set", metavar="NAME[=VALUE]", action="append", default=[], help="a variable that the run will set")
    parser.add_argument("--strict", action="store_true", help="warnings too make the exit status 1")
    parser.add_argument("--debug", action="store_true", help="show where in the program an error comes from")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the findings as JSON")
    form.add_argument("--sarif", action="store_true", help="print the findings as SARIF 2.1.0")


def check_verb(options: argparse.Namespace) -> int:
    """Check all scripts and print what was found."""
    variables = {name: value if equals else None for name, equals, value in (each.partition("=") for each in options.set)}
    chosen = CheckOptions(root=options.root, disks=tuple(map(parse_size, options.disk)), variables=variables)
    found: dict[tuple[str, int, int, str], Finding] = {}
    for script in options.scripts:
        for finding in check_with(Path(script), chosen).findings:
            found.setdefault((finding.file, finding.line, finding.column, finding.code), finding)   # two scripts may include one file
    _print(list(found.values()), options)
    errors = sum(finding.severity == "error" for finding in found.values())
    return FAILED if errors or (options.strict and found) else DONE


def _print(findings: "list[Finding]", options: argparse.Namespace) -> None:
    from ..language.check.findings import Report  # noqa: PLC0415 - `--help` does not need it

    report = Report(findings)
    if options.json:
        print(json.dumps(report.as_dict(), indent=2))
        return
    if options.sarif:
        from ..language.check.sarif import sarif_log  # noqa: PLC0415 - as above

        print(json.dumps(sarif_log(findings, __version__), indent=2))
        return
    for finding in findings:
        print(_printable(finding.explain()))
    if findings and sys.stdout.isatty():
        print(f"{report.errors} errors, {report.warnings} warnings; bpscript explain {findings[0].code} tells more")


def _printable(text: str) -> str:
    """Text that a terminal shows and does not obey, in an encoding that it has."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)

