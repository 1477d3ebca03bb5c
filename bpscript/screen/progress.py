"""The progress window: what long work says about itself, over the script's screen (language.md 6, `$ProgressX`, `$ProgressY`).

In text mode it is a frame of characters in the cells that lie there. What was behind it comes back.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ..base.events import Event, Kind
from ..base.units import format_size
from .canvas import Canvas, Saved
from .screen import CELL_HEIGHT, CELL_WIDTH, Area, Attribute, Box, Progress, Screen, Window
from .windows import SHADOW, draw_window

_DELAY_S = 0.3          # shorter work shows no window
_WIDTH, _HEIGHT = 352, 96       # pixels; whole cells
_INK, _PAPER, _FILL, _TROUGH = 0, 7, 1, 15      # colours of the text palette
_ENDS = {Kind.COMMAND_FINISHED, Kind.ERROR, Kind.BOOT}


class ProgressWindow:
    """An event sink that shows the progress of a command on a screen; `place` says where, in pixels."""

    def __init__(self, screen: Screen, place: Callable[[], tuple[int, int]]) -> None:
        self._screen = screen
        self._place = place
        self._task = ""
        self._started_s = 0.0
        self._shown = False

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if event.kind is Kind.PROGRESS:
            self._show(str(event.data["task"]), int(event.data["done"] or 0), int(event.data["total"] or 0), event.time_s)
        elif self._shown and event.kind in _ENDS:
            self._screen.show_progress(None)
            self._shown = False

    def _show(self, task: str, done: int, total: int, now_s: float) -> None:
        if task != self._task or not done:
            self._task, self._started_s = task, now_s
        elapsed_s = now_s - self._started_s
        if self._shown or elapsed_s >= _DELAY_S:
            self._screen.show_progress(Progress(task, done, total, elapsed_s, *self._place()))
            self._shown = True


@dataclass
class Overlay:
    """A window over a canvas, and what is behind it."""

    canvas: Canvas
    behind: Saved
    box: Box

    @classmethod
    def open(cls, canvas: Canvas, progress: Progress) -> "Overlay":
        """Draw the window; only `update` shows what is done."""
        x, y = max(0, min(progress.x, canvas.width - _WIDTH - SHADOW)), max(0, min(progress.y, canvas.height - _HEIGHT - SHADOW))
        if canvas.mode is None:
            x, y = x // CELL_WIDTH * CELL_WIDTH, y // CELL_HEIGHT * CELL_HEIGHT
        box = Box(x, y, _WIDTH, _HEIGHT)
        overlay = cls(canvas, canvas.save(_cells_of(Box(x, y, _WIDTH + SHADOW, _HEIGHT + SHADOW))), box)
        if canvas.mode is not None:
            draw_window(canvas, Window(box, _PAPER, _FILL, _title(progress.task)))
            canvas.draw_bar(Box(x + 15, y + 35, _WIDTH - 30, 22), _INK)
        return overlay

    def update(self, progress: Progress) -> None:
        """Show how much is done."""
        draw = self._draw_cells if self.canvas.mode is None else self._draw_pixels
        draw(progress)

    def close(self) -> None:
        """Show again what was behind it."""
        self.canvas.restore(self.behind)

    def _draw_pixels(self, progress: Progress) -> None:
        x, y, width, _ = self.box
        bar = Box(x + 16, y + 36, width - 32, 20)
        filled = _part(progress, bar.width)
        self.canvas.draw_bar(Box(bar.x, bar.y, filled, bar.height), _FILL)
        self.canvas.draw_bar(Box(bar.x + filled, bar.y, bar.width - filled, bar.height), _TROUGH)
        if progress.total:
            percent = _percent(progress)
            at = bar.x + (bar.width - len(percent) * CELL_WIDTH) // 2
            self.canvas.draw_text(at, bar.y + 2, percent, _TROUGH if at + len(percent) * CELL_WIDTH // 2 < bar.x + filled else _INK)
        self.canvas.draw_bar(Box(bar.x, y + 66, bar.width, CELL_HEIGHT), _PAPER)
        self.canvas.draw_text(bar.x, y + 66, _facts(progress, bar.width // CELL_WIDTH), _INK)

    def _draw_cells(self, progress: Progress) -> None:
        columns = _WIDTH // CELL_WIDTH
        inner = columns - 4
        title = f" {_title(progress.task)} "[: columns - 4]
        filled = _part(progress, inner)
        lines = (
            "╔" + title.center(columns - 2, "═") + "╗",
            "║ " + " " * inner + " ║",
            "║ " + "█" * filled + "░" * (inner - filled) + " ║",
            "║ " + " " * inner + " ║",
            "║ " + _facts(progress, inner).ljust(inner) + " ║",
            "╚" + "═" * (columns - 2) + "╝",
        )
        canvas = self.canvas
        attribute, cursor = canvas.attribute, canvas.cursor
        canvas.attribute = Attribute(_INK, _PAPER)
        for number, line in enumerate(lines, self.box.y // CELL_HEIGHT):
            canvas.move(number, self.box.x // CELL_WIDTH)
            canvas.write(line[: canvas.columns - canvas.cursor[1]])
        canvas.attribute = Attribute(_FILL, _PAPER)
        canvas.move(self.box.y // CELL_HEIGHT + 2, self.box.x // CELL_WIDTH + 2)
        canvas.write(lines[2][2:-2][: canvas.columns - canvas.cursor[1]])
        canvas.attribute, canvas.cursor = attribute, cursor


def _cells_of(box: Box) -> Area:
    """The cells that a box of pixels lies on, wholly or partly."""
    right, bottom = -(-(box.x + box.width) // CELL_WIDTH), -(-(box.y + box.height) // CELL_HEIGHT)
    return Area(box.y // CELL_HEIGHT, box.x // CELL_WIDTH, bottom, right)


def _title(task: str) -> str:
    """A task may have the name of a file in it, which may have anything in it."""
    task = "".join(character if character.isprintable() else "?" for character in task)
    return task[:1].upper() + task[1:]


def _part(progress: Progress, whole: int) -> int:
    return min(whole, whole * progress.done // progress.total) if progress.total else 0


def _percent(progress: Progress) -> str:
    return f"{_part(progress, 100)} %"


def _facts(progress: Progress, room: int) -> str:
    """What is done, how fast, and how long it still takes: as much of it as there is room for."""
    rate = progress.done / progress.elapsed_s if progress.elapsed_s > 0 else 0.0
    text = format_size(progress.done) + (f" of {format_size(progress.total)}" if progress.total else "")
    facts = [f"{format_size(int(rate))}/s"]
    if progress.total and rate > 0:
        left = int((progress.total - progress.done) / rate)
        facts.append(f"{left // 60}:{left % 60:02d} left")
    for fact in facts:
        if len(text) + 2 + len(fact) <= room:
            text += f"  {fact}"
    return text[:room]
