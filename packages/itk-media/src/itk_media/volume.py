"""Opens a caller's path only below an allowed folder, following no link out of it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .errors import InvalidSourceError

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_PATH = 4096


def open_below(text: str, roots: Iterable[Path]) -> IO[bytes]:
    """Open a regular file by an absolute path that resolves to below one of the roots.

    The resolved path is then walked folder by folder without following links, so that
    nothing can be exchanged between the check and the opening. Devices, pipes, sockets
    and files with several names (hard links) are refused.
    """
    if "\0" in text or len(text) > _LONGEST_PATH or not text.startswith("/"):
        message = "a media path must be absolute, shorter than 4096 bytes and without NUL"
        raise InvalidSourceError(message, "bad_path")
    try:
        resolved = Path(text).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        resolved = Path(os.path.normpath(text))
        _root_of(resolved, roots)
        raise InvalidSourceError("there is no such file on the volume", "not_found") from error
    root = _root_of(resolved, roots)
    return _open_plain(root, resolved.relative_to(root).parts)


def _root_of(path: Path, roots: Iterable[Path]) -> Path:
    allowed = [root.resolve() for root in roots]
    for root in allowed:
        if path != root and path.is_relative_to(root):
            return root
    names = ", ".join(str(root) for root in allowed) or "none"
    message = f"the path is outside the folders that jobs may read ({names})"
    raise InvalidSourceError(message, "outside_root")


def _open_plain(root: Path, parts: tuple[str, ...]) -> IO[bytes]:
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        for part in parts[:-1]:
            inner = os.open(part, flags | os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        descriptor = os.open(parts[-1], flags | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        reason = "not_regular" if error.errno in {errno.ELOOP, errno.ENXIO} else "not_found"
        message = f"the file on the volume cannot be opened: {error.strerror}"
        raise InvalidSourceError(message, reason) from error
    finally:
        os.close(folder)
    return _only_plain(descriptor)


def _only_plain(descriptor: int) -> IO[bytes]:
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    reason = "hard_link" if stat.S_ISREG(status.st_mode) else "not_regular"
    message = "the path must name a regular file that has one name only"
    raise InvalidSourceError(message, reason)
