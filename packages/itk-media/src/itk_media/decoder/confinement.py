"""Takes rights away from the decoding process before it sees a foreign byte."""

from __future__ import annotations

import contextlib
import resource
from typing import Any

MEBIBYTE = 1 << 20


def confine(limits: dict[str, Any]) -> None:
    """Set this process's resource limits; one that the machine refuses is left out.

    Address space can be refused (macOS) or be counted strangely (some sandboxed
    kernels); processor time, file size and open files always hold.
    """
    _limit("RLIMIT_AS", int(limits["memory_bytes"]))
    _limit("RLIMIT_CPU", int(limits["cpu_seconds"]))
    _limit("RLIMIT_FSIZE", MEBIBYTE)
    _limit("RLIMIT_NOFILE", 64)
    _limit("RLIMIT_CORE", 0)


def _limit(name: str, value: int) -> None:
    which = getattr(resource, name, None)
    if which is None:
        return
    _, hard = resource.getrlimit(which)
    ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(which, (ceiling, ceiling))
