"""The entry point: finds the verb, and turns errors into one sentence and an exit status.

Exit status: 0 done, 1 it failed, 2 wrong usage, 130 and 143 after SIGINT and SIGTERM, 129 after SIGHUP (see the manual).
Imports of everything slow happen inside the verbs, so that `bpscript --version` stays near bare Python.
"""

import errno
import sys
from typing import TYPE_CHECKING, NoReturn

from .. import __version__
from .verbs import VERBS

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from sys import UnraisableHookArgs

    from ..base.errors import BpscriptError

DONE, FAILED, USAGE, HUNG_UP, INTERRUPTED, TERMINATED = 0, 1, 2, 129, 130, 143
_AGAIN_S = 0.01     # by then a destructor is done


class Terminated(BaseException):
    """SIGTERM arrived; unwinds the stack so that everything is put in order."""


class HungUp(Terminated):
    """SIGHUP arrived: the terminal was closed."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments == ["--version"]:
        print(f"bpscript {__version__}")
        return DONE
    try:
        try:
            return _main(arguments)
        except RuntimeError as error:
            # Before 3.12 Python wraps what arrives while it makes a class, which an import can do at any time (`type.__set_name__`).
            if isinstance(error.__cause__, KeyboardInterrupt | Terminated):
                raise error.__cause__ from None
            raise
    except KeyboardInterrupt:
        print("bpscript: interrupted", file=sys.stderr)
        return INTERRUPTED
    except HungUp:
        # Nobody is there to tell.
        _close_output()
        return HUNG_UP
    except Terminated:
        print("bpscript: terminated", file=sys.stderr)
        return TERMINATED
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); nobody is left to tell.
        _close_output()
        return FAILED
    except OSError as error:
        # The terminal that a message was for has gone.
        if error.errno != errno.EIO:
            raise
        _close_output()
        return FAILED


def _main(arguments: list[str]) -> int:
    import gc  # noqa: PLC0415
    import signal  # noqa: PLC0415

    # Work on ten thousands of files makes many small objects and few cycles, and so does a start: look for cycles less often (10 % of the time).
    gc.set_threshold(50_000, 20, 20)
    # Threads that decode wait less for the one that writes: they need the interpreter only for a moment between two chunks.
    sys.setswitchinterval(0.0003)
    from ..base.errors import BpscriptError  # noqa: PLC0415

    try:
        parser = _parser(arguments)
    except ModuleNotFoundError as error:
        return _missing(error, arguments)
    options = parser.parse_args(arguments)
    if not getattr(options, "function", None):
        parser.print_help()
        return USAGE
    gc.freeze()
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:       # not with nohup
        signal.signal(signal.SIGHUP, _hang_up)
    if sys.unraisablehook is sys.__unraisablehook__:      # a debugger's or test's own stays
        sys.unraisablehook = _unraisable
    try:
        return int(options.function(options))
    except BpscriptError as error:
        return report(error, options)
    except ModuleNotFoundError as error:
        return _missing(error, arguments)
    except RecursionError:
        if getattr(options, "debug", False):
            raise
        print("bpscript: error: the input is nested too deeply", file=sys.stderr)
        return FAILED
    except OSError as error:
        if isinstance(error, BrokenPipeError) or getattr(options, "debug", False):
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"bpscript: error: {where}{error.strerror or error}", file=sys.stderr)
        return FAILED


def report(error: "BpscriptError", options: "Namespace") -> int:
    """Print an error as the command line shows it; returns the exit status."""
    from ..base.errors import ScriptError, UsageError  # noqa: PLC0415

    if getattr(options, "debug", False):
        import traceback  # noqa: PLC0415

        traceback.print_exception(error)
    if isinstance(error, ScriptError):
        print(error.explain(), file=sys.stderr)
        return FAILED
    print(f"bpscript: error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)
    return USAGE if isinstance(error, UsageError) else FAILED


def _missing(error: ModuleNotFoundError, arguments: list[str]) -> int:
    """What a machine does not bring: the boot environment has only what workstations need. Returns the exit status."""
    if "--debug" in arguments:
        raise error
    verb = next((word for word in arguments if not word.startswith("-")), "")
    print(f"bpscript: error: bpscript {verb} needs the Python module {error.name}, which is not here", file=sys.stderr)
    top = (error.name or "").partition(".")[0]
    usual = top == "bpscript" or top in sys.stdlib_module_names
    print(f"  {'the boot environment has only what workstations need: do this on a server' if usual else f'pip install {top} brings it'}", file=sys.stderr)
    return FAILED


def _parser(arguments: list[str]) -> "ArgumentParser":
    """The parser; only the verb and the action that are used bring their arguments."""
    from importlib import import_module  # noqa: PLC0415

    from .parser import Parser  # noqa: PLC0415

    parser = Parser(
        prog="bpscript",
        description="Workstation imaging by BPBATCH scripts, on raw disk images and real disks.",
        epilog="example: bpscript run deploy.bpb --disk disk.img:2G",
    )
    parser.add_argument("--version", action="version", version=f"bpscript {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", prog=parser.prog)   # without prog argparse formats a whole usage for it
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    # A verb that stands first gets all that follows: the others are not looked at, and neither are other actions than the one that is next.
    alone = arguments[:1] == [wanted] and any(verb.name == wanted for verb in VERBS)
    for verb in VERBS:
        if verb.name == wanted:
            add_to = import_module(f"bpscript.cli.{verb.module}").add_to
            add_to(verbs, verb.summary, arguments[1] if alone and len(arguments) > 1 else None) if verb.actions else add_to(verbs, verb.summary)
        elif not alone:
            verbs.add_parser(verb.name, help=verb.summary, add_help=False)
    return parser


def _terminate(number: int, frame: object) -> NoReturn:
    raise Terminated


def _hang_up(number: int, frame: object) -> NoReturn:
    raise HungUp


def _unraisable(ignored: "UnraisableHookArgs") -> None:
    """Send a signal again, a moment later, that arrived in a destructor or callback: what is raised there goes nowhere, and the work would go on."""
    import signal  # noqa: PLC0415
    import threading  # noqa: PLC0415

    again = {KeyboardInterrupt: signal.SIGINT, Terminated: signal.SIGTERM, HungUp: signal.SIGHUP}
    number = again.get(ignored.exc_type)
    if number is None:
        sys.__unraisablehook__(ignored)
        return
    timer = threading.Timer(_AGAIN_S, signal.pthread_kill, (threading.main_thread().ident, number))
    timer.daemon = True
    timer.start()


def _close_output() -> None:
    import os  # noqa: PLC0415

    # Python flushes standard output at exit; give it a place where that works.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
