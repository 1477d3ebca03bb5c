"""The special variables and their defaults (language.md 6)."""

from typing import TYPE_CHECKING

from ..language.specials import SPECIALS
from ..screen.screen import MODES
from .variables import Special

if TYPE_CHECKING:
    from .run import Run



def register_specials(run: "Run", basename: str) -> None:
    """Make the special variables known; `basename` is the script's name without directory and last extension."""
    variables, machine = run.variables, run.machine
    for each in SPECIALS:
        if each.default is not None and (machine.program == "MrZip" or not each.mrzip_only):
            variables.register(Special(each.name, each.default))
    has_graphics = machine.screen.modes and machine.program != "MrZip"

    def modes() -> str:
        return " ".join(map(str, machine.screen.modes or MODES)) if variables.is_on("VESA") else ""

    for special in (
        Special("Program", machine.program),
        Special("Basename", basename),
        Special("HelpFile", lambda: f"{variables.get('Basename')}.hlp"),
        Special("Disks", lambda: " ".join(str(size) for size in machine.disks.sizes_mb()), read_only=True),
        Special("Keypressed", lambda: run.keys.peek() or "", read_only=True, listed=False),
        Special("VESA", "ON" if has_graphics else "OFF"),
        Special("VESA-Modes", modes),
        Special("APM", lambda: "ON" if machine.boot.can_power_off else "OFF", read_only=True),
        Special("ExtMemory", "ON", accept=lambda old, new: old if old.upper() == "OFF" else new),
        Special("Security-Gateway", lambda: f"{variables.get('BOOTP-Server-IP')}@89"),
        Special("Linux-FS", "EXT4" if machine.program == "MrZip" else "EXT2"),
    ):
        variables.register(special)
