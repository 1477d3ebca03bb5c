"""Entries of the Boot Loader Specification, type 1: `loader/entries/*.conf` (systemd-boot, and GRUB in Fedora and RHEL).

What starts is the entry that `loader.conf` names (`default`, a pattern), else the one GRUB saved (`saved_entry` in its grubenv),
else the newest version. Source: uapi-group.org/specifications/specs/boot_loader_specification.
"""

import re
from fnmatch import fnmatchcase

from .entry import Entry, Texts, clean, lines

_FOLDERS = ("loader", "boot/loader")
GRUB_ENVIRONMENTS = ("boot/grub2/grubenv", "grub2/grubenv", "boot/grub/grubenv", "grub/grubenv")


def find(texts: Texts) -> Entry | None:
    """The entry that starts."""
    for folder in _FOLDERS:
        entries = {name.removesuffix(".conf"): f"{folder}/entries/{name}" for name in texts.names(f"{folder}/entries") if name.endswith(".conf")}
        found = [entry for entry in (_read(texts, name, path) for name, path in entries.items()) if entry is not None]
        if found:
            return _chosen(texts, folder, found)
    return None


def grub_variables(texts: Texts) -> dict[str, str]:
    """What GRUB keeps from one boot to the next."""
    text = next(filter(None, map(texts.read, GRUB_ENVIRONMENTS)), "")
    pairs = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, sign, value in pairs if sign}


def natural(text: str) -> list[tuple[int, str]]:
    """A key that orders versions: numbers by their value."""
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.findall(r"[0-9]{1,18}|[^0-9]+", text)]


def _chosen(texts: Texts, folder: str, found: list[tuple[str, str, Entry]]) -> Entry:
    default = dict(lines(texts.read(f"{folder}/loader.conf") or "")).get("default", "")
    wanted = [default.removesuffix(".conf"), grub_variables(texts).get("saved_entry", "")]
    newest = sorted(found, key=lambda each: (natural(each[1]), each[0]), reverse=True)
    for pattern in filter(None, wanted):
        for name, _, entry in newest:
            if fnmatchcase(name, pattern):
                return entry
    return newest[0][2]


def _read(texts: Texts, name: str, path: str) -> tuple[str, str, Entry] | None:
    """Name, version and contents of an entry; None when it is no Linux."""
    kernel, title, version, ramdisks, options = "", name, name, list[str](), list[str]()
    variables = grub_variables(texts)
    for word, rest in lines(texts.read(path) or ""):
        match word:
            case "linux":
                kernel = clean(rest)
            case "initrd":
                ramdisks += [clean(each) for each in rest.split() if not each.startswith("$")]      # $tuned_initrd of RHEL
            case "options":
                options.append(re.sub(r"\$(\w+)|\$\{(\w+)\}", lambda found: variables.get(found[1] or found[2], ""), rest))
            case "title":
                title = rest
            case "version":
                version = rest
    if not kernel:
        return None
    return name, version, Entry(title, kernel, tuple(ramdisks), " ".join(" ".join(options).split()), path)
