"""One disk of a machine: its table and volumes, opened when first used and kept open between commands.

A volume stays open until something changes beneath it (a new table, a format, a restore): whoever writes to a disk below a
volume calls `forget` first. Every command ends with `flush`, so that between two commands the disk is whole.
"""

from pathlib import Path

from ..archive.belonging import belongs_on
from ..base.clock import Clock
from ..base.errors import BpscriptError, FormatError, NotFoundError, StorageError
from ..blocks.device import BlockDevice
from ..blocks.guarded import GuardedDevice
from ..blocks.slice import SliceDevice
from ..filesystems.detect import detect, open_volume, size_of
from ..filesystems.filesystem import Filesystem
from ..partitions.mbr import DISK_SIGNATURE
from ..partitions.partition import CACHE, MBR
from ..partitions.table import Partition, Table, cache_range, open_partition, read_table
from .expectation import check_disk
from .settings import Settings

VOLUME_KINDS = ("FAT", "EXT2", "EXT3", "EXT4")      # file systems whose files can be reached


class Disk:
    """One disk: its device, its table, and the volumes that are open on it."""

    def __init__(self, number: int, device: BlockDevice, name: str, settings: Settings, clock: Clock) -> None:
        self.number = number
        self.device = GuardedDevice(device, self._check_expectation)
        self.name = name
        self.is_real: bool = getattr(device, "is_real_disk", False)     # no image file
        # An image file says 512 of itself, whatever the disk was that it was made of.
        self._own_sector_size: int | None = getattr(device, "sector_size", None) if getattr(device, "is_real_disk", True) else None
        self._settings = settings
        self._clock = clock
        self._table: Table | None = None
        self._volumes: dict[int, Filesystem] = {}
        self.code_page = "cp850"    # of FAT short names; LoadCodePage sets it

    @property
    def sector_size(self) -> int:
        """Bytes of a logical sector: `$Sector-Size`, else the device's own, else 512."""
        return self.known_sector_size or 512

    @property
    def known_sector_size(self) -> int | None:
        """The same; None for an image file, of which nobody said anything."""
        text = self._settings.get("Sector-Size")
        if not text:
            return self._own_sector_size
        if text not in {"512", "4096"}:
            raise StorageError(f'$Sector-Size is "{text}"; expected 512 or 4096')
        return int(text)

    def table(self) -> Table:
        """The partition table, read once."""
        if self._table is None:
            self._table = read_table(self.device, self.sector_size)
        return self._table

    @property
    def ident(self) -> str:
        """Disk signature of an MBR (8 hexadecimal digits) or GUID of a GPT, as foreign tools print them; "" without a table."""
        table = self.table()
        if table.gpt is not None:
            return str(table.gpt.header.disk_guid).upper()
        if table.scheme is None:
            return ""
        return f"0x{int.from_bytes(self.device.read(DISK_SIGNATURE, 4), 'little'):08x}"

    def entry(self, number: int) -> Partition:
        """A used entry of the table. Raises NotFoundError."""
        found = self.table().get(number)
        if found is None:
            raise NotFoundError(f"disk {self.number} has no partition {number}", hint=self._what_there_is())
        return found

    def partition(self, number: int) -> SliceDevice:
        """The bytes of a partition. Raises NotFoundError, or FormatError when it reaches beyond the disk."""
        self.entry(number)
        return open_partition(self.device, self.table(), number)

    def cache_area(self) -> SliceDevice | None:
        """The free space behind the last partition, where the cache lies; None when there is no room."""
        start, end = cache_range(self.device, self.table())
        return SliceDevice(self.device, start, end - start, f"cache of disk {self.number}") if end > start else None

    def need_cache_area(self) -> SliceDevice:
        """The same, or NotFoundError when there is no room."""
        area = self.cache_area()
        if area is None:
            raise NotFoundError(f"disk {self.number} has no room for a cache behind its last partition")
        return area

    def format_cache(self) -> None:
        """Make the cache empty."""
        from ..filesystems.cache import format_cache  # noqa: PLC0415 - few scripts use it

        self.forget(CACHE)
        format_cache(self.need_cache_area())

    def partition_list(self) -> str:
        """What `GetPartitions` gives."""
        self.flush()
        return self.table().to_list(lambda entry: self.kind_of(entry.number))

    def kind_of(self, number: int) -> str | None:
        """The file system found on a partition, by its signature; None when there is none or the partition leaves the disk."""
        try:
            return detect(self.partition(number))
        except BpscriptError:
            return None

    def has_volume(self, number: int) -> bool:
        """Whether `volume` can open what is on a partition, and not only recognise it."""
        return (self.kind_of(number) or "").startswith(VOLUME_KINDS)

    def volume(self, number: int) -> Filesystem:
        """The file system of a partition, of the MBR (0) or of the cache (-1)."""
        opened = self._volumes.get(number)
        if opened is None:
            opened = self._open(number)
            self._volumes[number] = opened
        return opened

    def is_valid(self, number: int) -> bool:
        """What `If valid` tests (language.md 8.2): formatted, of the family of its type, and no larger than the partition."""
        try:
            if number == MBR:
                return self.device.size >= 512 and self.device.read(510, 2) == b"\x55\xaa"
            if number == CACHE:
                return self.volume(CACHE).usage().total > 0
            self.flush()
            entry = self.entry(number)
            device = self.partition(number)
            if entry.is_extended:
                return device.read(510, 2) == b"\x55\xaa"
            kind = detect(device)
            if kind is None or not belongs_on(kind, entry):
                return False
            return size_of(device, kind) <= device.size
        except (StorageError, FormatError):
            return False

    def flush(self) -> None:
        """Write what open volumes still hold."""
        for volume in self._volumes.values():
            volume.flush()

    def forget(self, number: int | None = None) -> None:
        """Close the volume of a partition, or all of them and the table, because the bytes beneath are about to change."""
        numbers = list(self._volumes) if number is None else [number] if number in self._volumes else []
        for each in numbers:
            self._volumes.pop(each).close()
        if number is None:
            self._table = None

    def abandon(self) -> None:
        """Close volumes after a failure, keeping what can be kept."""
        while self._volumes:
            _, volume = self._volumes.popitem()
            try:
                volume.close()
            except BpscriptError:
                continue    # the first failure is the one that gets reported

    def _check_expectation(self) -> None:
        """Refuse the first write to a disk that is not the one `$Expect-Disk-N` asks for."""
        expected = self._settings.get(f"Expect-Disk-{self.number}")
        if expected:
            from .workstation.hardware import disk_of  # noqa: PLC0415 - few scripts expect a certain disk

            # What a real disk says of itself counts, whatever the variables say.
            model, serial = disk_of(Path(self.name)) if self.name else ("", "")
            model = model or self._settings.get(f"Disk-{self.number}-Model")
            serial = serial or self._settings.get(f"Disk-{self.number}-Serial")
            check_disk(expected, self.number, self.device.size, model, serial)

    def _open(self, number: int) -> Filesystem:
        if number == MBR:
            from ..filesystems.mbr import MbrFiles  # noqa: PLC0415 - few scripts use it

            return MbrFiles(self.device)
        if number == CACHE:
            return self._open_cache()
        device = self.partition(number)
        if self.entry(number).is_extended:
            raise StorageError(f"partition {number} of disk {self.number} is an extended partition: no supported file system")
        kind = detect(device)
        if kind is None or not kind.startswith(VOLUME_KINDS):
            found = "" if kind is None else f" (it is {kind})"
            raise StorageError(
                f"partition {number} of disk {self.number} holds no supported file system{found}", hint=f"Clean {number} formats it"
            )
        return open_volume(device, clock=self._clock, code_page=self.code_page)

    def _open_cache(self) -> Filesystem:
        from ..filesystems.cache import CacheVolume  # noqa: PLC0415 - few scripts use it

        reserve = self._settings.get("CacheReserve").upper() != "OFF"
        return CacheVolume.on(self.need_cache_area(), clock=self._clock, reserve=reserve)

    def _what_there_is(self) -> str:
        numbers = ", ".join(str(entry.number) for entry in self.table().partitions)
        return f"the table of {self.name} has: {numbers}" if numbers else f"the partition table of {self.name} is empty: SetPartitions makes one"
