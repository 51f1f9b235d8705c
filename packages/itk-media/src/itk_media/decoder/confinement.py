"""Takes rights away from the decoding process before it sees a foreign byte."""

from __future__ import annotations

import contextlib
import platform
import resource
import struct
import sys
from typing import Any

MEBIBYTE = 1 << 20

# linux/audit.h, linux/seccomp.h, linux/prctl.h, bits/fcntl.h
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ALLOW, _REFUSE, _ABSENT = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38  # EPERM, ENOSYS
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER_MODE = 38, 22, 2
_THREAD_FLAG = 0x00010000
_WRITING_FLAGS = 0o3 | 0o100 | 0o1000  # write, read and write, create, truncate

# System calls by number. Sockets, programs, processes, other processes' memory, and
# changes to folders are refused; clone and openat are looked at more closely.
_REFUSED = {
    "x86_64": (
        *(41, 42, 44, 46, 49, 53, 425),  # socket connect sendto sendmsg bind socketpair io_uring
        *(57, 58, 59, 62, 101, 310, 311, 322),  # fork vfork execve kill ptrace process_vm execveat
        *(76, 82, 83, 84, 85, 86, 87, 88, 90, 92, 165),  # truncate rename mkdir ... mount
        *(258, 260, 263, 264, 265, 266, 268, 316),  # the same, relative to a folder
    ),
    "aarch64": (
        *(198, 199, 200, 203, 206, 211, 425),
        *(117, 129, 221, 270, 271, 281),
        *(34, 35, 36, 37, 38, 40, 45, 53, 54, 276),
    ),
}
_UNINSPECTABLE = (435, 437)  # clone3 and openat2 hide their flags; their elders are used instead
_CLONE = {"x86_64": 56, "aarch64": 220}
_OPEN_FLAGS_AT = {"x86_64": {257: 32, 2: 24}, "aarch64": {56: 32}}


def confine(limits: dict[str, Any]) -> None:
    """Set this process's limits; one that the machine refuses is left out.

    Address space can be refused (macOS) or be counted strangely (some sandboxed
    kernels); processor time, file size and open files always hold.
    """
    _limit("RLIMIT_AS", int(limits["memory_bytes"]))
    _limit("RLIMIT_CPU", int(limits["cpu_seconds"]))
    _limit("RLIMIT_FSIZE", MEBIBYTE)
    _limit("RLIMIT_NOFILE", 64)
    _limit("RLIMIT_CORE", 0)
    forbid_network_and_programs()


def forbid_network_and_programs() -> bool:
    """Have the kernel refuse sockets, new programs and writing to disk from now on.

    Returns False where the kernel or the processor is another than this knows; the
    process is then held by its limits and by opening no names at all.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _ARCHITECTURES:
        return False
    import ctypes

    program = _filter_program(machine)
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return False
    return library.prctl(_SET_SECCOMP, _FILTER_MODE, header, 0, 0) == 0


def _filter_program(machine: str) -> bytes:
    """Write the kernel's filter: each instruction is a code, two jumps and a value."""
    steps: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, 0, 1, 0x40000000),  # the x32 interface: the same calls by other numbers
        (_RETURN, 0, 0, _REFUSE),
    ]
    for number in _REFUSED[machine]:
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    for number in _UNINSPECTABLE:
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ABSENT)]
    steps += [
        (_EQUAL, 0, 4, _CLONE[machine]),
        (_LOAD, 0, 0, 16),
        (_ANY_BIT, 1, 0, _THREAD_FLAG),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    for number, flags_at in _OPEN_FLAGS_AT[machine].items():
        steps += [
            (_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, flags_at),
            (_ANY_BIT, 0, 1, _WRITING_FLAGS),
            (_RETURN, 0, 0, _REFUSE),
            (_RETURN, 0, 0, _ALLOW),
        ]
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _limit(name: str, value: int) -> None:
    which = getattr(resource, name, None)
    if which is None:
        return
    _, hard = resource.getrlimit(which)
    ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(which, (ceiling, ceiling))
