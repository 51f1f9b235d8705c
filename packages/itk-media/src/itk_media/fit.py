"""Chooses what part of a picture is kept when its shape must change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from attrs import frozen

if TYPE_CHECKING:
    from .arrays import Pixels

FitMode = Literal["crop", "pad"]
Box = tuple[float, float, float, float]


@frozen(kw_only=True)
class FitPlan:
    """A region of a source picture, in its pixels; with ``pad`` it reaches over the edges."""

    left: int
    top: int
    width: int
    height: int

    def apply(self, picture: Pixels) -> Pixels:
        """Return the region of [H, W, ...]; what lies outside the picture is black."""
        height, width = picture.shape[:2]
        inside = picture[
            max(self.top, 0) : min(self.top + self.height, height),
            max(self.left, 0) : min(self.left + self.width, width),
        ]
        above, before = max(-self.top, 0), max(-self.left, 0)
        below = self.height - above - inside.shape[0]
        after = self.width - before - inside.shape[1]
        if not any((above, below, before, after)):
            return np.ascontiguousarray(inside)
        edges = [(above, below), (before, after)] + [(0, 0)] * (picture.ndim - 2)
        return np.pad(inside, edges)

    def move_box(self, box: Box) -> Box:
        """Return a box (x0, y0, x1, y1) of the source in pixels of the region, cut to it.

        Raises ValueError when nothing of the box is left.
        """
        x0, x1 = (min(max(x - self.left, 0), self.width) for x in (box[0], box[2]))
        y0, y1 = (min(max(y - self.top, 0), self.height) for y in (box[1], box[3]))
        if x0 >= x1 or y0 >= y1:
            message = (
                f"the box {list(box)} lies outside the part of the picture that is used "
                f"(x {self.left} to {self.left + self.width}, "
                f"y {self.top} to {self.top + self.height})"
            )
            raise ValueError(message)
        return (x0, y0, x1, y1)


def plan_fit(
    source: tuple[int, int],
    target: tuple[int, int],
    *,
    fit: FitMode = "crop",
    focus: tuple[float, float] = (0.5, 0.5),
) -> FitPlan:
    """Plan how a picture of (height, width) ``source`` takes the shape of ``target``.

    ``crop`` keeps the largest region of the target's shape whose middle is as near as
    possible to ``focus`` (x, y, each 0..1 of the picture). ``pad`` keeps everything and
    adds black beside or above and below, the picture lying where ``focus`` says.
    Only the shape of the target counts; resizing is left to who uses the region.
    """
    height, width = source
    _check(source, target, focus)
    wide = round(height * target[1] / target[0])
    high = round(width * target[0] / target[1])
    if (fit == "crop") == (wide <= width):
        region_height, region_width = height, max(wide, 1)
    else:
        region_height, region_width = max(high, 1), width
    if fit == "crop":
        left = _clamped(focus[0] * width - region_width / 2, width - region_width)
        top = _clamped(focus[1] * height - region_height / 2, height - region_height)
    else:
        left = round((width - region_width) * focus[0])
        top = round((height - region_height) * focus[1])
    return FitPlan(left=left, top=top, width=region_width, height=region_height)


def _clamped(start: float, most: int) -> int:
    return min(max(round(start), 0), most)


def _check(source: tuple[int, int], target: tuple[int, int], focus: tuple[float, float]) -> None:
    if min(*source, *target) < 1:
        message = f"sizes must be positive, got source {source} and target {target}"
        raise ValueError(message)
    if not all(0.0 <= part <= 1.0 for part in focus):
        message = f"focus must be two numbers within 0..1, got {list(focus)}"
        raise ValueError(message)
