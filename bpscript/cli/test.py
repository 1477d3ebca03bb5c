"""`bpscript test`: run tests of scripts that are written down as data."""

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import UsageError
from .main import DONE, FAILED

if TYPE_CHECKING:
    from ..cases.layout import Case
    from ..cases.running import Outcome

_EXAMPLES = """examples:
  bpscript test deploy.toml
  bpscript test tests/*.toml -k menu -v
  bpscript test tests/*.toml --junit report.xml

a case, in a file of any name (all keys: docs/testing.md):
  [[case]]
  id = "first boot"
  script = '''
  SetPartitions "BIGDOS:100"
  Clean 1 "SYSTEM"
  Copy "hosts" "{:1}/hosts"
  '''
  disks = [128]
  files = { hosts = "127.0.0.1 localhost" }
  expect = { disk_files = { "{:1}/hosts" = "127.0.0.1 localhost" } }
"""


def add_to(verbs: Any, summary: str) -> None:  # noqa: ANN401 - argparse's own type is private
    """Declare the verb and its options."""
    parser = verbs.add_parser(
        "test", help=summary, description="Run tests of scripts: TOML files with a script, what it is given, and what must be there afterwards.",
        epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(function=test_verb)
    parser.add_argument("files", metavar="FILE.toml", nargs="+", help="files of cases")
    parser.add_argument("-k", "--match", metavar="REGEX", default="", help="only cases whose id matches")
    parser.add_argument("-j", "--jobs", metavar="N", type=_jobs, default=os.cpu_count() or 1, help="cases at the same time (default: as many as processors)")
    parser.add_argument("-v", "--verbose", action="store_true", help="name every case, and show the output of those that fail")
    parser.add_argument("--keep", action="store_true", help="keep the images and files of cases that fail, and say where they are")
    parser.add_argument("--junit", metavar="F", help="write the results there as JUnit XML")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")


def test_verb(options: argparse.Namespace) -> int:
    """Run the cases; 1 when one of them failed."""
    from ..cases.reading import read_cases  # noqa: PLC0415 - for this verb alone

    try:
        pattern = re.compile(options.match)
    except re.error as error:
        raise UsageError(f'"{options.match}" is no regular expression: {error}') from error
    cases = [case for file in options.files for case in read_cases(Path(file)) if pattern.search(case.id)]
    if not cases:
        raise UsageError(f'no case matches "{options.match}"')
    if options.junit is not None and not Path(options.junit).absolute().parent.is_dir():
        raise UsageError(f"{options.junit}: there is no such folder")
    start = time.monotonic()
    outcomes = []
    for outcome in _run(cases, options.jobs, keep=options.keep):
        _show(outcome, verbose=options.verbose)
        outcomes.append(outcome)
    if options.junit is not None:
        from ..cases.junit import write_junit  # noqa: PLC0415 - only when asked for

        write_junit(outcomes, Path(options.junit))
    failed = sum(bool(each.problems) for each in outcomes)
    skipped = sum(each.skipped is not None for each in outcomes)
    passed = len(outcomes) - failed - skipped
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "") + f" in {time.monotonic() - start:.1f} s")
    return FAILED if failed else DONE


def _run(cases: "Sequence[Case]", jobs: int, *, keep: bool) -> "Iterator[Outcome]":
    """The outcomes in the order of the cases. Ctrl-C ends the cases that run, and no other begins."""
    from ..cases.running import run_case  # noqa: PLC0415 - for this verb alone

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(run_case, case, keep=keep) for case in cases]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def _show(outcome: "Outcome", *, verbose: bool) -> None:
    case = outcome.case
    if outcome.problems:
        print(f"FAIL {case.source}:{case.line}: {case.id}" + (f": {case.note}" if case.note else ""))
        for problem in outcome.problems:
            print("     " + problem.replace("\n", "\n     "))
        if outcome.kept is not None:
            print(f"     kept in {outcome.kept}")
        if verbose:
            print("     | " + outcome.transcript.rstrip().replace("\n", "\n     | "))
    elif outcome.skipped is not None:
        print(f"skip {case.source}:{case.line}: {case.id}: {outcome.skipped}")
    elif verbose:
        print(f"pass {case.source}:{case.line}: {case.id}")
    sys.stdout.flush()


def _jobs(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of cases; expected 1 to 256")
    return int(text)
