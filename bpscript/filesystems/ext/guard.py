"""Keeps resize2fs from cutting a disk image.

resize2fs (e2fsprogs 1.47, resize/main.c) truncates a regular file to the new size of its file system, and does not count the
offset at which that begins: with `disk.img?offset=1048576` everything behind the partition would be lost. A seccomp filter
on that one process answers its ftruncate(2) with success and does nothing.

Sources: linux/seccomp.h, linux/filter.h, linux/audit.h; seccomp(2).
"""

import ctypes
import platform
import struct
from collections.abc import Callable

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 38, 22
_SECCOMP_MODE_FILTER = 2
_SECCOMP_RET_ALLOW, _SECCOMP_RET_ERRNO = 0x7FFF0000, 0x00050000     # with errno 0 the call seems to succeed
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06                   # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
_NUMBER, _ARCHITECTURE = 0, 4                                       # offsets in struct seccomp_data

# machine → AUDIT_ARCH_* and the number of ftruncate(2)
_CALLS = {"x86_64": (0xC000003E, 77), "aarch64": (0xC00000B7, 46)}


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def truncation_guard() -> Callable[[], None] | None:
    """What a child process calls before it runs resize2fs; None where this machine is not known."""
    found = _CALLS.get(platform.machine())
    if found is None:
        return None
    architecture, call = found
    code = b"".join(
        struct.pack("<HBBI", *instruction)
        for instruction in (
            (_LOAD, 0, 0, _ARCHITECTURE),
            (_JUMP_IF_EQUAL, 0, 3, architecture),       # another architecture: allow
            (_LOAD, 0, 0, _NUMBER),
            (_JUMP_IF_EQUAL, 0, 1, call),
            (_RETURN, 0, 0, _SECCOMP_RET_ERRNO),
            (_RETURN, 0, 0, _SECCOMP_RET_ALLOW),
        )
    )
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)

    def guard() -> None:
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
            raise OSError(ctypes.get_errno(), "this kernel cannot filter system calls")

    return guard
