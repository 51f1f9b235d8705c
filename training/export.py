"""Writes the trained parts as a checkpoint in the published layout.

    python training/export.py --state FOLDER --into packages/itk-tiny/src/itk_tiny/checkpoint

The engine knows only the published statistics of latents, so ours are folded into the
autoencoder's two 1x1x1 convolutions. The prompt's encoder ends in a norm whose weight is zero:
the small model does not read the prompt, and every prompt gives the same video.
"""

from __future__ import annotations

import argparse
import copy
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import encoded
import speech
import torch
import transformer
import vae as vae_training

from itk_engine.conditioning import TextEncoderConfig
from itk_engine.model import DiT
from itk_engine.tiny import TINY_SIZES, TinyModels, TinySizes, write_checkpoint
from itk_engine.vae import VAE, VAEConfig

if TYPE_CHECKING:
    from itk_engine import CheckpointFiles

Tensor = torch.Tensor

SIZES = TinySizes(
    dit=transformer.CONFIG,
    vae=VAEConfig(base_width=vae_training.BASE_WIDTH),
    text=TextEncoderConfig(
        vocab_size=TINY_SIZES.text.vocab_size,
        dim=transformer.CONFIG.text_dim,
        dim_attn=transformer.CONFIG.text_dim,
        dim_ffn=2 * transformer.CONFIG.text_dim,
        num_heads=2,
        num_layers=1,
    ),
    clip=encoded.VISION,
    speech=speech.CONFIG,
)


def main() -> None:
    """Read the averaged weights of the three stages and write the checkpoint."""
    ask = argparse.ArgumentParser()
    ask.add_argument("--state", type=Path, required=True)
    ask.add_argument("--into", type=Path, required=True)
    given = ask.parse_args()
    files = export(given.state, given.into)
    total = sum(p.stat().st_size for p in given.into.rglob("*") if p.is_file())
    print(files.base, f"{total / 1e6:.1f} MB")


def export(state: Path, into: Path) -> CheckpointFiles:
    """Write the checkpoint into a folder, in half precision."""
    models = TinyModels.random(SIZES, seed=0)
    stored = torch.load(state / "transformer-average.pt", weights_only=True)
    models.dit.load_state_dict({n: t.float() for n, t in stored["weights"].items()})
    trained = VAE(vae_training.CONFIG)
    trained.load_state_dict(_read(state / "vae-average.pt"))
    fold(trained, models.vae, mean=stored["mean"].flatten(), std=stored["std"].flatten())
    listener = speech.Listener()
    listener.load_state_dict(_read(state / "speech-average.pt"))
    models.speech.load_state_dict(listener.encoder.state_dict())
    models.clip.load_state_dict(encoded.vision().state_dict())
    torch.nn.init.zeros_(models.text.norm.weight)
    files = write_checkpoint(into, models)
    # Both adapters hold the same tensors; one is enough.
    assert files.adapter is not None
    shutil.rmtree(files.adapter.parents[1] / "multi", ignore_errors=True)
    return files


@torch.no_grad()
def fold(trained: VAE, published: VAE, *, mean: Tensor, std: Tensor) -> None:
    """Copy weights so that `published` with Wan's statistics gives (mu - mean) / std."""
    state = copy.deepcopy(trained.state_dict())
    wan_mean = torch.tensor(published.config.latent_mean)
    wan_std = torch.tensor(published.config.latent_std)
    z = len(wan_mean)
    up = wan_std / std
    state["conv1.weight"][:z] *= up.view(-1, 1, 1, 1, 1)
    state["conv1.bias"][:z] = state["conv1.bias"][:z] * up + wan_mean - mean * up
    weight = state["conv2.weight"].clone()
    state["conv2.weight"] = weight / up.view(1, -1, 1, 1, 1)
    state["conv2.bias"] += weight.flatten(1) @ (mean - wan_mean / up)
    published.load_state_dict(state)


def untrained(folder: Path) -> Path:
    """Leave the files of stages that never ran, to try everything that follows them."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(5)
    torch.save(vae_training.make().state_dict(), folder / "vae-average.pt")
    torch.save(speech.Listener().state_dict(), folder / "speech-average.pt")
    weights = DiT(transformer.CONFIG).state_dict()
    numbers = torch.rand(2, 16, 1, 1, 1)
    torch.save(
        {"weights": weights, "mean": numbers[0] - 0.5, "std": numbers[1] + 0.5},
        folder / "transformer-average.pt",
    )
    return folder


def _read(path: Path) -> dict[str, Tensor]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {n: t.float() for n, t in state.items()}


if __name__ == "__main__":
    main()
