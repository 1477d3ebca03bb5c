"""What somebody at the prompt is told while typing: completion and help, from the declarations and from what this run has."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..base.errors import BpscriptError
from ..base.units import format_size
from ..language.completion import Known, complete, help_at, usage_at
from ..language.names import fold
from ..language.parser import visible
from ..screen.line_editor import Offer
from .frames import FileFrame

if TYPE_CHECKING:
    from ..machine.disk import Disk
    from .run import Run

_MOST_OFFERS = 1_000        # nobody looks through more
_MOST_ABOUT = 60            # characters of a variable's value


class RunAssistant:
    """Completion and help at the prompt of a run. What cannot be found out is left out; nothing here fails."""

    def __init__(self, run: "Run") -> None:
        self._run = run

    def offers(self, line: str) -> list[Offer]:
        """What may stand at the end of this line."""
        run = self._run
        frame = next((each for each in reversed(run.frames) if isinstance(each, FileFrame)), None)
        labels = [] if frame is None else [frame.source.lines[index].text[1:].strip() for index in frame.source.labels.values()]
        known = Known(
            [name for name, _ in run.variables.items()], labels, self._files, run.machine.program, self._partitions, self._disks, self._value,
            at_prompt=True,
        )  # fmt: skip
        return [Offer(each.text, each.start, each.about) for each in complete(line, len(line), run.commands, known)[:_MOST_OFFERS]]

    def usage(self, line: str) -> str:
        """One line about the command under the cursor."""
        return usage_at(line, self._run.commands)

    def help(self, line: str) -> str:
        """All about the command under the cursor."""
        return help_at(line, self._run.commands)

    def _value(self, name: str) -> str | None:
        value = self._run.variables.find(fold(name))
        return None if value is None else visible(value[:_MOST_ABOUT])

    def _files(self, begun: str) -> Iterator[str]:
        """What is in the directory that was begun: of the server, or `{disk:partition}/` of a disk."""
        disks = self._run.machine.disks
        if "{".startswith(begun) or (begun.startswith("{") and "}" not in begun):
            places = (f"{{{disk.number or ''}:{number}}}/" for disk in disks for number, _ in _partitions(disk))
            yield from (place for place in places if place.startswith(begun))
        if begun.startswith("{") and "}" not in begun:
            return
        folder = begun[: max(begun.rfind(end) for end in "/\\}") + 1]
        try:
            entries = self._run.machine.files.at(folder or ".").entries()
        except (BpscriptError, OSError):
            return      # not formatted, no such directory, a server that does not tell
        for name, facts in entries:
            whole = f"{folder}{name}{'/' if facts.is_directory else ''}"
            if fold(whole).startswith(fold(begun)):
                yield whole

    def _partitions(self) -> Iterator[tuple[str, str]]:
        """Those of disk 0."""
        if len(self._run.machine.disks):
            yield from _partitions(self._run.machine.disks[0])

    def _disks(self) -> Iterator[tuple[str, str]]:
        return ((str(disk.number), format_size(disk.device.size)) for disk in self._run.machine.disks)


def _partitions(disk: "Disk") -> Iterator[tuple[str, str]]:
    try:
        found = disk.table().partitions
    except (BpscriptError, OSError):
        return
    for each in found:
        yield str(each.number), f"{each.word()}, {format_size(each.size)}"
