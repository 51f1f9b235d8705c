"""Takes one chunk's latent from noise to picture, step by step."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import torch
from attrs import frozen

from itk_engine.model import grid_of

from .guidance import Guidance
from .schedule import euler_step, timesteps
from .teacache import TeaCache

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from itk_engine.model import Conditions, DiT, TimeSignal

    from .guidance import Branch, Guide
    from .teacache import SkipPlan


@frozen(kw_only=True)
class Sampling:
    """How the noise of every chunk becomes a picture."""

    steps: int
    shift: float
    guidance: Guidance
    teacache: TeaCache | None = None

    @property
    def times(self) -> tuple[float, ...]:
        """Return the steps + 1 times from 1000 down to 0."""
        return tuple(timesteps(self.steps, shift=self.shift).tolist())


class Predict(Protocol):
    """Predicts every branch of one step."""

    def __call__(self, step: int, latent: Tensor) -> Mapping[Branch, Tensor]:
        """Return the velocity [B, 16, T, h, w] of each branch at this step."""
        ...


class MakePredict(Protocol):
    """Prepares the predictions of one chunk: `Predictor`, or something that shares its work."""

    def __call__(
        self,
        dit: DiT,
        *,
        time: TimeSignal,
        conditions: Mapping[Branch, Conditions],
        plan: SkipPlan | None = None,
        residuals: dict[int, Tensor] | None = None,
    ) -> Predict:
        """Return what predicts the chunk's steps."""
        ...


class Predictor:
    """Predicts every branch of a step, skipping the blocks where the plan says so."""

    def __init__(
        self,
        dit: DiT,
        *,
        time: TimeSignal,
        conditions: Mapping[Branch, Conditions],
        plan: SkipPlan | None = None,
        residuals: dict[int, Tensor] | None = None,
    ) -> None:
        self._dit = dit
        self._time = time
        self._conditions = conditions
        self._plan = plan
        self._residuals = {} if residuals is None else residuals

    def __call__(self, step: int, latent: Tensor) -> dict[Branch, Tensor]:
        """Return the velocity [B, 16, T, h, w] of each branch at this step."""
        return {
            branch: self.predict(step, place, latent)
            for place, branch in enumerate(self._conditions)
        }

    def predict(self, step: int, place: int, latent: Tensor) -> Tensor:
        """Return the velocity of the branch at this place in the order of conditions."""
        conditions = tuple(self._conditions.values())[place]
        time = self._time.step(step)
        if self._plan is None:
            return self._dit(latent, time, conditions)
        decision = self._plan.decisions[step][place]
        tokens = self._dit.embed_latent(latent, conditions)
        if decision.compute:
            after = self._dit.run_blocks(tokens, time, conditions)
            self._residuals[decision.slot] = after - tokens
        else:
            after = tokens + self._residuals[decision.slot]
        return self._dit.predict(after, time, grid_of(latent))


def denoise(
    predict: Predict,
    latent: Tensor,
    *,
    motion: Tensor,
    times: Sequence[float],
    guide: Guide,
) -> Iterator[Tensor]:
    """Yield the latent [B, 16, T, h, w] before the first step and after every step.

    The first latent frames are pinned to `motion` [B, 16, n, h, w], clean, all the way.
    """
    latent = _pin(latent, motion)
    yield latent
    for step, (now, then) in enumerate(pairwise(times)):
        velocity = guide.combine(predict(step, latent))
        latent = _pin(euler_step(latent, velocity, now=now, then=then), motion)
        yield latent


def _pin(latent: Tensor, motion: Tensor) -> Tensor:
    return torch.cat((motion, latent[:, :, motion.shape[2] :]), dim=2)
