"""The Python interface, which the command line uses too: run a script, open a disk, open an archive.

It returns objects, raises the errors of `bpscript.base.errors` and prints nothing.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from .base.clock import Clock
from .base.entropy import Entropy
from .base.errors import FormatError, NotFoundError, ReadOnlyError, ScriptError, StorageError, UsageError
from .base.events import Event, Sink, ignore
from .base.units import SECTOR
from .blocks.device import BlockDevice
from .blocks.file import FileDevice
from .blocks.readonly import ReadOnlyDevice
from .machine.disks import Disks
from .machine.settings import LateSettings, NoSettings

if TYPE_CHECKING:
    from .archive.container import Summary
    from .archive.destinations import Destination
    from .archive.opened import OpenArchive
    from .archive.report import Restored
    from .base.sources import FileSource, Reader
    from .crypto.signatures import PrivateKey
    from .language.check.findings import Report
    from .machine.boot import Boot
    from .machine.capturing import Captured, CaptureOptions
    from .machine.disk import Disk
    from .machine.machine import Machine
    from .machine.restoring import RestoreOptions
    from .machine.stage import Stage
    from .screen.keyboard import Keyboard
    from .screen.line_editor import LineEditor
    from .screen.screen import Screen

_LAST_WORDS_BEFORE_BOOT_S = 30.0        # that the report of a boot may take to arrive

PathLike = str | os.PathLike[str]
_LOOPS = Path("/sys/block")


_SHELL = "shell"        # the name of what has no script


class NewDisk(NamedTuple):
    """An image to be made: a sparse file of `size` bytes. An existing one must have that size."""

    path: Path
    size: int


DiskLike = PathLike | NewDisk | BlockDevice


class RunOptions(NamedTuple):
    """How to run a script; the fields are the options of `bpscript run` (see the manual).

    Without a script there is only what is typed at the prompt. `keyboard` is used when `keys` is None; `editor` edits lines at a prompt; `variables` win over what the BOOTP reply says. `report` is the address of a server that
    shows what happens; when it does not answer, that is a warning. `log` is called with every piece
    of log text as it is written (the result then has none), `events` with every event. `boot` and `clock` are the machine's own
    in the boot environment, where `boot.leave()` is called afterwards.
    """

    script: PathLike = ""
    disks: Sequence[DiskLike] = ()
    root: PathLike | None = None
    variables: Mapping[str, str] = MappingProxyType({})
    bootp: PathLike | bytes | None = None
    mac: str | None = None
    keys: str | None = None
    keyboard: "Keyboard | None" = None
    editor: "LineEditor | None" = None
    screen: "Screen | None" = None      # default: none, and no graphics; who opened it closes it
    switches: str = ""                  # letters of language.md 1.3, for example "xl"
    write_real_disks: bool = False
    seed: str | None = None
    report: str | None = None
    program: str | None = None          # default: MrZip for *.mrz, else MrBatch
    log: Callable[[str], None] | None = None
    events: Sink = ignore
    boot: "Boot | None" = None
    clock: Clock | None = None
    pauses_log: bool = False            # as on a workstation: see $PauseLog


class Result(NamedTuple):
    """What a script did: its log, the variables at the end, the `[boot]` text if it booted, the error if one stopped it."""

    log: str
    variables: dict[str, str]
    booted: str | None
    error: ScriptError | None


def run(
    script: PathLike,
    *,
    disks: Sequence[DiskLike] = (),
    root: PathLike | None = None,
    variables: Mapping[str, str] | None = None,
    bootp: PathLike | bytes | None = None,
    keys: str | None = None,
    seed: str | None = None,
    events: Sink = ignore,
) -> Result:
    """Run a script file against disks, as `bpscript run` does.

    `disks` are image paths, `NewDisk(path, size)` or block devices; `root` is the folder that plays the server (default: the
    script's own), or the address of one (`tftp://host/dir`); `keys` are the key presses. Raises ScriptError when the script fails, UsageError when an argument is wrong.
    """
    result = execute(
        RunOptions(
            script=script, disks=disks, root=root, variables=variables or {}, bootp=bootp, keys=keys, seed=seed, events=events
        )
    )
    if result.error is not None:
        raise result.error
    return result


def execute(options: RunOptions, stage: "Stage | None" = None) -> Result:
    """Run a script; a script error is part of the result. `stage` puts layers between the run and the world. Raises UsageError for wrong options."""
    from .commands import COMMANDS  # noqa: PLC0415 - not needed to open a disk
    from .interpreter.session import run_script  # noqa: PLC0415
    from .machine.stage import Stage  # noqa: PLC0415

    stage = stage or Stage()
    script = find_script(Path(options.script)) if options.script else Path(_SHELL)
    program = options.program or ("MrZip" if script.suffix.lower() == ".mrz" else "MrBatch")
    variables = {**_bootp_variables(options), **options.variables}
    pieces: list[str] = []      # of a log that nobody else takes
    with ExitStack() as stack:
        log = options.log or pieces.append
        reporting = stack.enter_context(_reporting(options, script, variables, log))
        machine = _machine(options._replace(events=stage.events(reporting.events)), program, script, stack, stage)
        _show_disks(machine, options.events, log)
        stage.ready(machine, script, variables)
        ended = run_script(machine, COMMANDS, script if options.script else None, variables, options.switches, log)
        stage.ended(machine, ended.variables, ended.booted, ended.error)
        reporting.state = "failed" if ended.error is not None else "booted" if ended.booted is not None else "done"
    return Result("".join(pieces), ended.variables, ended.booted, ended.error)


def _show_disks(machine: "Machine", events: Sink, log: Callable[[str], None]) -> None:
    """Which disk has which number, where it can be mistaken: of several disks, and of a real one."""
    if len(machine.disks) < 2 and not any(disk.is_real for disk in machine.disks):
        return
    from .base.events import Event, Kind  # noqa: PLC0415 - one image file is the usual case
    from .base.units import format_size  # noqa: PLC0415

    for disk in machine.disks:
        text = f"disk {disk.number}: {disk.name}, {format_size(disk.device.size)}"
        log(f"[note] {text}\r\n")
        events(Event(Kind.NOTE, {"text": text}))


class _Reporting:
    """Where the events of a run go, and how it ended as far as is known."""

    def __init__(self, events: Sink) -> None:
        self.events = events
        self.state = "failed"


@contextmanager
def _reporting(options: RunOptions, script: Path, variables: Mapping[str, str], log: Callable[[str], None]) -> Iterator[_Reporting]:
    """The events of a run, told to the server of `report` too."""
    if options.report is None:
        yield _Reporting(options.events)
        return
    from .base.events import Event, Kind  # noqa: PLC0415 - only with --report
    from .network.http.report import LAST_WORDS_S, Reporter, run_id  # noqa: PLC0415

    def named(name: str) -> str:
        return next((value for each, value in variables.items() if each.lower() == name), "")

    reporter = Reporter(options.report, {
        "script": script.name, "run": run_id(), "mac": options.mac or named("hw-mac"), "host": named("bootp-host-name"), "uuid": named("hw-uuid"),
        "serial": named("hw-serial"),
    })

    def both(event: Event) -> None:
        reporter(event)
        options.events(event)

    reporting = _Reporting(both)
    try:
        yield reporting
    finally:
        # A server that does not hear of a boot would install the machine again.
        reporter.end(reporting.state, LAST_WORDS_S if options.boot is None else _LAST_WORDS_BEFORE_BOOT_S)
        if reporter.failure is not None:
            text = f"the reports did not arrive: {reporter.failure}"
            log(f"[warning] {text}\r\n")
            options.events(Event(Kind.WARNING, {"text": text}))


class CheckOptions(NamedTuple):
    """How to check a script; the fields are the options of `bpscript check` (see the manual).

    `disks` are the sizes of the machine's disks in bytes; `variables` are set before the first line, to a text or, with None, to
    something that is not known. `texts` are files as an editor has them, before they are saved.
    """

    root: PathLike | None = None
    disks: Sequence[int] = ()
    variables: Mapping[str, str | None] = MappingProxyType({})
    program: str | None = None          # default: MrZip for *.mrz, else MrBatch
    texts: Mapping[Path, bytes] = MappingProxyType({})


def check(
    script: PathLike, *, root: PathLike | None = None, disks: Sequence[int] = (), variables: Mapping[str, str | None] | None = None
) -> "Report":
    """Look for mistakes in a script and what it includes without running it, as `bpscript check` does.

    Raises UsageError when the script or the root cannot be read; what is wrong with the script is in the report.
    """
    return check_with(script, CheckOptions(root, disks, variables or {}))


def check_with(script: PathLike, options: CheckOptions) -> "Report":
    """The same with all options."""
    from .commands import COMMANDS  # noqa: PLC0415 - only who checks
    from .language.check.checker import check_script  # noqa: PLC0415
    from .language.check.premises import Premises  # noqa: PLC0415
    from .language.names import is_variable_name  # noqa: PLC0415

    for name in options.variables:
        if not is_variable_name(name):
            raise UsageError(f'"{name}" is no name of a variable: letters, digits, _, - and +, beginning with a letter or _')
    path = Path(script)
    if path not in options.texts:
        path = find_script(path)
    is_address = isinstance(options.root, str) and "://" in options.root
    root = None if is_address else path.parent if options.root is None else Path(options.root)
    if root is not None and not root.is_dir():
        raise UsageError(f"{root}: no such directory for --root")
    try:
        data = options.texts[path] if path in options.texts else path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    premises = Premises(
        root, tuple(options.disks), options.variables, options.texts, encrypted=is_address and str(options.root).startswith("https:"),
        looks_at_host=options.root is not None,
    )
    program = options.program or ("MrZip" if path.suffix.lower() == ".mrz" else "MrBatch")
    return check_script(str(path), data, COMMANDS, program, premises, path)


@contextmanager
def open_disk(path: PathLike, *, writable: bool = False, write_real_disks: bool = False) -> Iterator["Disk"]:
    """A disk image or disk: its table, partitions and volumes. Raises UsageError when it cannot be opened."""
    from .machine.disk import Disk  # noqa: PLC0415 - a script without disks does not need it

    with ExitStack() as stack:
        device = open_device(path, stack, writable=writable, write_real_disks=write_real_disks)
        disk = Disk(0, device, os.fspath(path), NoSettings(), Clock.from_environment())
        try:
            yield disk
        except BaseException:
            disk.abandon()
            raise
        disk.forget()


def open_archive(path: PathLike) -> "OpenArchive":
    """An archive file, or an address of one (`http://server/linux.imz`): what it is and the files in it. Raises NotFoundError, FormatError, NetworkError."""
    from .archive.opened import OpenArchive  # noqa: PLC0415 - not needed to run a script
    from .machine.locations import is_address, open_location  # noqa: PLC0415 - as above

    return OpenArchive(open_location(str(path)) if is_address(path) else Path(path))


def capture(
    source: PathLike, archive: "PathLike | BinaryIO", options: "CaptureOptions | None" = None, *, events: Sink = ignore
) -> "Captured":
    """Make an archive of a partition (`disk.img:1`), a directory on it, or a folder, as `bpscript image capture` does.

    What is written is read back and compared with its source before it gets its name, and replaces an older archive only then; an
    open file or pipe is only written to. Raises UsageError for options that make no sense, StorageError for what cannot be
    captured, or changed meanwhile.
    """
    from .archive.destinations import Destination, HostDestination, StreamDestination  # noqa: PLC0415
    from .machine.capturing import CaptureOptions, check_target  # noqa: PLC0415

    chosen = options or CaptureOptions()
    chosen.check()
    sink: Destination
    if isinstance(archive, str | os.PathLike):
        check_target(Path(source), Path(archive))
        sink = HostDestination(Path(archive), chosen.fragment_size)
    else:
        sink = StreamDestination(archive)
    with sink:
        done = _capture(os.fspath(source), sink, chosen, events)
        sink.commit()
    return done


def _capture(source: str, sink: "Destination", options: "CaptureOptions", events: Sink) -> "Captured":
    from .archive.destinations import HostDestination  # noqa: PLC0415
    from .blocks.busy import refuse_users  # noqa: PLC0415
    from .machine.capturing import Capturer, refuse_archive, refuse_inside  # noqa: PLC0415
    from .machine.image_places import DiskImagePlace  # noqa: PLC0415

    capturer = Capturer(sink, os.path.abspath(source), options, Clock.from_environment(), events)
    if Path(source).is_dir():
        if isinstance(sink, HostDestination):
            refuse_inside(sink.path, Path(source), options.filters)
        return capturer.folder(Path(source))
    if options.kind is not None or options.size is not None or options.owner_map is not None:
        raise UsageError(f"{source} is no folder of this host: a type, a size and an owner map are for those")
    place = DiskImagePlace.parse(source)
    refuse_archive(place.image)
    refuse_users(place.image, place.partition, writing=False)
    with open_disk(place.image) as disk:
        return capturer.place(disk, place)


def restore(
    archive: "PathLike | Reader", place: PathLike, options: "RestoreOptions | None" = None, *, events: Sink = ignore
) -> "Restored":
    """Put an archive, or an image of another program, onto a partition, a disk or a directory, as `bpscript image restore` does.

    The archive may be an address (`http://server/linux.imz`). Files go into a directory (`disk.img:1/etc`, a folder of this host).
    Raises UsageError, FormatError, StorageError, NetworkError; a partition on which the work was cut off is not formatted.
    """
    from .archive.clonezilla import on_host  # noqa: PLC0415
    from .archive.positional import JoinedReader, close, open_from_host, positional  # noqa: PLC0415
    from .blocks.busy import refuse_users  # noqa: PLC0415
    from .machine.image_places import DiskImagePlace  # noqa: PLC0415
    from .machine.locations import is_address, open_location  # noqa: PLC0415
    from .machine.restoring import RestoreOptions, Restorer  # noqa: PLC0415

    chosen = options or RestoreOptions()
    chosen.check()
    target = os.fspath(place)
    with ExitStack() as stack:
        path: Path | None = None
        if is_address(archive):
            name = str(archive)
            data = open_location(name, events=events, folder=chosen.temp_folder)
        elif isinstance(archive, str | os.PathLike):
            path, name = on_host(Path(archive)), os.fspath(archive)
            data = open_from_host(path)
        else:
            name = "archive"
            data = positional(archive, name) or JoinedReader(archive)
        stack.callback(close, data)
        restorer = Restorer(data, name, chosen, Clock.from_environment(), events)
        if Path(target).is_dir():
            return restorer.to_folder(Path(target))
        parsed = DiskImagePlace.parse(target)
        if path is not None and parsed.image.exists() and parsed.image.samefile(path):
            raise UsageError(f"{target} is where the archive itself lies")
        refuse_users(parsed.image, parsed.partition, writing=True)
        with open_disk(parsed.image, writable=True, write_real_disks=chosen.write_real_disks) as disk:
            return restorer.to_place(disk, parsed, is_directory=target.endswith("/"))


def squash(
    base: PathLike,
    differences: Sequence[PathLike],
    out: PathLike,
    *,
    level: int = 3,
    threads: int | None = None,
    fragment_size: int | None = None,
    sign: "PrivateKey | None" = None,
    events: Sink = ignore,
) -> "Summary":
    """Make one archive of a full or incremental archive and differences made against it (IncrZip with `$Base-Archive`).

    It holds what applying them one after the other would leave; the same archives always give the same bytes. `fragment_size`
    is bytes. Raises StorageError for archives that do not belong together; an older archive at `out` is then as it was.
    """
    from .archive.container import Archive  # noqa: PLC0415 - not needed to run a script
    from .archive.destinations import HostDestination  # noqa: PLC0415
    from .archive.positional import JoinedReader, close, open_from_host  # noqa: PLC0415
    from .archive.signing import signer  # noqa: PLC0415
    from .archive.squash import Named  # noqa: PLC0415
    from .archive.squash import squash as squash_archives  # noqa: PLC0415

    with ExitStack() as stack:
        named = []
        for path in (base, *differences):
            data = open_from_host(Path(path))
            stack.callback(close, data)
            if isinstance(data, JoinedReader):
                raise StorageError(f"{path} can be read in order only; squashing needs archives that can be read from anywhere")
            try:
                named.append(Named(os.fspath(path), Archive.open(data)))
            except FormatError as error:
                raise FormatError(f"{path}: {error.message}", hint=error.hint) from error
        sink = stack.enter_context(HostDestination(Path(out), fragment_size))
        summary = squash_archives(
            named[0], named[1:], sink, level=level, threads=threads, events=events, sign=None if sign is None else signer(sign),
            temp_folder=Path(out).absolute().parent,
        )
        sink.commit()
    return summary


def convert(
    source: "PathLike | Reader", target: "PathLike | BinaryIO", options: "CaptureOptions | None" = None, *, to: str | None = None,
    partition: int | None = None, force: bool = False, events: Sink = ignore,
) -> "Captured":
    """One kind of image into another, as `bpscript image convert` does: `to` is raw, tar, full or incremental, by default what
    the name of the target says. `partition` takes one out of the archive of a disk.

    Raises UsageError when the target exists and `force` is not given, or the conversion makes no sense; FormatError, StorageError.
    """
    from .archive.positional import JoinedReader, close, positional  # noqa: PLC0415
    from .machine.capturing import CaptureOptions  # noqa: PLC0415
    from .machine.converting import Converter, form_named, form_of, spooled  # noqa: PLC0415
    from .machine.locations import is_address, open_location  # noqa: PLC0415

    chosen = options or CaptureOptions()
    chosen.check()
    path = Path(target) if isinstance(target, str | os.PathLike) else None
    form = form_named(to) if to is not None else form_of("standard output" if path is None else str(path))
    if path is not None and not force and path.exists():
        raise UsageError(f"{path} exists already", hint="--force replaces it")
    if path is not None and not path.parent.is_dir():
        raise UsageError(f"{path.parent}: no such directory")
    with ExitStack() as stack:
        if isinstance(source, str | os.PathLike):
            if path is not None and not is_address(source) and path.exists() and path.samefile(source):
                raise UsageError(f"{path} cannot be made of itself")
            data, name = open_location(str(source)), os.fspath(source)
        else:
            data, name = positional(source, "the image") or JoinedReader(source), "the image"
        stack.callback(close, data)
        whole = stack.enter_context(spooled(data, chosen.temp_folder)) if isinstance(data, JoinedReader) else data
        converter = stack.enter_context(Converter(whole, name, chosen, Clock.from_environment(), events, partition))
        return converter.to_stream(form, target) if path is None else converter.to_file(form, path)  # type: ignore[arg-type]


def create_disk(
    path: PathLike,
    size: int,
    *,
    partitions: str | None = None,
    format_partitions: bool = False,
    force: bool = False,
    seed: str | None = None,
) -> None:
    """Make a sparse image of `size` bytes, with a partition table and formatted partitions if asked for.

    Nothing is left behind when it fails. Raises UsageError when the file exists and `force` is not given.
    """
    target = Path(path)
    if target.exists() and not force:
        raise UsageError(f"{target} exists already", hint="--force replaces it")
    if target.exists() and not target.is_file():
        raise UsageError(f"{target} is not an image file")
    _check_image_size(size)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    temporary.unlink(missing_ok=True)
    try:
        with FileDevice.create(temporary, size) as device:
            if partitions is not None:
                from .machine.disk import Disk  # noqa: PLC0415

                _lay_out(Disk(0, device, str(target), NoSettings(), Clock.from_environment()), partitions, format_partitions, seed)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def find_script(path: Path) -> Path:
    """The script file; a name without extension gets `.bpb` or `.mrz` (language.md 1.3). Raises UsageError."""
    candidates = [path, path.with_name(path.name + ".bpb"), path.with_name(path.name + ".mrz")] if path.name else []
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    if path.is_dir():
        raise UsageError(f"{path} is a directory, not a script")
    if path.exists():
        return path     # a pipe, /dev/stdin
    raise UsageError(f"{path}: no such script")


def _lay_out(disk: "Disk", partitions: str, format_partitions: bool, seed: str | None) -> None:
    from .machine.formatting import format_partition, geometry_of  # noqa: PLC0415
    from .partitions.plan import plan_partitions  # noqa: PLC0415

    entropy = Entropy(seed)
    clock = Clock.from_environment()
    geometry = geometry_of(disk, "")
    plan = plan_partitions(partitions, disk.device, sector_size=disk.sector_size, geometry=geometry, entropy=entropy)
    plan.apply(disk.device)
    disk.forget()
    if format_partitions:
        for entry in disk.table().partitions:
            if not entry.is_extended:
                format_partition(disk, entry.number, label="", linux_kind="EXT4", geometry=geometry, entropy=entropy, clock=clock)
    disk.forget()


def _bootp_variables(options: RunOptions) -> dict[str, str]:
    if options.bootp is None:
        if options.mac is not None:
            raise UsageError("--mac needs --bootp")
        return {}
    from .network.dhcp.replies import read_reply  # noqa: PLC0415 - only with --bootp

    bootp = options.bootp if isinstance(options.bootp, bytes) else Path(options.bootp)
    return dict(read_reply(bootp, options.mac))


def _machine(options: RunOptions, program: str, script: Path, stack: ExitStack, stage: "Stage") -> "Machine":
    """The machine of a run: disks, server folder, keyboard and clock from the options."""
    from .machine.boot import LoggedBoot  # noqa: PLC0415
    from .machine.files import Files  # noqa: PLC0415
    from .machine.machine import Machine  # noqa: PLC0415
    from .network.folder import FolderSource  # noqa: PLC0415
    from .screen.display import Display  # noqa: PLC0415
    from .screen.memory import ScriptedKeyboard  # noqa: PLC0415

    settings = LateSettings()
    screen = options.screen or Display(modes=())
    options = options._replace(events=_shown_events(options.events, screen, settings))
    root = stage.source(_root(options, script, stack), stack)
    clock = stage.clock(options.clock or Clock.from_environment())
    disks = Disks(_disks(options, settings, clock, stack, stage))
    stack.push(_closing(disks))
    files = Files(disks, root, stage.host(FolderSource(Path.cwd(), confined=False), stack), program, settings, is_remote=_is_address(options.root), events=options.events)
    typed = ScriptedKeyboard(options.keys) if options.keys is not None else options.keyboard or ScriptedKeyboard("")
    keyboard = stage.keyboard(typed)
    editor = options.editor if keyboard is typed else None      # a stage has to see all keys
    return Machine(
        program=program, disks=disks, files=files, screen=screen, keyboard=keyboard, settings=settings,
        clock=clock, entropy=Entropy(options.seed), events=options.events, boot=options.boot or LoggedBoot(), stage=stage, editor=editor,
        pauses_log=options.pauses_log,
    )


def _shown_events(events: Sink, screen: "Screen", settings: LateSettings) -> Sink:
    """The events of a run, with a window on the screen that shows the progress of long work."""
    if not screen.modes:
        return events
    from .screen.progress import ProgressWindow  # noqa: PLC0415 - only with a screen

    def place() -> tuple[int, int]:
        x, y = settings.get("ProgressX"), settings.get("ProgressY")
        return (int(x) if x.isdecimal() else 200), (int(y) if y.isdecimal() else 200)

    window = ProgressWindow(screen, place)

    def both(event: Event) -> None:
        window(event)
        events(event)

    return both


def _root(options: RunOptions, script: Path, stack: ExitStack) -> "FileSource":
    """The server of a run: a folder that plays it, or a real one when `root` is an address such as tftp://10.0.0.1/images."""
    from .network.folder import FolderSource  # noqa: PLC0415

    if _is_address(options.root):
        from .network.roots import open_root  # noqa: PLC0415

        found = open_root(str(options.root), options.events)
        stack.callback(found.close)
        return found
    root = script.absolute().parent if options.root is None else Path(options.root)
    if not root.is_dir():
        raise UsageError(f"{root}: no such directory for --root")
    return FolderSource(root)


def _is_address(root: PathLike | None) -> bool:
    """Whether the root of a run is a real server."""
    return isinstance(root, str) and "://" in root


def _disks(options: RunOptions, settings: LateSettings, clock: Clock, stack: ExitStack, stage: "Stage") -> "list[Disk]":
    """The disks of a run, in order."""
    if not options.disks:
        return []
    from .machine.disk import Disk  # noqa: PLC0415

    def on_stage(number: int, disk: DiskLike) -> BlockDevice:
        path = disk.path if isinstance(disk, NewDisk) else Path(disk) if isinstance(disk, str | os.PathLike) else None
        size = disk.size if isinstance(disk, NewDisk) else None
        return stage.disk(number, path, size, lambda: _open_any(disk, stack, write_real_disks=options.write_real_disks), stack)

    opened = [on_stage(number, disk) for number, disk in enumerate(options.disks)]
    names = [_name_of(disk) for disk in options.disks]
    return [Disk(number, device, name, settings, clock) for number, (device, name) in enumerate(zip(opened, names, strict=True))]


def _open_any(disk: DiskLike, stack: ExitStack, *, write_real_disks: bool) -> BlockDevice:
    if isinstance(disk, NewDisk):
        if not disk.path.exists():
            return stack.enter_context(_create_or_complain(disk))
        device = open_device(disk.path, stack, writable=True, write_real_disks=write_real_disks)
        check_new_size(disk.path, device.size, disk.size)
        return device
    if isinstance(disk, str | os.PathLike):
        return open_device(disk, stack, writable=True, write_real_disks=write_real_disks)
    return disk


def check_new_size(path: Path, found: int, wanted: int) -> None:
    """Raise UsageError when an image that is there has not the size that one was to be made with."""
    if found != wanted:
        raise UsageError(f"{path} exists and has {found} bytes, not {wanted}", hint="leave the size out to use it as it is")


def _check_image_size(size: int) -> None:
    if size < SECTOR:
        raise UsageError(f"an image of {size} bytes is too small: it needs at least {SECTOR}")


def _create_or_complain(disk: NewDisk) -> FileDevice:
    _check_image_size(disk.size)
    try:
        return FileDevice.create(disk.path, disk.size)
    except StorageError as error:
        raise UsageError(error.message, hint=error.hint) from error


def open_to_read(path: PathLike, stack: ExitStack) -> FileDevice:
    """An image or disk that is only read, also when it is mounted. Raises UsageError when there is none."""
    try:
        return stack.enter_context(FileDevice(Path(path), writable=False))
    except NotFoundError as error:
        raise UsageError(error.message, hint=error.hint) from error


def open_device(path: PathLike, stack: ExitStack, *, writable: bool, write_real_disks: bool) -> BlockDevice:
    """The device of a path; one that may not be written is opened for reading, and refuses writes with the reason."""
    name = os.fspath(path)
    try:
        if not writable:
            return ReadOnlyDevice(open_to_read(path, stack), name)
        _refuse_users(Path(path))
        try:
            return stack.enter_context(FileDevice(Path(path), allow_real_disk=write_real_disks))
        except ReadOnlyError as error:
            return ReadOnlyDevice(stack.enter_context(FileDevice(Path(path), writable=False)), name, hint=error.hint)
    except NotFoundError as error:
        raise UsageError(error.message, hint=error.hint) from error


def _refuse_users(path: Path) -> None:
    """Raise StorageError for an image that is mounted or used otherwise through a loop device. Of a real disk the kernel tells when it is opened."""
    if path.is_file() and any(True for _ in _LOOPS.glob("loop*/loop/backing_file")):
        from .blocks.busy import refuse_users  # noqa: PLC0415 - few hosts have loop devices in use

        refuse_users(path, writing=True)


def _name_of(disk: DiskLike) -> str:
    if isinstance(disk, NewDisk):
        return str(disk.path)
    return os.fspath(disk) if isinstance(disk, str | os.PathLike) else type(disk).__name__


def _closing(disks: Disks) -> Callable[[type[BaseException] | None, BaseException | None, object], bool]:
    """Close volumes at the end of a run; after a failure keep what can be kept and report only the failure."""

    def close(kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if kind is None:
            disks.close()
        else:
            disks.abandon()
        return False

    return close
