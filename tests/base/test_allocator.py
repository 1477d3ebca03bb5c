"""Blocks of a MiB that are given up and wanted again: who keeps them does not have their pages cleared each time."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, threading
from bpscript.base.allocator import give_back_large_blocks, keep_large_blocks
{call}()
def work():
    for _ in range(50):
        blocks = [bytes([1]) * (size << 10) for size in (1000, 400, 1000, 300)]
        del blocks
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(call: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS.format(call=call)], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the limits are glibc's")
def test_blocks_that_are_kept_are_not_fetched_again() -> None:
    assert faults("keep_large_blocks") * 10 < faults("(lambda: None)")
