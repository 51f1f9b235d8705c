"""Gives the frames of a video the colours of a reference picture.

The colour transfer of Reinhard et al. (2001) in CIE Lab: each frame's L, a and b get the mean and
the standard deviation of the reference's. Lab is that of sRGB under D65 (2 degrees).
"""

import torch
from torch import Tensor

_FRAMES_AT_ONCE = 8

# Linear sRGB to XYZ, each row divided by the D65 white point's X, Y or Z.
_RGB_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)


def match_colours(video: Tensor, reference: Tensor, strength: float) -> Tensor:
    """Move each frame's Lab statistics towards the reference's, by `strength` in 0..1.

    Args:
        video: [3, F, H, W] in [-1, 1], any device, floating point.
        reference: [3, 1, h, w] in [-1, 1] on the same device.
        strength: 0 returns the video itself, 1 the fully corrected one.

    Returns:
        float32 [3, F, H, W] in [-1, 1].

    Raises:
        ValueError: the strength is outside 0..1.
    """
    if not 0 <= strength <= 1:
        message = f"colour correction strength must be between 0 and 1, got {strength}"
        raise ValueError(message)
    if strength == 0:
        return video
    mean, std = _statistics(_to_lab(_to_unit(reference)))
    parts = []
    for frames in video.split(_FRAMES_AT_ONCE, 1):
        source = _to_unit(frames)
        lab = _to_lab(source)
        source_mean, source_std = _statistics(lab)
        # A channel without any variation becomes the reference's mean.
        gain = torch.where(source_std == 0, 0, std / source_std)
        corrected = _to_rgb((lab - source_mean) * gain + mean).clamp_(0, 1)
        parts.append(torch.lerp(source, corrected, strength).mul_(2).sub_(1))
    return torch.cat(parts, 1)


def _to_unit(video: Tensor) -> Tensor:
    return ((video.float() + 1) / 2).clamp_(0, 1)


def _statistics(lab: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation [3, F, 1, 1] of each channel of each frame."""
    # In float64 the deviation of a constant channel is exactly zero.
    exact = lab.double()
    mean = exact.mean((-2, -1), keepdim=True)
    std = (exact - mean).square_().mean((-2, -1), keepdim=True).sqrt_()
    return mean.float(), std.float()


def _to_lab(rgb: Tensor) -> Tensor:
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055).pow_(2.4), rgb / 12.92)
    matrix = rgb.new_tensor(_RGB_TO_XYZ) / rgb.new_tensor(_WHITE)[:, None]
    xyz = torch.tensordot(matrix, linear, 1)
    x, y, z = torch.where(
        xyz > 0.008856, xyz.clamp_min(0.008856).pow_(1 / 3), 7.787 * xyz + 16 / 116
    )
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _to_rgb(lab: Tensor) -> Tensor:
    y = (lab[0] + 16) / 116
    f = torch.stack([lab[1] / 500 + y, y, (y - lab[2] / 200).clamp_min_(0)])
    xyz = torch.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787)
    inverse = torch.linalg.inv(lab.new_tensor(_RGB_TO_XYZ, dtype=torch.float64, device="cpu"))
    matrix = (inverse * inverse.new_tensor(_WHITE)).to(lab)
    linear = torch.tensordot(matrix, xyz, 1)
    bright = linear.clamp_min(0.0031308).pow_(1 / 2.4).mul_(1.055).sub_(0.055)
    return torch.where(linear > 0.0031308, bright, 12.92 * linear)
