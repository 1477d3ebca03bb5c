"""The generated module belongs to the declarations, and both to the library."""

from importlib.resources import files

from bpscript.base.errors import FormatError, NoSpaceError
from bpscript.filesystems.ext.declarations import DECLARATIONS, bindings
from bpscript.filesystems.ext.library import error_for, load


def test_the_bindings_are_those_of_the_declarations() -> None:
    stored = (files("bpscript.filesystems.ext") / "bindings.py").read_text(encoding="ascii")
    assert stored == bindings(), "write declarations.bindings() into bindings.py"


def test_every_declared_function_is_in_the_library() -> None:
    ffi, library = load()
    common = ffi.dlopen("libcom_err.so.2")
    names = [line.split("(")[0].split()[-1].lstrip("*") for line in DECLARATIONS.splitlines() if "(" in line and not line.startswith((" ", "struct"))]
    assert len(names) > 25
    for name in names:
        assert getattr(common if name == "error_message" else library, name) is not None


def test_codes_become_sentences() -> None:
    assert str(error_for(2133571484, "group 3")) == "group 3: block bitmap checksum does not match bitmap"
    assert isinstance(error_for(2133571484, ""), FormatError)
    assert isinstance(error_for(2133571400, "new file"), NoSpaceError)
    assert str(error_for(2133571401, "new file")) == "new file: the volume has no inode left"
