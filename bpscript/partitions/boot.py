"""Boot flags and boot code: which partition starts, and the program in sector 0 that starts it."""

from ..base.errors import NotFoundError, StorageError
from ..base.resources import image_bytes
from ..blocks.device import BlockDevice
from .mbr import ACTIVE, BOOT_CODE_SIZE, ENTRY, SECTOR, TABLE_START, is_table, parse_entries, with_table
from .table import Table
from .types import ENTRIES_PER_TABLE, PROTECTIVE, Scheme

NO_ENTRIES = bytes(ENTRIES_PER_TABLE * ENTRY.size)


def boot_code(scheme: Scheme) -> bytes:
    """The standard boot code for a table, at most 440 bytes, padded (sources in images/boot)."""
    return image_bytes("boot/gptmbr.bin" if scheme == "GPT" else "boot/mbr.bin").ljust(BOOT_CODE_SIZE, b"\0")


def first_sector(present: bytes, scheme: Scheme) -> bytes:
    """Sector 0 for a table of that kind, without entries yet.

    The boot code of a disk that has some is kept, but for our own: the one for the other kind of table would find nothing.
    """
    if not is_table(present):
        return with_table(boot_code(scheme).ljust(TABLE_START, b"\0"), NO_ENTRIES)
    other: Scheme = "MBR" if scheme == "GPT" else "GPT"
    if present[:BOOT_CODE_SIZE] == boot_code(other):
        present = boot_code(scheme) + present[BOOT_CODE_SIZE:]
    return with_table(present, NO_ENTRIES)


def write_boot_code(device: BlockDevice) -> None:
    """`Clean 0`: fresh boot code for the kind of table there is, which is kept. A disk without a table gets an empty one."""
    if device.size < SECTOR:
        raise StorageError(f"a disk of {device.size} bytes has no room for boot code")
    present = device.read(0, SECTOR)
    if not is_table(present):
        device.write(0, first_sector(present, "MBR"))
    else:
        announces_gpt = any(entry.type == PROTECTIVE for entry in parse_entries(present))
        device.write(0, boot_code("GPT" if announces_gpt else "MBR") + present[BOOT_CODE_SIZE:])
    device.flush()


def boot_partition(table: Table) -> int:
    """Number of the (first) partition with the boot flag; 0 if none has it."""
    return next((each.number for each in table.partitions if each.boot), 0)


def set_boot_partition(device: BlockDevice, table: Table, number: int) -> None:
    """Set the boot flag of one partition and clear all others; 0 clears all.

    In a GPT it is the legacy-boot attribute, in both copies of the table. Raises NotFoundError for an unused entry.
    """
    if number and table.get(number) is None:
        raise NotFoundError(f"no partition {number}: the entry is unused, so it cannot be the boot partition")
    if table.scheme == "GPT":
        _set_in_gpt(device, table, number)
    elif table.scheme == "MBR":
        _set_in_mbr(device, table, number)
    device.flush()


def _set_in_mbr(device: BlockDevice, table: Table, number: int) -> None:
    changed: list[tuple[int, bytes]] = []
    for index, start in enumerate(table.table_starts):
        before = device.read(start, SECTOR)
        sector = bytearray(before)
        for row in range(ENTRIES_PER_TABLE):
            is_it = ENTRIES_PER_TABLE * index + row + 1 == number
            sector[TABLE_START + ENTRY.size * row] = ACTIVE if is_it else 0
        if sector != before:
            # The one that gets the flag comes last: a power cut leaves no flag rather than two.
            changed.insert(0 if (number - 1) // ENTRIES_PER_TABLE != index else len(changed), (start, bytes(sector)))
    for start, sector_bytes in changed:
        device.write(start, sector_bytes)


def _set_in_gpt(device: BlockDevice, table: Table, number: int) -> None:
    from .gpt import LEGACY_BOOT, copy_writes, with_attributes  # noqa: PLC0415 - brings construct, which few scripts need

    def change(entry: int, attributes: int) -> int:
        return attributes | LEGACY_BOOT if entry == number else attributes & ~LEGACY_BOOT

    assert table.gpt is not None
    # One copy after the other, so that one of them is whole at any time.
    for header in (table.gpt.backup, table.gpt.primary):
        if header is not None:
            for offset, data in copy_writes(with_attributes(header, change), table.sector_size):
                device.write(offset, data)
            device.flush()


def clean_extended(device: BlockDevice, table: Table, number: int) -> None:
    """`Clean` of an extended partition: its table is empty from here on, so everything inside is gone. Raises NotFoundError."""
    found = table.get(number)
    if found is None or not found.is_extended:
        raise NotFoundError(f"partition {number} is not an extended partition")
    if found.end > device.size:
        raise StorageError(f"partition {number} reaches to byte {found.end}, but the disk ends at byte {device.size}")
    device.write(found.start, with_table(bytes(SECTOR), NO_ENTRIES))
    device.flush()
