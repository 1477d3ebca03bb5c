"""Commands that unpack archives onto disks (language.md 8.7)."""

from contextlib import ExitStack, closing

from ..archive.filezip import PackedFile
from ..archive.positional import close
from ..archive.unpack import unpack
from ..base.errors import StorageError
from ..filesystems.places import DiskPlace
from ..interpreter.run import Run
from ..language.declare import command
from ..machine.archives import about_archive, open_archive_bytes, open_tree, require_signature, temp_folder
from .arguments import FileName, NewFileName, TreePlace


@command("FullUnzip", group="disks and files", writes_disk=True, since="3.0, without cache 3.19")
def full_unzip(run: Run, archive: FileName, partition: int, disk: int = 0) -> None:
    """Replace everything on a partition by the contents of a full archive, whatever the size of the partition it came from.

    Args:
        archive: the archive to read
        partition: number of the partition to fill
        disk: number of the disk

    Examples:
        > FullUnzip "win98.imz" 1
    """
    # Late: IncrUnzip needs none of this, and every millisecond counts when a workstation starts.
    from ..archive.foreign import open_image  # noqa: PLC0415
    from ..machine.formatting import geometry_of  # noqa: PLC0415
    from ..machine.restoring import RestoreOptions, restore_partition  # noqa: PLC0415

    target = run.machine.disks[disk]
    target.partition(partition)
    geometry = geometry_of(target, run.variables.get("Disk-Geometry"))
    place = run.machine.files.place(archive)
    if isinstance(place, DiskPlace) and (place.disk_number, place.partition) == (disk, partition):
        raise StorageError(f'the archive "{archive}" lies on the partition that it would replace')
    folder = temp_folder(run.machine)
    with ExitStack() as stack, about_archive(archive):
        files = stack.enter_context(run.machine.files.caching())
        data = open_archive_bytes(files, archive)
        with ExitStack() as refused:
            refused.callback(close, data)
            require_signature(run.machine.files, data, run.variables.get("Image-Key"))
            refused.pop_all()
        image = stack.enter_context(open_image(data, clock=run.machine.clock, code_page=target.code_page, temp_folder=folder, in_order=True))
        restore_partition(
            image,
            target,
            partition,
            RestoreOptions(rewrite=run.variables.get("Rewrite") or "AUTO", verify=run.variables.is_on("Verify")),
            name=f'"{archive}"',
            geometry=geometry,
            clock=run.machine.clock,
            events=run.machine.events,
        )


@command("IncrUnzip", group="disks and files", writes_disk=True, since="3.0, corrected 3.18")
def incr_unzip(run: Run, archive: FileName, destpath: TreePlace) -> None:
    """Unpack an incremental archive, a tar or a zip into a directory; files replace those of the same name, others stay.

    Args:
        archive: the archive to read
        destpath: the directory, or a partition: `1` or `0:1`

    Examples:
        > IncrUnzip "hw/ne2000.imi" "{:1}/"
        > IncrUnzip "hw/ne2000.imi" 1
    """
    with ExitStack() as stack:
        data = open_archive_bytes(stack.enter_context(run.machine.files.caching()), archive)
        stack.callback(close, data)
        with about_archive(archive):
            require_signature(run.machine.files, data, run.variables.get("Image-Key"))
        volume, path = open_tree(run.machine, destpath, stack, writes=True)
        unpack(data, f'"{archive}"', volume, path, events=run.machine.events, verify=run.variables.is_on("Verify"))


@command("FileUnzip", group="disks and files", writes_disk=True)
def file_unzip(run: Run, source: FileName, dest: NewFileName) -> None:
    """Unpack a file made by FileZip, checked by its CRC-32.

    Args:
        source: the packed file
        dest: the file to write; its directory must exist

    Examples:
        > FileUnzip "rescue.imz" "{:1}/rescue.img"
    """
    with run.machine.files.caching(if_asked=True) as files, closing(files.open(source)) as reader:
        packed = PackedFile(reader, f'"{source}"')
        files.write(dest, packed.chunks(), packed.size)
