"""An archive again, frame by frame and undecoded: in fragments of another size."""

from ..base.events import Sink, ignore, progress
from .container import Archive, FrameSink


def copy_frames(archive: Archive, sink: FrameSink, *, events: Sink = ignore) -> None:
    """Write the same archive to a sink. Each chunk is checked on the way, so that no damage is handed on. Raises FormatError."""
    with progress(events, "copy archive", archive.stored_size) as state:
        for frame in archive.stored_frames():
            sink.write(frame)
            state.advance(len(frame))
