"""`bpscript plan`: what a run would change, without changing it."""

import argparse
from pathlib import Path
from typing import Any

from .listing import print_json, print_name
from .main import DONE, FAILED
from .progress import progress_sink
from .run import add_run_options, check_writable, run_options

_EXAMPLES = """examples:
  bpscript plan deploy.bpb --disk disk.img
  bpscript plan deploy.bpb --disk /dev/sdb --set BOOTP-Host-Name=pc7 --keys 1
  bpscript plan deploy.bpb --disk disk.img --save deploy.plan
  bpscript run --plan deploy.plan deploy.bpb --disk disk.img
"""


def add_to(verbs: Any, summary: str) -> None:  # noqa: ANN401 - argparse's own type is private
    """Declare the verb and its options."""
    parser = verbs.add_parser(
        "plan", help=summary, description="Run a script on a copy in memory and say what it would change. Disks are only read.",
        epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(function=plan_verb)
    add_run_options(parser)
    parser.add_argument("--json", action="store_true", help="the plan for programs")
    parser.add_argument("--save", metavar="F", help="keep the plan, for `run --plan F`")


def plan_verb(options: argparse.Namespace) -> int:
    """Make the plan; 1 when the script would fail."""
    from ..trust.plan import as_json, make_plan  # noqa: PLC0415 - the parser needs none of it

    check_writable(options.save)
    bar = progress_sink()
    chosen = run_options(options, bar)
    plan = make_plan(chosen)
    if options.save is not None:
        from ..trust.saved import save  # noqa: PLC0415 - only with --save

        save(plan, chosen, Path(options.save))
    if options.json:
        print_json(as_json(plan))
    else:
        from ..trust.plan_text import lines  # noqa: PLC0415 - not for programs

        for line in lines(plan):
            print_name(line)
    return DONE if plan.error is None else FAILED
