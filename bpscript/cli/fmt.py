"""`bpscript fmt`: one way to write a script."""

import argparse
import os
import sys
from difflib import unified_diff
from pathlib import Path
from typing import Any

from ..base.errors import StorageError, UsageError
from .main import DONE, FAILED

_EXAMPLES = """examples:
  bpscript fmt deploy.bpb
  bpscript fmt --check *.bpb *.mrz
  bpscript fmt --diff deploy.bpb
  bpscript fmt - < deploy.bpb
"""


def add_to(verbs: Any, summary: str) -> None:  # noqa: ANN401 - argparse's own type is private
    """Declare the verb and its options."""
    parser = verbs.add_parser(
        "fmt", help=summary, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Write scripts in one way: the spelling of commands and keywords, and the blanks. What they mean never changes.",
    )
    parser.set_defaults(function=fmt_verb)
    parser.add_argument("scripts", metavar="SCRIPT", nargs="+", help="a script; - is standard input, which goes to standard output")
    parser.add_argument("--check", action="store_true", help="write nothing; the exit status is 1 if a script would change")
    parser.add_argument("--diff", action="store_true", help="write nothing; print what would change")


def fmt_verb(options: argparse.Namespace) -> int:
    """Format all scripts."""
    from ..commands import COMMANDS  # noqa: PLC0415 - `--help` does not need it
    from ..language.format import format_bytes  # noqa: PLC0415

    contents = [(name, _read(name)) for name in options.scripts]    # all must be there before the first is written
    would_change = False
    for name, before in contents:
        after = format_bytes(before, COMMANDS)
        would_change |= before != after
        if options.diff:
            _print_diff(name, before, after)
        elif options.check:
            if before != after:
                print(f"{name}: would be formatted")
        elif name == "-":
            sys.stdout.flush()
            sys.stdout.buffer.write(after)
        elif before != after:
            _replace(Path(name), after)
            print(f"{name}: formatted")
    return FAILED if options.check and would_change else DONE


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        data = Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"{name}: cannot be read: {error.strerror}") from error
    if b"\0" in data.partition(b"\x1a")[0]:
        raise UsageError(f"{name} is no script: there are NUL characters in it", hint="it was left as it is")
    return data


def _replace(path: Path, data: bytes) -> None:
    """A new file in place of the old one, whole or not at all; a link leads where it led."""
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(target.stat().st_mode & 0o7777)
        temporary.replace(target)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _print_diff(name: str, before: bytes, after: bytes) -> None:
    """Both as lines of text; bytes that are no UTF-8 are shown as they can be."""
    one, two = (data.decode("utf-8", "backslashreplace").splitlines() for data in (before, after))
    for line in unified_diff(one, two, name, name, lineterm=""):
        print("".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in line))
