"""`$Expect-Disk-N`: a condition on a disk that is checked before the first write to it (language.md 6).

    size>=8000 size<=16000 model=WDC* serial=WD-1234

Blank-separated, and all must hold: sizes in MB (2^20 bytes, rounded down, as `$Disks` has them), the model a wildcard pattern
(language.md 3.5), model and serial number without regard to case.
"""

from fnmatch import fnmatchcase

from ..base.errors import StorageError
from ..base.units import MIB

_FORMS = "serial=TEXT, model=PATTERN, size>=MB or size<=MB"


def check_disk(expected: str, number: int, size: int, model: str, serial: str) -> None:
    """Raise StorageError unless disk `number` (`size` in bytes) is as expected; so does a condition that cannot be read."""
    megabytes = size // MIB
    for condition in expected.split():
        if not _holds(condition, number, megabytes, model, serial):
            raise StorageError(
                f"disk {number} is not the disk that $Expect-Disk-{number} asks for: {condition} does not hold"
                f" (size {megabytes} MB, model \"{model}\", serial \"{serial}\"); nothing was written to it"
            )


def _holds(condition: str, number: int, megabytes: int, model: str, serial: str) -> bool:
    for operator in (">=", "<=", "="):
        name, found, wanted = condition.partition(operator)
        if not found:
            continue
        match name.lower(), operator:
            case "size", ">=" if wanted.isdecimal():
                return megabytes >= int(wanted)
            case "size", "<=" if wanted.isdecimal():
                return megabytes <= int(wanted)
            case "serial", "=" if wanted:
                return serial.lower() == wanted.lower()
            case "model", "=" if wanted:
                return fnmatchcase(model.lower(), wanted.lower().replace("[", "[[]"))
        break
    raise StorageError(f"$Expect-Disk-{number} holds \"{condition}\"; expected {_FORMS}")
