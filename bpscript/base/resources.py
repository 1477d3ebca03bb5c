"""Data files of the package: grammar and boot code."""

from functools import cache
from importlib.resources import files


@cache
def grammar_text(name: str) -> str:
    """A text file of `grammar/`, for example "bpbatch.lark"."""
    return (files("bpscript.grammar") / name).read_text(encoding="utf-8")


@cache
def image_bytes(path: str) -> bytes:
    """A binary file of `images/`, for example "boot/mbr.bin"."""
    return (files("bpscript.images") / path).read_bytes()
