"""What several tests need: a transformer of a few dimensions, and inputs for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from attrs import frozen
from hypothesis import settings

from itk_engine.model import DiT, DiTConfig

if TYPE_CHECKING:
    from collections.abc import Callable

# The first call of an operation may take seconds on a busy machine.
settings.register_profile("engine", deadline=None)
settings.load_profile("engine")

SMALL = DiTConfig(
    dim=24,
    ffn_dim=32,
    freq_dim=16,
    num_heads=2,
    num_layers=2,
    text_len=6,
    text_dim=8,
    intermediate_dim=8,
    output_dim=8,
    context_tokens=2,
    audio_blocks=2,
    audio_channels=4,
    clip_dim=8,
)


@frozen(kw_only=True, eq=False)
class Inputs:
    """A latent [1, 16, T, h, w] and the arguments of `DiT.condition`."""

    latent: torch.Tensor
    conditions: dict[str, Any]


def _small_dit(config: DiTConfig = SMALL, *, seed: int = 0) -> DiT:
    """Return a transformer whose every weight matters."""
    dit = DiT(config)
    generator = torch.Generator().manual_seed(seed)
    for parameter in dit.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    return dit.requires_grad_(requires_grad=False)


def _dit_inputs(
    config: DiTConfig = SMALL,
    *,
    speakers: int = 1,
    grid: tuple[int, int, int] = (2, 2, 3),
    seed: int = 1,
) -> Inputs:
    """Return inputs for a grid of tokens; with two speakers they stand left and right."""
    generator = torch.Generator().manual_seed(seed)
    frames, height, width = grid[0], 2 * grid[1], 2 * grid[2]

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    masks = torch.zeros(1, 3, height, width)
    masks[:, 0, :, : width // 3] = 1
    masks[:, 1, :, -(width // 3) :] = 1
    masks[:, 2] = 1 - masks[:, 0] - masks[:, 1]
    return Inputs(
        latent=normal(1, 16, frames, height, width),
        conditions={
            "text": normal(1, config.text_len - 2, config.text_dim),
            "clip": normal(1, 257, config.clip_dim),
            "speech": normal(
                1, speakers, 4 * frames - 3, 5, config.audio_blocks, config.audio_channels
            ),
            "picture": normal(1, 20, frames, height, width),
            "masks": masks,
        },
    )


@pytest.fixture
def small_config() -> DiTConfig:
    """Return the sizes of the small transformer."""
    return SMALL


@pytest.fixture
def small_dit() -> Callable[..., DiT]:
    """Return what makes small transformers."""
    return _small_dit


@pytest.fixture
def dit_inputs() -> Callable[..., Inputs]:
    """Return what makes inputs for them."""
    return _dit_inputs
