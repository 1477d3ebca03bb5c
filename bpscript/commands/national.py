"""National languages (language.md 8.8): keyboard layout, code page, font."""

from ..base.errors import NotFoundError
from ..interpreter.codepages import code_page_from_table, known_code_page
from ..interpreter.run import Run
from ..language.declare import command
from .arguments import FileName, PathName

_GROUP = "national language"
_MOST_FONT = 1 << 20        # bytes that are read of what should be a font


@command("RemapKeys", group=_GROUP, usage='"from" "to"')
def remap_keys(run: Run, wanted: str, to: str) -> None:
    """Change the keyboard layout: a key becomes the character at the same place.

    Args:
        wanted: the keys
        to: what they become

    Examples:
        > RemapKeys "yzYZ" "zyZY"
    """
    run.keys.remap(_pairs(run, wanted, to))


@command("RemapAltKeys", group=_GROUP, usage='"from" "to"')
def remap_alt_keys(run: Run, wanted: str, to: str) -> None:
    """Change the keyboard layout for keys pressed with Alt.

    Args:
        wanted: the keys
        to: what they become

    Examples:
        > RemapAltKeys "2" "@"
    """
    run.keys.remap(_pairs(run, wanted, to), alt=True)


@command("LoadCodePage", group=_GROUP)
def load_code_page(run: Run, file: PathName) -> None:
    """Set the code page of octal escapes, of FAT names and of files that are not UTF-8.

    Args:
        file: a table of 256 16-bit values, or the name of a known code page: cp437, cp850, cp852, cp1252 ...

    Examples:
        > LoadCodePage "cp437.bin"
    """
    try:
        data = run.machine.files.read(file)
    except NotFoundError:
        base = file.replace("\\", "/").rpartition("/")[2].rpartition("}")[2].partition(".")[0]
        known = known_code_page(base)
        if known is None:
            raise
        run.code_page = known
    else:
        run.code_page = code_page_from_table(data, file)
    run.machine.disks.set_code_page(run.code_page)


@command("LoadFont", group=_GROUP, untested="needs a font")
def load_font(run: Run, file: FileName) -> None:
    """Load a font of 256 characters of 16 bytes.

    Args:
        file: the font, 4096 bytes

    Examples:
        > LoadFont "cp850.fnt"
    """
    from ..screen.font import Font, built_in_font  # noqa: PLC0415 - few scripts load one

    characters = "".join(bytes([code]).decode(run.code_page, "ignore") or "\0" for code in range(256))
    font = Font.from_codes(run.machine.files.read(file, _MOST_FONT), characters, file, built_in_font())
    run.machine.screen.load_font(font)


def _pairs(run: Run, wanted: str, to: str) -> dict[str, str]:
    if len(wanted) != len(to):
        raise run.refuse(1, f"the two strings must be equally long: {len(wanted)} keys, {len(to)} characters")
    return dict(zip(wanted, to, strict=True))
