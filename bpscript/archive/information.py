"""What an archive is and where it comes from, without decoding its chunks: `bpscript image info`, `OpenArchive.info`."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from .container import Archive, ArchiveKind
from .full import Facts, FullImage, PartitionImage
from .packing import packing_of
from .plan import FILE
from .records import Json
from .table import SIGNED_TEXT

if TYPE_CHECKING:
    from .disk_facts import DiskPartition

_TOLD = {      # keys of META that have fields of their own here
    "filesystem", "family", "volume_size", "used", "label", "ident", "block_size", "created_ns", "writer", "entries", "files", "content_size",
    "base", "table", "sector_size", "partitions", "hidden_sectors", "heads", "sectors_per_track",
}


class SignatureInfo(NamedTuple):
    """Who signed: the public key in hexadecimal, and whether the signature was made with it."""

    key: str
    valid: bool


class ArchiveInfo(NamedTuple):
    """Sizes are bytes; None where the archive does not say, or where there is no such thing.

    `kind` is full, incremental, difference, disk or foreign; `size` the bytes of the partition, disk or tar stream; `stored` the
    bytes of the archive in all its `fragments`; `used` the bytes in use on the partition, or in the files of an incremental archive.
    """

    kind: str
    format: str
    filesystem: str | None = None
    family: str | None = None
    label: str | None = None
    id: str | None = None
    size: int | None = None
    volume_size: int | None = None
    used: int | None = None
    block_size: int | None = None
    stored: int | None = None
    ratio: float | None = None          # stored / used
    scheme: str | None = None           # of a disk's partition table: MBR or GPT
    sector_size: int | None = None
    partitions: Sequence[Mapping[str, Json]] | None = None      # of a disk: number, start, size, type, filesystem, label, id, used
    chunks: int | None = None
    chunk_size: int | None = None
    fragments: int = 1
    created_ns: int | None = None
    writer: str | None = None
    entries: int | None = None
    files: int | None = None
    removes: int | None = None          # paths that a difference archive removes
    base: Mapping[str, Json] | None = None
    root: str | None = None             # root hash, hexadecimal
    signature: SignatureInfo | None = None
    provenance: Mapping[str, Json] = MappingProxyType({})    # what else the header says

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        signature = None if self.signature is None else self.signature._asdict()
        return {**self._asdict(), "signature": signature, "provenance": dict(self.provenance)}


def format_of(start: bytes) -> str:
    """What an image of another program is, by its first bytes (32 are enough)."""
    for magic, name in ((b"partclone-image", "partclone image"), (b"QFI\xfb", "qcow2 image")):
        if start.startswith(magic):
            return name
    packing = packing_of(start)
    return "raw image" if packing is None else f"image packed by {packing}"


def info_of_image(image: PartitionImage, start: bytes, stored: int | None, fragments: int) -> ArchiveInfo:
    """Of an image of a partition that is no archive of ours, and begins with `start`."""
    facts = image.facts
    return ArchiveInfo(
        kind="foreign", format=format_of(start), **_of_facts(facts), used=facts.used, stored=stored, ratio=_ratio(stored, facts.used), fragments=fragments,
    )


def info_of_archive(archive: Archive, stored: int | None, fragments: int) -> ArchiveInfo:
    """Of an archive of ours; a stream must have been read to its end. Raises FormatError."""
    header, table = archive.header, archive.table
    meta = header.meta
    known: dict[str, Any] = {}
    if header.kind is ArchiveKind.FULL:
        facts = FullImage(archive).facts
        known = {"kind": "full", **_of_facts(facts), "created_ns": facts.created_ns or None, "writer": facts.writer or None}
        used = facts.used
    elif header.kind is ArchiveKind.DISK:
        from .disk_image import DiskImage  # noqa: PLC0415 - each archive needs one of them

        disk = DiskImage.of(archive).facts
        known = {
            "kind": "disk", "id": disk.ident or None, "size": disk.size, "sector_size": disk.sector_size, "scheme": disk.scheme,
            "created_ns": disk.created_ns or None, "writer": disk.writer or None, "partitions": [_of_partition(each) for each in disk.partitions],
        }
        used = disk.used
    else:
        from .incremental import read_names, read_removals  # noqa: PLC0415 - as above

        plan = read_names(archive)
        removed = read_removals(archive)
        used = sum(entry.size for entry in plan)
        known = {
            "kind": "incremental" if removed is None else "difference", "entries": len(plan), "files": sum(entry.code == FILE for entry in plan),
            "removes": None if removed is None else len(removed), "base": meta.get("base") if isinstance(meta.get("base"), dict) else None,
            "filesystem": _text(meta, "filesystem"), "family": _text(meta, "family"), "label": _text(meta, "label"), "id": _text(meta, "ident"),
            "created_ns": created if isinstance(created := meta.get("created_ns"), int) else None, "writer": _text(meta, "writer"),
            "size": archive.size,
        }
    return ArchiveInfo(
        format="bpscript 1", used=used, stored=stored, ratio=_ratio(stored, used), chunks=len(archive), chunk_size=archive.chunk_size,
        fragments=fragments, root=None if table is None else table.root.hex(), signature=signature_of(archive),
        provenance={key: value for key, value in meta.items() if key not in _TOLD and value}, **known,
    )


def _of_partition(partition: "DiskPartition") -> dict[str, Json]:
    facts = partition.facts
    return {
        "number": partition.number, "start": partition.start, "size": partition.size, "type": partition.type,
        "filesystem": None if facts is None else facts.filesystem, "label": None if facts is None else facts.label or None,
        "id": None if facts is None else facts.ident or None, "used": None if facts is None else facts.used,
    }


def signature_of(archive: Archive) -> SignatureInfo | None:
    """By which key the archive is signed, and whether the signature is that key's; None when it is not signed."""
    signature, table = archive.signature, archive.table
    if signature is None or table is None:
        return None
    from ..crypto.signatures import is_valid  # noqa: PLC0415 - slow to load

    return SignatureInfo(signature.public_key.hex(), is_valid(signature.public_key, SIGNED_TEXT + table.root, signature.signature))


def _of_facts(facts: Facts) -> dict[str, Any]:
    return {
        "filesystem": facts.filesystem, "family": str(facts.family), "label": facts.label or None, "id": facts.ident or None, "size": facts.size,
        "volume_size": facts.volume_size, "block_size": facts.block_size or None,
    }


def _ratio(stored: int | None, used: int | None) -> float | None:
    return round(stored / used, 4) if stored is not None and used else None


def _text(meta: Mapping[str, Json], key: str) -> str | None:
    value = meta.get(key)
    return value if isinstance(value, str) and value else None
