"""Reads pictures as upright RGB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .sandbox import DEFAULT_LIMITS, Decoder, DecoderLimits

if TYPE_CHECKING:
    from pathlib import Path

    from .arrays import Pixels


def read_image(path: Path, *, limits: DecoderLimits = DEFAULT_LIMITS) -> Pixels:
    """Return uint8 [H, W, 3], turned as its EXIF orientation says.

    The first frame of an animation is taken, transparency becomes white, 16-bit and
    CMYK pictures become 8-bit sRGB. Raises UnsupportedMediaError, TooLargeError (too many
    pixels, found in the header) or UnreadableMediaError.
    """
    with Decoder(path, "picture", limits) as decoder:
        facts = decoder.facts()
        height, width = int(facts["height"]), int(facts["width"])
        return _pixels(decoder, (height, width, 3))


def read_mask(path: Path, *, limits: DecoderLimits = DEFAULT_LIMITS) -> np.ndarray:
    """Return bool [H, W]: True where the picture is brighter than mid-grey and opaque."""
    with Decoder(path, "picture", limits, grey=True) as decoder:
        facts = decoder.facts()
        return _pixels(decoder, (int(facts["height"]), int(facts["width"]))) > 127


def _pixels(decoder: Decoder, shape: tuple[int, ...]) -> Pixels:
    return np.frombuffer(decoder.data(int(np.prod(shape))), np.uint8).reshape(shape)
