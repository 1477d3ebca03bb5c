"""The generated module belongs to the declarations, and both to the library."""

import sys
from importlib.resources import files

import pytest

from bpscript.base.errors import FormatError, NoSpaceError
from bpscript.filesystems.ext.declarations import DECLARATIONS, bindings
from bpscript.filesystems.ext.library import error_for, load
from tests.oracles import run_tool


def test_the_bindings_are_those_of_the_declarations() -> None:
    stored = (files("bpscript.filesystems.ext") / "bindings.py").read_text(encoding="ascii")
    assert stored == bindings(), "write declarations.bindings() into bindings.py"


def test_every_declared_function_is_in_the_library() -> None:
    _, library = load()
    names = [line.split("(")[0].split()[-1].lstrip("*") for line in DECLARATIONS.splitlines() if "(" in line and not line.startswith((" ", "struct"))]
    assert len(names) > 25
    for name in names:
        assert getattr(library, name) is not None


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (2133571328, "group 3: EXT2FS Library version "),      # the first of the table
        (2133571474, "group 3: inode checksum does not match inode"),
        (2133571484, "group 3: block bitmap checksum does not match bitmap"),
        (5, "group 3: input/output error"),
        (255, "group 3: unknown error 255"),
        (256, "group 3: libext2fs error 256"),
        (2133571327, "group 3: libext2fs error 2133571327"),
        (2133571328 + 255, "group 3: libext2fs error 2133571583"),
    ],
)
def test_codes_become_sentences(code: int, sentence: str) -> None:
    error = error_for(code, "group 3")
    assert isinstance(error, FormatError)
    assert str(error).lower().startswith(sentence.lower())


def test_a_volume_without_room_says_so() -> None:
    assert isinstance(error_for(2133571400, "new file"), NoSpaceError)
    assert str(error_for(2133571401, "new file")) == "new file: the volume has no inode left"


MOVED = """
import gc, mmap, sys
from bpscript.filesystems.ext import library
before = library.error_for(2133571474, "inode 7")
library.load.cache_clear()
gc.collect()
room = [mmap.mmap(-1, size) for size in (1 << 12, 1 << 16, 1 << 18, 1 << 19)]    # where it was is taken now
print(before, library.error_for(2133571474, "inode 7"), sep="\\n")
"""


def test_sentences_stay_when_the_library_is_opened_again() -> None:
    result = run_tool([sys.executable, "-c", MOVED])
    assert result.stdout.splitlines() == ["inode 7: inode checksum does not match inode"] * 2
