"""Builds what is measured: models with random weights, and inputs of real shapes."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from attrs import evolve, frozen
from torch import nn

from itk_engine.model import Conditions, DiT, DiTConfig
from itk_engine.ops.attention import attention_named
from itk_engine.vae import VAE, VAEConfig
from itk_engine.weights import QuantisedLinear, replace_linears

M = TypeVar("M", bound=nn.Module)
_INT8_STD = 73.0  # of numbers spread evenly over -127..127

TINY = DiTConfig(
    dim=64,
    ffn_dim=128,
    freq_dim=32,
    num_heads=4,
    num_layers=4,
    text_len=16,
    text_dim=32,
    intermediate_dim=32,
    output_dim=32,
    context_tokens=4,
    audio_blocks=2,
    audio_channels=16,
    clip_dim=32,
)


@frozen(kw_only=True)
class Bucket:
    """One size of output picture and one chunk of 81 frames."""

    name: str
    height: int
    width: int
    frames: int = 81

    @property
    def latent(self) -> tuple[int, int, int]:
        """Latent frames, rows and columns."""
        return (self.frames - 1) // 4 + 1, self.height // 8, self.width // 8


BUCKETS = (
    Bucket(name="480", height=640, width=640),
    Bucket(name="720", height=960, width=960),
)
TINY_BUCKETS = (
    Bucket(name="480", height=64, width=64, frames=9),
    Bucket(name="720", height=96, width=96, frames=9),
)


def random_transformer(
    config: DiTConfig, device: torch.device, dtype: torch.dtype, *, int8: bool = False
) -> DiT:
    """Build a transformer on the device with weights that keep activations near unit size."""
    with torch.device("meta"):
        dit = DiT(config)
    if int8:
        store_as_int8(dit)
    with_random_weights(dit, device, dtype)
    dit.use_attention(attention_named("auto", device_type=device.type))
    return dit


def random_vae(device: torch.device, dtype: torch.dtype, *, tiny: bool) -> VAE:
    """Build the autoencoder with random weights."""
    config = VAEConfig(base_width=16) if tiny else VAEConfig()
    with torch.device("meta"):
        vae = VAE(config)
    vae = with_random_weights(vae, device, dtype)
    if device.type == "cuda":  # as they are when they are read from a file
        for parameter in vae.parameters():
            if parameter.ndim == 5:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    return vae


def store_as_int8(model: nn.Module) -> None:
    """Let the linear layers of a model on the meta device be as published int8 files have them."""
    layers = [name for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    replace_linears(model, dict.fromkeys(layers, "qint8"), file=Path("random"))


def with_random_weights(model: M, device: torch.device, dtype: torch.dtype) -> M:
    """Give a model that was built on the meta device memory and random weights."""
    model = model.to(dtype).to_empty(device=device).requires_grad_(requires_grad=False).eval()
    _fill(model)
    return model


@torch.no_grad()
def random_conditions(dit: DiT, bucket: Bucket, *, speakers: int) -> Conditions:
    """Make conditions of one branch: a prompt, a picture, speech and, for two, two halves."""
    config, weight = dit.config, dit.patch_embedding.weight
    frames, rows, columns = bucket.latent

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device=weight.device, dtype=weight.dtype)

    masks = torch.zeros(1, 3, rows, columns, device=weight.device)
    margin, half = max(1, rows // 20), columns // 2
    masks[:, 0, margin:-margin, margin : half - margin] = 1
    masks[:, 1, margin:-margin, half + margin : -margin] = 1
    masks[:, 2] = (masks[:, :2].sum(1) == 0).float()
    return dit.condition(
        text=draw(1, config.text_len // 2, config.text_dim),
        clip=draw(1, 257, config.clip_dim),
        speech=draw(
            1,
            speakers,
            bucket.frames,
            config.audio_window,
            config.audio_blocks,
            config.audio_channels,
        ),
        picture=draw(1, 20, frames, rows, columns),
        masks=masks if speakers == 2 else None,
    )


def random_latent(dit: DiT, bucket: Bucket) -> torch.Tensor:
    """Return the noise that a chunk begins with, [1, 16, T, h, w] float32."""
    device = dit.patch_embedding.weight.device
    return torch.randn(1, dit.config.out_dim, *bucket.latent, device=device)


def without_blocks(config: DiTConfig, *, keep: int) -> DiTConfig:
    """Return the configuration with fewer blocks, for measuring one of them."""
    return evolve(config, num_layers=keep)


@torch.no_grad()
def _fill(model: nn.Module) -> None:
    for name, tensor in model.named_parameters():
        if name.endswith("bias"):
            tensor.normal_(std=0.02)
        elif tensor.ndim == 1 or name.endswith("gamma"):
            tensor.fill_(1.0)
        elif "modulation" in name:
            tensor.normal_(std=0.1)
        elif tensor.dtype == torch.int8:
            tensor.random_(-127, 128)
        else:
            fan_in = tensor[0].numel()
            tensor.normal_(std=fan_in**-0.5)
    for module in model.modules():
        if isinstance(module, QuantisedLinear):
            module.scale.fill_(module.in_features**-0.5 / _INT8_STD)
