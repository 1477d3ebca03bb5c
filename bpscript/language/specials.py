"""The special variables as the reference has them (language.md 6, 7): names, defaults that are texts, and what they mean.

What is computed (`Disks`, `HelpFile` ...) is in `interpreter/specials.py`. The checker, completion and hover texts look here.
"""

import re
from functools import cache
from typing import NamedTuple

from .names import fold


class SpecialVariable(NamedTuple):
    """One variable. `default` is None where it is computed, or where the variable is undefined until it is set."""

    name: str
    about: str
    default: str | None = None
    read_only: bool = False
    mrzip_only: bool = False


SPECIALS = (
    SpecialVariable("Program", "name of the running program: BpBatch, MrBatch or MrZip"),
    SpecialVariable("Basename", "name of the start script, without directory and without the last extension"),
    SpecialVariable("HelpFile", "file that Help loads; $Basename.hlp by default"),
    SpecialVariable("Disks", 'sizes of all disks in MB, in order; #"$Disks" is their number', read_only=True),
    SpecialVariable("Keypressed", "the next key in the keyboard buffer, not removed; empty if there is none", read_only=True),
    SpecialVariable("LBA", "use LBA to reach beyond 2 GB (accepted, no effect on images)", "ON"),
    SpecialVariable("FDA", "fast disk access across cylinders (accepted, no effect)", "ON"),
    SpecialVariable("VESA", "graphics allowed; OFF makes every graphics command do nothing"),
    SpecialVariable("VESA-Modes", "graphics modes found; the first is the one used by default"),
    SpecialVariable("APM", "ON if PowerOff works", read_only=True),
    SpecialVariable("Trace", "ON logs every command before it runs", "OFF"),
    SpecialVariable("AutoShowLog", "the Escape key switches the screen to the log", "ON"),
    SpecialVariable("PauseLog", "pause after each page of visible log", "ON"),
    SpecialVariable("CacheDisk", "number of the disk that holds the cache; empty means 0", ""),
    SpecialVariable("CacheAlways", "ON caches all files of servers", "OFF"),
    SpecialVariable("CacheNever", "ON caches nothing", "OFF"),
    SpecialVariable("CacheReserve", "ON gives a file in the cache 25 % more room than it needs", "ON"),
    SpecialVariable("ExtMemory", "extended memory; once OFF it stays off"),
    SpecialVariable("IsoLatin", "how upper codes in scripts and patched files that are not UTF-8 are read: ON is ISO-8859-1", "ON"),
    SpecialVariable("ProgressX", "place of the progress window in graphics", "200"),
    SpecialVariable("ProgressY", "place of the progress window in graphics", "200"),
    SpecialVariable("EXT2-Backup", "keep the backup superblocks of ext2 up to date", "OFF"),
    SpecialVariable("Security-Gateway", "server that CheckUser asks; ${BOOTP-Server-IP}@89 by default"),
    SpecialVariable("Security-Check", "result of the last CheckUser: PASSED or FAILED", "FAILED"),
    SpecialVariable("ErrorMode", "STOP ends the script at an error, CONTINUE logs it and goes on", "STOP"),
    SpecialVariable("Rewrite", "AUTO, ALL or DIFF: which blocks FullUnzip writes", "AUTO"),
    SpecialVariable("CacheSize", "MB that a partition of size * leaves free for the cache", "0"),
    SpecialVariable("Sector-Size", "bytes of a sector of GPT disks: 512 or 4096"),
    SpecialVariable("Disk-GUID", "GUID of the next GPT that SetPartitions makes"),
    SpecialVariable("Disk-Geometry", 'heads and sectors per track: "255 63"'),
    SpecialVariable("Image-Key", "public key file: archives must carry a valid signature by it", ""),
    SpecialVariable("Gateway-Key", "public key of the login gateway: 64 hexadecimal digits, or a file with it"),
    SpecialVariable("Verify", "ON reads back what FullUnzip, IncrUnzip, Copy and Patch wrote", "OFF"),
    SpecialVariable("Linux-FS", "what Clean makes of a LINUX-EXT2 partition: EXT2, EXT3 or EXT4"),
    SpecialVariable("LastError", "message of the last error that $ErrorMode CONTINUE passed over", ""),
    SpecialVariable("TempPath", "directory for temporary files; empty means the current one", "", mrzip_only=True),
    SpecialVariable("DumpFormat", "what an archive dump shows: letters of h H b B s S d D f F", "hbD", mrzip_only=True),
    SpecialVariable("Base-Archive", "IncrZip stores only what differs from that archive", "", mrzip_only=True),
    SpecialVariable("Zip-FS", "file system of an archive that FullZip makes of a folder: FAT16 or FAT32; else $Linux-FS", "", mrzip_only=True),
    SpecialVariable("Zip-Size", "size in MB of an archive that FullZip makes of a folder", "", mrzip_only=True),
    SpecialVariable("FragmentSize", 'size of archive pieces: "30 MB"', "87 MB", mrzip_only=True),
    *(
        SpecialVariable(f"Hw-{name}", f"{about} of the machine; set in the boot environment")
        for name, about in (
            ("Vendor", "vendor"), ("Product", "product name"), ("Serial", "serial number"), ("UUID", "UUID"), ("Memory", "MB of memory"),
            ("Cpus", "number of processors"), ("Firmware", "BIOS or UEFI"), ("MAC", "network address"),
        )
    ),
)  # fmt: skip

