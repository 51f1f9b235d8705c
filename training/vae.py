"""Trains the small video autoencoder on clips of drawn people.

    python training/vae.py --state FOLDER [--seconds 480] [--resume]

Loss: absolute error and absolute error of the gradients in space and time, heavier round eyes
and mouths, a little squared error; the latents are held near unit size and blurred with noise,
so that the decoder forgives a transformer's small mistakes.
"""

# ruff: noqa: PLR0917

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import clips
import loop
import sounds
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  the name that everybody knows

from itk_engine.vae import VAE, VAEConfig
from itk_engine.vae import layers as vae_layers

Tensor = torch.Tensor

BASE_WIDTH = 16
CONFIG = VAEConfig(base_width=BASE_WIDTH, latent_mean=(0.0,) * 16, latent_std=(1.0,) * 16)
FRAMES = 81
PLAIN = ("encoder.conv1", "decoder.head", "conv1", "conv2", "encoder.head")
# (size, people, clips in the pool, share of the steps, clips and frames of one step)
POOLS = (
    ((128, 128), 1, 600, 0.58, (4, 17)),
    ((128, 128), 1, 0, 0.14, (1, 81)),
    ((96, 176), 2, 130, 0.16, (4, 17)),
    ((144, 112), 1, 70, 0.06, (4, 17)),
    ((112, 144), 1, 70, 0.06, (4, 17)),
)


def main() -> None:
    """Train for so many seconds and leave state, weights, curve and samples in the folder."""
    ask = argparse.ArgumentParser()
    ask.add_argument("--state", type=Path, required=True)
    ask.add_argument("--speech", type=Path, default=Path(".train"))
    ask.add_argument("--seconds", type=float, default=480)
    ask.add_argument("--resume", action="store_true")
    ask.add_argument("--start", type=Path, help="begin with these weights (a vae-average.pt)")
    ask.add_argument("--small", type=float, default=1.0, help="shrinks pools and steps for a trial")
    ask.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    ask.add_argument("--optimiser", default="muon")
    ask.add_argument("--rate", type=float, default=1.0)
    given = ask.parse_args()
    given.state.mkdir(parents=True, exist_ok=True)
    train(given)


def train(given: argparse.Namespace) -> None:  # noqa: PLR0915  a stage reads from top to bottom
    """The whole stage."""
    clock = loop.Clock(given.seconds)
    device = torch.device(given.device)
    torch.manual_seed(11)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    vae = make().to(device)
    if given.start:
        vae.load_state_dict(
            {n: t.float() for n, t in torch.load(given.start, weights_only=True).items()}
        )
    quick(vae, compiled=device.type == "cuda")
    optimiser = loop.Optimiser(vae, plain=PLAIN if given.optimiser == "muon" else ("",))
    state = loop.load(given.state, "vae") if given.resume else None
    if state:
        optimiser.resume(state)
    pools = Pools(given, device)
    print(f"pools ready after {clock.spent:.1f} s", flush=True)
    if device.type == "cuda":
        choose(vae, pools)
        print(f"convolutions chosen after {clock.spent:.1f} s", flush=True)
    curve = loop.Curve(given.state / "vae-curve")
    seen, chance = 0, torch.Generator().manual_seed(optimiser.steps + 5)
    sums = torch.zeros(4, device=device)
    last = time.monotonic()
    warm_start = clock.spent
    while clock.spent < given.seconds:
        share = (clock.spent - warm_start) / (given.seconds - warm_start)
        video, weights = pools.draw(chance)
        losses = loss(vae, video, weights, square=0.5 + 2.0 * share)
        losses[0].backward()
        factor = given.rate * loop.rate(share, warm=0.01, end=0.01)
        norm = optimiser.step(muon=3e-3 * factor, adam=1e-3 * factor, average=0.998)
        sums += torch.stack([*(part.detach() for part in losses), norm])
        seen += video.shape[0] * video.shape[2]
        if optimiser.steps % 200 == 0 or (given.small < 1 and optimiser.steps % 4 == 0):
            total, absolute, square, norm = (sums / (200 if given.small >= 1 else 4)).tolist()
            sums.zero_()
            now = time.monotonic()
            curve.add(
                step=optimiser.steps, seconds=clock.spent, loss=total, absolute=absolute,
                psnr=10 * math.log10(4 / max(square, 1e-9)), norm=norm,
                frames_a_second=seen / (now - last),
            )  # fmt: skip
            seen, last = 0, now
    finish(vae, optimiser, given.state, device, small=given.small < 1)
    curve.write()


