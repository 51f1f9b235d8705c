"""Keeps compiled kernels where they outlive the process."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def keep_kernels(folder: Path) -> None:
    """Let Triton keep what it compiles in a folder, such as one on a volume.

    Each kernel takes a second or so to compile, once for every kind of GPU and every release of
    Triton; a new worker that finds them there starts without. Does nothing without Triton.
    """
    if find_spec("triton") is None:
        return
    from triton import knobs

    folder.mkdir(parents=True, exist_ok=True)
    knobs.cache.dir = str(folder)
