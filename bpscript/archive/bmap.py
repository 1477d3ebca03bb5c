"""Block maps, as bmaptool makes them beside raw images: which blocks of the image hold something, and the checksum of each run of them.

Blocks that are not mapped are zeros in the image, and are given as zeros. Every run is checked before the first byte of it is given out.

Source: the comments in the files that bmaptool 3.6 writes (format 2.0); what it accepts as 1.3: SHA-1, as BmapFileSHA1 and in attributes `sha1`.
"""

import hashlib
import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from xml.etree import ElementTree

from ..base.errors import FormatError
from ..blocks.device import ReadsInto, check_range
from .positional import Positional
from .ranges import MAX_RANGES, Ranges
from .records import MAX_SIZE

MAX_BMAP = 64 << 20         # bytes of a block map: some 100 for each run of blocks
_STEP = 1 << 20
_SUMS = {"sha1", "sha224", "sha256", "sha384", "sha512"}
_FILE_SUMS = ("BmapFileChecksum", "BmapFileSHA1")
_RANGE = re.compile(r"\s*(\d{1,18})\s*(?:-\s*(\d{1,18})\s*)?")


class BlockMap:
    """Runs of mapped blocks in bytes, and the checksum of each ("" without one)."""

    def __init__(self, size: int, mapped: Ranges, sums: list[bytes], algorithm: str) -> None:
        self.size = size
        self.mapped = mapped
        self.sums = sums
        self.algorithm = algorithm

    @classmethod
    def parse(cls, data: bytes) -> "BlockMap":
        """From the text of the file, whose own checksum is verified. Raises FormatError."""
        if len(data) > MAX_BMAP:
            raise FormatError(f"the block map has {len(data)} bytes, at most {MAX_BMAP} are allowed")
        if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
            raise FormatError("the block map defines entities, which none needs")
        try:
            root = ElementTree.fromstring(data)     # noqa: S314 - without entities nothing can grow
        except (ElementTree.ParseError, ValueError, LookupError) as error:
            raise FormatError(f"the block map is no XML: {error}") from error
        version = root.get("version", "")
        if root.tag != "bmap" or version.partition(".")[0] not in {"1", "2"}:
            raise FormatError(f"this is no block map of version 1 or 2: <{root.tag}> with version {version!r}")
        algorithm = _text(root, "ChecksumType", "sha1").lower()
        if algorithm not in _SUMS:
            raise FormatError(f"the block map has checksums of the unknown kind {algorithm!r}")
        _check_file(root, data, algorithm)
        size, block = _number(root, "ImageSize"), _number(root, "BlockSize")
        if not 0 < size <= MAX_SIZE or not 0 < block <= 1 << 30:
            raise FormatError(f"the block map makes no sense: {size} bytes in blocks of {block}")
        starts: list[tuple[int, int]] = []
        sums: list[bytes] = []
        position = mapped = 0
        for each in root.iterfind("BlockMap/Range"):
            match = _RANGE.fullmatch(each.text or "")
            first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
            if not position <= first <= last < -(-size // block) or len(starts) >= MAX_RANGES:
                raise FormatError(f"the block map makes no sense: range {each.text!r} after block {position}")
            if starts and starts[-1][1] == first * block:
                raise FormatError(f"the block map makes no sense: range {each.text!r} continues the one before it")
            starts.append((first * block, min((last + 1) * block, size)))
            sums.append(_hex(each.get("chksum") or each.get("sha1") or "", algorithm))
            position, mapped = last + 1, mapped + last + 1 - first
        if mapped != _number(root, "MappedBlocksCount"):
            raise FormatError(f"the block map lists {mapped} blocks, not the {_number(root, 'MappedBlocksCount')} that it counts")
        return cls(size, Ranges(starts), sums, algorithm)


def _text(root: ElementTree.Element, name: str, default: str = "") -> str:
    return (root.findtext(name) or default).strip()


def _number(root: ElementTree.Element, name: str) -> int:
    text = _text(root, name)
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise FormatError(f"the block map says {text!r} for {name}, expected a number")
    return int(text)


def _hex(text: str, algorithm: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b"?"
    if found and len(found) != hashlib.new(algorithm).digest_size:      # "" in the oldest versions
        raise FormatError(f"the block map has the checksum {text!r}, which is none of {algorithm}")
    return found


def _check_file(root: ElementTree.Element, data: bytes, algorithm: str) -> None:
    """The checksum of the file itself is taken with zeros in its place."""
    for name in _FILE_SUMS:
        text = _text(root, name)
        if text:
            blank = data.replace(text.encode(), b"0" * len(text), 1)
            if hashlib.new(algorithm, blank).hexdigest() != text.lower():
                raise FormatError("the block map is damaged: its own checksum does not agree")


class MappedBytes(ReadsInto):
    """A raw image as its block map has it."""

    def __init__(self, source: Positional, block_map: BlockMap) -> None:
        """Raises FormatError when they do not belong together."""
        if source.size != block_map.size:
            raise FormatError(f"the image has {source.size} bytes, its block map is of one with {block_map.size}")
        self._source = source
        self._map = block_map
        self._checked = bytearray(len(block_map.sums))
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes."""
        return self._map.size

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer. Raises FormatError where a checksum does not agree."""
        view = memoryview(buffer).cast("B")
        check_range(self.size, offset, len(view), "image")
        mapped, position, end = self._map.mapped, offset, offset + len(view)
        index = bisect_right(mapped.ends, offset)
        while position < end:
            start, last = (mapped.starts[index], mapped.ends[index]) if index < len(mapped) else (end, end)
            step = min(end, start if start > position else last) - position
            part = view[position - offset : position - offset + step]
            if start > position:
                part[:] = bytes(step)
            else:
                self._check(index)
                self._source.readinto(position, part)
                index += 1
            position += step

    def _check(self, index: int) -> None:
        with self._lock:
            if self._checked[index]:
                return
            start, end = self._map.mapped.starts[index], self._map.mapped.ends[index]
            if self._map.sums[index]:
                found = hashlib.new(self._map.algorithm)
                buffer = bytearray(min(_STEP, end - start))
                for at in range(start, end, len(buffer)):
                    view = memoryview(buffer)[: min(len(buffer), end - at)]
                    self._source.readinto(at, view)
                    found.update(view)
                if found.digest() != self._map.sums[index]:
                    raise FormatError(f"the image is damaged: bytes {start} to {end} do not have the {self._map.algorithm} of its block map")
            self._checked[index] = 1

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Mapped ranges."""
        check_range(self.size, offset, length, "image")
        yield from self._map.mapped.within(offset, offset + length)


def find_bmap(name: str, read: Callable[[str], bytes | None]) -> bytes | None:
    """The block map beside an image, as bmaptool looks for it: `disk.wic.gz.bmap`, `disk.wic.bmap`, `disk.bmap`.

    `read` gives a file's contents (at most MAX_BMAP + 1 bytes of them), None when there is none.
    """
    path = PurePosixPath(name)
    for _ in range(1 + len(path.suffixes)):
        if (data := read(f"{path}.bmap")) is not None:
            return data
        path = path.with_suffix("")
    return None
