"""The special variables and their defaults (language.md 6)."""

from typing import TYPE_CHECKING

from .variables import Special

if TYPE_CHECKING:
    from .run import Run

MODES = ("800x600", "640x480", "1024x768", "1280x1024")

# What is simply a text.
_TEXTS = {
    "LBA": "ON", "FDA": "ON", "Trace": "OFF", "AutoShowLog": "ON", "PauseLog": "ON", "CacheAlways": "OFF", "CacheNever": "OFF",
    "CacheReserve": "ON", "IsoLatin": "ON", "ProgressX": "200", "ProgressY": "200", "EXT2-Backup": "OFF", "Security-Check": "FAILED",
    "ErrorMode": "STOP", "Rewrite": "AUTO", "CacheSize": "0", "Verify": "OFF",
    "CacheDisk": "", "LastError": "", "Image-Key": "",
}  # fmt: skip
_MRZIP_TEXTS = {"DumpFormat": "hbD", "FragmentSize": "87 MB", "TempPath": "", "Base-Archive": "", "Zip-FS": "", "Zip-Size": ""}


def register_specials(run: "Run", basename: str) -> None:
    """Make the special variables known; `basename` is the script's name without directory and last extension."""
    variables, machine = run.variables, run.machine
    for name, default in {**_TEXTS, **(_MRZIP_TEXTS if machine.program == "MrZip" else {})}.items():
        variables.register(Special(name, default))
    has_graphics = machine.screen.has_graphics and machine.program != "MrZip"

    def modes() -> str:
        return " ".join(MODES) if variables.is_on("VESA") else ""

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
