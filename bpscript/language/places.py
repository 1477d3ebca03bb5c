"""From a place in an expanded line back to the column where it was written, and errors that know their place."""

from bisect import bisect_right
from operator import itemgetter
from typing import NamedTuple

from ..base.errors import BpscriptError


class Segment(NamedTuple):
    """A stretch of expanded text: typed characters, which advance with the source, or a value, which stands at its macro."""

    offset: int         # in the expanded text
    column: int         # in the line as written, from 1
    width: int          # characters of the macro; 0 for typed text


_OFFSET = itemgetter(0)     # of a segment

class Expanded(NamedTuple):
    """A line with its macros replaced, ready for the parser.

    A backslash in `text` is always followed by one character that has no meaning of its own. `unclosed` is the offset of a quote
    that is never closed, `unclosed_operator` that of an unfinished `/x=y/`, of which `operator_part` is missing.
    """

    text: str
    segments: tuple[Segment, ...]
    unclosed: int | None = None
    unclosed_operator: int | None = None
    operator_part: str = ""

    def segment(self, offset: int) -> Segment:
        """The segment an offset lies in; an empty value at the very end counts."""
        segments = self.segments
        if len(segments) == 1:
            return segments[0]
        return segments[max(bisect_right(segments, offset, key=_OFFSET) - 1, 0)]

    def column(self, offset: int) -> int:
        """Where an offset was written, from 1."""
        segment = self.segment(offset)
        return segment.column if segment.width else segment.column + offset - segment.offset

    def width(self, start: int, end: int) -> int:
        """How many characters a caret under `start` to `end` underlines."""
        if end <= start:
            return self.segment(start).width or 1
        last = self.segment(end - 1)
        stop = last.column + (last.width or end - last.offset)
        return max(1, stop - self.column(start))


class Place(NamedTuple):
    """A stretch of an expanded line."""

    line: Expanded
    start: int
    end: int

    @property
    def column(self) -> int:
        """In the line as written, from 1."""
        return self.line.column(self.start)

    @property
    def width(self) -> int:
        """Characters to underline."""
        return self.line.width(self.start, self.end)


class PlacedError(BpscriptError):
    """An error at a known place of a line; the interpreter adds file and line."""

    def __init__(self, message: str, column: int, width: int = 1, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.column = column
        self.width = width

    @classmethod
    def at(cls, place: Place, message: str, *, hint: str | None = None) -> "PlacedError":
        """An error at a place of an expanded line."""
        return cls(message, place.column, place.width, hint=hint)
