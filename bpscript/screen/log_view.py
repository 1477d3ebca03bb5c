"""The log as a screen shows it: the last lines, laid out only while somebody looks."""

from collections import deque

from .canvas import Canvas
from .screen import Mode

_MOST_PIECES = 1_000    # of log text that are kept; a script writes one or two for each line
_MOST_CHARACTERS = 1 << 16      # of a piece: LogFile writes whole files


class LogView:
    """The end of the log, and a canvas for it."""

    def __init__(self, text_size: tuple[int, int], mode: Mode | None) -> None:
        self._text_size = text_size
        self._mode = mode
        self._pieces: deque[str] = deque(maxlen=_MOST_PIECES)
        self._canvas: Canvas | None = None

    @property
    def canvas(self) -> Canvas:
        """What is to be seen."""
        if self._canvas is None:
            self._canvas = Canvas(*self._text_size, mode=self._mode)
            for text in self._pieces:
                self._canvas.write(text)
        return self._canvas

    def write(self, text: str) -> None:
        """Add text; a line feed alone ends a line, too."""
        text = text[-_MOST_CHARACTERS:].replace("\r\n", "\n").replace("\n", "\r\n")
        self._pieces.append(text)
        if self._canvas is not None:
            self._canvas.write(text)

    def close(self) -> None:
        """Nobody looks any more."""
        self._canvas = None

    def set_mode(self, mode: Mode | None) -> None:
        """Be as large as the script's own canvas."""
        if mode != self._mode:
            self._mode = mode
            self._canvas = None
