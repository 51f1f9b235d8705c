"""Reads from pixels how far a drawn mouth is open.

The inside of a drawn mouth is far darker in green than lips and skin. In a box round the mouth,
known from the portrait, the meter adds up how much darker each pixel is than the portrait's own
lips, over the middle columns, and divides by their number and by the size of the head. Teeth
hide a constant share of the inside and only scale the result. No model is involved.
"""

from __future__ import annotations

import torch

Tensor = torch.Tensor

INSIDE_GREEN = 0.06  # of the dark inside of a drawn mouth


def opening(video: Tensor, portrait: Tensor, box: Tensor) -> Tensor:
    """Opening [F], 0 shut, of frames [F, 3, H, W] in 0..1; `box` is x0, y0, x1, y1 in pixels."""
    x0, y0, x1, y1 = (float(v) for v in box)
    middle, reach = (x0 + x1) / 2, (x1 - x0) * 0.20
    left, right = round(middle - reach), round(middle + reach) + 1
    top, bottom = max(0, round(y0 - 1)), round(y1 + 2)
    lips = portrait[1, top:bottom, left:right]
    bright = lips.flatten().sort().values
    reference = float(bright[round(0.30 * (len(bright) - 1))]) * 0.92
    inside = min(INSIDE_GREEN, reference * 0.4)
    green = video[:, 1, top:bottom, left:right]
    dark = ((reference - green) / (reference - inside)).clamp(0, 1)
    height = dark.sum((1, 2)) / (right - left)
    return height / (y1 - y0)


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's correlation of two tracks; 0 where one of them does not move."""
    a, b = a.double() - a.double().mean(), b.double() - b.double().mean()
    scale = float(a.norm() * b.norm())
    return float(a @ b) / scale if scale > 1e-9 else 0.0


def best_lag(track: Tensor, truth: Tensor, reach: int = 5) -> int:
    """By how many frames the track comes after the truth, where the two agree best."""
    f = len(track)
    scores = {
        lag: correlation(
            track[max(0, lag) : f + min(0, lag)], truth[max(0, -lag) : f - max(0, lag)]
        )
        for lag in range(-reach, reach + 1)
    }
    return max(scores, key=lambda lag: scores[lag])
