"""Commands that build archives (language.md 8.9); MrZip only. The work is done by `machine/building.py`."""

from typing import Literal

from ..archive.filters import Filters
from ..base.errors import StorageError
from ..interpreter.run import Run
from ..language.declare import command
from ..machine.building import ArchiveCopy
from ..machine.job import End, Form
from .arguments import FileName, FilterPattern, NewFileName, PathName

_GROUP = "archive building"


@command("Source", group=_GROUP, mrzip_only=True, usage=('archive "file"', 'iarchive "file"', 'path "path"'))
def source(run: Run, form: Literal["archive", "iarchive", "path"], name: PathName) -> None:
    """Say where CopyArchive reads from.

    Args:
        form: `archive` a full archive, `iarchive` an incremental one, `path` a partition or directory
        name: the archive or directory

    Examples:
        > Source path "{:1}/"
    """
    run.machine.job.source = End(Form(form), name)


@command("Dest", group=_GROUP, mrzip_only=True, usage=('archive "file"', 'iarchive "file"', "dump", "idump", 'path "path"'))
def dest(run: Run, form: Literal["archive", "iarchive", "dump", "idump", "path"], name: PathName = "") -> None:
    """Say where CopyArchive writes to.

    Args:
        form: `archive` a full archive, `iarchive` an incremental one, `path` a directory, `dump` and `idump` the log
        name: the archive or directory; nothing for a dump

    Examples:
        > Dest archive "linux.imz"
    """
    is_dump = form in {"dump", "idump"}
    if is_dump and name:
        raise run.refuse(1, f"Dest {form} writes to the log and takes no file name")
    if not is_dump and not name:
        raise run.refuse(0, f"Dest {form} needs a file name", hint=f'for example Dest {form} "..."')
    run.machine.job.dest = End(Form(form), name)


@command("CopyArchive", group=_GROUP, mrzip_only=True, writes_disk=True)
def copy_archive(run: Run) -> None:
    """Copy from the source to the destination what the filters let through.

    Examples:
        > CopyArchive
    """
    job = run.machine.job
    if job.source is None:
        raise StorageError("CopyArchive has no source", hint='write Source path "..." or Source archive "..." before it')
    if job.dest is None:
        raise StorageError("CopyArchive has no destination", hint='write Dest archive "..." before it')
    copier = ArchiveCopy(run.machine, job.filters, lambda line: run.log(f"{line}\r\n"), trace=run.variables.is_on("Trace"))
    copier.run(job.source, job.dest)


@command("FullZip", group=_GROUP, mrzip_only=True, writes_disk=True)
def full_zip(run: Run, path: PathName, archive: NewFileName) -> None:
    """Make a full archive of a partition, or of a folder as a file system of its own: $Linux-FS, or $Zip-FS = FAT16 or FAT32.

    Before the archive gets its name it is read back and compared with its source; if they differ, it is not kept.

    Args:
        path: the root of a partition, or a folder of the operating system
        archive: the archive to write

    Examples:
        > FullZip "{:1}/" "linux.imz"
    """
    _copy(run, End(Form.PATH, path), End(Form.ARCHIVE, archive))


@command("IncrZip", group=_GROUP, mrzip_only=True, writes_disk=True)
def incr_zip(run: Run, path: PathName, archive: NewFileName) -> None:
    """Make an incremental archive of a directory; with $Base-Archive, of what differs from that archive.

    Before the archive gets its name it is read back and compared with the directory; if they differ, it is not kept.

    Args:
        path: the directory
        archive: the archive to write

    Examples:
        > IncrZip "{:1}/windows" "drivers.imi"
    """
    _copy(run, End(Form.PATH, path), End(Form.IARCHIVE, archive))


@command("FullDump", group=_GROUP, mrzip_only=True)
def full_dump(run: Run, archive: FileName) -> None:
    """Describe a full archive in the log, as $DumpFormat says.

    Args:
        archive: the archive

    Examples:
        > FullDump "linux.imz"
    """
    _copy(run, End(Form.ARCHIVE, archive), End(Form.DUMP))


@command("IncrDump", group=_GROUP, mrzip_only=True)
def incr_dump(run: Run, archive: FileName) -> None:
    """Describe an incremental archive in the log, as $DumpFormat says.

    Args:
        archive: the archive

    Examples:
        > IncrDump "hw/ne2000.imi"
    """
    _copy(run, End(Form.IARCHIVE, archive), End(Form.DUMP))


@command("XCopy", group=_GROUP, mrzip_only=True, writes_disk=True)
def xcopy(run: Run, src: PathName, dst: PathName) -> None:
    """Copy a directory with everything below it that the filters let through.

    Args:
        src: the directory to read
        dst: the directory to write into; it is made if it is missing

    Examples:
        > XCopy "{:1}/windows" "{:2}/windows"
    """
    _copy(run, End(Form.PATH, src), End(Form.PATH, dst))


@command("FileZip", group=_GROUP, mrzip_only=True, writes_disk=True)
def file_zip(run: Run, source: FileName, dest: NewFileName) -> None:
    """Pack one file, for FileUnzip and LoadZRamDisk.

    Args:
        source: the file to read
        dest: the packed file to write

    Examples:
        > FileZip "rescue.img" "rescue.imz"
    """
    from ..archive.filezip import pack_file  # noqa: PLC0415 - zstandard is slow to load

    files = run.machine.files
    facts = files.at(source).stat()
    files.write(dest, pack_file(files.chunks(source), None if facts is None else facts.size))


@command("Filter", group=_GROUP, mrzip_only=True, usage=('-"pattern"', '+"pattern"', ""))
def filter_files(run: Run, pattern: FilterPattern | None = None) -> None:
    """Leave out files of archive operations, or let some of them in again; alone, drop all filters.

    Args:
        pattern: `-"*.swp"` leaves out what matches, `+"var/log/wtmp"` makes an exception to the last `-` filter

    Examples:
        > Filter -"tmp/*"
        > Filter
    """
    job = run.machine.job
    if pattern is None:
        job.filters = Filters()
    elif pattern.sign == "-":
        job.filters = job.filters.leave_out(pattern.text)
    else:
        job.filters = job.filters.let_in(pattern.text)


def _copy(run: Run, start: End, end: End) -> None:
    """What a shortcut stands for: source, destination, CopyArchive."""
    run.machine.job.source, run.machine.job.dest = start, end
    copy_archive(run)
