"""libext2fs through cffi in ABI mode: declarations, loading, and its error codes as our errors.

Source: e2fsprogs 1.47 `lib/ext2fs/ext2fs.h` and `ext2_io.h`. The functions and the heads of the structures below have kept their
shape since 1.43; only their heads are declared, and the library itself allocates them.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from ...base.errors import BpscriptError, FormatError, NoSpaceError, StorageError

_DECLARATIONS = """
typedef long errcode_t;
typedef uint32_t ext2_ino_t;
typedef unsigned long long blk64_t;
typedef struct struct_ext2_filsys *ext2_filsys;
typedef struct struct_io_manager *io_manager;
typedef struct struct_io_channel *io_channel;

struct struct_io_channel {
    errcode_t magic;
    io_manager manager;
    char *name;
    int block_size;
    void *read_error;
    void *write_error;
    int refcount;
    int flags;
    long reserved[14];
    void *private_data;
    void *app_data;
    int align;
};

struct struct_io_manager {
    errcode_t magic;
    const char *name;
    errcode_t (*open)(const char *name, int flags, io_channel *channel);
    errcode_t (*close)(io_channel channel);
    errcode_t (*set_blksize)(io_channel channel, int block_size);
    errcode_t (*read_blk)(io_channel channel, unsigned long block, int count, void *data);
    errcode_t (*write_blk)(io_channel channel, unsigned long block, int count, const void *data);
    errcode_t (*flush)(io_channel channel);
    errcode_t (*write_byte)(io_channel channel, unsigned long offset, int count, const void *data);
    void *set_option;
    void *get_stats;
    errcode_t (*read_blk64)(io_channel channel, unsigned long long block, int count, void *data);
    errcode_t (*write_blk64)(io_channel channel, unsigned long long block, int count, const void *data);
    void *discard;
    void *cache_readahead;
    void *zeroout;
    long reserved[14];
};

struct struct_ext2_filsys {
    errcode_t magic;
    io_channel io;
    int flags;
    char *device_name;
    unsigned char *super;
    unsigned int blocksize;
    int fragsize;
    uint32_t group_desc_count;
    unsigned long desc_blocks;
    void *group_desc;
    unsigned int inode_blocks_per_group;
    void *inode_map;
    void *block_map;
    void *callbacks[5];
    void *badblocks;
    void *dblist;
    uint32_t stride;
    void *orig_super;
    void *image_header;
    uint32_t umask;
    long now;
};

errcode_t ext2fs_open2(const char *name, const char *io_options, int flags, int superblock, unsigned int block_size,
                       io_manager manager, ext2_filsys *fs);
void ext2fs_free(ext2_filsys fs);
errcode_t ext2fs_flush2(ext2_filsys fs, int flags);
errcode_t ext2fs_read_bitmaps(ext2_filsys fs);

errcode_t ext2fs_new_inode(ext2_filsys fs, ext2_ino_t dir, int mode, void *map, ext2_ino_t *ino);
void ext2fs_inode_alloc_stats2(ext2_filsys fs, ext2_ino_t ino, int in_use, int is_directory);
errcode_t ext2fs_read_inode_full(ext2_filsys fs, ext2_ino_t ino, void *inode, int size);
errcode_t ext2fs_write_inode_full(ext2_filsys fs, ext2_ino_t ino, const void *inode, int size);

void ext2fs_block_alloc_stats_range(ext2_filsys fs, blk64_t block, uint32_t count, int in_use);
errcode_t ext2fs_find_first_zero_block_bitmap2(void *map, blk64_t start, blk64_t end, blk64_t *found);
errcode_t ext2fs_find_first_set_block_bitmap2(void *map, blk64_t start, blk64_t end, blk64_t *found);

uint32_t ext2fs_crc32c_le(uint32_t crc, const unsigned char *data, size_t length);
errcode_t ext2fs_dir_block_csum_set(ext2_filsys fs, ext2_ino_t ino, void *block);
int ext2fs_dir_block_csum_verify(ext2_filsys fs, ext2_ino_t ino, void *block);
errcode_t ext2fs_extent_block_csum_set(ext2_filsys fs, ext2_ino_t ino, void *block);
int ext2fs_extent_block_csum_verify(ext2_filsys fs, ext2_ino_t ino, void *block);
errcode_t ext2fs_dirhash2(int version, const char *name, int length, const void *charset, int flags, const void *seed,
                          uint32_t *hash, uint32_t *minor_hash);

