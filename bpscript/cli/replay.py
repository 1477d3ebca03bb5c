"""`bpscript replay`: a recorded run again."""

import argparse
from pathlib import Path
from typing import Any

from .listing import print_json, print_name
from .main import DONE, FAILED

_EXAMPLES = """examples:
  bpscript replay failed.record
  bpscript replay failed.record --root images/ --disk copy-of-the-disk.img
"""


def add_to(verbs: Any, summary: str) -> None:  # noqa: ANN401 - argparse's own type is private
    """Declare the verb and its options."""
    parser = verbs.add_parser(
        "replay", help=summary, description="Run a record again, changing nothing, and say where it goes another way.",
        epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(function=replay_verb)
    parser.add_argument("record", metavar="RECORD", help="what `bpscript run --record` wrote")
    parser.add_argument("--disk", metavar="IMG", action="append", default=[], type=Path, help="disk 0, 1, ... as it was before the run; read only")
    parser.add_argument("--root", metavar="DIR", type=Path, help="a folder with the images")
    parser.add_argument("--keys", metavar="TEXT", help="key presses, instead of the recorded ones")
    parser.add_argument("--json", action="store_true", help="the result for programs")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")


def replay_verb(options: argparse.Namespace) -> int:
    """Run it; 0 when it ends as the record did."""
    from ..trust.replay import replay  # noqa: PLC0415 - the parser needs none of it

    done = replay(Path(options.record), disks=options.disk, root=options.root, keys=options.keys)
    if options.json:
        error = done.error
        print_json({
            "ends_as_recorded": done.ends_as_recorded, "same_line": done.same_line, "taken_over": done.taken_over, "boot": done.boot, "differences": done.differences, "notes": done.notes,
            "error": None if error is None else {"text": error.message, "file": error.file, "line": error.line, "column": error.column},
        })
    else:
        for line in (*done.notes, *done.differences):
            print_name(line)
        if done.error is not None:
            print_name(done.error.explain())
        if done.ends_as_recorded and done.taken_over:
            print("it reaches the line of the record; the error there is the recorded one, for what fails is not at hand")
        elif done.ends_as_recorded:
            print("it ends as in the record")
        else:
            print("it reaches the line of the record, with another error" if done.same_line else "it does not end as in the record")
    return DONE if done.ends_as_recorded else FAILED
