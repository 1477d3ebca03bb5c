"""`bpscript lsp`: the language server, which editors start."""

import argparse
from pathlib import Path
from typing import Any

from ..base.errors import UsageError
from ..base.units import parse_size
from .main import DONE

_EXAMPLES = """examples:
  bpscript lsp
  bpscript lsp --root images/ --disk 120G

Editors start it; editors/README.md says how to set them up.
"""


def add_to(verbs: Any, summary: str) -> None:  # noqa: ANN401 - argparse's own type is private
    """Declare the verb and its options."""
    parser = verbs.add_parser(
        "lsp", help=summary, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="A language server on standard input and output: findings of check, completion, help, go to label and file, formatting.",
    )
    parser.set_defaults(function=lsp_verb)
    parser.add_argument("--root", metavar="DIR", help="the folder that plays the server (default: that of each script)")
    parser.add_argument("--disk", metavar="SIZE", action="append", default=[], help="size of disk 0, 1, ... in this order, such as 120G")
    parser.add_argument("--stdio", action="store_true", help="what editors add; it speaks on standard input and output anyway")


def lsp_verb(options: argparse.Namespace) -> int:
    """Serve until the editor goes."""
    root = None if options.root is None else Path(options.root).absolute()
    if root is not None and not root.is_dir():
        raise UsageError(f"{root}: no such directory for --root")
    try:
        from ..lsp.server import Settings, make_server  # noqa: PLC0415 - pygls is an extra, and slow to load
    except ImportError as error:
        raise UsageError("the language server needs pygls", hint="pip install 'bpscript[lsp]'") from error
    make_server(Settings(root, tuple(map(parse_size, options.disk)))).start_io()
    return DONE
