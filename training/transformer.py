"""Trains the small transformer by flow matching on clips that are encoded beforehand.

    python training/transformer.py --state FOLDER [--seconds 420] [--resume] [--span 0.0 0.5]

Needs vae-average.pt and speech-average.pt in the folder. With --resume it goes on from
transformer-average.pt (and transformer-momentum.pt), on fresh clips if --first-seed says so;
--span is the part of the learning rate's schedule that this stage covers.

A latent x0 and noise n give
x = (1 - s) x0 + s n; the model predicts n - x0. What the pipeline pins is pinned here too: the
portrait's latent in first chunks, motion latents (re-encoded and disturbed) in later ones. After
disturbed ones the clip comes back to its colours little by little, so that chunks join smoothly.
Speech is dropped in one batch of ten. Where two people speak, a second loss teaches the
self-attention which of them a token belongs to, because the speech is routed by that.
"""

# ruff: noqa: PLR0913, PLR0917

from __future__ import annotations

import argparse
import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import clips
import encoded
import fused
import loop
import meter
import sounds
import speech
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  the name that everybody knows

from itk_engine.conditioning.regions import halves
from itk_engine.model import DiT, DiTConfig
from itk_engine.model import attention as attention_layers
from itk_engine.ops.speaker_map import speaker_map
from itk_engine.sampling.schedule import timesteps

Tensor = torch.Tensor

CONFIG = DiTConfig(
    dim=192,
    ffn_dim=768,
    freq_dim=64,
    num_heads=6,
    num_layers=6,
    text_len=16,
    text_dim=32,
    intermediate_dim=160,
    output_dim=64,
    context_tokens=6,
    audio_blocks=speech.CONFIG.num_hidden_layers,
    audio_channels=speech.CONFIG.hidden_size,
    clip_dim=32,
)
PLAIN = ("patch_embedding", "head", "time_", "text_embedding", "img_emb", "audio_proj.proj3")


def main() -> None:
    """Train for so many seconds and leave state, weights, curve and samples in the folder."""
    ask = argparse.ArgumentParser()
    ask.add_argument("--state", type=Path, required=True)
    ask.add_argument("--speech", type=Path, default=Path(".train"))
    ask.add_argument("--seconds", type=float, default=420)
    ask.add_argument("--resume", action="store_true")
    ask.add_argument("--small", type=float, default=1.0)
    ask.add_argument("--minutes", type=float, default=60, help="how much of the speech to use")
    ask.add_argument("--prepare", type=float, default=75, help="seconds to draw and encode clips")
    ask.add_argument("--first-seed", type=int, default=100_000)
    ask.add_argument("--span", type=float, nargs=2, default=(0.0, 1.0), help="part of the schedule")
    ask.add_argument("--clips", type=Path, nargs="*", default=[], help="files of more clips")
    ask.add_argument("--only-clips", type=Path, help="encode clips into this file, train nothing")
    ask.add_argument("--no-graphs", dest="graphs", action="store_false")
    ask.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = ask.parse_args()
    if given.only_clips:
        encoded.encode_clips(given)
    else:
        train(given)


def train(given: argparse.Namespace) -> None:  # noqa: PLR0915  a stage reads from top to bottom
    """The whole stage."""
    clock = loop.Clock(given.seconds)
    device = torch.device(given.device)
    fast = device.type == "cuda"
    torch.manual_seed(13)
    torch.set_float32_matmul_precision("high")
    parts = encoded.Parts.load(given.state, device)
    model = DiT(CONFIG).to(device)
    quiet_start(model)
    listen(model)
    optimiser = loop.Optimiser(model, plain=PLAIN)
    known = go_on(given.state, model, optimiser, parts) if given.resume else False
    pools = encoded.prepare(given, parts, device, known=known)
    for file in given.clips:
        encoded.join(pools, file, parts)
    print(f"pools ready after {clock.spent:.1f} s", flush=True)
    if fast:
        fused.fuse()

    def work(*batch: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=fast):
            losses = loss(model, *batch)
        losses[0].backward()
        norm = optimiser.step()
        return torch.stack([*(part.detach() for part in losses), norm])

    step = loop.Repeated(work, graphs=fast and given.graphs)
    curve = loop.Curve(given.state / "transformer-curve")
    chance = torch.Generator().manual_seed(optimiser.steps + 17)
    sums, count = torch.zeros(4, device=device), 0
    warm_start = last = kept = clock.spent
    shares = torch.tensor([row[3] for row in encoded.POOLS])
    every = 200 if given.small >= 1 else 5
    while clock.spent < given.seconds:
        if clock.spent > kept + 45:
            keep(model, optimiser, parts, given.state)
            kept = clock.spent
        share = (clock.spent - warm_start) / (given.seconds - warm_start)
        share = given.span[0] + (given.span[1] - given.span[0]) * share
        pool = pools[int(torch.multinomial(shares, 1, generator=chance))]
        factor = loop.rate(share, warm=0.01, hold=0.3, end=0.01)
        optimiser.rates(muon=3e-3 * factor, adam=1.5e-3 * factor, average=0.998)
        sums += step(*draw(pool, chance))
        count += 1
        if optimiser.steps % every == 0:
            mean = (sums / count).tolist()
            curve.add(step=optimiser.steps, seconds=clock.spent, loss=mean[0], flow=mean[1],
                      route=mean[2], norm=mean[3],
                      steps_a_second=count / (clock.spent - last))  # fmt: skip
            sums.zero_()
            count, last = 0, clock.spent
    finish(model, optimiser, parts, given)
    curve.write()


