"""Layers of the video autoencoder that may be fed a sequence piece by piece.

Shapes: B batch, T frames, C channels, H rows, W columns. Activations are [B, T, C, H, W] whose
memory order is B, T, H, W, C: the frames fold into a 2-D batch, and the whole is a channels-last
3-D volume, both without a copy.
"""

from math import prod
from typing import TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812  the name that everybody knows
from einops import rearrange
from torch import Tensor, nn

from itk_engine.ops import fused

# What each layer remembers of the frames before the present piece. None in place of it: the
# sequence comes in one piece.
Past: TypeAlias = dict[nn.Module, Tensor]


class Kernel(nn.Module):
    """The weight [out, in, time, rows, columns] and bias [out] of a convolution."""

    def __init__(self, channels: int, out_channels: int, *, size: tuple[int, int, int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, channels, *size))
        self.bias = nn.Parameter(torch.empty(out_channels))
        bound = (channels * prod(size)) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)


class CausalConv(Kernel):
    """Convolves each frame with its two predecessors; before the first frame all is zero."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, size=(3, 3, 3))

    def forward(self, x_BTCHW: Tensor, past: Past | None = None) -> Tensor:
        """Convolve this piece after what `past` remembers."""
        return convolve_time(join_past(self, x_BTCHW, past), self.weight, self.bias)


class PointConv(Kernel):
    """Mixes the channels of every pixel alike."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(channels, out_channels, size=(1, 1, 1))

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        """Mix the channels."""
        weight = self.weight.flatten(1)
        return F.linear(x_BTCHW.movedim(2, -1), weight, self.bias).movedim(-1, 2)


class Norm(nn.Module):
    """Scales each pixel's channels to unit root mean square, then by `gamma`."""

    def __init__(self, channels: int, *, axes: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *[1] * axes))

    def forward(self, x_BTCHW: Tensor) -> Tensor:
        """Normalise over the channels: x / ‖x‖ · sqrt(C) · gamma."""
        x = x_BTCHW.movedim(2, -1)
        channels = x.shape[-1]
        gamma = self.gamma.flatten()
        if x.device.type == "cpu" and not torch.is_grad_enabled():
            length = torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min_(1e-12)
            return (x / length).mul_(gamma * channels**0.5).movedim(-1, 2)
        # x / sqrt(mean x² + tiny) is x / ‖x‖ · sqrt(C); one fused kernel on a GPU.
        return F.rms_norm(x, (channels,), gamma, 1e-24).movedim(-1, 2)


class ResidualBlock(nn.Module):
    """Adds two normalised causal convolutions to what came in."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.residual = nn.ModuleDict(
            {
                "0": Norm(channels),
                "2": CausalConv(channels, out_channels),
                "3": Norm(out_channels),
                "6": CausalConv(out_channels, out_channels),
            }
        )
        self.shortcut = PointConv(channels, out_channels) if channels != out_channels else None

    def forward(self, x_BTCHW: Tensor, past: Past | None = None) -> Tensor:
        """Compute this piece after what `past` remembers.

        The widest blocks set the memory of a whole decode, so nothing lives longer than needed.
        """
        first, second = self.residual["2"], self.residual["6"]
        assert isinstance(first, CausalConv)
        assert isinstance(second, CausalConv)
        y = join_past(first, norm_silu(self.residual["0"], x_BTCHW), past)
        y = convolve_time(y, first.weight, first.bias)
        joined = join_past(second, norm_silu(self.residual["3"], y), past)
        del y
        y = convolve_time(joined, second.weight, second.bias)
        del joined
        return add(y, x_BTCHW if self.shortcut is None else self.shortcut(x_BTCHW))


class FrameAttention(nn.Module):
    """Lets the pixels of one frame look at each other, frame by frame, with one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = Norm(channels, axes=2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, kernel_size=1)
        self.proj = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x_BTCHW: Tensor, past: Past | None = None) -> Tensor:
        """Attend within each frame; `past` is not used, frames do not see each other here."""
        del past
        height, width = x_BTCHW.shape[-2:]
        tokens = self.norm(x_BTCHW).movedim(2, -1).flatten(2, 3).flatten(0, 1)
        q, k, v = F.linear(tokens, self.to_qkv.weight.flatten(1), self.to_qkv.bias).chunk(3, -1)
        mixed = torch.cat(
            [
                F.scaled_dot_product_attention(
                    q_LC[None, None], k_LC[None, None], v_LC[None, None]
                )[0]
                for q_LC, k_LC, v_LC in zip(q, k, v, strict=True)
            ]
        )
        mixed = F.linear(mixed, self.proj.weight.flatten(1), self.proj.bias)
        mixed = mixed.unflatten(0, x_BTCHW.shape[:2]).unflatten(2, (height, width))
        return add(mixed.movedim(-1, 2), x_BTCHW)


