"""What we use of libext2fs, in C; `bindings.py` is made of it.

Source: e2fsprogs 1.47 `lib/ext2fs/ext2fs.h` and `ext2_io.h`, `lib/et/com_err.h`. The functions and the heads of the structures below
have kept their shape since 1.43; only the heads are declared, and the library itself allocates them.
"""

import tempfile
from pathlib import Path

DECLARATIONS = """
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
errcode_t ext2fs_find_first_set_inode_bitmap2(void *map, ext2_ino_t start, ext2_ino_t end, ext2_ino_t *found);
errcode_t ext2fs_inode_csum_set(ext2_filsys fs, ext2_ino_t ino, void *inode);
blk64_t ext2fs_inode_table_loc(ext2_filsys fs, uint32_t group);
errcode_t ext2fs_flush_icache(ext2_filsys fs);

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

struct error_table {
    const char *const *msgs;
    long base;
    unsigned int n_msgs;
};
extern const struct error_table et_ext2_error_table;

errcode_t ext2fs_inline_data_size(ext2_filsys fs, ext2_ino_t ino, size_t *size);
errcode_t ext2fs_inline_data_expand(ext2_filsys fs, ext2_ino_t ino);
errcode_t ext2fs_inline_data_get(ext2_filsys fs, ext2_ino_t ino, void *inode, void *buffer, size_t *size);
"""

_HEAD = """# Made from declarations.py: parsing C on every start would cost more than most scripts. A test keeps the two together.
# ruff: noqa
# mypy: ignore-errors
"""


def bindings() -> str:
    """The text of `bindings.py`: cffi's out-of-line form of the ABI mode, which needs no compiler and no parser."""
    from cffi import FFI  # noqa: PLC0415 - not needed at run time

    ffi = FFI()
    ffi.cdef(DECLARATIONS)
    ffi.set_source("bindings", None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bindings.py"
        ffi.emit_python_code(str(path))
        return _HEAD + path.read_text(encoding="ascii")
