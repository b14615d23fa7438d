"""A filter that has chosen system calls of this process, and of all that it starts, fail with a chosen error.

Old releases of PRoot (5.1, as Debian 12 and Ubuntu 22.04 have it) know nothing of statx(2): its paths go to the kernel
as they are, and `ls` finds nothing. Where the call fails with ENOSYS, programs and C libraries fall back to its
predecessors, which PRoot translates. The tests forbid namespaces and mounts in the same way.

Sources: seccomp(2), the kernel's `Documentation/userspace-api/seccomp_filter.rst`, `linux/filter.h`, `linux/audit.h`.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Sequence
from dataclasses import dataclass

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 38, 22
_SECCOMP_MODE_FILTER = 2
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000

_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_IF_EQUAL, _JUMP_IF_ANY_BIT = 0x15, 0x45  # BPF_JMP | BPF_JEQ | BPF_K, BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET, _FIRST_ARGUMENT_OFFSET = 0, 4, 16
"""Where `struct seccomp_data` has the call's number, the architecture, and the lower half of the first argument."""

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
STATX = {"x86_64": 332, "aarch64": 291}
"""The number of statx(2), by machine."""


@dataclass(frozen=True, slots=True)
class Forbidden:
    """A system call by its number, and the error that it fails with. With `flags`, only calls with one of these bits in
    their first argument."""

    number: int
    errno: int
    flags: int = 0


def filter_program(forbidden: Sequence[Forbidden], architecture: int) -> bytes:
    """The filter in the kernel's language: calls of another architecture, and all that is not `forbidden`, pass."""
    lines = [
        (_LOAD_WORD, 0, 0, _ARCHITECTURE_OFFSET),
        (_JUMP_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _ALLOW),
    ]
    for call in forbidden:
        refusal = (_RETURN, 0, 0, _ERRNO | call.errno)
        lines.append((_LOAD_WORD, 0, 0, _NUMBER_OFFSET))
        if call.flags:
            lines += [
                (_JUMP_IF_EQUAL, 0, 3, call.number),
                (_LOAD_WORD, 0, 0, _FIRST_ARGUMENT_OFFSET),
                (_JUMP_IF_ANY_BIT, 0, 1, call.flags),
                refusal,
            ]
        else:
            lines += [(_JUMP_IF_EQUAL, 0, 1, call.number), refusal]
    lines.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def is_possible() -> bool:
    """Whether the numbers of system calls are known for this machine."""
    return platform.machine() in _ARCHITECTURES


def forbid(forbidden: Sequence[Forbidden]) -> None:
    """Has these calls fail from now on; there is no way back, and setuid programs give no rights any more.

    OSError where the kernel has no filters, or another architecture."""
    if not is_possible():
        raise OSError(38, f"no numbers of system calls are known for {platform.machine()}")
    program = filter_program(forbidden, _ARCHITECTURES[platform.machine()])
    instructions = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, and where they are.
    wanted = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    for arguments in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, wanted, 0, 0)):
        if _libc.prctl(*arguments) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


_libc = ctypes.CDLL(None, use_errno=True)
