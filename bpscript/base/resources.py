"""Data files of the package: grammar and boot code.

`pkgutil.get_data` and not `importlib.resources`, which takes 5 ms to import: every script that lays out a disk needs the boot
code. Both ask the package's loader, so they find the same files in an editable install, a wheel or a zip.
"""

from functools import cache
from pkgutil import get_data


@cache
def grammar_text(name: str) -> str:
    """A text file of `grammar/`, for example "bpbatch.lark"."""
    return _read("bpscript.grammar", name).decode()


@cache
def image_bytes(path: str) -> bytes:
    """A binary file of `images/`, for example "boot/mbr.bin"."""
    return _read("bpscript.images", path)


def _read(package: str, path: str) -> bytes:
    data = get_data(package, path)
    if data is None:
        raise FileNotFoundError(f"{package} has no {path}")
    return data
