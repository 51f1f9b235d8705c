"""Finds the cuts of a video that people are dubbed in."""

from collections.abc import Iterator
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from itk_engine.chunks import FRAMES_PER_SECOND
from itk_engine.request import Picture

SHORTEST_SCENE_SECONDS = 0.5

_SIDE = 48  # pixels along each side of the thumbnails that are compared
_CHANGE = 0.08  # mean change of a pixel, of 1, that a cut has at least
_CONTRAST = 3.0  # how much more a cut changes than the frames around it
_AROUND = 4  # frames on each side that a cut is compared with


def find_cuts(picture: Picture, frames: int) -> tuple[int, ...]:
    """Return the frames, at 25 a second, at which another scene begins.

    A cut changes the picture much, and much more than the moments around it do, so that fast
    movement is none. A scene under half a second joins the one before it.
    """
    if picture.is_still:
        return ()
    changes = [
        float(np.abs(now - before).mean()) for before, now in pairwise(_thumbnails(picture, frames))
    ]
    shortest = round(SHORTEST_SCENE_SECONDS * FRAMES_PER_SECOND)
    cuts: list[int] = []
    for frame in (place + 1 for place, change in enumerate(changes) if _is_cut(changes, place)):
        before = cuts[-1] if cuts else 0
        if frame - before >= shortest and frames - frame >= shortest:
            cuts.append(frame)
    return tuple(cuts)


def _is_cut(changes: list[float], place: int) -> bool:
    around = [*islice(changes, max(0, place - _AROUND), place), *changes[place + 1 :][:_AROUND]]
    usual = float(np.median(around)) if around else 0.0
    return changes[place] >= _CHANGE and changes[place] > _CONTRAST * usual


def _thumbnails(picture: Picture, frames: int) -> Iterator[NDArray[np.float32]]:
    """Yield every frame, small, as float32 in 0..1."""
    from PIL import Image

    for index in range(frames):
        small = Image.fromarray(picture.frame(index)).resize((_SIDE, _SIDE), Image.Resampling.BOX)
        yield np.asarray(small, np.float32) / 255
