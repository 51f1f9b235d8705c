"""Lets a file appear under its name only when it is complete."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def partial_path(path: Path) -> Path:
    """Return the name a file has while it is being made."""
    return path.with_name(path.name + ".part")


def publish(part: Path, path: Path) -> None:
    """Flush a finished part to disk and give it its name, replacing what was there."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


@contextmanager
def partial_file(path: Path) -> Iterator[Path]:
    """Give the name to write to; at the end it becomes ``path``, or vanishes on an error."""
    part = partial_path(path)
    try:
        yield part
        publish(part, path)
    finally:
        part.unlink(missing_ok=True)
