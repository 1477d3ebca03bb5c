"""Temporary folders that are gone at the end, also when Ctrl-C comes in the moment they are made."""

import signal
from pathlib import Path
from tempfile import TemporaryDirectory


def temporary_folder(parent: Path | str | None = None) -> "TemporaryDirectory[str]":
    """A new folder `bpscript-...` in `parent`, or where the host keeps such things; removed by `cleanup`, a `with`, or at exit.

    Signals wait until the object exists: from then on the interpreter removes the folder whatever happens.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        return TemporaryDirectory(prefix="bpscript-", dir=parent or None)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
