"""Cold on-disk records: declared once as a `construct` table, read and written with errors of ours.

Hot arrays (FAT entries, directory entries, GPT entries, packet options) use one precompiled `struct.Struct` instead.
"""

from typing import Any

from construct import Construct, ConstructError

from .errors import FormatError


def parse_record(layout: Construct, data: bytes | memoryview, what: str) -> Any:  # noqa: ANN401 - construct has no types
    """The fields of a record. Raises FormatError that names the record and the field.

    Convert the result into a frozen dataclass at once: construct's containers do not travel through the program.
    """
    try:
        return layout.parse(bytes(data))
    except ConstructError as error:
        reason = str(error).strip().splitlines()
        raise FormatError(f"{what}: {reason[-1] if reason else 'unreadable'}") from error


def build_record(layout: Construct, fields: dict[str, object]) -> bytes:
    """The bytes of a record; a value that does not fit is a mistake of ours and raises construct's own error."""
    return bytes(layout.build(fields))
