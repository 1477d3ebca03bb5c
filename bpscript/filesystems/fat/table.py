"""The file allocation table, a window at a time.

The FAT of 1 TiB is 128 MiB, so it is never whole in memory. It is read in pages of 64 KiB; each page keeps its entries as an
array and, beside it, one byte an entry that says free (0) or used (1), in which runs of free clusters are found by `find` and by
regular expressions instead of loops.

    entries   ... 41 42 43 FFFFFFF  0  0  0  0 48 ...        array
    used      ...  1  1  1       1  0  0  0  0  1 ...        bytearray

Changed pages are written by `flush` (or when memory for pages runs out): all pages to the first FAT, then to the second.
FAT12 entries straddle bytes and sectors, but that table is at most 6 KiB: it is one page.

Clusters that something on the disk leads to are not free when they are given up, but `retired`: until `settle` says that the disk knows
of it, nothing new is written there, or a power cut would leave an old file with new contents. In the same way a cluster that makes a
directory longer is linked to it by `settle`, when it holds what it should. When room is short, `on_short` brings that about.

Allocation is next-fit: from where the last one ended, one run for the whole request when there is one, else the free runs in order.
"""

import re
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence

from ...base.errors import FormatError, NoSpaceError
from ...blocks.device import BlockDevice
from ...blocks.ranges import RangeSet
from . import layout
from .geometry import Geometry
from .layout import Cluster
from .packed import SCAN_SIZE, Window, pack_12, unpack_12, used_bytes

PAGE_SIZE = 64 * 1024           # bytes of a page on the device
MAX_PAGES = 96                  # kept in memory: about 8 MB
_SEARCH_PAGES = 64              # pages looked at for a single run before free runs are taken as they come
_EXACT_PAGES = 256              # tables up to this size are counted, in some 25 ms; larger ones may trust FSInfo

