"""Data files of the package: grammar, boot code and keyboard layouts.

`pkgutil.get_data` and not `importlib.resources`, which takes 5 ms to import: every script that lays out a disk needs the boot
code. Both ask the package's loader, so they find the same files in an editable install, a wheel or a zip.
"""

from functools import cache
from pkgutil import get_data

LAYOUTS = ("de", "de-CH", "es", "fr", "fr-CH", "it", "pt", "sv", "uk")      # of keyboards, in images/keymaps


@cache
def grammar_text(name: str) -> str:
    """A text file of `grammar/`, for example "bpbatch.lark"."""
    return _read("bpscript.grammar", name).decode()


@cache
def image_bytes(path: str) -> bytes:
    """A binary file of `images/`, for example "boot/mbr.bin"."""
    return _read("bpscript.images", path)


def keyboard_layout(name: str) -> bytes | None:
    """The layout that scripts know as `keymaps/de.bpb`, in any case; None when it is none of ours."""
    known = {f"keymaps/{each.lower()}.bpb": each for each in LAYOUTS}
    found = known.get(name.lower().replace("\\", "/").removeprefix("/"))
    return None if found is None else image_bytes(f"keymaps/{found}.bpb")


def _read(package: str, path: str) -> bytes:
    data = get_data(package, path)
    if data is None:
        raise FileNotFoundError(f"{package} has no {path}")
    return data
