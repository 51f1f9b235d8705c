"""What several tests need: a transformer of a few dimensions, and inputs for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import pytest
import torch
from attrs import frozen
from hypothesis import settings

from itk_engine.conditioning import (
    PromptEncoder,
    SpeechConfig,
    SpeechEncoder,
    TextEncoder,
    TextEncoderConfig,
    VisionConfig,
    VisionEncoder,
)
from itk_engine.config import EngineConfig
from itk_engine.engine import Engine
from itk_engine.model import DiT, DiTConfig
from itk_engine.request import GenerationRequest, StillPicture
from itk_engine.vae import VAE, VAEConfig
from itk_media import Waveform
from itk_schema import ModelInfo, Parameters

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


@frozen(kw_only=True, eq=False)
class FewModels:
    """Every model that the engine uses, in a few dimensions: what `read_models` would give."""

    dit: DiT
    vae: VAE
    clip: VisionEncoder
    text: PromptEncoder
    speech: SpeechEncoder
    info: ModelInfo
    bucket_scale: float


@pytest.fixture(scope="session")
def models() -> FewModels:
    """Return models that are loaded in a moment and paint noise."""
    vision = VisionConfig(image_size=224, patch_size=14, dim=8, num_heads=2, num_layers=2)
    texts = TextEncoderConfig(
        vocab_size=128, dim=8, dim_attn=8, dim_ffn=8, num_heads=2, num_layers=1
    )
    speech = SpeechConfig(
        conv_dim=(4,) * 7,
        hidden_size=4,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=8,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    torch.manual_seed(0)
    made = FewModels(
        dit=_small_dit(),
        vae=VAE(VAEConfig(base_width=4)),
        clip=VisionEncoder(vision),
        text=PromptEncoder(_letters, TextEncoder(texts)),
        speech=SpeechEncoder(speech),
        info=ModelInfo(name="few", weights="random", precision="float32"),
        bucket_scale=0.1,
    )
    # Times differ little, so that TeaCache has something to skip.
    made.dit.time_projection[1].weight *= 0.02
    for part in (made.vae, made.clip, made.text.model, made.speech):
        part.requires_grad_(requires_grad=False).eval()
    return made


def _letters(text: str) -> list[int]:
    return [*(ord(letter) % 126 + 2 for letter in text[:5]), 1]


@pytest.fixture
def engine(models: FewModels) -> Engine:
    """Return an engine on the CPU with those models."""
    return Engine(models, EngineConfig(), torch.device("cpu"))


@pytest.fixture
def request_of() -> Callable[..., GenerationRequest]:
    """Return what makes requests that are generated in a moment."""
    return _request_of


def _request_of(*, seconds: float = 0.6, speakers: int = 1, **changes: Any) -> GenerationRequest:
    """Return a request for a video of `seconds` at 25 frames a second.

    Parameters of the catalog may be given by name, and fields of the request likewise.
    """
    generator = np.random.default_rng(5)
    picture = generator.integers(0, 255, (70, 60, 3), dtype=np.uint8)
    fields: dict[str, Any] = {
        "prompt": "a person speaks",
        "picture": StillPicture(pixels=picture),
        "speeches": tuple(
            Waveform(
                samples=generator.normal(0, 0.1, round(seconds * 16000)).astype(np.float32),
                sample_rate=16000,
            )
            for _ in range(speakers)
        ),
        "seed": 7,
    }
    parameters: dict[str, Any] = {
        "mode": "streaming",
        "frame_num": 9,
        "motion_frame": 5,
        "sample_steps": 2,
    }
    for name, value in changes.items():
        (fields if name in _REQUEST_FIELDS else parameters)[name] = value
    return GenerationRequest(**fields, parameters=Parameters(**parameters))


_REQUEST_FIELDS = {field.name for field in attrs.fields(GenerationRequest)} - {"parameters"}
