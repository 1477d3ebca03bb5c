"""The tar formats as tables: header block, types, pax records. Read by `tar_read`, written by `tar_write`.

Sources: POSIX.1-2017, utility `pax`, "ustar Interchange Format" and "pax Interchange Format"; GNU tar manual, "Basic Tar
Format" (long names, base-256 numbers, sparse files); star(5), libarchive tar(5) for SCHILY.xattr.
"""

from struct import Struct

BLOCK = 512                    # everything is padded to blocks of 512 bytes
ZERO_BLOCK = bytes(BLOCK)
END = bytes(2 * BLOCK)         # two blocks of zeros end an archive
RECORD = 20 * BLOCK            # tar pads the whole to this, by tradition

# offset  field              NUL-ended text, or octal digits ended by NUL or blank
#   +0    name        100
#   +100  mode          8
#   +108  uid           8
#   +116  gid           8
#   +124  size         12
#   +136  mtime        12    seconds since 1970
#   +148  checksum      8    sum of all bytes of the block, these eight counted as blanks
#   +156  type          1
#   +157  link name   100
#   +257  magic         8    "ustar\0" "00" (POSIX) or "ustar  \0" (GNU)
#   +265  user name    32
#   +297  group name   32
#   +329  major         8
#   +337  minor         8
#   +345  prefix      155    POSIX only: the path is prefix/name
HEADER = Struct("100s24s12s12s8s1s100s8s64x8s8s155s12x")      # for reading: mode, uid and gid in one field
HEADER_BUILD = Struct("100s8s8s8s12s12s8s1s100s8s64x8s8s155s12x")
assert HEADER.size == HEADER_BUILD.size == BLOCK
CHECKSUM = slice(148, 156)
POSIX_MAGIC = b"ustar\x0000"
GNU_MAGIC = b"ustar  \x00"

FILE, OLD_FILE, HARD_LINK, SYMLINK = b"0", b"\0", b"1", b"2"
CHARACTER_DEVICE, BLOCK_DEVICE, DIRECTORY, FIFO, CONTIGUOUS = b"3", b"4", b"5", b"6", b"7"
PAX, PAX_GLOBAL, PAX_SOLARIS = b"x", b"g", b"X"
GNU_LONG_NAME, GNU_LONG_LINK, GNU_SPARSE, GNU_VOLUME, GNU_DUMP_DIRECTORY = b"L", b"K", b"S", b"V", b"D"

XATTR = b"SCHILY.xattr."
# What only FAT knows travels as an extended attribute, "attributes created_ns short_name": GNU tar prints a warning for every
# keyword it does not know, for every file, but is silent about attributes (and keeps them, when asked with --xattrs).
DOS_XATTR = "user.bpscript.dos"

# Bounds for what comes from outside.
MAX_EXTENSION = 4 << 20        # bytes of one pax or long-name header; the kernel's limit for all xattrs of a file is 64 KiB each
MAX_PATH = 32 << 10            # bytes of a path; PATH_MAX is 4096
MAX_FILE = 1 << 60             # bytes of a file
MAX_TIME = 1 << 40             # seconds, either way: 34,000 years
