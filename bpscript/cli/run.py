"""`bpscript run`: a script against disk images or disks."""

import argparse
import json
import os
import sys
from contextlib import ExitStack
from json.encoder import encode_basestring as quoted
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..api import DiskLike, NewDisk, RunOptions, execute
from ..base.errors import UsageError
from ..base.events import Event, Kind, Sink, ignore
from ..screen.outputs import SCREENS
from .console import is_usable, open_console
from .main import DONE, report
from .places import parse_disk_option
from .progress import progress_sink

if TYPE_CHECKING:
    from ..machine.stage import Stage
    from ..trust.record import Recorder

_EXAMPLES = """examples:
  bpscript run deploy.bpb --disk disk.img:2G --set BOOTP-Host-Name=pc7
  bpscript run deploy.bpb --disk disk.img --root images/ --bootp reply.pcap
  bpscript run deploy.bpb --disk disk.img --root tftp://10.0.0.1/images
  bpscript run deploy.bpb --disk disk.img --root http://10.0.0.1/images --report http://10.0.0.1/
  bpscript run capture.mrz --disk disk.img
  bpscript run menu.bpb --screen terminal
  bpscript run menu.bpb --keys 2 --screen png:pictures
  bpscript run deploy.bpb -w --disk /dev/sdb
"""


def add_to(verbs: Any, summary: str) -> None:  # noqa: ANN401 - argparse's own type is private
    """Declare the verb and its options."""
    parser = verbs.add_parser(
        "run", help=summary, description="Run a script.", epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(function=run_verb)
    add_run_options(parser)
    parser.add_argument("--screen", metavar="MODE", help=f"what shows the screen: {SCREENS} (default: none; terminal when a script asks for keys on one)")
    parser.add_argument("--log-file", metavar="F", help="write the log there too")
    parser.add_argument("--dump-vars", metavar="F.json", help="write all variables there at the end")
    parser.add_argument("--events", metavar="F.jsonl", help="write everything that happens there, a JSON object a line")
    parser.add_argument("--report", metavar="URL", help="tell a server of ours what happens, for its status page: http://HOST[:PORT]/")
    parser.add_argument("--record", metavar="F", help="keep what is needed to replay the run, without passwords; a run with --report that fails sends it")
    parser.add_argument("--plan", metavar="F", help="refuse unless disks, script and inputs are those of a plan that was saved")


def add_run_options(parser: argparse.ArgumentParser, *, script: bool = True) -> None:
    """What says how a script runs: for `plan` too."""
    if script:
        parser.add_argument("script", metavar="SCRIPT", help="the script; .mrz scripts run as MrZip")
    else:
        parser.set_defaults(script="")
    parser.add_argument("--disk", metavar="IMG[:SIZE]", action="append", default=[], help="disk 0, 1, ... in this order; with a size, a sparse image is made")
    parser.add_argument("--root", metavar="DIR|URL", help="the folder that plays the server (default: the script's), or a server: tftp://, multicast+tftp://, http://, https:// or carousel+http://HOST[:PORT][/DIR]")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="a variable, before the first line")
    parser.add_argument("--bootp", metavar="FILE", help="BOOTP/DHCP variables from a reply: packet, pcap, udhcpc, dhclient or JSON")
    parser.add_argument("--mac", metavar="MAC", help="with --bootp: whose reply in the capture")
    parser.add_argument("--keys", metavar="TEXT", help="key presses, literally (default: standard input)")
    parser.add_argument("--seed", metavar="TEXT", help="make ids from this text: same script, same disk, same bytes")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    switches = parser.add_argument_group("switches of the original (language reference 1.3)")
    for letter, text in (
        ("x", "no extended memory"),
        ("l", "upper character codes are not ISO-8859-1"),
        ("b", "do not look for a boot ROM"),
        ("v", "do not look for VESA"),
        ("w", "allow writing to real disks"),
        ("i", "interactive after the script"),
    ):
        switches.add_argument(f"-{letter}", f"-{letter.upper()}", dest=f"switch_{letter}", action="store_true", help=text)


