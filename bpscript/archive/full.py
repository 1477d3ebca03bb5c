"""The image of a partition: its facts, and which bytes are used. FORMAT.md, chapter "Full archives"."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, Self

from ..base.errors import FormatError
from ..filesystems.filesystem import Family
from .container import Archive, ChunkRecord
from .positional import JoinedReader, Positional
from .ranges import Ranges
from .records import BOOT, USED, ArchiveKind, Json

_MAX_TEXT = 256         # characters of a label and the like
RAW = "RAW"             # no file system we know: everything is used
BOOT_SIZE = 8192        # bytes of the section BOOT: all boot sectors of a FAT32 volume, with 512-byte sectors


class Facts(NamedTuple):
    """What the header says of the partition it came from."""

    filesystem: str = RAW       # as `filesystems.detect` names it, or RAW
    family: Family = Family.OTHER
    size: int = 0               # bytes of the partition
    volume_size: int = 0        # bytes the file system claims; at most `size`
    used: int = 0               # bytes in use
    label: str = ""
    ident: str = ""             # UUID or serial number
    block_size: int = 0         # bytes of a cluster or block; 0 when unknown
    hidden_sectors: int = 0
    heads: int = 0
    sectors_per_track: int = 0
    created_ns: int = 0         # when it was captured
    writer: str = ""            # which program wrote it, and its version
    source: str = ""            # what it was made of: the name of the image and partition, or of the folder
    host: str = ""              # where; not known when the clock was an input
    options: str = ""           # how
    whole_disk: bool = False    # the file system stood on a disk without a partition table

    def to_meta(self) -> dict[str, Json]:
        """As META has it."""
        return {
            "filesystem": self.filesystem, "family": str(self.family), "volume_size": self.volume_size, "used": self.used,
            "label": self.label, "ident": self.ident, "block_size": self.block_size, "hidden_sectors": self.hidden_sectors,
            "heads": self.heads, "sectors_per_track": self.sectors_per_track, "created_ns": self.created_ns, "writer": self.writer,
            **{key: text for key in ("source", "host", "options") if (text := getattr(self, key))},
            **({"whole_disk": True} if self.whole_disk else {}),
        }

    @classmethod
    def from_meta(cls, meta: Mapping[str, Json], size: int) -> "Facts":
        """From META; every value checked. Raises FormatError."""
        family = meta_text(meta, "family")
        volume_size = meta_number(meta, "volume_size")
        if family not in set(Family) or volume_size > size:
            raise FormatError(f"archive header: family {family!r} or volume size {volume_size} of {size} makes no sense")
        return cls(
            meta_text(meta, "filesystem"), Family(family), size, volume_size, meta_number(meta, "used"), meta_text(meta, "label"),
            meta_text(meta, "ident"), meta_number(meta, "block_size"), meta_number(meta, "hidden_sectors"), meta_number(meta, "heads"),
            meta_number(meta, "sectors_per_track"), meta_number(meta, "created_ns"), meta_text(meta, "writer"),
            meta_text(meta, "source"), meta_text(meta, "host"), meta_text(meta, "options"),
            meta.get("whole_disk") is True,
        )


class AnyChunk(Protocol):
    """A chunk in the hands of a worker."""

    @property
    def record(self) -> ChunkRecord:
        """Place and kind."""
        ...

    def data(self) -> memoryview:
        """The bytes of a DATA chunk, checked; valid until the worker's next chunk."""
        ...

    def check_zeros(self) -> None:
        """Raise FormatError when a ZERO or UNUSED chunk is damaged."""
        ...


class Chunks(Protocol):
    """What restoring and comparing need of an image: an `Archive`, or an image of another kind (`foreign.py`)."""

    @property
    def size(self) -> int | None:
        """Bytes of the contents; None when not known yet."""
        ...

    @property
    def chunk_size(self) -> int:
        """No DATA chunk is longer (bytes)."""
        ...

    @property
    def is_stream(self) -> bool:
        """True when it can be read only once, in order."""
        ...

    def __len__(self) -> int:
        """Number of chunks; 0 for a stream that has not ended."""
        ...

    def record(self, index: int) -> ChunkRecord:
        """What is known of a chunk without its data."""
        ...

    def find(self, offset: int) -> int:
        """The index of the chunk that holds a byte of the contents."""
        ...

    def data(self, index: int) -> bytes:
        """The contents of one chunk."""
        ...

    def data_into(self, index: int, room: memoryview) -> None:
        """Put the contents of a DATA chunk into `room`, as long as the chunk."""
        ...

    def agrees(self, record: ChunkRecord, data: memoryview) -> bool:
        """True when `data` is what the DATA chunk holds."""
        ...

    def each(
        self, work: Callable[[AnyChunk], None], *, threads: int | None = None, tick: Callable[[], None] = lambda: None
    ) -> None:
        """Call `work` for every chunk, in several threads, in any order."""
        ...

    def close(self) -> None:
        """Close what it is read from."""
        ...


class PartitionImage:
    """The image of a partition: `chunks` with the bytes, `facts`, `used` and `boot` for what they mean."""

    def __init__(
        self, chunks: Chunks, facts: Facts, used: Ranges | Callable[[], Ranges], boot: bytes, unpack: Callable[[], "PartitionImage"] | None = None
    ) -> None:
        self.chunks = chunks
        self.facts = facts
        self._used = used
        self.boot = boot
        # Of a stream that was not read yet, where it is possible: the same image in a temporary file, to be closed for itself.
        self.unpack = unpack

    @property
    def used(self) -> Ranges:
        """The bytes in use. Of an archive they are unpacked when they are first asked for: who wants a file does not need them. Raises FormatError."""
        if not isinstance(self._used, Ranges):
            self._used = self._used()
        return self._used

    @property
    def size(self) -> int:
        """Bytes of the partition it was made of."""
        return self.facts.size

    def close(self) -> None:
        """Close what the image is read from."""
        self.chunks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class FullImage(PartitionImage):
    """A full archive of ours. Raises FormatError for an incremental one."""

    def __init__(self, archive: Archive) -> None:
        header = archive.header
        if header.kind is ArchiveKind.DISK:
            raise FormatError(
                "this is the archive of a whole disk, not of a partition",
                hint='"bpscript image restore" puts it on a disk; ARCHIVE:2 names the second partition in it',
            )
        if header.kind is not ArchiveKind.FULL:
            raise FormatError("this is an incremental archive, not the full archive of a partition", hint="IncrUnzip unpacks it")
        if header.size is None:
            raise FormatError("archive header: a full archive must say how many bytes the partition has")
        size, packed = header.size, header.sections.get(USED)
        super().__init__(
            archive, Facts.from_meta(header.meta, size), lambda: Ranges([(0, size)]) if packed is None else Ranges.unpack(packed, size),
            header.sections.get(BOOT, b""),
        )
        self.archive = archive

    @classmethod
    def open(cls, source: Positional | JoinedReader) -> Self:
        """From what `positional.open_from_...` gave. Raises FormatError. For images of other programs too: `foreign.open_image`."""
        return cls(Archive.open_stream(source) if isinstance(source, JoinedReader) else Archive.open(source))


def meta_text(meta: Mapping[str, Json], key: str) -> str:
    """A text of META, "" when it is not there. Raises FormatError."""
    value = meta.get(key, "")
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise FormatError(f"archive header: {key} is not a text")
    return value


def meta_number(meta: Mapping[str, Json], key: str) -> int:
    """A number of META, 0 when it is not there. Raises FormatError."""
    value = meta.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise FormatError(f"archive header: {key} is not a number that makes sense")
    return value