# The values that mean something, in capitals; "" is nothing.
_SWITCHES = frozenset(
    ["lba", "fda", "vesa", "trace", "autoshowlog", "pauselog", "cachealways", "cachenever", "cachereserve", "extmemory", "isolatin", "ext2-backup", "verify"]
)
VALUES = {
    "errormode": ("STOP", "CONTINUE"),
    "rewrite": ("AUTO", "ALL", "DIFF"),
    "linux-fs": ("EXT2", "EXT3", "EXT4"),
    "zip-fs": ("FAT16", "FAT32", ""),
    "sector-size": ("512", "4096"),
    "security-check": ("PASSED", "FAILED", ""),
    **dict.fromkeys(_SWITCHES, ("ON", "OFF")),
}

_BY_NAME = {fold(each.name): each for each in SPECIALS}
_NUMBERED = (
    (re.compile(r"disk-\d+-model\Z"), "model of the disk, set in the boot environment"),
    (re.compile(r"disk-\d+-serial\Z"), "serial number of the disk, set in the boot environment"),
    (re.compile(r"disk-\d+-size\Z"), "size of the disk in MB, set in the boot environment"),
    (re.compile(r"expect-disk-\d+\Z"), "condition on the disk, checked before the first write: serial=TEXT model=PATTERN size>=MB size<=MB"),
)
_BEFORE_NUMBERS = ("disk-", "expect-disk-")


def special(name: str) -> SpecialVariable | None:
    """The special variable of a name, in any case."""
    key = fold(name)
    found = _BY_NAME.get(key)
    if found is None and key.startswith(_BEFORE_NUMBERS):
        found = next((SpecialVariable(name, about) for pattern, about in _NUMBERED if pattern.match(key)), None)
    return found


@cache
def reply_variables() -> dict[str, str]:
    """The variables that a BOOTP or DHCP reply may set: folded names, and what they mean."""
    from ..network.dhcp.variables import parameters  # noqa: PLC0415 - a run without a reply does not need the table

    found = {}
    for key, parameter in parameters().items():
        number = next((name.rpartition("-")[2] for name in parameter.names if name.startswith("BOOTP-Option-")), "")
        found[key] = f"from the DHCP reply{f', option {number}' if number else ''} ({parameter.type_name})"
    return found


@cache
def reply_names() -> tuple[str, ...]:
    """Their names as they are written, those that only have a number last."""
    from ..network.dhcp.variables import parameters  # noqa: PLC0415

    names = dict.fromkeys(name for parameter in parameters().values() for name in parameter.names)
    return tuple(sorted(names, key=lambda name: (name.startswith("BOOTP-Option-"), len(name) if name.startswith("BOOTP-Option-") else 0, name)))


def about_variable(name: str) -> str | None:
    """What a special or reply variable means; None for one of the script's own."""
    found = special(name)
    if found is None:
        return reply_variables().get(fold(name))
    notes = ["read-only"] if found.read_only else []
    notes += ["MrZip only"] if found.mrzip_only else []
    notes += [f'default "{found.default}"'] if found.default else []
    return f"{found.about} ({', '.join(notes)})" if notes else found.about