def run_verb(options: argparse.Namespace) -> int:
    """Run the script and return the exit status."""
    with ExitStack() as stack:
        log_file = _open_for_writing(stack, options.log_file, "w")
        events_file = _open_for_writing(stack, options.events, "w")
        vars_file = _open_for_writing(stack, options.dump_vars, "w")
        mode = options.screen or _usual_mode(options)
        with open_console(mode, options.keys) as console:

            def log(text: str) -> None:
                console.log(text)
                if log_file is not None:
                    log_file.write(text)
                    log_file.flush()

            bar = ignore if console.owns_terminal else progress_sink()
            chosen = run_options(options, _tee(bar, events_file))
            chosen = chosen._replace(keyboard=console.keyboard, editor=console.editor, screen=console.screen, report=options.report, log=log)
            recorder = _recorder(options, chosen)
            try:
                result = execute(chosen, recorder or _planned(options, chosen))
            finally:
                if recorder is not None and recorder.is_ready and options.record is not None:
                    _write_record(recorder, options.record)
        if recorder is not None and result.error is not None and options.report is not None:
            _send_record(recorder, options)
        if vars_file is not None:
            json.dump(result.variables, vars_file, ensure_ascii=False, indent=1, sort_keys=True)
            vars_file.write("\n")
        return DONE if result.error is None else report(result.error, options)


def run_options(options: argparse.Namespace, events: Sink) -> RunOptions:
    """What `add_run_options` declared."""
    return RunOptions(
        script=options.script,
        disks=[_disk(text) for text in options.disk],
        root=options.root,
        variables=dict(_assignment(text) for text in options.set),
        bootp=options.bootp,
        mac=options.mac,
        keys=options.keys,
        switches="".join(letter for letter in "xlbvi" if getattr(options, f"switch_{letter}")),
        write_real_disks=options.switch_w,
        seed=options.seed,
        events=events,
    )


def _recorder(options: argparse.Namespace, chosen: RunOptions) -> "Recorder | None":
    """What records the run: on request, and for a report of what failed."""
    if options.record is None and options.report is None:
        return None
    if options.plan is not None:
        raise UsageError("--plan and a record exclude each other", hint="leave out --record and --report")
    from ..trust.record import Recorder  # noqa: PLC0415 - few runs are recorded

    check_writable(options.record)
    return Recorder(chosen)


def check_writable(path: str | None) -> None:
    """Raise UsageError now, and not at the end, when a file that will be kept private cannot be written."""
    if path is not None:
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror}") from error


def _write_record(recorder: "Recorder", path: str) -> None:
    try:
        recorder.write(Path(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error


def _send_record(recorder: "Recorder", options: argparse.Namespace) -> None:
    """To the server that got the reports; where that fails, beside us."""
    from ..network.http.report import MOST_RECORD, send_record  # noqa: PLC0415 - only after a failure

    reason = send_record(options.report, recorder.bundle(MOST_RECORD))
    if reason is None:
        return
    left = options.record or f"{Path(options.script).stem}.record"
    if options.record is None:
        _write_record(recorder, left)
    print(f"bpscript: the record of this failure could not be sent ({reason}); it is in {left}", file=sys.stderr)


def _planned(options: argparse.Namespace, chosen: RunOptions) -> "Stage | None":
    """What holds the run to a plan."""
    if options.plan is None:
        return None
    from ..trust.saved import PlannedRun  # noqa: PLC0415 - only with --plan

    return PlannedRun(Path(options.plan), chosen)


def _usual_mode(options: argparse.Namespace) -> str:
    """The screen when nobody said which: the terminal, for a script that asks the one who sits there."""
    if options.keys is not None or not is_usable():
        return "none"
    from .asks import asks_for_keys  # noqa: PLC0415 - only on a terminal

    return "terminal" if options.switch_i or asks_for_keys(Path(options.script), options.root) else "none"


def _open_for_writing(stack: ExitStack, path: str | None, mode: str) -> IO[str] | None:
    """The file of an option, or None. Opened before anything runs, so that a wrong path costs nothing."""
    if path is None:
        return None
    try:
        return stack.enter_context(open(path, mode, encoding="utf-8", newline=""))
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error


def _disk(text: str) -> DiskLike:
    path, size = parse_disk_option(text)
    return path if size is None else NewDisk(path, size)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f'--set "{text}": expected NAME=VALUE')
    return name, value


def _tee(bar: Sink, file: IO[str] | None) -> Sink:
    """The progress bar, and the JSON event log when there is one."""
    if file is None:
        return bar

    encode = json.JSONEncoder(ensure_ascii=False).encode

    def sink(event: Event) -> None:
        if event.kind is Kind.FILE_WRITTEN:
            # Ten thousands of them may come in a second: made by hand, and not flushed one by one.
            path, size = quoted(str(event.data["path"])), event.data["size"]
            file.write(f'{{"kind": "file-written", "time": {event.time_s:.6f}, "path": {path}, "size": {size}}}\n')
            return
        bar(event)
        file.write(encode({"kind": event.kind, "time": round(event.time_s, 6), **event.data}) + "\n")
        file.flush()

    return sink
