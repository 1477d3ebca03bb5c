"""The events of a run, told to a server too."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..base.events import Event, Kind, Sink
from .options import RunOptions

_LAST_WORDS_BEFORE_BOOT_S = 30.0        # that the report of a boot may take to arrive


class Reporting:
    """Where the events of a run go, and how it ended as far as is known."""

    def __init__(self, events: Sink) -> None:
        self.events = events
        self.state = "failed"


@contextmanager
def reporting(options: RunOptions, script: Path, variables: Mapping[str, str], log: Callable[[str], None]) -> Iterator[Reporting]:
    """The events of a run, told to the server of `report` too."""
    if options.report is None:
        yield Reporting(options.events)
        return
    from ..network.http.report import LAST_WORDS_S, Reporter, run_id  # noqa: PLC0415 - only with --report

    def named(name: str) -> str:
        return next((value for each, value in variables.items() if each.lower() == name), "")

    reporter = Reporter(options.report, {
        "script": script.name, "run": run_id(), "mac": options.mac or named("hw-mac"), "host": named("bootp-host-name"), "uuid": named("hw-uuid"),
        "serial": named("hw-serial"),
    })

    def both(event: Event) -> None:
        reporter(event)
        options.events(event)

    told = Reporting(both)
    try:
        yield told
    finally:
        # A server that does not hear of a boot would install the machine again.
        reporter.end(told.state, LAST_WORDS_S if options.boot is None else _LAST_WORDS_BEFORE_BOOT_S)
        if reporter.failure is not None:
            text = f"the reports did not arrive: {reporter.failure}"
            log(f"[warning] {text}\r\n")
            options.events(Event(Kind.WARNING, {"text": text}))
