"""The machine of a run: disks, server, keyboard, screen and clock from its options."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.clock import Clock
from ..base.entropy import Entropy
from ..base.errors import UsageError
from ..base.events import Event, Sink
from ..blocks.device import BlockDevice
from ..machine.disks import Disks
from ..machine.settings import LateSettings
from .disks import DiskLike, NewDisk, open_any
from .options import RunOptions
from .scripts import is_address

if TYPE_CHECKING:
    from ..base.sources import FileSource
    from ..machine.disk import Disk
    from ..machine.machine import Machine
    from ..machine.stage import Stage
    from ..screen.screen import Screen


def build_machine(options: RunOptions, program: str, script: Path, stack: ExitStack, stage: "Stage") -> "Machine":
    """The machine of a run: disks, server folder, keyboard and clock from the options."""
    from ..machine.boot import LoggedBoot  # noqa: PLC0415
    from ..machine.files import Files  # noqa: PLC0415
    from ..machine.machine import Machine  # noqa: PLC0415
    from ..network.folder import FolderSource  # noqa: PLC0415
    from ..screen.display import Display  # noqa: PLC0415
    from ..screen.memory import ScriptedKeyboard  # noqa: PLC0415

    settings = LateSettings()
    screen = options.screen or Display(modes=())
    options = options._replace(events=_shown_events(options.events, screen, settings))
    root = stage.source(_root(options, script, stack), stack)
    clock = stage.clock(options.clock or Clock.from_environment())
    disks = Disks(_disks(options, settings, clock, stack, stage))
    stack.push(_closing(disks))
    files = Files(disks, root, stage.host(FolderSource(Path.cwd(), confined=False), stack), program, settings, is_remote=is_address(options.root), events=options.events)
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
    from ..screen.progress import ProgressWindow  # noqa: PLC0415 - only with a screen

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
    from ..network.folder import FolderSource  # noqa: PLC0415

    if is_address(options.root):
        from ..network.roots import open_root  # noqa: PLC0415

        found = open_root(str(options.root), options.events)
        stack.callback(found.close)
        return found
    root = script.absolute().parent if options.root is None else Path(options.root)
    if not root.is_dir():
        raise UsageError(f"{root}: no such directory for --root")
    return FolderSource(root)


def _disks(options: RunOptions, settings: LateSettings, clock: Clock, stack: ExitStack, stage: "Stage") -> "list[Disk]":
    """The disks of a run, in order."""
    if not options.disks:
        return []
    from ..machine.disk import Disk  # noqa: PLC0415

    def on_stage(number: int, disk: DiskLike) -> BlockDevice:
        path = disk.path if isinstance(disk, NewDisk) else Path(disk) if isinstance(disk, str | os.PathLike) else None
        size = disk.size if isinstance(disk, NewDisk) else None
        return stage.disk(number, path, size, lambda: open_any(disk, stack, write_real_disks=options.write_real_disks), stack)

    opened = [on_stage(number, disk) for number, disk in enumerate(options.disks)]
    names = [_name_of(disk) for disk in options.disks]
    return [Disk(number, device, name, settings, clock) for number, (device, name) in enumerate(zip(opened, names, strict=True))]


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
