"""Archive building (language.md 8.9): a source, a destination, filters, and CopyArchive; MrZip only.

What is copied where:

    from \ to     path          archive            iarchive           dump
    path          files         the partition      files              -
    archive       its files     re-split/filtered  its files          header, directory ...
    iarchive      unpacked      -                  re-split/filtered  header, directory ...
"""

from ..base.errors import StorageError
from ..interpreter.run import Run
from ..language.declare import command
from ..machine.building import Endpoint, Form, copy_archive, dump_archive
from .arguments import ArchiveEnd, FileName, FilterPattern

_GROUP = "archive building"


@command("Source", group=_GROUP, mrzip_only=True, usage='archive "file", iarchive "file", path "path"')
def source(run: Run, form: ArchiveEnd) -> None:
    """Say where CopyArchive reads from.

    Args:
        form: `archive "file"` a full archive, `iarchive "file"` an incremental one, `path "path"` a partition or directory

    Examples:
        > Source path "{:1}/"
    """
