"""Adaptive projected guidance: a guidance that does not burn the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


class ProjectedGuidance:
    """Tames one kind of guidance difference over the steps of a chunk (Sadat et al. 2024).

    The difference gets (negative) momentum, its norm over all elements is clipped at the
    threshold (0 turns that off), and the part along the conditional prediction is removed,
    in float64.
    """

    def __init__(self, *, momentum: float, norm_threshold: float) -> None:
        self._momentum = momentum
        self._norm_threshold = norm_threshold
        self._average: Tensor | None = None

    def __call__(self, difference: Tensor, cond: Tensor) -> Tensor:
        """Return what is left of a step's difference, in its dtype and shape."""
        if self._average is None:
            self._average = difference
        else:
            self._average = difference + self._momentum * self._average
        tamed = self._average
        if self._norm_threshold > 0:
            tamed = tamed * (self._norm_threshold / torch.linalg.vector_norm(tamed)).clamp_max(1)
        direction = cond.double() / torch.linalg.vector_norm(cond.double()).clamp_min(1e-12)
        along = (tamed.double() * direction).sum() * direction
        return (tamed.double() - along).to(difference.dtype)
