"""The io_manager of libext2fs over a BlockDevice, with the block cache that makes its callbacks cheap.

The library reads and writes metadata in blocks, many of them again and again; here they stay until `write_back`, which writes
neighbours in one go. File data does not pass through: it goes straight to the device, and its blocks are forgotten here.
Source: e2fsprogs `lib/ext2fs/ext2_io.h`. A negative count means bytes, not blocks.
"""

from collections.abc import Callable, Iterable
from typing import Any

from ...blocks.device import BlockDevice
from .library import IO_CHANNEL_MAGIC, IO_MANAGER_MAGIC, SHORT_READ, SHORT_WRITE, load

CACHE_LIMIT = 24 << 20      # bytes of blocks kept; a 1 TiB volume has 64 MiB of bitmaps, which need not stay
CACHE_LIMIT_READING = 6 << 20       # what is only read comes from a device that has a cache of its own: the host's, or that of an archive
_RUN_LIMIT = 1 << 20        # bytes written at once


class Channel:
    """Blocks of a device for the library, cached. An exception of the device is kept in `failure`; the library sees a code."""

    def __init__(self, device: BlockDevice, cache_limit: int = CACHE_LIMIT) -> None:
        self.device = device
        self._cache_limit = cache_limit
        self.block_size = 1024
        self.failure: BaseException | None = None
        self.spill: Callable[[], object] = self.write_back      # when there are too many blocks in memory
        self.keep_back = -1     # the block of the superblock: never written here, because it comes last
        self._blocks: dict[int, bytes] = {}
        self._dirty: set[int] = set()
        self._channel: Any = None
        self._ffi, _ = load()
        self.manager = self._make_manager()

    # What the volume uses

    def read_block(self, block: int) -> bytes:
        """One block."""
        data = self._blocks.get(block)
        if data is None:
            data = self.device.read(block * self.block_size, self.block_size)
            self._keep(block, data)
        return data

    def write_block(self, block: int, data: bytes) -> None:
        """One block, kept until `write_back`."""
        if self._blocks.get(block) != data:
            self._keep(block, data)
            self._dirty.add(block)

    def forget(self, block: int, count: int) -> None:
        """Blocks that become file data: what is kept of them is void."""
        blocks = self._blocks
        numbers: Iterable[int] = range(block, block + count)
        if count > len(blocks):
            numbers = [number for number in blocks if block <= number < block + count]
        for number in numbers:
            if number in blocks:
                del blocks[number]
                self._dirty.discard(number)

    def write_back(self, wanted: Callable[[int], bool] | None = None) -> bool:
        """Write changed blocks but `keep_back`, neighbours together: all, or those of which `wanted` says so. True when there were some."""
        run: list[bytes] = []
        chosen = {block for block in self._dirty if block != self.keep_back and (wanted is None or wanted(block))}
        start = 0
        limit = max(1, _RUN_LIMIT // self.block_size)
        for block in sorted(chosen):
            if run and (block != start + len(run) or len(run) >= limit):
                self.device.writev(start * self.block_size, run)
                run = []
            if not run:
                start = block
            run.append(self._blocks[block])
        if run:
            self.device.writev(start * self.block_size, run)
        self._dirty -= chosen
        return bool(chosen)

    def _keep(self, block: int, data: bytes) -> None:
        if block not in self._blocks and (len(self._blocks) + 1) * self.block_size > self._cache_limit:
            if len(self._dirty) * 2 > len(self._blocks):
                self.spill()
            for number in self._blocks.keys() - self._dirty - {self.keep_back}:
                del self._blocks[number]
        self._blocks[block] = data

    # What the library calls

    def _guarded(self, code: int, work: Any, *args: Any) -> int:  # noqa: ANN401 - any callback
        """The result code of a callback; exceptions must not cross C frames."""
        try:
            work(*args)
        except BaseException as error:
            self.failure = error
            return code
        return 0

    def _make_manager(self) -> Any:  # noqa: ANN401 - a C structure
        ffi = self._ffi
        code = "errcode_t"
        name = ffi.new("char[]", b"bpscript")
        self._callbacks: dict[str, Any] = {
            "open": ffi.callback(f"{code}(*)(const char *, int, io_channel *)", self._on_open, error=SHORT_READ),
            "close": ffi.callback(f"{code}(*)(io_channel)", lambda channel: 0, error=SHORT_READ),
            "set_blksize": ffi.callback(f"{code}(*)(io_channel, int)", self._on_set_block_size, error=SHORT_READ),
            "read_blk": ffi.callback(f"{code}(*)(io_channel, unsigned long, int, void *)", self._on_read, error=SHORT_READ),
            "write_blk": ffi.callback(f"{code}(*)(io_channel, unsigned long, int, const void *)", self._on_write, error=SHORT_WRITE),
            "flush": ffi.callback(f"{code}(*)(io_channel)", lambda channel: 0, error=SHORT_WRITE),
            "write_byte": ffi.callback(
                f"{code}(*)(io_channel, unsigned long, int, const void *)", self._on_write_bytes, error=SHORT_WRITE
            ),
            "read_blk64": ffi.callback(f"{code}(*)(io_channel, unsigned long long, int, void *)", self._on_read, error=SHORT_READ),
            "write_blk64": ffi.callback(
                f"{code}(*)(io_channel, unsigned long long, int, const void *)", self._on_write, error=SHORT_WRITE
            ),
        }
        manager = ffi.new("struct struct_io_manager *", {"magic": IO_MANAGER_MAGIC, "name": name, **self._callbacks})
        self._name = name
        return manager

    def _on_open(self, name: Any, flags: int, channel: Any) -> int:  # noqa: ANN401
        opened = self._ffi.new("struct struct_io_channel *")
        opened.magic = IO_CHANNEL_MAGIC
        opened.manager = self.manager
        opened.name = self._name
        opened.block_size = 1024
        opened.refcount = 1
        self._channel = opened      # the library only borrows it
        channel[0] = opened
        return 0

    def _on_set_block_size(self, channel: Any, size: int) -> int:  # noqa: ANN401
        if size == self.block_size:
            return 0
        result = self._guarded(SHORT_WRITE, self.write_back)
        self._blocks.clear()
        self.block_size = size
        channel.block_size = size
        return result

    def _on_read(self, channel: Any, block: int, count: int, target: Any) -> int:  # noqa: ANN401
        return self._guarded(SHORT_READ, self._read, block, count, target)

    def _on_write(self, channel: Any, block: int, count: int, source: Any) -> int:  # noqa: ANN401
        try:
            if count == 1:
                self.write_block(block, self._ffi.buffer(source, self.block_size)[:])
            else:
                self._write_bytes(block * self.block_size, -count if count < 0 else count * self.block_size, source)
        except BaseException as error:
            self.failure = error
            return SHORT_WRITE
        return 0

    def _on_write_bytes(self, channel: Any, offset: int, count: int, source: Any) -> int:  # noqa: ANN401
        return self._guarded(SHORT_WRITE, self._write_bytes, offset, count, source)

    def _read(self, block: int, count: int, target: Any) -> None:  # noqa: ANN401
        size = self.block_size
        length = -count if count < 0 else count * size
        view = self._ffi.buffer(target, length)
        position = 0
        while position < length:
            step = min(size, length - position)
            view[position : position + step] = self.read_block(block)[:step]
            position += step
            block += 1

    def _write_bytes(self, offset: int, length: int, source: Any) -> None:  # noqa: ANN401
        data = self._ffi.buffer(source, length)[:]
        size = self.block_size
        while data:
            block, start = divmod(offset, size)
            step = min(size - start, len(data))
            old = self.read_block(block) if step < size else b""
            self.write_block(block, old[:start] + data[:step] + old[start + step :])
            offset += step
            data = data[step:]
