"""Extended attributes, through the library: they live behind the inode's fields, in a block of their own, or in inodes.

Names are full ("user.comment", "security.capability", "system.posix_acl_access"); values are the bytes getxattr(2) gives, which
for ACLs is the form of linux posix_acl_xattr.h. "system.data" is how inline data is stored and is none.
"""

import struct
from collections.abc import Mapping
from typing import Any

from ...base.errors import FormatError, StorageError
from .library import NO_ROOM_FOR_XATTR, load

_INLINE_DATA = "system.data"
_PREFIXES = ("user.", "trusted.", "security.", "system.")       # linux xattr.h; ext4 knows no other
_ACLS = ("system.posix_acl_access", "system.posix_acl_default")
_ACL_ENTRY = struct.Struct("<HHI")      # linux posix_acl_xattr.h: e_tag, e_perm, e_id, behind four bytes of version
_ACL_NAMED = {0x02, 0x08}               # ACL_USER, ACL_GROUP: the only tags with an id
_ACL_UNDEFINED_ID = 0xFFFF_FFFF
_MAX_NAMES = 4096       # more are no attributes but damage


class Xattrs:
    """The attributes of one inode, while open. Use as a context manager."""

    def __init__(self, filesystem: Any, number: int, check: Any) -> None:  # noqa: ANN401 - C structures, a callback
        self._ffi, self._library = load()
        self._check = check
        self._handle = self._ffi.new("void **")
        check(self._library.ext2fs_xattrs_open(filesystem, number, self._handle), "extended attributes")

    def __enter__(self) -> "Xattrs":
        try:
            self._check(self._library.ext2fs_xattrs_read(self._handle[0]), "extended attributes")
        except BaseException:
            self._library.ext2fs_xattrs_close(self._handle)
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._library.ext2fs_xattrs_close(self._handle)

    def read(self) -> dict[str, bytes]:
        """All attributes, sorted by name."""
        return {name: self._value(name) for name in sorted(self._names())}

    def replace(self, wanted: Mapping[str, bytes]) -> None:
        """Make the attributes exactly these. Raises StorageError when they do not fit or a name has no known prefix."""
        present = self._names()
        for name in present:
            if name not in wanted:
                self._set(self._library.ext2fs_xattr_remove(self._handle[0], name.encode("utf-8", "surrogateescape")), name)
        for name, value in wanted.items():
            if not name.startswith(_PREFIXES):
                raise StorageError(f'extended attribute "{name}" has a prefix that ext does not know')
            if name == _INLINE_DATA or (name in present and self._value(name) == value):
                continue
            encoded = name.encode("utf-8", "surrogateescape")
            self._set(self._library.ext2fs_xattr_set(self._handle[0], encoded, value, len(value)), name)

    def _set(self, code: int, name: str) -> None:
        if code in NO_ROOM_FOR_XATTR:
            raise StorageError(f'extended attribute "{name}" does not fit; all of a file\'s attributes share one block')
        self._check(code, f'extended attribute "{name}"')

    def _names(self) -> list[str]:
        ffi = self._ffi
        names: list[str] = []

        def visit(name: Any, value: Any, length: int, data: Any) -> int:  # noqa: ANN401
            names.append(ffi.string(name).decode("utf-8", "surrogateescape"))
            return int(len(names) > _MAX_NAMES)

        callback = ffi.callback("int(*)(char *, char *, size_t, void *)", visit)
        self._check(self._library.ext2fs_xattrs_iterate(self._handle[0], callback, ffi.NULL), "extended attributes")
        if len(names) > _MAX_NAMES:
            raise FormatError("an inode has thousands of extended attributes")
        return [name for name in names if name != _INLINE_DATA]

    def _value(self, name: str) -> bytes:
        ffi = self._ffi
        value, length = ffi.new("void **"), ffi.new("size_t *")
        self._check(
            self._library.ext2fs_xattr_get(self._handle[0], name.encode("utf-8", "surrogateescape"), value, length), f'attribute "{name}"'
        )
        data: bytes = ffi.buffer(value[0], length[0])[:]
        self._library.ext2fs_free_mem(value)
        return _as_the_kernel_says(data) if name in _ACLS else data


def _as_the_kernel_says(acl: bytes) -> bytes:
    """The library leaves ids of 0 where getxattr(2) has "undefined"."""
    if len(acl) % _ACL_ENTRY.size != 4:
        return acl
    entries = ((tag, permissions, number if tag in _ACL_NAMED else _ACL_UNDEFINED_ID) for tag, permissions, number in _ACL_ENTRY.iter_unpack(acl[4:]))
    return acl[:4] + b"".join(_ACL_ENTRY.pack(*entry) for entry in entries)
