"""What a TFTP server takes upon itself, whatever its clients send."""

from dataclasses import dataclass

from .options import FLIGHT, MAX_BLOCK_SIZE


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one server.

    A request above `transfers_per_client` is not answered (clients ask again); above `transfers` it takes the place of the oldest
    transfer whose client never acknowledged anything, and is not answered when there is none. A transfer needs about 2 KB, and what is read ahead 16 MB in all.
    """

    transfers: int = 4000
    transfers_per_client: int = 128
    block_size: int = MAX_BLOCK_SIZE    # bytes; a larger one that is asked for is answered with this
    window: int = 256                   # blocks, and `FLIGHT` bytes
    repetitions: int = 10               # of the same packets, before a client is given up
    first_repetitions: int = 5          # of the first packets, to a client that may not exist
    upload_size: int | None = None      # bytes of a file that is written


assert FLIGHT >= MAX_BLOCK_SIZE
