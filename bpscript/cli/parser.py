"""The parser of the command line: argparse, without what makes its start slow."""

import argparse
import os
import sys
from functools import partial
from typing import Any

# The words of argparse are English, as ours are: looking for translations of them takes 3 ms of every start.
argparse._ = str    # type: ignore[attr-defined]


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that knows the width of the terminal.

    argparse formats something for every argument that is added, and asks `shutil` for the width each time, which loads all
    compressors of the standard library: 3 ms of every start.
    """

    def __init__(self, *args: Any, formatter_class: type[argparse.HelpFormatter] = argparse.HelpFormatter, **options: Any) -> None:  # noqa: ANN401 - argparse's own
        options["formatter_class"] = partial(formatter_class, width=columns() - 2)
        super().__init__(*args, **options)


def columns() -> int:
    """As `shutil.get_terminal_size` has it: `COLUMNS`, else the terminal's own, else 80."""
    text = os.environ.get("COLUMNS", "")
    if text.isdecimal() and int(text):
        return int(text)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80      # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return 80
