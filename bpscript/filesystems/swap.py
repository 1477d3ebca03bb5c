"""Linux swap spaces: format, read the header. There are no files in them.

Source: linux `include/linux/swap.h`, `union swap_header`; mkswap(8). All fields are in the byte order of the machine that uses
the space; little-endian here.
"""

import struct
from typing import TYPE_CHECKING, NamedTuple

from ..base.errors import FormatError, StorageError
from ..blocks.device import BlockDevice
from .head import forget, reveal
from .signatures import SWAP_PAGE_SIZES, wipe_signatures

if TYPE_CHECKING:
    from uuid import UUID

_MAGIC = b"SWAPSPACE2"          # the last 10 bytes of the first page
_HEADER_OFFSET = 1024           # the first KiB is left to boot loaders and disk labels
_HEADER = struct.Struct(
    "<"
    "I"       # +0   version, 1
    "I"       # +4   last_page: number of the last page
    "I"       # +8   nr_badpages: entries of the list behind the padding; 0 here
    "16s"     # +12  sws_uuid
    "16s"     # +28  sws_volume, padded with zeros
)
_VERSION = 1
MAX_LABEL = 16                  # bytes
MIN_PAGES = 10                  # mkswap(8): MIN_GOODPAGES; the kernel takes no smaller space
_MAX_PAGES = 0xFFFF_FFFF


class SwapSpace(NamedTuple):
    """What the header of a swap space says."""

    page_size: int              # bytes
    page_count: int             # including the page of the header
    label: str
    uuid: "UUID | None"
    bad_page_count: int = 0

    @property
    def size(self) -> int:
        """Bytes the space claims."""
        return self.page_count * self.page_size

    @classmethod
    def parse(cls, device: BlockDevice) -> "SwapSpace | None":
        """The header of the swap space on a device; None when there is none.

        Raises FormatError when the signature is there and the header behind it is not.
        """
        for page_size in SWAP_PAGE_SIZES:
            if device.size >= page_size and device.read(page_size - len(_MAGIC), len(_MAGIC)) == _MAGIC:
                return cls._from_page(device, page_size)
        return None

    @classmethod
    def _from_page(cls, device: BlockDevice, page_size: int) -> "SwapSpace":
        version, last_page, bad, uuid, label = _HEADER.unpack(device.read(_HEADER_OFFSET, _HEADER.size))
        if version != _VERSION:
            raise FormatError(f"swap header: version is {version}, expected {_VERSION}")
        if last_page == 0 or bad > last_page:
            raise FormatError(f"swap header: {bad} bad pages of {last_page} make no sense")
        from uuid import UUID  # noqa: PLC0415 - slow to load, and every device is asked whether it is swap

        text = label.partition(b"\0")[0].decode("utf-8", "replace")
        return cls(page_size, last_page + 1, text, UUID(bytes=uuid) if any(uuid) else None, bad)


def detect_swap(device: BlockDevice) -> str | None:
    """ "SWAP" when there is a swap space with a header that makes sense."""
    try:
        return None if SwapSpace.parse(device) is None else "SWAP"
    except FormatError:
        return None


def format_swap(device: BlockDevice, label: str = "", uuid: "UUID | None" = None, page_size: int = 4096) -> SwapSpace:
    """Make the whole device a swap space, as `mkswap` does; former file systems are wiped.

    The sector with the magic is written last. Raises StorageError for a device below ten pages or a label over 16 bytes.
    """
    if page_size not in SWAP_PAGE_SIZES:
        raise StorageError(f"swap: a page has {page_size} bytes; expected one of {', '.join(map(str, SWAP_PAGE_SIZES))}")
    name = label.encode()
    if len(name) > MAX_LABEL:
        raise StorageError(f'swap: label "{label}" has {len(name)} bytes; at most {MAX_LABEL} fit')
    page_count = min(device.size // page_size, _MAX_PAGES)
    if page_count < MIN_PAGES:
        raise StorageError(f"swap: {device.size} bytes are too small; at least {MIN_PAGES * page_size} are needed")
    forget(device, page_size)
    wipe_signatures(device)
    page = bytearray(page_size)     # mkswap zeroes the boot block too, and so do we
    _HEADER.pack_into(page, _HEADER_OFFSET, _VERSION, page_count - 1, 0, uuid.bytes if uuid else bytes(16), name)
    page[-len(_MAGIC) :] = _MAGIC
    reveal(device, page)
    return SwapSpace(page_size, page_count, label, uuid)