def make() -> VAE:
    """A new autoencoder whose residual blocks begin as identities."""
    vae = VAE(CONFIG)
    for module in vae.modules():
        if isinstance(module, vae_layers.ResidualBlock):
            nn.init.zeros_(module.residual["6"].weight)
            nn.init.zeros_(module.residual["6"].bias)
    return vae


def loss(vae: VAE, video: Tensor, weights: Tensor, *, square: float) -> tuple[Tensor, ...]:
    """Total, absolute and squared error of video [B, 3, F, H, W] in -1..1."""
    with torch.autocast(video.device.type, torch.bfloat16, enabled=video.is_cuda):
        latent = vae.encode(video, latents_per_piece=2**20)
        spread = latent.detach().float().std((0, 2, 3, 4), keepdim=True)
        noisy = latent + 0.06 * spread * torch.randn_like(latent)
        rebuilt = decode_open(vae, noisy)
    error = rebuilt.float() - video
    heavy = weights[:, None, None] / weights.mean()
    absolute = (error.abs() * heavy).mean()
    squared = error.square().mean()
    dx, dy = error.diff(dim=4), error.diff(dim=3)
    edges = (dx.abs() * heavy[..., 1:]).mean() + (dy.abs() * heavy[..., 1:, :]).mean()
    steady = (error.diff(dim=2).abs() * heavy).mean() if video.shape[2] > 1 else error.new_zeros(())
    flat = error.movedim(2, 1).flatten(0, 1)
    coarse = F.avg_pool2d(flat, 4).abs().mean() + F.avg_pool2d(flat, 16).abs().mean()
    size = latent.float().square().mean()
    total = absolute + 0.7 * edges + 0.4 * steady + square * (error.square() * heavy).mean()
    return total + coarse + 2e-4 * size, absolute, squared


def decode_open(vae: VAE, latent: Tensor) -> Tensor:
    """Decode without clamping, so that errors beyond white and black are felt."""
    mean = torch.tensor(vae.config.latent_mean, device=latent.device).view(-1, 1, 1, 1)
    std = torch.tensor(vae.config.latent_std, device=latent.device).view(-1, 1, 1, 1)
    z = vae_layers.channels_last((latent * std + mean).movedim(2, 1))
    return vae.decoder(vae.conv2(z)).movedim(1, 2)


