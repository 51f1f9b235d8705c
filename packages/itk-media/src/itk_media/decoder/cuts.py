"""Finds the cuts of a video from small copies of its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from itk_media.decoder.pixels import to_rgb
from itk_media.decoder.videos import open_finder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from itk_media.arrays import Pixels
    from itk_media.decoder.wire import Parent

WIDTH, HEIGHT = 64, 48
HARD_CHANGE = 27.0
SMALLEST_CHANGE = 15.0
TIMES_THE_NEIGHBOURS = 3.0
NEIGHBOURS = 2
SHORTEST_SECONDS = 0.25
REPORT_FRAMES = 250


def send_cuts(file: BinaryIO, order: dict[str, Any], parent: Parent) -> None:
    """Send the moments, in seconds, at which another scene begins, and the video's length.

    On the way, now and then, a sign of life is sent: a long film takes its time.
    """
    finder = open_finder(file, order)
    moments: list[float] = []
    changes: list[float] = []
    before: Pixels | None = None
    for moment, frame in finder:
        look = hue_saturation_value(to_rgb(frame, (WIDTH, HEIGHT)))
        changes.append(0.0 if before is None else difference(before, look))
        moments.append(moment)
        before = look
        if len(moments) % REPORT_FRAMES == 0:
            parent.facts({"looked_at_seconds": moment})
    cuts = find_cuts(moments, changes)
    parent.facts({"cuts": cuts, "duration_seconds": finder.duration_seconds})


def find_cuts(moments: Sequence[float], changes: Sequence[float]) -> list[float]:
    """Pick the moments at which a frame differs from the one before as only a cut does.

    A change counts when it is large in itself, or several times that of its neighbours:
    the first finds cuts in calm film, the second those amid motion. A frame that follows
    a cut too closely belongs to the same cut.
    """
    cuts: list[float] = []
    for place in range(1, len(changes)):
        if not _stands_out(changes, place):
            continue
        if moments[place] - (cuts[-1] if cuts else -1.0) >= SHORTEST_SECONDS:
            cuts.append(moments[place])
    return cuts


def _stands_out(changes: Sequence[float], place: int) -> bool:
    change = changes[place]
    around = [
        changes[other]
        for other in range(max(1, place - NEIGHBOURS), min(len(changes), place + NEIGHBOURS + 1))
        if other != place
    ]
    usual = sum(around) / len(around) if around else 0.0
    if change < max(around, default=0.0):
        return False
    sudden = change >= TIMES_THE_NEIGHBOURS * max(usual, 1.0)
    return (sudden and change >= SMALLEST_CHANGE) or (change >= HARD_CHANGE and change >= 2 * usual)


def hue_saturation_value(pixels: Pixels) -> Pixels:
    """Return uint8 [H, W, 3] hue (0..179), saturation and value of RGB pixels."""
    rgb = pixels.astype(np.float32)
    high, low = rgb.max(axis=2), rgb.min(axis=2)
    spread = np.where(high > low, high - low, 1.0)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    hue = np.select(
        [high == low, high == red, high == green],
        [0.0 * red, (green - blue) / spread % 6, (blue - red) / spread + 2],
        (red - green) / spread + 4,
    )
    saturation = np.where(high > 0, 255 * (high - low) / np.where(high > 0, high, 1.0), 0.0)
    return np.stack([hue * 30, saturation, high], axis=2).astype(np.uint8)


def difference(one: Pixels, other: Pixels) -> float:
    """Return the mean change of hue, saturation and value; hues meet at both ends."""
    gap = np.abs(one.astype(np.int16) - other)
    gap[..., 0] = np.minimum(gap[..., 0], 180 - gap[..., 0])
    return float(gap.mean())
