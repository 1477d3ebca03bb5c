"""From what a window shows to what it should show, in as few characters as is simple: only cells that differ, and lines that moved
up are moved by the terminal (ECMA-48, and the scrolling margins of a VT100, which all terminals have)."""

from .terminal_cells import Row

_MOST_GAP = 4       # cells that are written again rather than jumped over: a jump is 6 to 8 characters

Shown = list[Row | None]        # None: nobody knows what is in that row


def repaint(shown: Shown, wanted: list[Row]) -> str:
    """The characters to send; `shown` then is what was wanted. Both have a row for each line of the window."""
    pieces = [_scroll(shown, wanted)]
    style: str | None = None
    for line, row in enumerate(wanted):
        before = shown[line]
        if before == row:
            continue
        for left, right in _differences(before, row):
            pieces.append(f"\033[{line + 1};{left + 1}H")
            for character, its_style in row[left:right]:
                if its_style != style:
                    style = its_style
                    pieces.append(f"\033[0;{style}m" if style else "\033[0m")
                pieces.append(character)
        shown[line] = list(row)
    return "".join(pieces)


def _differences(before: Row | None, row: Row) -> list[tuple[int, int]]:
    """Columns from which to before which cells differ."""
    if before is None or len(before) != len(row):
        return [(0, len(row))]
    found: list[tuple[int, int]] = []
    for column, (old, new) in enumerate(zip(before, row, strict=True)):
        if old == new:
            continue
        if found and column - found[-1][1] < _MOST_GAP:
            found[-1] = found[-1][0], column + 1
        else:
            found.append((column, column + 1))
    return found


def _scroll(shown: Shown, wanted: list[Row]) -> str:
    """Move lines up when that leaves less to write; what comes in from below is unknown then."""
    changed = [line for line, row in enumerate(wanted) if shown[line] != row]
    if len(changed) < 3:
        return ""
    top, bottom = changed[0], changed[-1] + 1
    distance = next((far for far in range(1, bottom - top) if shown[top + far] == wanted[top]), 0)
    if not distance:
        return ""
    moved = sum(shown[line + distance] == wanted[line] for line in range(top, bottom - distance))
    still = sum(shown[line] == wanted[line] for line in range(top, bottom))
    if moved <= still + 1:
        return ""
    shown[top:bottom] = [*shown[top + distance : bottom], *[None] * distance]
    return f"\033[0m\033[{top + 1};{bottom}r\033[{bottom};1H" + "\n" * distance + "\033[r"
