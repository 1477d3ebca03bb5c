"""Attributes and access control lists in the words of other programs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.archive.tar_xattrs import is_minimal, of_acl, of_libarchive

FULL = "02000000 0100 0600 ffffffff 0200 0700 f6010000 0400 0400 ffffffff 0800 0500 0a000000 1000 0700 ffffffff 2000 0000 ffffffff"


@pytest.mark.parametrize(
    "text",
    [
        b"user::rw-,user:502:rwx,group::r--,group:10:r-x,mask::rwx,other::---",
        b"user::rw-,user:lisa:rwx:502,group::r--,group:wheel:r-x:10,mask::rwx,other::---",
        b"other::---\nmask::rwx\ngroup:10:r-x\ngroup::r--\nuser:502:rwx\nuser::rw-\n",
        b"u::rw-,u:502:rwx,g::r--,g:10:r-x,m:rwx,o:---",
        b"user::rw-,user:502:rwx\t#effective:rwx,group::r--,group:10:r-x,mask::rwx,other::---",
    ],
    ids=["numbers", "names-and-numbers", "lines", "short", "remarks"],
)
def test_a_list_becomes_what_the_kernel_has_on_disk(text: bytes) -> None:
    """As setfacl(1) leaves it in system.posix_acl_access."""
    assert of_acl(text) == bytes.fromhex(FULL)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"user::rw-", b"user::rw-,group::r--", b"user::rw-,group::r--,other::r--,user:lisa:rw-,mask::rw-", b"user::rwz,group::r--,other::r--",
        b"user::rw-,user::r--,group::r--,other::r--", b"user::rw-,user:5:r--,group::r--,other::r--", b"user::rw-,group::r--,other::r--,spam::r--",
        b"user::rw-,user:4294967295:r--,group::r--,mask::r--,other::r--", b"user::rw-,user:5:r--,user:5:rw-,group::r--,mask::r--,other::r--",
        b"a:b:c:d:e:f", b"\xff\0",
    ],
    ids=[
        "empty", "owner-only", "no-others", "name-without-number", "unknown-letter", "owner-twice", "no-mask", "unknown-tag", "no-id",
        "user-twice", "too-many-parts", "bytes",
    ],
)  # fmt: skip
def test_a_list_that_makes_no_sense_is_none(text: bytes) -> None:
    assert of_acl(text) is None


def test_a_list_that_says_what_the_mode_says_is_known() -> None:
    assert is_minimal(of_acl(b"user::rw-,group::r--,other::---") or b"")
    assert not is_minimal(bytes.fromhex(FULL))


def test_attributes_of_libarchive() -> None:
    assert of_libarchive(b"LIBARCHIVE.xattr.user.a%3Db%25", b"AAH/") == ("user.a=b%", b"\0\1\xff")
    assert of_libarchive(b"LIBARCHIVE.xattr.user.short", b"AA") == ("user.short", b"\0")
    assert of_libarchive(b"LIBARCHIVE.xattr.user.empty", b"") == ("user.empty", b"")
    assert of_libarchive(b"LIBARCHIVE.xattr.user.bad", b"***") is None
    assert of_libarchive(b"LIBARCHIVE.xattr.", b"AA") is None
    assert of_libarchive(b"LIBARCHIVE.xattr.a%00b", b"AA") is None


@given(st.binary(max_size=60))
def test_any_bytes_are_an_attribute_or_none(data: bytes) -> None:
    assert isinstance(of_acl(data), bytes | None)
    found = of_libarchive(b"LIBARCHIVE.xattr." + data, data)
    assert found is None or isinstance(found, tuple)
