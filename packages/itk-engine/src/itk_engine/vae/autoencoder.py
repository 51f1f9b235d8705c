"""Turns pixels into latents and back, a bounded number of frames at a time.

The structure, names and time behaviour are those of the Wan 2.1 autoencoder: 1 + 4n frames
become 1 + n latents, causally, and each latent covers 8 x 8 pixels. Shapes: B batch, T frames
or latents, C channels, H rows, W columns.
"""

import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from .config import VAEConfig
from .layers import (
    CausalConv,
    Downsample,
    FrameAttention,
    Norm,
    Past,
    PointConv,
    ResidualBlock,
    Upsample,
    channels_last,
    norm_silu,
)

# Largest activation of one piece. A CPU is fastest while a piece stays in its cache. A GPU is
# busy with one latent at published sizes; three at once save 2 % and double the memory.
CPU_PIECE_BYTES = 8 * 2**20
GPU_PIECE_BYTES = 512 * 2**20


class Encoder(nn.Module):
    """Pixels [B, T, 3, H, W] to twice `z_channels` of unnormalised latents."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = config.widths
        self.conv1 = CausalConv(3, widths[0])
        layers: list[nn.Module] = []
        for level, width in enumerate(widths):
            channels = widths[max(level - 1, 0)]
            for _ in range(config.blocks_per_stage):
                layers.append(ResidualBlock(channels, width))
                channels = width
            if level < len(widths) - 1:
                layers.append(Downsample(width, time=config.time_downsample[level]))
        self.downsamples = nn.ModuleList(layers)
        self.middle = _middle(widths[-1])
        self.head = Head(widths[-1], 2 * config.z_channels)

    def forward(self, x_BTCHW: Tensor, past: Past | None = None) -> Tensor:
        """Encode this piece after what `past` remembers."""
        for stage in self.stages():
            x_BTCHW = run(stage, x_BTCHW, past)
        return x_BTCHW

    def stages(self) -> Iterator[list[nn.Module]]:
        """Yield the layers in order, each stage but the last ending where time is halved."""
        stage: list[nn.Module] = [self.conv1]
        for layer in self.downsamples:
            stage.append(layer)
            if isinstance(layer, Downsample) and layer.time_conv is not None:
                yield stage
                stage = []
        yield [*stage, *self.middle, self.head]


class Decoder(nn.Module):
    """Unnormalised latents to pixels [B, T, 3, H, W]."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        self.conv1 = CausalConv(config.z_channels, widths[0])
        self.middle = _middle(widths[0])
        layers: list[nn.Module] = []
        for level, width in enumerate(widths):
            channels = widths[level - 1] // 2 if level else width
            for _ in range(config.blocks_per_stage + 1):
                layers.append(ResidualBlock(channels, width))
                channels = width
            if level < len(widths) - 1:
                layers.append(Upsample(width, time=config.time_downsample[-1 - level]))
        self.upsamples = nn.ModuleList(layers)
        self.head = Head(widths[-1], 3)

    def forward(self, z_BTCHW: Tensor, past: Past | None = None) -> Tensor:
        """Decode this piece after what `past` remembers."""
        return run([self.conv1, *self.middle, *self.upsamples, self.head], z_BTCHW, past)


