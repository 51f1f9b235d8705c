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
# (size, people, clips, frames of each)
POOLS = (((128, 128), 1, 1500, 33), ((128, 128), 1, 140, FRAMES), ((96, 176), 2, 450, 33))
# (pool, clips and frames of one step, share of the steps at the start, at the end): first many
# faces at once, which is where most is learnt, then longer and longer clips.
STEPS = (
    (0, 40, 1, 0.56, 0.10),
    (0, 3, 17, 0.30, 0.46),
    (1, 1, 81, 0.03, 0.22),
    (2, 3, 17, 0.11, 0.22),
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
    ask.add_argument("--rate", type=float, default=1.0)
    ask.add_argument("--span", type=float, nargs=2, default=(0.0, 1.0), help="part of the schedule")
    ask.add_argument("--steady", type=float, default=0.4, help="weight of what flickers")
    ask.add_argument("--decoder", action="store_true", help="leave the encoder as it is")
    ask.add_argument("--no-graphs", dest="graphs", action="store_false")
    given = ask.parse_args()
    given.state.mkdir(parents=True, exist_ok=True)
    train(given)


def train(given: argparse.Namespace) -> None:  # noqa: PLR0915  a stage reads from top to bottom
    """The whole stage."""
    clock = loop.Clock(given.seconds)
    device = torch.device(given.device)
    fast = device.type == "cuda"
    torch.manual_seed(11)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    vae = make().to(device)
    pools = Pools(given, device)
    print(f"pools ready after {clock.spent:.1f} s", flush=True)
    if given.start:
        vae.load_state_dict(
            {n: t.float() for n, t in torch.load(given.start, weights_only=True).items()}
        )
    else:
        start_from_patches(vae, pools.pools[0][0][:200, 0].float() / 127.5 - 1)
    quick(vae, compiled=fast)
    for part in (vae.encoder, vae.conv1):
        part.requires_grad_(requires_grad=not given.decoder)
    optimiser = loop.Optimiser(vae, plain=PLAIN)
    state = loop.load(given.state, "vae") if given.resume else None
    if state:
        optimiser.resume(state)

    def work(video: Tensor, weights: Tensor, square: Tensor) -> Tensor:
        losses = loss(vae, video, weights, square=square, steady=given.steady)
        losses[0].backward()
        norm = optimiser.step()
        return torch.stack([*(part.detach() for part in losses), norm])

    step = loop.Repeated(work, graphs=fast and given.graphs)
    curve = loop.Curve(given.state / "vae-curve")
    seen, count, chance = 0, 0, torch.Generator().manual_seed(optimiser.steps + 5)
    sums = torch.zeros(4, device=device)
    last = warm_start = kept = clock.spent
    every = 400 if given.small >= 1 else 4
    while clock.spent < given.seconds:
        if clock.spent > kept + 45:
            keep(vae, optimiser, given.state)
            kept = clock.spent
        share = (clock.spent - warm_start) / (given.seconds - warm_start)
        share = given.span[0] + (given.span[1] - given.span[0]) * share
        video, weights = pools.draw(chance, share)
        factor = given.rate * loop.rate(share, warm=0.01, end=0.01)
        optimiser.rates(muon=3e-3 * factor, adam=1e-3 * factor, average=0.998)
        sums += step(video, weights, torch.tensor(0.5 + 2.5 * share, device=device))
        seen += video.shape[0] * video.shape[2]
        count += 1
        if optimiser.steps % every == 0:
            total, absolute, square, norm = (sums / count).tolist()
            curve.add(
                step=optimiser.steps, seconds=clock.spent, loss=total, absolute=absolute,
                psnr=10 * math.log10(4 / max(square, 1e-9)), norm=norm,
                frames_a_second=seen / (clock.spent - last),
                steps_a_second=count / (clock.spent - last),
            )  # fmt: skip
            sums.zero_()
            seen, count, last = 0, 0, clock.spent
    finish(vae, optimiser, given.state, device, small=given.small < 1)
    curve.write()


def keep(vae: VAE, optimiser: loop.Optimiser, folder: Path) -> None:
    """Write the averaged weights, so that a stage that is cut short was not for nothing."""
    state = {n: t.half().cpu() for n, t in loop.averaged(vae, optimiser).items()}
    torch.save(state, folder / "vae-average.part")
    (folder / "vae-average.part").rename(folder / "vae-average.pt")


def make() -> VAE:
    """A new autoencoder whose residual blocks begin as identities."""
    vae = VAE(CONFIG)
    for module in vae.modules():
        if isinstance(module, vae_layers.ResidualBlock):
            nn.init.zeros_(module.residual["6"].weight)
            nn.init.zeros_(module.residual["6"].bias)
        if isinstance(module, vae_layers.FrameAttention):
            nn.init.zeros_(module.proj.weight)
            nn.init.zeros_(module.proj.bias)
    return vae


@torch.no_grad()
def start_from_patches(vae: VAE, pictures: Tensor) -> None:
    """Let the encoder begin as the best linear code of 8 x 8 patches of pictures [N, 3, H, W].

    Each halving of the picture starts as the principal components of 2 x 2 patches of what comes
    in. The last one writes each component and its negative, so that SiLU(x) - SiLU(-x) = x gives
    it back after the head's norm, which a large constant in the last channel keeps steady. On
    drawn people 16 components of a patch alone are worth 29 dB.
    """
    z, encoder = CONFIG.z_channels, vae.encoder
    _only(encoder.conv1, torch.eye(encoder.conv1.weight.shape[0], 3), scale=0.1)
    x = pictures[:, None]
    used = 3
    halvings = [m for m in encoder.downsamples if isinstance(m, vae_layers.Downsample)]
    for module in [encoder.conv1, *encoder.downsamples]:
        if isinstance(module, vae_layers.ResidualBlock) and module.shortcut is not None:
            _only(module.shortcut, torch.eye(*module.shortcut.weight.shape[:2]))
        if module in halvings:
            conv = module.resample["1"]
            last = module is halvings[-1]
            basis, mean, spread = _components(x[:, 0, :used], conv.out_channels)
            rows = len(basis)
            conv.weight.mul_(0.0 if last else 0.1)
            conv.bias.zero_()
            if last:
                basis = torch.cat([basis[:z], -basis[:z], basis[z : rows - z - 1]])
                conv.bias[-1] = 2 * spread.square().sum().sqrt()
            patches = basis.unflatten(1, (used, 2, 2))
            conv.weight[: len(basis)] = 0
            conv.weight[: len(basis), :used, :2, :2] = patches
            conv.bias[: len(basis)] = -basis @ mean
            used = len(basis)
            if module.time_conv is not None:
                eye = torch.eye(conv.out_channels)
                module.time_conv.weight.zero_()
                module.time_conv.weight[:, :, 1:, 0, 0] = 0.5 * eye[..., None].to(x)
                module.time_conv.bias.zero_()
        x = module(x)
    length = x.square().sum(2).mean().sqrt() / x.shape[2] ** 0.5
    head = encoder.head["2"]
    rows = torch.zeros(2 * z, x.shape[2])
    rows[:z, :z] = torch.diag(length.cpu() / spread[:z].cpu())
    rows[:z, z : 2 * z] = -rows[:z, :z]
    _only(head, rows, scale=0.02)
    _only(vae.conv1, torch.eye(2 * z))
    _only(vae.conv2, torch.eye(z))
    for module in vae.decoder.upsamples:
        if isinstance(module, vae_layers.Upsample) and module.time_conv is not None:
            eye = torch.eye(module.time_conv.weight.shape[1])
            _only(module.time_conv, torch.cat([eye, eye]), scale=0.1)


def _only(kernel: nn.Module, rows: Tensor, *, scale: float = 0.0) -> None:
    """Let the middle of a kernel's newest frame be `rows`, and shrink the rest."""
    kernel.weight.mul_(scale)
    kernel.bias.zero_()
    kernel.weight[:, :, -1, kernel.weight.shape[3] // 2, kernel.weight.shape[4] // 2] += rows.to(
        kernel.weight
    )


def _components(x: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Principal components [K, 4C], mean and spread [K] of the 2 x 2 patches of x [N, C, H, W]."""
    patches = F.unfold(x.float(), 2, stride=2).movedim(1, 2).flatten(0, 1)
    mean = patches.mean(0)
    centred = patches - mean
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    order = values.argsort(descending=True)[:most]
    return vectors[:, order].T, mean, values[order].clamp(min=1e-8).sqrt()


def loss(
    vae: VAE, video: Tensor, weights: Tensor, *, square: Tensor, steady: float
) -> tuple[Tensor, ...]:
    """Total, absolute and squared error of video [B, 3, F, H, W] in -1..1."""
    with torch.autocast(video.device.type, torch.bfloat16, enabled=video.is_cuda):
        latent = encode_open(vae, video)
        spread = latent.detach().float().std((0, 2, 3, 4), keepdim=True)
        noisy = latent + 0.06 * spread * torch.randn_like(latent)
        rebuilt = decode_open(vae, noisy)
    error = rebuilt.float() - video
    heavy = weights[:, None, None] / weights.mean()
    absolute = (error.abs() * heavy).mean()
    squared = error.square().mean()
    dx, dy = error.diff(dim=4), error.diff(dim=3)
    edges = (dx.abs() * heavy[..., 1:]).mean() + (dy.abs() * heavy[..., 1:, :]).mean()
    still = video.shape[2] == 1
    flicker = error.new_zeros(()) if still else (error.diff(dim=2).abs() * heavy).mean()
    flat = error.movedim(2, 1).flatten(0, 1)
    coarse = F.avg_pool2d(flat, 4).abs().mean() + F.avg_pool2d(flat, 16).abs().mean()
    size = latent.float().square().mean()
    total = absolute + 0.7 * edges + steady * flicker + square * (error.square() * heavy).mean()
    return total + coarse + 2e-4 * size, absolute, squared


def encode_open(vae: VAE, video: Tensor) -> Tensor:
    """Latents [B, 16, T, h, w] as `CONFIG` has them, whose mean is 0 and whose unit is 1."""
    moments = vae.conv1(vae.encoder(vae_layers.channels_last(video.movedim(2, 1))))
    return moments[:, :, : CONFIG.z_channels].float().movedim(1, 2)


def decode_open(vae: VAE, latent: Tensor) -> Tensor:
    """Decode without clamping, so that errors beyond white and black are felt."""
    z = vae_layers.channels_last(latent.movedim(2, 1))
    return vae.decoder(vae.conv2(z)).movedim(1, 2)


class Pools:
    """Clips drawn once, kept as bytes on the device."""

    def __init__(self, given: argparse.Namespace, device: torch.device) -> None:
        corpus = sounds.Corpus.load(given.speech / "train.ogg", device, minutes=8)
        self.pools: list[tuple[Tensor, Tensor]] = []
        seed = 0
        for size, people, most, frames in POOLS:
            count = math.ceil(most * given.small)
            self.pools.append(_pool(corpus, size, people, count, frames, seed, device))
            seed += 2 * count

    def draw(
        self, chance: torch.Generator, share: float, only: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """A batch [B, 3, F, H, W] in -1..1 and its weights [B, H, W], at a share of the stage."""
        odds = torch.tensor([early + (late - early) * share for *_, early, late in STEPS])
        pick = int(torch.multinomial(odds, 1, generator=chance)) if only is None else only
        pool, batch, frames = STEPS[pick][:3]
        video, weights = self.pools[pool]
        rows = torch.randint(len(video), (batch, 1), generator=chance)
        starts = torch.randint(video.shape[1] - frames + 1, (batch, 1), generator=chance)
        at = torch.cat([rows, starts], 1).to(video.device)
        rows, starts = at[:, :1], at[:, 1:] + torch.arange(frames, device=video.device)
        x = video[rows, starts].movedim(2, 1).float() / 127.5 - 1
        change = torch.rand(batch, 4, 1, 1, 1, generator=chance).to(video.device) * 0.3
        x = (x * (0.85 + change[:, 3:]) + change[:, :3] - 0.15).clamp(-1, 1)
        w = weights[rows[:, 0]]
        if torch.rand((), generator=chance) < 0.5:
            x, w = x.flip(4), w.flip(2)
        return x, w


def _pool(
    corpus: sounds.Corpus,
    size: tuple[int, int],
    people: int,
    count: int,
    length: int,
    first_seed: int,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Clips [N, F, 3, H, W] as bytes and their weights [N, H, W]; one in ten has no person."""
    chance = torch.Generator(device).manual_seed(first_seed + 77)
    video = torch.empty(count, length, 3, *size, dtype=torch.uint8, device=device)
    weights = torch.ones(count, *size, device=device)
    for start in range(0, count, 8):
        rows = range(start, min(count, start + 8))
        seeds = [tuple(first_seed + 2 * r + p for p in range(people)) for r in rows]
        clean = corpus.clean(len(rows) * people, length / 25 + 0.1, chance)
        opening, spread = (t.unflatten(0, (-1, people)) for t in sounds.mouth(clean, length))
        scene = clips.scene(
            seeds, size=size, opening=opening, spread=spread, device=device,
            kind="first" if start % 16 else "later",
        )  # fmt: skip
        drawn = scene.video()
        weights[rows.start : rows.stop] = scene.weights(mouth=4.0, eyes=4.0)
        if start % 80 == 40:
            drawn = _panned([s[0] for s in seeds], size, length, device)
            weights[rows.start : rows.stop] = 1.0
        video[rows.start : rows.stop] = (drawn * 255).round().byte()
    return video, weights


def _panned(seeds: list[int], size: tuple[int, int], length: int, device: torch.device) -> Tensor:
    """Busy pictures without people that slowly slide or stand still, [N, F, 3, H, W]."""
    height, width = size
    wide = clips.dead_leaves(seeds, height + 16, width + 16, device)
    frames = []
    for f in range(length):
        at = 16 * f / FRAMES
        low = int(at)
        left = wide[:, :, 8 : 8 + height, low : low + width]
        right = wide[:, :, 8 : 8 + height, low + 1 : low + 1 + width]
        frames.append(
            torch.lerp(left, right, at - low) if seeds[0] % 3 else wide[:, :, :height, :width]
        )
    return torch.stack(frames, 1).clamp(0, 1)


def quick(vae: VAE, *, compiled: bool) -> None:
    """Let training run through fused pieces: the same numbers in fewer kernels."""

    def prepare(x: Tensor, gamma: Tensor) -> Tensor:
        last = x.movedim(2, -1).float()
        scale = torch.rsqrt(last.square().mean(-1, keepdim=True) + 1e-24)
        y = F.silu(last * scale * gamma.flatten()).to(x.dtype)
        return F.pad(y, (0, 0, 0, 0, 0, 0, 2, 0)).movedim(-1, 2)

    if compiled:
        torch._dynamo.config.recompile_limit = 64  # noqa: SLF001
        prepare = torch.compile(prepare, dynamic=True)

    def convolve(conv: nn.Conv3d, x: Tensor) -> Tensor:
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
    keep(vae, optimiser, folder)
    loop.save(folder, "vae", optimiser.state())
    vae.load_state_dict(loop.averaged(vae, optimiser))
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
