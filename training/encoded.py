"""Draws, hears and encodes the clips from which the transformer learns.

Everything that does not change while it trains is computed once: latents of the clips, of their
portraits and of their decoded beginnings, the speech encoder's layers, the picture's features.
"""

# ruff: noqa: PLR0917

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import clips
import loop
import sounds
import speech
import torch
import vae as vae_training
from torch.nn import functional as F  # noqa: N812  the name that everybody knows

from itk_engine.conditioning.clip import VisionConfig, VisionEncoder
from itk_engine.conditioning.regions import halves
from itk_engine.vae import VAE

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

Tensor = torch.Tensor

VISION = VisionConfig(dim=32, out_dim=16, num_heads=2, num_layers=3, mlp_ratio=2)
VISION_SEED = 41
FRAMES, LATENTS = 81, 21
MARGIN = 2
GROUP = 16  # clips that are drawn and encoded together
# (size, people, clips, share of the steps, batch)
POOLS = (
    ((128, 128), 1, 6000, 0.58, 48),
    ((96, 176), 2, 3000, 0.28, 48),
    ((144, 112), 1, 800, 0.07, 48),
    ((112, 144), 1, 800, 0.07, 48),
)


@dataclass
class Parts:
    """The finished parts around the transformer."""

    vae: VAE
    listener: speech.Listener
    vision: VisionEncoder
    mean: Tensor  # of each latent channel, [16, 1, 1, 1]
    std: Tensor

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> Parts:
        """Read the averaged weights of the other stages."""
        vae = VAE(vae_training.CONFIG)
        vae_training.quick(vae, compiled=device.type == "cuda")
        vae.load_state_dict(_read(folder / "vae-average.pt"))
        listener = speech.Listener()
        listener.load_state_dict(_read(folder / "speech-average.pt"))
        zero = torch.zeros(16, 1, 1, 1, device=device)
        return cls(
            vae=vae.to(device).eval(), listener=listener.to(device).eval(),
            vision=vision().to(device).eval(), mean=zero, std=zero + 1,
        )  # fmt: skip

    def encode(self, video: Tensor) -> Tensor:
        """Normalised latents [B, 16, T, h, w] of [B, 3, F, H, W] in -1..1."""
        with torch.autocast(video.device.type, torch.bfloat16, enabled=video.is_cuda):
            latent = self.vae.encode(video, latents_per_piece=2**20)
        return (latent.float() - self.mean) / self.std

    def decode(self, latent: Tensor) -> Tensor:
        """Video [B, 3, F, H, W] in -1..1."""
        with torch.autocast(latent.device.type, torch.bfloat16, enabled=latent.is_cuda):
            return self.vae.decode(latent * self.std + self.mean, latents_per_piece=2**20).float()


