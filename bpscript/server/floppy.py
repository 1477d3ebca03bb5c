"""A floppy image that FileZip packed, unpacked for the machine that boots it the next time: memdisk, which gets it, cannot.

The machine has unpacked it once already, to know that it can be; the name came in its report and is not trusted.
"""

from contextlib import closing

from ..archive.filezip import unpack_file
from ..base.errors import FormatError
from ..base.sources import FileSource
from ..base.units import KIB

_LARGEST = 2880 * KIB       # of all floppy disks


def unpacked_floppy(root: FileSource, name: str) -> bytes:
    """The image. Raises NotFoundError, StorageError, FormatError, the latter also for what is larger than any floppy disk."""
    image = bytearray()
    with closing(root.open(name)) as reader:
        for chunk in unpack_file(reader, f'"{name}"'):
            image += chunk
            if len(image) > _LARGEST:
                raise FormatError(f'"{name}" is larger than a floppy disk')
    return bytes(image)