_ZEROS = bytes(PAGE_SIZE // 2)
_ONES = b"\1" * (PAGE_SIZE // 2)
_FREE_RUN = re.compile(rb"\0+")
_USED_RUN = re.compile(rb"[^\0]+")
_SMALL = bytes(range(16))


class _Page:
    """A part of the table: raw entries, the used bytes, and the range of entries changed since it was read."""

    __slots__ = ("entries", "first", "following", "has_high_bits", "high", "low", "used")

    def __init__(self, first: int, entries: "array[int]", used: bytearray, has_high_bits: bool) -> None:
        self.first = first              # cluster number of entries[0]
        self.entries = entries
        self.following: array[int] | None = None        # the number after each entry's own: links within a run; made when needed
        self.used = used
        self.has_high_bits = has_high_bits      # some FAT32 entry has bits outside the 28: they are to be kept
        self.low = len(entries)         # changed: [low, high)
        self.high = 0


class FatTable:
    """The chains of a volume. Nothing reaches the device before `flush`, or before memory for pages runs out."""

    def __init__(self, device: BlockDevice, geometry: Geometry, next_free: int = 2) -> None:
        """`next_free` is where to look for free clusters first."""
        self._device = device
        self._geometry = geometry
        self._width = geometry.width
        self._mask = layout.VALUE_MASK[geometry.width]
        self._end = layout.END_OF_CHAIN[geometry.width]
        self._first_end = layout.FIRST_END[geometry.width]
        self._limit = geometry.cluster_count + 2                # first cluster number that does not exist
        self._typecode = "I" if geometry.width == 32 else "H"
        self._entry_size = 4 if geometry.width == 32 else 2
        self._per_page = 1 << 14 if geometry.width == 32 else 1 << 15
        self._shift = self._per_page.bit_length() - 1
        self._page_count = -(-self._limit // self._per_page)
        self._pages: dict[int, _Page] = {}
        self._cursor = next_free if 2 <= next_free < self._limit else 2
        self._free: int | None = None                           # counted when it is first needed
        self._retired = RangeSet()
        self._links: list[tuple[int, int]] = []                 # of a cluster to the next, to be made by `settle`
        self.on_short: Callable[[], object] | None = None

    @property
    def free_clusters(self) -> int:
        """Clusters that are free, counted when first asked for."""
        if self._free is None:
            self._free = sum(used.count(0) for _, used in self._scan())
        return self._free

    @property
    def available(self) -> int:
        """Clusters that are free or retired."""
        return self.free_clusters + sum(end - start for start, end in self._retired)

    def trust(self, free_clusters: int) -> None:
        """Take the count of FSInfo, if it can be true and counting would take long: other programs are known to leave it wrong."""
        if free_clusters <= self._geometry.cluster_count and self._page_count > _EXACT_PAGES:
            self._free = free_clusters

    @property
    def next_free(self) -> Cluster:
        """Where the next search for free clusters begins: a hint for FSInfo."""
        return Cluster(self._cursor)

    def get(self, cluster: int) -> int:
        """The value of an entry, reserved bits off; entries 0 and 1 too."""
        page = self._pages.get(cluster >> self._shift) or self._load(cluster >> self._shift)
        return page.entries[cluster - page.first] & self._mask

    def set_reserved(self, value: int) -> None:
        """Set entry 1, which holds the flags "cleanly unmounted" and "no disk errors"."""
        self._set(1, value)

    def runs(self, first: int, what: str = "chain") -> Iterator[tuple[Cluster, int]]:
        """First cluster and count of each contiguous part of a chain, walked as they are asked for.

        Raises FormatError, naming `what`, at a link to a cluster that is free, bad or does not exist, and at a loop.
        """
        cluster, limit, mask, first_end = first, self._limit, self._mask, self._first_end
        walked = 0
        # A loop needs a jump, so it is enough to look at the targets of jumps (Brent: the tortoise moves to every 2^n-th).
        tortoise, steps, power = 0, 0, 1
        while True:
            if not 2 <= cluster < limit:
                raise FormatError(f"{what}: a link leads to cluster {cluster}; the volume has clusters 2 to {limit - 1}")
            start = cluster
            page = self._pages.get(cluster >> self._shift) or self._load(cluster >> self._shift)
            entries, base = page.entries, page.first
            following = entries[cluster - base] & mask
            while following == cluster + 1:
                cluster = following
                if cluster - base == len(entries):
                    if cluster >= limit:
                        raise FormatError(f"{what}: a link leads to cluster {cluster}; the volume has clusters 2 to {limit - 1}")
                    page = self._load(cluster >> self._shift)
                    entries, base = page.entries, page.first
                following = entries[cluster - base] & mask
            walked += cluster - start + 1
            if following < first_end:
                if following < 2:
                    raise FormatError(f"{what}: cluster {cluster} belongs to it but is marked free")
                if following == layout.BAD_CLUSTER[self._width]:
                    raise FormatError(f"{what}: cluster {cluster} belongs to it but is marked bad")
                if following == tortoise or walked > limit:     # a chain can't be longer than the volume
                    raise FormatError(f"{what}: its chain of clusters loops at cluster {following}")
                steps += 1
                if steps == power:
                    tortoise, steps, power = following, 0, power * 2
            yield Cluster(start), cluster - start + 1
            if following >= first_end:
                return
            cluster = following

    def chain_length(self, first: int, what: str = "chain") -> int:
        """Clusters of a chain."""
        return sum(count for _, count in self.runs(first, what))

    def allocate(self, count: int, after: int = 0, *, later: bool = False) -> list[tuple[Cluster, int]]:
        """Take `count` free clusters as one chain, linked behind cluster `after` if that is not 0; `later`: by `settle`.

        Raises NoSpaceError, with nothing taken, when there are not so many.
        """
        if count > self.free_clusters and len(self._retired) and self.on_short is not None:
            self.on_short()
        if count > self.free_clusters:
            raise NoSpaceError(f"{count} clusters are needed, {self.free_clusters} are free")
        # The usual case first: the run is in the page where the last one ended.
        page = self._pages.get(self._cursor >> self._shift) or self._load(self._cursor >> self._shift)
        found = page.used.find(_ZEROS[:count], self._cursor - page.first) if count < self._per_page else -1
        start = page.first + found if found >= 0 else self._search(count)
        pieces = [(Cluster(start), count)] if start is not None else self._gather(count)
        following = self._end
        for first, length in reversed(pieces):
            self._chain(first, length, following)
            following = first
        if after and later:
            self._links.append((after, following))
        elif after:
            self._set(after, following)
        assert self._free is not None
        self._free -= count
        self._cursor = pieces[-1][0] + pieces[-1][1]
        if self._cursor >= self._limit:
            self._cursor = 2
        return pieces

    def take_side_by_side(self, counts: Sequence[int]) -> Cluster | None:
        """Take free clusters for several chains, one behind the other in one run; the first one.

        None, with nothing taken, when there is no such run where the last one ended, or not on one page of the table.
        """
        total = sum(counts)
        page = self._load(self._cursor >> self._shift)
        if not 0 < total < self._per_page or total > self.free_clusters:
            return Cluster(self._cursor) if not total else None
        found = page.used.find(_ZEROS[:total], self._cursor - page.first)
        if found < 0:
            return None
        start = page.first + found
        self._chain(start, total, self._end)
        entries, end, low = page.entries, self._end, found - 1
        high_bits = page.has_high_bits
        for count in counts:
            low += count
            if count:
                entries[low] = entries[low] & ~self._mask | end if high_bits else end
        self._free = self.free_clusters - total
        self._cursor = start + total if start + total < self._limit else 2
        return Cluster(start)

    def retire_chain(self, first: int, what: str = "chain") -> None:
        """Give up a whole chain; checked to its end before anything changes."""
        self._link()        # a directory that became longer goes with all it has
        runs = list(self.runs(first, what))
        for start, count in runs:
            if any(self._retired.within(start, start + count)):
                raise FormatError(f"{what}: cluster {start} belongs to another chain too, or twice to this one")
        for start, count in runs:
            self._retired.add(start, start + count)

    def settle(self) -> bool:
        """The disk has every chain and no longer leads to what was retired: make links, free clusters. True when there was any."""
        changed = bool(self._links) or len(self._retired) > 0
        self._link()
        retired, self._retired = self._retired, RangeSet()
        for start, end in retired:
            self.free_run(start, end - start)
        return changed

    def _link(self) -> None:
        for cluster, following in self._links:
            self._set(cluster, following)
        self._links.clear()

    def free_run(self, start: int, count: int) -> None:
        """Give back clusters that nothing on the disk leads to, whatever they are linked to."""
        free = self.free_clusters
        for page, low, high in self._pieces(start, count):
            if page.has_high_bits:
                for index in range(low, high):
                    page.entries[index] &= ~self._mask
            else:
                page.entries[low:high] = array(self._typecode, bytes((high - low) * self._entry_size))
            page.used[low:high] = _ZEROS[: high - low]
        self._free = free + count

    def cut(self, last: int) -> None:
        """Make `last` the end of its chain; what followed is not freed."""
        self._set(last, self._end)

    def used_runs(self) -> Iterator[tuple[Cluster, int]]:
        """First cluster and count of every run of clusters in use, in order; clusters marked bad are left out."""
        start = end = 0
        for first, used in self._scan(without_bad=True):
            for match in _USED_RUN.finditer(used):
                low, high = first + match.start(), first + match.end()
                low, high = max(low, 2), min(high, self._limit)
                if low != end:
                    if end > start:
                        yield Cluster(start), end - start
                    start = low
                end = max(high, start)
        if end > start:
            yield Cluster(start), end - start

    def copies_differ(self) -> bool:
        """True when FATs that should be equal are not; looks at the device, so flush first."""
        geometry = self._geometry
        if not geometry.mirrors:
            return False
        # Entries behind the last cluster have no meaning, so they are not compared.
        length = -(-self._limit * self._width // 8)
        for copy in range(1, geometry.fat_count):
            for offset in range(0, length, SCAN_SIZE):
                step = min(SCAN_SIZE, length - offset)
                position = geometry.fat_offset + offset
                if self._device.read(position, step) != self._device.read(position + copy * geometry.fat_size, step):
                    return True
        return False

    def flush(self) -> None:
        """Write changed pages: the first FAT, then the others."""
        changed = sorted((number, page) for number, page in self._pages.items() if page.high)
        for copy in self._copies():
            for _, page in changed:
                self._write_page(page, copy)
        for _, page in changed:
            page.low, page.high = len(page.entries), 0

    def _copies(self) -> Iterable[int]:
        return range(self._geometry.fat_count) if self._geometry.mirrors else (self._geometry.active_fat,)

    # Searching and changing entries

    def _search(self, count: int) -> int | None:
        """A run of `count` free clusters, at or after the cursor, then from the beginning; not everywhere in a big table."""
        number = self._cursor >> self._shift
        position = self._cursor - number * self._per_page
        tail_start = tail = 0           # free clusters at the end of the page before
        for _ in range(min(self._page_count + 1, _SEARCH_PAGES + count // self._per_page)):
            page = self._load(number)
            used = page.used
            if tail:
                head = len(used) - len(used.lstrip(b"\0"))
                if tail + head >= count:
                    return tail_start
                if head < len(used):
                    tail = 0
            if count <= len(used):
                found = used.find(_ZEROS[:count], position)
                if found >= 0:
                    return page.first + found
            if tail:
                tail += len(used)       # the page is free from end to end
            else:
                tail = min(len(used) - len(used.rstrip(b"\0")), len(used) - position)
                tail_start = page.first + len(used) - tail
            position = 0
            number += 1
            if number == self._page_count:
                number = tail = 0
        return None

    def _gather(self, count: int) -> list[tuple[Cluster, int]]:
        """Free runs as they come, from the cursor on and round."""
        pieces: list[tuple[Cluster, int]] = []
        left = count
        begin = self._cursor >> self._shift
        for step in range(self._page_count + 1):        # the page of the cursor comes twice: its end first, its beginning last
            number = (begin + step) % self._page_count
            page = self._load(number)
            low = self._cursor - page.first if step == 0 else 0
            high = self._cursor - page.first if step == self._page_count else len(page.used)
            for match in _FREE_RUN.finditer(page.used, low, high):
                start, length = Cluster(page.first + match.start()), min(match.end() - match.start(), left)
                if pieces and sum(pieces[-1]) == start:
                    pieces[-1] = (pieces[-1][0], pieces[-1][1] + length)
                else:
                    pieces.append((start, length))
                left -= length
                if left == 0:
                    return pieces
        self._free = count - left                       # FSInfo promised more than there is
        raise NoSpaceError(f"{count} clusters are needed, {self._free} are free")

    def _chain(self, start: int, count: int, following: int) -> None:
        """Link clusters start, start + 1, ... and the last one to `following`."""
        page = self._pages.get(start >> self._shift) or self._load(start >> self._shift)
        low = start - page.first
        high = low + count
        if high > len(page.entries) or page.has_high_bits:
            self._chain_slowly(start, count)
            self._set(start + count - 1, following)
            return
        if count > 1:
            if page.following is None:
                page.following = array(self._typecode, range(page.first + 1, page.first + len(page.entries) + 1))
            page.entries[low:high] = page.following[low:high]
        page.entries[high - 1] = following
        page.used[low:high] = _ONES[:count]
        page.low, page.high = min(page.low, low), max(page.high, high)

    def _chain_slowly(self, start: int, count: int) -> None:
        for page, low, high in self._pieces(start, count):
            first = page.first + 1
            if page.has_high_bits:
                for index in range(low, high):
                    page.entries[index] = page.entries[index] & ~self._mask | first + index
            else:
                page.entries[low:high] = array(self._typecode, range(first + low, first + high))
            page.used[low:high] = _ONES[: high - low]

    def _set(self, cluster: int, value: int) -> None:
        page = self._pages.get(cluster >> self._shift) or self._load(cluster >> self._shift)
        index = cluster - page.first
        page.entries[index] = page.entries[index] & ~self._mask & 0xFFFFFFFF | value
        page.low, page.high = min(page.low, index), max(page.high, index + 1)

    def _pieces(self, start: int, count: int) -> Iterator[tuple[_Page, int, int]]:
        """The pages of a run, each with the range of entries in it, marked as changed."""
        end = start + count
        while start < end:
            page = self._pages.get(start >> self._shift) or self._load(start >> self._shift)
            low = start - page.first
            high = min(end - page.first, len(page.entries))
            page.low, page.high = min(page.low, low), max(page.high, high)
            yield page, low, high
            start = page.first + high

    # Pages in memory and on the device

    def _load(self, number: int) -> _Page:
        page = self._pages.get(number)
        if page is None:
            if len(self._pages) >= MAX_PAGES:
                self._evict()
            first = number * self._per_page
            count = min(self._per_page, self._limit - first)
            if self._width == 12:
                page = self._unpack_12(count)
            else:
                raw = self._device.read(self._page_offset(first), count * self._entry_size)
                entries = array(self._typecode, raw)
                if sys.byteorder == "big":
                    entries.byteswap()
                high_bits = self._width == 32 and bool(raw[3::4].translate(None, _SMALL))
                page = _Page(first, entries, bytearray(used_bytes(raw, self._width)), high_bits)
            if first == 0:
                page.used[:2] = b"\1\1"         # entries 0 and 1 are no clusters
            self._pages[number] = page
        return page

    def _evict(self) -> None:
        """Let go of the page read longest ago; a changed one is written first (the volume is marked dirty by then)."""
        number = next(iter(self._pages))
        page = self._pages.pop(number)
        if page.high:
            for copy in self._copies():
                self._write_page(page, copy)

    def _page_offset(self, first: int) -> int:
        geometry = self._geometry
        return geometry.fat_offset + geometry.active_fat * geometry.fat_size + first * self._entry_size

    def _write_page(self, page: _Page, copy: int) -> None:
        geometry = self._geometry
        offset = geometry.fat_offset + copy * geometry.fat_size
        if self._width == 12:
            self._device.write(offset, pack_12(page.entries, self._device.read(offset, -(-len(page.entries) * 3 // 2))))
            return
        # Whole sectors, so that a real disk need not read before it writes.
        per_sector = geometry.sector_size // self._entry_size
        low = page.low // per_sector * per_sector
        high = min(-(-page.high // per_sector) * per_sector, len(page.entries))
        changed = page.entries[low:high]
        if sys.byteorder == "big":
            changed.byteswap()
        self._device.write(offset + (page.first + low) * self._entry_size, changed.tobytes())

    def _unpack_12(self, count: int) -> _Page:
        entries = unpack_12(self._device.read(self._page_offset(0), -(-count * 3 // 2)), count)
        return _Page(0, entries, bytearray(map(bool, entries)), False)

    def _scan(self, *, without_bad: bool = False) -> Iterator[tuple[int, bytes | bytearray]]:
        """First cluster and used bytes of every page, without keeping the pages; parts never written count as free."""
        entry, per_page = self._entry_size, self._per_page
        bad = layout.BAD_CLUSTER[self._width]
        if self._width == 12 or self._page_count <= 2:
            for number in range(self._page_count):
                page = self._load(number)
                yield page.first, _without(page, bad, self._mask) if without_bad else page.used
            return
        start = self._page_offset(0)
        window = Window(self._device, start, self._limit * entry)
        for number in range(self._page_count):
            known = self._pages.get(number)
            first = number * per_page
            if known is not None:
                yield first, _without(known, bad, self._mask) if without_bad else known.used
                continue
            raw = window.read(first * entry, min(per_page, self._limit - first) * entry)
            if raw is None:
                yield first, _ZEROS[: min(per_page, self._limit - first)]
                continue
            used = used_bytes(raw, self._width)
            if first == 0:
                used = b"\1\1" + used[2:]
            if without_bad and bad.to_bytes(entry, "little")[:3] in raw:
                page = self._load(number)
                used = bytes(_without(page, bad, self._mask))
            yield first, used


def _without(page: _Page, bad: int, mask: int) -> bytearray:
    """Used bytes with clusters marked bad as free."""
    used = bytearray(page.used)
    if bad in page.entries or page.has_high_bits:
        for index, value in enumerate(page.entries):
            if value & mask == bad:
                used[index] = 0
    return used
