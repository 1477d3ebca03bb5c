"""What an archive holds, as lines of text (`FullDump`, `IncrDump`; `$DumpFormat`, language.md 6).

    h  H    header: what it is             with hashes, chunks and where it comes from
    b  B    boot sectors: the fields       every byte
    s  S    allocation: totals             every range in use, or every chunk
    d  D    directory: paths               with kind, size, time, owner, mode or attributes
    f  F    files: size and BLAKE3         every byte
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime, timedelta

from blake3 import blake3

from ..base.clock import Clock
from ..base.errors import StorageError
from ..base.units import format_size
from ..filesystems.detect import open_volume
from ..filesystems.filesystem import Facts, Family, FileKind, Filesystem
from ..filesystems.sparse import read_in_steps
from .container import Archive, ArchiveKind, ChunkKind
from .filters import Filters
from .full import Facts as ImageFacts
from .full import FullImage
from .image_device import ArchiveDevice
from .incremental import checked_entries, read_names, read_removals
from .trees import listing

LETTERS = "hHbBsSdDfF"
_ROW = 16           # bytes in a line of hex
_KINDS = {
    FileKind.FILE: "-", FileKind.DIRECTORY: "d", FileKind.SYMLINK: "l", FileKind.CHARACTER_DEVICE: "c", FileKind.BLOCK_DEVICE: "b",
    FileKind.FIFO: "p", FileKind.SOCKET: "s",
}
_ATTRIBUTES = ((1, "R"), (2, "H"), (4, "S"), (0x20, "A"))


def check_letters(text: str) -> str:
    """The letters of `$DumpFormat`, each once and in the order of the dump. Raises StorageError for any other."""
    for letter in text:
        if letter not in LETTERS and not letter.isspace():
            raise StorageError(f'DumpFormat: "{letter}" is unknown', hint=f"expected letters of {LETTERS}")
    # The long form says what the short one does.
    return "".join(letter for letter in LETTERS if letter in text and not (letter.islower() and letter.upper() in text))


def dump(archive: Archive, letters: str, filters: Filters | None = None, *, clock: Clock | None = None, code_page: str = "cp850") -> Iterator[str]:
    """The lines of a dump; `filters` leave out files. Raises StorageError for unknown letters, before the first line."""
    wanted = check_letters(letters)
    lines = _full if archive.header.kind is ArchiveKind.FULL else _incremental
    return lines(archive, wanted, filters or Filters(), clock or Clock(), code_page)


def _full(archive: Archive, letters: str, filters: Filters, clock: Clock, code_page: str) -> Iterator[str]:
    image = FullImage(archive)
    facts = image.facts
    if "h" in letters or "H" in letters:
        yield f"Full archive of {facts.filesystem}{_quoted(facts.label)}, {facts.size} bytes ({format_size(facts.size)})"
        yield f"  used      {facts.used} bytes ({format_size(facts.used)})"
        if facts.ident:
            yield f"  id        {facts.ident}"
        yield f"  captured  {_time(facts.created_ns)}"
        if "H" in letters:
            yield from _image_details(facts)
            yield from _chunk_details(archive)
    if "b" in letters:
        yield from _boot_fields(image)
    if "B" in letters:
        yield "Boot sectors"
        yield from hex_lines(image.boot)
    if "s" in letters or "S" in letters:
        share = 100 * facts.used / facts.size if facts.size else 0.0
        yield f"Allocation: {image.used.total} bytes in {len(image.used)} ranges, {share:.1f} % of the partition"
        if "S" in letters:
            for start, end in image.used:
                yield f"  {start:15d} - {end:15d}  {end - start:15d} bytes"
    if not set("dDfF") & set(letters):
        return
    if facts.family not in {Family.FAT, Family.LINUX}:
        yield f"Files of {facts.filesystem} cannot be listed"
        return
    with closing(open_volume(ArchiveDevice(archive), clock=clock, code_page=code_page, writable=False)) as volume:
        found = list(listing(volume, "", filters))
        yield from _directory(((path, entry, link) for path, entry, link in found), letters)
        if set("fF") & set(letters):
            yield "Files"
            for path, entry, link in found:
                if entry.kind is FileKind.FILE and link is None:
                    yield from _file(path, entry.size, _contents(volume, path), whole="F" in letters)


def _incremental(archive: Archive, letters: str, filters: Filters, _clock: Clock, _code_page: str) -> Iterator[str]:
    plan = read_names(archive)
    removed = read_removals(archive)
    meta = archive.header.meta
    if "h" in letters or "H" in letters:
        kind = "Incremental" if removed is None else "Difference"
        contents = sum(entry.size for entry in plan)
        yield f"{kind} archive of {len(plan)} entries, {contents} bytes ({format_size(contents)}) of contents"
        if isinstance(meta.get("filesystem"), str):
            yield f"  from      {meta['filesystem']}{_quoted(str(meta.get('label', '')))}, path \"{meta.get('path', '')}\""
        if removed is not None:
            yield f"  removes   {len(removed)} paths"
        if "H" in letters:
            yield from _chunk_details(archive)
    if "b" in letters or "B" in letters:
        yield "Boot sectors: an incremental archive has none"
    if "s" in letters or "S" in letters:
        yield f"Allocation: {archive.size} bytes of tar in {len(archive)} chunks, stored as {archive.stored_size}"
        if "S" in letters:
            for index in range(len(archive)):
                record = archive.record(index)
                yield f"  {record.offset:15d}  {record.length:9d} bytes, stored as {record.stored:9d}  {record.digest.hex()}"
    selector = filters.selector(ignore_case=str(meta.get("filesystem", "")).startswith("FAT"))
    kept = {entry.path for entry in plan if not selector.leaves_out(entry.path)}
    if set("dD") & set(letters):
        found = ((entry.path, entry.facts, entry.link) for entry in checked_entries(archive, plan) if entry.path in kept)
        yield from _directory(found, letters)
        for path in removed or ():
            yield f"  removed   {path}"
    if set("fF") & set(letters):
        yield "Files"
        for entry in checked_entries(archive, plan):
            if entry.path in kept and entry.facts.kind is FileKind.FILE and entry.link is None:
                yield from _file(entry.path, entry.facts.size, map(bytes, entry.chunks), whole="F" in letters)


def _image_details(facts: ImageFacts) -> Iterator[str]:
    yield f"  family    {facts.family}"
    yield f"  volume    {facts.volume_size} bytes, blocks of {facts.block_size}"
    if facts.heads:
        yield f"  geometry  {facts.hidden_sectors} hidden sectors, {facts.heads} heads, {facts.sectors_per_track} sectors per track"
    yield f"  writer    {facts.writer}"


def _chunk_details(archive: Archive) -> Iterator[str]:
    kinds = dict.fromkeys(ChunkKind, 0)
    for index in range(len(archive)):
        kinds[archive.record(index).kind] += 1
    parts = ", ".join(f"{count} {kind.name.lower()}" for kind, count in kinds.items())
    yield f"  chunks    {len(archive)} of at most {archive.chunk_size} bytes: {parts}"
    yield f"  stored    {archive.stored_size} bytes"
    if archive.table is not None:
        yield f"  root      {archive.table.root.hex()}"
    yield f"  signed    {'by ' + archive.signature.public_key.hex() if archive.signature else 'no'}"


def _boot_fields(image: FullImage) -> Iterator[str]:
    boot = image.boot
    kind = image.facts.filesystem
    mark = "55 AA" if boot[510:512] == b"\x55\xaa" else "no signature"
    if kind.startswith("FAT") or kind == "NTFS":
        name = boot[3:11].decode("ascii", "replace").rstrip()
        sector, cluster = int.from_bytes(boot[11:13], "little"), boot[13]
        track, heads, hidden = (int.from_bytes(boot[at : at + size], "little") for at, size in ((24, 2), (26, 2), (28, 4)))
        yield (
            f'Boot sector: "{name}", {sector} bytes per sector, {cluster} sectors per cluster, {heads} heads,'
            f" {track} sectors per track, {hidden} hidden sectors, {mark}"
        )
    else:
        yield f"Boot sector: {'empty' if not any(boot[:512]) else 'boot code'}, {mark}"


def _directory(found: Iterable[tuple[str, Facts, str | None]], letters: str) -> Iterator[str]:
    if not set("dD") & set(letters):
        return
    yield "Directory"
    files = directories = size = 0
    for path, facts, link in found:
        files += facts.kind is FileKind.FILE
        directories += facts.kind is FileKind.DIRECTORY
        size += facts.size if link is None else 0
        text = path + ("/" if facts.kind is FileKind.DIRECTORY else "")
        if facts.kind is FileKind.SYMLINK:
            text += f" -> {facts.target}"
        if link is not None:
            text += f" link to {link}"
        yield f"  {_details(facts)}  {text}" if "D" in letters else f"  {text}"
    yield f"  {files} files, {directories} directories, {size} bytes"


def _details(facts: Facts) -> str:
    unix, dos = facts.unix, facts.dos
    if unix is not None:
        rights = "".join(char if unix.mode >> 8 - place & 1 else "-" for place, char in enumerate("rwxrwxrwx"))
        who = f"{_KINDS[facts.kind]}{rights} {unix.uid:5d} {unix.gid:5d}"
    else:
        attributes = 0 if dos is None else dos.attributes
        who = _KINDS[facts.kind] + "".join(char if attributes & bit else "-" for bit, char in _ATTRIBUTES)
    return f"{who} {facts.size:13d} {_time(facts.mtime_ns)}"


def _file(path: str, size: int, chunks: Iterable[bytes], *, whole: bool) -> Iterator[str]:
    if not whole:
        digest = blake3()
        for chunk in chunks:
            digest.update(chunk)
        yield f"  {digest.hexdigest()} {size:13d}  {path}"
        return
    yield f"  {path}: {size} bytes"
    offset = 0
    rest = b""
    for chunk in chunks:
        data = rest + chunk
        end = len(data) // _ROW * _ROW
        yield from hex_lines(data[:end], offset)
        offset, rest = offset + end, data[end:]
    yield from hex_lines(rest, offset)


def _contents(volume: Filesystem, path: str) -> Iterator[bytes]:
    with closing(volume.open(path)) as reader:
        yield from read_in_steps(reader)


def hex_lines(data: bytes, offset: int = 0) -> Iterator[str]:
    """Sixteen bytes a line, as numbers and as text; a `*` stands for lines equal to the one before."""
    before = b""
    starred = False
    for start in range(0, len(data), _ROW):
        row = data[start : start + _ROW]
        if row == before and start + _ROW < len(data):
            if not starred:
                yield "    *"
            starred = True
            continue
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"    {offset + start:08x}  {row.hex(' '):47}  {text}"
        before, starred = row, False


def _time(nanoseconds: int) -> str:
    try:
        return f"{datetime(1970, 1, 1) + timedelta(seconds=nanoseconds // 1_000_000_000):%Y-%m-%d %H:%M:%S}"
    except OverflowError:
        return "????-??-?? ??:??:??"


def _quoted(label: str) -> str:
    return f' "{label}"' if label else ""