def vision() -> VisionEncoder:
    """The picture encoder: random weights from a seed, never trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(VISION_SEED)
        return VisionEncoder(VISION)


@dataclass
class Pool:
    """Clips of one size, encoded, on the device. K people; "later" clips where `pinned` is 3."""

    latent: Tensor  # [N, 16, 21, h, w]
    again: Tensor  # [N, 16, 3, h, w] the first three latents after decoding and encoding
    portrait: Tensor  # [N, 16, 21, h, w] encoded portrait followed by grey
    clip: Tensor  # [N, 257, C]
    heard: Tensor  # [N, K, 81 + 4, layers, channels]
    weights: Tensor  # [N, h, w]
    later: Tensor  # [N] bool
    masks: Tensor  # [3, h, w]
    batch: int


@torch.no_grad()
def prepare(
    given: argparse.Namespace, parts: Parts, device: torch.device, *, known: bool
) -> list[Pool]:
    """Draw, hear and encode every clip; the first pool gives latent statistics unless known."""
    pools = []
    for size, batch, table in _tables(given, parts, device):
        if not pools and not known:
            first = table["latent"][:960].float()
            parts.mean = first.mean((0, 2, 3, 4)).view(16, 1, 1, 1)
            parts.std = first.std((0, 2, 3, 4)).view(16, 1, 1, 1)
            print("std of latents", [round(v, 3) for v in parts.std.flatten().tolist()], flush=True)
            _normalise(table, parts)
        masks = F.interpolate(halves(size)[None], (size[0] // 8, size[1] // 8), mode="nearest")[0]
        pools.append(
            Pool(
                **table,
                masks=masks.to(device),
                batch=max(2, round(batch * min(1, given.small * 8))),
            )
        )
    return pools


@torch.no_grad()
def encode_clips(given: argparse.Namespace) -> None:
    """Leave clips, their latents not normalised, in the file for a training elsewhere."""
    device = torch.device(given.device)
    torch.set_float32_matmul_precision("high")
    parts = Parts.load(given.state, device)
    tables = [table for _, _, table in _tables(given, parts, device)]
    part = given.only_clips.with_suffix(".part")
    torch.save(tables, part)
    part.rename(given.only_clips)


def join(pools: list[Pool], file: Path, parts: Parts) -> None:
    """Add what `encode_clips` left, or is about to leave."""
    clock = loop.Clock(60)
    while not file.exists() and clock.share < 1:
        time.sleep(0.2)
    if not file.exists():
        print("no more clips came", flush=True)
        return
    device = parts.mean.device
    for pool, stored in zip(pools, torch.load(file, weights_only=True), strict=True):
        table = {name: value.to(device) for name, value in stored.items()}
        _normalise(table, parts)
        for name, value in table.items():
            setattr(pool, name, torch.cat([getattr(pool, name), value]))
        print("joined", len(pool.latent), "clips", flush=True)


def _tables(
    given: argparse.Namespace, parts: Parts, device: torch.device
) -> Iterator[tuple[tuple[int, int], int, dict[str, Tensor]]]:
    corpus = sounds.Corpus.load(given.speech / "train.ogg", device, minutes=given.minutes)
    seed = given.first_seed
    for size, people, most, weight, batch in POOLS:
        count = max(2, math.ceil(most * given.small))
        chances = torch.Generator(device).manual_seed(seed), torch.Generator().manual_seed(seed)
        rows = []
        clock = loop.Clock(given.prepare * weight)
        for start in range(0, count, GROUP):
            seeds = [
                tuple(seed + start * people + people * i + p for p in range(people))
                for i in range(min(GROUP, count - start))
            ]
            kind: clips.Kind = "first" if (start // GROUP) % 2 else "later"
            rows.append(_encode(corpus, parts, seeds, size, kind, chances))
            if clock.spent > clock.seconds and len(rows) > 1:
                break
        print(size, people, "clips", sum(len(row["later"]) for row in rows), flush=True)
        seed += count * people
        yield size, batch, {k: torch.cat([row[k] for row in rows]) for k in rows[0]}


def _normalise(table: dict[str, Tensor], parts: Parts) -> None:
    for name in ("latent", "again", "portrait"):
        table[name] = ((table[name].float() - parts.mean) / parts.std).to(table[name].dtype)


def _encode(
    corpus: sounds.Corpus, parts: Parts, seeds: list[tuple[int, ...]], size: tuple[int, int],
    kind: clips.Kind, chances: tuple[torch.Generator, torch.Generator],
) -> dict[str, Tensor]:  # fmt: skip
    count, people = len(seeds), len(seeds[0])
    device = corpus.samples.device
    sound, chance = chances
    rows = (3, 5, 7)[int(torch.randint(3, (), generator=chance))]
    seconds = rows + 0.3
    whole = int(seconds * 25)
    clean, heard = corpus.draw(count * people, seconds, sound)
    if people == 2:  # one listens while the other speaks, in two clips of five
        listens = torch.rand(count, generator=chance)
        still = torch.stack([listens < 0.2, (listens >= 0.2) & (listens < 0.4)], 1).flatten()
        clean[still.to(device)], heard[still.to(device)] = 0, 0
    opening, spread = sounds.mouth(clean, whole)
    layers = parts.listener.encoder(sounds.normalise(heard), whole)
    if kind == "first" or whole < FRAMES + 4:
        first = 0
    else:
        first = int(torch.randint(whole - FRAMES + 1, (), generator=chance))
    at = (torch.arange(FRAMES + 2 * MARGIN, device=device) + first - MARGIN).clamp(0, whole - 1)
    scene = clips.scene(
        seeds, size=size, kind=kind, device=device,
        opening=opening[:, first : first + FRAMES].unflatten(0, (count, people)),
        spread=spread[:, first : first + FRAMES].unflatten(0, (count, people)),
    )  # fmt: skip
    video = scene.video().movedim(2, 1) * 2 - 1
    portrait = scene.portrait()[:, :, None] * 2 - 1
    latent = parts.encode(video)
    begin = parts.decode(latent[:, :, :3])
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        still = parts.vae.encode_still(portrait, FRAMES)
    half = torch.bfloat16 if device.type == "cuda" else torch.float32
    return {
        "latent": latent.to(half),
        "again": parts.encode(begin).to(half),
        "portrait": ((still.float() - parts.mean) / parts.std).to(half),
        "clip": parts.vision.encode(portrait).to(half),
        "heard": layers[:, at].unflatten(0, (count, people)).to(half),
        "weights": scene.weights(mouth=5.0, eyes=2.0, cell=8),
        "later": torch.full((count,), kind == "later", device=device),
    }


def _read(path: Path) -> dict[str, Tensor]:
    return {
        n: t.float() for n, t in torch.load(path, map_location="cpu", weights_only=True).items()
    }
