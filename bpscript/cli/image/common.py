"""What making and restoring archives have in common on the command line: events, answers for programs, files that options name."""

import json
import sys
from pathlib import Path
from typing import Any

from ...base.errors import UsageError
from ...base.events import Event, Kind, Sink
from ..progress import progress_sink


def add_json(sub: Any) -> None:  # noqa: ANN401 - argparse's own type is private
    """The option of what can answer programs."""
    sub.add_argument("--json", action="store_true", help="for programs; keys are in the manual")


def events() -> Sink:
    """The progress bar, and warnings as lines on standard error."""
    bar = progress_sink()

    def take(event: Event) -> None:
        bar(event)
        if event.kind is Kind.WARNING:
            print(f"bpscript: warning: {event.data['text']}", file=sys.stderr)

    return take


def print_json(facts: dict[str, object]) -> None:
    """One object on standard output."""
    json.dump(facts, sys.stdout, indent=1)
    print()


def file_of(name: str | None) -> Path | None:
    """The file of an option. Raises UsageError when there is none."""
    if name is not None and not Path(name).is_file():
        raise UsageError(f"{name}: no such file")
    return None if name is None else Path(name)


def folder_of(name: str | None) -> Path | None:
    """The folder of `--temp`. Raises UsageError when there is none."""
    if name is not None and not Path(name).is_dir():
        raise UsageError(f"{name}: no such directory")
    return None if name is None else Path(name)
