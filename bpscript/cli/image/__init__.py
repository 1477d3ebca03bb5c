"""`bpscript image`: make, restore, check and look into archives.

Each action lives in one of the modules below, which is imported only when the action is used. A module has a function
`add_to(declare)`; it calls `declare(name, function, example)` for each of its actions and adds arguments to the parser that gives back.
"""

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple


class Action(NamedTuple):
    """Name, module in this package, and the line that `bpscript image --help` shows."""

    name: str
    module: str
    summary: str


ACTIONS = (
    Action("capture", "capture", "make an archive of a partition, a disk or a folder"),
    Action("restore", "restore", "put an archive onto a partition, a disk or into a folder"),
    Action("convert", "convert", "make one kind of image out of another"),
    Action("info", "info", "say what an archive is and where it comes from"),
    Action("verify", "verify", "check every byte of an archive, or compare it with a disk or folder"),
    Action("ls", "files", "list a directory in an archive"),
    Action("tree", "files", "list everything in an archive"),
    Action("cat", "files", "write a file of an archive to standard output"),
    Action("get", "files", "copy a file or directory out of an archive"),
    Action("squash", "squash", "make one archive of a base and its differences"),
    Action("diff", "diff", "say what differs between two archives, disks or folders, file by file"),
    Action("keygen", "keys", "make a pair of keys: NAME.key signs, NAME.pub checks"),
    Action("sign", "keys", "sign an archive"),
)

_EXAMPLES = """examples:
  bpscript image capture disk.img:1 linux.imz
  bpscript image restore linux.imz disk.img:1
  bpscript image info linux.imz
  bpscript image verify linux.imz --against disk.img:1
  bpscript image ls linux.imz:etc
  bpscript image get lab.imz:2/etc/fstab .
  bpscript image squash win98.imz patches.imi win98-patched.imz
  bpscript image diff linux.imz disk.img:1
  bpscript image keygen lab
  bpscript image sign linux.imz lab.key
"""

Run = Callable[[argparse.Namespace], int]
Declare = Callable[..., Any]


def add_to(verbs: Any, summary: str, action: str | None = None) -> None:  # noqa: ANN401 - argparse's own type is private
    """Declare the verb and its actions; with `action`, only those of its module."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = verbs.add_parser("image", help=summary, description="Work with archives of partitions, disks and files.", epilog=_EXAMPLES, formatter_class=raw)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, prog=parser.prog)    # see `main`
    summaries = {each.name: each.summary for each in ACTIONS}

    def declare(name: str, function: Run, example: str, **options: Any) -> Any:  # noqa: ANN401
        text = summaries[name]
        sub = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=f"example: bpscript image {example}", **options)
        sub.set_defaults(function=function)
        sub.add_argument("--debug", action="store_true", help="show tracebacks")
        return sub

    wanted = [each.module for each in ACTIONS if each.name == action]
    for module in wanted or dict.fromkeys(each.module for each in ACTIONS):
        import_module(f".{module}", __name__).add_to(declare)