class VAE(nn.Module):
    """The whole autoencoder, with normalised latents on its outside.

    Both ways are differentiable; with gradients the sequence is computed in one piece unless
    told otherwise, without them in pieces that bound the memory and give the same result.
    """

    def __init__(self, config: VAEConfig | None = None) -> None:
        super().__init__()
        self.config = config or VAEConfig()
        z = self.config.z_channels
        self.encoder = Encoder(self.config)
        self.conv1 = PointConv(2 * z, 2 * z)
        self.conv2 = PointConv(z, z)
        self.decoder = Decoder(self.config)

    def encode(self, video: Tensor, *, latents_per_piece: int | None = None) -> Tensor:
        """Normalised latents [16, 1 + (F-1)//4, H/8, W/8] of a video [3, F, H, W] in [-1, 1].

        A leading batch axis is kept. Trailing frames that do not fill a latent are ignored.
        Raises ValueError when rows or columns do not divide by 8.
        """
        stride = self.config.space_stride
        if video.shape[-2] % stride or video.shape[-1] % stride or video.shape[-3] < 1:
            message = (
                f"a video to encode needs at least one frame and sides that divide by {stride}, "
                f"got {video.shape[-3]} frames of {video.shape[-2]}x{video.shape[-1]}"
            )
            raise ValueError(message)
        x = self._frames_first(video)
        count = 1 + (x.shape[1] - 1) // self.config.time_stride
        piece = latents_per_piece or self._latents_per_piece(x)
        past: Past | None = {} if piece < count else None
        parts = [
            self._mu(self.encoder(x[:, first:last], past))
            for first, last in self._frame_spans(count, piece)
        ]
        return self._normalise(torch.cat(parts, 1), batched=video.ndim == 5)

    def encode_still(self, picture: Tensor, frames: int) -> Tensor:
        """What `encode` gives for [picture, grey, grey, ...], in about a third of the time.

        Args:
            picture: the first frame [3, 1, H, W] in [-1, 1].
            frames: how many frames, the picture included; the others are zero, which is grey.

        The layers are causal and look back a bounded number of frames, so that some frames after
        the picture their outputs stop changing; nothing is computed beyond that point.
        """
        x = self._frames_first(picture)
        total = frames - (frames - 1) % self.config.time_stride
        x = torch.cat([x, torch.zeros_like(x)], 1)[:, :total]
        stages = list(self.encoder.stages())
        for stage in stages:
            # Two frames a convolution, two for the halving of time, and an odd number in all.
            reach = 2 * sum(isinstance(m, CausalConv) for layer in stage for m in layer.modules())
            needed = total if stage is stages[-1] else x.shape[1] + reach + 2
            x = hold_last(x, min(total, needed + 1 - needed % 2))
            x = torch.cat(list(self._run_in_pieces(stage, x)), 1)
            total = 1 + (total - 1) // 2
        return self._normalise(self._mu(x), batched=picture.ndim == 5)

    def decode(self, latent: Tensor, *, latents_per_piece: int | None = None) -> Tensor:
        """Pixels [3, 1 + 4(T-1), 8h, 8w] in [-1, 1], float32, of normalised latents [16, T, h, w].

        A leading batch axis is kept.
        """
        return torch.cat(list(self.decode_pieces(latent, latents_per_piece=latents_per_piece)), -3)

    def decode_pieces(
        self, latent: Tensor, *, latents_per_piece: int | None = None
    ) -> Iterator[Tensor]:
        """Yield what `decode` gives, piece after piece along time, each [3, F_piece, H, W]."""
        mean, std = self._statistics(latent)
        z = self._frames_first(latent.float() * std + mean)
        stride = self.config.space_stride
        pixels = z[:, :, :1].repeat_interleave(stride, -1).repeat_interleave(stride, -2)
        piece = latents_per_piece or self._latents_per_piece(pixels)
        past: Past | None = {} if piece < z.shape[1] else None
        for part in z.split(piece, 1):
            video = self.decoder(self.conv2(part), past).float().clamp(-1, 1).movedim(1, 2)
            yield video if latent.ndim == 5 else video[0]

    def _mu(self, x_BTCHW: Tensor) -> Tensor:
        return self.conv1(x_BTCHW)[:, :, : self.config.z_channels]

    def _run_in_pieces(self, stage: list[nn.Module], x_BTCHW: Tensor) -> Iterator[Tensor]:
        if torch.is_grad_enabled():
            yield run(stage, x_BTCHW, None)
            return
        past: Past = {}
        width = max(x_BTCHW.shape[2], self.config.base_width)
        piece = 2 * max(1, self._frames_per_piece(x_BTCHW, width) // 2)
        yield run(stage, x_BTCHW[:, :1], past)
        for part in x_BTCHW[:, 1:].split(piece, 1) if x_BTCHW.shape[1] > 1 else ():
            yield run(stage, part, past)

    def _frames_first(self, video: Tensor) -> Tensor:
        weight = self.conv1.weight
        video = (video if video.ndim == 5 else video[None]).to(weight.device, weight.dtype)
        return channels_last(video.movedim(2, 1))

    def _normalise(self, mu_BTCHW: Tensor, *, batched: bool) -> Tensor:
        mu = mu_BTCHW.float().movedim(2, 1)
        mean, std = self._statistics(mu)
        latent = (mu - mean) * (1 / std)
        return latent if batched else latent[0]

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1, 1, 1, 1)
        mean = torch.tensor(self.config.latent_mean, device=like.device).view(shape)
        return mean, torch.tensor(self.config.latent_std, device=like.device).view(shape)

    def _latents_per_piece(self, x_BTCHW: Tensor) -> int:
        if torch.is_grad_enabled():
            return sys.maxsize
        frames = self._frames_per_piece(x_BTCHW, self.config.base_width)
        return max(1, frames // self.config.time_stride)

    def _frames_per_piece(self, x_BTCHW: Tensor, width: int) -> int:
        limit = CPU_PIECE_BYTES if x_BTCHW.device.type == "cpu" else GPU_PIECE_BYTES
        batch, _, _, rows, columns = x_BTCHW.shape
        return limit // (batch * rows * columns * width * x_BTCHW.element_size())

    def _frame_spans(self, latents: int, piece: int) -> Iterator[tuple[int, int]]:
        stride = self.config.time_stride
        edges = [0, *range(piece, latents, piece), latents]
        ends = [0, *(1 + stride * (edge - 1) for edge in edges[1:])]
        return pairwise(ends)


class Head(nn.ModuleDict):
    """The last layers of either half: norm, SiLU, convolution."""

    def __init__(self, width: int, out_channels: int) -> None:
        super().__init__({"0": Norm(width), "2": CausalConv(width, out_channels)})

    def forward(self, x_BTCHW: Tensor, past: Past | None = None) -> Tensor:
        """Compute this piece after what `past` remembers."""
        return self["2"](norm_silu(self["0"], x_BTCHW), past)


def run(layers: Iterable[nn.Module], x_BTCHW: Tensor, past: Past | None) -> Tensor:
    """Pass x through the layers in order."""
    for layer in layers:
        x_BTCHW = layer(x_BTCHW, past)
    return x_BTCHW


def hold_last(x_BTCHW: Tensor, frames: int) -> Tensor:
    """Repeat the last frame until there are `frames`."""
    missing = max(0, frames - x_BTCHW.shape[1])
    return torch.cat([x_BTCHW, x_BTCHW[:, -1:].expand(-1, missing, -1, -1, -1)], 1)


def _middle(width: int) -> nn.ModuleList:
    return nn.ModuleList(
        [ResidualBlock(width, width), FrameAttention(width), ResidualBlock(width, width)]
    )
