"""Where the noise of a generation comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


class Noise(Protocol):
    """Draws normal float32 tensors, one after the other."""

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Return the next draw."""
        ...


class SeededNoise:
    """Noise that a seed determines on its device.

    On CUDA it draws the numbers that `torch.cuda.manual_seed(seed)` and `torch.randn` give;
    no global generator is touched.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._device = device
        self._generator = torch.Generator(device=device).manual_seed(seed)

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Return the next draw on the device."""
        return torch.randn(
            shape, generator=self._generator, device=self._device, dtype=torch.float32
        )


class RecordedNoise:
    """Noise that was drawn elsewhere, given back in the same order."""

    def __init__(self, draws: Iterable[Tensor]) -> None:
        self._draws = iter(draws)

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Return the next recorded draw, which must have this shape."""
        recorded = next(self._draws)
        assert tuple(recorded.shape) == shape, (tuple(recorded.shape), shape)
        return recorded
