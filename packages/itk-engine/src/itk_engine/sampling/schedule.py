"""The timesteps of the flow from noise to picture, and one step along it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

_TRAINING_STEPS = 1000


def timesteps(steps: int, *, shift: float) -> Tensor:
    """Return steps + 1 float32 times from 1000 down to 0.

    They are evenly spaced before the shift t = 1000·s·v / (1 + (s - 1)·v), which spends more
    of them near the noise (Esser et al. 2024).
    """
    even = torch.linspace(_TRAINING_STEPS, 1, steps, dtype=torch.float32)
    share = torch.cat((even, torch.zeros(1))) / _TRAINING_STEPS
    return shift * share / (1 + (shift - 1) * share) * _TRAINING_STEPS


def euler_step(latent: Tensor, velocity: Tensor, *, now: float, then: float) -> Tensor:
    """Return the latent moved along its velocity from one time to a smaller one."""
    return latent - velocity * ((now - then) / _TRAINING_STEPS)