class Downsample(nn.Module):
    """Halves rows and columns and, where `time`, pairs of frames after the first."""

    def __init__(self, channels: int, *, time: bool) -> None:
        super().__init__()
        self.resample = nn.ModuleDict({"1": nn.Conv2d(channels, channels, 3, stride=2)})
        self.time_conv = Kernel(channels, channels, size=(3, 1, 1)) if time else None

    def forward(self, x_BTCHW: Tensor, past: Past | None = None) -> Tensor:
        """Shrink this piece after what `past` remembers.

        The first piece of a sequence needs an odd number of frames, later ones an even number.
        """
        padded = F.pad(x_BTCHW.flatten(0, 1), (0, 1, 0, 1))
        x = channels_last(self.resample["1"](padded)).unflatten(0, x_BTCHW.shape[:2])
        return x if self.time_conv is None else self._halve_time(self.time_conv, x, past)

    def _halve_time(self, conv: Kernel, x_BTCHW: Tensor, past: Past | None) -> Tensor:
        # y[0] = x[0]; y[k] sees x[2k-2], x[2k-1], x[2k].
        before = None if past is None else past.get(self)
        x = x_BTCHW if before is None else join_frames([before, x_BTCHW])
        if past is not None:
            remember(self, x[:, -1:], past)
        if x.shape[1] < 3:
            return x_BTCHW
        halved = convolve_time(x, conv.weight, conv.bias, stride=2)
        return halved if before is not None else join_frames([x[:, :1], halved])


