"""`bpscript shell`: commands of the language, typed one by one."""

import argparse
import os
import sys
from typing import Any

from .. import __version__
from ..api import execute
from ..screen.outputs import SCREENS
from .console import Console, open_shell_console
from .main import DONE, report
from .progress import progress_sink
from .run import add_run_options, run_options

_EXAMPLES = """examples:
  bpscript shell --disk disk.img
  bpscript shell --disk disk.img:2G --root images/
  echo 'LogDir "{:1}/"' | bpscript shell --disk disk.img
"""


def add_to(verbs: Any, summary: str) -> None:  # noqa: ANN401 - argparse's own type is private
    """Declare the verb and its options."""
    parser = verbs.add_parser(
        "shell", help=summary, description="Try commands one by one. Quit, Exit or Ctrl-D leave; errors never do.",
        epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(function=shell_verb)
    add_run_options(parser, script=False)
    parser.add_argument("--screen", metavar="MODE", help=f"what shows the screen: {SCREENS} (default: what is printed comes line by line)")


def shell_verb(options: argparse.Namespace) -> int:
    """Run what is typed, and return the exit status."""
    with open_shell_console(options.screen, options.keys) as console:
        _greet(console, options)
        chosen = run_options(options, progress_sink())
        result = execute(chosen._replace(keyboard=console.keyboard, editor=console.editor, screen=console.screen, log=console.log))
    return DONE if result.error is None else report(result.error, options)


def _greet(console: Console, options: argparse.Namespace) -> None:
    """A line for people: what this is; and once why it is less than it could be."""
    if options.keys is not None or not (os.isatty(0) and os.isatty(1)):
        return
    print(f"bpscript {__version__}: Help lists the commands, Quit leaves.")
    if console.editor is None and os.environ.get("TERM", "dumb") not in {"", "dumb"}:
        print("bpscript: note: history and completion need prompt_toolkit: pip install 'bpscript[shell]'", file=sys.stderr)
