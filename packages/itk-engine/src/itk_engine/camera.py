"""Turns a still picture into a slow camera movement."""

from typing import Literal

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Motion = Literal["none", "zoom_in", "zoom_out", "pan_left", "pan_right"]

_REACH = 0.15  # how much of the picture's width and height the movement uses up
_FRAMES_OF_ONE_WAY = 25 * 40  # a longer video goes back and forth


@frozen(kw_only=True)
class Camera:
    """A camera that goes one way over the whole video, or back and forth over a long one."""

    motion: Motion
    frames: int

    @classmethod
    def over(cls, frames: int, motion: Motion) -> "Camera":
        """Return the camera for a video of so many frames."""
        return cls(motion=motion, frames=min(frames, _FRAMES_OF_ONE_WAY))

    def look(self, picture: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        """Return what the camera sees of a picture [h, w, 3] at a frame, in the picture's size."""
        from PIL import Image

        height, width = picture.shape[:2]
        left, top, right, bottom = self.window(index)
        box = (left * width, top * height, right * width, bottom * height)
        seen = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC, box=box)
        return np.array(seen)

    def window(self, index: int) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the view at a frame, as shares of the picture."""
        share = self._progress(index)
        if self.motion == "zoom_out":
            share = 1 - share
        if self.motion in {"zoom_in", "zoom_out"}:
            cut = share * _REACH / 2
            return cut, cut, 1 - cut, 1 - cut
        if self.motion == "pan_left":
            share = 1 - share
        left, top = share * _REACH, _REACH / 2
        return left, top, left + 1 - _REACH, top + 1 - _REACH

    def _progress(self, index: int) -> float:
        """Return 0 at the start and 1 at the end of a way, slow at both."""
        ways, within = divmod(index, max(self.frames, 1))
        share = within / max(self.frames, 1)
        if ways % 2:
            share = 1 - share
        return (1 - float(np.cos(np.pi * share))) / 2
