"""The datagrams of a carousel, and which session a file has. CAROUSEL.md is the description for others.

    +0   4   "bpC1"
    +4   8   session: which file, in which state
    +12  8   offset in the file, a multiple of the block size; big-endian
    +20      the bytes from there: a whole block, or what is left of the file
"""

import struct
from hashlib import blake2b

MAGIC = b"bpC1"
HEAD = struct.Struct(">4s8sQ")
BLOCK = 1408                # bytes; with all headers 1456 bytes of IP, which leaves room for VLANs and tunnels in an MTU of 1500
DIGEST_STEP = 1 << 20       # bytes of the file for each BLAKE3 digest
DIGEST = 32                 # bytes
AROUND = 20 + 8 + 38        # bytes of IP, UDP and Ethernet (with preamble and gap) around a datagram
MAX_BLOCKS = 1 << 29        # of a file: 756 GB; the map of what has come takes 64 MiB then

Buffer = bytes | bytearray | memoryview


def session_of(path: str, size: int, etag: str, block: int = BLOCK) -> bytes:
    """The session of a file: a server that was started again, and still has the same file, goes on with the same one."""
    told = "\0".join((path, str(size), etag, str(block))).encode("utf-8", "surrogateescape")
    return blake2b(told, digest_size=8, person=b"bpscript carousl").digest()


def block_count(size: int, block: int) -> int:
    """How many datagrams a turn has."""
    return -(-size // block)