errcode_t ext2fs_xattrs_open(ext2_filsys fs, ext2_ino_t ino, void **handle);
errcode_t ext2fs_xattrs_read(void *handle);
errcode_t ext2fs_xattrs_iterate(void *handle, int (*visit)(char *name, char *value, size_t length, void *data), void *data);
errcode_t ext2fs_xattr_get(void *handle, const char *name, void **value, size_t *length);
errcode_t ext2fs_xattr_set(void *handle, const char *name, const void *value, size_t length);
errcode_t ext2fs_xattr_remove(void *handle, const char *name);
errcode_t ext2fs_xattrs_close(void **handle);
errcode_t ext2fs_free_ext_attr(ext2_filsys fs, ext2_ino_t ino, void *inode);
void ext2fs_free_mem(void *pointer);

errcode_t ext2fs_inline_data_size(ext2_filsys fs, ext2_ino_t ino, size_t *size);
errcode_t ext2fs_inline_data_expand(ext2_filsys fs, ext2_ino_t ino);
errcode_t ext2fs_inline_data_get(ext2_filsys fs, ext2_ino_t ino, void *inode, void *buffer, size_t *size);
"""

FLAG_RW = 0x1                   # ext2fs.h: EXT2_FLAG_*
FLAG_CHANGED = 0x2
FLAG_DIRTY = 0x4
FLAG_MASTER_SB_ONLY = 0x200
FLAG_64BITS = 0x20000
FLAG_SKIP_MMP = 0x100000
FLUSH_NO_SYNC = 1
IO_CHANNEL_MAGIC = 2133571333   # ext2_err.h: EXT2_ET_MAGIC_IO_CHANNEL, EXT2_ET_MAGIC_IO_MANAGER
IO_MANAGER_MAGIC = 2133571335
SHORT_READ = 2133571364         # EXT2_ET_SHORT_READ, EXT2_ET_SHORT_WRITE
SHORT_WRITE = 2133571365
_NO_SPACE = {28, 2133571400, 2133571401}           # ENOSPC, EXT2_ET_BLOCK_ALLOC_FAIL, EXT2_ET_INODE_ALLOC_FAIL
NO_ROOM_FOR_XATTR = {2133571487, 2133571491}       # EXT2_ET_EA_BAD_VALUE_SIZE, EXT2_ET_EA_NO_SPACE
_LIBRARY = "libext2fs.so.2"


@cache
def load() -> tuple[Any, Any]:
    """The cffi object and the library. Raises StorageError with the name of the package that brings it."""
    from cffi import FFI  # noqa: PLC0415 - 20 ms that only ext volumes cost

    ffi = FFI()
    ffi.cdef(_DECLARATIONS)
    try:
        return ffi, ffi.dlopen(_LIBRARY)
    except OSError as error:
        raise StorageError(
            f"ext2, ext3 and ext4 volumes need {_LIBRARY}, which is not installed", hint="apt install libext2fs2 e2fsprogs"
        ) from error


@cache
def _messages() -> Callable[[int], str]:
    """The error texts of e2fsprogs: error_message(3) of libcom_err, with the table of libext2fs registered."""
    from cffi import FFI  # noqa: PLC0415

    ffi = FFI()
    ffi.cdef("const char *error_message(long code); void initialize_ext2_error_table(void);")
    common: Any = ffi.dlopen("libcom_err.so.2")
    library: Any = ffi.dlopen(_LIBRARY)
    library.initialize_ext2_error_table()

    def message(code: int) -> str:
        text = ffi.string(common.error_message(code))
        return text.decode("utf-8", "replace") if isinstance(text, bytes) else text

    return message


def error_for(code: int, what: str) -> BpscriptError:
    """The error for a result code: NoSpaceError where room is missing, FormatError for everything the volume did wrong."""
    if code in _NO_SPACE:
        inodes = code == 2133571401
        return NoSpaceError(f"{what}: the volume has no {'inode' if inodes else 'block'} left")
    try:
        text = _messages()(code)
    except OSError:
        text = f"libext2fs error {code}"
    return FormatError(f"{what}: {text[:1].lower()}{text[1:]}")
