"""From a machine that has just started to its script: drivers, network, server, disks, the run, and what follows it."""

import os
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from ..api import Result, RunOptions, execute
from ..base.errors import BpscriptError, NotFoundError, UsageError
from ..base.events import Event, Kind
from ..base.sources import FileSource
from ..machine.workstation.boot import WorkstationBoot, hears_what_boots
from ..machine.workstation.clock import WorkstationClock
from ..machine.workstation.hardware import can_power_off, find_disks, firmware, hardware_variables
from ..machine.workstation.system_calls import Calls, LinuxCalls
from ..network.roots import open_root
from .console import Console, ConsoleProgress
from .devices import Drivers
from .network import connect, find_root, write_resolver
from .parameters import CommandLine, Parameters, parse_command_line
from .screens import WorkstationScreen

_DEFAULT_SCRIPT = "boot"            # where no boot file is known
_EXTENSION = ".bpb"
_FOLDER = Path("/run/bpscript")     # of scripts from the server
_PROMPT = "keyboard"                # the name of a script without lines
_TYPE = 'type commands of the language, such as "HdBoot" or "PowerOff"; "Quit" leaves this prompt'
_STEP = 1 << 16                     # bytes of a script that are read at a time


class Station:
    """One attempt to run the script of this machine."""

    def __init__(self, console: Console, parameters: Parameters, calls: Calls | None = None) -> None:
        self._console = console
        self._parameters = parameters
        self._calls = calls or LinuxCalls()
        self._drivers = Drivers(sink=self._show)

    def run(self) -> str:
        """Returns what follows, one of AFTERWARDS, if the script does not leave for another system. Raises BpscriptError."""
        self._load_drivers()
        network = connect(self._parameters, self._show, self._load_drivers)
        with closing(network):
            variables = {**hardware_variables(interface=network.interface), **network.variables, **self._parameters.variables}
            write_resolver(variables)
            line = parse_command_line(self._parameters.script or variables.get("BOOTP-Option-155", ""))
            wanted = line.script or default_script(variables)
            url = find_root(network, self._parameters, script_names(wanted)[0])
            self._say(f"server: {url}")
            try:
                found = self._fetch(url, wanted, is_named=bool(line.script))
            except BpscriptError as error:
                self._tell_server(url, wanted, variables, error)
                raise
            return self._run(url, found, line if found else CommandLine(f"{line.switches}i"), variables)

    def _load_drivers(self) -> None:
        loaded = self._drivers.load_all()
        if loaded:
            self._say(f"drivers: {', '.join(loaded)}")

    def _fetch(self, url: str, wanted: str, *, is_named: bool) -> str | None:
        """Put the script where it can be run from; its name, or None when there is none and nobody asked for it by name."""
        found = read_script(open_root(url, self._show), wanted, is_named=is_named)
        if found is None:
            self._say(f"no script {wanted} at {url}")
            self._say(_TYPE)
            return None
        name, data = found
        path = _FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self._say(f"script: {name}")
        return name

    def _run(self, url: str, script: str | None, line: CommandLine, variables: Mapping[str, str]) -> str:
        boot = WorkstationBoot(
            self._calls, firmware=firmware(), can_power_off=can_power_off(), server_knows=hears_what_boots(server_of(url)),
            folder=urlsplit(url).path,
        )
        self._load_drivers()        # of what has appeared since
        disks = find_disks()
        for number, disk in enumerate(disks):
            self._say(f"disk {number}: {disk.device} {disk.size / 1e9:.1f} GB {disk.model}".rstrip())
        options = RunOptions(
            script=_PROMPT, disks=[disk.device for disk in disks], root=url, variables=variables,
            switches=line.switches, write_real_disks=True, report=server_of(url), program="BpBatch", log=_nobody, events=ConsoleProgress(self._console), boot=boot,
            clock=WorkstationClock(self._calls),
        )
        _FOLDER.mkdir(parents=True, exist_ok=True)
        os.chdir(_FOLDER)           # errors name a script as the server does
        (_FOLDER / _PROMPT).touch()
        result = self._execute(options if script is None else options._replace(script=script))
        after = self._parameters.after_end
        if result.error is not None:
            self._console.line(result.error.explain())
            after = self._parameters.after_error
        if boot.is_prepared:        # also by the exit handler of a script that failed
            boot.leave()
        if result.booted is None and after == "prompt" and script is not None:
            self._say(_TYPE)
            # With the variables that the script has left.
            result = self._execute(options._replace(switches="i", variables=result.variables, report=None))
        boot.leave()
        self._say("the script has ended without booting")
        return after

    def _execute(self, options: RunOptions) -> Result:
        with closing(self._console.keyboard()) as keyboard, closing(WorkstationScreen.open(self._console, graphics=self._parameters.graphics)) as screen:
            return execute(options._replace(keyboard=keyboard, screen=screen, pauses_log=True))

    def _tell_server(self, url: str, script: str, variables: Mapping[str, str], error: BpscriptError) -> None:
        """An error before the script has begun."""
        server = server_of(url)
        if server is None:
            return
        from ..network.http.report import Reporter, run_id  # noqa: PLC0415 - only for this

        reporter = Reporter(server, {
            "script": script, "run": run_id(), "mac": variables.get("Hw-MAC", ""), "host": variables.get("BOOTP-Host-Name", ""),
        })
        reporter(Event(Kind.ERROR, {"text": str(error)}))
        reporter.end("failed")

    def _show(self, event: Event) -> None:
        """What the machine says before the script."""
        if event.kind in {Kind.NOTE, Kind.WARNING}:
            self._console.line(f"[{event.kind}] {event.data.get('text')}")

    def _say(self, text: str) -> None:
        self._show(Event(Kind.NOTE, {"text": text}))


def _nobody(text: str) -> None:
    """The log goes to the screen."""


def default_script(variables: Mapping[str, str]) -> str:
    """Without a name in option 155: the boot file's base name (language.md 1.3)."""
    name = PurePosixPath(variables.get("BOOTP-Bootfile", "").replace("\\", "/")).name
    return name.partition(".")[0] or _DEFAULT_SCRIPT


def script_names(name: str) -> list[str]:
    """Where a script is looked for: a name with an extension as it is first, then with ours."""
    own = name + _EXTENSION
    return [name, own] if "." in PurePosixPath(name).name else [own]


def read_script(root: FileSource, name: str, *, is_named: bool) -> tuple[str, bytes] | None:
    """Name and contents of the script; None when there is none and nobody asked for it by name. Raises NotFoundError, NetworkError."""
    if ".." in PurePosixPath(name).parts:
        raise UsageError(f'the script "{name}" would leave the folder of the server')
    for each in script_names(name):
        try:
            reader = root.open(each)
        except NotFoundError:
            continue
        with closing(reader):
            return each.lstrip("/"), b"".join(iter(partial(reader.read, _STEP), b""))
    if is_named:
        raise NotFoundError(f"no script {' or '.join(script_names(name))} at {root}", hint="its name comes from DHCP option 155, `script` in hosts.toml")
    return None


def server_of(url: str) -> str | None:
    """The server that hears reports; None where files come by TFTP, alone or by multicast."""
    parts = urlsplit(url)
    scheme = parts.scheme.removeprefix("carousel+")
    return f"{scheme}://{parts.netloc}/" if scheme in {"http", "https"} else None
