"""A disk with a write cache that a power cut empties: QEMU writes down every request and every flush, and after the cut the disk is
put together again with what was flushed, and by chance some sectors of what was not.

The log is that of the kernel's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst; drivers/md/dm-log-writes.c),
little-endian, in units of the sector size:

    super    magic u64, version u64, entries u64, sector size u32
    entry    sector u64, sectors u64, flags u64, length u64, padded to a sector; then the data of a write
"""

import random
import shutil
import struct
from pathlib import Path

_MAGIC, _VERSION = 0x6A736677736872, 1
_FLUSH, _FUA, _DISCARD = 1, 2, 4
_SECTOR = 512
_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")


class VolatileDisk:
    """A raw image that is a machine's disk between `options` and `power_cut`."""

    def __init__(self, image: Path) -> None:
        self.image = image
        self._before = image.with_suffix(".before")
        self._log = image.with_suffix(".log")
        self.lost = self.flushed = 0        # requests of the last cut that were not flushed, and that were
        self.lost_places: list[int] = []    # offsets of the former
        self._begin()

    def options(self) -> tuple[str, ...]:
        """Of QEMU, for a virtio disk."""
        return (
            "-blockdev", f"driver=file,node-name=kept,filename={self.image},cache.no-flush=on",
            "-blockdev", f"driver=file,node-name=written,filename={self._log},cache.no-flush=on",
            "-blockdev", f"driver=blklogwrites,node-name=volatile,file=kept,log=written,log-sector-size={_SECTOR},log-super-update-interval=1",
            "-device", "virtio-blk-pci,drive=volatile,bootindex=1",
        )

    @property
    def written(self) -> int:
        """Bytes since the machine was switched on."""
        return self._log.stat().st_size

    def power_cut(self, chance: random.Random) -> None:
        """The machine is off: put on the disk what certainly was there, and any sectors of the rest."""
        entries = self._entries()
        certain = max((number + 1 for number, (_, _, flags, _) in enumerate(entries) if flags & _FLUSH), default=0)
        keep = chance.choice((0.0, 0.5, 1.0, chance.random()))
        shutil.copyfile(self._before, self.image)
        self.flushed = self.lost = 0
        self.lost_places = []
        with self._log.open("rb") as log, self.image.open("r+b") as disk:
            for number, (sector, sectors, flags, at) in enumerate(entries):
                if flags & _DISCARD or not sectors:
                    continue        # what was discarded may still be read
                sure = number < certain or flags & _FUA
                self.flushed += bool(sure)
                self.lost += not sure
                if not sure:
                    self.lost_places.append(sector * _SECTOR)
                log.seek(at)
                data = log.read(sectors * _SECTOR)
                if sure:
                    disk.seek(sector * _SECTOR)
                    disk.write(data)
                    continue
                for index in range(sectors):
                    if chance.random() < keep:
                        disk.seek((sector + index) * _SECTOR)
                        disk.write(data[index * _SECTOR : (index + 1) * _SECTOR])
        self._begin()

    def _begin(self) -> None:
        shutil.copyfile(self.image, self._before)
        self._log.write_bytes(_SUPER.pack(_MAGIC, _VERSION, 0, _SECTOR))

    def _entries(self) -> list[tuple[int, int, int, int]]:
        """Sector, sectors, flags, and where in the log the data are."""
        found = []
        with self._log.open("rb") as log:
            magic, version, count, size = _SUPER.unpack(log.read(_SUPER.size))
            assert (magic, version, size) == (_MAGIC, _VERSION, _SECTOR)
            at = _SECTOR
            for _ in range(count):
                log.seek(at)
                sector, sectors, flags, _ = _ENTRY.unpack(log.read(_ENTRY.size))
                at += _SECTOR
                found.append((sector, sectors, flags, at))
                if not flags & _DISCARD:
                    at += sectors * _SECTOR
        return found