@torch.no_grad()
def go_on(folder: Path, model: DiT, optimiser: loop.Optimiser, parts: encoded.Parts) -> bool:
    """Take up averaged weights, momentum and latent statistics where an earlier stage left them."""
    if not (folder / "transformer-average.pt").exists():
        return False
    stored = torch.load(folder / "transformer-average.pt", map_location="cpu", weights_only=True)
    model.load_state_dict({n: t.float() for n, t in stored["weights"].items()})
    for name, value in optimiser.average.items():
        value.copy_(model.get_parameter(name))
    if (folder / "transformer-momentum.pt").exists():
        momentum = torch.load(folder / "transformer-momentum.pt", weights_only=True)
        for name, value in optimiser.momentum.items():
            value.copy_(momentum[name])
    parts.mean.copy_(stored["mean"])
    parts.std.copy_(stored["std"])
    return True


def quiet_start(model: DiT) -> None:
    """Begin with blocks that change nothing: faster and steadier."""
    for block in model.blocks:
        nn.init.zeros_(block.ffn[2].weight)
        nn.init.zeros_(block.self_attn.o.weight)
        nn.init.zeros_(block.cross_attn.o.weight)
        nn.init.zeros_(block.audio_cross_attn.proj.weight)
    nn.init.zeros_(model.head.head.weight)


def draw(pool: encoded.Pool, chance: torch.Generator) -> tuple[Tensor, ...]:
    """What `loss` takes, of some clips of a pool."""
    device = pool.latent.device
    n = len(pool.latent)
    rows = torch.randint(n, (min(pool.batch, n),), generator=chance).to(device)
    b = len(rows)
    x0 = pool.latent[rows].float()
    x0, motion, free = _pinned(pool, rows, x0, pool.later[rows], chance)
    shift = torch.where(torch.rand(b, generator=chance) < 0.6, 7.0, 2.5)
    u = torch.rand(b, generator=chance)
    sigma = (shift * u / (1 + (shift - 1) * u)).to(device)
    silent = bool(torch.rand((), generator=chance) < 0.1)
    windows = hear(pool.heard[rows], silent=silent)
    regions = pool.masks.expand(b if windows.shape[1] == 2 else 0, -1, -1, -1)
    return (
        x0, motion, free, sigma, windows.float(), regions, pool.clip[rows].float(),
        pool.portrait[rows].float(), pool.weights[rows],
    )  # fmt: skip


