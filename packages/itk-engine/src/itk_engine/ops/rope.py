"""Rotary position embedding over time, rows and columns, and over one axis."""

# B batch, L tokens, N heads, H head width; C = H / 2 rotated pairs
from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import torch

from . import fused

if TYPE_CHECKING:
    from torch import Tensor

Rotation: TypeAlias = "tuple[Tensor, Tensor]"  # cos and sin, float32, [L, C] or [B, L, C]

_BASE = 10000.0


def grid_rotation(
    grid: tuple[int, int, int], head_width: int, device: torch.device | str
) -> Rotation:
    """Return cos and sin [T·rows·columns, C] of every token's turn in a grid of tokens.

    The C = head_width/2 pairs are shared out as C - 2⌊C/3⌋ to time, ⌊C/3⌋ to rows, ⌊C/3⌋ to
    columns; pair j of an axis with D real dimensions turns by position·10000^(-2j/D)
    (RoPE, Su et al. 2021, with Wan2.1's split). Angles are computed in float64.
    """
    pairs = head_width // 2
    per_axis = (pairs - 2 * (pairs // 3), pairs // 3, pairs // 3)
    angles = [
        torch.outer(torch.arange(size, dtype=torch.float64, device=device), _rates(count, device))
        for size, count in zip(grid, per_axis, strict=True)
    ]
    frames, rows, columns = grid
    turn = torch.cat(
        [
            angles[0][:, None, None].expand(frames, rows, columns, -1),
            angles[1][None, :, None].expand(frames, rows, columns, -1),
            angles[2][None, None, :].expand(frames, rows, columns, -1),
        ],
        dim=-1,
    ).flatten(0, 2)
    return turn.cos().float(), turn.sin().float()


def line_rotation(position_BL: Tensor, head_width: int) -> Rotation:
    """Return cos and sin [B, L, C] for positions on one axis, which may be fractions."""
    turn = position_BL.float().unsqueeze(-1) * _rates(head_width // 2, position_BL.device).float()
    return turn.cos(), turn.sin()


def rotate(x_BLNH: Tensor, rotation: Rotation) -> Tensor:
    """Turn each adjacent pair (2i, 2i+1) of every head in float32, and cast back."""
    if fused.fits(x_BLNH):
        return fused.norm_rotate(x_BLNH.flatten(-2), heads=x_BLNH.shape[-2], rotation=rotation)
    cos, sin = (part.unsqueeze(-2) for part in rotation)  # one head axis to broadcast over
    even, odd = x_BLNH.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return turned.flatten(-2).to(x_BLNH.dtype)


def _rates(pairs: int, device: torch.device | str) -> Tensor:
    steps = torch.arange(pairs, dtype=torch.float64, device=device)
    return _BASE ** (-steps / pairs)
