"""The first process of the boot environment: what must be there before anything else, and the end of everything.

    kernel ── /init ── file systems ── first line ── drivers ── network ── script ── what follows
                                                        └────── failure ─────────────┘

This process must never end: the kernel would stop with it. So every way out leads to a prompt, a restart or the end of the machine.
"""

import os
import signal
import subprocess
import sys
import traceback
from contextlib import closing, suppress
from pathlib import Path
from time import sleep

from .. import __version__
from ..base.errors import BpscriptError
from .console import Console
from .kernel import mount
from .keyboards import Keyboards
from .parameters import Parameters, parse_parameters

_MOUNTS = (("proc", "/proc", ""), ("sysfs", "/sys", ""), ("devtmpfs", "/dev", "mode=0755"), ("tmpfs", "/run", "mode=0755"))
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "TERM": "linux"}
_TEXT = "utf-8"
_PAUSE_S = 10.0         # after a mistake of ours


def main() -> None:
    """Do all of it. Does not return."""
    os.environ.update(_ENVIRONMENT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for kind, target, options in _MOUNTS:
        with suppress(BpscriptError):       # what is mounted already
            mount(kind, target, options)
    console = Console.open()
    console.line(f"bpscript {__version__} boot environment, {_seconds()} s after the kernel's start")
    parameters = parse_parameters(Path("/proc/cmdline").read_text(_TEXT, errors="replace"))
    for mistake in parameters.mistakes:
        console.line(f"[warning] {mistake}")
    while True:
        try:
            follow(_run(console, parameters), console, parameters)
        except Exception:       # whatever it is: the end of this process would be that of the machine
            console.line(traceback.format_exc())
            sleep(_PAUSE_S)


def _run(console: Console, parameters: Parameters) -> str:
    """One of AFTERWARDS, or how the script wanted to boot."""
    from .station import Station  # noqa: PLC0415 - the first line comes before its imports

    try:
        return Station(console, parameters).run()
    except BpscriptError as error:
        if parameters.debug:
            console.line(traceback.format_exc())
        console.line(f"bpscript: error: {error.message}")
        if error.hint:
            console.line(f"  {error.hint}")
    except BaseException:       # a mistake of ours: it is shown, and the machine is not lost
        console.line(traceback.format_exc())
        console.line("bpscript: error: this is a mistake in bpscript; please report what stands above")
    return parameters.after_error


def follow(what: str, console: Console, parameters: Parameters) -> None:
    """Do what follows; returns only for a new attempt."""
    if what in {"reboot", "poweroff"}:
        console.line(f"{'starting again' if what == 'reboot' else 'switching off'} in {parameters.delay_s:g} s; Return waits")
        if _key(console, parameters.delay_s)[0] is None:
            _leave(what)
    if what == "shell":
        _shell(console, None)
        return
    choice = None
    while choice not in {"", "\r", "\n"}:
        console.line(f"trying again in {parameters.delay_s:g} s: Return at once, s a shell, r restart, p power off")
        key, terminal = _key(console, parameters.delay_s)
        choice = key or ""
        if choice == "s":
            _shell(console, terminal)
        elif choice in {"r", "p"}:
            _leave("reboot" if choice == "r" else "poweroff")


def _leave(what: str) -> None:
    from ..machine.workstation.system_calls import LinuxCalls, Restart  # noqa: PLC0415 - as in `_run`

    LinuxCalls().restart(Restart.POWER_OFF if what == "poweroff" else Restart.FIRMWARE)


def _shell(console: Console, terminal: int | None) -> None:
    """Where its key was pressed, else on the last console of the kernel's command line."""
    console.line("A shell; exit goes on.")
    # Of busybox; they make the terminal that of the shell's session, so that Ctrl-C stops a program.
    how = ("cttyhack",) if terminal is None else ("setsid", "-c")
    for command in ((*how, "/bin/sh", "-i"), ("/bin/sh", "-i")):
        with suppress(OSError):
            subprocess.run(command, check=False, stdin=terminal, stdout=terminal, stderr=terminal, preexec_fn=_hear_interrupts)
            break
    console.reopen()        # the end of a session hangs its terminal up


def _hear_interrupts() -> None:
    """In the new process: what this one ignores would be ignored by all programs of the shell."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _key(console: Console, timeout_s: float) -> tuple[str | None, int | None]:
    """The key that is pressed within that time, in lower case, and the terminal it was pressed on, where there are more than one."""
    with closing(console.keyboard()) as keyboard:
        key = keyboard.peek(timeout_s)
        return None if key is None else key.character.lower(), keyboard.typed_on if isinstance(keyboard, Keyboards) else None


def _seconds() -> str:
    with suppress(OSError, IndexError):
        return Path("/proc/uptime").read_text("ascii").split()[0]
    return "?"


if __name__ == "__main__":
    sys.exit("this is the first process of the boot environment")
