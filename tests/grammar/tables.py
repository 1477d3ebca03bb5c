"""Partition tables as the language counts them (9.2), read with a few lines that share nothing with the product."""

import struct
import uuid
from pathlib import Path

SECTOR = 512
SECTORS_PER_MB = 2048


def rows(image: Path) -> list[str]:
    """One row a partition: `NUMBER TYPE START+LENGTH [boot]`, in MB, or in sectors (`63s`) where it is not whole."""
    with image.open("rb") as disk:

        def sector(number: int) -> bytes:
            disk.seek(number * SECTOR)
            return disk.read(SECTOR).ljust(SECTOR, b"\0")

        first = sector(0)
        if first[510:] != b"\x55\xaa":
            return ["no table"]
        if first[450] == 0xEE:
            return _gpt_rows(sector(1), disk.read)
        return _mbr_rows(first, sector)


def _mbr_rows(table: bytes, sector) -> list[str]:  # type: ignore[no-untyped-def]  # a nested function of rows()
    found: list[str] = []
    number, table_start, outer = 1, 0, 0
    for _ in range(64):
        following = 0
        for index in range(4):
            flag, kind, start, length = struct.unpack_from("<B3xB3xII", table, 446 + 16 * index)
            if kind == 0:
                continue
            start += outer if kind in {5, 15} else table_start
            boot = " boot" if flag == 0x80 else ""
            found.append(f"{number + index} {kind} {_place(start, length)}{boot}")
            if kind in {5, 15}:
                following = start
        if not following:
            break
        outer = outer or following
        table_start, number, table = following, number + 4, sector(following)
        if table[510:] != b"\x55\xaa":
            found.append(f"no table at sector {following}")
            break
    return found


def _gpt_rows(header: bytes, read) -> list[str]:  # type: ignore[no-untyped-def]  # the read method of rows()
    count, size = struct.unpack_from("<II", header, 80)
    entries = read(count * size)
    found = []
    for number in range(count):
        entry = entries[number * size : (number + 1) * size]
        if any(entry[:16]):
            start, last, flags = struct.unpack_from("<QQQ", entry, 32)
            kind = str(uuid.UUID(bytes_le=bytes(entry[:16]))).upper()
            found.append(f"{number + 1} {kind} {_place(start, last + 1 - start)}{' boot' if flags & 4 else ''}")
    return found


def _place(start: int, length: int) -> str:
    return f"{_amount(start)}+{_amount(length)}"


def _amount(sectors: int) -> str:
    whole, rest = divmod(sectors, SECTORS_PER_MB)
    return f"{sectors}s" if rest else f"{whole}"
