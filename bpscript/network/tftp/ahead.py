"""DATA packets made ahead, for clients that take block by block: those of a file that a whole room fetches are made once.

Making the packets of a run together is cheaper than making each when its time comes, and the clients of a room are near each other: the
second one finds the run there. Every transfer holds the run that it is in, so runs are shorter where there are many transfers.
"""

from collections import OrderedDict

from .content import BURST, Content
from .packets import HEAD, Opcode

BLOCKS = 64         # in a run, at most
MEMORY = 16 << 20   # bytes of the runs that all transfers together hold
RUNS = 16           # kept, of about BURST bytes each, so that they stay in the processor's cache; the one not asked for the longest makes room


class Run:
    """Packets of the blocks from `first` on."""

    __slots__ = ("first", "packets")

    def __init__(self, first: int, packets: list[bytes]) -> None:
        self.first = first
        self.packets = packets


NOTHING = Run(0, [])


class Ahead:
    """The runs of a server."""

    def __init__(self) -> None:
        self._runs: OrderedDict[tuple[object, int, int, int], Run] = OrderedDict()

    def run(self, content: Content, block: int, block_size: int, last_block: int, *, transfers: int = 1) -> Run:
        """The run with this block, when so many transfers may hold one. Raises StorageError."""
        count = max(1, min(BLOCKS, min(BURST, MEMORY // transfers) // block_size))
        count = 1 << count.bit_length() - 1         # a power of two: it shall not change with every transfer that comes
        first = (block - 1) // count * count + 1
        key = content.identity, block_size, count, first
        found = self._runs.get(key)
        if found is None:
            count = min(count, last_block + 1 - first)
            data = content.read(first, count, block_size)
            starts = range(0, count * block_size, block_size)
            found = self._runs[key] = Run(
                first, [HEAD.pack(Opcode.DATA, first + number & 0xFFFF) + data[at : at + block_size] for number, at in enumerate(starts)]
            )
            if len(self._runs) > RUNS:
                self._runs.popitem(last=False)
        else:
            self._runs.move_to_end(key)
        return found