def loss(
    model: DiT, x0: Tensor, motion: Tensor, free: Tensor, sigma: Tensor, windows: Tensor,
    regions: Tensor, clip: Tensor, portrait: Tensor, weights: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Total, flow and routing loss of a batch; no regions where one person speaks."""
    noise = torch.randn_like(x0)
    s = sigma.view(-1, 1, 1, 1, 1)
    x = torch.where(free, (1 - s) * x0 + s * noise, motion)
    conditions = model.condition(
        text=torch.zeros(len(x0), 1, CONFIG.text_dim, device=x0.device), clip=clip,
        speech=windows, picture=with_mask(portrait), masks=regions if len(regions) else None,
    )  # fmt: skip
    model.routes = []
    guess = model(x, sigma * 1000, conditions)
    joins = free & ~free.roll(1, 2)  # the first free latents decide how a chunk joins
    heavy = weights[:, None, None] * free * (1 + joins)
    error = (guess - (noise - x0)).square() * heavy
    flow = error.sum() / heavy.expand_as(error).sum()
    route = torch.stack(model.routes).mean() if model.routes else flow.new_zeros(())
    return flow + 0.05 * route, flow, route


def _pinned(
    pool: encoded.Pool, rows: Tensor, x0: Tensor, later: Tensor, chance: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """What is to be made and what is pinned [B, 16, 21, h, w], and where latents are free.

    Motion latents have been decoded and encoded, are noisy and off in colour. What follows is
    noiseless, begins where they end and comes back to the clip within so many latents.
    """
    b, device = len(rows), x0.device
    again = (torch.rand(b, 1, 1, 1, 1, generator=chance) < 0.7).to(device)
    twice = again * (pool.again[rows].float() - x0[:, :, :3])
    amount = 0.12 * torch.rand(b, 1, 1, 1, 1, generator=chance).to(device)
    drift = 0.10 * torch.randn(b, 16, 1, 1, 1, generator=chance).to(device) * (amount > 0.04)
    motion = x0.clone()
    motion[:, :, :3] += twice
    motion += amount * torch.randn_like(motion) + drift
    counts = torch.tensor([3, 3, 3, 3, 3, 3, 2, 4, 1, 7])
    many = counts[torch.randint(10, (b,), generator=chance)].to(device)
    pinned = torch.where(later, many, 1)
    since = torch.arange(x0.shape[2], device=device)[None] - pinned[:, None] + 1.0  # 1: first free
    since = since[:, None, :, None, None]
    back = drift * (1 - since / 7).clamp(0, 1)
    known = (pinned <= 3).to(device).view(-1, 1, 1, 1, 1)  # else the last one was encoded once
    back = back + known * twice[:, :, 2:] * (1 - since / 4).clamp(0, 1)
    later = later.view(-1, 1, 1, 1, 1)
    motion = torch.where(later, motion, x0)
    return torch.where(later, x0 + back, x0), motion, since > 0


def hear(heard: Tensor, *, silent: bool = False) -> Tensor:
    """Windows [B, P, F, 5, layers, channels]; zeros of one speaker where the speech is dropped."""
    if silent:
        heard = torch.zeros_like(heard[:, :1])
    frames = heard.shape[2] - 2 * encoded.MARGIN
    at = torch.arange(frames, device=heard.device)[:, None] + torch.arange(5, device=heard.device)
    return heard[:, :, at]


def with_mask(portrait: Tensor) -> Tensor:
    """The portrait's latents behind four mask channels that are 1 in the first latent frame."""
    mask = torch.zeros_like(portrait[:, :4])
    mask[:, :, 0] = 1
    return torch.cat([mask, portrait], 1)


def listen(model: DiT) -> None:
    """Let self-attention report how well it tells speakers apart, with gradients.

    Rotations are kept for every size of picture, so that none is made while a graph is recorded.
    """
    model.routes = []
    model.rotation = cache(model.rotation)

    def forward(self: Any, x: Tensor, rotation: Any, regions: Tensor | None) -> Any:
        q = self.norm_q.rotated(self.q(x), rotation, heads=self.heads)
        k = self.norm_k.rotated(self.k(x), rotation, heads=self.heads)
        v = self.v(x).unflatten(-1, (self.heads, -1))
        update = self.o(self.attend(q, k, v.to(q.dtype)).flatten(-2))
        if regions is None:
            return update, None
        shares = speaker_map(q, k, regions, attend=self.attend).float().clamp(min=1e-9)
        frames = x.shape[1] // regions.shape[2]
        truth = regions.argmax(1).repeat(1, frames)
        model.routes.append(F.nll_loss((shares / shares.sum(1, keepdim=True)).log(), truth))
        return update, self.positions(q.detach(), k.detach(), regions)

    for module in model.modules():
        if isinstance(module, attention_layers.SelfAttention):
            module.forward = forward.__get__(module)


@torch.no_grad()
def sample(
    model: DiT, *, portrait: Tensor, heard: Tensor, clip: Tensor, motion: Tensor,
    masks: Tensor | None,
    steps: int = 8, shift: float = 7.0, audio: float = 2.0, seed: int = 0,
) -> Tensor:  # fmt: skip
    """Latents [B, 16, 21, h, w] as the pipeline makes them with two branches."""
    b = len(portrait)
    x = torch.randn(portrait.shape, generator=torch.Generator().manual_seed(seed)).to(portrait)
    text = torch.zeros(b, 1, CONFIG.text_dim, device=x.device)
    known = {"text": text, "clip": clip, "picture": with_mask(portrait)}
    spoken = model.condition(speech=hear(heard), masks=masks, **known)
    silent = model.condition(speech=hear(heard, silent=True), **known)
    times = timesteps(steps, shift=shift).tolist()
    n = motion.shape[2]
    for now, then in pairwise(times):
        x[:, :, :n] = motion
        t = torch.full((b,), now, device=x.device)
        without = model(x, t, silent)
        v = without + audio * (model(x, t, spoken) - without)
        x = x - v * ((now - then) / 1000)
    x[:, :, :n] = motion
    return x


@torch.no_grad()
def keep(model: DiT, optimiser: loop.Optimiser, parts: encoded.Parts, folder: Path) -> None:
    """Write the averaged weights and the momentum, from which a later stage goes on."""
    momentum = {n: t.to(torch.bfloat16).cpu() for n, t in optimiser.momentum.items()}
    average = {n: t.half().cpu() for n, t in loop.averaged(model, optimiser).items()}
    whole = {"weights": average, "mean": parts.mean.cpu(), "std": parts.std.cpu()}
    for name, content in (("momentum", momentum), ("average", whole)):
        part = folder / f"transformer-{name}.part"
        torch.save(content, part)
        part.rename(part.with_suffix(".pt"))


@torch.no_grad()
def finish(
    model: DiT,
    optimiser: loop.Optimiser,
    parts: encoded.Parts,
    given: argparse.Namespace,
) -> None:
    """Save the state and the averaged weights; speak with held-out faces and voices."""
    folder = given.state
    keep(model, optimiser, parts, folder)
    fresh = DiT(CONFIG).to(parts.mean.device)
    fresh.load_state_dict(loop.averaged(model, optimiser))
    facts, rows = {}, []
    for size, people in (((128, 128), 1), ((96, 176), 2)):
        scores, strip = speak(
            fresh, parts, size, people, given, count=16 if given.small >= 1 else 2
        )
        facts[f"people_{people}"] = scores
        rows += strip
    loop.picture(rows, folder / "transformer-samples.png")
    print("held-out faces and voices", json.dumps(facts), flush=True)
    (folder / "transformer-facts.json").write_text(json.dumps(facts))


def speak(
    model: DiT, parts: encoded.Parts, size: tuple[int, int], people: int, given: argparse.Namespace,
    *, count: int,
) -> tuple[dict[str, float], list[Tensor]]:  # fmt: skip
    """First chunks of held-out faces and voices, measured with the meter."""
    device = parts.mean.device
    corpus = sounds.Corpus.load(given.speech / "held_out.ogg", device)
    chance = torch.Generator(device).manual_seed(99)
    clean = corpus.clean(count * people, encoded.FRAMES / 25 + 0.1, chance)
    opening, spread = (
        t.unflatten(0, (count, people)) for t in sounds.mouth(clean, encoded.FRAMES + 1)
    )
    layers = parts.listener.encoder(sounds.normalise(clean), encoded.FRAMES + 1)
    at = (torch.arange(encoded.FRAMES + 4, device=device) - 2).clamp(0, encoded.FRAMES)
    heard = layers[:, at].unflatten(0, (count, people))
    seeds = [tuple(900_000 + people * i + p for p in range(people)) for i in range(count)]
    scene = clips.scene(
        seeds,
        size=size,
        kind="first",
        device=device,
        opening=opening[..., : encoded.FRAMES],
        spread=spread[..., : encoded.FRAMES],
    )
    picture = scene.portrait()
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        still = parts.vae.encode_still(picture[:, :, None] * 2 - 1, encoded.FRAMES)
    still = (still.float() - parts.mean) / parts.std
    masks = F.interpolate(halves(size)[None], (size[0] // 8, size[1] // 8), mode="nearest")
    latent = sample(
        model, portrait=still, heard=heard, clip=parts.vision.encode(picture[:, :, None] * 2 - 1),
        motion=still[:, :, :1],
        masks=masks.to(device).expand(count, -1, -1, -1) if people == 2 else None,
    )  # fmt: skip
    own, other, rows = [], [], []
    boxes = scene.places("mouth")
    for i in range(count):
        video = (parts.decode(latent[i : i + 1])[0].movedim(0, 1) + 1) / 2
        for p in range(people):
            track = meter.opening(video, picture[i], boxes[i, p])
            own.append(meter.correlation(track, opening[i, p, : encoded.FRAMES]))
            other.append(meter.correlation(track, opening[(i + 1) % count, p, : encoded.FRAMES]))
        if i < 4:
            rows.append(torch.cat(list(video[:: max(1, encoded.FRAMES // 8)]), 2))
    table = torch.tensor(own)
    facts = {
        "median": float(table.median()),
        "tenth": float(table.quantile(0.1)),
        "least": float(table.min()),
        "shuffled": float(torch.tensor(other).abs().median()),
    }
    return facts, rows


if __name__ == "__main__":
    main()