class Pools:
    """Clips drawn once, kept as bytes on the device."""

    def __init__(self, given: argparse.Namespace, device: torch.device) -> None:
        corpus = sounds.Corpus.load(given.speech / "train.ogg", device, minutes=8)
        self.small = given.small
        self.pools: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        seed = 0
        for size, people, most, _, _ in POOLS:
            count = math.ceil(most * given.small)
            if count:
                self.pools[size] = _pool(corpus, size, people, count, seed, device)
                seed += 2 * count

    def draw(
        self, chance: torch.Generator, only: tuple[int, int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """A batch [B, 3, F, H, W] in -1..1 and its weights [B, H, W]."""
        shares = torch.tensor([row[3] for row in POOLS])
        pick = int(torch.multinomial(shares, 1, generator=chance)) if only is None else 0
        size, _, _, _, (batch, frames) = POOLS[pick]
        video, weights = self.pools[size]
        rows = torch.randint(len(video), (batch,), generator=chance).tolist()
        starts = torch.randint(FRAMES - frames + 1, (batch,), generator=chance).tolist()
        x = torch.stack([video[r, s : s + frames] for r, s in zip(rows, starts, strict=True)])
        x = x.movedim(2, 1).float() / 127.5 - 1
        tint = torch.rand(batch, 3, 1, 1, 1, generator=chance) * 0.3 - 0.15
        gain = 0.85 + 0.3 * torch.rand(batch, 1, 1, 1, 1, generator=chance)
        x = (x * gain.to(x) + tint.to(x)).clamp(-1, 1)
        w = weights[rows]
        if torch.rand((), generator=chance) < 0.5:
            x, w = x.flip(4), w.flip(2)
        return x, w


def _pool(
    corpus: sounds.Corpus,
    size: tuple[int, int],
    people: int,
    count: int,
    first_seed: int,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Clips [N, F, 3, H, W] as bytes and their weights [N, H, W]; one in ten has no person."""
    chance = torch.Generator(device).manual_seed(first_seed + 77)
    video = torch.empty(count, FRAMES, 3, *size, dtype=torch.uint8, device=device)
    weights = torch.ones(count, *size, device=device)
    for start in range(0, count, 8):
        rows = range(start, min(count, start + 8))
        seeds = [tuple(first_seed + 2 * r + p for p in range(people)) for r in rows]
        clean = corpus.clean(len(rows) * people, FRAMES / 25 + 0.1, chance)
        opening, spread = (t.unflatten(0, (-1, people)) for t in sounds.mouth(clean, FRAMES))
        scene = clips.scene(
            seeds, size=size, opening=opening, spread=spread, device=device,
            kind="first" if start % 16 else "later",
        )  # fmt: skip
        drawn = scene.video()
        weights[rows.start : rows.stop] = scene.weights(mouth=4.0, eyes=4.0)
        if start % 80 == 40:
            drawn = _panned([s[0] for s in seeds], size, device)
            weights[rows.start : rows.stop] = 1.0
        video[rows.start : rows.stop] = (drawn * 255).round().byte()
    return video, weights


def _panned(seeds: list[int], size: tuple[int, int], device: torch.device) -> Tensor:
    """Busy pictures without people that slowly slide or stand still, [N, F, 3, H, W]."""
    height, width = size
    wide = clips.dead_leaves(seeds, height + 16, width + 16, device)
    frames = []
    for f in range(FRAMES):
        at = 16 * f / FRAMES
        low = int(at)
        left = wide[:, :, 8 : 8 + height, low : low + width]
        right = wide[:, :, 8 : 8 + height, low + 1 : low + 1 + width]
        frames.append(
            torch.lerp(left, right, at - low) if seeds[0] % 3 else wide[:, :, :height, :width]
        )
    return torch.stack(frames, 1).clamp(0, 1)


def choose(vae: VAE, pools: Pools) -> None:
    """Take the faster of two ways to convolve over time, measured on a real step."""
    spent = {}
    for folded in (True, False):
        quick(vae, compiled=True, folded=folded)
        chance = torch.Generator().manual_seed(1)
        size = POOLS[0][0]
        for turn in range(9):
            if turn == 5:
                torch.cuda.synchronize()
                start = time.monotonic()
            video, weights = pools.draw(chance, only=size)
            loss(vae, video, weights, square=1.0)[0].backward()
            vae.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        spent[folded] = (time.monotonic() - start) / 4
    print("seconds a step, folded and 3-D:", spent, flush=True)
    quick(vae, compiled=True, folded=spent[True] < spent[False])


def quick(vae: VAE, *, compiled: bool, folded: bool = True) -> None:  # noqa: C901  four small functions
    """Let training run through fused pieces: the same numbers in fewer kernels."""

    def prepare(x: Tensor, gamma: Tensor) -> Tensor:
        last = x.movedim(2, -1).float()
        scale = torch.rsqrt(last.square().mean(-1, keepdim=True) + 1e-24)
        y = F.silu(last * scale * gamma.flatten()).to(x.dtype)
        return F.pad(y, (0, 0, 0, 0, 0, 0, 2, 0)).movedim(-1, 2)

    def prepare_folded(x: Tensor, gamma: Tensor) -> Tensor:
        y = prepare_plain(x, gamma).movedim(2, -1)
        frames = x.shape[1]
        taps = torch.cat([y[:, tap : tap + frames] for tap in range(3)], -1)
        return taps.movedim(-1, 2)

    prepare_plain = prepare
    if folded:
        prepare = prepare_folded
    if compiled:
        torch._dynamo.config.recompile_limit = 64  # noqa: SLF001
        prepare = torch.compile(prepare, dynamic=True)

    def convolve(conv: nn.Conv3d, x: Tensor) -> Tensor:
        if folded:
            weight = conv.weight.transpose(1, 2).flatten(1, 2)
            weight = weight.contiguous(memory_format=torch.channels_last)
            y = F.conv2d(x.flatten(0, 1), weight, conv.bias, padding=1)
            return y.unflatten(0, x.shape[:2])
        if x.is_cuda:
            volume = x.movedim(2, 1)
            return F.conv3d(volume, conv.weight, conv.bias, 1, (0, 1, 1)).movedim(1, 2)
        return vae_layers.convolve_time(x, conv.weight, conv.bias)

    def block(self: nn.Module, x: Tensor, _past: None = None) -> Tensor:
        r = self.residual
        y = convolve(r["2"], prepare(x, r["0"].gamma))
        y = convolve(r["6"], prepare(y, r["3"].gamma))
        return y + (x if self.shortcut is None else self.shortcut(x))

    def attention(self: nn.Module, x: Tensor, _past: None = None) -> Tensor:
        height, width = x.shape[-2:]
        tokens = self.norm(x).movedim(2, -1).flatten(2, 3).flatten(0, 1)
        q, k, v = F.linear(tokens, self.to_qkv.weight.flatten(1), self.to_qkv.bias).chunk(3, -1)
        mixed = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        mixed = F.linear(mixed, self.proj.weight.flatten(1), self.proj.bias)
        mixed = mixed.unflatten(0, x.shape[:2]).unflatten(2, (height, width))
        return mixed.movedim(-1, 2) + x

    for module in vae.modules():
        if isinstance(module, vae_layers.ResidualBlock):
            module.forward = block.__get__(module)
        if isinstance(module, vae_layers.FrameAttention):
            module.forward = attention.__get__(module)


@torch.no_grad()
def finish(
    vae: VAE, optimiser: loop.Optimiser, folder: Path, device: torch.device, *, small: bool
) -> None:
    """Save the state, measure the averaged weights on held-out faces, write samples."""
    loop.save(folder, "vae", optimiser.state())
    vae.load_state_dict(loop.averaged(vae, optimiser))
    torch.save({n: t.half().cpu() for n, t in vae.state_dict().items()}, folder / "vae-average.pt")
    corpus = sounds.Corpus.load(Path(".train") / "held_out.ogg", device)
    chance = torch.Generator(device).manual_seed(3)
    count, frames = (2 if small else 16), FRAMES
    clean = corpus.clean(count, frames / 25 + 0.1, chance)
    opening, spread = sounds.mouth(clean, frames)
    scene = clips.scene(
        [(900_000 + i,) for i in range(count)], size=(128, 128), opening=opening[:, None],
        spread=spread[:, None], kind="first", device=device,
    )  # fmt: skip
    rows, numbers = [], []
    for i in range(count):
        video = scene.part(i, i + 1).video()[0].movedim(0, 1) * 2 - 1
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            again = vae.decode(vae.encode(video)).float()
        error = (again - video).square().mean((0, 2, 3)) / 4
        psnr = -10 * torch.log10(error)
        numbers.append(
            [
                float(-10 * torch.log10(error.mean())),
                float(psnr[:5].mean()),
                float(psnr[-5:].mean()),
            ]
        )
        if i < 6:
            at = [f for f in (0, 4, 16, 40, 60, 80) if f < frames]
            both = torch.cat([torch.cat(list(v[:, at].unbind(1)), 2) for v in (video, again)], 1)
            rows.append((both + 1) / 2)
    loop.picture(rows, folder / "vae-samples.png")
    table = torch.tensor(numbers)
    facts = {
        "all": table[:, 0].mean().item(),
        "worst": table[:, 0].min().item(),
        "first5": table[:, 1].mean().item(),
        "last5": table[:, 2].mean().item(),
        "steps": optimiser.steps,
    }
    print("held-out faces", json.dumps(facts), flush=True)
    (folder / "vae-facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
