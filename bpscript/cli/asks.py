"""Whether a script asks for keys, as far as its text tells: then `run` shows its screen on a terminal."""

import re
from pathlib import Path

from ..api import find_script
from ..base.errors import UsageError
from ..base.text import decode

_MOST_SIZE = 4 << 20        # bytes; nobody writes a script as long
_STRING = r'"(?:\\.|[^"\\])*"?'
# A command may stand inside of another: `If "$x" == "1" GetKey y`. Words in strings are no commands.
_ASKS = re.compile(rf"(?:{_STRING})|(?<![\w$.{{-])(getkey|waitforkey|input|getpasswd|onkey|interact|\.key)(?![\w-])", re.IGNORECASE)
_INCLUDE = re.compile(r'(?<![\w$.{-])include[ \t]*"([^"$\\]+)"', re.IGNORECASE)


def asks_for_keys(script: Path, root: str | None) -> bool:
    """Whether a command of the script, or of a script that it includes by its name, waits for keys or handles them.

    Only files of this host are looked at. What cannot be read asks for nothing: the run will say why.
    """
    try:
        first = find_script(script)
    except UsageError:
        return False
    folder = None if root is not None and "://" in root else first.parent if root is None else Path(root)
    waiting, seen = [first], set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        text = _text(path)
        for line in text.splitlines():
            code = line.strip()
            if code.startswith(("#", ":")):
                continue
            if any(found[1] for found in _ASKS.finditer(code)):
                return True
            if folder is not None:
                waiting += [folder / name.lstrip("/") for name in _INCLUDE.findall(code)]
    return False


def _text(path: Path) -> str:
    try:
        if not path.is_file() or path.stat().st_size > _MOST_SIZE:      # a pipe can be read only once
            return ""
        return decode(path.read_bytes(), iso_latin=True, code_page="cp850").text
    except OSError:
        return ""
