"""Turns a decoded frame into upright RGB with square pixels."""

from __future__ import annotations

from struct import unpack
from typing import TYPE_CHECKING, cast

import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import ColorRange, Colorspace

if TYPE_CHECKING:
    from av.sidedata.sidedata import SideData
    from av.video.frame import VideoFrame

    from itk_media.arrays import Pixels

HIGH_DEFINITION_LINES = 720
_UNSPECIFIED = 2


def to_rgb(frame: VideoFrame, size: tuple[int, int]) -> Pixels:
    """Return uint8 [H, W, 3]; ``size`` is (width, height) before the frame is turned."""
    width, height = size
    converted = frame.reformat(
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=_colorspace(frame),
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.JPEG,
        interpolation="BICUBIC",
    )
    return turn(cast("Pixels", converted.to_ndarray()), orientation(frame))


def orientation(frame: VideoFrame) -> tuple[int, int, int, int]:
    """Return the signs (a, b, c, d) of the display matrix: x' = a*x + c*y, y' = b*x + d*y."""
    for side in cast("list[SideData]", list(frame.side_data)):
        if side.type == Type.DISPLAYMATRIX and side.buffer_size == 36:
            a, b, _, c, d, *_ = unpack("=9i", memoryview(side))
            return _sign(a), _sign(b), _sign(c), _sign(d)
    return (1, 0, 0, 1)


def is_turned(frame: VideoFrame) -> bool:
    """Say whether width and height change places when the frame is put upright."""
    a, b, c, d = orientation(frame)
    return a == d == 0 and b != 0 and c != 0


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)


def turn(pixels: Pixels, matrix: tuple[int, int, int, int]) -> Pixels:
    """Apply one of the eight right-angled orientations."""
    a, b, c, d = matrix
    if a == d == 0 and b and c:
        pixels = pixels.swapaxes(0, 1)
        a, d = c, b
    pixels = pixels[:: d or 1, :: a or 1]
    return np.ascontiguousarray(pixels)


def _colorspace(frame: VideoFrame) -> int:
    """Name the matrix the frame was coded with; unmarked ones follow players' custom."""
    if frame.colorspace != _UNSPECIFIED:
        return frame.colorspace
    high = max(frame.width, frame.height) > HIGH_DEFINITION_LINES
    return Colorspace.ITU709 if high else Colorspace.ITU601
