"""Makes a slowly moving picture out of a still."""

from __future__ import annotations

import math
from typing import Literal

from attrs import field, frozen

from .arrays import Pixels

CameraMotion = Literal["zoom_in", "zoom_out", "pan_left", "pan_right"]
Window = tuple[float, float, float, float]


@frozen(kw_only=True)
class MovingStill:
    """A picture source whose frames are views of one still, computed when asked for.

    The view goes from one end of its way to the other and back, with a cosine's gentle
    start and stop, so that a video of any length keeps moving and never jumps.

    Attributes:
        picture: uint8 [H, W, 3]; every frame has this size.
        motion: where the view goes first.
        travel: how much of the picture's side is zoomed into or panned over.
        sweep_seconds: how long one way takes.
        frames_per_second: of the video that asks.
    """

    picture: Pixels = field(repr=False, eq=False)
    motion: CameraMotion
    travel: float = 0.12
    sweep_seconds: float = 20.0
    frames_per_second: float = 25.0

    def __attrs_post_init__(self) -> None:
        if not 0 < self.travel < 0.5:
            message = f"travel must lie between 0 and 0.5, got {self.travel}"
            raise ValueError(message)
        if self.motion not in {"zoom_in", "zoom_out", "pan_left", "pan_right"}:
            message = f"motion must be a zoom or a pan, got {self.motion!r}"
            raise ValueError(message)

    @property
    def is_still(self) -> bool:
        """A moving still is a video to those who use it."""
        return False

    def frame(self, index: int) -> Pixels:
        """Return uint8 [H, W, 3] for the ``index``-th frame, resampled to parts of a pixel."""
        import numpy as np
        from PIL import Image

        height, width = self.picture.shape[:2]
        view = Image.fromarray(self.picture).resize(
            (width, height), Image.Resampling.BICUBIC, box=self.window(index)
        )
        return np.asarray(view)

    def window(self, index: int) -> Window:
        """Return the view (left, top, right, bottom) in the picture's pixels, not rounded."""
        height, width = self.picture.shape[:2]
        turn = math.pi * index / self.frames_per_second / self.sweep_seconds
        way = (1 - math.cos(turn)) / 2
        if self.motion in {"zoom_out", "pan_left"}:
            way = 1 - way
        if self.motion in {"zoom_in", "zoom_out"}:
            share = 1 - self.travel * way
            left, top = width * (1 - share) / 2, height * (1 - share) / 2
        else:
            share = 1 - self.travel
            left, top = width * self.travel * way, height * self.travel / 2
        return (left, top, left + width * share, top + height * share)
