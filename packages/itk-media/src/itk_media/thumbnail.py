"""Writes one frame as a small JPEG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import EncodeError
from .partial import partial_file

if TYPE_CHECKING:
    from pathlib import Path

    from .arrays import Pixels


def write_thumbnail(
    frame: Pixels, path: Path, *, longest_side: int = 640, quality: int = 88
) -> None:
    """Write uint8 [H, W, 3] as JPEG, scaled down to ``longest_side``; whole or not at all."""
    from PIL import Image

    picture = Image.fromarray(frame)
    picture.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    try:
        with partial_file(path) as part:
            picture.save(part, format="JPEG", quality=quality, optimize=True)
    except OSError as error:
        raise EncodeError.from_os(error, "the thumbnail") from error