class Upsample(nn.Module):
    """Doubles rows and columns and, where `time`, every frame after the first."""

    def __init__(self, channels: int, *, time: bool) -> None:
        super().__init__()
        self.resample = nn.ModuleDict({"1": nn.Conv2d(channels, channels // 2, 3, padding=1)})
        self.time_conv = Kernel(channels, 2 * channels, size=(3, 1, 1)) if time else None

    def forward(self, x_BTCHW: Tensor, past: Past | None = None) -> Tensor:
        """Enlarge this piece after what `past` remembers."""
        x = x_BTCHW
        if self.time_conv is not None:
            x = self._double_time(self.time_conv, x_BTCHW, past)
        frames = x.flatten(0, 1)
        larger = F.interpolate(frames, scale_factor=2.0, mode="nearest-exact")
        return channels_last(self.resample["1"](larger)).unflatten(0, x.shape[:2])

    def _double_time(self, conv: Kernel, x_BTCHW: Tensor, past: Past | None) -> Tensor:
        # The very first frame passes as it is, and this convolution never sees it: zeros stand
        # in its place. Every later frame becomes two, the first half of the channels earlier.
        first = past is None or self not in past
        rest = x_BTCHW[:, 1:] if first else x_BTCHW
        x = join_past(self, rest, past)
        if rest.shape[1] == 0:
            return x_BTCHW
        doubled = convolve_time(x, conv.weight, conv.bias)
        doubled = rearrange(doubled, "b t (s c) h w -> b (t s) h w c", s=2).movedim(-1, 2)
        return join_frames([x_BTCHW[:, :1], doubled]) if first else doubled


def join_past(layer: nn.Module, x_BTCHW: Tensor, past: Past | None) -> Tensor:
    """Put the last two frames that the layer saw before x, zeros where there were none."""
    before = None if past is None else past.get(layer)
    if before is None:
        batch, _, *rest = x_BTCHW.shape
        before = channels_last(x_BTCHW.new_zeros(batch, 2, *rest))
    joined = join_frames([before, x_BTCHW])
    if past is not None:
        remember(layer, joined[:, -2:], past)
    return joined


def remember(layer: nn.Module, frames_BTCHW: Tensor, past: Past) -> None:
    """Keep the last frames for the next piece, where they can in the memory of the ones before.

    What outlives a piece would else lie somewhere else after each, and break up the room that
    the large activations need.
    """
    before = past.get(layer)
    if before is None or torch.is_grad_enabled():
        past[layer] = frames_BTCHW.clone()
    else:
        before.copy_(frames_BTCHW)


def convolve_time(
    x_BTCHW: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int = 1
) -> Tensor:
    """Convolve over three frames without padding time; rows and columns keep their number.

    A CPU's 3-D convolutions are up to ten times slower than its 2-D ones when channels are few,
    so there the three frames become channels. On a GPU three 2-D convolutions that are summed
    are a third faster in float32 than one 3-D convolution; in bfloat16 and with gradients the
    latter is used, because it rounds and remembers once.
    """
    rows = weight.shape[-1]
    if x_BTCHW.device.type != "cpu":
        in_one = torch.is_grad_enabled() or x_BTCHW.dtype != torch.float32
        if in_one or rows == 1 or stride > 1:
            padding = (0, rows // 2, rows // 2)
            volume = x_BTCHW.movedim(2, 1)
            return F.conv3d(volume, weight, bias, (stride, 1, 1), padding).movedim(1, 2)
        return sum_of_taps(x_BTCHW, weight, bias)
    frames = x_BTCHW.shape[1] - 2
    taps = [x_BTCHW[:, tap : tap + frames : stride] for tap in range(3)]
    stacked = torch.cat(taps, 2)
    if rows == 1:
        flat = weight[..., 0, 0].transpose(1, 2).flatten(1)
        return F.linear(stacked.movedim(2, -1), flat, bias).movedim(-1, 2)
    flat = weight.transpose(1, 2).flatten(1, 2)
    convolved = F.conv2d(stacked.flatten(0, 1), flat, bias, padding=rows // 2)
    return channels_last(convolved).unflatten(0, stacked.shape[:2])


def join_frames(parts: list[Tensor]) -> Tensor:
    """Join [B, T, C, H, W] pieces along time, channels innermost in memory as in the pieces."""
    return torch.cat([part.movedim(2, -1) for part in parts], 1).movedim(-1, 2)


def sum_of_taps(x_BTCHW: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve over three frames by one 2-D convolution for each of them, summed in place."""
    frames = x_BTCHW.shape[1] - 2
    total: Tensor | None = None
    for tap in range(3):
        part = F.conv2d(
            x_BTCHW[:, tap : tap + frames].flatten(0, 1),
            weight[:, :, tap],
            bias if total is None else None,
            padding=weight.shape[-1] // 2,
        )
        total = part if total is None else total.add_(part)
        del part  # else it would still be there beside the next one
    assert total is not None
    return channels_last(total).unflatten(0, (x_BTCHW.shape[0], frames))


def channels_last(x: Tensor) -> Tensor:
    """Lay out the last three axes, which are channels, rows, columns; channels innermost."""
    return x.movedim(-3, -1).contiguous().movedim(-1, -3)


def norm_silu(norm: nn.Module, x_BTCHW: Tensor) -> Tensor:
    """SiLU of the normalised, in one pass on a GPU."""
    assert isinstance(norm, Norm)
    x = x_BTCHW.movedim(2, -1)
    if fused.fits(x) and x.is_contiguous():
        return fused.norm_silu(x, norm.gamma.flatten(), 1e-24).movedim(-1, 2)
    return silu(norm(x_BTCHW))


def silu(x: Tensor) -> Tensor:
    """SiLU, in place where no gradient needs the input."""
    return F.silu(x, inplace=not torch.is_grad_enabled())


def add(fresh: Tensor, x: Tensor) -> Tensor:
    """The sum, in the memory of `fresh` where no gradient needs it."""
    return fresh + x if torch.is_grad_enabled() else fresh.add_(x)
