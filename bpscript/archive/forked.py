"""Copies of this process that work beside it: where threads would wait for each other, because everything they do is Python.

Only while this process has one thread: a copy has no others, and their locks stay locked in it. What the copy uses must be good in it:
files that are read and written at given places.
"""

import gc
import os
import signal
from collections.abc import Callable, Iterable


def forked(work: Callable[[], None], foreign: Iterable[int]) -> int:
    """A copy that does `work` and ends, with status 0 or, where something was raised, 1; its process number.

    `foreign` are descriptors that are not for it: pipes end when nobody has their other end. It takes no notice of Ctrl-C, which
    is for the one who made it. Raises OSError where no process may be made.
    """
    # The moment before the copy knows that must not come in between.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        process = os.fork()
        if process:
            return process
        status = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            for descriptor in foreign:
                os.close(descriptor)
            gc.disable()
            work()
            status = 0
        finally:
            os._exit(status)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
