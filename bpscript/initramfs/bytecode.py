"""Sources compiled in a process of its own: `python -m bpscript.initramfs.bytecode` reads orders from standard input.

What marshal writes depends on what else the process holds (an object that is used twice is written as a reference), and the order
of sets on the seed of its hashes: a new process with a fixed seed makes the same bytes each time. File names inside say
where a file lies in the boot environment, not where it was compiled.
"""

import json
import marshal
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import MAGIC_NUMBER

from ..base.errors import FormatError, StorageError

_HEADER = MAGIC_NUMBER + bytes(12)      # PEP 552: no flags, no time, no size, which nobody compares where there is no source
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Order:
    """A source file; `shown` is its name in tracebacks. `bare` leaves docstrings out."""

    path: str
    shown: str
    bare: bool


def compile_all(orders: Sequence[Order]) -> list[bytes]:
    """The contents of .pyc files. Raises FormatError for a source that cannot be compiled, StorageError."""
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", __name__], input=json.dumps([asdict(each) for each in orders]).encode(), capture_output=True, env=environment, check=False
    )
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise FormatError(f"Python cannot compile its own files: {words[-1] if words else f'exit status {done.returncode}'}")
    found, position = [], 0
    while position < len(done.stdout):
        (length,) = _LENGTH.unpack_from(done.stdout, position)
        position += _LENGTH.size
        found.append(done.stdout[position : position + length])
        position += length
    if len(found) != len(orders):
        raise StorageError(f"Python has compiled {len(found)} of {len(orders)} files")
    return found


def _work() -> None:
    output = sys.stdout.buffer
    for order in json.load(sys.stdin):
        with open(order["path"], "rb") as file:
            code = compile(file.read(), order["shown"], "exec", dont_inherit=True, optimize=2 if order["bare"] else 0)
        data = _HEADER + marshal.dumps(code)
        output.write(_LENGTH.pack(len(data)) + data)


if __name__ == "__main__":
    _work()
