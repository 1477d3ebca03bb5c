"""Inode records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.errors import FormatError
from bpscript.filesystems.ext.inodes import Inode, device_block, new_extra_size
from bpscript.filesystems.filesystem import FileKind

SECOND = 1_000_000_000
TIMES = st.integers(-(1 << 31) * SECOND, ((1 << 34) - (1 << 31)) * SECOND - 1)
INODES = st.builds(
    Inode,
    mode=st.integers(0, 0xFFFF), uid=st.integers(0, 2**32 - 1), gid=st.integers(0, 2**32 - 1), size=st.integers(0, 2**63),
    links=st.integers(0, 0xFFFF), blocks=st.integers(0, 2**48 - 1), flags=st.integers(0, 2**32 - 1), block=st.binary(min_size=60, max_size=60),
    atime_ns=TIMES, ctime_ns=TIMES, mtime_ns=TIMES, crtime_ns=TIMES, dtime=st.integers(0, 2**32 - 1), generation=st.integers(0, 2**32 - 1),
    file_acl=st.integers(0, 2**48 - 1), version=st.integers(0, 2**32 - 1), fragment=st.integers(0, 2**32 - 1), extra_size=st.just(32),
    tail=st.binary(min_size=104, max_size=104),
)  # fmt: skip


@given(INODES)
def test_what_is_packed_unpacks(inode: Inode) -> None:
    record = inode.pack(256)
    assert len(record) == 256
    assert vars(Inode.unpack(record)) == vars(inode)


@given(st.binary(min_size=256, max_size=256))
def test_any_record_survives_but_for_its_checksum(data: bytes) -> None:
    inode = Inode.unpack(data)
    assert vars(Inode.unpack(inode.pack(256))) == vars(inode)
    small = Inode.unpack(data[:128])
    assert len(small.pack(128)) == 128
    assert vars(Inode.unpack(small.pack(128))) == vars(small)


def test_times_in_a_small_inode_are_whole_seconds_to_2038() -> None:
    inode = Inode(mtime_ns=5 * SECOND + 7, atime_ns=(1 << 32) * SECOND, ctime_ns=-(1 << 40) * SECOND)
    found = Inode.unpack(inode.pack(128))
    assert (found.mtime_ns, found.atime_ns, found.ctime_ns) == (5 * SECOND, ((1 << 31) - 1) * SECOND, -(1 << 31) * SECOND)


@pytest.mark.parametrize(("inode_size", "wanted", "extra"), [(128, 32, 0), (256, 28, 32), (256, 32, 32), (256, 200, 128), (160, 0, 32)])
def test_extra_fields_of_new_inodes(inode_size: int, wanted: int, extra: int) -> None:
    assert new_extra_size(inode_size, wanted) == extra


@given(st.integers(0, 4095), st.integers(0, 2**20 - 1))
def test_device_numbers(major: int, minor: int) -> None:
    assert Inode(block=device_block((major, minor))).device == (major, minor)


def test_a_mode_of_no_kind() -> None:
    with pytest.raises(FormatError, match="mode is 0170644, which is no kind of file"):
        _ = Inode(mode=0o170644).kind
    assert Inode(mode=0o140644).kind is FileKind.SOCKET
